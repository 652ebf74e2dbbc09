//! Which instruction sets a run of the tests covers, and how to see that one was used.

use selvedge::simd::{Isa, Simd, SimdOp};
use std::env;

/// The instruction sets under test: the one that `SELVEDGE_ISA` names, else all that this processor has.
///
/// # Panics
/// If that variable names one that is unknown or not available: a run never covers another one in silence.
pub(crate) fn isas() -> Vec<Isa> {
    match env::var_os("SELVEDGE_ISA") {
        Some(name) => match Isa::from_name(&name.to_string_lossy()) {
            Ok(isa) => vec![isa],
            Err(error) => panic!("SELVEDGE_ISA: {error}"),
        },
        None => Isa::available().collect(),
    }
}

/// The instruction sets that `SELVEDGE_REQUIRE_ISA` lists and a run does not cover.
pub(crate) fn missing() -> Vec<String> {
    let required = env::var("SELVEDGE_REQUIRE_ISA").unwrap_or_default();
    let covered = isas();
    let names = required.split(',').map(str::trim).filter(|name| !name.is_empty());
    names.filter(|name| !covered.iter().any(|isa| isa.name() == *name)).map(String::from).collect()
}

/// The instruction set whose token has the type `S`, by the name that [`Isa`] gives it.
pub(crate) fn name_of_token<S: Simd>() -> String {
    let path = std::any::type_name::<S>();
    path.rsplit("::").next().unwrap_or(path).to_lowercase()
}

/// The instruction set that [`Isa::run`] enters.
pub(crate) fn entered(isa: Isa) -> String {
    struct Entered;
    impl SimdOp for Entered {
        type Output = String;
        #[inline(always)]
        fn run<S: Simd>(self, _: S) -> String {
            name_of_token::<S>()
        }
    }
    isa.run(Entered)
}

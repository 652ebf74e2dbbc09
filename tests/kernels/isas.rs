//! A run covers the instruction sets that it was asked to cover, or fails.

use crate::support::buffer::Place;
use crate::support::isas::{entered, isas, missing, name_of_token};
use crate::support::matrix::{Layout, Matrix};
use selvedge::kernels::gemm::{self, Epilogue, gemm, gemm_transposed};
use selvedge::kernels::optimizers::update;
use selvedge::kernels::reduce::column_sums_into;
use selvedge::simd::{Isa, MapOp, Simd};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::env;
use std::process::{Command, Output};

#[test]
#[allow(clippy::print_stdout, reason = "what was covered is the result")]
fn every_required_instruction_set_is_covered() {
    println!("covered: {:?}", isas());
    assert_eq!(missing(), [""; 0], "listed in SELVEDGE_REQUIRE_ISA, but only {:?} are covered", isas());
}

#[test]
fn an_instruction_set_is_entered_under_its_name() {
    for isa in isas() {
        assert_eq!(entered(isa), isa.name());
    }
}

/// Records the instruction sets whose tokens it is handed.
#[derive(Default)]
struct Witness(RefCell<BTreeSet<String>>);

impl Epilogue for &Witness {
    fn check(&self, _: usize, _: usize) {}
    #[inline(always)]
    fn finish<S: Simd, const ROWS: usize, const V: usize>(&mut self, _: S, _: gemm::Place, _: [[S::F32; V]; ROWS]) {
        self.0.borrow_mut().insert(name_of_token::<S>());
    }
}

impl MapOp<1, 1> for &Witness {
    #[inline(always)]
    fn map<S: Simd>(&self, _: S, _: [S::F32; 1], outputs: [S::F32; 1]) -> [S::F32; 1] {
        self.0.borrow_mut().insert(name_of_token::<S>());
        outputs
    }
}

#[test]
fn kernels_run_on_the_instruction_set_that_they_are_given() {
    for isa in isas() {
        let x = Matrix::new(Place::Heap, (30, 30), Layout::padded(0), |_, _| 1.0);
        type Run<'a> = (&'a str, &'a dyn Fn(&Witness));
        let runs: [Run<'_>; 4] = [
            ("gemm", &|mut witness| gemm(isa, x.as_ref(), x.as_ref(), &mut witness)),
            ("gemm_transposed", &|mut witness| gemm_transposed(isa, x.as_blocks(), (0, 30), x.as_blocks(), &mut witness)),
            ("column_sums_into", &|witness| column_sums_into(isa, x.as_blocks(), 0, witness, [&mut [0.0; 30]])),
            ("update", &|witness| update(isa, witness, &[0.0; 30], [&mut [0.0; 30]])),
        ];
        for (name, run) in runs {
            let witness = Witness::default();
            run(&witness);
            assert_eq!(witness.0.into_inner(), BTreeSet::from([isa.name().to_string()]), "{name}");
        }
    }
}

/// Runs the test of coverage in a process of its own.
fn coverage(variables: &[(&str, &str)]) -> Output {
    let binary = env::current_exe().expect("the path of this test");
    let mut command = Command::new(binary);
    command.args(["--exact", "isas::every_required_instruction_set_is_covered", "--nocapture"]);
    command.env_remove("SELVEDGE_ISA").env_remove("SELVEDGE_REQUIRE_ISA").envs(variables.iter().copied());
    command.output().expect("a child process")
}

/// What a process has printed.
fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat()
}

#[test]
fn a_forced_instruction_set_is_the_only_one() {
    for isa in Isa::available() {
        let output = coverage(&[("SELVEDGE_ISA", isa.name()), ("SELVEDGE_REQUIRE_ISA", isa.name())]);
        assert!(output.status.success(), "{}", text(&output));
        assert!(text(&output).contains(&format!("covered: [{isa}]\n")), "{}", text(&output));
    }
}

#[test]
fn a_run_that_cannot_cover_what_it_was_asked_to_fails() {
    let unknown = coverage(&[("SELVEDGE_ISA", "avx1024")]);
    assert!(!unknown.status.success() && text(&unknown).contains("unknown instruction set `avx1024`"), "{}", text(&unknown));
    let missing = coverage(&[("SELVEDGE_REQUIRE_ISA", "portable, avx1024")]);
    assert!(!missing.status.success() && text(&missing).contains("[\"avx1024\"]"), "{}", text(&missing));
    for (forced, required) in Isa::available().zip(Isa::available().skip(1)) {
        let output = coverage(&[("SELVEDGE_ISA", forced.name()), ("SELVEDGE_REQUIRE_ISA", required.name())]);
        assert!(!output.status.success(), "{forced} was taken for {required}");
    }
}

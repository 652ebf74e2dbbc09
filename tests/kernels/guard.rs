//! No kernel reads or writes a byte outside of its slices: all operands touch pages without access, at their ends in one run and
//! at their starts in another, and the results are compared as everywhere else.
#![cfg(all(target_os = "linux", not(miri)))]
#![allow(unsafe_code, reason = "to see the guard bite, some tests read where they must not")]

use super::{gather, gemm, loss, merge, optimizers, prelu, reduce, softmax, transpose};
use crate::support::buffer::Place;
use crate::support::guard::{Edge, Guarded};
use crate::support::isas::isas;
use selvedge::simd::{Isa, LANES, Simd, SimdOp};
use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// Around every edge of vectors and of their halves, which are registers on some processors.
const COLUMNS: [usize; 22] = [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 24, 25, 31, 32, 33, 47, 49, 65];

#[test]
fn products_stay_inside_their_operands() {
    for &place in Place::GUARDED {
        for m in [0, 1, 2, 3, 4, 6, 7, 12, 13, 25] {
            for n in COLUMNS.into_iter().chain([63, 64, 80, 97, 145]) {
                for k in [0, 1, 2, 5] {
                    gemm::rows_case(place, (m, n, k));
                    gemm::columns_case(place, (m, n, k));
                }
            }
        }
    }
}

#[test]
fn kernels_of_rows_stay_inside_their_operands() {
    for &place in Place::GUARDED {
        for n in COLUMNS {
            for m in [0, 1, 3, 17] {
                softmax::case(place, (m, n));
                if n > 0 {
                    loss::case(place, (m, n));
                    loss::targets_case(place, (m, n));
                }
                reduce::sums_case(place, (m, n));
                reduce::argmax_case(place, (m, n));
                gather::case(place, (m, n));
                merge::case(place, (m, n));
            }
            reduce::whole_case(place, n);
        }
    }
}

#[test]
fn transposes_stay_inside_their_operands() {
    for &place in Place::GUARDED {
        for m in COLUMNS {
            for n in COLUMNS {
                transpose::case(place, (m, n));
            }
        }
    }
}

#[test]
fn optimizers_stay_inside_their_operands() {
    for &place in Place::GUARDED {
        for len in COLUMNS {
            for offset in [0, 1] {
                optimizers::case(place, len, offset);
                prelu::case(place, len, offset);
            }
        }
    }
}

/// The variable by which a test asks a child process to do what must kill it.
const FAULT: &str = "SELVEDGE_TEST_FAULT";

/// Runs one test of this binary in a process of its own, with a fault to be committed.
fn child(test: &str, fault: &str) -> ExitStatus {
    let binary = env::current_exe().expect("the path of this test");
    let mut command = Command::new(binary);
    command.args(["--exact", test, "--nocapture"]).env(FAULT, fault);
    command.output().expect("a child process").status
}

/// Sixteen elements from `source` on, as a kernel would load them.
struct LoadVector(*const f32);

impl SimdOp for LoadVector {
    type Output = f32;
    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> f32 {
        // SAFETY: none. The caller wants to see the process die.
        simd.sum_lanes(unsafe { simd.load_pointer(self.0) })
    }
}

/// Commits the fault: one element beyond an edge, or a whole vector that reaches one element beyond the end.
fn commit(fault: &str) -> f32 {
    let elements = [1.0f32; LANES - 1];
    let (before, behind) = (Guarded::new(&elements, Edge::Start), Guarded::new(&elements, Edge::End));
    match fault {
        "nothing" => behind[LANES - 2] + before[0],
        // SAFETY: none. The caller wants to see the process die.
        "element before" => unsafe { before.as_ptr().wrapping_sub(1).read_volatile() },
        // SAFETY: none, as above.
        "element behind" => unsafe { behind.as_ptr().wrapping_add(LANES - 1).read_volatile() },
        isa => Isa::from_name(isa).expect("the name of an instruction set").run(LoadVector(behind.as_ptr())),
    }
}

#[test]
fn a_read_of_one_element_outside_is_caught() {
    const THIS: &str = "guard::a_read_of_one_element_outside_is_caught";
    if let Ok(fault) = env::var(FAULT) {
        std::hint::black_box(commit(&fault));
        return;
    }
    assert!(child(THIS, "nothing").success(), "the child that does nothing wrong");
    let vectors = isas().into_iter().map(Isa::name);
    for fault in ["element before", "element behind"].into_iter().chain(vectors) {
        let status = child(THIS, fault);
        assert_eq!(status.signal(), Some(libc::SIGSEGV), "{fault}: {status}");
    }
}

#[test]
fn a_write_between_the_slice_and_the_far_page_is_caught() {
    const THIS: &str = "guard::a_write_between_the_slice_and_the_far_page_is_caught";
    if env::var_os(FAULT).is_some() {
        let mut elements = Guarded::new(&[1.0f32; 3], Edge::Start);
        // SAFETY: the element lies in the pages of the slice, behind its end.
        unsafe { elements.as_mut_ptr().wrapping_add(3).write_volatile(2.0) };
        return;
    }
    let status = child(THIS, "write");
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
}

//! A matrix product on all parts of an executor.

use super::ends::biased;
use crate::kernels::gemm::gemm;
use crate::kernels::{MatMut, MatRef};
use crate::parallel::{Executor, Shares, range_of_share};
use crate::simd::Isa;

/// `C = A B`, each part of the executor its rows of C.
///
/// Every element is computed by one part as [`gemm`] computes it, so the number of parts cannot change a bit.
///
/// # Shapes
/// `a: [m, k]`, `b: [k, n]`, `c: [m, n]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[track_caller]
pub fn product(isa: Isa, executor: &dyn Executor, a: MatRef<'_>, b: MatRef<'_>, c: MatMut<'_>) {
    let (m, n, k) = (a.rows(), b.columns(), a.columns());
    assert!(k == b.rows(), "A is {m} x {k}: B of {k} rows expected, found {}", b.rows());
    assert!((c.rows(), c.columns()) == (m, n), "C: {m} x {n} expected, found {} x {}", c.rows(), c.columns());
    let rows_per_part = m.div_ceil(executor.parts());
    let leading_dimension = c.leading_dimension();
    let shares = Shares::new(c.into_data(), rows_per_part * leading_dimension);
    executor.run(&|part| {
        let share = shares.take(part);
        let rows = range_of_share(m, rows_per_part, part);
        if !rows.is_empty() {
            let start = (rows.start * a.leading_dimension()).min(a.data().len());
            let a = MatRef::new(&a.data()[start..], rows.len(), k, a.leading_dimension());
            gemm(isa, a, b, &mut biased(&[], MatMut::new(share, rows.len(), n, leading_dimension)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parallel::Serial;
    use crate::reference::samples::{assert_same_bits, numbers};

    #[test]
    fn parts_compute_what_one_computes() {
        for (m, n, k) in [(0, 3, 2), (1, 17, 5), (5, 0, 3), (7, 20, 0), (13, 33, 40), (64, 5, 9)] {
            let (a, b) = (numbers(1, m * (k + 2)), numbers(2, k * (n + 1)));
            let (a, b) = (MatRef::new(&a, m, k, k + 2), MatRef::new(&b, k, n, n + 1));
            for isa in Isa::available() {
                let computed = |parts: usize| {
                    let mut c = std::vec![7.0; m * (n + 3)];
                    product(isa, &Serial::new(parts), a, b, MatMut::new(&mut c, m, n, n + 3));
                    c
                };
                let expected = computed(1);
                for parts in [2, 3, 8, 64] {
                    assert_same_bits((isa, m, n, k, parts), &computed(parts), &expected);
                }
                for i in 0..m {
                    for j in 0..n {
                        let exact: f64 = (0..k).map(|p| f64::from(a.row(i)[p]) * f64::from(b.row(p)[j])).sum();
                        let found = expected[i * (n + 3) + j];
                        assert!(
                            (f64::from(found) - exact).abs() < 1e-5,
                            "{isa}, {m} x {n} x {k}: ({i}, {j}) is {found}, not {exact}"
                        );
                    }
                }
            }
        }
    }
}

//! Layers in one pass over memory: the same bits as one after the other.

use crate::support::bits::assert_same;
use crate::support::ends::biased_relu;
use crate::support::isas::isas;
use crate::support::numbers::Numbers;
use fastrand::Rng;
use selvedge::kernels::dropout::{Combine, Dropout, dropout_forward, mask_len};
use selvedge::kernels::fused::BiasedReluDropout;
use selvedge::kernels::gemm::gemm;
use selvedge::kernels::rng::Stream;
use selvedge::kernels::{MatMut, MatRef};

/// Columns that begin and end anywhere among those that are drawn together, and padding that stays as it is.
#[test]
fn the_epilogue_equals_relu_and_dropout() {
    let stream = Stream { seed: 3, step: 2, layer: 1, first_row: 9 };
    let mut rng = Rng::with_seed(6);
    for isa in isas() {
        for n in [1, 16, 17, 47, 48, 49, 64, 80, 130, 200] {
            for (rate, m) in [(0.0, 1), (0.3, 13), (1.0, 6)] {
                let dropout = Dropout::new(rate).expect("a rate");
                let (k, ld) = (3, n + 2);
                let [a, b, bias] = [m * k, k * n, n].map(|len| Numbers::Real.vec(&mut rng, len));
                let (a, b) = (MatRef::new(&a, m, k, k), MatRef::new(&b, k, n, n));
                let (mut y, mut mask) = (vec![7.0; m * ld], vec![0xabcd; mask_len(m, n)]);
                let (mut unfused, mut unfused_mask) = (y.clone(), mask.clone());
                let c = MatMut::new(&mut y, m, n, ld);
                gemm(isa, a, b, &mut BiasedReluDropout { bias: &bias, dropout, stream, c, mask: &mut mask });
                let mut c = MatMut::new(&mut unfused, m, n, ld);
                gemm(isa, a, b, &mut biased_relu(&bias, c.reborrow(), &mut unfused_mask));
                dropout_forward(isa, dropout, stream, c, &mut unfused_mask, Combine::And);
                let case = format!("{isa}, {m} x {n}, rate {rate}");
                assert_same(&y, &unfused, &case);
                assert_eq!(mask, unfused_mask, "{case}");
            }
        }
    }
}

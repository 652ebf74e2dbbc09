//! Loops over registers.

/// Repeats an expression for each number below a constant, which is 4 at most: `unroll!(V, j => sum[j] = simd.add(sum[j], x[j]))`; or 8, if it is
/// told: `unroll!(ROWS <= 8, i => ...)`.
///
/// Written out, because the compiler might leave a loop, and a number that is not a constant sends registers through memory. Where it does
/// write the loops out, that takes a sixth of the time to compile the whole crate.
///
/// The conditions are known before code is generated, so there is none for numbers beyond the constant. But up to there they take their time, and
/// one loop in the other takes the product.
macro_rules! unroll {
    ($count:ident <= 8, $i:ident => $body:expr) => {
        const { assert!($count <= 8, "at most 8 repetitions") };
        $crate::simd::unroll!(@ $count, $i, $body, 0 1 2 3 4 5 6 7);
    };
    ($count:expr, $i:ident => $body:expr) => {
        const { assert!($count <= 4, "at most 4 repetitions") };
        $crate::simd::unroll!(@ $count, $i, $body, 0 1 2 3);
    };
    (@ $count:expr, $i:ident, $body:expr, $($number:literal)+) => {
        $(if const { $number < $count } {
            #[allow(unconditional_panic, reason = "of an array that has fewer elements, those beyond are never reached")]
            {
                let $i = $number;
                $body;
            }
        })+
    };
}
pub(crate) use unroll;

#[cfg(test)]
mod tests {
    #[test]
    fn every_number_once_and_in_order() {
        fn numbers<const N: usize>() -> std::vec::Vec<usize> {
            let mut numbers = std::vec![];
            unroll!(N <= 8, i => numbers.push(i));
            numbers
        }
        fn few_numbers<const N: usize>() -> std::vec::Vec<usize> {
            let mut numbers = std::vec![];
            unroll!(N, i => numbers.push(i));
            numbers
        }
        assert!(numbers::<0>().is_empty());
        assert_eq!(numbers::<3>(), [0, 1, 2]);
        assert_eq!(numbers::<8>(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(few_numbers::<3>(), [0, 1, 2]);
        assert_eq!(few_numbers::<4>(), [0, 1, 2, 3]);
    }
}

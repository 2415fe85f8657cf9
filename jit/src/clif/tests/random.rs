//! Random kernels.

use super::harness::{Shape, check, compile_all, hide_nans};
use crate::kernel::Kernel;
use crate::testing::kernels;
use proptest::prelude::*;

fn shapes() -> impl Strategy<Value = Shape> {
    let steps = prop::sample::select(vec![&[2, -1, 3][..], &[1], &[-2, 0, 5]]);
    (0usize..70, 1usize..4, steps, any::<bool>(), any::<u64>()).prop_map(|(n0, n1, steps, in_place, seed)| {
        // Outputs with a stride of 0 would overlap themselves.
        let steps = if steps.contains(&0) { &[-2, 4, 5] } else { steps };
        Shape { n0, n1, steps, in_place, seed }
    })
}

/// Whether all backends give the same bits.
fn holds(kernel: &Kernel, shape: Shape) {
    let kernel = hide_nans(kernel);
    check(&kernel, &compile_all(&kernel), shape);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn small_kernels(kernel in kernels(12), shape in shapes()) {
        holds(&kernel, shape);
    }

    #[test]
    fn larger_kernels(kernel in kernels(80), shape in shapes()) {
        holds(&kernel, shape);
    }

    /// So long that many are put in another order.
    #[test]
    fn long_kernels(kernel in kernels(250), shape in shapes()) {
        holds(&kernel, shape);
    }
}

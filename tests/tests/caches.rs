//! Kernels are keyed without sizes, plans are looked up; in a process of its own, as the caches are global.

use lazuli::kernels;
use lazuli::prelude::*;

#[test]
fn a_new_shape_costs_no_kernel() {
    let f = |n: usize| {
        let x = Array::from(vec![1.5f64; n]);
        let y = Array::from(vec![0.5f64; n]);
        ((x * 2.0 + y).exp().sum(All)).compute().unwrap()
    };
    f(10);
    let kernels = kernels::cached();
    for n in [1, 2, 7, 1000, 100_000] {
        f(n);
    }
    assert_eq!(kernels::cached(), kernels);

    // Another layout is another kernel.
    Array::from(vec![1.5f64; 20]).slice(s![..;2]).exp().compute().unwrap();
    assert!(kernels::cached() > kernels);

    // The cache is bounded.
    let x = Array::from([1.0f64, 2.0]);
    for i in 0..700 {
        (&x * (i as f64 + 0.25)).compute().unwrap();
    }
    assert!(kernels::cached() <= 512);
}

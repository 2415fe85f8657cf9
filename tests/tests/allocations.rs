//! How often a repeated call asks the allocator, in a process of its own.

use allocation_counter::measure;
use lazuli::prelude::*;

#[test]
fn repeated_calls_hardly_allocate() {
    let config = Config::default().backend(BackendChoice::Clif).threads(1);
    let n = 1000;
    let x = Tensor::from_vec(&[n], vec![1.5f64; n]).unwrap();
    let y = Tensor::from_vec(&[n], vec![0.5f64; n]).unwrap();
    let axpy = Function::new(|[x, y]: [Array; 2]| x * 2.0 + y);
    let sum = Function::new(|[x, y]: [Array; 2]| (x - y).square().sum(All));
    let both = Function::new(|[x, y]: [Array; 2]| [x.exp() + &y, x * y]);
    type Case<'a> = (&'a str, Box<dyn Fn() + 'a>, u64);
    let functions: [Case<'_>; 4] = [
        // The handle of the result's memory; the memory comes from the pool.
        ("axpy", Box::new(|| drop(axpy.call_with([&x, &y], &config).unwrap())), 1),
        // The same for the tile of scratch.
        ("sum", Box::new(|| drop(sum.call_with([&x, &y], &config).unwrap())), 2),
        ("both", Box::new(|| drop(both.call_with([&x, &y], &config).unwrap())), 2),
        // Nodes, each with its operands inside, and none for the literal; the list of results; values and results.
        ("compute", Box::new(|| drop((Array::from(&x) * 2.0 + Array::from(&y)).compute_with(&config).unwrap())), 9),
    ];
    for (name, call, most) in functions {
        for _ in 0..3 {
            call();
        }
        let count = measure(&call).count_total;
        assert!(count <= most, "{name}: {count} allocations");
    }
}

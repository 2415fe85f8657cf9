//! What a repeated computation must not take: fresh memory and page faults. Both are counted for the whole process, so
//! that this test is alone in its own.

use lazuli::prelude::*;
use lazuli_runtime::pool;

/// Page faults of the process so far that the system served without reading from a disk.
fn faults() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the process, in brackets, may hold blanks.
    text.rsplit_once(')')?.1.split_whitespace().nth(7)?.parse().ok()
}

#[test]
fn a_repeated_computation_reuses_memory() {
    let n = 10_000_000;
    let (x, y) = (Tensor::from_vec(&[n], vec![1.5f64; n]).unwrap(), Tensor::from_vec(&[n], vec![0.5f64; n]).unwrap());
    let axpy = || (Array::from(&x) * 2.0 + Array::from(&y)).compute().unwrap();
    let f = Function::new(|[x, y]: [Array; 2]| x * 2.0 + y);
    let mut addresses = Vec::new();
    for _ in 0..2 {
        addresses.push(axpy().as_ptr());
        addresses.push(f.call([&x, &y]).unwrap().as_ptr());
    }
    let before = (faults(), pool::stats());
    for _ in 0..5 {
        addresses.push(axpy().as_ptr());
        addresses.push(f.call([&x, &y]).unwrap().as_ptr());
    }
    let after = (faults(), pool::stats());
    assert!(addresses.iter().all(|&a| a == addresses[0]), "{addresses:?}");
    assert_eq!(after.1.fresh, before.1.fresh);
    assert!(after.1.cached_bytes <= after.1.limit);
    if let (Some(before), Some(after)) = (before.0, after.0) {
        // Ten results of 80 MB are 195,000 small pages or 390 huge ones.
        assert!(after - before < 300, "{} page faults", after - before);
    }
}

//! Peak memory, in a process of its own: temporaries of a fused expression do not exist.

use lazuli::prelude::*;
use lazuli_runtime::{cpu, pool};

/// Bytes of each of the two inputs.
const INPUT: usize = 512 << 20;
/// What may be used beside inputs and output.
const SLACK: usize = 64 << 20;

fn resident_peak() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<usize>().ok()? * 1024)
}

#[test]
fn ten_operations_on_a_gigabyte() {
    if cpu::available_memory().is_none_or(|m| m < 4 * INPUT) {
        println!("skipped: less than 2 GiB of memory are free");
        return;
    }
    let n = INPUT / 8;
    let before = resident_peak();
    let x = Array::linspace(0.0, 1.0, n).compute().unwrap();
    let y = Array::linspace(1.0, 2.0, n).compute().unwrap();
    let (a, b) = (Array::from(&x), Array::from(&y));
    let z = ((&a * 2.0 + &b) * (&a - &b) + 1.0).abs().sqrt() * 0.5 - (&a * &b);
    pool::reset_peak();
    let t = z.compute().unwrap();
    let allocated = pool::stats().peak_live_bytes;
    // Inputs, output, and no more: as the allocator counts, and as the system does.
    assert!(allocated <= 3 * INPUT + SLACK, "{} MiB allocated", allocated >> 20);
    if let (Some(before), Some(after)) = (before, resident_peak()) {
        assert!(after - before <= 3 * INPUT + SLACK, "{} MiB resident", (after - before) >> 20);
    }
    let v = t.as_slice::<f64>().unwrap();
    assert_eq!(v[0], ((0.0f64 * 2.0 + 1.0) * (0.0 - 1.0) + 1.0).abs().sqrt() * 0.5 - 0.0);

    // A limit below the peak is refused before anything is allocated.
    pool::reset_peak();
    let live = pool::stats().peak_live_bytes;
    let again = (&a + &b).compute_with(&Config::default().memory_limit(1 << 20));
    let message = again.unwrap_err().to_string();
    assert!(message.contains("limit"), "{message}");
    assert_eq!(pool::stats().peak_live_bytes, live);
}

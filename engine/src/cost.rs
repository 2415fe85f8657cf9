//! What work costs, in picoseconds: the one place where the op table's cost units meet the machine.
//!
//! Figures are of one core at about 3 GHz, for kernels compiled with vectors; they need not be exact. What hangs on them
//! is whether a second thread is asked for, and a wrong answer near the threshold costs little either way: a thread that
//! does not come in time is not waited for ([`lazuli_runtime::threads::Share::together`]).

use lazuli_jit::Role;

/// Work below which no other thread is asked to help.
pub const PARALLEL: u64 = 12_000_000;
/// Parts of much work for each thread.
const PARTS: usize = 4;
/// Work for each thread below which it is [`short`]; compiled code was seen to take half as long as that.
const SHORT: u64 = 100_000_000;
/// A multiplication and addition of a matrix product.
pub const PRODUCT: u64 = 100;

/// Bytes of outputs, or of a reduction's inputs, that the caches do not hold: they push one another out of the last one.
pub fn far() -> usize {
    lazuli_runtime::cpu::last_cache()
}

/// A cost unit of an operation, for each byte of an element.
const UNIT: u64 = 8;
/// A byte loaded from or stored to the caches.
const BYTE: u64 = 12;

/// An element of a kernel with operations of `weight` cost units.
pub fn element(kernel: &lazuli_jit::Kernel, weight: u32) -> u64 {
    let memory = kernel.operands.iter().filter(|o| o.role != Role::Index);
    let bytes: usize = memory.clone().map(|o| o.dtype.size()).sum();
    let widest = memory.map(|o| o.dtype.size()).max().unwrap_or(1);
    (weight as u64).saturating_mul(UNIT).saturating_mul(widest as u64).saturating_add(bytes as u64 * BYTE)
}

/// Whether so much work is best cut into one part for each thread: to take one more costs as much as it could win.
pub fn short(work: u64, threads: usize) -> bool {
    work / (threads.max(1) as u64) < SHORT
}

/// Into how many parts to cut so much work for several threads. Who watches it is told after each.
pub fn parts(work: u64, threads: usize, watched: bool) -> usize {
    if short(work, threads) && !watched { threads } else { threads * PARTS }
}

/// Of `count` parts for so many threads, those that a thread takes when it comes, one after another in memory; it then takes
/// them one by one. So from call to call each core has most of what it had, in its caches, and what is left over makes up
/// for cores of unequal speed.
pub fn own(count: usize, threads: usize) -> usize {
    (count / threads.max(1) * 3 / 4).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_work_is_a_part_for_each_thread() {
        assert_eq!([0, 2 * SHORT - 1, 2 * SHORT, u64::MAX].map(|work| parts(work, 2, false)), [2, 2, 8, 8]);
        assert_eq!([0, u64::MAX].map(|work| parts(work, 2, true)), [8, 8]);
        assert!(short(SHORT - 1, 0) && short(SHORT - 1, 1) && !short(SHORT, 1) && short(63 * SHORT, 64));
    }

    /// Each thread finds a run of its own, and something is left over if there are parts enough.
    #[test]
    fn runs_of_parts() {
        assert_eq!([own(8, 2), own(1, 2), own(2, 2), own(24, 2)], [3, 1, 1, 9]);
        for (threads, count) in (1..70).flat_map(|t| (t..10 * t).map(move |count| (t, count))) {
            assert!(own(count, threads) * threads <= count, "{count} for {threads}");
        }
    }
}

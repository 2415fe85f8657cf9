//! How a tree of blocks is cut for several threads: into whole subtrees, or ranges of them, so that it stays the same tree.

use std::ops::Range;

/// Elements that are worth a piece of their own where few pieces would do, and where there are eight for each thread.
const PIECE: usize = 1 << 14;
const LARGE_PIECE: usize = 1 << 18;

/// What a piece costs beside its elements, as a number of these, where its state is a row: memory that goes to another core
/// and back.
const CUT: usize = 1 << 12;

/// How many units of a tree, of `unit` elements each, a piece for one of several threads has: a power of two. Pieces are
/// at least eight for each thread if that leaves enough to each: powers of two make pieces that are few and large, and one
/// more for one thread than for another is then long to wait for. Where a piece's state is `slim`, large pieces are cut once
/// more. Where there is little in all and states are not slim, the thread that has most is to be done early.
fn subtree(count: usize, unit: usize, slim: bool, threads: usize) -> usize {
    let floor = |n: usize| 1 << n.max(1).ilog2();
    if !slim && count.saturating_mul(unit) < threads * 8 * PIECE {
        let longest = |chunk: &usize| {
            // What is left over by whole pieces goes to a thread that has fewer, if there is one.
            let (whole, rest) = (count / chunk, count % chunk);
            let units = whole.div_ceil(threads) * chunk + if whole.is_multiple_of(threads) { rest } else { 0 };
            units * unit + count.div_ceil(*chunk).div_ceil(threads) * CUT
        };
        let chunks = (0..usize::BITS).map(|e| 1 << e).take_while(|&chunk| chunk < 2 * count.max(1));
        return chunks.min_by_key(longest).unwrap_or(1);
    }
    let many = floor(count / (threads * 8));
    let more = if slim { floor(count / (threads * 16)).max(many.min(floor(LARGE_PIECE / unit.max(1)))) } else { many };
    let few = count.div_ceil(threads * 4).next_power_of_two();
    more.max(few.min(floor(PIECE / unit.max(1))))
}

/// Cuts `count` units of a tree, of `unit` elements each, into whole subtrees, for several threads; one range where that
/// does not pay.
pub(super) fn subtrees(count: usize, unit: usize, slim: bool, threads: usize) -> Vec<Range<usize>> {
    let chunk = subtree(count, unit, slim, threads);
    if threads <= 1 || chunk >= count {
        return std::iter::once(0..count).collect();
    }
    (0..count).step_by(chunk).map(|a| a..(a + chunk).min(count)).collect()
}

/// Range `n` of so many that share `count` things evenly out.
pub(super) fn share(count: usize, ranges: usize, n: usize) -> Range<usize> {
    count * n / ranges..count * (n + 1) / ranges
}

/// The subtrees that a range of the units of a tree is, and their heights: as few as can be, in order.
pub(super) fn whole_subtrees(range: Range<usize>) -> impl Iterator<Item = (u32, Range<usize>)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let left = (range.end - start).checked_ilog2()?;
        let height = start.trailing_zeros().min(left);
        let subtree = start..start + (1 << height);
        start = subtree.end;
        Some((height, subtree))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_whole_subtrees() {
        for count in 1..100 {
            let mut at = 0;
            for range in (0..3).map(|n| share(count, 3, n)) {
                for (height, subtree) in whole_subtrees(range) {
                    assert_eq!((subtree.start, subtree.len()), (at, 1 << height));
                    assert!(at.is_multiple_of(subtree.len()));
                    at = subtree.end;
                }
            }
            assert_eq!(at, count);
        }
        let heights: Vec<u32> = whole_subtrees(25..49).map(|s| s.0).collect();
        assert_eq!(heights, [0, 1, 2, 4, 0]);
    }

    /// Threads that take the next piece whenever they are free wait little for the last, and no piece is small without need.
    #[test]
    fn pieces_of_a_tree_are_even() {
        for threads in [2, 3, 8, 64] {
            for unit in [64, 2048, 64_000] {
                for count in (2..3000).chain([4883, 39_063, 1 << 20]) {
                    let (chunk, slim) = (subtree(count, unit, false, threads), subtree(count, unit, true, threads));
                    assert!(chunk.is_power_of_two());
                    let little = count * unit < 8 * threads * PIECE;
                    assert!(little || slim == chunk || (slim == chunk / 2 && slim * unit > LARGE_PIECE / 2));
                    let most = |chunk: usize| {
                        let mut loads = vec![0; threads];
                        for start in (0..count).step_by(chunk) {
                            *loads.iter_mut().min().unwrap() += chunk.min(count - start);
                        }
                        loads.into_iter().max().unwrap()
                    };
                    if little {
                        let time = |chunk: usize| most(chunk) * unit + count.div_ceil(chunk).div_ceil(threads) * CUT;
                        let best = (0..12).map(|e| time(1 << e)).min().unwrap();
                        assert!(time(chunk) <= best, "{count} of {unit} for {threads}: {chunk} at once");
                    }
                    let chunk = if little { slim } else { chunk };
                    let (most, pieces) = (most(chunk), count.div_ceil(chunk));
                    let text = format!("{count} of {unit} for {threads}: {pieces} pieces, most {most}");
                    assert!(pieces <= 16 * threads, "{text}");
                    assert!(chunk * unit > PIECE / 2 || pieces <= 4 * threads, "{text}");
                    if count * unit >= 16 * threads * PIECE && count >= 16 * threads {
                        assert!(most as f64 <= 1.13 * count as f64 / threads as f64, "{text}");
                    }
                }
            }
        }
    }
}

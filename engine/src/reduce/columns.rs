//! Reductions that keep the last axis: a row of states for each row of results.

use super::{States, TILE, Task, cut};
use crate::error::Result;
use crate::plan::Sink;
use lazuli_jit::Reduction;
use lazuli_runtime::Buffer;
use smallvec::SmallVec;
use std::ops::Range;

/// Most columns of a tile: their states fit the first-level cache beside the rows.
const STRIPE: usize = 1024;

impl Task<'_> {
    pub(super) fn states(&self, n: usize) -> Result<States> {
        self.sinks
            .iter()
            .map(|s| {
                let mut buffer = Buffer::alloc(n * s.op.state_size())?;
                s.op.identity(buffer.bytes_mut().unwrap_or_default());
                Ok(buffer)
            })
            .collect()
    }

    pub(super) fn columns(
        &self,
        split: usize,
        k: usize,
        o: usize,
        w: usize,
        threads: usize,
        outs: &mut [&mut [u8]],
    ) -> Result<()> {
        if k == 0 || w == 0 {
            return Ok(());
        }
        let blocks = o.div_ceil(Reduction::OUTER_BLOCK);
        let tall = blocks >= threads * 4;
        // Narrower tiles only where that is the way to keep the threads busy.
        let width = if tall || threads <= 1 {
            w.min(STRIPE)
        } else {
            w.div_ceil(threads * 4).next_multiple_of(64).min(STRIPE).min(w)
        };
        // One row of results, or a piece of it, to place `at` of `outs`.
        let one = |row: usize, columns: Range<usize>, within: usize, at: usize, outs: &mut [&mut [u8]]| -> Result<()> {
            let n = columns.len();
            let states = if within <= 1 {
                self.stripe(split, row * o, o, columns, 0..blocks)?
            } else {
                let mut levels = Levels::default();
                let stripe = columns.clone();
                let compute = move |range| self.stripe(split, row * o, o, stripe.clone(), range);
                for mut part in
                    self.collect(&cut::subtrees(blocks, Reduction::OUTER_BLOCK * n, false, within), within, compute)?
                {
                    levels.push(self.sinks, &mut part);
                }
                levels.fold(self.sinks).map_or_else(|| self.states(n), Ok)?
            };
            for ((s, state), out) in self.sinks.iter().zip(&states).zip(outs) {
                let out = &mut out[at * n * s.result_size..(at + 1) * n * s.result_size];
                s.op.finish(&state.bytes()[..n * s.op.state_size()], o as u64, out);
            }
            Ok(())
        };
        let wide = w > width;
        if threads <= 1 && !wide {
            return (0..k).try_for_each(|row| one(row, 0..w, 1, row, outs));
        }
        // Tasks are pieces of a row of results, or many whole rows.
        let chunk = if wide { 1 } else { k.div_ceil(if k >= threads * 2 { threads * 4 } else { k }) };
        let tiles: Vec<(Range<usize>, Range<usize>)> = (0..k)
            .step_by(chunk)
            .flat_map(|row| (0..w).step_by(width).map(move |c| (row..(row + chunk).min(k), c..(c + width).min(w))))
            .collect();
        let pieces = self.cut(outs, tiles.iter().map(|(rows, columns)| rows.len() * columns.len()));
        let across = if tiles.len() >= threads * 2 { threads } else { 1 };
        let within = if across > 1 { 1 } else { threads };
        self.run.each(across, tiles.into_iter().zip(pieces), |((rows, columns), mut outs)| {
            rows.enumerate().try_for_each(|(at, row)| one(row, columns.clone(), within, at, &mut outs))
        })
    }

    /// The folded states of some row blocks of a stripe of columns.
    fn stripe(
        &self,
        split: usize,
        base: usize,
        o: usize,
        columns: Range<usize>,
        blocks: Range<usize>,
    ) -> Result<States> {
        let n = columns.len();
        let batch = (2 * TILE / n).clamp(4, Reduction::OUTER_BLOCK);
        let mut values = self.values(split, batch * n);
        let mut levels = Levels::default();
        let mut states = self.states(n)?;
        for block in blocks {
            let start = block * Reduction::OUTER_BLOCK;
            let end = (start + Reduction::OUTER_BLOCK).min(o);
            for (s, state) in self.sinks.iter().zip(&mut states) {
                s.op.identity(state.bytes_mut().unwrap_or_default());
            }
            if self.launch.accumulates() {
                let bytes = states.iter_mut().map(|b| b.bytes_mut().unwrap_or_default());
                let mut bytes: SmallVec<[&mut [u8]; 2]> = bytes.collect();
                self.launch.accumulate(split, base + start..base + end, columns.clone(), &mut bytes);
                self.run.advance((end - start) * n)?;
            } else {
                for row in (start..end).step_by(batch) {
                    let rows = batch.min(end - row);
                    values.each(base + row..base + row + rows, columns.clone(), |j, s, (data, pitch)| {
                        let states = states[j].bytes_mut().unwrap_or_default();
                        s.op.outer_apart(data, rows, pitch / s.dtype.size(), n, row as u64, states);
                    })?;
                }
            }
            if levels.push(self.sinks, &mut states) {
                states = self.states(n)?;
            }
        }
        levels.fold(self.sinks).map_or_else(|| self.states(n), Ok)
    }
}

/// A [`Tree`] of rows of states.
#[derive(Default)]
struct Levels {
    /// States at the set bits of `count`; at the others, memory for states to come.
    levels: SmallVec<[States; 8]>,
    count: u64,
}

fn combine(sinks: &[Sink<Reduction>], left: &mut States, right: &States) {
    for ((s, l), r) in sinks.iter().zip(left).zip(right) {
        s.op.combine(l.bytes_mut().unwrap_or_default(), r.bytes());
    }
}

impl Levels {
    /// Adds the states of a block, and leaves other memory in their place, unless it returns that there is none.
    fn push(&mut self, sinks: &[Sink<Reduction>], states: &mut States) -> bool {
        let level = self.count.trailing_ones() as usize;
        for left in &mut self.levels[..level] {
            combine(sinks, left, states);
            std::mem::swap(left, states);
        }
        self.count += 1;
        match self.levels.get_mut(level) {
            Some(place) => {
                std::mem::swap(place, states);
                false
            }
            None => {
                self.levels.push(std::mem::take(states));
                true
            }
        }
    }

    /// What all blocks come to, if there were any.
    fn fold(mut self, sinks: &[Sink<Reduction>]) -> Option<States> {
        let mut result: Option<States> = None;
        for (i, mut left) in self.levels.drain(..).enumerate() {
            if self.count >> i & 1 == 1 {
                if let Some(right) = &result {
                    combine(sinks, &mut left, right);
                }
                result = Some(left);
            }
        }
        result
    }
}

//! Rows whose states the kernel keeps in registers: states of blocks come out, and no element is stored.

use super::{Task, Words, cut};
use crate::error::Result;
use crate::exec::few;
use crate::plan::Sink;
use lazuli_jit::{Reduction, Tree};
use smallvec::SmallVec;
use std::ops::Range;

/// States that a kernel leaves at a time.
const FOLDED: usize = 512;

impl Task<'_> {
    /// Such rows, each of one result.
    pub(super) fn folded_rows(
        &self,
        split: usize,
        rows: Range<usize>,
        i: usize,
        threads: usize,
        outs: &mut [&mut [u8]],
    ) -> Result<()> {
        let block = self.launch.block();
        let blocks = i.div_ceil(block);
        if i > 0 && (blocks == 1 || (threads <= 1 && blocks <= FOLDED)) {
            let batch = (FOLDED / blocks).min(rows.len()).max(1);
            let mut states = BlockStates::new(self.sinks, batch * blocks);
            for start in rows.clone().step_by(batch) {
                let n = batch.min(rows.end - start);
                let at = start - rows.start;
                self.launch.fold(split, start..start + n, 0..i, &mut states.bytes());
                for ((s, states), out) in self.sinks.iter().zip(states.bytes()).zip(&mut *outs) {
                    let (size, out) = (s.op.state_size(), &mut out[at * s.result_size..(at + n) * s.result_size]);
                    if blocks == 1 {
                        s.op.finish(&states[..n * size], i as u64, out);
                        continue;
                    }
                    for (states, out) in states.chunks_exact_mut(blocks * size).zip(out.chunks_exact_mut(s.result_size))
                    {
                        s.op.total(states);
                        s.op.finish(&states[..size], i as u64, out);
                    }
                }
                self.run.advance(n * i)?;
            }
            return Ok(());
        }
        let (mut trees, mut partial) = (self.trees(), self.partial());
        if self.is_shared_evenly(i, threads) {
            for (at, row) in rows.enumerate() {
                let range = move |tiles, words: &mut Words| self.folded_range(split, row, i, tiles, words);
                self.evenly(i.div_ceil(self.tile), threads, range, &mut trees, &mut partial)?;
                self.fold(&mut trees, &mut partial);
                self.finish(&partial, at, i, outs);
            }
            return Ok(());
        }
        let most = FOLDED * block;
        let fresh = move || BlockStates::new(self.sinks, i.min(most).div_ceil(block));
        let mut states = fresh();
        for (at, row) in rows.enumerate() {
            let piece = move |states: &mut BlockStates<'_>, range: Range<usize>, trees: &mut [Tree]| {
                for start in range.clone().step_by(most) {
                    let end = (start + most).min(range.end);
                    self.launch.fold(split, row..row + 1, start..end, &mut states.bytes());
                    let blocks = (end - start).div_ceil(block);
                    for ((s, states), tree) in self.sinks.iter().zip(states.bytes()).zip(&mut *trees) {
                        let size = s.op.state_size();
                        for (height, blocks) in cut::whole_subtrees(0..blocks) {
                            let states = &mut states[blocks.start * size..blocks.end * size];
                            s.op.total(states);
                            s.op.push(height, states, tree);
                        }
                    }
                    self.run.advance(end - start)?;
                }
                Ok(())
            };
            self.pieces(i, threads, &mut states, fresh, piece, &mut trees, &mut partial)?;
            self.finish(&partial, at, i, outs);
        }
        Ok(())
    }

    /// Adds the states of the subtrees that a range of a row's tiles is, one after another, to a list: by one call of the kernel.
    fn folded_range(&self, split: usize, row: usize, i: usize, tiles: Range<usize>, words: &mut Words) -> Result<()> {
        let elements = (tiles.start * self.tile).min(i)..(tiles.end * self.tile).min(i);
        let block = self.launch.block();
        let blocks = elements.len().div_ceil(block);
        let mut states = BlockStates::new(self.sinks, blocks);
        self.launch.fold(split, row..row + 1, elements.clone(), &mut states.bytes());
        for (_, subtree) in cut::whole_subtrees(tiles.clone()) {
            let first = |tile: usize| ((tile - tiles.start) * (self.tile / block)).min(blocks);
            for (s, states) in self.sinks.iter().zip(states.bytes()) {
                let size = s.op.state_size();
                let states = &mut states[first(subtree.start) * size..first(subtree.end) * size];
                s.op.total(states);
                let at = words.len();
                words.resize(at + size.div_ceil(8), 0);
                bytemuck::cast_slice_mut::<u64, u8>(&mut words[at..])[..size].copy_from_slice(&states[..size]);
            }
        }
        self.run.advance(elements.len())
    }
}

/// Room for the states of so many blocks of each sink.
struct BlockStates<'t> {
    sinks: &'t [Sink<Reduction>],
    count: usize,
    words: Words,
}

impl<'t> BlockStates<'t> {
    fn new(sinks: &'t [Sink<Reduction>], count: usize) -> BlockStates<'t> {
        let words = sinks.iter().map(|s| (count * s.op.state_size()).div_ceil(8)).sum();
        BlockStates { sinks, count, words: SmallVec::from_elem(0, words) }
    }

    /// Those of each sink.
    fn bytes(&mut self) -> SmallVec<[&mut [u8]; 2]> {
        let mut rest = self.words.as_mut_slice();
        few(self.sinks.iter().map(|s| {
            let (states, others) = std::mem::take(&mut rest).split_at_mut((self.count * s.op.state_size()).div_ceil(8));
            rest = others;
            bytemuck::cast_slice_mut(states)
        }))
    }
}

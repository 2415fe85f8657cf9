//! Reductions: tiles of the kernel's values into scratch memory, scratch into partial states, states into results.
//!
//! The order of combination is fixed by the logical shape and the axes alone (`docs/decisions/0001-reductions.md`):
//!
//! | last axis | sequence of one result | within a block | between blocks |
//! |---|---|---|---|
//! | reduced | the trailing reduced axes in C order, cut into blocks of [`Reduction::block`] | virtual lanes, halved | binary tree |
//! | reduced, and others | the above for each index of the other reduced axes | one after another, 64 at a time | binary tree |
//! | kept | the reduced axes in C order, cut into blocks of 64 | one after another | binary tree |
//!
//! Threads take whole aligned subtrees, so their number does not show in the bits.

use crate::error::Result;
use crate::exec::Run;
use crate::plan::{Launchable, Sink};
use lazuli_graph::ReduceOp;
use lazuli_jit::{Launch, Reduction};
use lazuli_runtime::Buffer;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::Mutex;

/// Elements of a tile: a multiple of every block, and small enough for the first-level cache.
const TILE: usize = 2048;

/// A partial result: one buffer of states for each sink.
type States = SmallVec<[Buffer; 2]>;

/// One reduction step.
pub(crate) struct Task<'a> {
    pub run: &'a Run<'a>,
    pub launch: &'a Launch<'a>,
    pub launchable: &'a Launchable,
    pub sinks: &'a [Sink<Reduction>],
}

/// The scratch outputs of a kernel.
pub(crate) struct Scratch {
    buffers: SmallVec<[(Buffer, usize); 2]>,
}

impl Scratch {
    /// Scratch for `elements` elements of each output of the kernel.
    pub fn new(launchable: &Launchable, elements: usize) -> Result<Scratch> {
        let kernel = launchable.kernel.kernel();
        let outputs = kernel.operands.iter().filter(|o| o.role == lazuli_jit::Role::Output);
        let buffers = outputs.map(|o| Ok((Buffer::alloc(elements * o.dtype.size())?, o.dtype.size())));
        Ok(Scratch { buffers: buffers.collect::<Result<_>>()? })
    }

    /// Computes a rectangle into the scratch.
    pub fn fill(&mut self, launch: &Launch<'_>, split: usize, rows: Range<usize>, columns: Range<usize>) {
        let mut views: SmallVec<[&mut [u8]; 2]> =
            self.buffers.iter_mut().map(|(b, _)| b.bytes_mut().unwrap_or_default()).collect();
        launch.fill(split, rows, columns, &mut views);
    }

    /// `range` of scratch output `i`, in elements.
    pub fn get(&self, i: usize, range: Range<usize>) -> &[u8] {
        let (buffer, size) = &self.buffers[i];
        &buffer.bytes()[range.start * size..range.end * size]
    }
}

/// A binary counter of partial results: equal-sized neighbours are combined as soon as both are there.
struct Tree {
    stack: Vec<(u32, States)>,
}

impl Task<'_> {
    /// Runs the reduction. Loops `..kept` are kept, `kept..outer` reduced, the rest reduced or kept as `inner` says.
    pub fn run(&self, kept: usize, outer: usize, inner: bool, outs: &mut [&mut [u8]]) -> Result<()> {
        let extents = &self.launchable.extents;
        let product = |r: &[usize]| r.iter().product::<usize>();
        let (k, o, i) = (product(&extents[..kept]), product(&extents[kept..outer]), product(&extents[outer..]));
        let work = ((k * o * i) as u64).saturating_mul(self.launchable.kernel.weight().max(2) as u64);
        let threads = self.run.threads(work);
        if inner { self.rows(outer, k, o, i, threads, outs) } else { self.columns(outer, k, o, i, threads, outs) }
    }

    fn states(&self, n: usize) -> Result<States> {
        self.sinks
            .iter()
            .map(|s| {
                let mut buffer = Buffer::alloc(n * s.op.state_size())?;
                s.op.identity(buffer.bytes_mut().unwrap_or_default());
                Ok(buffer)
            })
            .collect()
    }

    /// `left = left (+) right`, element by element.
    fn combine(&self, left: &mut States, right: &States) {
        for ((s, l), r) in self.sinks.iter().zip(left).zip(right) {
            s.op.combine(l.bytes_mut().unwrap_or_default(), r.bytes());
        }
    }

    fn push(&self, tree: &mut Tree, mut level: u32, mut states: States) {
        while let Some((top, _)) = tree.stack.last()
            && *top == level
        {
            let (_, mut left) = tree.stack.pop().expect("the top was just looked at");
            self.combine(&mut left, &states);
            (level, states) = (level + 1, left);
        }
        tree.stack.push((level, states));
    }

    /// What the whole tree comes to; `n` identities if nothing was pushed.
    fn fold(&self, mut tree: Tree, n: usize) -> Result<States> {
        let Some((_, mut states)) = tree.stack.pop() else { return self.states(n) };
        while let Some((_, mut left)) = tree.stack.pop() {
            self.combine(&mut left, &states);
            states = left;
        }
        Ok(states)
    }

    /// Combines `count` blocks, `block(range)` giving the folded subtree of a range of blocks, in parallel if asked.
    fn subtrees(
        &self,
        count: usize,
        threads: usize,
        n: usize,
        block: impl Fn(Range<usize>) -> Result<States> + Sync + Send,
    ) -> Result<States> {
        let chunk = (count.div_ceil(threads * 4)).next_power_of_two();
        if threads <= 1 || chunk >= count {
            return block(0..count);
        }
        let ranges: Vec<Range<usize>> = (0..count).step_by(chunk).map(|a| a..(a + chunk).min(count)).collect();
        let results: Vec<Mutex<Option<States>>> = ranges.iter().map(|_| Mutex::new(None)).collect();
        self.run.each(threads, ranges.iter().cloned().enumerate().collect(), |(i, range)| {
            let states = block(range)?;
            *results[i].lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(states);
            Ok(())
        })?;
        let mut tree = Tree { stack: Vec::new() };
        for (range, result) in ranges.iter().zip(results) {
            let states = result.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
            let states = states.expect("every range was computed, or the error returned");
            if range.len() == chunk {
                self.push(&mut tree, 0, states);
            } else {
                // The last, smaller subtree joins only when the tree is folded.
                tree.stack.push((u32::MAX, states));
            }
        }
        self.fold(tree, n)
    }

    fn finish(&self, states: &States, n: usize, count: usize, outs: &mut [&mut [u8]]) {
        for ((s, state), out) in self.sinks.iter().zip(states).zip(outs) {
            s.op.finish(&state.bytes()[..n * s.op.state_size()], count as u64, &mut out[..n * s.result_size]);
        }
    }

    /// Cuts each output into pieces of these lengths (in elements).
    fn cut<'o>(
        &self,
        outs: &'o mut [&mut [u8]],
        lengths: impl Iterator<Item = usize>,
    ) -> Vec<SmallVec<[&'o mut [u8]; 2]>> {
        let mut rest: SmallVec<[&'o mut [u8]; 2]> = outs.iter_mut().map(|o| &mut **o).collect();
        lengths
            .map(|n| {
                let pieces = rest.iter_mut().zip(self.sinks);
                pieces
                    .map(|(r, s)| {
                        let (head, tail) = std::mem::take(r).split_at_mut(n * s.result_size);
                        *r = tail;
                        head
                    })
                    .collect()
            })
            .collect()
    }

    /// The last axis is reduced.
    fn rows(&self, split: usize, k: usize, o: usize, i: usize, threads: usize, outs: &mut [&mut [u8]]) -> Result<()> {
        if k == 0 {
            return Ok(());
        }
        if k == 1 || (k < threads * 2 && i * o >= 1 << 16) {
            // Few results: threads share each.
            let pieces = self.cut(outs, (0..k).map(|_| 1));
            for (row, mut piece) in pieces.into_iter().enumerate() {
                let states = self.row(split, row, o, i, threads)?;
                self.finish(&states, 1, o * i, &mut piece);
            }
            return Ok(());
        }
        let chunk = if threads <= 1 { k } else { k.div_ceil(threads * 4) };
        let starts: Vec<usize> = (0..k).step_by(chunk).collect();
        let pieces = self.cut(outs, starts.iter().map(|&s| chunk.min(k - s)));
        let tasks: Vec<_> = starts.into_iter().zip(pieces).collect();
        self.run.each(threads, tasks, |(start, mut out)| {
            let rows = start..(start + chunk).min(k);
            let smallest = self.sinks.iter().map(|s| s.op.block()).min().unwrap_or(TILE);
            if o == 1 && i <= smallest && i > 0 {
                self.short_rows(split, rows, i, &mut out)
            } else {
                let mut pieces = self.cut(&mut out, rows.clone().map(|_| 1));
                rows.zip(&mut pieces).try_for_each(|(row, piece)| {
                    let states = self.row(split, row, o, i, 1)?;
                    self.finish(&states, 1, o * i, piece);
                    Ok(())
                })
            }
        })
    }

    /// Rows of one block at most, many to a tile.
    fn short_rows(&self, split: usize, rows: Range<usize>, i: usize, outs: &mut [&mut [u8]]) -> Result<()> {
        let batch = (TILE / i).max(1);
        let mut scratch = Scratch::new(self.launchable, batch * i)?;
        let mut states = self.states(batch)?;
        let mut done = 0;
        for start in rows.clone().step_by(batch) {
            let n = batch.min(rows.end - start);
            scratch.fill(self.launch, split, start..start + n, 0..i);
            for ((s, state), out) in self.sinks.iter().zip(&mut states).zip(outs.iter_mut()) {
                let state = &mut state.bytes_mut().unwrap_or_default()[..n * s.op.state_size()];
                s.op.inner_rows(scratch.get(s.scratch, 0..n * i), n, i, 0, state);
                s.op.finish(state, i as u64, &mut out[done * s.result_size..(done + n) * s.result_size]);
            }
            done += n;
            self.run.advance(n * i)?;
        }
        Ok(())
    }

    /// The state of one result: over all `o` rows of `i` elements that belong to it.
    fn row(&self, split: usize, row: usize, o: usize, i: usize, threads: usize) -> Result<States> {
        if o == 1 {
            return self.sequence(split, row, 0, i, threads);
        }
        let blocks = o.div_ceil(Reduction::OUTER_BLOCK);
        let across = if blocks >= threads * 2 { threads } else { 1 };
        let within = if across > 1 { 1 } else { threads };
        // Runs of one block at most are read many at a time. Positions differ from run to run, so not for arg ops.
        let short = i > 0
            && i * Reduction::OUTER_BLOCK <= 8 * TILE
            && self
                .sinks
                .iter()
                .all(|s| i <= s.op.block() && !matches!(s.op.op(), ReduceOp::Argmin | ReduceOp::Argmax));
        self.subtrees(blocks, across, 1, |range| {
            let mut tree = Tree { stack: Vec::new() };
            let mut batch = if short {
                let rows = Reduction::OUTER_BLOCK;
                Some((Scratch::new(self.launchable, rows * i)?, self.states(rows)?))
            } else {
                None
            };
            for block in range {
                let start = block * Reduction::OUTER_BLOCK;
                let end = (start + Reduction::OUTER_BLOCK).min(o);
                let mut states = self.states(1)?;
                if let Some((scratch, each)) = &mut batch {
                    let n = end - start;
                    scratch.fill(self.launch, split, row * o + start..row * o + end, 0..i);
                    for ((s, state), each) in self.sinks.iter().zip(&mut states).zip(each.iter_mut()) {
                        let size = s.op.state_size();
                        let each = &mut each.bytes_mut().unwrap_or_default()[..n * size];
                        s.op.inner_rows(scratch.get(s.scratch, 0..n * i), n, i, 0, each);
                        let state = state.bytes_mut().unwrap_or_default();
                        each.chunks(size).for_each(|next| s.op.combine(state, next));
                    }
                    self.run.advance(n * i)?;
                } else {
                    for at in start..end {
                        let next = self.sequence(split, row * o + at, at * i, i, within)?;
                        self.combine(&mut states, &next);
                    }
                }
                self.push(&mut tree, 0, states);
            }
            self.fold(tree, 1)
        })
    }

    /// The state of one run of `i` elements, the first of which has position `first`.
    fn sequence(&self, split: usize, row: usize, first: usize, i: usize, threads: usize) -> Result<States> {
        // Tiles hold a power of two of blocks, so a tile's own tree is a subtree.
        let tiles = i.div_ceil(TILE);
        self.subtrees(tiles, threads, 1, |range| {
            let mut scratch = Scratch::new(self.launchable, TILE.min(i))?;
            let blocks = self.sinks.iter().map(|s| Ok(Buffer::alloc(TILE.div_ceil(s.op.block()) * s.op.state_size())?));
            let mut work = blocks.collect::<Result<States>>()?;
            let mut tree = Tree { stack: Vec::new() };
            for tile in range {
                let start = tile * TILE;
                let n = TILE.min(i - start);
                scratch.fill(self.launch, split, row..row + 1, start..start + n);
                let states: Result<States> = self
                    .sinks
                    .iter()
                    .zip(&mut work)
                    .map(|(s, work)| self.tile(s, scratch.get(s.scratch, 0..n), n, (first + start) as u64, work))
                    .collect();
                if n == TILE {
                    self.push(&mut tree, 0, states?);
                } else {
                    tree.stack.push((u32::MAX, states?));
                }
                self.run.advance(n)?;
            }
            self.fold(tree, 1)
        })
    }

    /// The state of one tile of one sink; `work` has room for the states of its blocks.
    fn tile(&self, sink: &Sink<Reduction>, data: &[u8], n: usize, first: u64, work: &mut Buffer) -> Result<Buffer> {
        let (block, size) = (sink.op.block(), sink.op.state_size());
        let count = n.div_ceil(block);
        let element = sink.dtype.size();
        let bytes = work.bytes_mut().unwrap_or_default();
        for b in 0..count {
            let range = b * block..((b + 1) * block).min(n);
            let data = &data[range.start * element..range.end * element];
            sink.op.inner(data, first + range.start as u64, &mut bytes[b * size..(b + 1) * size]);
        }
        // The tree over the blocks: neighbours at distance 1, 2, 4, …
        let mut step = 1;
        while step < count {
            for left in (0..count - step).step_by(2 * step) {
                let (head, tail) = bytes.split_at_mut((left + step) * size);
                sink.op.combine(&mut head[left * size..(left + 1) * size], &tail[..size]);
            }
            step *= 2;
        }
        let mut state = Buffer::alloc(size)?;
        state.bytes_mut().unwrap_or_default().copy_from_slice(&bytes[..size]);
        Ok(state)
    }

    /// The last axis is kept.
    fn columns(
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
            w.min(1024)
        } else {
            w.div_ceil(threads * 4).next_multiple_of(64).min(1024).min(w)
        };
        if width == w {
            // Whole rows of results: as many of them a task as there are threads for.
            let across = if k >= threads * 2 { threads } else { 1 };
            let within = if across > 1 { 1 } else { threads };
            let chunk = if across <= 1 { k } else { k.div_ceil(across * 4) };
            let starts: Vec<usize> = (0..k).step_by(chunk).collect();
            let pieces = self.cut(outs, starts.iter().map(|&s| chunk.min(k - s) * w));
            return self.run.each(across, starts.into_iter().zip(pieces).collect(), |(start, mut out)| {
                for row in start..(start + chunk).min(k) {
                    let states =
                        self.subtrees(blocks, within, w, |range| self.stripe(split, row * o, o, 0..w, range))?;
                    for ((s, state), out) in self.sinks.iter().zip(&states).zip(out.iter_mut()) {
                        let at = (row - start) * w * s.result_size;
                        s.op.finish(
                            &state.bytes()[..w * s.op.state_size()],
                            o as u64,
                            &mut out[at..at + w * s.result_size],
                        );
                    }
                }
                Ok(())
            });
        }
        let tiles: Vec<(usize, Range<usize>)> =
            (0..k).flat_map(|row| (0..w).step_by(width).map(move |c| (row, c..(c + width).min(w)))).collect();
        let pieces = self.cut(outs, tiles.iter().map(|(_, c)| c.len()));
        let across = if tiles.len() >= threads * 2 { threads } else { 1 };
        let within = if across > 1 { 1 } else { threads };
        self.run.each(across, tiles.into_iter().zip(pieces).collect(), |((row, columns), mut out)| {
            let n = columns.len();
            let states =
                self.subtrees(blocks, within, n, |range| self.stripe(split, row * o, o, columns.clone(), range))?;
            self.finish(&states, n, o, &mut out);
            Ok(())
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
        let batch = (2 * TILE / n).clamp(1, Reduction::OUTER_BLOCK);
        let mut scratch = Scratch::new(self.launchable, batch * n)?;
        let mut tree = Tree { stack: Vec::new() };
        for block in blocks {
            let start = block * Reduction::OUTER_BLOCK;
            let end = (start + Reduction::OUTER_BLOCK).min(o);
            let mut states = self.states(n)?;
            for row in (start..end).step_by(batch) {
                let rows = batch.min(end - row);
                scratch.fill(self.launch, split, base + row..base + row + rows, columns.clone());
                for (s, state) in self.sinks.iter().zip(&mut states) {
                    let data = scratch.get(s.scratch, 0..rows * n);
                    s.op.outer(data, rows, n, row as u64, state.bytes_mut().unwrap_or_default());
                }
                self.run.advance(rows * n)?;
            }
            self.push(&mut tree, 0, states);
        }
        self.fold(tree, n)
    }
}

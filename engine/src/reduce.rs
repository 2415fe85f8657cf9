//! Reductions: tiles of the kernel's values into scratch memory, scratch into partial states, states into results. Where
//! the kernel only loads, states are made of its input's memory, without scratch; where it keeps states in registers, it
//! gives those.
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

use crate::cost;
use crate::error::Result;
use crate::exec::{Run, Supply};
use crate::plan::{Launchable, Sink};
use lazuli_graph::ReduceOp;
use lazuli_jit::{Launch, Reduction, Role, Tree};
use lazuli_runtime::{Buffer, cpu};
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

mod columns;
mod cut;
mod folded;

/// The least elements of a tile: a multiple of every block (of exact sums, whose blocks do not matter, none).
const TILE: usize = 2048;
/// Elements that are read where they lie between two looks at the cancel token.
const STRETCH: usize = 1 << 18;

/// Words for states; a short sequence has few.
type Words = SmallVec<[u64; 8]>;

/// The bytes of a tile of scratch: half of the first-level cache, in which what the kernel reads passes through too.
static SCRATCH: LazyLock<usize> = LazyLock::new(|| cpu::caches().l1 / 2);

/// Partial results for a row of them: one buffer of states for each sink.
type States = SmallVec<[Buffer; 2]>;

/// Partial results for one: the words of one state for each sink.
type Partial = SmallVec<[SmallVec<[u64; 2]>; 2]>;

/// One reduction step.
pub(crate) struct Task<'a> {
    run: &'a Run<'a>,
    launch: &'a Launch<'a>,
    launchable: &'a Launchable,
    sinks: &'a [Sink<Reduction>],
    /// For each scratch output of the kernel, the input that it is a copy of, if all are.
    copied: Option<&'a [usize]>,
    /// Elements of a tile.
    tile: usize,
}

/// The scratch outputs of a kernel.
pub(crate) struct Scratch {
    buffers: SmallVec<[(Buffer, usize); 2]>,
}

impl Scratch {
    /// Scratch for `elements` elements of each output of the kernel.
    pub fn new(launchable: &Launchable, elements: usize) -> Result<Scratch> {
        let kernel = launchable.kernel.kernel();
        let outputs = kernel.operands.iter().filter(|o| o.role == Role::Output);
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

/// The values of a kernel over rectangles: in its input's memory, or computed into scratch.
struct Values<'t> {
    task: &'t Task<'t>,
    split: usize,
    /// Room for a rectangle, made when the first is computed.
    scratch: Option<Scratch>,
    most: usize,
}

/// What a rectangle holds for one sink: elements, and how many bytes apart its rows begin.
type Rectangle<'v> = (&'v [u8], usize);

impl Values<'_> {
    /// Calls `f` for each sink with the values of a rectangle of at most `self.most` elements.
    fn each(
        &mut self,
        rows: Range<usize>,
        columns: Range<usize>,
        mut f: impl FnMut(usize, &Sink<Reduction>, Rectangle<'_>),
    ) -> Result<()> {
        let task = self.task;
        let look = |&operand: &usize| task.launch.rectangle(operand, self.split, rows.clone(), columns.clone());
        let seen: Option<SmallVec<[_; 2]>> = task.copied.and_then(|c| c.iter().map(look).collect());
        let count = rows.len() * columns.len();
        if let Some(seen) = seen {
            for (i, sink) in task.sinks.iter().enumerate() {
                f(i, sink, seen[sink.scratch]);
            }
        } else {
            let scratch = match &mut self.scratch {
                Some(scratch) => scratch,
                none => none.insert(Scratch::new(task.launchable, self.most)?),
            };
            let width = columns.len();
            scratch.fill(task.launch, self.split, rows, columns);
            for (i, sink) in task.sinks.iter().enumerate() {
                f(i, sink, (scratch.get(sink.scratch, 0..count), width * sink.dtype.size()));
            }
        }
        task.run.advance(count)
    }
}

impl<'a> Task<'a> {
    pub fn new(
        run: &'a Run<'a>,
        launch: &'a mut Launch<'_>,
        launchable: &'a Launchable,
        sinks: &'a [Sink<Reduction>],
    ) -> Task<'a> {
        let kernel = launchable.kernel.kernel();
        let outputs = kernel.operands.iter().filter(|o| o.role == Role::Output);
        let copied = launchable.copied.as_deref();
        let element: usize = outputs.map(|o| o.dtype.size()).sum();
        let room = *SCRATCH / element.max(1);
        let tile = TILE.max((room / 2 + 1).next_power_of_two());
        if launchable.far {
            launch.ahead();
        }
        Task { run, launch, launchable, sinks, copied, tile }
    }

    /// Runs the reduction. Loops `..kept` are kept, `kept..outer` reduced, the rest reduced or kept as `inner` says.
    pub fn run(&self, kept: usize, outer: usize, inner: bool, outs: &mut [&mut [u8]]) -> Result<()> {
        let extents = &self.launchable.extents;
        let product = |r: &[usize]| r.iter().product::<usize>();
        let (k, o, i) = (product(&extents[..kept]), product(&extents[kept..outer]), product(&extents[outer..]));
        let threads = self.run.threads(self.launchable.work());
        if inner { self.rows(outer, k, o, i, threads, outs) } else { self.columns(outer, k, o, i, threads, outs) }
    }

    fn values(&self, split: usize, most: usize) -> Values<'_> {
        Values { task: self, split, scratch: None, most }
    }

    /// Elements that are looked at together in a sequence: more, where they are read in place.
    fn stretch(&self, split: usize, row: usize, i: usize) -> usize {
        let in_place = i > self.tile
            && self.copied.is_some_and(|c| {
                c.iter().all(|&operand| self.launch.rectangle(operand, split, row..row + 1, 0..i).is_some())
            });
        if in_place { STRETCH } else { self.tile }
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

    /// Computes something for each range, on several threads.
    fn collect<T: Send>(
        &self,
        ranges: &[Range<usize>],
        threads: usize,
        compute: impl Fn(Range<usize>) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let results: Vec<Mutex<Option<T>>> = ranges.iter().map(|_| Mutex::new(None)).collect();
        self.run.each(threads, ranges.iter().cloned().zip(&results), move |(range, result)| {
            let value = compute(range)?;
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        })?;
        let results = results.into_iter().map(|r| r.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(results.map(|r| r.expect("every range was computed, or the error returned")).collect())
    }

    // The last axis is reduced: one state for each result.

    fn partial(&self) -> Partial {
        self.sinks.iter().map(|s| SmallVec::from_elem(0, s.op.state_size().div_ceil(8))).collect()
    }

    fn trees(&self) -> SmallVec<[Tree; 2]> {
        self.sinks.iter().map(|_| Tree::new()).collect()
    }

    fn fold(&self, trees: &mut [Tree], partial: &mut Partial) {
        for ((s, tree), state) in self.sinks.iter().zip(trees).zip(partial) {
            s.op.fold(tree, bytemuck::cast_slice_mut(state));
        }
    }

    fn push(&self, height: u32, trees: &mut [Tree], partial: &mut Partial) {
        for ((s, tree), state) in self.sinks.iter().zip(trees).zip(partial) {
            s.op.push(height, bytemuck::cast_slice_mut(state), tree);
        }
    }

    /// Writes result `at`, which `count` elements went into.
    fn finish(&self, partial: &Partial, at: usize, count: usize, outs: &mut [&mut [u8]]) {
        for ((s, state), out) in self.sinks.iter().zip(partial).zip(outs) {
            let state = &bytemuck::cast_slice::<u64, u8>(state)[..s.op.state_size()];
            s.op.finish(state, count as u64, &mut out[at * s.result_size..(at + 1) * s.result_size]);
        }
    }

    fn rows(&self, split: usize, k: usize, o: usize, i: usize, threads: usize, outs: &mut [&mut [u8]]) -> Result<()> {
        if threads <= 1 || k <= 1 || (k < threads * 2 && i * o >= 1 << 16) {
            // One thread, or few results: threads share each.
            return self.some_rows(split, 0..k, o, i, threads, outs);
        }
        let chunk = k.div_ceil(cost::parts(self.launchable.work(), threads, self.run.watched()));
        let starts: Vec<usize> = (0..k).step_by(chunk).collect();
        let pieces = self.cut(outs, starts.iter().map(|&s| chunk.min(k - s)));
        let tasks: Vec<_> = starts.into_iter().zip(pieces).collect();
        self.run.each(threads, tasks, |(start, mut outs)| {
            self.some_rows(split, start..(start + chunk).min(k), o, i, 1, &mut outs)
        })
    }

    /// Results `rows`, to the beginning of `outs`.
    fn some_rows(
        &self,
        split: usize,
        rows: Range<usize>,
        o: usize,
        i: usize,
        threads: usize,
        outs: &mut [&mut [u8]],
    ) -> Result<()> {
        if self.launch.folds() {
            return self.folded_rows(split, rows, i, threads, outs);
        }
        let smallest = self.sinks.iter().map(|s| s.op.block()).min().unwrap_or(TILE);
        if o == 1 && i <= smallest && i > 0 && rows.len() > 1 {
            return self.short_rows(split, rows, i, outs);
        }
        let stretch = self.stretch(split, rows.start.min(rows.end.saturating_sub(1)), i);
        let mut values = self.values(split, stretch.min(i).max(1));
        let (mut trees, mut partial) = (self.trees(), self.partial());
        for (at, row) in rows.enumerate() {
            if o == 1 {
                self.sequence(&mut values, row, 0, i, threads, &mut trees, &mut partial)?;
            } else {
                self.runs(split, row, o, i, threads, &mut partial)?;
            }
            self.finish(&partial, at, o * i, outs);
        }
        Ok(())
    }

    /// Whether threads have each as many tiles of a sequence of `i` elements, of however many subtrees: it is short, and not one
    /// tile.
    fn is_shared_evenly(&self, i: usize, threads: usize) -> bool {
        let work = self.launchable.work() / self.launch.elements().max(1) as u64 * i as u64;
        threads > 1 && i > self.tile && cost::short(work, threads)
    }

    /// Adds the states of a sequence of so many tiles to trees: `compute` adds those of the subtrees of a range, one after another, to a list.
    fn evenly(
        &self,
        tiles: usize,
        threads: usize,
        compute: impl Fn(Range<usize>, &mut Words) -> Result<()> + Sync,
        trees: &mut [Tree],
        partial: &mut Partial,
    ) -> Result<()> {
        let threads = threads.min(tiles);
        let found = (0..threads).map(|_| OnceLock::new()).collect();
        let ranges = Ranges { tiles, next: AtomicUsize::new(0), found, compute };
        for (n, words) in self.run.share(threads, ranges)?.found.iter().enumerate() {
            let words = words.get().expect("every range was computed, or the error returned");
            self.add_subtrees(cut::share(tiles, threads, n), words, trees, partial);
        }
        Ok(())
    }

    /// Adds the states of a range of a sequence to trees: those of its subtrees, one after another.
    fn add_subtrees(&self, range: Range<usize>, mut words: &[u64], trees: &mut [Tree], partial: &mut Partial) {
        for (height, _) in cut::whole_subtrees(range) {
            for state in &mut *partial {
                let (next, rest) = words.split_at(state.len());
                state.copy_from_slice(next);
                words = rest;
            }
            self.push(height, trees, partial);
        }
    }

    /// Rows of one block at most, many to a tile.
    fn short_rows(&self, split: usize, rows: Range<usize>, i: usize, outs: &mut [&mut [u8]]) -> Result<()> {
        let batch = (self.tile / i).max(1);
        let mut values = self.values(split, batch * i);
        let mut states = self.states(batch)?;
        for start in rows.clone().step_by(batch) {
            let n = batch.min(rows.end - start);
            let at = start - rows.start;
            values.each(start..start + n, 0..i, |j, s, (data, pitch)| {
                let state = &mut states[j].bytes_mut().unwrap_or_default()[..n * s.op.state_size()];
                inner_rows(s, data, pitch, n, i, state);
                s.op.finish(state, i as u64, &mut outs[j][at * s.result_size..(at + n) * s.result_size]);
            })?;
        }
        Ok(())
    }

    /// The state of one run of `i` elements, the first of which has position `first`.
    #[allow(clippy::too_many_arguments)]
    fn sequence<'t>(
        &'t self,
        values: &mut Values<'t>,
        row: usize,
        first: usize,
        i: usize,
        threads: usize,
        trees: &mut [Tree],
        partial: &mut Partial,
    ) -> Result<()> {
        let (split, most) = (values.split, values.most);
        let piece = move |values: &mut Values<'_>, range: Range<usize>, trees: &mut [Tree]| {
            for start in range.clone().step_by(most) {
                let end = (start + most).min(range.end);
                values.each(row..row + 1, start..end, |j, s, (data, _)| {
                    s.op.blocks(data, (first + start) as u64, &mut trees[j]);
                })?;
            }
            Ok(())
        };
        self.pieces(i, threads, values, move || self.values(split, most), piece, trees, partial)
    }

    /// The state of `i` elements: `piece` adds those of a range to trees, on several threads where that pays, each with
    /// what `fresh` makes for it.
    #[allow(clippy::too_many_arguments)]
    fn pieces<S>(
        &self,
        i: usize,
        threads: usize,
        own: &mut S,
        fresh: impl Fn() -> S + Sync,
        piece: impl Fn(&mut S, Range<usize>, &mut [Tree]) -> Result<()> + Sync + Copy,
        trees: &mut [Tree],
        partial: &mut Partial,
    ) -> Result<()> {
        // Tiles hold a power of two of blocks, so whole tiles make whole subtrees.
        let tiles = i.div_ceil(self.tile);
        let part = move |range: Range<usize>, words: &mut Words| {
            let (mut own, mut trees, mut partial) = (fresh(), self.trees(), self.partial());
            for (_, tiles) in cut::whole_subtrees(range) {
                piece(&mut own, tiles.start * self.tile..(tiles.end * self.tile).min(i), &mut trees)?;
                self.fold(&mut trees, &mut partial);
                partial.iter().for_each(|state| words.extend_from_slice(state));
            }
            Ok(())
        };
        if self.is_shared_evenly(i, threads) {
            self.evenly(tiles, threads, part, trees, partial)?;
        } else {
            let ranges = if threads <= 1 { Vec::new() } else { cut::subtrees(tiles, self.tile, true, threads) };
            if ranges.len() <= 1 {
                piece(own, 0..i, trees)?;
            } else {
                let words = |range| {
                    let mut words = Words::new();
                    part(range, &mut words).map(|()| words)
                };
                let parts = self.collect(&ranges, threads, words)?;
                ranges.into_iter().zip(parts).for_each(|(r, words)| self.add_subtrees(r, &words, trees, partial));
            }
        }
        self.fold(trees, partial);
        Ok(())
    }

    /// The state of one result over all `o` runs of `i` elements that belong to it.
    fn runs(&self, split: usize, row: usize, o: usize, i: usize, threads: usize, partial: &mut Partial) -> Result<()> {
        let blocks = o.div_ceil(Reduction::OUTER_BLOCK);
        let across = if blocks >= threads * 2 { threads } else { 1 };
        let within = if across > 1 { 1 } else { threads };
        let parts = self.collect(
            &cut::subtrees(blocks, Reduction::OUTER_BLOCK.saturating_mul(i), true, across),
            across,
            |range| {
                let (mut trees, mut partial) = (self.trees(), self.partial());
                for block in range {
                    let start = block * Reduction::OUTER_BLOCK;
                    let end = (start + Reduction::OUTER_BLOCK).min(o);
                    self.run_block(split, row * o, start..end, i, within, &mut partial)?;
                    self.push(0, &mut trees, &mut partial);
                }
                self.fold(&mut trees, &mut partial);
                Ok(partial)
            },
        )?;
        let mut trees = self.trees();
        parts.into_iter().for_each(|mut part| self.push(0, &mut trees, &mut part));
        self.fold(&mut trees, partial);
        Ok(())
    }

    /// The state of a block of runs, one after another; the first of all runs is row `base`.
    fn run_block(
        &self,
        split: usize,
        base: usize,
        runs: Range<usize>,
        i: usize,
        threads: usize,
        partial: &mut Partial,
    ) -> Result<()> {
        for (s, state) in self.sinks.iter().zip(&mut *partial) {
            s.op.identity(&mut bytemuck::cast_slice_mut::<u64, u8>(state)[..s.op.state_size()]);
        }
        // Runs of one block at most are read many at a time. Positions differ from run to run, so not for arg ops.
        let short = i > 0
            && i * Reduction::OUTER_BLOCK <= 8 * TILE
            && self
                .sinks
                .iter()
                .all(|s| i <= s.op.block() && !matches!(s.op.op(), ReduceOp::Argmin | ReduceOp::Argmax));
        if short {
            let n = runs.len();
            let mut each = self.states(n)?;
            let mut values = self.values(split, n * i);
            return values.each(base + runs.start..base + runs.end, 0..i, |j, s, (data, pitch)| {
                let size = s.op.state_size();
                let each = each[j].bytes_mut().unwrap_or_default();
                inner_rows(s, data, pitch, n, i, each);
                let state = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut partial[j])[..size];
                each.chunks(size).for_each(|next| s.op.combine(state, next));
            });
        }
        let mut values = self.values(split, self.stretch(split, base, i).min(i).max(1));
        let (mut trees, mut next) = (self.trees(), self.partial());
        for at in runs {
            self.sequence(&mut values, base + at, at * i, i, threads, &mut trees, &mut next)?;
            for ((s, state), next) in self.sinks.iter().zip(&mut *partial).zip(&next) {
                let size = s.op.state_size();
                let state = &mut bytemuck::cast_slice_mut::<u64, u8>(state)[..size];
                s.op.combine(state, &bytemuck::cast_slice::<u64, u8>(next)[..size]);
            }
        }
        Ok(())
    }
}

/// Ranges that share the tiles of a sequence out evenly. It has room for what is found of each, the states of its subtrees one
/// after another, so that one piece of memory goes to another core and comes back.
struct Ranges<F> {
    tiles: usize,
    next: AtomicUsize,
    found: SmallVec<[OnceLock<Words>; 2]>,
    compute: F,
}

impl<F: Fn(Range<usize>, &mut Words) -> Result<()> + Sync> Supply for Ranges<F> {
    fn next(&self, _: bool) -> Option<(bool, Result<()>)> {
        // Only the ranges are shared out here: who joins the threads orders what they read and write.
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        let (ranges, found) = (self.found.len(), self.found.get(n)?);
        let mut words = Words::new();
        let outcome = (self.compute)(cut::share(self.tiles, ranges, n), &mut words);
        let _ = found.set(words);
        Some((n + 1 == ranges, outcome))
    }
}

/// States of short rows, which need not follow one another.
fn inner_rows(sink: &Sink<Reduction>, data: &[u8], pitch: usize, n: usize, k: usize, states: &mut [u8]) {
    let size = sink.dtype.size();
    if n == 1 || pitch == k * size {
        return sink.op.inner_rows(data, n, k, 0, states);
    }
    for (r, state) in states.chunks_exact_mut(sink.op.state_size()).take(n).enumerate() {
        sink.op.inner_rows(&data[r * pitch..], 1, k, 0, state);
    }
}

//! Running the stages over some of the rows.

use super::{Bytes, RowLayout, Rows, Sink, Stage, TILE, address, block};
use crate::launch::Launch;
use crate::reduce::Reduction;
use lazuli_graph::ReduceOp;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Rows that one thread takes through all stages.
pub struct RowPart<'l> {
    pub(super) rows: &'l Rows<'l>,
    pub(super) range: Range<usize>,
}

impl RowPart<'_> {
    /// Runs the stages; `done` is told after each chunk how many rows it had, and stops the run by an error.
    ///
    /// # Errors
    /// What `done` returns.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`Rows::scratch`] says, or not aligned to 64 bytes.
    pub fn run<E>(self, scratch: &mut [u8], mut done: impl FnMut(usize) -> Result<(), E>) -> Result<(), E> {
        let all = self.rows;
        let RowLayout { places, stages, .. } = all.layout;
        let scratch = address(scratch, all.scratch());
        // Own copies, whose scratch operands follow the rows.
        let mut launches: SmallVec<[Launch<'_>; 6]> = SmallVec::new();
        for l in &all.launches {
            // A copy of memory; a clone would go base by base.
            let bases = SmallVec::from_slice(&l.bases);
            launches.push(Launch { code: l.code, layout: l.layout, bases, far: l.far, memory: PhantomData });
        }
        for rows in all.layout.chunks(self.range) {
            for (stage, launch) in stages.iter().zip(&mut launches) {
                for &(operand, m) in &stage.accessed {
                    if let (Bytes::Scratch(place), Some(row)) = (all.memories[m], places[m].row()) {
                        launch.bases[operand] = (scratch + place as u64)
                            .wrapping_add(stage.accesses.operands[operand].offset as u64)
                            .wrapping_sub((rows.start * row) as u64);
                    }
                }
                if stage.sinks.is_empty() {
                    // SAFETY: `look_at` checked that rows `rows` of every operand lie in its memory, or, of a temporary,
                    // in the part of scratch that holds the rows of this chunk; parts have disjoint rows and run once.
                    unsafe { launch.flat(rows.start * stage.width..rows.end * stage.width, &[]) };
                } else {
                    // SAFETY: as above; `scratch` has room for the tiles and states of each stage.
                    unsafe { reduce(all, stage, launch, rows.clone(), scratch) };
                }
            }
            if let Err(error) = done(rows.len()) {
                launches.iter().for_each(Launch::written);
                return Err(error);
            }
        }
        launches.iter().for_each(Launch::written);
        Ok(())
    }
}

/// The bytes at an address.
///
/// # Safety
/// They are initialised, and nobody writes them while the slice lives.
unsafe fn at<'a>(address: u64, len: usize) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(address as *const u8, len) }
}

/// The bytes at an address, to write.
///
/// # Safety
/// They are initialised, and nobody else uses them while the slice lives.
unsafe fn at_mut<'a>(address: u64, len: usize) -> &'a mut [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(address as *mut u8, len) }
}

/// Reduces rows `rows` of a stage.
///
/// # Safety
/// The operands of `launch` hold these rows, whose results nobody else uses; `scratch` is the address of scratch memory
/// of the size that `all` asks for, which nobody else uses.
unsafe fn reduce(all: &Rows<'_>, stage: &Stage, launch: &Launch<'_>, rows: Range<usize>, scratch: u64) {
    if launch.folds() {
        // SAFETY: the caller's promise.
        return unsafe { fold(all, stage, launch, rows, scratch) };
    }
    let width = stage.width;
    let batch = (TILE / width).max(1);
    let direct = stage.sinks.iter().all(|s| s.copied.is_some_and(|operand| aligned(launch, operand)));
    let tiles = |done: usize| -> SmallVec<[(usize, u64, isize); 4]> {
        stage
            .tiles
            .iter()
            .map(|&(i, place, size)| (i, scratch + place as u64 + (done * size) as u64, size as isize))
            .collect()
    };
    for first in rows.clone().step_by(batch) {
        let n = batch.min(rows.end - first);
        if !direct && width <= TILE {
            // SAFETY: the rows are the caller's; tiles hold `batch` rows.
            unsafe { launch.flat(first * width..(first + n) * width, &tiles(0)) };
        }
        for sink in &stage.sinks {
            let reduction = &sink.sink.reduction;
            let (size, state) = (reduction.dtype().size(), reduction.state_size());
            let per = block(reduction);
            let blocks = width.div_ceil(per);
            // SAFETY: `look_at` made room for that many states; only this thread uses its scratch.
            let states = unsafe { at_mut(scratch + sink.states as u64, state * blocks.max(n)) };
            if direct {
                // One row after another, or all at once where they lie one after another.
                let operand = sink.copied.unwrap_or_default();
                let address = |row: usize| launch.address(operand, row * width);
                let base = address(first);
                let dense = n == 1 || address(first + n - 1) == base + ((n - 1) * width * size) as u64;
                if width <= per && dense {
                    // SAFETY: the elements of these rows lie side by side inside the operand's memory.
                    let data = unsafe { at(base, n * width * size) };
                    reduction.inner_rows(data, n, width, 0, &mut states[..n * state]);
                } else {
                    for row in 0..n {
                        // SAFETY: as above, for one row.
                        let data = unsafe { at(address(first + row), width * size) };
                        if width <= per {
                            reduction.inner(data, 0, &mut states[row * state..(row + 1) * state]);
                        } else {
                            // Here `n` is 1 or the row is longer than a block: a result at a time.
                            blockwise(reduction, data, 0, &mut states[..blocks * state]);
                            reduction.total(&mut states[..blocks * state]);
                            // SAFETY: the result of a row of this part.
                            unsafe { finish(all, sink, first + row, 1, width, &states[..state], scratch) };
                        }
                    }
                }
            } else if width <= TILE {
                let place = stage.tiles[sink.sink.tile].1;
                // SAFETY: the kernel has just filled the tile.
                let data = unsafe { at(scratch + place as u64, n * width * size) };
                if width <= per {
                    reduction.inner_rows(data, n, width, 0, &mut states[..n * state]);
                } else {
                    for row in 0..n {
                        let data = &data[row * width * size..(row + 1) * width * size];
                        blockwise(reduction, data, 0, &mut states[..blocks * state]);
                        reduction.total(&mut states[..blocks * state]);
                        // SAFETY: the result of a row of this part.
                        unsafe { finish(all, sink, first + row, 1, width, &states[..state], scratch) };
                    }
                }
            } else {
                continue;
            }
            if width <= per {
                // SAFETY: the results of rows of this part.
                unsafe { finish(all, sink, first, n, width, &states[..n * state], scratch) };
            }
        }
        if !direct && width > TILE {
            // One long row, tile after tile.
            // SAFETY: as above.
            unsafe { long_row(all, stage, launch, first, scratch) };
        }
    }
}

/// [`reduce`] by code that keeps states in registers: no element is stored.
///
/// # Safety
/// As for [`reduce`].
unsafe fn fold(all: &Rows<'_>, stage: &Stage, launch: &Launch<'_>, rows: Range<usize>, scratch: u64) {
    let (width, n) = (stage.width, rows.len());
    let blocks = width.div_ceil(launch.block());
    let by_tile = |tile: usize| stage.sinks.iter().filter(move |s| s.sink.tile == tile);
    let sinks: SmallVec<[&Sink; 2]> = (0..stage.tiles.len()).flat_map(by_tile).collect();
    // SAFETY: `look_at` made room for the states of the blocks of a chunk of rows, apart for each sink; only this thread uses
    // its scratch.
    let room = |s: &&Sink| unsafe { at_mut(scratch + s.states as u64, s.sink.reduction.state_size() * n * blocks) };
    let mut states: SmallVec<[&mut [u8]; 2]> = sinks.iter().map(room).collect();
    launch.fold(launch.layout.extents.len() - 1, rows.clone(), 0..width, &mut states);
    for (sink, states) in sinks.into_iter().zip(states) {
        let reduction = &sink.sink.reduction;
        let size = reduction.state_size();
        if blocks > 1 {
            for row in 0..n {
                let first = row * blocks * size;
                reduction.total(&mut states[first..first + blocks * size]);
                states.copy_within(first..first + size, row * size);
            }
        }
        // SAFETY: the results of rows of this part.
        unsafe { finish(all, sink, rows.start, n, width, &states[..n * size], scratch) };
    }
}

/// Reduces a row that is longer than a tile.
///
/// # Safety
/// As for [`reduce`].
unsafe fn long_row(all: &Rows<'_>, stage: &Stage, launch: &Launch<'_>, row: usize, scratch: u64) {
    let width = stage.width;
    for start in (0..width).step_by(TILE) {
        let n = TILE.min(width - start);
        let tiles: SmallVec<[(usize, u64, isize); 4]> =
            stage.tiles.iter().map(|&(i, place, size)| (i, scratch + place as u64, size as isize)).collect();
        // SAFETY: a piece of a row of the caller's; a tile holds `TILE` elements.
        unsafe { launch.flat(row * width + start..row * width + start + n, &tiles) };
        for sink in &stage.sinks {
            let reduction = &sink.sink.reduction;
            let state = reduction.state_size();
            let first = start / block(reduction);
            // SAFETY: the kernel has just filled the tile; `look_at` made room for the states of a row's blocks.
            let (data, states) = unsafe {
                (
                    at(scratch + stage.tiles[sink.sink.tile].1 as u64, n * reduction.dtype().size()),
                    at_mut(scratch + (sink.states + first * state) as u64, n.div_ceil(block(reduction)) * state),
                )
            };
            blockwise(reduction, data, start as u64, states);
        }
    }
    for sink in &stage.sinks {
        let reduction = &sink.sink.reduction;
        let blocks = width.div_ceil(block(reduction));
        // SAFETY: the states of the row's blocks, which were just written.
        let states = unsafe { at_mut(scratch + sink.states as u64, blocks * reduction.state_size()) };
        reduction.total(states);
        // SAFETY: the result of a row of this part.
        unsafe { finish(all, sink, row, 1, width, &states[..reduction.state_size()], scratch) };
    }
}

/// Whether every row of an operand is aligned to its elements.
fn aligned(launch: &Launch<'_>, operand: usize) -> bool {
    let size = launch.code.kernel().operands[operand].dtype.size();
    let strides = &launch.layout.operands[operand].strides;
    launch.bases[operand].is_multiple_of(size as u64) && strides.iter().all(|s| s.unsigned_abs().is_multiple_of(size))
}

/// The states of the blocks of contiguous elements, the first of which has position `first`.
fn blockwise(reduction: &Reduction, data: &[u8], first: u64, states: &mut [u8]) {
    let (per, size, state) = (block(reduction), reduction.dtype().size(), reduction.state_size());
    let positions = matches!(reduction.op(), ReduceOp::Argmin | ReduceOp::Argmax);
    let full = if positions { 0 } else { data.len() / (per * size) };
    let (whole, rest) = data.split_at(full * per * size);
    if full > 0 {
        reduction.inner_rows(whole, full, per, first, &mut states[..full * state]);
    }
    for (i, (data, states)) in rest.chunks(per * size).zip(states[full * state..].chunks_mut(state)).enumerate() {
        reduction.inner(data, first + ((full + i) * per) as u64, states);
    }
}

/// Writes the results of `n` rows from `row` on.
///
/// # Safety
/// Nobody else uses the results of these rows.
unsafe fn finish(all: &Rows<'_>, sink: &Sink, row: usize, n: usize, count: usize, states: &[u8], scratch: u64) {
    let size = sink.sink.reduction.result_dtype().size();
    let start = match all.memories[sink.sink.memory] {
        Bytes::Write(address) => address + (row * size) as u64,
        // A chunk begins at a multiple of the chunk.
        Bytes::Scratch(offset) => scratch + (offset + row % all.layout.chunk * size) as u64,
        Bytes::Read => return,
    };
    // SAFETY: `look_at` checked that results take one element a row of the memory; the rest is the caller's promise.
    let out = unsafe { at_mut(start, n * size) };
    sink.sink.reduction.finish(states, count as u64, out);
}

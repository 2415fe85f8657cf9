//! Kernels and reductions that run one after another over a few rows at a time, while these rows are in the cache.
//!
//! A chain of stages over the same rows, such as maximum, exponential, sum and division of a softmax, need not go
//! through memory once a stage. [`RowPlan`] holds the stages, checked once; [`Rows`] is a plan bound to code and memory; a
//! [`RowPart`] runs all stages over the first few of its rows, then over the next. What lives only between stages is kept
//! for those few rows, in scratch memory.
//!
//! Invariants, which [`RowPlan::new`] checks; they make it safe to run parts at the same time:
//! - memory that a stage writes belongs to rows: row `r` to bytes `r * row .. (r + 1) * row`;
//! - every access of row `r` to such memory, read or write, lies in the bytes of row `r`;
//! - a stage reads no memory that it writes, and writes each memory once.
//!
//! The bits are those of running one stage after another over everything: rows are reduced in the order that
//! [`Reduction`] defines, with the binary tree over blocks.

#![allow(unsafe_code)]

use crate::code::Code;
use crate::kernel::{Class, Kernel, Operand, Role, Slab};
use crate::launch::{LaunchError, Strides, fits, injective, reach, suits};
use crate::reduce::Reduction;
use lazuli_graph::ReduceOp;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Elements of a tile that a kernel fills and a reduction reads: small enough for the first-level cache.
const TILE: usize = 2048;
/// What scratch memory is aligned to, and each piece of it.
const ALIGN: usize = 64;

/// What memory is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowUse {
    /// Only read, and in any way.
    Read,
    /// Written by stages.
    Write {
        /// Bytes of a row.
        row: usize,
    },
    /// Written by stages, and of no use after the last: scratch memory for some rows stands in.
    Temporary {
        /// Bytes of a row.
        row: usize,
    },
}

/// Memory that a plan is bound to, of the use it was planned for.
#[derive(Debug)]
pub enum RowMemory<'m> {
    /// What is only read: the bytes, and where in them the accesses count from.
    Read(&'m [u8], isize),
    /// What is written.
    Write(&'m mut [u8]),
    /// A temporary.
    Temporary,
}

/// What an operand of a stage reads or writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowSource {
    /// Memory, by its number.
    Memory(usize),
    /// An output that the stage's sinks reduce.
    Tile,
    /// No memory: an index operand.
    Index,
}

/// An operand of a stage; offset and strides as in [`Binding`](crate::Binding), over all rows.
#[derive(Clone, Debug)]
pub struct RowBinding {
    /// What is accessed.
    pub source: RowSource,
    /// Where the element at index zero of row zero lies.
    pub offset: isize,
    /// The distance between neighbours along each dimension.
    pub strides: Strides,
}

/// A reduction of each row of a stage to one result.
#[derive(Clone, Copy, Debug)]
pub struct RowSink {
    /// The reduction.
    pub reduction: Reduction,
    /// Which of the stage's tiles it reads.
    pub tile: usize,
    /// The memory that the results go to, one a row.
    pub memory: usize,
}

/// One stage: a kernel, and sinks that reduce its rows (none: the kernel stores its results).
pub struct RowStage<'k> {
    /// The kernel.
    pub kernel: &'k Kernel,
    /// Loop extents, outermost first. The rows are the first of them.
    pub extents: SmallVec<[usize; 4]>,
    /// The kernel's operands.
    pub bindings: Vec<RowBinding>,
    /// Reductions.
    pub sinks: Vec<RowSink>,
}

/// Memory of a plan.
enum Place {
    /// The bytes that are read.
    Read { low: isize, high: isize },
    /// Bytes of a row.
    Write { row: usize },
    /// Where in scratch memory the rows of a chunk are.
    Scratch { offset: usize, row: usize },
}

struct Stage {
    operands: Vec<Operand>,
    extents: SmallVec<[usize; 4]>,
    bindings: Vec<RowBinding>,
    /// Elements of a row.
    width: usize,
    /// Tiles: operand, place in scratch, element size.
    tiles: SmallVec<[(usize, usize, usize); 2]>,
    sinks: Vec<Sink>,
}

struct Sink {
    sink: RowSink,
    /// Where in scratch the states of its blocks are.
    states: usize,
    /// The input operand that the tile is a mere copy of, row after row, and whether its rows lie one after another:
    /// reducing it directly saves the copy.
    copied: Option<(usize, bool)>,
}

/// Stages over rows, checked; see the module's documentation.
pub struct RowPlan {
    rows: usize,
    chunk: usize,
    places: Vec<Place>,
    stages: Vec<Stage>,
    scratch: usize,
}

/// A plan bound to code and memory.
pub struct Rows<'m> {
    plan: &'m RowPlan,
    codes: SmallVec<[&'m Code; 6]>,
    /// Where each memory starts; 0 for temporaries.
    addresses: SmallVec<[u64; 8]>,
    memory: PhantomData<&'m mut [u8]>,
}

/// Places in scratch memory are given one after another.
struct Layout(usize);

impl Layout {
    fn take(&mut self, bytes: usize) -> Result<usize, LaunchError> {
        let at = self.0;
        let end = bytes.checked_next_multiple_of(ALIGN).and_then(|b| at.checked_add(b)).ok_or(LaunchError::Extents)?;
        self.0 = end;
        Ok(at)
    }
}

/// The loops before row `rows` of the iteration space and those inside a row; a loop that holds both is taken apart.
/// Each loop is an extent and the factor its stride grows by.
type Dims = SmallVec<[(usize, usize, isize); 4]>;

fn split(extents: &[usize], rows: usize) -> Option<(Dims, Dims)> {
    let (mut outer, mut inner) = (Dims::new(), Dims::new());
    let mut need = rows;
    for (i, &n) in extents.iter().enumerate() {
        if need == 1 {
            inner.push((i, n, 1));
        } else if need.is_multiple_of(n) {
            outer.push((i, n, 1));
            need /= n;
        } else if n.is_multiple_of(need) {
            outer.push((i, need, (n / need) as isize));
            inner.push((i, n / need, 1));
            need = 1;
        } else {
            return None;
        }
    }
    (need == 1).then_some((outer, inner))
}

/// Whether every access of row `r` lies in the bytes of row `r`; `write` asks that elements of a row differ, too.
fn local(
    operand: &Operand,
    extents: &[usize],
    rows: usize,
    row: usize,
    (offset, strides): (isize, &[isize]),
    write: bool,
) -> Option<()> {
    let (outer, inner) = split(extents, rows)?;
    let mut step = row as isize;
    for &(i, n, factor) in outer.iter().rev() {
        if strides[i].checked_mul(factor)? != step {
            return None;
        }
        step = step.checked_mul(n as isize)?;
    }
    let size = operand.dtype.size();
    let extents: SmallVec<[usize; 4]> = inner.iter().map(|d| d.1).collect();
    let strides: SmallVec<[isize; 4]> = inner.iter().map(|d| strides[d.0]).collect();
    let (low, high) = reach(size, &extents, offset, &strides)?;
    (low >= 0 && high <= row as isize && (!write || injective(size, &extents, &strides))).then_some(())
}

/// Whether a stage over `extents` could read (or write) memory with `row` bytes a row in this way, if it has `rows`
/// rows: see the module's invariants.
pub fn row_local(
    operand: &Operand,
    extents: &[usize],
    rows: usize,
    row: usize,
    offset: isize,
    strides: &[isize],
) -> bool {
    local(operand, extents, rows, row, (offset, strides), operand.role == Role::Output).is_some()
}

impl RowPlan {
    /// Plans `stages` over `rows` rows, of which `chunk` go through all stages at a time, and memory of these uses.
    ///
    /// # Errors
    /// Operands that do not fit their kernel, or break the invariants. No row, or no element in a row, is
    /// [`LaunchError::Extents`].
    pub fn new<'k>(
        rows: usize,
        chunk: usize,
        uses: &[RowUse],
        stages: impl IntoIterator<Item = RowStage<'k>>,
    ) -> Result<RowPlan, LaunchError> {
        let chunk = chunk.clamp(1, rows.max(1));
        let mut layout = Layout(0);
        let mut places = Vec::with_capacity(uses.len());
        for memory in uses {
            places.push(match *memory {
                RowUse::Read => Place::Read { low: 0, high: 0 },
                RowUse::Write { row } => Place::Write { row },
                RowUse::Temporary { row } => {
                    let bytes = chunk.checked_mul(row).ok_or(LaunchError::Extents)?;
                    Place::Scratch { offset: layout.take(bytes)?, row }
                }
            });
        }
        let base = layout.0;
        let mut planned = Vec::new();
        let mut most = base;
        for stage in stages {
            // Tiles and states of one stage give way to those of the next.
            let mut layout = Layout(base);
            planned.push(stage_of(stage, rows, &mut places, &mut layout)?);
            most = most.max(layout.0);
        }
        Ok(RowPlan { rows, chunk, places, stages: planned, scratch: most })
    }

    /// Binds the plan to the code of each stage's kernel, and to memory.
    ///
    /// # Errors
    /// Code of other kernels; memory of another number or use, or too small.
    pub fn bind<'m>(
        &'m self,
        codes: impl IntoIterator<Item = &'m Code>,
        memories: impl IntoIterator<Item = RowMemory<'m>>,
    ) -> Result<Rows<'m>, LaunchError> {
        let codes: SmallVec<[&'m Code; 6]> = codes.into_iter().collect();
        let kernels = codes.iter().map(|c| &c.kernel().operands);
        if codes.len() != self.stages.len() || !kernels.eq(self.stages.iter().map(|s| &s.operands)) {
            return Err(LaunchError::Count { expected: self.stages.len(), given: codes.len() });
        }
        let mut addresses = SmallVec::new();
        for (i, memory) in memories.into_iter().enumerate() {
            let fail = |what| LaunchError::Operand { operand: i, what };
            addresses.push(match (memory, self.places.get(i)) {
                (RowMemory::Read(bytes, start), Some(&Place::Read { low, high })) => {
                    let inside = start.checked_add(low).is_some_and(|low| low >= 0)
                        && start.checked_add(high).is_some_and(|high| high <= bytes.len() as isize);
                    if !inside && low != high {
                        return Err(fail("read outside its memory"));
                    }
                    (bytes.as_ptr() as u64).wrapping_add(start as u64)
                }
                (RowMemory::Write(bytes), Some(&Place::Write { row })) => {
                    if self.rows.checked_mul(row).is_none_or(|needed| bytes.len() < needed) {
                        return Err(fail("write outside its memory"));
                    }
                    bytes.as_mut_ptr() as u64
                }
                (RowMemory::Temporary, Some(Place::Scratch { .. })) => 0,
                _ => return Err(fail("memory does not suit its use")),
            });
        }
        if addresses.len() != self.places.len() {
            return Err(LaunchError::Count { expected: self.places.len(), given: addresses.len() });
        }
        Ok(Rows { plan: self, codes, addresses, memory: PhantomData })
    }

    /// Bytes of scratch memory that a part needs.
    pub fn scratch(&self) -> usize {
        self.scratch
    }
}

impl<'m> Rows<'m> {
    /// Cuts the rows into at most `count` parts, of whole chunks. Parts may run in any order, on any thread.
    pub fn parts(&mut self, count: usize) -> SmallVec<[RowPart<'_, 'm>; 1]> {
        let RowPlan { rows, chunk, .. } = *self.plan;
        let step = rows.div_ceil(chunk).div_ceil(count.max(1)).max(1) * chunk;
        let this = &*self;
        (0..rows).step_by(step).map(|start| RowPart { rows: this, range: start..(start + step).min(rows) }).collect()
    }
}

/// Checks one stage.
fn stage_of(stage: RowStage<'_>, rows: usize, places: &mut [Place], layout: &mut Layout) -> Result<Stage, LaunchError> {
    let RowStage { kernel, extents, bindings, sinks } = stage;
    fits(&extents)?;
    let elements: usize = extents.iter().product();
    if rows == 0 || elements == 0 || !elements.is_multiple_of(rows) {
        return Err(LaunchError::Extents);
    }
    let width = elements / rows;
    if bindings.len() != kernel.operands.len() {
        return Err(LaunchError::Count { expected: kernel.operands.len(), given: bindings.len() });
    }
    // How many rows are reduced at a time, or into how many blocks one row is cut.
    let batch = (TILE / width).max(1);
    let mut tiles = SmallVec::<[(usize, usize, usize); 2]>::new();
    let mut written: SmallVec<[usize; 4]> = sinks.iter().map(|s| s.memory).collect();
    for (i, (binding, operand)) in bindings.iter().zip(&kernel.operands).enumerate() {
        let fail = |what| LaunchError::Operand { operand: i, what };
        suits(operand, &extents, &binding.strides, binding.source == RowSource::Tile).map_err(fail)?;
        let size = operand.dtype.size();
        match (binding.source, operand.role) {
            (RowSource::Index, Role::Index) => {}
            (RowSource::Tile, Role::Output) => {
                if operand.class != Class::Contiguous {
                    return Err(fail("a tile is contiguous"));
                }
                tiles.push((i, layout.take((batch * width.min(TILE)) * size)?, size));
            }
            (RowSource::Memory(m), role @ (Role::Input | Role::Output)) => {
                let write = role == Role::Output;
                if write {
                    written.push(m);
                }
                match places.get_mut(m).ok_or(fail("accesses memory that there is not"))? {
                    Place::Read { low, high } if !write => {
                        let (from, to) = reach(size, &extents, binding.offset, &binding.strides)
                            .ok_or(fail("read outside its memory"))?;
                        let none = low == high;
                        *low = if none { from } else { from.min(*low) };
                        *high = if none { to } else { to.max(*high) };
                    }
                    Place::Write { row } | Place::Scratch { row, .. } => {
                        let access = (binding.offset, binding.strides.as_slice());
                        local(operand, &extents, rows, *row, access, write).ok_or(fail("accesses another row"))?;
                    }
                    Place::Read { .. } => return Err(fail("memory does not suit the operand's role")),
                }
            }
            _ => return Err(fail("memory does not suit the operand's role")),
        }
    }
    for (i, &m) in written.iter().enumerate() {
        let mut inputs = bindings.iter().zip(&kernel.operands).filter(|(_, o)| o.role == Role::Input);
        if inputs.any(|(b, _)| b.source == RowSource::Memory(m)) || written[..i].contains(&m) {
            return Err(LaunchError::Operand { operand: i, what: "reads or writes what it writes" });
        }
    }
    let reduces = kernel.operands.iter().filter(|o| o.role == Role::Output).count() == tiles.len();
    if sinks.is_empty() == reduces {
        return Err(LaunchError::Operand { operand: 0, what: "a stage either stores or reduces" });
    }
    let mut planned = Vec::new();
    for sink in sinks {
        let fail = |what| LaunchError::Operand { operand: sink.tile, what };
        let &(operand, ..) = tiles.get(sink.tile).ok_or(fail("a sink reads no tile"))?;
        if kernel.operands[operand].dtype != sink.reduction.dtype() {
            return Err(fail("a sink reads another dtype"));
        }
        let row = match places.get(sink.memory) {
            Some(Place::Write { row } | Place::Scratch { row, .. }) => *row,
            _ => return Err(fail("results go to memory that is written")),
        };
        if row != sink.reduction.result_dtype().size() {
            return Err(fail("results take one element a row"));
        }
        let blocks = width.div_ceil(block(&sink.reduction));
        let states = layout.take(batch.max(blocks) * sink.reduction.state_size())?;
        planned.push(Sink { sink, states, copied: copied(kernel, &extents, &bindings, rows, operand) });
    }
    Ok(Stage { operands: kernel.operands.clone(), extents, bindings, width, tiles, sinks: planned })
}

/// Elements of a block: no more than a tile holds.
fn block(reduction: &Reduction) -> usize {
    reduction.block().min(TILE)
}

/// The input that output `operand` is a copy of, if the elements of each of its rows lie side by side, and whether the
/// rows do.
fn copied(
    kernel: &Kernel,
    extents: &[usize],
    bindings: &[RowBinding],
    rows: usize,
    operand: usize,
) -> Option<(usize, bool)> {
    let source = kernel.copied(operand).filter(|&s| kernel.operands[s].class == Class::Contiguous)?;
    let (outer, inner) = split(extents, rows)?;
    if inner.len() > 1 {
        return None;
    }
    let width: usize = inner.iter().map(|d| d.1).product();
    let mut step = (width * kernel.operands[source].dtype.size()) as isize;
    let dense = outer.iter().rev().all(|&(i, n, factor)| {
        let expected = step;
        step *= n as isize;
        bindings[source].strides[i] * factor == expected
    });
    Some((source, dense))
}

/// Rows that one thread takes through all stages.
pub struct RowPart<'l, 'm> {
    rows: &'l Rows<'m>,
    range: Range<usize>,
}

impl RowPart<'_, '_> {
    /// Runs the stages; `done` is told after each chunk how many rows it had, and stops the run by an error.
    ///
    /// # Errors
    /// What `done` returns.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`RowPlan::scratch`] says, or not aligned to 64 bytes.
    pub fn run<E>(self, scratch: &mut [u8], mut done: impl FnMut(usize) -> Result<(), E>) -> Result<(), E> {
        let plan = self.rows.plan;
        let aligned = (scratch.as_ptr() as usize).is_multiple_of(ALIGN);
        assert!(scratch.len() >= plan.scratch && (plan.scratch == 0 || aligned), "scratch memory does not fit");
        let scratch = scratch.as_mut_ptr() as u64;
        let mut bases: SmallVec<[u64; 8]> = SmallVec::new();
        for start in self.range.clone().step_by(plan.chunk) {
            let rows = start..(start + plan.chunk).min(self.range.end);
            // Where row zero of each memory lies, or would lie if scratch had room for all rows.
            bases.clear();
            bases.extend(plan.places.iter().zip(&self.rows.addresses).map(|(place, address)| match *place {
                Place::Read { .. } | Place::Write { .. } => *address,
                Place::Scratch { offset, row } => (scratch + offset as u64).wrapping_sub((rows.start * row) as u64),
            }));
            for (stage, code) in plan.stages.iter().zip(&self.rows.codes) {
                let chunk = Chunk { stage, code, bases: &bases, scratch };
                // SAFETY: the plan's checks: rows `rows` of every operand lie in its memory, or, of a temporary, in the
                // part of scratch that holds the rows of this chunk; parts have disjoint rows, and each runs once.
                unsafe {
                    if stage.sinks.is_empty() {
                        chunk.flat(rows.start * stage.width..rows.end * stage.width);
                    } else {
                        chunk.reduce(rows.clone());
                    }
                }
            }
            done(rows.len())?;
        }
        Ok(())
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.range.len()
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

/// One stage over the rows of a chunk.
struct Chunk<'a> {
    stage: &'a Stage,
    code: &'a Code,
    /// Where row zero of each memory lies.
    bases: &'a [u64],
    scratch: u64,
}

impl Chunk<'_> {
    /// The address (of an index: the value) of an operand at flat position `at`.
    fn address(&self, operand: usize, at: usize) -> u64 {
        let binding = &self.stage.bindings[operand];
        let mut offset = binding.offset;
        let mut rest = at;
        for (&n, &s) in self.stage.extents.iter().zip(&binding.strides).rev() {
            offset = offset.wrapping_add(s.wrapping_mul((rest % n) as isize));
            rest /= n;
        }
        let base = match binding.source {
            RowSource::Memory(m) => self.bases[m],
            RowSource::Tile | RowSource::Index => 0,
        };
        base.wrapping_add(offset as u64)
    }

    /// Runs the kernel over a flat range of the iteration space; tiles are filled from their beginning.
    ///
    /// # Safety
    /// The operands hold the range, and nobody else uses what is written; tiles have room for the range.
    unsafe fn flat(&self, range: Range<usize>) {
        let Stage { extents, operands, bindings, .. } = self.stage;
        let rank = extents.len();
        let n0 = extents.last().copied().unwrap_or(1);
        let run = if rank >= 2 { extents[rank - 2] } else { 1 };
        let mut slab = Slab::new(operands.len());
        let mut at = range.start;
        while at < range.end {
            let (row, column) = (at / n0, at % n0);
            let left = range.end - at;
            let (columns, rows) = if column != 0 || left < n0 {
                (left.min(n0 - column), 1)
            } else {
                (n0, (left / n0).min(run - row % run))
            };
            slab.set_extents(columns, rows);
            for (i, binding) in bindings.iter().enumerate() {
                if binding.source != RowSource::Tile {
                    let s0 = binding.strides.last().copied().unwrap_or(operands[i].dtype.size() as isize);
                    let s1 = if rank >= 2 { binding.strides[rank - 2] } else { 0 };
                    slab.set_operand(i, self.address(i, at), s0, s1);
                }
            }
            for &(i, place, size) in &self.stage.tiles {
                let to = self.scratch + (place + (at - range.start) * size) as u64;
                slab.set_operand(i, to, size as isize, (columns * size) as isize);
            }
            // SAFETY: the caller's promise, and the plan's checks of the whole space.
            unsafe { self.code.run(&slab) };
            at += columns * rows;
        }
    }

    /// Reduces rows of the stage.
    ///
    /// # Safety
    /// The operands hold these rows, whose results nobody else uses; nor does anyone else use the scratch memory.
    unsafe fn reduce(&self, rows: Range<usize>) {
        let Stage { width, .. } = *self.stage;
        let batch = (TILE / width).max(1);
        let direct = self.stage.sinks.iter().all(|s| s.copied.is_some_and(|(operand, _)| self.aligned(operand)));
        for first in rows.clone().step_by(batch) {
            let n = batch.min(rows.end - first);
            if direct {
                for sink in &self.stage.sinks {
                    // SAFETY: the caller's promise.
                    unsafe { self.in_place(sink, first, n) };
                }
            } else if width <= TILE {
                // SAFETY: the caller's promise; tiles hold `batch` rows.
                unsafe { self.flat(first * width..(first + n) * width) };
                for sink in &self.stage.sinks {
                    let place = self.stage.tiles[sink.sink.tile].1;
                    let bytes = n * width * sink.sink.reduction.dtype().size();
                    // SAFETY: the kernel has just filled the tile; the rest is the caller's promise.
                    unsafe { self.rows(sink, at(self.scratch + place as u64, bytes), first, n) };
                }
            } else {
                // SAFETY: the caller's promise; a row longer than a tile is a batch of its own.
                unsafe { self.long_row(first) };
            }
        }
    }

    /// Reduces `n` rows of an input as they lie in memory.
    ///
    /// # Safety
    /// As for [`Chunk::reduce`].
    unsafe fn in_place(&self, sink: &Sink, first: usize, n: usize) {
        let width = self.stage.width;
        let (operand, dense) = sink.copied.unwrap_or_default();
        let row = width * sink.sink.reduction.dtype().size();
        let address = |row: usize| self.address(operand, row * width);
        if dense {
            // SAFETY: the elements of these rows lie side by side inside the operand's memory.
            unsafe { self.rows(sink, at(address(first), n * row), first, n) };
        } else {
            for r in first..first + n {
                // SAFETY: as above, for one row.
                unsafe { self.rows(sink, at(address(r), row), r, 1) };
            }
        }
    }

    /// Reduces `n` rows, from `first` on, whose elements are `data`.
    ///
    /// # Safety
    /// As for [`Chunk::reduce`].
    unsafe fn rows(&self, sink: &Sink, data: &[u8], first: usize, n: usize) {
        let width = self.stage.width;
        let reduction = &sink.sink.reduction;
        let (row, state) = (width * reduction.dtype().size(), reduction.state_size());
        let per = block(reduction);
        let blocks = width.div_ceil(per);
        // SAFETY: the plan has made room for that many states; only this thread uses its scratch.
        let states = unsafe { at_mut(self.scratch + sink.states as u64, state * blocks.max(n)) };
        if blocks == 1 {
            reduction.inner_rows(data, n, width, 0, &mut states[..n * state]);
            // SAFETY: the caller's promise.
            return unsafe { self.finish(sink, first, n, &states[..n * state]) };
        }
        for (r, data) in data.chunks(row).enumerate() {
            blockwise(reduction, data, 0, &mut states[..blocks * state]);
            tree(reduction, &mut states[..blocks * state], blocks);
            // SAFETY: the caller's promise.
            unsafe { self.finish(sink, first + r, 1, &states[..state]) };
        }
    }

    /// Reduces a row that is longer than a tile.
    ///
    /// # Safety
    /// As for [`Chunk::reduce`].
    unsafe fn long_row(&self, row: usize) {
        let width = self.stage.width;
        for start in (0..width).step_by(TILE) {
            let n = TILE.min(width - start);
            // SAFETY: a piece of a row of the caller's; a tile holds `TILE` elements.
            unsafe { self.flat(row * width + start..row * width + start + n) };
            for sink in &self.stage.sinks {
                let reduction = &sink.sink.reduction;
                let (per, state) = (block(reduction), reduction.state_size());
                let place = self.stage.tiles[sink.sink.tile].1;
                // SAFETY: the kernel has just filled the tile; the plan has made room for the states of a row's blocks.
                let (data, states) = unsafe {
                    (
                        at(self.scratch + place as u64, n * reduction.dtype().size()),
                        at_mut(self.scratch + (sink.states + start / per * state) as u64, n.div_ceil(per) * state),
                    )
                };
                blockwise(reduction, data, start as u64, states);
            }
        }
        for sink in &self.stage.sinks {
            let reduction = &sink.sink.reduction;
            let (blocks, state) = (width.div_ceil(block(reduction)), reduction.state_size());
            // SAFETY: the states of the row's blocks, which were just written.
            let states = unsafe { at_mut(self.scratch + sink.states as u64, blocks * state) };
            tree(reduction, states, blocks);
            // SAFETY: the caller's promise.
            unsafe { self.finish(sink, row, 1, &states[..state]) };
        }
    }

    /// Whether every row of an operand is aligned to its elements.
    fn aligned(&self, operand: usize) -> bool {
        let size = self.stage.operands[operand].dtype.size();
        let strides = &self.stage.bindings[operand].strides;
        self.address(operand, 0).is_multiple_of(size as u64)
            && strides.iter().all(|s| s.unsigned_abs().is_multiple_of(size))
    }

    /// Writes the results of `n` rows from `row` on.
    ///
    /// # Safety
    /// Nobody else uses the results of these rows.
    unsafe fn finish(&self, sink: &Sink, row: usize, n: usize, states: &[u8]) {
        let RowSink { reduction, memory, .. } = &sink.sink;
        let size = reduction.result_dtype().size();
        let start = self.bases[*memory].wrapping_add((row * size) as u64);
        // SAFETY: the plan has checked that results take one element a row of the memory; the rest is promised.
        let out = unsafe { at_mut(start, n * size) };
        reduction.finish(states, self.stage.width as u64, out);
    }
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

/// Combines `count` states into the first: neighbours at distance 1, 2, 4, …
fn tree(reduction: &Reduction, states: &mut [u8], count: usize) {
    let size = reduction.state_size();
    let mut step = 1;
    while step < count {
        for left in (0..count - step).step_by(2 * step) {
            let (head, tail) = states.split_at_mut((left + step) * size);
            reduction.combine(&mut head[left * size..(left + 1) * size], &tail[..size]);
        }
        step *= 2;
    }
}

#[cfg(test)]
mod tests;

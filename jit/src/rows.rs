//! Kernels and reductions that run one after another over a few rows at a time, while these rows are in the cache.
//!
//! A chain of stages over the same rows, such as maximum, exponential, sum and division of a softmax, need not go
//! through memory once a stage. A [`RowLayout`] looks at stages once, each call holds it against the memory that it is
//! given, and a [`RowPart`] of the bound [`Rows`] runs all stages over the first few of its rows, then over the next. What
//! lives only between stages is kept for those few rows, in scratch memory.
//!
//! Invariants, which [`RowLayout::new`] checks; they make it safe to run parts at the same time:
//! - memory that a stage writes belongs to rows: row `r` to bytes `r * row .. (r + 1) * row`;
//! - every access of row `r` to such memory, read or write, lies in the bytes of row `r`;
//! - a stage reads no memory that it writes, and writes each memory once.
//!
//! The bits are those of running one stage after another over everything: rows are reduced in the order that
//! [`Reduction`] defines, with the binary tree over blocks.

#![allow(unsafe_code)]

use crate::code::Code;
use crate::kernel::{Class, Kernel, Operand, Role};
use crate::launch::{self, Bound, Home, Launch, LaunchError, Strides, fits, injective, reach, suits};
use crate::reduce::Reduction;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

mod code;
mod columns;
mod run;
mod whole;

pub use code::{RowCode, RowProgram};
pub use columns::{ColumnLayout, ColumnPart, Columns, column_local};
pub use run::RowPart;
use whole::Whole;
pub use whole::{RowWords, WholePart, WholeRows};

/// Elements of a tile that a kernel fills and a reduction reads: small enough for the first-level cache.
const TILE: usize = 2048;
/// What scratch memory is aligned to, and each piece of it.
const ALIGN: usize = 64;

/// What memory that stages read and write is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowPlace {
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

/// The memory of a [`RowPlace`] for one call.
#[derive(Debug)]
pub enum RowMemory<'m> {
    /// The bytes, and where in them offsets count from.
    Read(&'m [u8], usize),
    /// The bytes of all rows.
    Write(&'m mut [u8]),
    /// None: it is temporary.
    Nothing,
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
    pub bindings: SmallVec<[RowBinding; 8]>,
    /// Reductions.
    pub sinks: SmallVec<[RowSink; 2]>,
}

impl RowPlace {
    fn row(&self) -> Option<usize> {
        match self {
            RowPlace::Read => None,
            RowPlace::Write { row } | RowPlace::Temporary { row } => Some(*row),
        }
    }
}

/// Where memory is found.
#[derive(Clone, Copy)]
enum Bytes {
    Read,
    Write(u64),
    /// In scratch memory, from this offset on.
    Scratch(usize),
}

struct Stage {
    accesses: launch::Layout,
    /// What indices begin at; 0 of what has an address.
    bases: SmallVec<[u64; 8]>,
    /// Elements of a row.
    width: usize,
    /// The memory of operands: operand, memory.
    accessed: SmallVec<[(usize, usize); 4]>,
    /// Tiles: operand, place in scratch, element size.
    tiles: SmallVec<[(usize, usize, usize); 2]>,
    sinks: SmallVec<[Sink; 2]>,
    /// Whether a row is one loop, and each tile is one sink's, so that code may keep states in registers.
    folds: bool,
}

struct Sink {
    sink: RowSink,
    /// Where in scratch the states of its blocks are.
    states: usize,
    /// The input operand that the tile is a mere copy of, row after row; reducing it directly saves the copy.
    copied: Option<usize>,
}

impl Stage {
    /// Operands of this role, and the memory that they access.
    fn accesses(&self, role: Role) -> impl Iterator<Item = (usize, usize)> {
        self.accessed.iter().copied().filter(move |(operand, _)| self.accesses.operands[*operand].operand.role == role)
    }
}

/// Stages that suit their memory, checked once for any number of calls; see the module's documentation.
pub struct RowLayout {
    rows: usize,
    chunk: usize,
    places: SmallVec<[RowPlace; 8]>,
    /// Where temporaries are in scratch memory.
    offsets: SmallVec<[usize; 8]>,
    stages: Vec<Stage>,
    scratch: usize,
    /// For code that does all.
    whole: Option<Whole>,
}

/// Stages bound to memory and code; see the module's documentation.
pub struct Rows<'m> {
    layout: &'m RowLayout,
    memories: SmallVec<[Bytes; 8]>,
    launches: Vec<Launch<'m>>,
}

/// Places in scratch memory are given one after another.
struct Room(usize);

impl Room {
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

impl RowLayout {
    /// Looks at `stages` over `rows` rows, of which `chunk` go through all stages at a time.
    ///
    /// # Errors
    /// Operands that do not fit their kernel or place, or break the invariants. No row, or no element in a row, is
    /// [`LaunchError::Extents`].
    pub fn new<'k>(
        rows: usize,
        chunk: usize,
        places: impl IntoIterator<Item = RowPlace>,
        stages: impl IntoIterator<Item = RowStage<'k>>,
    ) -> Result<RowLayout, LaunchError> {
        let chunk = chunk.clamp(1, rows.max(1));
        let mut room = Room(0);
        let places: SmallVec<[RowPlace; 8]> = places.into_iter().collect();
        let mut offsets = SmallVec::new();
        for place in &places {
            if place.row().is_some_and(|row| rows.checked_mul(row).is_none()) {
                return Err(LaunchError::Extents);
            }
            offsets.push(match place {
                RowPlace::Temporary { row } => room.take(chunk * row)?,
                RowPlace::Read | RowPlace::Write { .. } => 0,
            });
        }
        let base = room.0;
        let (mut bound, mut given) = (Vec::new(), Vec::new());
        let mut most = base;
        for stage in stages {
            // Tiles and states of one stage give way to those of the next.
            let mut room = Room(base);
            let looked = look_at(&stage, rows, chunk, &places, &mut room)?;
            given.push((stage, looked.width));
            bound.push(looked);
            most = most.max(room.0);
        }
        let whole = Whole::new(&given, &bound, &places, (rows, chunk));
        Ok(RowLayout { rows, chunk, places, offsets, stages: bound, scratch: most, whole })
    }

    /// What one code for all stages has to do, where there may be such code: for [`RowLayout::bind_whole`].
    pub fn program(&self) -> Option<&RowProgram> {
        self.whole.as_ref().map(Whole::program)
    }

    /// At most `count` ranges of rows, of whole chunks.
    fn ranges(&self, count: usize) -> impl ExactSizeIterator<Item = Range<usize>> + Send + use<> {
        let (rows, chunk) = (self.rows, self.chunk);
        let step = rows.div_ceil(chunk).div_ceil(count.max(1)).max(1) * chunk;
        (0..rows.div_ceil(step)).map(move |n| n * step..((n + 1) * step).min(rows))
    }

    /// The chunks of a range of rows.
    fn chunks(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let chunk = self.chunk;
        range.clone().step_by(chunk).map(move |start| start..(start + chunk).min(range.end))
    }

    /// Binds code of the kernels, one for each stage, and memory, one for each place.
    ///
    /// # Errors
    /// Code of a kernel with other operands, or that folds what the stage does not; memory that does not suit its place;
    /// an access outside the memory.
    pub fn bind<'m>(
        &'m self,
        codes: impl IntoIterator<Item = &'m Code>,
        memories: impl IntoIterator<Item = RowMemory<'m>>,
    ) -> Result<Rows<'m>, LaunchError> {
        let mut found: SmallVec<[Bytes; 8]> = SmallVec::new();
        // Of memory that is only read: its address, its length, and where offsets count from.
        let mut read: SmallVec<[(u64, usize, usize); 8]> = SmallVec::new();
        for (memory, (place, &offset)) in memories.into_iter().zip(self.places.iter().zip(&self.offsets)) {
            let mut source = (0, 0, 0);
            found.push(match (memory, place) {
                (RowMemory::Read(bytes, start), RowPlace::Read) => {
                    source = (bytes.as_ptr() as u64, bytes.len(), start);
                    Bytes::Read
                }
                (RowMemory::Write(bytes), RowPlace::Write { row }) if bytes.len() >= self.rows * row => {
                    Bytes::Write(bytes.as_mut_ptr() as u64)
                }
                (RowMemory::Nothing, RowPlace::Temporary { .. }) => Bytes::Scratch(offset),
                _ => return Err(LaunchError::Extents),
            });
            read.push(source);
        }
        if found.len() != self.places.len() {
            return Err(LaunchError::Count { expected: self.places.len(), given: found.len() });
        }
        let mut launches: Vec<Launch<'m>> = Vec::with_capacity(self.stages.len());
        for (code, stage) in codes.into_iter().zip(&self.stages) {
            let given = &code.kernel().operands;
            let operands = &stage.accesses.operands;
            if given.len() != operands.len() {
                return Err(LaunchError::Count { expected: given.len(), given: operands.len() });
            }
            if let Some(operand) = given.iter().zip(operands).position(|(g, o)| *g != o.operand) {
                return Err(LaunchError::Operand { operand, what: "is another one in the kernel" });
            }
            let suits = |s: &Sink| {
                code.states().get(s.sink.tile).is_some_and(|&n| usize::from(n) == s.sink.reduction.state_size())
            };
            if code.folds() && !(stage.folds && stage.sinks.iter().all(suits)) {
                return Err(LaunchError::Operand { operand: 0, what: "rows are not those that the code reduces" });
            }
            // Written where they stay.
            let (layout, bases) = (&stage.accesses, SmallVec::from_slice(&stage.bases));
            launches.push(Launch { code, layout, bases, far: None, memory: PhantomData });
            let bases = &mut launches.last_mut().expect("one was just pushed").bases;
            for &(operand, m) in &stage.accessed {
                let o = &operands[operand];
                bases[operand] = match found[m] {
                    Bytes::Read => {
                        let (address, length, start) = read[m];
                        let what = "read outside its memory";
                        o.inside(length, start).ok_or(LaunchError::Operand { operand, what })?;
                        address.wrapping_add(start as u64).wrapping_add(o.offset as u64)
                    }
                    Bytes::Write(address) => address.wrapping_add(o.offset as u64),
                    // Follows the rows.
                    Bytes::Scratch(_) => 0,
                };
            }
        }
        if launches.len() != self.stages.len() {
            return Err(LaunchError::Count { expected: self.stages.len(), given: launches.len() });
        }
        Ok(Rows { layout: self, memories: found, launches })
    }
}

impl Rows<'_> {
    /// Bytes of scratch memory that a part needs.
    pub fn scratch(&self) -> usize {
        self.layout.scratch
    }

    /// Has stages write around the caches ([`Launch::around_caches`]) what no stage reads, and those that reduce rows in
    /// registers ask for their inputs ahead ([`Launch::ahead`]).
    pub fn around_caches(&mut self) {
        let mut read = vec![false; self.memories.len()];
        for (_, memory) in self.layout.stages.iter().flat_map(|s| s.accesses(Role::Input)) {
            read[memory] = true;
        }
        for (stage, launch) in self.layout.stages.iter().zip(&mut self.launches) {
            let own = |(_, m): (usize, usize)| !read[m] && matches!(self.memories[m], Bytes::Write(_));
            if stage.sinks.is_empty() && stage.accesses(Role::Output).all(own) {
                launch.around_caches();
            } else if !stage.sinks.is_empty() {
                launch.ahead();
            }
        }
    }

    /// Cuts the rows into at most `count` parts, of whole chunks. Parts may run in any order, on any thread.
    pub fn parts(&mut self, count: usize) -> SmallVec<[RowPart<'_>; 1]> {
        let this = &*self;
        this.layout.ranges(count).map(|range| RowPart { rows: this, range }).collect()
    }
}

/// The address of scratch memory.
///
/// # Panics
/// If it has fewer bytes than are needed, or is not aligned to [`ALIGN`].
fn address(scratch: &mut [u8], needed: usize) -> u64 {
    assert!(scratch.len() >= needed, "scratch memory is too small");
    let address = scratch.as_mut_ptr() as u64;
    assert!(needed == 0 || address.is_multiple_of(ALIGN as u64), "scratch memory is not aligned");
    address
}

/// Looks at one stage.
fn look_at(
    stage: &RowStage<'_>,
    rows: usize,
    chunk: usize,
    places: &[RowPlace],
    room: &mut Room,
) -> Result<Stage, LaunchError> {
    let RowStage { kernel, extents, bindings, sinks } = stage;
    fits(extents)?;
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
    let mut operands = SmallVec::<[Bound; 4]>::new();
    let mut tiles = SmallVec::<[(usize, usize, usize); 2]>::new();
    let mut accessed = SmallVec::new();
    let mut written: SmallVec<[usize; 4]> = sinks.iter().map(|s| s.memory).collect();
    for (i, (binding, operand)) in bindings.iter().zip(&kernel.operands).enumerate() {
        let fail = |what| LaunchError::Operand { operand: i, what };
        let tile = binding.source == RowSource::Tile;
        suits(operand, extents, &binding.strides, tile).map_err(fail)?;
        let access = (binding.offset, binding.strides.as_slice());
        let (mut low, mut high) = (0, 0);
        let home = match (binding.source, operand.role) {
            (RowSource::Index, Role::Index) => Home::Index,
            (RowSource::Tile, Role::Output) => {
                if operand.class != Class::Contiguous {
                    return Err(fail("a tile is contiguous"));
                }
                let size = operand.dtype.size();
                tiles.push((i, room.take((batch * width.min(TILE)) * size)?, size));
                Home::Scratch
            }
            (RowSource::Memory(m), role @ (Role::Input | Role::Output)) => {
                accessed.push((i, m));
                let write = role == Role::Output;
                if write {
                    written.push(m);
                }
                match places.get(m).ok_or(fail("accesses memory that there is not"))? {
                    RowPlace::Read if !write => {
                        (low, high) = reach(operand.dtype.size(), extents, binding.offset, &binding.strides)
                            .ok_or(fail("reaches further than addresses do"))?;
                    }
                    RowPlace::Write { row } | RowPlace::Temporary { row } => {
                        local(operand, extents, rows, *row, access, write).ok_or(fail("accesses another row"))?;
                    }
                    RowPlace::Read => return Err(fail("memory does not suit the operand's role")),
                }
                Home::Memory
            }
            _ => return Err(fail("memory does not suit the operand's role")),
        };
        let strides = binding.strides.clone();
        operands.push(Bound { operand: *operand, home, offset: binding.offset, strides, low, high });
    }
    for (i, &m) in written.iter().enumerate() {
        let read = bindings
            .iter()
            .zip(&kernel.operands)
            .any(|(b, o)| o.role == Role::Input && b.source == RowSource::Memory(m));
        if read || written[..i].contains(&m) {
            return Err(LaunchError::Operand { operand: i, what: "reads or writes what it writes" });
        }
    }
    let stores_only = kernel.operands.iter().filter(|o| o.role == Role::Output).count() == tiles.len();
    if sinks.is_empty() == stores_only {
        return Err(LaunchError::Operand { operand: 0, what: "a stage either stores or reduces" });
    }
    let own = |tile: usize| sinks.iter().filter(|s| s.tile == tile).count() == 1;
    let folds = extents.last() == Some(&width) && (0..tiles.len()).all(own);
    let mut bound = SmallVec::new();
    for sink in sinks {
        let fail = |what| LaunchError::Operand { operand: sink.tile, what };
        let &(operand, ..) = tiles.get(sink.tile).ok_or(fail("a sink reads no tile"))?;
        if kernel.operands[operand].dtype != sink.reduction.dtype() {
            return Err(fail("a sink reads another dtype"));
        }
        if places.get(sink.memory).and_then(RowPlace::row) != Some(sink.reduction.result_dtype().size()) {
            return Err(fail("results take one element a row"));
        }
        let blocks = width.div_ceil(block(&sink.reduction));
        // Those of a chunk of rows, or of a batch.
        let count = chunk.checked_mul(blocks).ok_or(LaunchError::Extents)?.max(batch);
        let states = room.take(count * sink.reduction.state_size())?;
        bound.push(Sink { sink: *sink, states, copied: copied(kernel, extents, rows, operand) });
    }
    let bases = operands.iter().map(|o| if o.home == Home::Index { o.offset as u64 } else { 0 }).collect();
    Ok(Stage { accesses: launch::Layout::of(extents, operands), bases, width, accessed, tiles, sinks: bound, folds })
}

/// Elements of a block: no more than a tile holds.
fn block(reduction: &Reduction) -> usize {
    reduction.block().min(TILE)
}

/// The input that output `operand` is a copy of, if the elements of each of its rows lie side by side.
fn copied(kernel: &Kernel, extents: &[usize], rows: usize, operand: usize) -> Option<usize> {
    let source = kernel.copied(operand).filter(|&s| kernel.operands[s].class == Class::Contiguous)?;
    let (_, inner) = split(extents, rows)?;
    (inner.len() <= 1).then_some(source)
}

#[cfg(test)]
mod tests;

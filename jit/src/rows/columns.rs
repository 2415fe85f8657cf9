//! Stages over matrices whose columns they reduce: a group of columns goes through all stages before the next.
//!
//! What [`super`] says of rows holds of columns here. A *matrix* has at most [`Reduction::OUTER_BLOCK`] rows, so that a column is
//! one block, and states are those of its rows one after another. A stage computes elements of the whole matrix, or of one row,
//! or reduces each column to one element of a row.
//!
//! Invariants, which [`ColumnLayout::new`] checks:
//! - memory that a stage writes holds matrices, or rows of as many columns, one after another in C order, and every access to
//!   it, read or write, is to the element of the same matrix, row and column;
//! - a stage reads no memory that it writes, and each memory is written once.

use super::code::{RowCode, RowProgram};
use super::{ALIGN, Room, RowMemory, RowPlace, RowSource, RowStage, address, split};
use crate::kernel::{self, Class, Role};
use crate::launch::{LaunchError, reach};
use crate::reduce::Reduction;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes of scratch memory that a row of a temporary has: for the columns of a group.
const GROUP: usize = 128;
/// What the columns of a part are a multiple of: of groups of the narrowest elements.
const PIECE: usize = 128;

/// An operand of the slab, and the memory that it is in.
struct Use {
    memory: usize,
    offset: isize,
    /// The bytes that it reads, from where offsets count, of memory that is only read.
    reach: Option<(isize, isize)>,
}

/// Stages that suit their memory, checked once for any number of calls; see the module's documentation.
pub struct ColumnLayout {
    pub(super) matrices: usize,
    pub(super) height: usize,
    pub(super) width: usize,
    places: SmallVec<[RowPlace; 8]>,
    program: RowProgram,
    /// Strides of the slab's operands, along a row, from row to row, and from matrix to matrix.
    strides: Vec<[isize; 3]>,
    uses: Vec<Operand>,
    scratch: usize,
}

/// Where an operand of the slab is.
enum Operand {
    Memory(Use),
    /// In scratch memory, from this offset on.
    Scratch(usize),
    /// Nowhere: states that stay in registers.
    Nothing,
}

/// Stages bound to memory and code; see the module's documentation.
pub struct Columns<'m> {
    layout: &'m ColumnLayout,
    code: &'m RowCode,
    /// The address of each operand of the slab that is in memory.
    bases: SmallVec<[u64; 24]>,
    memory: PhantomData<&'m mut [u8]>,
}

/// Some columns of some matrices.
pub struct ColumnPart<'l> {
    columns: &'l Columns<'l>,
    /// Pieces, of which each matrix has so many columns in each.
    pieces: Range<usize>,
    piece: usize,
}

impl ColumnLayout {
    /// Looks at stages over so many matrices of `height` rows and `width` columns. The loops of a stage are those of its matrices,
    /// rows and columns, as far as they are not one, and its sinks reduce columns. Bytes of a row of [`RowPlace`] are those of a
    /// matrix. `None` where there is no code for all stages, or they break the invariants.
    pub fn new<'k>(
        matrices: usize,
        [height, width]: [usize; 2],
        places: impl IntoIterator<Item = RowPlace>,
        stages: impl IntoIterator<Item = RowStage<'k>>,
    ) -> Option<ColumnLayout> {
        if matrices == 0 || width <= 1 || !(2..=Reduction::OUTER_BLOCK).contains(&height) {
            return None;
        }
        let places: SmallVec<[RowPlace; 8]> = places.into_iter().collect();
        let matrix = height.checked_mul(width)?;
        let mut given = Vec::new();
        for stage in stages {
            let elements = stage.extents.iter().try_fold(1usize, |n, &e| n.checked_mul(e))?;
            given.push((stage, elements / matrices));
        }
        let mut room = Room(0);
        let temporary = |place: &RowPlace| match place {
            RowPlace::Temporary { .. } => room.take(height * GROUP).ok().map(Some),
            RowPlace::Read | RowPlace::Write { .. } => Some(None),
        };
        let temporaries: SmallVec<[Option<usize>; 8]> = places.iter().map(temporary).collect::<Option<_>>()?;
        let (mut strides, mut uses) = (Vec::new(), Vec::new());
        let (mut written, mut fixed) = (SmallVec::<[usize; 8]>::new(), Vec::new());
        for (stage, elements) in &given {
            let whole = *elements == matrix;
            if elements * matrices != stage.extents.iter().product::<usize>() || !(whole || *elements == width) {
                return None;
            }
            let read: SmallVec<[usize; 8]> = written.clone();
            let mut tiles = 0;
            let first = strides.len();
            for (binding, operand) in stage.bindings.iter().zip(&stage.kernel.operands) {
                let size = operand.dtype.size() as isize;
                let extents = [matrices, if whole { height } else { 1 }, width];
                if binding.source == RowSource::Tile {
                    // Results, in the place of the elements.
                    let sink = stage.sinks.iter().find(|s| s.tile == tiles)?;
                    tiles += 1;
                    let result = sink.reduction.result_dtype().size();
                    let row = width.checked_mul(result)?;
                    if operand.role != Role::Output
                        || operand.dtype != sink.reduction.dtype()
                        || places.get(sink.memory)?.row()? != row
                        || written.contains(&sink.memory)
                    {
                        return None;
                    }
                    written.push(sink.memory);
                    let at = [result as isize, 0, row as isize];
                    place(&mut strides, &mut uses, at, sink.memory, (0, None), temporaries[sink.memory]);
                    continue;
                }
                let [across, down, along] = loops(&stage.extents, &binding.strides, extents)?;
                let along = match operand.class {
                    Class::Contiguous => (along == size).then_some(size)?,
                    Class::Broadcast => (along == 0).then_some(0)?,
                    Class::Strided => return None,
                };
                match (binding.source, operand.role) {
                    (RowSource::Memory(m), role @ (Role::Input | Role::Output)) => {
                        let at = [along, down, across];
                        let reach = match places.get(m)? {
                            RowPlace::Read if role == Role::Input => {
                                let strides = binding.strides.as_slice();
                                Some(reach(operand.dtype.size(), &stage.extents, binding.offset, strides)?)
                            }
                            RowPlace::Read => return None,
                            RowPlace::Write { row } | RowPlace::Temporary { row } => {
                                let shape = [matrices, height, width];
                                let own = is_own(operand, whole, shape, *row, binding.offset, [across, down, along]);
                                if !own || (role == Role::Input) != read.contains(&m) {
                                    return None;
                                }
                                None
                            }
                        };
                        if role == Role::Output {
                            (!written.contains(&m)).then(|| written.push(m))?;
                        }
                        place(&mut strides, &mut uses, at, m, (binding.offset, reach), temporaries[m]);
                    }
                    _ => return None,
                }
            }
            if tiles != stage.sinks.len() || (tiles > 0 && !whole) {
                return None;
            }
            // Where there is one row, nothing is gained.
            let same = |[_, down, _]: &[isize; 3]| whole && *down == 0;
            fixed.push(strides[first..].iter().map(same).collect());
            for _ in 0..tiles {
                strides.push([0; 3]);
                uses.push(Operand::Nothing);
            }
        }
        let program = RowProgram::columns(&given, &places, &fixed, [height, width])?;
        Some(ColumnLayout { matrices, height, width, places, program, strides, uses, scratch: room.0 })
    }

    /// What one code for all stages has to do.
    pub fn program(&self) -> &RowProgram {
        &self.program
    }

    /// Has the key of the code be `program` itself, which is equal: code of it is then recognised at once.
    pub fn adopt(&mut self, program: &RowProgram) {
        if self.program == *program {
            self.program = program.clone();
        }
    }

    /// Binds memory, one for each place, and code of the program.
    ///
    /// # Errors
    /// Code of another program; memory that does not suit its place; an access outside the memory.
    pub fn bind<'m>(
        &'m self,
        code: &'m RowCode,
        memories: impl IntoIterator<Item = RowMemory<'m>>,
    ) -> Result<Columns<'m>, LaunchError> {
        if *code.program() != self.program {
            return Err(LaunchError::Operand { operand: 0, what: "code of another program" });
        }
        // The address, and of what is only read the bytes and where in them offsets count from.
        let mut found: SmallVec<[(u64, usize, usize); 8]> = SmallVec::new();
        for (memory, place) in memories.into_iter().zip(&self.places) {
            found.push(match (memory, place) {
                (RowMemory::Read(bytes, start), RowPlace::Read) => (bytes.as_ptr() as u64, bytes.len(), start),
                (RowMemory::Write(bytes), RowPlace::Write { row })
                    if self.matrices.checked_mul(*row).is_some_and(|all| bytes.len() >= all) =>
                {
                    (bytes.as_mut_ptr() as u64, 0, 0)
                }
                (RowMemory::Nothing, RowPlace::Temporary { .. }) => (0, 0, 0),
                _ => return Err(LaunchError::Extents),
            });
        }
        if found.len() != self.places.len() {
            return Err(LaunchError::Count { expected: self.places.len(), given: found.len() });
        }
        let mut bases = SmallVec::new();
        for (operand, o) in self.uses.iter().enumerate() {
            bases.push(match o {
                Operand::Memory(Use { memory, offset, reach }) => {
                    let (address, length, start) = found[*memory];
                    if let Some((low, high)) = reach {
                        let inside = |end: &isize| start.checked_add_signed(*end).is_some_and(|end| end <= length);
                        if !(inside(low) && inside(high)) {
                            return Err(LaunchError::Operand { operand, what: "read outside its memory" });
                        }
                    }
                    address.wrapping_add(start as u64).wrapping_add_signed(*offset as i64)
                }
                Operand::Scratch(_) | Operand::Nothing => 0,
            });
        }
        Ok(Columns { layout: self, code, bases, memory: PhantomData })
    }
}

/// Adds an operand in memory, or in scratch memory if its memory is temporary.
fn place(
    strides: &mut Vec<[isize; 3]>,
    uses: &mut Vec<Operand>,
    [along, down, across]: [isize; 3],
    memory: usize,
    (offset, reach): (isize, Option<(isize, isize)>),
    temporary: Option<usize>,
) {
    match temporary {
        Some(place) => {
            strides.push([along, if down == 0 { 0 } else { GROUP as isize }, 0]);
            uses.push(Operand::Scratch(place));
        }
        None => {
            strides.push([along, down, across]);
            uses.push(Operand::Memory(Use { memory, offset, reach }));
        }
    }
}

/// Whether a stage over `extents` could read (or write) memory with `row` bytes a matrix in this way, if it has so many matrices,
/// rows and columns: see the module's documentation.
pub fn column_local(
    operand: &kernel::Operand,
    extents: &[usize],
    shape: [usize; 3],
    row: usize,
    offset: isize,
    strides: &[isize],
) -> bool {
    let [matrices, height, width] = shape;
    let whole = extents.iter().product::<usize>() != matrices.saturating_mul(width);
    let strides = loops(extents, strides, [matrices, if whole { height } else { 1 }, width]);
    strides.is_some_and(|strides| is_own(operand, whole, shape, row, offset, strides))
}

/// The same by strides from matrix to matrix, from row to row, and along a row; `whole`: the stage has all rows, and not one.
fn is_own(
    operand: &kernel::Operand,
    whole: bool,
    [matrices, height, width]: [usize; 3],
    row: usize,
    offset: isize,
    [across, down, along]: [isize; 3],
) -> bool {
    let size = operand.dtype.size();
    let Some(line) = width.checked_mul(size).filter(|&line| line > 0) else { return false };
    let rows = row / line;
    // One row serves all of a matrix.
    let all = rows == height && whole && down == line as isize;
    let one = rows == 1 && down == 0;
    let place = row == rows * line && offset == 0;
    let moves = along == size as isize && (across == row as isize || matrices == 1);
    (all || one) && (operand.role == Role::Input || all == whole) && place && moves
}

/// Strides along three loops, of what has strides along some that go over the same elements.
fn loops(extents: &[usize], strides: &[isize], [matrices, height, width]: [usize; 3]) -> Option<[isize; 3]> {
    let (outer, inner) = split(extents, matrices)?;
    let rest: SmallVec<[usize; 4]> = inner.iter().map(|d| d.1).collect();
    let (middle, last) = split(&rest, height)?;
    if last.iter().map(|d| d.1).product::<usize>() != width {
        return None;
    }
    // The stride of the only loop of these that has several turns.
    let only = |dims: &[(usize, usize, isize)], nth: &dyn Fn(usize) -> isize| {
        let mut dims = dims.iter().filter(|d| d.1 > 1);
        let stride = dims.next().map_or(Some(0), |&(i, _, factor)| nth(i).checked_mul(factor));
        if dims.next().is_some() { None } else { stride }
    };
    let inside = |i: usize| strides[inner[i].0];
    Some([only(&outer, &|i| strides[i])?, only(&middle, &inside)?, only(&last, &inside)?])
}

impl<'m> Columns<'m> {
    /// Bytes of scratch memory that a part needs.
    pub fn scratch(&self) -> usize {
        self.layout.scratch
    }

    /// Cuts the columns of the matrices into at most about `count` parts, which may run in any order, on any thread.
    pub fn parts(&mut self, count: usize) -> impl ExactSizeIterator<Item = ColumnPart<'_>> + Send {
        let columns = &*self;
        let ColumnLayout { matrices, width, .. } = *columns.layout;
        // Whole matrices, if there are enough of them.
        let pieces = if matrices >= count { 1 } else { count.div_ceil(matrices) };
        let piece = if pieces == 1 { width } else { width.div_ceil(pieces).next_multiple_of(PIECE) };
        let all = matrices * width.div_ceil(piece);
        let step = all.div_ceil(count.max(1));
        let parts = all.div_ceil(step);
        (0..parts).map(move |n| ColumnPart { columns, pieces: n * step..((n + 1) * step).min(all), piece })
    }

    /// Runs all stages for some columns of a matrix.
    ///
    /// # Safety
    /// Nobody else uses these columns of memory that is written, nor the scratch memory, which has the size that
    /// [`Columns::scratch`] says.
    unsafe fn run(&self, matrix: usize, columns: Range<usize>, scratch: u64) {
        let layout = self.layout;
        let mut words: SmallVec<[u64; 80]> = SmallVec::new();
        words.extend([columns.len() as u64, layout.height as u64]);
        for ((base, [along, down, across]), operand) in self.bases.iter().zip(&layout.strides).zip(&layout.uses) {
            let base = match operand {
                Operand::Scratch(place) => scratch + *place as u64,
                Operand::Nothing => 0,
                Operand::Memory(_) => base
                    .wrapping_add((*across as u64).wrapping_mul(matrix as u64))
                    .wrapping_add((*along as u64).wrapping_mul(columns.start as u64)),
            };
            words.extend([base, *along as u64, *down as u64]);
        }
        // SAFETY: `ColumnLayout` checked that these columns of every operand lie in its memory, or, of a temporary, that scratch
        // memory has room for those of a group; the rest is the caller's promise.
        unsafe { self.code.run(&words, false) };
    }
}

impl ColumnPart<'_> {
    /// Runs the stages; `done` is told after each piece how many columns it had, and stops the run by an error.
    ///
    /// # Errors
    /// What `done` returns.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`Columns::scratch`] says, or not aligned to 64 bytes.
    pub fn run<E>(self, scratch: &mut [u8], mut done: impl FnMut(usize) -> Result<(), E>) -> Result<(), E> {
        debug_assert!(GROUP.is_multiple_of(ALIGN));
        let scratch = address(scratch, self.columns.scratch());
        let width = self.columns.layout.width;
        let each = width.div_ceil(self.piece);
        self.pieces.into_iter().try_for_each(|n| {
            let start = n % each * self.piece;
            let columns = start..(start + self.piece).min(width);
            let count = columns.len();
            // SAFETY: parts have disjoint pieces and run once; only this thread uses its scratch.
            unsafe { self.columns.run(n / each, columns, scratch) };
            done(count)
        })
    }
}

//! Stages over matrices whose columns they reduce: a few columns go through all stages before the next.
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
use super::whole::{RowWords, Unbound, Use};
use super::{Room, RowMemory, RowPlace, RowSource, RowStage, address, split};
use crate::kernel::{self, Class, Role};
use crate::launch::{LINE, LaunchError, reach};
use crate::reduce::Reduction;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// Bytes of a row that code works on at a time, of its widest elements.
const GROUP: usize = 128;
/// Sets of the first-level cache, each for the lines that lie a multiple of so many lines apart, and how many of them it holds at
/// least, in several caches.
const SETS: usize = 64;
const WAYS: usize = 8;
/// Elements of a stage between two times that somebody is told.
const STRETCH: usize = 1 << 18;
/// Columns that go through all stages at a time: groups of the narrowest elements.
const PIECE: usize = 128;

/// Stages that suit their memory, checked once for any number of calls; see the module's documentation.
pub struct ColumnLayout {
    pub(super) matrices: usize,
    height: usize,
    pub(super) width: usize,
    places: SmallVec<[RowPlace; 8]>,
    program: RowProgram,
    /// The number of rows is known.
    slab: Unbound,
    /// Of each operand, the stride from matrix to matrix.
    across: Vec<isize>,
    /// Operands in scratch memory, and where they are.
    scratch: SmallVec<[(usize, usize); 8]>,
    /// Bytes of scratch memory.
    bytes: usize,
}

/// Stages bound to memory and code; see the module's documentation.
pub struct Columns<'m> {
    layout: &'m ColumnLayout,
    code: &'m RowCode,
    /// The slab of the first matrix.
    words: &'m [u64],
    memory: PhantomData<&'m mut [u8]>,
}

/// Some columns of some matrices.
pub struct ColumnPart<'l> {
    columns: &'l Columns<'l>,
    /// Pieces of [`PIECE`] columns, matrix after matrix.
    pieces: Range<usize>,
}

impl ColumnLayout {
    /// Looks at stages over so many matrices of `height` rows and `width` columns. The loops of a stage are those of its matrices,
    /// rows and columns, as far as they are not one, and its sinks reduce columns. Bytes of a row of [`RowPlace`] are those of a
    /// matrix. `None` where there is no code for all stages, they break the invariants, or rows lie such that the lines of a group
    /// would drive each other out of the cache.
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
        let too_large = |p: &RowPlace| p.row().is_some_and(|row| matrices.checked_mul(row).is_none());
        if height.checked_mul(width).is_none() || places.iter().any(too_large) {
            return None;
        }
        let mut given = Vec::new();
        for stage in stages {
            let elements = stage.extents.iter().try_fold(1usize, |n, &e| n.checked_mul(e))?;
            given.push((stage, elements / matrices));
        }
        let mut room = Room(0);
        let temporary = |place: &RowPlace| match place {
            RowPlace::Temporary { row } => room.take(row / width * PIECE).ok().map(Some),
            RowPlace::Read | RowPlace::Write { .. } => Some(None),
        };
        let temporaries = places.iter().map(temporary).collect::<Option<_>>()?;
        let words = vec![0, height as u64];
        let shape = [matrices, height, width];
        let mut slab = Slab { shape, words, temporaries, ..Slab::default() };
        for (stage, elements) in &given {
            slab.stage(stage, *elements, &places)?;
        }
        let Slab { words, across, uses, scratch, fixed, .. } = slab;
        let program = RowProgram::columns(&given, &places, &fixed, [height, width])?;
        let slab = Unbound::new(words, uses, places.len());
        Some(ColumnLayout { matrices, height, width, places, program, slab, across, scratch, bytes: room.0 })
    }

    /// What one code for all stages has to do.
    pub fn program(&self) -> &RowProgram {
        &self.program
    }

    /// Has the key of the code be `program` itself, which is equal: code of it is then recognised at once.
    pub fn adopt(&mut self, program: &RowProgram) {
        self.program.adopt(program);
    }

    /// Binds memory, one for each place, and code of the program.
    ///
    /// # Errors
    /// Code of another program; memory that does not suit its place; an access outside the memory.
    pub fn bind<'m>(
        &'m self,
        code: &'m RowCode,
        words: &'m mut RowWords,
        memories: impl IntoIterator<Item = RowMemory<'m>>,
    ) -> Result<Columns<'m>, LaunchError> {
        if *code.program() != self.program {
            return Err(LaunchError::Operand { operand: 0, what: "code of another program" });
        }
        let words = self.slab.bind(words, self.matrices, &self.places, memories)?;
        Ok(Columns { layout: self, code, words, memory: PhantomData })
    }
}

/// A slab that grows stage by stage.
#[derive(Default)]
struct Slab {
    /// Matrices, rows, columns.
    shape: [usize; 3],
    /// Of each memory that is temporary, where in scratch memory it is.
    temporaries: SmallVec<[Option<usize>; 8]>,
    words: Vec<u64>,
    across: Vec<isize>,
    uses: Vec<Use>,
    scratch: SmallVec<[(usize, usize); 8]>,
    /// The memory that stages write.
    written: SmallVec<[usize; 8]>,
    /// Of each stage, the operands that are the same in each row.
    fixed: Vec<SmallVec<[bool; 8]>>,
}

impl Slab {
    /// Adds a stage with so many elements a matrix; `None` if it does not suit.
    fn stage(&mut self, stage: &RowStage<'_>, elements: usize, places: &[RowPlace]) -> Option<()> {
        let [matrices, height, width] = self.shape;
        let (whole, read) = (elements != width, self.written.clone());
        if elements != if whole { height * width } else { width }
            || elements * matrices != stage.extents.iter().product::<usize>()
            || stage.bindings.len() != stage.kernel.operands.len()
        {
            return None;
        }
        let (mut tiles, mut fixed) = (0, SmallVec::new());
        for (binding, operand) in stage.bindings.iter().zip(&stage.kernel.operands) {
            if binding.source == RowSource::Tile {
                let sink = stage.sinks.iter().find(|s| s.tile == tiles)?;
                tiles += 1;
                let row = width.checked_mul(sink.reduction.result_dtype().size())?;
                let suits = operand.role == Role::Output && operand.dtype == sink.reduction.dtype() && whole;
                if !suits || places.get(sink.memory)?.row()? != row {
                    return None;
                }
                // Results, in the place of the elements.
                self.writes(sink.memory)?;
                self.place([row / width, 0, row].map(|stride| stride as isize), sink.memory, (0, None));
                fixed.push(true);
                continue;
            }
            let RowSource::Memory(m) = binding.source else { return None };
            let (strides, place) = (&binding.strides, *places.get(m)?);
            let at @ [across, down, along] = column_strides(operand, &stage.extents, self.shape, strides)?;
            if self.temporaries[m].is_none() && conflicts(height, down) {
                return None;
            }
            let mut reaches = None;
            match (place, operand.role) {
                (RowPlace::Read, Role::Input) => {
                    reaches = Some(reach(operand.dtype.size(), &stage.extents, binding.offset, strides)?);
                }
                (RowPlace::Write { row } | RowPlace::Temporary { row }, role @ (Role::Input | Role::Output)) => {
                    let own = is_own(operand, whole, self.shape, row, binding.offset, at);
                    if !own || (role == Role::Input) != read.contains(&m) {
                        return None;
                    }
                }
                _ => return None,
            }
            if operand.role == Role::Output {
                self.writes(m)?;
            }
            self.place([along, down, across], m, (binding.offset, reaches));
            // Where there is one row, nothing is gained.
            fixed.push(whole && down == 0);
        }
        for _ in 0..tiles {
            // States stay in registers.
            self.words.extend([0; 3]);
            self.across.push(0);
        }
        self.fixed.push(fixed);
        (tiles == stage.sinks.len()).then_some(())
    }

    /// Notes that a stage writes memory, which none before has written.
    fn writes(&mut self, memory: usize) -> Option<()> {
        (!self.written.contains(&memory)).then(|| self.written.push(memory))
    }

    /// Adds an operand in memory, or in scratch memory if its memory is temporary.
    fn place(
        &mut self,
        [along, down, across]: [isize; 3],
        memory: usize,
        (offset, reach): (isize, Option<(isize, isize)>),
    ) {
        let operand = self.across.len();
        let (down, across) = match self.temporaries[memory] {
            Some(place) => {
                self.scratch.push((operand, place));
                (if down == 0 { 0 } else { along * PIECE as isize }, 0)
            }
            None => {
                self.uses.push(Use { memory, operand, offset, reach });
                (down, across)
            }
        };
        self.words.extend([0, along as u64, down as u64]);
        self.across.push(across);
    }
}

/// Whether a stage with loops `extents` has all rows of so many matrices of so many columns, and not one.
fn is_whole(extents: &[usize], [matrices, width]: [usize; 2]) -> bool {
    extents.iter().product::<usize>() != matrices.saturating_mul(width)
}

/// Strides from matrix to matrix, from row to row and along a row of an operand, of a stage with loops `extents`; `None` if it has
/// none, or the code of columns cannot go by them.
fn column_strides(
    operand: &kernel::Operand,
    extents: &[usize],
    [matrices, height, width]: [usize; 3],
    strides: &[isize],
) -> Option<[isize; 3]> {
    let rows = if is_whole(extents, [matrices, width]) { height } else { 1 };
    let at = loops(extents, strides, [matrices, rows, width])?;
    let along = match operand.class {
        Class::Contiguous => operand.dtype.size() as isize,
        Class::Broadcast => 0,
        Class::Strided => return None,
    };
    (at[2] == along).then_some(at)
}

/// Whether the lines of a group in so many rows, which are so many bytes apart, are more than the sets hold in which they lie.
fn conflicts(height: usize, down: isize) -> bool {
    // A row that is the same for all has a few lines.
    if down == 0 {
        return false;
    }
    let mut sets = [0; SETS];
    for row in 0..height as isize {
        let first = row.wrapping_mul(down);
        let line = |byte: usize| first.wrapping_add_unsigned(byte).div_euclid(LINE as isize);
        (line(0)..=line(GROUP - 1)).for_each(|line| sets[line.rem_euclid(SETS as isize) as usize] += 1);
    }
    sets.into_iter().any(|lines| lines > WAYS)
}

/// Whether code could take columns of so many matrices, rows and columns through a stage over `extents` in which this operand moves
/// so: elements of a row lie side by side or are one, and rows do not share a few sets of the cache. `own`: the offset of what it
/// accesses, in memory that stages write, with so many bytes a matrix; see the module's documentation.
pub fn column_local(
    operand: &kernel::Operand,
    extents: &[usize],
    shape: [usize; 3],
    strides: &[isize],
    own: Option<(isize, usize)>,
) -> bool {
    let whole = is_whole(extents, [shape[0], shape[2]]);
    column_strides(operand, extents, shape, strides).is_some_and(|at| {
        !conflicts(shape[1], at[1]) && own.is_none_or(|(offset, row)| is_own(operand, whole, shape, row, offset, at))
    })
}

/// Whether it accesses the element of the same matrix, row and column, by strides from matrix to matrix, from row to row, and along
/// a row; `whole`: the stage has all rows, and not one.
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
    if strides.len() != extents.len() {
        return None;
    }
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
        self.layout.bytes
    }

    /// Cuts the columns of the matrices into at most about `count` parts, which may run in any order, on any thread.
    pub fn parts(&mut self, count: usize) -> impl ExactSizeIterator<Item = ColumnPart<'_>> + Send {
        let columns = &*self;
        let all = columns.layout.matrices * columns.layout.width.div_ceil(PIECE);
        let step = all.div_ceil(count.max(1));
        let parts = all.div_ceil(step);
        (0..parts).map(move |n| ColumnPart { columns, pieces: n * step..((n + 1) * step).min(all) })
    }

    /// Runs all stages for at most [`PIECE`] columns of a matrix.
    ///
    /// # Safety
    /// Nobody else uses these columns of memory that is written, nor the scratch memory, which has the size that
    /// [`Columns::scratch`] says.
    unsafe fn run(&self, matrix: usize, columns: Range<usize>, scratch: u64) {
        let layout = self.layout;
        let mut words: SmallVec<[u64; 80]> = SmallVec::from_slice(self.words);
        words[0] = columns.len() as u64;
        if matrix > 0 || columns.start > 0 {
            for (operand, across) in words[2..].chunks_exact_mut(3).zip(&layout.across) {
                let columns = operand[1].wrapping_mul(columns.start as u64);
                operand[0] =
                    operand[0].wrapping_add((*across as u64).wrapping_mul(matrix as u64)).wrapping_add(columns);
            }
        }
        for &(operand, place) in &layout.scratch {
            words[2 + 3 * operand] = scratch + place as u64;
        }
        // SAFETY: `ColumnLayout` checked that these columns of every operand lie in its memory, or, of a temporary, that scratch
        // memory has room for as many; the rest is the caller's promise.
        unsafe { self.code.run(&words, false) };
    }
}

impl ColumnPart<'_> {
    /// Runs the stages; `done` is told now and then how many columns are done, and stops the run by an error.
    ///
    /// # Errors
    /// What `done` returns.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`Columns::scratch`] says, or not aligned to 64 bytes.
    pub fn run<E>(self, scratch: &mut [u8], mut done: impl FnMut(usize) -> Result<(), E>) -> Result<(), E> {
        let scratch = address(scratch, self.columns.scratch());
        let ColumnLayout { height, width, .. } = *self.columns.layout;
        let (each, mut count) = (width.div_ceil(PIECE), 0);
        for n in self.pieces {
            let start = n % each * PIECE;
            let columns = start..(start + PIECE).min(width);
            count += columns.len();
            // SAFETY: parts have disjoint pieces and run once; only this thread uses its scratch.
            unsafe { self.columns.run(n / each, columns, scratch) };
            if count * height >= STRETCH {
                done(std::mem::take(&mut count))?;
            }
        }
        if count > 0 { done(count) } else { Ok(()) }
    }
}

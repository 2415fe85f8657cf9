//! Running code that does all stages: the slab of a few rows, and the memory that it is about.

use super::code::{RING, RowCode, RowProgram};
use super::{Dims, Room, RowLayout, RowMemory, RowPlace, RowSink, RowSource, RowStage, Stage, address, block, split};
use crate::code::fence;
use crate::kernel::{Class, Role};
use crate::launch::{Bound, LaunchError};
use crate::target::Target;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Range;

/// What is known before there is memory.
pub(super) struct Whole {
    program: RowProgram,
    /// The length of rows is known.
    slab: Unbound,
    /// Operands in scratch memory, and where there the first row of each chunk is.
    scratch: SmallVec<[(usize, usize); 8]>,
    /// Bytes of scratch memory.
    bytes: usize,
    /// Bytes of the longest row of an operand.
    row: usize,
    /// Whether the outputs of the last stage are read by none.
    leaves: bool,
}

/// A slab without the addresses of memory, and where they belong.
pub(super) struct Unbound {
    /// Strides, extents as far as they are known, what indices begin at.
    pub(super) words: Vec<u64>,
    /// Operands in memory that is not scratch, by the number of the memory: of each, those from the number before on.
    uses: Vec<Use>,
    ends: SmallVec<[usize; 8]>,
}

/// An operand of the slab, and what it accesses from where offsets count.
pub(super) struct Use {
    pub(super) memory: usize,
    pub(super) operand: usize,
    pub(super) offset: isize,
    /// The bytes that it reads, of memory that is only read.
    pub(super) reach: Option<(isize, isize)>,
}

/// Room for the words of a slab, so that they need not be moved.
#[derive(Default)]
pub struct RowWords(SmallVec<[u64; 80]>);

impl Unbound {
    /// These words, and the operands that are in so many memories.
    pub(super) fn new(words: Vec<u64>, mut uses: Vec<Use>, memories: usize) -> Unbound {
        uses.sort_by_key(|u| u.memory);
        let ends = (0..memories).map(|m| uses.partition_point(|u| u.memory <= m)).collect();
        Unbound { words, uses, ends }
    }

    /// The words with the addresses of these memories, one for each place, of so many rows.
    pub(super) fn bind<'w, 'm>(
        &self,
        words: &'w mut RowWords,
        rows: usize,
        places: &[RowPlace],
        memories: impl IntoIterator<Item = RowMemory<'m>>,
    ) -> Result<&'w [u64], LaunchError> {
        let words = &mut words.0;
        words.clear();
        words.extend_from_slice(&self.words);
        let (mut given, mut from) = (0, 0);
        for (memory, (place, &end)) in memories.into_iter().zip(places.iter().zip(&self.ends)) {
            given += 1;
            let uses = &self.uses[std::mem::replace(&mut from, end)..end];
            let start = match (memory, place) {
                (RowMemory::Read(bytes, start), RowPlace::Read) => {
                    for u in uses {
                        let inside = |end: isize| start.checked_add_signed(end).is_some_and(|end| end <= bytes.len());
                        if u.reach.is_some_and(|(low, high)| !(inside(low) && inside(high))) {
                            return Err(LaunchError::Operand { operand: u.operand, what: "read outside its memory" });
                        }
                    }
                    (bytes.as_ptr() as u64).wrapping_add(start as u64)
                }
                (RowMemory::Write(bytes), RowPlace::Write { row }) if bytes.len() >= rows * row => {
                    bytes.as_mut_ptr() as u64
                }
                (RowMemory::Nothing, RowPlace::Temporary { .. }) => 0,
                _ => return Err(LaunchError::Extents),
            };
            for u in uses {
                words[2 + 3 * u.operand] = start.wrapping_add_signed(u.offset as i64);
            }
        }
        if given != places.len() {
            return Err(LaunchError::Count { expected: places.len(), given });
        }
        Ok(words)
    }
}

/// All stages bound to memory, and to code that does all of them.
pub struct WholeRows<'m> {
    layout: &'m RowLayout,
    whole: &'m Whole,
    code: &'m RowCode,
    /// The slab of all rows.
    words: &'m [u64],
    far: bool,
    memory: PhantomData<&'m mut [u8]>,
}

/// Some of the rows.
pub struct WholePart<'l> {
    rows: &'l WholeRows<'l>,
    range: Range<usize>,
}

impl Whole {
    /// `None` where there is no code for all: see [`RowProgram::new`]; or rows are not one loop, nor elements.
    pub(super) fn new(
        given: &[(RowStage<'_>, usize)],
        looked: &[Stage],
        places: &[RowPlace],
        (rows, chunk): (usize, usize),
    ) -> Option<Whole> {
        let program = RowProgram::new(given, places)?;
        let mut room = Room(0);
        let temporary = |place: &RowPlace| match place {
            RowPlace::Temporary { row } => room.take(chunk.min(RING) * row).ok().map(Some),
            RowPlace::Read | RowPlace::Write { .. } => Some(None),
        };
        let temporaries: SmallVec<[Option<usize>; 8]> = places.iter().map(temporary).collect::<Option<_>>()?;
        let width = given.iter().map(|s| s.1).max()?;
        let (mut words, mut scratch) = (vec![width as u64, 0], SmallVec::new());
        let mut uses: Vec<Use> = Vec::new();
        let mut add = |words: &mut Vec<u64>, memory: usize, offset: isize, reach, s0: isize, s1: isize| {
            let operand = (words.len() - 2) / 3;
            words.extend([0, s0 as u64, s1 as u64]);
            match temporaries[memory] {
                Some(place) => scratch.push((operand, place.wrapping_add_signed(offset))),
                None => uses.push(Use { memory, operand, offset, reach }),
            }
        };
        let mut states_at = Vec::new();
        for ((stage, elements), looked) in given.iter().zip(looked) {
            let (outer, inner) = split(&stage.extents, rows)?;
            let (outer, inner) = (one(&outer)?, one(&inner)?);
            let along = |strides: &[isize], dim: Option<(usize, isize)>, none: isize| {
                dim.map_or(Some(none), |(i, factor)| strides[i].checked_mul(factor))
            };
            let mut states = SmallVec::<[usize; 2]>::new();
            for (i, (binding, operand)) in stage.bindings.iter().zip(&stage.kernel.operands).enumerate() {
                let size = operand.dtype.size() as isize;
                let s0 = along(&binding.strides, inner, if *elements == 1 { 0 } else { size })?;
                let s1 = along(&binding.strides, outer, 0)?;
                // What a loop of one turn allows, code does not look at.
                let suits = match operand.class {
                    _ if *elements == 1 || operand.role == Role::Index => true,
                    Class::Contiguous => s0 == size,
                    Class::Broadcast => s0 == 0,
                    Class::Strided => true,
                };
                if !suits {
                    return None;
                }
                match binding.source {
                    RowSource::Index => words.extend([binding.offset as u64, s0 as u64, s1 as u64]),
                    RowSource::Memory(memory) => {
                        let bound: &Bound = &looked.accesses.operands[i];
                        let reach = matches!(places[memory], RowPlace::Read).then_some((bound.low, bound.high));
                        add(&mut words, memory, binding.offset, reach, s0, s1);
                    }
                    RowSource::Tile => {
                        let sink = looked.sinks.iter().find(|s| s.sink.tile == states.len())?;
                        let RowSink { memory, reduction, .. } = sink.sink;
                        debug_assert_eq!(operand.role, Role::Output, "a tile is written");
                        add(&mut words, memory, 0, None, 0, places[memory].row()? as isize);
                        states.push(room.take(elements.div_ceil(block(&reduction)) * reduction.state_size()).ok()?);
                    }
                }
            }
            for place in states {
                states_at.push(((words.len() - 2) / 3, place));
                words.extend([0; 3]);
            }
        }
        scratch.extend(states_at);
        let read = |m: usize| looked.iter().any(|s| s.accesses(Role::Input).any(|a| a.1 == m));
        let last = looked.last()?;
        let stored = |i: usize| last.accesses.operands[i].operand.class == Class::Contiguous;
        let own = |(i, m): (usize, usize)| matches!(places[m], RowPlace::Write { .. }) && !read(m) && stored(i);
        let leaves = last.sinks.is_empty() && last.accesses(Role::Output).all(own);
        let slab = Unbound::new(words, uses, places.len());
        let sizes = given.iter().flat_map(|(s, n)| s.kernel.operands.iter().map(move |o| n * o.dtype.size()));
        let row = sizes.max().unwrap_or_default();
        Some(Whole { program, slab, scratch, bytes: room.0, row, leaves })
    }

    pub(super) fn program(&self) -> &RowProgram {
        &self.program
    }
}

/// The only loop of these that has several turns, by its dimension and factor; `None` if there are several such loops.
fn one(dims: &Dims) -> Option<Option<(usize, isize)>> {
    let mut dims = dims.iter().filter(|d| d.1 > 1);
    let first = dims.next().map(|&(i, _, factor)| (i, factor));
    dims.next().is_none().then_some(first)
}

impl RowLayout {
    /// Has the key of the code be `program` itself, which is equal: code of it is then recognised at once.
    pub fn adopt(&mut self, program: &RowProgram) {
        if let Some(whole) = &mut self.whole {
            whole.program.adopt(program);
        }
    }

    /// Has one code of all stages be what suits the target, with a first-level cache of so many bytes.
    pub fn suit(&mut self, target: &Target, first_cache: usize) {
        if let Some(whole) = &mut self.whole {
            let elements = whole.slab.words[0] as usize;
            let rows = [self.rows, elements, whole.row];
            whole.program.suit(rows, target, first_cache);
        }
    }

    /// Binds memory, one for each place, and code that does all. The bits are those that [`RowLayout::bind`] leads to.
    ///
    /// # Errors
    /// Code of another program; memory as for [`RowLayout::bind`].
    pub fn bind_whole<'m>(
        &'m self,
        code: &'m RowCode,
        words: &'m mut RowWords,
        memories: impl IntoIterator<Item = RowMemory<'m>>,
    ) -> Result<WholeRows<'m>, LaunchError> {
        let fail = LaunchError::Operand { operand: 0, what: "code of another program" };
        let whole = self.whole.as_ref().filter(|w| w.program == *code.program()).ok_or(fail)?;
        let words = whole.slab.bind(words, self.rows, &self.places, memories)?;
        Ok(WholeRows { layout: self, whole, code, words, far: false, memory: PhantomData })
    }
}

impl WholeRows<'_> {
    /// Bytes of scratch memory that a part needs.
    pub fn scratch(&self) -> usize {
        self.whole.bytes
    }

    /// Has the last stage write around the caches, and the first ask for its inputs ahead, if the last one stores rows that no
    /// stage reads.
    pub fn around_caches(&mut self) {
        self.far = self.whole.leaves;
    }

    /// Cuts the rows into at most `count` parts, of whole chunks. Parts may run in any order, on any thread.
    pub fn parts(&mut self, count: usize) -> impl ExactSizeIterator<Item = WholePart<'_>> + Send {
        let this = &*self;
        this.layout.ranges(count).map(move |range| WholePart { rows: this, range })
    }

    /// Runs all stages for some rows.
    ///
    /// # Safety
    /// Nobody else uses these rows of memory that is written, nor the scratch memory, which has the size that
    /// [`WholeRows::scratch`] says. They are no more than a chunk, if that has fewer than [`RING`].
    unsafe fn rows(&self, rows: Range<usize>, scratch: u64) {
        debug_assert!(self.layout.chunk >= RING || rows.len() <= self.layout.chunk, "temporaries have less room");
        let mut words: SmallVec<[u64; 80]> = SmallVec::from_slice(self.words);
        words[1] = rows.len() as u64;
        if rows.start > 0 {
            for operand in words[2..].chunks_exact_mut(3) {
                operand[0] = operand[0].wrapping_add((rows.start as u64).wrapping_mul(operand[2]));
            }
        }
        for &(i, place) in &self.whole.scratch {
            words[2 + 3 * i] = scratch + place as u64;
        }
        // SAFETY: `RowLayout` checked that these rows of every operand lie in its memory, or, of a temporary, in the part of
        // scratch that holds as many rows as are in use at a time, and that there is room for the states of a row; the
        // rest is the caller's promise.
        unsafe { self.code.run(&words, self.far) };
    }
}

impl WholePart<'_> {
    /// Runs the stages for all rows of the part or, where it is `watched` or rows are long, for a chunk at a time; `done` is
    /// told how many rows there were, and stops the run by an error.
    ///
    /// # Errors
    /// What `done` returns.
    ///
    /// # Panics
    /// If `scratch` is smaller than [`WholeRows::scratch`] says, or not aligned to 64 bytes.
    pub fn run<E>(
        self,
        scratch: &mut [u8],
        watched: bool,
        mut done: impl FnMut(usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let all = self.rows;
        let scratch = address(scratch, all.scratch());
        let mut run = |rows: Range<usize>| {
            let n = rows.len();
            // SAFETY: parts have disjoint rows and run once; only this thread uses its scratch; short chunks come one by one.
            unsafe { all.rows(rows, scratch) };
            done(n)
        };
        // Of temporaries there is room for the rows of a chunk, if those are fewer than are in use at a time.
        let by_chunk = watched || all.layout.chunk < RING;
        let told = if by_chunk { all.layout.chunks(self.range).try_for_each(run) } else { run(self.range) };
        if all.far {
            fence();
        }
        told
    }
}

//! The memory of code that does all: the slab of a few rows for all stages.

use super::code::{RING, RowCode, RowProgram};
use super::{Bytes, ReadFrom, Room, RowLayout, RowPlace, RowSink, RowSource, RowStage, Stage, block, split};
use crate::kernel::Role;
use crate::launch::{self, LaunchError};
use smallvec::SmallVec;
use std::ops::Range;

/// What is known before there is memory.
pub(super) struct Whole {
    pub(super) program: RowProgram,
    /// Of the slab, with strides and the length of rows.
    words: Vec<u64>,
    operands: Vec<Access>,
    /// Where temporaries are in scratch memory, by the number of their place, and how much is needed.
    temporaries: SmallVec<[usize; 8]>,
    pub(super) scratch: usize,
}

/// What an operand of the slab accesses.
#[derive(Clone, Copy)]
enum Access {
    /// An operand of a stage, in memory of this number.
    Operand { stage: usize, operand: usize, memory: usize },
    /// An index, by its first value.
    Index(u64),
    /// Results, one a row, in memory of this number.
    Results { memory: usize },
    /// States of a row, from this place in scratch on.
    States(usize),
}

/// Code with its memory.
pub(super) struct Bound<'m> {
    pub(super) code: &'m RowCode,
    /// The slab of all rows.
    words: Vec<u64>,
    /// Operands in scratch memory, and where there the first row of each chunk is.
    scratch: SmallVec<[(usize, usize); 8]>,
    /// Whether outputs are written around the caches, and inputs asked for ahead of their use.
    pub(super) far: bool,
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
            RowPlace::Temporary { row } => room.take(chunk.min(RING) * row).ok(),
            RowPlace::Read | RowPlace::Write { .. } => Some(0),
        };
        let temporaries: SmallVec<[usize; 8]> = places.iter().map(temporary).collect::<Option<_>>()?;
        let width = given.iter().map(|s| s.1).max()?;
        let mut operands: Vec<(Access, isize, isize)> = Vec::new();
        for (number, ((stage, elements), looked)) in given.iter().zip(looked).enumerate() {
            let (outer, inner) = split(&stage.extents, rows)?;
            let one = |dims: &super::Dims| -> Option<Option<(usize, isize)>> {
                let mut dims = dims.iter().filter(|d| d.1 > 1);
                let first = dims.next().map(|&(i, _, factor)| (i, factor));
                dims.next().is_none().then_some(first)
            };
            let (outer, inner) = (one(&outer)?, one(&inner)?);
            let along = |strides: &[isize], dim: Option<(usize, isize)>, none: isize| {
                dim.map_or(Some(none), |(i, factor)| strides[i].checked_mul(factor))
            };
            let mut states = Vec::new();
            let mut tile = 0;
            for (i, (binding, operand)) in stage.bindings.iter().zip(&stage.kernel.operands).enumerate() {
                let size = operand.dtype.size() as isize;
                let s0 = along(&binding.strides, inner, if *elements == 1 { 0 } else { size })?;
                let s1 = along(&binding.strides, outer, 0)?;
                operands.push(match binding.source {
                    RowSource::Index => (Access::Index(binding.offset as u64), s0, s1),
                    RowSource::Memory(memory) => (Access::Operand { stage: number, operand: i, memory }, s0, s1),
                    RowSource::Tile => {
                        let sink = looked.sinks.iter().find(|s| s.sink.tile == tile)?;
                        tile += 1;
                        let RowSink { memory, reduction, .. } = sink.sink;
                        let (blocks, state) = (elements.div_ceil(block(&reduction)), reduction.state_size());
                        states.push((Access::States(room.take(blocks * state).ok()?), 0, 0));
                        let row = places.get(memory)?.row()?;
                        debug_assert!(operand.role == Role::Output && reduction.result_dtype().size() == row);
                        (Access::Results { memory }, 0, row as isize)
                    }
                });
            }
            operands.extend(states);
        }
        let mut words = vec![width as u64, 0];
        operands.iter().for_each(|&(_, s0, s1)| words.extend([0, s0 as u64, s1 as u64]));
        Some(Whole {
            program,
            words,
            temporaries,
            scratch: room.0,
            operands: operands.into_iter().map(|o| o.0).collect(),
        })
    }

    /// With memory.
    pub(super) fn bind<'m>(
        &self,
        layout: &RowLayout,
        code: &'m RowCode,
        memories: &[Bytes],
        read: &[ReadFrom],
    ) -> Result<Bound<'m>, LaunchError> {
        let (mut words, mut scratch) = (self.words.clone(), SmallVec::new());
        let mut set = |i: usize, base: u64| words[2 + 3 * i] = base;
        for (i, access) in self.operands.iter().enumerate() {
            let (memory, offset, bound) = match *access {
                Access::Index(first) => {
                    set(i, first);
                    continue;
                }
                Access::States(place) => {
                    scratch.push((i, place));
                    continue;
                }
                Access::Results { memory } => (memory, 0, None),
                Access::Operand { stage, operand, memory } => {
                    let bound: &launch::Bound = &layout.stages[stage].accesses.operands[operand];
                    (memory, bound.offset, Some((operand, bound)))
                }
            };
            match memories[memory] {
                Bytes::Write(address) => set(i, address.wrapping_add(offset as u64)),
                Bytes::Scratch(_) => scratch.push((i, self.temporaries[memory].wrapping_add(offset as usize))),
                Bytes::Read => {
                    let what = "results in memory that is only read";
                    let (operand, bound) = bound.ok_or(LaunchError::Operand { operand: i, what })?;
                    set(i, read[memory].address(operand, bound)?);
                }
            }
        }
        Ok(Bound { code, words, scratch, far: false })
    }
}

impl Bound<'_> {
    /// Takes rows through all stages; `scratch` is the address of scratch memory of the size that the layout asks for.
    ///
    /// # Safety
    /// Nobody else uses these rows of memory that is written, nor the scratch memory.
    #[allow(unsafe_code)]
    pub(super) unsafe fn run(&self, rows: Range<usize>, scratch: u64) {
        let mut words: SmallVec<[u64; 80]> = SmallVec::from_slice(&self.words);
        words[1] = rows.len() as u64;
        for operand in words[2..].chunks_exact_mut(3) {
            operand[0] = operand[0].wrapping_add((rows.start as u64).wrapping_mul(operand[2]));
        }
        for &(i, place) in &self.scratch {
            words[2 + 3 * i] = scratch + place as u64;
        }
        // SAFETY: `RowLayout` checked that these rows of every operand lie in its memory, or, of a temporary, in the part of
        // scratch that holds the rows of a chunk, and that there is room for the states of a row; the rest is the caller's
        // promise.
        unsafe { self.code.run(&words, self.far) };
    }
}

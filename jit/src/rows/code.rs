//! One code for all stages: no call, and hardly an instruction, between a stage and the next.

use super::{RowPlace, RowSource, RowStage};
use crate::code::CodeError;
use crate::kernel::{Class, Kernel, Prim, Role};
use crate::reduce::{Reduction, states};
use crate::target::Target;
use forms::Forms;
use smallvec::SmallVec;
use std::sync::Arc;

#[cfg_attr(not(target_arch = "x86_64"), path = "code/none.rs")]
mod forms;

/// For so many rows there is room in scratch memory, of which each takes the place of the one as many rows before.
pub(super) const RING: usize = 16;

/// What the stages of a [`RowLayout`](super::RowLayout) or a [`ColumnLayout`](super::ColumnLayout) compute, whatever their
/// memory: what [`RowCode`] is made of. It is the key of a cache of code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RowProgram {
    /// Whether columns are reduced.
    columns: bool,
    pace: Pace,
    /// Rows that are divided have few elements.
    pub(super) short: bool,
    /// Clones are equal at a glance, as those of an `Arc` of something sized are.
    stages: Arc<Vec<RowKernel>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct RowKernel {
    kernel: Kernel,
    /// A reduction for each output; none if elements are stored.
    reductions: SmallVec<[Reduction; 2]>,
    /// There is one element a row, or one row.
    once: bool,
    /// The operands that are in scratch memory.
    scratch: SmallVec<[bool; 8]>,
    /// Of columns, the operands that are the same in each row.
    fixed: SmallVec<[bool; 8]>,
}

/// How rows follow one another through the stages: a row behind the stage before it, as a rule. It makes a difference for elements
/// of which there is one a row.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Pace {
    /// What is made of such an element is made of the same row: of a long one, the time that it waits is little, and fewer rows are in the
    /// cache at a time.
    Close,
    /// As a rule.
    Even,
    /// Such an element is made of a reduction's result of two rows before. That of the row before is there long after the CPU
    /// could begin with the next row, if it is a short one.
    Wide,
}

/// Elements of a row below which it is short.
const SHORT: usize = 48;

/// Rows for each that stages have at once, from which on the first and the last, which not all have, are few.
const MANY: usize = 8;

/// Instructions that the loops of a step are worth, when it is compiled.
const LOOP: usize = 16;
/// Instructions of a step from which on others beside it win nothing, and are only more to give registers to.
const LONG: usize = 100;

const _: () = assert!(RowProgram::STAGES <= RING && RING.is_power_of_two());

impl RowProgram {
    /// The most stages: each is about a row behind the one before it, and short rows of all are to be in the first-level cache.
    pub const STAGES: usize = 12;

    /// Whether a kernel is short enough for a stage.
    pub fn takes(kernel: &Kernel) -> bool {
        kernel.insts.len() < LONG
    }

    /// The program of stages that have been looked at, with their elements a row. `None` where no code can do all: no
    /// stage reduces, rows have several lengths, or a stage has operands or a program of another kind.
    pub(super) fn new(stages: &[(RowStage<'_>, usize)], places: &[RowPlace]) -> Option<RowProgram> {
        let width = stages.iter().map(|s| s.1).max().filter(|&w| w > 1)?;
        RowProgram::of(stages, places, None, [1, width])
    }

    /// The same of stages that reduce the columns of matrices of so many rows and columns. Elements of operands that move lie
    /// side by side; of each stage, some are the same in each row.
    pub(super) fn columns(
        stages: &[(RowStage<'_>, usize)],
        places: &[RowPlace],
        fixed: &[SmallVec<[bool; 8]>],
        [height, width]: [usize; 2],
    ) -> Option<RowProgram> {
        RowProgram::of(stages, places, Some(fixed), [width, height * width])
    }

    /// The program of stages of which each has the one number of elements a row, or the other. `fixed`: they reduce columns.
    fn of(
        stages: &[(RowStage<'_>, usize)],
        places: &[RowPlace],
        fixed: Option<&[SmallVec<[bool; 8]>]>,
        [few, many]: [usize; 2],
    ) -> Option<RowProgram> {
        let columns = fixed.is_some();
        let reduces = stages.iter().any(|(s, _)| !s.sinks.is_empty());
        if !reduces || !(2..=RowProgram::STAGES).contains(&stages.len()) {
            return None;
        }
        let stages = stages.iter().enumerate().map(|(n, (stage, elements))| {
            let fixed = fixed.and_then(|f| f.get(n)).cloned().unwrap_or_default();
            let once = *elements == few && stage.sinks.is_empty();
            let mut kernel = stage.kernel.clone();
            if !RowProgram::takes(&kernel) || !(once || *elements == many) {
                return None;
            }
            if once && !columns {
                if kernel.insts.iter().any(|i| i.prim == Prim::Index) {
                    return None;
                }
                // What is one element a row is the same for a row.
                kernel.operands.iter_mut().for_each(|o| {
                    o.class = if o.role == Role::Output { Class::Contiguous } else { Class::Broadcast };
                });
            }
            // Results are what states are, or floats of which they are the keys.
            let same = |r: &Reduction| r.state_size() == r.result_dtype().size();
            let outputs = kernel.operands.iter().filter(|o| o.role == Role::Output).count();
            let by_tile = |tile: usize| stage.sinks.iter().find(|s| s.tile == tile).map(|s| s.reduction);
            let reductions: SmallVec<[Reduction; 2]> = (0..outputs).filter_map(by_tile).collect();
            let mut tiles = 0..;
            let mut results = || {
                let tile = tiles.next();
                stage.sinks.iter().find(|s| Some(s.tile) == tile).map(|s| s.memory)
            };
            let scratch = stage.bindings.iter().map(|b| match b.source {
                RowSource::Memory(m) => Some(m),
                RowSource::Tile => results(),
                RowSource::Index => None,
            });
            let temporary =
                |m: Option<usize>| m.is_some_and(|m| matches!(places.get(m), Some(RowPlace::Temporary { .. })));
            let scratch = scratch.map(temporary).collect();
            let suits = stage.sinks.is_empty() || reductions.len() == outputs && outputs == stage.sinks.len();
            let numbers = !columns || reductions.is_empty() || states(&kernel, &reductions).is_some();
            (suits && numbers && reductions.iter().all(same)).then_some(RowKernel {
                kernel,
                reductions,
                once,
                scratch,
                fixed,
            })
        });
        Some(RowProgram { columns, pace: Pace::Even, short: false, stages: Arc::new(stages.collect::<Option<_>>()?) })
    }

    /// Has code suit so many rows, of so many elements and bytes each, and the target, whose first-level cache has so many bytes.
    pub(super) fn suit(&mut self, [rows, elements, row]: [usize; 3], target: &Target, cache: usize) {
        // Elsewhere this was not measured, or is slower.
        if !target.is_zen4() {
            return;
        }
        let divides = |s: &RowKernel| !s.once && s.kernel.insts.iter().any(|i| i.prim == Prim::FDiv);
        self.short = elements < SHORT && self.stages.iter().any(divides);
        let held = |pace: Pace| RowProgram { pace, ..self.clone() }.behind().last().map_or(0, |last| last + 1);
        let [close, even, wide] = [Pace::Close, Pace::Even, Pace::Wide].map(held);
        self.pace = if even < wide && wide <= RING && wide * row <= cache / 2 && rows >= MANY * wide {
            Pace::Wide
        } else if close < even && even * row > cache {
            Pace::Close
        } else {
            Pace::Even
        };
    }

    /// How many rows each stage is behind the first.
    pub(super) fn behind(&self) -> SmallVec<[usize; 12]> {
        let mut behind = 0;
        let next = self.stages[1..].iter().map(|next| next.once).chain([false]);
        let each = self.stages.iter().zip(next).map(|(stage, next)| {
            let by = match self.pace {
                Pace::Close if stage.once => 0,
                Pace::Wide if next && !stage.once => 2,
                Pace::Close | Pace::Even | Pace::Wide => 1,
            };
            behind += by;
            behind - by
        });
        each.collect()
    }

    /// Becomes `program` itself, if it equals that.
    pub(super) fn adopt(&mut self, program: &RowProgram) {
        if self == program {
            *self = program.clone();
        }
    }

    /// Words of a slab.
    fn words(&self) -> usize {
        let operands = self.stages.iter().map(|s| s.kernel.operands.len() + s.reductions.len());
        2 + 3 * operands.sum::<usize>()
    }

    /// Instructions of all stages, with those of their loops.
    pub fn instructions(&self) -> usize {
        self.stages.iter().map(|s| s.kernel.insts.len() + LOOP).sum()
    }
}

/// Code of the backend `wide` that takes rows through all stages of a [`RowProgram`], with the bits that the stages have one
/// by one.
///
/// In one pass of its loop, each stage has the row behind that of the stage before it, or almost ([`Pace`]). So a stage does not
/// wait for the one before it, and what one leaves idle (a divider, the ports of memory) is there for the others. Where columns are
/// reduced, a few of them go through one stage after another.
pub struct RowCode {
    target: Target,
    program: RowProgram,
    /// Those of a slab.
    words: usize,
    forms: Forms,
}

impl RowCode {
    /// Compiles a program.
    ///
    /// # Errors
    /// [`CodeError::Malformed`] if a kernel breaks its invariants; [`CodeError::NoCompiler`] if there is no machine code for the
    /// target; [`CodeError::Compiler`] where the backend does not exist, or a stage is nothing that it can do in registers: the
    /// stages have to run one by one.
    pub fn compile(program: &RowProgram, target: &Target) -> Result<RowCode, CodeError> {
        program.stages.iter().try_for_each(|s| s.kernel.verify()).map_err(CodeError::Malformed)?;
        let forms = Forms::compile(program, target)?;
        Ok(RowCode { target: target.clone(), program: program.clone(), words: program.words(), forms })
    }

    /// Code for the first runs of a program: it is made in 0.3 to 0.5 of the time that [`RowCode::compile`] takes, and takes 1.2 to
    /// 1.5 times as long to run. `None` where there is no code.
    pub fn draft(program: &RowProgram, target: &Target) -> Option<RowCode> {
        program.stages.iter().try_for_each(|s| s.kernel.verify()).ok()?;
        let forms = Forms::draft(program, target).ok()?;
        Some(RowCode { target: target.clone(), program: program.clone(), words: program.words(), forms })
    }

    /// The program.
    pub fn program(&self) -> &RowProgram {
        &self.program
    }

    /// The machine code in assembly, disassembled from the bytes that run.
    pub fn asm(&self) -> String {
        let (bytes, offset) = self.forms.bytes();
        crate::asm::disassemble(bytes, offset)
    }

    /// The machine code for memory that the caches do not hold, if it has run.
    #[cfg(test)]
    pub(super) fn asm_far(&self) -> Option<String> {
        let (bytes, offset) = self.forms.far_bytes()?;
        Some(crate::asm::disassemble(bytes, offset))
    }

    /// Bytes of machine code.
    pub fn code_size(&self) -> usize {
        self.forms.bytes().0.len()
    }

    /// Takes the rows of a slab, of which these are the words, through all stages. Its operands are those of each stage, one
    /// stage after another; behind those of one that reduces, there is memory for the states of a row's blocks, for each
    /// output. Of what is in scratch memory there is room for [`RING`] rows, or all. `far`: inputs are asked for ahead of
    /// their use, and the outputs of the last stage written around the caches, where they begin at the same lane of a vector.
    ///
    /// # Safety
    /// As for [`Code::run`](crate::Code::run), of each stage, but that a stage reads what those before it wrote to the same row.
    #[allow(unsafe_code)]
    pub(super) unsafe fn run(&self, words: &[u64], far: bool) {
        assert_eq!(words.len(), self.words, "slab of another program");
        // SAFETY: what the caller promises is what the forms ask for.
        unsafe { self.forms.run(&self.program, &self.target, words, far) };
    }
}

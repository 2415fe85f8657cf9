//! One code for all stages: no call, and hardly an instruction, between a stage and the next.

use super::{RowPlace, RowSource, RowStage};
use crate::code::{CodeError, LONG, begin_alike, one_block};
use crate::kernel::{Class, Kernel, Prim, Role};
use crate::reduce::{Reduction, states};
use crate::target::Target;
#[cfg(target_arch = "x86_64")]
use crate::wide;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

/// The most stages: each is a row behind the one before it, and short rows of all are to be in the first-level cache.
const STAGES: usize = 12;
/// For so many rows there is room in scratch memory, of which each takes the place of the one as many rows before.
pub(super) const RING: usize = 16;

/// What the stages of a [`RowLayout`](super::RowLayout) compute, whatever their memory: what [`RowCode`] is made of. It
/// is the key of a cache of code.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct RowProgram {
    /// Clones are equal at a glance, as those of an `Arc` of something sized are.
    stages: Arc<Vec<RowKernel>>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct RowKernel {
    kernel: Kernel,
    /// A reduction for each output; none if elements are stored.
    reductions: SmallVec<[Reduction; 2]>,
    /// There is one element a row.
    once: bool,
    /// The operands that are in scratch memory.
    scratch: SmallVec<[bool; 8]>,
}

const _: () = assert!(STAGES <= RING && RING.is_power_of_two());

impl RowProgram {
    /// The program of stages that have been looked at, with their elements a row. `None` where no code can do all: no
    /// stage reduces, rows have several lengths, or a stage has operands or a program of another kind.
    pub(super) fn new(stages: &[(RowStage<'_>, usize)], places: &[RowPlace]) -> Option<RowProgram> {
        let width = stages.iter().map(|s| s.1).max().filter(|&w| w > 1)?;
        let reduces = stages.iter().any(|(s, _)| !s.sinks.is_empty());
        if !reduces || !(2..=STAGES).contains(&stages.len()) {
            return None;
        }
        let stages = stages.iter().map(|(stage, elements)| {
            let once = *elements == 1 && stage.sinks.is_empty();
            let mut kernel = stage.kernel.clone();
            if kernel.insts.len() >= LONG || !(once || *elements == width) {
                return None;
            }
            if once {
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
            (suits && reductions.iter().all(same)).then_some(RowKernel { kernel, reductions, once, scratch })
        });
        Some(RowProgram { stages: Arc::new(stages.collect::<Option<_>>()?) })
    }
}

/// Code of the backend `wide` that takes rows through all stages of a [`RowProgram`], with the bits that the stages have one
/// by one.
///
/// In one pass of its loop, each stage has the row behind that of the stage before it. So a stage does not wait for the
/// one before it, and what one leaves idle (a divider, the ports of memory) is there for the others.
pub struct RowCode {
    target: Target,
    program: RowProgram,
    #[cfg(target_arch = "x86_64")]
    form: wide::Compiled,
    /// The same for memory that the caches do not hold, made when it is first asked for.
    #[cfg(target_arch = "x86_64")]
    far: OnceLock<Option<wide::Compiled>>,
}

impl RowCode {
    /// Compiles a program.
    ///
    /// # Errors
    /// [`CodeError::Malformed`] if a kernel breaks its invariants; [`CodeError::NoCompiler`] if there is no machine code for the
    /// target; [`CodeError::Compiler`] where the backend does not exist,
    /// or a stage is nothing that it can do in registers: the stages have to run one by one.
    pub fn compile(program: &RowProgram, target: &Target) -> Result<RowCode, CodeError> {
        program.stages.iter().try_for_each(|s| s.kernel.verify()).map_err(CodeError::Malformed)?;
        #[cfg(target_arch = "x86_64")]
        {
            let form = compile(program, target, false)?;
            Ok(RowCode { target: target.clone(), program: program.clone(), form, far: OnceLock::new() })
        }
        #[cfg(not(target_arch = "x86_64"))]
        Err(CodeError::NoCompiler { target: target.name() })
    }

    /// The program.
    pub fn program(&self) -> &RowProgram {
        &self.program
    }

    /// The machine code in assembly, disassembled from the bytes that run.
    pub fn asm(&self) -> String {
        #[cfg(target_arch = "x86_64")]
        return crate::asm::disassemble(self.form.bytes(), self.form.offset());
        #[cfg(not(target_arch = "x86_64"))]
        String::new()
    }

    /// Bytes of machine code.
    pub fn code_size(&self) -> usize {
        #[cfg(target_arch = "x86_64")]
        return self.form.bytes().len();
        #[cfg(not(target_arch = "x86_64"))]
        0
    }

    /// Takes the rows of a slab, of which these are the words, through all stages. Of what is in scratch memory there is room
    /// for [`RING`] rows, or all. Its operands are those of each stage, one stage after another; behind
    /// those of one that reduces, there is memory for the states of a row's blocks, for each output. `far`: inputs are
    /// asked for ahead of their use, and the outputs of the last stage written around the caches, where they begin at the
    /// same lane of a vector.
    ///
    /// # Safety
    /// As for [`Code::run`](crate::Code::run), of each stage, but that a stage reads what those before it wrote to the same row.
    #[allow(unsafe_code)]
    pub(super) unsafe fn run(&self, words: &[u64], far: bool) {
        debug_assert_eq!(words.len(), self.words(), "slab of another program");
        #[cfg(target_arch = "x86_64")]
        {
            let form = if far && self.suits_around(words) {
                self.far.get_or_init(|| compile(&self.program, &self.target, true).ok())
            } else {
                &None
            };
            // SAFETY: what the caller promises is what the backend asks for; alignment has just been looked at.
            unsafe { form.as_ref().unwrap_or(&self.form).run(words) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = (words, far);
    }

    /// Words of a slab.
    fn words(&self) -> usize {
        let operands = self.program.stages.iter().map(|s| s.kernel.operands.len() + s.reductions.len());
        2 + 3 * operands.sum::<usize>()
    }

    #[cfg(target_arch = "x86_64")]
    fn suits_around(&self, words: &[u64]) -> bool {
        let Some((last, before)) = self.program.stages.split_last() else { return false };
        let first: usize = before.iter().map(|s| s.kernel.operands.len() + s.reductions.len()).sum();
        let operands = words[2 + 3 * first..].chunks_exact(3).zip(&last.kernel.operands);
        let outputs = operands.filter(|(_, o)| o.role == Role::Output);
        let vector = u64::from(self.target.vector_bits()) / 8;
        let mut begins = outputs.map(|(w, o)| (o.dtype.size(), w[0], if words[1] == 1 { 0 } else { w[2] }));
        !last.stores() || begin_alike(vector, &mut begins)
    }
}

impl RowKernel {
    /// Whether it stores rows of elements.
    fn stores(&self) -> bool {
        !self.once && self.reductions.is_empty()
    }
}

#[cfg(target_arch = "x86_64")]
fn compile(program: &RowProgram, target: &Target, far: bool) -> Result<wide::Compiled, CodeError> {
    let mut kernels = Vec::with_capacity(program.stages.len());
    for stage in &*program.stages {
        kernels.push(if stage.reductions.is_empty() {
            (Cow::Borrowed(&stage.kernel), Vec::new())
        } else {
            let made = states(&stage.kernel, &stage.reductions);
            let (kernel, mut joins) =
                made.ok_or_else(|| CodeError::Compiler("states are no numbers of the lanes".to_owned()))?;
            kernel.verify().map_err(CodeError::Malformed)?;
            // What begins with 0.0 is never -0.0: a sum as it has to be in the end, and the same in all else.
            joins.iter_mut().filter(|j| j.prim == Prim::FAdd).for_each(|j| j.identity = 0);
            (Cow::Owned(kernel), joins)
        });
    }
    let last = program.stages.len() - 1;
    let mut stages = Vec::with_capacity(kernels.len());
    for (n, ((kernel, joins), stage)) in kernels.iter().zip(&*program.stages).enumerate() {
        let work = match joins.as_slice() {
            [] if stage.once => wide::Work::Once,
            [] => wide::Work::Map,
            joins => wide::Work::Fold { joins, block: one_block(&stage.reductions)? },
        };
        let around = far && n == last && stage.stores();
        let (kernel, ring) = (kernel.as_ref(), (&*stage.scratch, RING));
        stages.push(wide::Stage { kernel, work, ring, ahead: far && n == 0, around });
    }
    wide::Compiled::stages(&stages, target)
}

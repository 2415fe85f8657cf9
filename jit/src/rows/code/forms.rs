//! The machine code of a program of rows.

use super::{RING, RowKernel, RowProgram};
use crate::code::{CodeError, begin_alike, one_block};
use crate::kernel::{Prim, Role};
use crate::reduce::states;
use crate::target::Target;
use crate::wide;
use std::borrow::Cow;
use std::sync::OnceLock;

pub(super) struct Forms {
    near: wide::Compiled,
    /// For memory that the caches do not hold, made when it is first asked for.
    far: OnceLock<Option<wide::Compiled>>,
}

impl Forms {
    pub(super) fn compile(program: &RowProgram, target: &Target) -> Result<Forms, CodeError> {
        Ok(Forms { near: compile(program, target, Use::Near)?, far: OnceLock::new() })
    }

    /// Code that is made quickly, and is the same for all memory.
    pub(super) fn draft(program: &RowProgram, target: &Target) -> Result<Forms, CodeError> {
        Ok(Forms { near: compile(program, target, Use::Draft)?, far: OnceLock::from(None) })
    }

    /// The machine code, with the constants before it, and where it begins.
    pub(super) fn bytes(&self) -> (&[u8], usize) {
        (self.near.bytes(), self.near.offset())
    }

    /// The same of the code for memory that the caches do not hold, if it has run.
    #[cfg(test)]
    pub(super) fn far_bytes(&self) -> Option<(&[u8], usize)> {
        self.far.get()?.as_ref().map(|far| (far.bytes(), far.offset()))
    }

    /// # Safety
    /// As for [`RowCode::run`](super::RowCode::run), of code of this program for this target.
    #[allow(unsafe_code)]
    pub(super) unsafe fn run(&self, program: &RowProgram, target: &Target, words: &[u64], far: bool) {
        let form = if far && suits_around(program, target, words) {
            self.far.get_or_init(|| compile(program, target, Use::Far).ok())
        } else {
            &None
        };
        // SAFETY: what the caller promises is what the backend asks for; alignment has just been looked at.
        unsafe { form.as_ref().unwrap_or(&self.near).run(words) };
    }
}

impl RowKernel {
    /// Whether it stores rows of elements.
    fn stores(&self) -> bool {
        !self.once && self.reductions.is_empty()
    }
}

/// Whether row by row all outputs of the last stage begin at the same lane of a vector, if it stores rows.
fn suits_around(program: &RowProgram, target: &Target, words: &[u64]) -> bool {
    let Some(last) = program.stages.last() else { return false };
    let operands = words[words.len() - 3 * last.kernel.operands.len()..].chunks_exact(3).zip(&last.kernel.operands);
    let outputs = operands.filter(|(_, o)| o.role == Role::Output);
    let begins = outputs.map(|(w, o)| (o.dtype.size(), w[0], if words[1] == 1 { 0 } else { w[2] }));
    !last.stores() || begin_alike(u64::from(target.vector_bits()) / 8, begins)
}

/// What code is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    Near,
    /// Memory that the caches do not hold.
    Far,
    /// The first runs.
    Draft,
}

fn compile(program: &RowProgram, target: &Target, what: Use) -> Result<wide::Compiled, CodeError> {
    let far = what == Use::Far;
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
    let behind = program.behind();
    let mut stages = Vec::with_capacity(kernels.len());
    for (n, (((kernel, joins), stage), behind)) in kernels.iter().zip(&*program.stages).zip(behind).enumerate() {
        let work = match joins.as_slice() {
            [] if stage.once => wide::Work::Once,
            [] => wide::Work::Map,
            // Columns are no longer than a block.
            joins if program.columns => wide::Work::Fold { joins, block: 0 },
            joins => wide::Work::Fold { joins, block: one_block(&stage.reductions)? },
        };
        let around = far && n == last && stage.stores();
        let (kernel, ring) = (kernel.as_ref(), (&*stage.scratch, RING));
        stages.push(wide::Stage {
            kernel,
            work,
            ring,
            fixed: &stage.fixed,
            behind,
            short: program.short,
            ahead: (far || program.columns) && n == 0,
            around,
        });
    }
    wide::Compiled::stages(&stages, target, program.columns, what == Use::Draft)
}

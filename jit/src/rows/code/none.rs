//! There is no machine code for rows but for x86-64.

use super::RowProgram;
use crate::code::CodeError;
use crate::target::Target;

pub(super) enum Forms {}

impl Forms {
    pub(super) fn compile(_: &RowProgram, target: &Target) -> Result<Forms, CodeError> {
        Err(CodeError::NoCompiler { target: target.name() })
    }

    pub(super) fn draft(program: &RowProgram, target: &Target) -> Result<Forms, CodeError> {
        Forms::compile(program, target)
    }

    pub(super) fn bytes(&self) -> (&[u8], usize) {
        match *self {}
    }

    #[cfg(test)]
    pub(super) fn far_bytes(&self) -> Option<(&[u8], usize)> {
        match *self {}
    }

    /// # Safety
    /// None: there is none to run.
    #[allow(unsafe_code)]
    pub(super) unsafe fn run(&self, _: &RowProgram, _: &Target, _: &[u64], _: bool) {
        match *self {}
    }
}

//! Functions that generated code calls: what no instruction does.

use crate::kernel::{Inst, Prim, Ty};
use crate::routine::Routine;
use cranelift_codegen::ir::types::{F32, F64};
use cranelift_codegen::ir::{AbiParam, ExtFuncData, ExternalName, FuncRef, Function, Signature, UserExternalName};

/// A function that generated code may call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Import {
    /// `a * b + c` rounded once, for CPUs without such an instruction.
    Fma(Ty),
    /// A correctly rounded function.
    Routine(Routine, Ty),
    /// A function of a number that is none: a NaN. No verified kernel calls it.
    Nothing(Ty),
}

extern "C" fn fma_f64(a: f64, b: f64, c: f64) -> f64 {
    a.mul_add(b, c)
}

extern "C" fn fma_f32(a: f32, b: f32, c: f32) -> f32 {
    a.mul_add(b, c)
}

extern "C" fn nothing_f64() -> f64 {
    f64::NAN
}

extern "C" fn nothing_f32() -> f32 {
    f32::NAN
}

impl Import {
    /// The function that a call instruction names.
    pub(super) fn routine(inst: &Inst) -> Import {
        let arity = if inst.prim == Prim::Call2 { 2 } else { 1 };
        match Routine::from_imm(inst.imm) {
            Some(routine) if routine.arity() == arity => Import::Routine(routine, inst.ty),
            _ => Import::Nothing(inst.ty),
        }
    }

    fn ty(self) -> Ty {
        match self {
            Import::Fma(ty) | Import::Routine(_, ty) | Import::Nothing(ty) => ty,
        }
    }

    fn arity(self) -> usize {
        match self {
            Import::Fma(_) => 3,
            Import::Routine(routine, _) => routine.arity().into(),
            Import::Nothing(_) => 0,
        }
    }

    /// The name it has in the module.
    pub(super) fn name(self) -> String {
        let name = match self {
            Import::Fma(_) => "fma",
            Import::Routine(routine, _) => routine.name(),
            Import::Nothing(_) => "nothing",
        };
        format!("lazuli_{name}_{}", if self.ty() == Ty::F32 { "f32" } else { "f64" })
    }

    /// Its address.
    pub(super) fn address(self) -> *const u8 {
        match (self, self.ty()) {
            (Import::Fma(_), Ty::F32) => fma_f32 as *const u8,
            (Import::Fma(_), _) => fma_f64 as *const u8,
            (Import::Routine(r, _), Ty::F32) if r.arity() == 1 => r.f32_1() as *const u8,
            (Import::Routine(r, _), Ty::F32) => r.f32_2() as *const u8,
            (Import::Routine(r, _), _) if r.arity() == 1 => r.f64_1() as *const u8,
            (Import::Routine(r, _), _) => r.f64_2() as *const u8,
            (Import::Nothing(_), Ty::F32) => nothing_f32 as *const u8,
            (Import::Nothing(_), _) => nothing_f64 as *const u8,
        }
    }

    /// Its signature, in the calling convention of `like`.
    pub(super) fn signature(self, like: &Signature) -> Signature {
        let param = AbiParam::new(if self.ty() == Ty::F32 { F32 } else { F64 });
        let mut signature = Signature::new(like.call_conv);
        signature.params = vec![param; self.arity()];
        signature.returns = vec![param];
        signature
    }

    /// Makes it callable from `func`, under `number` in the module.
    pub(super) fn declare(self, func: &mut Function, number: u32) -> FuncRef {
        let signature = self.signature(&func.signature);
        let signature = func.import_signature(signature);
        let name = func.declare_imported_user_function(UserExternalName { namespace: 0, index: number });
        let name = ExternalName::user(name);
        func.import_function(ExtFuncData { name, signature, colocated: false, patchable: false })
    }
}

//! Functions that generated code calls: what no instruction does.
//!
//! All have one shape. The code puts the arguments of all lanes of a round next to each other on its stack, calls once,
//! and reads the results from where the first argument was:
//!
//! | argument | what it is |
//! |---|---|
//! | `routine` | the number of the [`Routine`]; 0 where there is none |
//! | `lanes` | how many lanes there are |
//! | `frame` | the lanes of the first argument, those of the second after it, …; each takes whole vectors |
//!
//! A masked call has what stands where the mask is false as its first argument, then the function's, then the mask.

use super::plan::VECTOR;
use crate::kernel::{Prim, Ty};
use crate::routine::Routine;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, ExtFuncData, ExternalName, FuncRef, Function, Signature, UserExternalName};

/// A function that generated code may call: how it does `prim` on lanes of type `ty`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Import {
    /// `Fma`, for CPUs without such an instruction, `Call1`, `Call2` or `CallIf`.
    pub(crate) prim: Prim,
    /// `F32` or `F64`.
    pub(crate) ty: Ty,
}

type Function3 = unsafe extern "C" fn(routine: u64, lanes: usize, frame: *mut u8);

/// The bytes from one argument of a frame to the next.
pub(super) const fn frame_step(lanes: usize, size: usize) -> usize {
    if lanes * size < VECTOR { VECTOR } else { lanes * size }
}

/// The arguments in a frame, each as a slice.
///
/// # Safety
/// `frame` holds `N` arguments of `lanes` lanes of `T`, which the caller may write, and is aligned for `T`.
unsafe fn arguments<'a, T, const N: usize>(frame: *mut u8, lanes: usize) -> [&'a mut [T]; N] {
    let step = frame_step(lanes, size_of::<T>());
    // SAFETY: the arguments are `step` bytes apart, which is no less than their length.
    std::array::from_fn(|k| unsafe { std::slice::from_raw_parts_mut(frame.add(k * step).cast(), lanes) })
}

macro_rules! functions {
    ($float:ident $bits:ident $one:ident $two:ident: $fma:ident $call1:ident $call2:ident $call_if:ident) => {
        unsafe extern "C" fn $fma(_: u64, lanes: usize, frame: *mut u8) {
            // SAFETY: generated code calls with three arguments of this type.
            let [a, b, c] = unsafe { arguments::<$float, 3>(frame, lanes) };
            for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(c.iter())) {
                *a = a.mul_add(*b, *c);
            }
        }

        unsafe extern "C" fn $call1(routine: u64, lanes: usize, frame: *mut u8) {
            // SAFETY: generated code calls with one argument of this type.
            let [a] = unsafe { arguments::<$float, 1>(frame, lanes) };
            if let Some(f) = Routine::from_imm(routine).map(Routine::$one) {
                a.iter_mut().for_each(|a| *a = f(*a));
            }
        }

        unsafe extern "C" fn $call2(routine: u64, lanes: usize, frame: *mut u8) {
            // SAFETY: generated code calls with two arguments of this type.
            let [a, b] = unsafe { arguments::<$float, 2>(frame, lanes) };
            if let Some(f) = Routine::from_imm(routine).map(Routine::$two) {
                a.iter_mut().zip(b.iter()).for_each(|(a, b)| *a = f(*a, *b));
            }
        }

        unsafe extern "C" fn $call_if(routine: u64, lanes: usize, frame: *mut u8) {
            // SAFETY: generated code calls with three arguments of this size.
            let [result, a, mask] = unsafe { arguments::<$bits, 3>(frame, lanes) };
            if let Some(f) = Routine::from_imm(routine).map(Routine::$one) {
                for (result, (a, mask)) in result.iter_mut().zip(a.iter().zip(mask.iter())) {
                    if *mask != 0 {
                        *result = f($float::from_bits(*a)).to_bits();
                    }
                }
            }
        }
    };
}

functions!(f32 u32 f32_1 f32_2: fma_f32 call1_f32 call2_f32 call_if_f32);
functions!(f64 u64 f64_1 f64_2: fma_f64 call1_f64 call2_f64 call_if_f64);

impl Import {
    /// The name it has in the module.
    pub(super) fn name(self) -> String {
        format!("lazuli_{}_{}", self.prim.row().name, self.ty)
    }

    /// Its address.
    pub(crate) fn address(self) -> *const u8 {
        let function: Function3 = match (self.prim, self.ty) {
            (Prim::Fma, Ty::F32) => fma_f32,
            (Prim::Fma, _) => fma_f64,
            (Prim::Call1, Ty::F32) => call1_f32,
            (Prim::Call1, _) => call1_f64,
            (Prim::Call2, Ty::F32) => call2_f32,
            (Prim::Call2, _) => call2_f64,
            (_, Ty::F32) => call_if_f32,
            _ => call_if_f64,
        };
        function as *const u8
    }

    /// Its signature, in the calling convention of `like`.
    pub(super) fn signature(self, like: &Signature) -> Signature {
        let mut signature = Signature::new(like.call_conv);
        signature.params = vec![AbiParam::new(I64); 3];
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

//! The builder of lane programs: one method a primitive, constants and common subexpressions shared as they are made.

use crate::kernel::{Class, Inst, Kernel, Operand, Prim, Role, Store, Ty, ValueId};
use crate::routine::Routine;
use lazuli_graph::{DType, Scalar};
use rustc_hash::FxHashMap;

/// Makes a [`Kernel`], or a piece of one.
///
/// Arguments of the wrong type are bugs of the caller; debug builds panic, release builds leave them to
/// [`Kernel::verify`].
#[derive(Default)]
pub struct Builder {
    kernel: Kernel,
    seen: FxHashMap<Inst, ValueId>,
}

const NONE: ValueId = ValueId(0);

macro_rules! unary {
    ($($(#[$doc:meta])* $name:ident $prim:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, a: ValueId) -> ValueId {
            self.inst(Prim::$prim, self.ty(a), [a, NONE, NONE], 0)
        }
    )*};
}

macro_rules! binary {
    ($($(#[$doc:meta])* $name:ident $prim:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, a: ValueId, b: ValueId) -> ValueId {
            debug_assert_eq!(self.ty(a), self.ty(b), stringify!($name));
            self.inst(Prim::$prim, self.ty(a), [a, b, NONE], 0)
        }
    )*};
}

macro_rules! compare {
    ($($(#[$doc:meta])* $name:ident $prim:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, a: ValueId, b: ValueId) -> ValueId {
            debug_assert_eq!(self.ty(a), self.ty(b), stringify!($name));
            self.inst(Prim::$prim, Ty::M, [a, b, NONE], 0)
        }
    )*};
}

macro_rules! convert {
    ($($(#[$doc:meta])* $name:ident $prim:ident;)*) => {$(
        $(#[$doc])*
        pub fn $name(&mut self, to: Ty, a: ValueId) -> ValueId {
            self.inst(Prim::$prim, to, [a, NONE, NONE], 0)
        }
    )*};
}

impl Builder {
    /// An empty program.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// A builder that goes on where a kernel ends.
    pub(crate) fn of(kernel: &Kernel) -> Builder {
        let known = kernel.insts.iter().enumerate().map(|(i, inst)| (*inst, ValueId(i as u32)));
        Builder { kernel: kernel.clone(), seen: known.collect() }
    }

    /// The finished kernel.
    pub fn finish(self) -> Kernel {
        self.kernel
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> Ty {
        self.kernel.ty(value)
    }

    /// The instruction that makes a value.
    pub fn def(&self, value: ValueId) -> &Inst {
        &self.kernel.insts[value.0 as usize]
    }

    /// How many instructions there are.
    pub fn len(&self) -> usize {
        self.kernel.insts.len()
    }

    /// Whether there is no instruction yet.
    pub fn is_empty(&self) -> bool {
        self.kernel.insts.is_empty()
    }

    /// Adds an instruction, or finds the one that is the same.
    pub fn inst(&mut self, prim: Prim, ty: Ty, args: [ValueId; 3], imm: u64) -> ValueId {
        let inst = Inst { prim, ty, args, imm };
        *self.seen.entry(inst).or_insert_with(|| {
            self.kernel.insts.push(inst);
            ValueId(self.kernel.insts.len() as u32 - 1)
        })
    }

    /// Adds an operand and gives its number.
    pub fn operand(&mut self, role: Role, dtype: DType, class: Class) -> u32 {
        self.kernel.operands.push(Operand { role, dtype, class });
        self.kernel.operands.len() as u32 - 1
    }

    /// Reads operand `operand`.
    pub fn load(&mut self, operand: u32) -> ValueId {
        let ty = Ty::of(self.kernel.operands[operand as usize].dtype);
        self.inst(Prim::Load, ty, [NONE; 3], operand as u64)
    }

    /// The coordinate of index operand `operand`.
    pub fn index(&mut self, operand: u32) -> ValueId {
        self.inst(Prim::Index, Ty::I64, [NONE; 3], operand as u64)
    }

    /// Stores `value` to output `operand`.
    pub fn store(&mut self, operand: u32, value: ValueId) {
        self.kernel.stores.push(Store { operand, value });
    }

    /// The constant with these bits (zero-extended).
    pub fn bits(&mut self, ty: Ty, bits: u64) -> ValueId {
        self.inst(Prim::Const, ty, [NONE; 3], bits)
    }

    /// A float constant: `x` rounded to `ty`.
    pub fn float(&mut self, ty: Ty, x: f64) -> ValueId {
        let bits = if ty == Ty::F32 { (x as f32).to_bits() as u64 } else { x.to_bits() };
        self.bits(ty, bits)
    }

    /// An integer constant, wrapped to `ty`.
    pub fn int(&mut self, ty: Ty, x: i64) -> ValueId {
        let mask = if ty.size() == 8 { u64::MAX } else { (1 << (8 * ty.size())) - 1 };
        self.bits(ty, x as u64 & mask)
    }

    /// A constant of a dtype, in its lane type.
    pub fn scalar(&mut self, value: Scalar) -> ValueId {
        self.bits(Ty::of(value.dtype()), value.bits())
    }

    /// `a * b + c`, rounded once.
    pub fn fma(&mut self, a: ValueId, b: ValueId, c: ValueId) -> ValueId {
        debug_assert!(self.ty(a) == self.ty(b) && self.ty(b) == self.ty(c), "fma");
        self.inst(Prim::Fma, self.ty(a), [a, b, c], 0)
    }

    /// `m ? a : b`.
    pub fn select(&mut self, m: ValueId, a: ValueId, b: ValueId) -> ValueId {
        debug_assert!(self.ty(m) == Ty::M && self.ty(a) == self.ty(b), "select");
        self.inst(Prim::Select, self.ty(a), [m, a, b], 0)
    }

    /// `m ? routine(a) : b`; the routine takes one argument, and is called only for lanes in which `m` holds.
    pub fn call_if(&mut self, routine: Routine, m: ValueId, a: ValueId, b: ValueId) -> ValueId {
        debug_assert!(self.ty(m) == Ty::M && self.ty(a) == self.ty(b) && self.ty(a).is_float(), "call_if");
        self.inst(Prim::CallIf, self.ty(a), [m, a, b], routine.imm())
    }

    unary! {
        /// The square root.
        fsqrt FSqrt;
        /// The sign bit flipped.
        fneg FNeg;
        /// The sign bit cleared.
        fabs FAbs;
        /// Rounded down.
        ffloor FFloor;
        /// Rounded up.
        fceil FCeil;
        /// Rounded toward zero.
        ftrunc FTrunc;
        /// Rounded to nearest, halves to even.
        fnearest FNearest;
        /// `m` of `a = 2^k m`, between the roots of 1/2 and 2.
        fsignificand FSignificand;
        /// That `k`.
        fexponent FExponent;
        /// `-a`, wrapping.
        ineg INeg;
        /// `|a|`, wrapping.
        iabs IAbs;
        /// Every bit flipped.
        not Not;
        /// The mask inverted.
        mnot MNot;
    }

    binary! {
        /// `a + b`.
        fadd FAdd;
        /// `a - b`.
        fsub FSub;
        /// `a * b`.
        fmul FMul;
        /// `a / b`.
        fdiv FDiv;
        /// Magnitude of `a`, sign of `b`.
        fcopysign FCopysign;
        /// `(1 + a) 2^b`.
        fraise FRaise;
        /// `a < b ? a : b`.
        fmin FMin;
        /// `a > b ? a : b`.
        fmax FMax;
        /// `a + b`, wrapping.
        iadd IAdd;
        /// `a - b`, wrapping.
        isub ISub;
        /// `a * b`, wrapping.
        imul IMul;
        /// The smaller, signed.
        smin SMin;
        /// The larger, signed.
        smax SMax;
        /// The smaller, unsigned.
        umin UMin;
        /// The larger, unsigned.
        umax UMax;
        /// Quotient toward zero, signed.
        sdiv SDiv;
        /// Quotient, unsigned.
        udiv UDiv;
        /// Remainder with the sign of `a`.
        srem SRem;
        /// Remainder, unsigned.
        urem URem;
        /// Bits set in both.
        and And;
        /// Bits set in either.
        or Or;
        /// Bits set in one.
        xor Xor;
        /// Shift left.
        shl Shl;
        /// Shift right, filling with zeros.
        shr_u ShrU;
        /// Shift right, filling with the sign.
        shr_s ShrS;
        /// Both masks.
        mand MAnd;
        /// Either mask.
        mor MOr;
        /// Exactly one mask.
        mxor MXor;
    }

    compare! {
        /// `a == b`, floats.
        feq FEq;
        /// `a != b`, floats.
        fne FNe;
        /// `a < b`, floats.
        flt FLt;
        /// `a <= b`, floats.
        fle FLe;
        /// `a == b`, integers.
        ieq IEq;
        /// `a != b`, integers.
        ine INe;
        /// `a < b`, signed.
        slt SLt;
        /// `a <= b`, signed.
        sle SLe;
        /// `a < b`, unsigned.
        ult ULt;
        /// `a <= b`, unsigned.
        ule ULe;
    }

    convert! {
        /// `M` to 1 or 0.
        mask_to_int MaskToInt;
        /// The same bits.
        bitcast Bitcast;
        /// Wider, signed.
        sext SExt;
        /// Wider, unsigned.
        zext ZExt;
        /// Narrower: the low bits.
        trunc Trunc;
        /// Signed integer to float.
        s_to_f SToF;
        /// Unsigned integer to float.
        u_to_f UToF;
        /// Float to signed integer, saturating.
        f_to_s FToS;
        /// Float to unsigned integer, saturating.
        f_to_u FToU;
        /// `F32` to `F64`.
        f32_to_64 F32To64;
        /// `F64` to `F32`.
        f64_to_32 F64To32;
        /// binary16 to `F32`.
        f16_to_32 F16To32;
        /// `F32` to binary16.
        f32_to_16 F32To16;
        /// `F64` to binary16, rounded once.
        f64_to_16 F64To16;
        /// bfloat16 to `F32`.
        bf16_to_32 Bf16To32;
        /// `F32` to bfloat16.
        f32_to_bf16 F32ToBf16;
        /// `F64` to bfloat16, rounded once.
        f64_to_bf16 F64ToBf16;
    }
}

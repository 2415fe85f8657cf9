//! Kernel IR: one lane program over an iteration space, what it reads and what it stores.
//!
//! A [`Kernel`] says nothing about sizes: extents and strides come with each call ([`Slab`]), so one compiled kernel
//! serves every shape. What it does fix is the *class* of each operand's innermost stride ([`Class`]).
//!
//! Invariants (checked by [`Kernel::verify`]):
//! - instructions are in SSA form: arguments come before their use, and have the types the primitive asks for;
//! - every load and index names an operand of the right storage, every operand is used, stores write outputs only;
//! - an output is stored exactly once.
//!
//! | lane type | storage dtypes loaded as it |
//! |---|---|
//! | `M` (mask: true or false, no width) | none; a `bool` loads as `I8` holding 0 or 1 |
//! | `I8` … `I64` | integers of that size, signed or not, and the raw bits of `f16`, `bf16` as `I16` |
//! | `F32`, `F64` | `float32`, `float64` |

use lazuli_graph::DType;
use smallvec::SmallVec;
use std::fmt;

/// The type of a lane. Integers have no sign; primitives do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Ty {
    /// True or false. Backends choose how to hold it.
    M,
    /// 8 bits.
    I8,
    /// 16 bits.
    I16,
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
    /// IEEE binary32.
    F32,
    /// IEEE binary64.
    F64,
}

impl Ty {
    /// Bytes of a lane; a mask counts as none.
    pub const fn size(self) -> usize {
        match self {
            Ty::M => 0,
            Ty::I8 => 1,
            Ty::I16 => 2,
            Ty::I32 | Ty::F32 => 4,
            Ty::I64 | Ty::F64 => 8,
        }
    }

    /// Whether lanes are floating point numbers.
    pub const fn is_float(self) -> bool {
        matches!(self, Ty::F32 | Ty::F64)
    }

    /// Whether lanes are integers (masks are not).
    pub const fn is_int(self) -> bool {
        matches!(self, Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64)
    }

    /// The lane type that elements of `dtype` load as.
    pub const fn of(dtype: DType) -> Ty {
        match dtype {
            DType::Bool | DType::I8 | DType::U8 => Ty::I8,
            DType::I16 | DType::U16 | DType::F16 | DType::BF16 => Ty::I16,
            DType::I32 | DType::U32 => Ty::I32,
            DType::I64 | DType::U64 => Ty::I64,
            DType::F32 => Ty::F32,
            DType::F64 => Ty::F64,
        }
    }

    /// The integer type of the same size.
    pub const fn bits(self) -> Ty {
        match self {
            Ty::F32 => Ty::I32,
            Ty::F64 => Ty::I64,
            t => t,
        }
    }
}

/// The types a primitive takes and gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sig {
    /// No argument; the result's type is free.
    Source,
    /// Any number of `T`, to `T`; `T` float.
    Float,
    /// Any number of `T`, to `T`; `T` integer.
    Int,
    /// Two `T` to `M`; `T` float.
    FloatCompare,
    /// Two `T` to `M`; `T` integer.
    IntCompare,
    /// Any number of `M` to `M`.
    Mask,
    /// `M`, `T`, `T` to `T`; any `T` but `M`.
    Select,
    /// A conversion: argument and result types are checked one by one.
    Convert,
}

/// One row of the table of primitives.
#[derive(Debug)]
pub struct PrimRow {
    /// The name in the text form.
    pub name: &'static str,
    /// The number of arguments.
    pub arity: u8,
    /// Types.
    pub sig: Sig,
    /// What each lane of the result is.
    pub doc: &'static str,
}

macro_rules! prims {
    ($($variant:ident $name:literal $arity:literal $sig:ident $doc:literal;)*) => {
        /// A primitive: what a lane can do. All are exact in the sense of IEEE 754, so every backend gives the same
        /// bits; only the payload and sign of a NaN result are free, and what [`Prim::FRaise`] gives outside its domain.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Prim { $(#[doc = $doc] $variant),* }

        impl Prim {
            /// Every primitive, in order.
            pub const ALL: &[Prim] = &[$(Prim::$variant),*];
            const ROWS: &[PrimRow] = &[$(PrimRow { name: $name, arity: $arity, sig: Sig::$sig, doc: $doc }),*];
        }
    };
}

prims! {
    // sources; `imm` holds the bits of the constant, or the number of the operand
    Const "const" 0 Source "The constant in the immediate.";
    Load "load" 0 Source "The element of the operand in the immediate.";
    Index "index" 0 Source "The integer coordinate of the `Index` operand in the immediate, as `I64`.";
    // floating point
    FAdd "fadd" 2 Float "`a + b`, rounded to nearest even.";
    FSub "fsub" 2 Float "`a - b`.";
    FMul "fmul" 2 Float "`a * b`.";
    FDiv "fdiv" 2 Float "`a / b`.";
    FSqrt "fsqrt" 1 Float "The square root.";
    Fma "fma" 3 Float "`a * b + c`, rounded once.";
    FNeg "fneg" 1 Float "The sign bit flipped.";
    FAbs "fabs" 1 Float "The sign bit cleared.";
    FCopysign "fcopysign" 2 Float "The magnitude of `a`, the sign bit of `b`.";
    FFloor "ffloor" 1 Float "Rounded to an integer, down.";
    FCeil "fceil" 1 Float "Rounded to an integer, up.";
    FTrunc "ftrunc" 1 Float "Rounded to an integer, toward zero.";
    FNearest "fnearest" 1 Float "Rounded to an integer, to nearest, halves to even.";
    // composed of others (`math::composed`), for CPUs that have instructions for them
    FRaise "fraise" 2 Float "`(1 + a) 2^b`: the sum is rounded, then the product. Its domain: an integer `b` of magnitude at most 1536 (of `F32`, 192) and a sum that is zero or of magnitude 2^-16 to 2^16; and any `b` with a sum that is NaN. Beside it the result is open.";
    FSignificand "fsignificand" 1 Float "`m` of `a = 2^k m`, from the float nearest to the root of 1/2 up to twice that; 1 for zeros and infinity, NaN for negative numbers.";
    FExponent "fexponent" 1 Float "That `k`; negative infinity for zeros, infinity for infinity, NaN for negative numbers.";
    FMin "fmin" 2 Float "`a < b ? a : b`: `b` where either is NaN, and where both are zero.";
    FMax "fmax" 2 Float "`a > b ? a : b`: `b` where either is NaN, and where both are zero.";
    // integers; all wrap
    IAdd "iadd" 2 Int "`a + b`.";
    ISub "isub" 2 Int "`a - b`.";
    IMul "imul" 2 Int "`a * b`.";
    INeg "ineg" 1 Int "`-a`.";
    IAbs "iabs" 1 Int "`a < 0 ? -a : a`.";
    SMin "smin" 2 Int "The smaller, signed.";
    SMax "smax" 2 Int "The larger, signed.";
    UMin "umin" 2 Int "The smaller, unsigned.";
    UMax "umax" 2 Int "The larger, unsigned.";
    SDiv "sdiv" 2 Int "`a / b` toward zero, signed; 0 where `b` is 0; `a` where `b` is -1 and `a` the least.";
    UDiv "udiv" 2 Int "`a / b`, unsigned; 0 where `b` is 0.";
    SRem "srem" 2 Int "The remainder of `sdiv`, with the sign of `a`; 0 where `b` is 0 or -1.";
    URem "urem" 2 Int "The remainder of `udiv`; 0 where `b` is 0.";
    And "and" 2 Int "Bits set in both.";
    Or "or" 2 Int "Bits set in either.";
    Xor "xor" 2 Int "Bits set in one.";
    Not "not" 1 Int "Every bit flipped.";
    Shl "shl" 2 Int "`a` shifted left by `b` (unsigned) bits; 0 where `b` is the width or more.";
    ShrU "shr_u" 2 Int "`a` shifted right by `b` (unsigned) bits; 0 where `b` is the width or more.";
    ShrS "shr_s" 2 Int "`a` shifted right by `b` (unsigned) bits, keeping the sign; all sign where `b` is the width or more.";
    // comparisons
    FEq "feq" 2 FloatCompare "`a == b`; false with NaN.";
    FNe "fne" 2 FloatCompare "`a != b`; true with NaN.";
    FLt "flt" 2 FloatCompare "`a < b`; false with NaN.";
    FLe "fle" 2 FloatCompare "`a <= b`; false with NaN.";
    IEq "ieq" 2 IntCompare "`a == b`.";
    INe "ine" 2 IntCompare "`a != b`.";
    SLt "slt" 2 IntCompare "`a < b`, signed.";
    SLe "sle" 2 IntCompare "`a <= b`, signed.";
    ULt "ult" 2 IntCompare "`a < b`, unsigned.";
    ULe "ule" 2 IntCompare "`a <= b`, unsigned.";
    // masks
    MAnd "mand" 2 Mask "Both.";
    MOr "mor" 2 Mask "Either.";
    MXor "mxor" 2 Mask "Exactly one.";
    MNot "mnot" 1 Mask "Not.";
    Select "select" 3 Select "`m ? a : b`.";
    // conversions; the result's type is the instruction's
    MaskToInt "mask_to_int" 1 Convert "`M` to an integer: 1 or 0.";
    Bitcast "bitcast" 1 Convert "The same bits, between an integer and the float of its size.";
    SExt "sext" 1 Convert "To a wider integer, signed.";
    ZExt "zext" 1 Convert "To a wider integer, unsigned.";
    Trunc "trunc" 1 Convert "To a narrower integer: the low bits.";
    SToF "s_to_f" 1 Convert "`I32` or `I64`, signed, to a float, rounded to nearest even.";
    UToF "u_to_f" 1 Convert "`I32` or `I64`, unsigned, to a float, rounded to nearest even.";
    FToS "f_to_s" 1 Convert "A float to `I32` or `I64`, signed, toward zero; saturates; NaN gives 0.";
    FToU "f_to_u" 1 Convert "A float to `I32` or `I64`, unsigned, toward zero; saturates; NaN gives 0.";
    F32To64 "f32_to_f64" 1 Convert "`F32` to `F64`, exact.";
    F64To32 "f64_to_f32" 1 Convert "`F64` to `F32`, rounded to nearest even.";
    F16To32 "f16_to_f32" 1 Convert "The binary16 in an `I16` to `F32`, exact.";
    F32To16 "f32_to_f16" 1 Convert "`F32` to the binary16 in an `I16`, rounded to nearest even.";
    F64To16 "f64_to_f16" 1 Convert "`F64` to the binary16 in an `I16`, rounded once to nearest even.";
    Bf16To32 "bf16_to_f32" 1 Convert "The bfloat16 in an `I16` to `F32`, exact.";
    F32ToBf16 "f32_to_bf16" 1 Convert "`F32` to the bfloat16 in an `I16`, rounded to nearest even.";
    F64ToBf16 "f64_to_bf16" 1 Convert "`F64` to the bfloat16 in an `I16`, rounded once to nearest even.";
    // calls, for `Precise`: correctly rounded scalar functions; `imm` holds a `Routine`
    Call1 "call1" 1 Float "The correctly rounded function in the immediate.";
    Call2 "call2" 2 Float "The correctly rounded function in the immediate.";
    // for the rare lanes that a lane program cannot handle well, such as huge arguments of `sin`: backends test the
    // mask and make no call where it is false
    CallIf "call_if" 3 Select "`m ? f(a) : b`, `T` float; `f` is the correctly rounded function of one argument in the immediate.";
}

impl Prim {
    /// The primitive's row of the table.
    pub const fn row(self) -> &'static PrimRow {
        &Prim::ROWS[self as usize]
    }

    /// Whether it is composed of others, which stand for it where the CPU has no instruction.
    pub(crate) const fn is_composed(self) -> bool {
        matches!(self, Prim::FRaise | Prim::FExponent | Prim::FSignificand)
    }

    /// The primitive with this name.
    pub fn from_name(name: &str) -> Option<Prim> {
        Prim::ALL.iter().copied().find(|p| p.row().name == name)
    }
}

/// A value of a lane program: the result of instruction `n`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl fmt::Display for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

impl fmt::Debug for ValueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An instruction: `ty` is the result's type; unused arguments are `ValueId(0)`, an unused immediate is 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Inst {
    /// What it does.
    pub prim: Prim,
    /// The type of the result.
    pub ty: Ty,
    /// The arguments.
    pub args: [ValueId; 3],
    /// Bits of a constant, number of an operand, or routine.
    pub imm: u64,
}

impl Inst {
    /// The arguments in use.
    pub fn args(&self) -> &[ValueId] {
        &self.args[..self.prim.row().arity as usize]
    }
}

/// How an operand's address moves along the innermost loop.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Class {
    /// Element by element.
    Contiguous,
    /// Not at all: one element serves the whole row.
    Broadcast,
    /// By a stride given with the call.
    Strided,
}

/// What an operand is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Role {
    /// Memory that is read.
    Input,
    /// Memory that is written. Never `Broadcast`.
    Output,
    /// No memory: an integer that grows by a stride an element ([`Prim::Index`]).
    Index,
}

/// An operand of a kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Operand {
    /// What it is.
    pub role: Role,
    /// The dtype in memory; `int64` for an index.
    pub dtype: DType,
    /// The class of its innermost stride. An index is always `Strided`.
    pub class: Class,
}

/// The value stored to an output.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Store {
    /// The number of the output operand.
    pub operand: u32,
    /// What is stored, of the lane type of the operand's dtype.
    pub value: ValueId,
}

/// A kernel. Equality and hash are structural: it is the key of the code cache.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Kernel {
    /// What is read and written, in the order of the call's arguments.
    pub operands: Vec<Operand>,
    /// The lane program.
    pub insts: Vec<Inst>,
    /// The stores at its end.
    pub stores: Vec<Store>,
}

/// Why a kernel is malformed: a bug of ours, never the user's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed kernel at {at}: {what}")]
pub struct KernelError {
    /// The instruction, operand or store.
    pub at: String,
    /// What is wrong.
    pub what: String,
}

impl Kernel {
    /// The input that output `operand` is a mere copy of, if it is.
    pub fn copied(&self, operand: usize) -> Option<usize> {
        let store = self.stores.iter().find(|s| s.operand as usize == operand)?;
        let inst = self.insts.get(store.value.0 as usize).filter(|i| i.prim == Prim::Load)?;
        let input = inst.imm as usize;
        let dtype = self.operands.get(input)?.dtype;
        // Any byte is read as a bool, but only 0 and 1 are stored.
        (dtype == self.operands.get(operand)?.dtype && dtype != DType::Bool).then_some(input)
    }

    /// The type of a value.
    pub fn ty(&self, value: ValueId) -> Ty {
        self.insts[value.0 as usize].ty
    }

    /// Which values a store depends on.
    pub(crate) fn live(&self) -> Vec<bool> {
        let mut live = vec![false; self.insts.len()];
        for s in &self.stores {
            live[s.value.0 as usize] = true;
        }
        for (i, inst) in self.insts.iter().enumerate().rev() {
            if live[i] {
                inst.args().iter().for_each(|a| live[a.0 as usize] = true);
            }
        }
        live
    }
}

/// Bounds and addresses of one call: `n1` rows of `n0` elements.
///
/// The memory layout is the calling convention of compiled kernels: `[n0, n1]`, then three words an operand. Strides
/// are in bytes; for an index operand `base` is its first value and the strides are what it grows by.
#[derive(Debug, Default)]
pub struct Slab {
    words: SmallVec<[u64; 32]>,
}

impl Clone for Slab {
    #[inline]
    fn clone(&self) -> Slab {
        // A copy of memory; the derived clone would go word by word.
        Slab { words: SmallVec::from_slice(&self.words) }
    }
}

impl Slab {
    /// A slab for `operands` operands, with all zero addresses.
    pub fn new(operands: usize) -> Slab {
        Slab { words: SmallVec::from_elem(0, 2 + 3 * operands) }
    }

    /// Sets the extents.
    pub fn set_extents(&mut self, n0: usize, n1: usize) {
        self.words[0] = n0 as u64;
        self.words[1] = n1 as u64;
    }

    /// Sets the address and the strides of operand `i`: `s0` along a row, `s1` from row to row.
    pub fn set_operand(&mut self, i: usize, base: u64, s0: isize, s1: isize) {
        self.words[2 + 3 * i..5 + 3 * i].copy_from_slice(&[base, s0 as u64, s1 as u64]);
    }

    /// Sets only the address (or first value) of operand `i`.
    #[inline]
    pub fn set_base(&mut self, i: usize, base: u64) {
        self.words[2 + 3 * i] = base;
    }

    /// Elements of a row.
    pub fn n0(&self) -> usize {
        self.words[0] as usize
    }

    /// Rows.
    pub fn n1(&self) -> usize {
        self.words[1] as usize
    }

    /// Address (or first value), row stride and column stride of operand `i`: `(base, s0, s1)`.
    pub fn operand(&self, i: usize) -> (u64, isize, isize) {
        let w = &self.words[2 + 3 * i..5 + 3 * i];
        (w[0], w[1] as isize, w[2] as isize)
    }

    /// The words, as compiled code reads them.
    pub fn words(&self) -> &[u64] {
        &self.words
    }
}

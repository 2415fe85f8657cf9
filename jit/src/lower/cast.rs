//! Conversions between dtypes: `astype` as a lane program.
//!
//! Every conversion rounds once. What NumPy leaves undefined is defined here: a float outside an integer dtype's range
//! saturates, NaN becomes 0 (see `docs/decisions/0003-casts.md`). `lazuli_graph::Scalar::cast` gives the same bits.

use crate::build::Builder;
use crate::kernel::{Prim, Ty, ValueId};
use lazuli_graph::{DType, Kind};

/// The value `x` of dtype `from`, converted to `to`. Both are *loaded* lanes: of [`Ty::of`] their dtype, with `bool` as
/// 0 or 1, and 16-bit floats as their bits.
///
/// ```
/// use lazuli_graph::DType;
/// use lazuli_jit::{Builder, Class, Role, Ty, lower};
///
/// let mut b = Builder::new();
/// let operand = b.operand(Role::Input, DType::F16, Class::Contiguous);
/// let x = b.load(operand);
/// let y = lower::cast(&mut b, DType::F16, DType::I32, x);
/// assert_eq!(b.ty(y), Ty::I32);
/// ```
pub fn cast(b: &mut Builder, from: DType, to: DType, x: ValueId) -> ValueId {
    debug_assert_eq!(b.ty(x), Ty::of(from), "cast of {from}");
    if from == to {
        return x;
    }
    match (from.kind(), to.kind()) {
        (_, Kind::Bool) => {
            let m = truth(b, from, x);
            b.mask_to_int(Ty::I8, m)
        }
        (Kind::Bool, Kind::Signed | Kind::Unsigned) => match mask_behind(b, x) {
            Some(m) => b.mask_to_int(Ty::of(to), m),
            None => resize(b, false, x, Ty::of(to)),
        },
        (Kind::Bool, Kind::Float) => {
            let m = truth(b, from, x);
            let (one, zero) = (float(b, to, 1.0), float(b, to, 0.0));
            b.select(m, one, zero)
        }
        (Kind::Signed, Kind::Signed | Kind::Unsigned) => resize(b, true, x, Ty::of(to)),
        (Kind::Unsigned, Kind::Signed | Kind::Unsigned) => resize(b, false, x, Ty::of(to)),
        (Kind::Signed | Kind::Unsigned, Kind::Float) => int_to_float(b, from, to, x),
        (Kind::Float, Kind::Signed | Kind::Unsigned) => float_to_int(b, from, to, x),
        (Kind::Float, Kind::Float) => float_to_float(b, from, to, x),
    }
}

/// A loaded float as a lane that can compute: 16-bit floats as `F32`, the others as they are. Exact.
pub fn widen(b: &mut Builder, dtype: DType, x: ValueId) -> ValueId {
    match dtype {
        DType::F16 => b.f16_to_32(Ty::F32, x),
        DType::BF16 => b.bf16_to_32(Ty::F32, x),
        DType::Bool
        | DType::I8
        | DType::I16
        | DType::I32
        | DType::I64
        | DType::U8
        | DType::U16
        | DType::U32
        | DType::U64
        | DType::F32
        | DType::F64 => x,
    }
}

/// The inverse of [`widen`]: the `F32` result of an op on a 16-bit float rounded to it, other lanes as they are.
pub fn narrow(b: &mut Builder, dtype: DType, x: ValueId) -> ValueId {
    match dtype {
        DType::F16 => b.f32_to_16(Ty::I16, x),
        DType::BF16 => b.f32_to_bf16(Ty::I16, x),
        DType::Bool
        | DType::I8
        | DType::I16
        | DType::I32
        | DType::I64
        | DType::U8
        | DType::U16
        | DType::U32
        | DType::U64
        | DType::F32
        | DType::F64 => x,
    }
}

/// Whether the loaded value `x` of `dtype` is not zero, as a mask. NaN is not zero.
pub fn truth(b: &mut Builder, dtype: DType, x: ValueId) -> ValueId {
    if let Some(m) = mask_behind(b, x) {
        return m;
    }
    match dtype {
        DType::F32 | DType::F64 => {
            let zero = b.float(Ty::of(dtype), 0.0);
            b.fne(x, zero)
        }
        DType::F16 | DType::BF16 => {
            let magnitude = b.int(Ty::I16, 0x7fff);
            let (x, zero) = (b.and(x, magnitude), b.int(Ty::I16, 0));
            b.ine(x, zero)
        }
        DType::Bool
        | DType::I8
        | DType::I16
        | DType::I32
        | DType::I64
        | DType::U8
        | DType::U16
        | DType::U32
        | DType::U64 => {
            let zero = b.int(Ty::of(dtype), 0);
            b.ine(x, zero)
        }
    }
}

/// The mask that an integer was made of, if it was: fused comparisons and selections stay masks, and never become bytes
/// in between.
pub(super) fn mask_behind(b: &Builder, x: ValueId) -> Option<ValueId> {
    let inst = b.def(x);
    (inst.prim == Prim::MaskToInt).then_some(inst.args[0])
}

/// A float constant of any float dtype; `x` must be exact in it.
pub(super) fn float(b: &mut Builder, dtype: DType, x: f64) -> ValueId {
    b.scalar(lazuli_graph::Scalar::from_f64(dtype, x))
}

/// An integer in another width: extended by its sign or by zeros, or cut to the low bits.
fn resize(b: &mut Builder, signed: bool, x: ValueId, to: Ty) -> ValueId {
    let from = b.ty(x);
    if from.size() == to.size() {
        x
    } else if from.size() > to.size() {
        b.trunc(to, x)
    } else if signed {
        b.sext(to, x)
    } else {
        b.zext(to, x)
    }
}

fn int_to_float(b: &mut Builder, from: DType, to: DType, x: ValueId) -> ValueId {
    if matches!(to, DType::F32 | DType::F64) {
        return int_to_lane(b, from, x, Ty::of(to));
    }
    // Whatever `F32` does not hold exactly is infinite in binary16, so narrowing after it rounds once.
    if to == DType::F16 || from.size() <= 2 {
        let x = int_to_lane(b, from, x, Ty::F32);
        return narrow(b, to, x);
    }
    let x = if from.size() == 8 { round_to_odd_53(b, from, x) } else { x };
    let x = int_to_lane(b, from, x, Ty::F64);
    b.f64_to_bf16(Ty::I16, x)
}

/// An integer as `F32` or `F64`, rounded once.
fn int_to_lane(b: &mut Builder, from: DType, x: ValueId, to: Ty) -> ValueId {
    let signed = from.kind() == Kind::Signed;
    // 8 and 16 bits fit a signed 32-bit integer either way, and signed conversions are what CPUs have.
    if from.size() < 4 {
        let x = resize(b, signed, x, Ty::I32);
        b.s_to_f(to, x)
    } else if signed {
        b.s_to_f(to, x)
    } else {
        b.u_to_f(to, x)
    }
}

/// A 64-bit integer cut so that `F64` holds it exactly, and that rounding further gives what rounding the original would:
/// where it needs more than 53 bits, its last kept bit records whether anything was cut off.
fn round_to_odd_53(b: &mut Builder, dtype: DType, x: ValueId) -> ValueId {
    let ty = Ty::I64;
    let (low, keep, zero) = (b.int(ty, 0x7ff), b.int(ty, !0x7ff), b.int(ty, 0));
    // `(x & low) + low` carries into bit 11 if any low bit is set.
    let tail = b.and(x, low);
    let sticky = b.iadd(tail, low);
    let odd = b.or(x, sticky);
    let odd = b.and(odd, keep);
    // The bits above the 53rd, which are all sign in a small number.
    let fits = match dtype.kind() {
        Kind::Signed => {
            let (bias, top) = (b.int(ty, 1 << 53), b.int(ty, 1 << 54));
            let shifted = b.iadd(x, bias);
            b.ult(shifted, top)
        }
        Kind::Unsigned | Kind::Bool | Kind::Float => {
            let shift = b.int(ty, 53);
            let top = b.shr_u(x, shift);
            b.ieq(top, zero)
        }
    };
    b.select(fits, x, odd)
}

fn float_to_int(b: &mut Builder, from: DType, to: DType, x: ValueId) -> ValueId {
    let x = widen(b, from, x);
    let clamped = |b: &mut Builder, low: i64, high: i64| {
        let wide = b.f_to_s(Ty::I32, x);
        let (low, high) = (b.int(Ty::I32, low), b.int(Ty::I32, high));
        let wide = b.smax(wide, low);
        let wide = b.smin(wide, high);
        b.trunc(Ty::of(to), wide)
    };
    match to {
        DType::I8 => clamped(b, i8::MIN.into(), i8::MAX.into()),
        DType::I16 => clamped(b, i16::MIN.into(), i16::MAX.into()),
        DType::U8 => clamped(b, 0, u8::MAX.into()),
        DType::U16 => clamped(b, 0, u16::MAX.into()),
        DType::U32 | DType::U64 => b.f_to_u(Ty::of(to), x),
        DType::I32 | DType::I64 => b.f_to_s(Ty::of(to), x),
        DType::Bool | DType::F16 | DType::BF16 | DType::F32 | DType::F64 => {
            debug_assert!(false, "{to} is no integer");
            x
        }
    }
}

fn float_to_float(b: &mut Builder, from: DType, to: DType, x: ValueId) -> ValueId {
    match (from, to) {
        (DType::F64, DType::F16) => b.f64_to_16(Ty::I16, x),
        (DType::F64, DType::BF16) => b.f64_to_bf16(Ty::I16, x),
        (DType::F64, DType::F32) => b.f64_to_32(Ty::F32, x),
        (_, DType::F64) => {
            let x = widen(b, from, x);
            b.f32_to_64(Ty::F64, x)
        }
        _ => {
            let x = widen(b, from, x);
            narrow(b, to, x)
        }
    }
}

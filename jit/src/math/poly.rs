//! Polynomials, constants and the handling of exponents that all families share. Everything here is `F64`.

use crate::{Builder, Ty, ValueId};

/// 1.5 * 2^52: adding it rounds a double below 2^51 to an integer, which then stands in the low bits of the sum.
pub(super) const MAGIC: f64 = 6755399441055744.0;

/// The constant `x`.
pub(super) fn c(b: &mut Builder, x: f64) -> ValueId {
    b.float(Ty::F64, x)
}

/// `a * x` for a constant `x`.
pub(super) fn mul_c(b: &mut Builder, a: ValueId, x: f64) -> ValueId {
    let x = c(b, x);
    b.fmul(a, x)
}

/// `a + x` for a constant `x`.
pub(super) fn add_c(b: &mut Builder, a: ValueId, x: f64) -> ValueId {
    let x = c(b, x);
    b.fadd(a, x)
}

/// `a * x + y` for a constant `x`, rounded once.
pub(super) fn fma_c(b: &mut Builder, a: ValueId, x: f64, y: ValueId) -> ValueId {
    let x = c(b, x);
    b.fma(a, x, y)
}

/// The integer constant `x`.
pub(super) fn int(b: &mut Builder, x: u64) -> ValueId {
    b.bits(Ty::I64, x)
}

/// The bits of a double.
pub(super) fn to_bits(b: &mut Builder, x: ValueId) -> ValueId {
    b.bitcast(Ty::I64, x)
}

/// The double with these bits.
pub(super) fn from_bits(b: &mut Builder, x: ValueId) -> ValueId {
    b.bitcast(Ty::F64, x)
}

/// The polynomial with these coefficients, lowest first: neighbours are paired, so that the chain of dependent
/// instructions is half as long as Horner's for one more multiplication.
pub(super) fn poly(b: &mut Builder, x: ValueId, coefficients: &[f64]) -> ValueId {
    if coefficients.len() < 5 {
        return horner(b, x, coefficients);
    }
    let x2 = b.fmul(x, x);
    let pair = |b: &mut Builder, p: &[f64]| match *p {
        [lo, hi] => {
            let lo = c(b, lo);
            fma_c(b, x, hi, lo)
        }
        _ => c(b, p[0]),
    };
    let mut pairs = coefficients.chunks(2).rev();
    // `coefficients` has at least five.
    let mut sum = pair(b, pairs.next().unwrap_or(&[0.0]));
    for p in pairs {
        let p = pair(b, p);
        sum = b.fma(sum, x2, p);
    }
    sum
}

fn horner(b: &mut Builder, x: ValueId, coefficients: &[f64]) -> ValueId {
    let mut sum: Option<ValueId> = None;
    for &a in coefficients.iter().rev() {
        let a = c(b, a);
        sum = Some(match sum {
            Some(s) => b.fma(s, x, a),
            None => a,
        });
    }
    sum.unwrap_or_else(|| c(b, 0.0))
}

/// `a * scale` rounded to an integer, `|a * scale|` being less than 2^51: `(integer + MAGIC, integer)`.
pub(super) fn round(b: &mut Builder, a: ValueId, scale: f64) -> (ValueId, ValueId) {
    let magic = c(b, MAGIC);
    let shifted = if scale == 1.0 { b.fadd(a, magic) } else { fma_c(b, a, scale, magic) };
    (shifted, b.fsub(shifted, magic))
}

/// The low 12 bits of an integer that carries [`MAGIC`], moved to where the exponent is.
fn exponent(b: &mut Builder, bits: ValueId) -> ValueId {
    let s = int(b, 52);
    b.shl(bits, s)
}

/// `x * 2^k` where `x` is a positive power of two, for `(k + MAGIC)`; the result must be in the normal range.
pub(super) fn pow2(b: &mut Builder, shifted: ValueId, x: f64) -> ValueId {
    let bits = to_bits(b, shifted);
    let e = exponent(b, bits);
    let one = int(b, x.to_bits());
    let r = b.iadd(e, one);
    from_bits(b, r)
}

/// `x / 2^k`: see [`pow2`].
pub(super) fn pow2_inverse(b: &mut Builder, shifted: ValueId, x: f64) -> ValueId {
    let bits = to_bits(b, shifted);
    let e = exponent(b, bits);
    let one = int(b, x.to_bits());
    let r = b.isub(one, e);
    from_bits(b, r)
}

/// `y * 2^k` for `|k| < 2000`, rounded once where the result overflows or is subnormal.
pub(super) fn scale(b: &mut Builder, y: ValueId, shifted: ValueId, k: ValueId) -> ValueId {
    let magic = c(b, MAGIC);
    let half = fma_c(b, k, 0.5, magic);
    let (all, half) = (to_bits(b, shifted), to_bits(b, half));
    let rest = b.isub(all, half);
    let one = int(b, 1.0f64.to_bits());
    let mut y = y;
    for bits in [half, rest] {
        let e = exponent(b, bits);
        let e = b.iadd(e, one);
        let e = from_bits(b, e);
        y = b.fmul(y, e);
    }
    y
}

/// `x` held between `lo` and `hi`; NaN stays.
pub(super) fn clamp(b: &mut Builder, x: ValueId, lo: f64, hi: f64) -> ValueId {
    let (lo, hi) = (c(b, lo), c(b, hi));
    // A comparison with NaN is false and gives the second operand.
    let x = b.fmax(lo, x);
    b.fmin(hi, x)
}

/// `F32` through `F64`: widens, applies `f`, narrows.
pub(super) fn widened(b: &mut Builder, x: ValueId, f: impl Fn(&mut Builder, ValueId) -> ValueId) -> ValueId {
    let wide = b.f32_to_64(Ty::F64, x);
    let y = f(b, wide);
    b.f64_to_32(Ty::F32, y)
}

/// [`widened`] for two arguments.
pub(super) fn widened2(
    b: &mut Builder,
    x: ValueId,
    y: ValueId,
    f: impl Fn(&mut Builder, ValueId, ValueId) -> ValueId,
) -> ValueId {
    let (x, y) = (b.f32_to_64(Ty::F64, x), b.f32_to_64(Ty::F64, y));
    let z = f(b, x, y);
    b.f64_to_32(Ty::F32, z)
}

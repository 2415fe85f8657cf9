//! Conversions to and from binary16 and bfloat16, on bits.
//!
//! Without branches, so that they vectorize; and by our own arithmetic, because a conversion from `f64` that goes
//! through `f32` rounds twice.

/// The binary16 with these bits, exactly.
#[inline(always)]
pub(crate) fn f16_to_f32(h: u16) -> f32 {
    let magnitude = (h as u32 & 0x7fff) << 13;
    // The exponent field is right but for the bias; multiplying by 2^(127 - 15) mends it, subnormals included.
    let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let bits = if magnitude >= 0x7c00 << 13 { magnitude | 0x7f80_0000 } else { finite };
    f32::from_bits(bits | (h as u32 & 0x8000) << 16)
}

/// `x` as binary16, rounded to nearest even.
#[inline(always)]
pub(crate) fn f32_to_f16(x: f32) -> u16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // Normal results: rebias, then round away the low 13 bits; a carry runs into the exponent as it should.
    let odd = magnitude >> 13 & 1;
    let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0xfff + odd) >> 13;
    // Subnormal results: adding 1/2, whose last place is 2^-24 as theirs is, makes the adder round.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let finite = if magnitude < 113 << 23 { subnormal } else { normal };
    let special = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let result = if magnitude >= 143 << 23 { special } else { finite };
    (result | bits >> 16 & 0x8000) as u16
}

/// The bfloat16 with these bits, exactly.
#[inline(always)]
pub(crate) fn bf16_to_f32(h: u16) -> f32 {
    f32::from_bits((h as u32) << 16)
}

/// `x` as bfloat16, rounded to nearest even.
#[inline(always)]
pub(crate) fn f32_to_bf16(x: f32) -> u16 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let nan = bits >> 16 | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded }) as u16
}

/// `x` as `f32`, rounded to odd: inexact results take the neighbour whose last bit is set. Rounding that to at most 22
/// bits gives what rounding `x` itself would.
#[inline(always)]
fn f64_to_f32_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let (back, bits) = (nearest as f64, nearest.to_bits());
    let even = bits & 1 == 0;
    let above = even & (back.abs() > x.abs());
    let below = even & (back.abs() < x.abs());
    // On the bits, a step of one goes to the next number away from zero, whatever the sign.
    f32::from_bits(bits.wrapping_add(below as u32).wrapping_sub(above as u32))
}

/// `x` as binary16, rounded once to nearest even.
#[inline(always)]
pub(crate) fn f64_to_f16(x: f64) -> u16 {
    f32_to_f16(f64_to_f32_odd(x))
}

/// `x` as bfloat16, rounded once to nearest even.
#[inline(always)]
pub(crate) fn f64_to_bf16(x: f64) -> u16 {
    f32_to_bf16(f64_to_f32_odd(x))
}

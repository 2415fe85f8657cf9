//! One value of one dtype, compared and hashed by its bits.

use crate::DType;
use half::{bf16, f16};
use std::fmt;

/// A value with its dtype. Equality and hash are those of the bits, so NaN equals itself and `0.0` is not `-0.0`.
///
/// ```
/// use lazuli_graph::{DType, Scalar};
/// let x = Scalar::from_f64(DType::F32, 0.1);
/// assert_eq!(x.as_f64(), 0.1f32 as f64);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Scalar {
    dtype: DType,
    bits: u64,
}

impl Scalar {
    /// The value whose memory holds `bits` (zero-extended to 64 bits; excess bits are dropped).
    pub const fn from_bits(dtype: DType, bits: u64) -> Scalar {
        let size = dtype.size();
        let bits = if size == 8 { bits } else { bits & ((1 << (8 * size)) - 1) };
        Scalar { dtype, bits }
    }

    /// The nearest value of `dtype` to `x`; integers saturate and take NaN as zero, as Rust's `as` does.
    pub fn from_f64(dtype: DType, x: f64) -> Scalar {
        let bits = match dtype {
            DType::Bool => (x != 0.0) as u64,
            DType::I8 => x as i8 as u8 as u64,
            DType::I16 => x as i16 as u16 as u64,
            DType::I32 => x as i32 as u32 as u64,
            DType::I64 => x as i64 as u64,
            DType::U8 => x as u8 as u64,
            DType::U16 => x as u16 as u64,
            DType::U32 => x as u32 as u64,
            DType::U64 => x as u64,
            // `half` goes through `f32` or drops low bits, and so would round twice.
            DType::F16 => f16::from_f32(round_to_odd(x)).to_bits() as u64,
            DType::BF16 => bf16::from_f32(round_to_odd(x)).to_bits() as u64,
            DType::F32 => (x as f32).to_bits() as u64,
            DType::F64 => x.to_bits(),
        };
        Scalar { dtype, bits }
    }

    /// `x` in `dtype`; integers wrap, floats round once.
    pub fn from_i64(dtype: DType, x: i64) -> Scalar {
        match dtype {
            DType::Bool => Scalar::from_bits(dtype, (x != 0) as u64),
            DType::F32 => Scalar::from_bits(dtype, (x as f32).to_bits() as u64),
            DType::BF16 if x.unsigned_abs() >> 53 != 0 => {
                Scalar::from_f64(dtype, ((x | ((x & 0x7ff) + 0x7ff)) & !0x7ff) as f64)
            }
            d if d.is_float() => Scalar::from_f64(dtype, x as f64),
            _ => Scalar::from_bits(dtype, x as u64),
        }
    }

    /// `x` in `dtype`; integers wrap, floats round once.
    pub fn from_u64(dtype: DType, x: u64) -> Scalar {
        match dtype {
            DType::Bool => Scalar::from_bits(dtype, (x != 0) as u64),
            DType::F32 => Scalar::from_bits(dtype, (x as f32).to_bits() as u64),
            // What an `f64` cannot hold is cut, and its last kept bit records that: a bfloat16 of it rounds once.
            DType::BF16 if x >> 53 != 0 => Scalar::from_f64(dtype, ((x | ((x & 0x7ff) + 0x7ff)) & !0x7ff) as f64),
            d if d.is_float() => Scalar::from_f64(dtype, x as f64),
            _ => Scalar::from_bits(dtype, x),
        }
    }

    /// The dtype.
    pub const fn dtype(self) -> DType {
        self.dtype
    }

    /// The bits in memory, zero-extended.
    pub const fn bits(self) -> u64 {
        self.bits
    }

    /// The value as `f64` (rounded for large 64-bit integers).
    pub fn as_f64(self) -> f64 {
        match self.dtype {
            DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64 => self.bits as f64,
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => self.as_i64() as f64,
            DType::F16 => f16::from_bits(self.bits as u16).to_f64(),
            DType::BF16 => bf16::from_bits(self.bits as u16).to_f64(),
            DType::F32 => f32::from_bits(self.bits as u32) as f64,
            DType::F64 => f64::from_bits(self.bits),
        }
    }

    /// The value as `i64`: integers wrap, floats saturate.
    pub fn as_i64(self) -> i64 {
        match self.dtype {
            DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64 => self.bits as i64,
            DType::I8 => self.bits as i8 as i64,
            DType::I16 => self.bits as i16 as i64,
            DType::I32 => self.bits as i32 as i64,
            DType::I64 => self.bits as i64,
            _ => self.as_f64() as i64,
        }
    }

    /// Whether the value is not zero (NaN is not).
    pub fn as_bool(self) -> bool {
        if self.dtype.is_float() { self.as_f64() != 0.0 } else { self.bits != 0 }
    }

    /// The value in another dtype, as `astype` converts it.
    pub fn cast(self, to: DType) -> Scalar {
        match self.dtype {
            d if d.is_float() => Scalar::from_f64(to, self.as_f64()),
            DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64 => Scalar::from_u64(to, self.bits),
            _ => Scalar::from_i64(to, self.as_i64()),
        }
    }

    /// Zero of `dtype`.
    pub const fn zero(dtype: DType) -> Scalar {
        Scalar { dtype, bits: 0 }
    }

    /// One of `dtype`.
    pub fn one(dtype: DType) -> Scalar {
        Scalar::from_i64(dtype, 1)
    }
}

/// `x` as `f32`, where an inexact result takes the neighbour whose last bit is set: rounding that to 22 bits or fewer
/// gives what rounding `x` would.
fn round_to_odd(x: f64) -> f32 {
    let nearest = x as f32;
    let (back, bits) = (nearest as f64, nearest.to_bits());
    if x.is_nan() || back == x || bits & 1 == 1 {
        nearest
    } else if back.abs() > x.abs() {
        // A step of one on the bits goes to the next number from or to zero, whatever the sign.
        f32::from_bits(bits - 1)
    } else {
        f32::from_bits(bits + 1)
    }
}

/// Prints the value so that it reads back to the same bits: `true`, `-3`, `0.1`, `nan`, `-inf`.
impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let float = |f: &mut fmt::Formatter<'_>, x: f64, shortest: String| {
            if x.is_nan() {
                f.pad("nan")
            } else if x.is_infinite() {
                f.pad(if x > 0.0 { "inf" } else { "-inf" })
            } else {
                f.pad(&shortest)
            }
        };
        match self.dtype {
            DType::Bool => f.pad(if self.bits != 0 { "true" } else { "false" }),
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => f.pad(&self.as_i64().to_string()),
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => f.pad(&self.bits.to_string()),
            DType::F32 => float(f, self.as_f64(), format!("{:?}", f32::from_bits(self.bits as u32))),
            _ => float(f, self.as_f64(), format!("{:?}", self.as_f64())),
        }
    }
}

impl fmt::Debug for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}:{}", self.dtype.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bit_floats_round_once() {
        // Just above and below a tie, by less than an `f32` sees.
        let cases = [
            (DType::F16, 1.0 + 2f64.powi(-11), 0x3c00),
            (DType::F16, 1.0 + 2f64.powi(-11) + 2f64.powi(-40), 0x3c01),
            (DType::F16, 1.0 + 3.0 * 2f64.powi(-11) - 2f64.powi(-40), 0x3c01),
            (DType::F16, 65519.999999, 0x7bff),
            (DType::F16, 65520.0, 0x7c00),
            (DType::F16, -(2f64.powi(-25) + 2f64.powi(-60)), 0x8001),
            (DType::BF16, 1.0 + 2f64.powi(-8), 0x3f80),
            (DType::BF16, 1.0 + 2f64.powi(-8) + 2f64.powi(-40), 0x3f81),
            (DType::BF16, 1.0 + 3.0 * 2f64.powi(-8) - 2f64.powi(-40), 0x3f81),
            (DType::BF16, f64::MAX, 0x7f80),
        ];
        for (dtype, x, bits) in cases {
            assert_eq!(Scalar::from_f64(dtype, x).bits(), bits, "{x:e} in {dtype}");
        }
        for (x, bits) in [(1 << 62 | 1 << 54, 0x5e80), (1 << 62 | 1 << 54 | 1, 0x5e81), (1 << 62 | 3 << 54, 0x5e82)] {
            assert_eq!(Scalar::from_i64(DType::BF16, x).bits(), bits);
            assert_eq!(Scalar::from_i64(DType::BF16, -x).bits(), bits | 0x8000);
            assert_eq!(Scalar::from_u64(DType::BF16, x as u64).bits(), bits);
        }
    }

    #[test]
    fn halves_survive_a_trip_through_f64() {
        for dtype in [DType::F16, DType::BF16] {
            for bits in 0..=u16::MAX as u64 {
                let x = Scalar::from_bits(dtype, bits);
                let back = Scalar::from_f64(dtype, x.as_f64());
                assert!(back == x || x.as_f64().is_nan() && back.as_f64().is_nan(), "{x:?}");
            }
        }
    }
}

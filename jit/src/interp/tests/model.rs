//! What each primitive gives for one element, written down a second time: integers in 128 bits, conversions through
//! exact decimals.

use crate::testing::raise_limit;
use crate::{Prim, Routine, Ty};

fn width(ty: Ty) -> u32 {
    8 * ty.size() as u32
}

fn unsigned(ty: Ty, bits: u64) -> i128 {
    debug_assert!(ty.size() == 8 || bits >> width(ty) == 0);
    bits as i128
}

fn signed(ty: Ty, bits: u64) -> i128 {
    let x = unsigned(ty, bits);
    if x >> (width(ty) - 1) == 1 { x - (1 << width(ty)) } else { x }
}

/// The low bits.
fn wrap(ty: Ty, x: i128) -> u64 {
    x.rem_euclid(1 << width(ty)) as u64
}

fn float(ty: Ty, bits: u64) -> f64 {
    if ty == Ty::F32 { f32::from_bits(bits as u32) as f64 } else { f64::from_bits(bits) }
}

/// `x` to the bits of `ty`; the operations that use it round rightly even by way of `f64`.
fn from_float(ty: Ty, x: f64) -> u64 {
    if ty == Ty::F32 { (x as f32).to_bits() as u64 } else { x.to_bits() }
}

/// `x` rounded to `f32`, by parsing all its decimals.
fn parse_f32(x: f64) -> f32 {
    if x.is_nan() { f32::NAN } else { format!("{x:.1074}").parse().unwrap() }
}

fn sign_bit(ty: Ty) -> u64 {
    1 << (width(ty) - 1)
}

/// The value of binary16 (5 bits of exponent) or bfloat16 (8).
pub(super) fn decode_half(bits: u64, exponent_bits: u32) -> f64 {
    let fraction_bits = 15 - exponent_bits;
    let exponent = (bits >> fraction_bits & ((1 << exponent_bits) - 1)) as i32;
    let fraction = (bits & ((1 << fraction_bits) - 1)) as f64 / 2f64.powi(fraction_bits as i32);
    let bias = (1 << (exponent_bits - 1)) - 1;
    let magnitude = if exponent == (1 << exponent_bits) - 1 {
        if fraction == 0.0 { f64::INFINITY } else { f64::NAN }
    } else if exponent == 0 {
        fraction * 2f64.powi(1 - bias)
    } else {
        (1.0 + fraction) * 2f64.powi(exponent - bias)
    };
    if bits >> 15 & 1 == 1 { -magnitude } else { magnitude }
}

/// The nearest binary16 or bfloat16, ties to even, by bisection over all of them.
pub(super) fn encode_half(x: f64, exponent_bits: u32) -> u64 {
    let infinity = ((1u64 << exponent_bits) - 1) << (15 - exponent_bits);
    if x.is_nan() {
        return infinity + 1;
    }
    // Infinity stands where the next number would.
    let value = |h: u64| {
        if h == infinity { 2f64.powi(1 << (exponent_bits - 1)) } else { decode_half(h, exponent_bits) }
    };
    let magnitude = x.abs();
    let below = (0..=infinity).collect::<Vec<_>>().partition_point(|&h| value(h) <= magnitude) as u64 - 1;
    let nearest = if below == infinity {
        infinity
    } else {
        let middle = (value(below) + value(below + 1)) / 2.0;
        if magnitude > middle || magnitude == middle && below % 2 == 1 { below + 1 } else { below }
    };
    nearest | if x.is_sign_negative() { 0x8000 } else { 0 }
}

/// Whether what [`Prim::FRaise`] gives for these arguments is said.
pub(crate) fn raises(ty: Ty, a: u64, b: u64) -> bool {
    let (sum, k) = (float(ty, from_float(ty, 1.0 + float(ty, a))), float(ty, b));
    let size = sum == 0.0 || (2f64.powi(-16)..=2f64.powi(16)).contains(&sum.abs());
    sum.is_nan() || (size && k == k.trunc() && k.abs() <= raise_limit(ty))
}

/// `k` and `m` of `x = 2^k m`, by halving and doubling.
fn split(ty: Ty, x: f64) -> (f64, f64) {
    let root = if ty == Ty::F32 { f64::from(0.5f32.sqrt()) } else { 0.5f64.sqrt() };
    let (mut k, mut m) = (0.0, x);
    match x {
        _ if x.is_nan() || x < 0.0 => return (f64::NAN, f64::NAN),
        0.0 => return (f64::NEG_INFINITY, 1.0),
        f64::INFINITY => return (x, 1.0),
        _ => (),
    }
    while m < root {
        (k, m) = (k - 1.0, m * 2.0);
    }
    while m >= 2.0 * root {
        (k, m) = (k + 1.0, m / 2.0);
    }
    (k, m)
}

/// One element: `from` is the type of the arguments (of `select`, of the last two).
pub(super) fn eval(prim: Prim, from: Ty, ty: Ty, imm: u64, args: &[u64]) -> u64 {
    let bits = |k: usize| args[k];
    let (f, u, s) =
        (|k: usize| float(from, args[k]), |k: usize| unsigned(from, args[k]), |k: usize| signed(from, args[k]));
    let by_width = |k: usize| if u(k) < width(from) as i128 { Some(u(k) as u32) } else { None };
    match prim {
        Prim::Const => imm,
        Prim::Load | Prim::Index => unreachable!("sources"),

        Prim::FAdd => from_float(ty, f(0) + f(1)),
        Prim::FSub => from_float(ty, f(0) - f(1)),
        Prim::FMul => from_float(ty, f(0) * f(1)),
        Prim::FDiv => from_float(ty, f(0) / f(1)),
        Prim::FSqrt => from_float(ty, f(0).sqrt()),
        Prim::Fma if ty == Ty::F64 => f(0).mul_add(f(1), f(2)).to_bits(),
        Prim::Fma => {
            let [a, b, c] = [0, 1, 2].map(|k| f32::from_bits(args[k] as u32));
            a.mul_add(b, c).to_bits() as u64
        }
        Prim::FNeg => bits(0) ^ sign_bit(ty),
        Prim::FAbs => bits(0) & !sign_bit(ty),
        Prim::FCopysign => bits(0) & !sign_bit(ty) | bits(1) & sign_bit(ty),
        Prim::FFloor => from_float(ty, f(0).floor()),
        Prim::FCeil => from_float(ty, f(0).ceil()),
        Prim::FTrunc => from_float(ty, f(0).trunc()),
        Prim::FNearest => {
            // Adding and taking away 2^52 rounds what is smaller.
            let shift = 4503599627370496.0f64.copysign(f(0));
            let rounded = if f(0).abs() < 4503599627370496.0 { f(0) + shift - shift } else { f(0) };
            from_float(ty, rounded.copysign(f(0)))
        }
        Prim::FRaise => {
            // In two steps that are exact, but for the last.
            let (k, sum) = (f(1).clamp(-2000.0, 2000.0) as i32, from_float(ty, 1.0 + f(0)));
            let sum = float(ty, sum);
            from_float(ty, sum * 2f64.powi(k / 2) * 2f64.powi(k - k / 2))
        }
        Prim::FSignificand | Prim::FExponent => {
            let (k, m) = split(ty, f(0));
            from_float(ty, if prim == Prim::FExponent { k } else { m })
        }
        Prim::FMin => bits((f(0) >= f(1) || f(0).is_nan() || f(1).is_nan()) as usize),
        Prim::FMax => bits((f(0) <= f(1) || f(0).is_nan() || f(1).is_nan()) as usize),

        Prim::IAdd => wrap(ty, u(0) + u(1)),
        Prim::ISub => wrap(ty, u(0) - u(1)),
        Prim::IMul => wrap(ty, s(0) * s(1)),
        Prim::INeg => wrap(ty, -s(0)),
        Prim::IAbs => wrap(ty, s(0).abs()),
        Prim::SMin => wrap(ty, s(0).min(s(1))),
        Prim::SMax => wrap(ty, s(0).max(s(1))),
        Prim::UMin => wrap(ty, u(0).min(u(1))),
        Prim::UMax => wrap(ty, u(0).max(u(1))),
        Prim::SDiv => wrap(ty, s(0).checked_div(s(1)).unwrap_or(0)),
        Prim::UDiv => wrap(ty, u(0).checked_div(u(1)).unwrap_or(0)),
        Prim::SRem => wrap(ty, s(0).checked_rem(s(1)).unwrap_or(0)),
        Prim::URem => wrap(ty, u(0).checked_rem(u(1)).unwrap_or(0)),
        Prim::And => bits(0) & bits(1),
        Prim::Or => bits(0) | bits(1),
        Prim::Xor => bits(0) ^ bits(1),
        Prim::Not => wrap(ty, -1 - s(0)),
        Prim::Shl => wrap(ty, by_width(1).map_or(0, |n| u(0) * (1 << n))),
        Prim::ShrU => wrap(ty, by_width(1).map_or(0, |n| u(0) / (1 << n))),
        Prim::ShrS => wrap(ty, s(0).div_euclid(1 << by_width(1).unwrap_or(64))),

        Prim::FEq => (f(0) == f(1)) as u64,
        Prim::FNe => (f(0) != f(1)) as u64,
        Prim::FLt => (f(0) < f(1)) as u64,
        Prim::FLe => (f(0) <= f(1)) as u64,
        Prim::IEq => (bits(0) == bits(1)) as u64,
        Prim::INe => (bits(0) != bits(1)) as u64,
        Prim::SLt => (s(0) < s(1)) as u64,
        Prim::SLe => (s(0) <= s(1)) as u64,
        Prim::ULt => (u(0) < u(1)) as u64,
        Prim::ULe => (u(0) <= u(1)) as u64,

        Prim::MAnd => (bits(0) + bits(1) == 2) as u64,
        Prim::MOr => (bits(0) + bits(1) > 0) as u64,
        Prim::MXor => (bits(0) + bits(1) == 1) as u64,
        Prim::MNot => 1 - bits(0),
        Prim::Select => bits(2 - bits(0) as usize),

        Prim::MaskToInt | Prim::Bitcast | Prim::ZExt => bits(0),
        Prim::SExt => wrap(ty, s(0)),
        Prim::Trunc => wrap(ty, u(0)),
        Prim::SToF if ty == Ty::F32 => s(0).to_string().parse::<f32>().unwrap().to_bits() as u64,
        Prim::SToF => s(0).to_string().parse::<f64>().unwrap().to_bits(),
        Prim::UToF if ty == Ty::F32 => u(0).to_string().parse::<f32>().unwrap().to_bits() as u64,
        Prim::UToF => u(0).to_string().parse::<f64>().unwrap().to_bits(),
        Prim::FToS => {
            let (least, most) = (-(1i128 << (width(ty) - 1)), (1i128 << (width(ty) - 1)) - 1);
            wrap(ty, (f(0).trunc() as i128).clamp(least, most))
        }
        Prim::FToU => wrap(ty, (f(0).trunc() as i128).clamp(0, (1 << width(ty)) - 1)),
        Prim::F32To64 => f(0).to_bits(),
        Prim::F64To32 => parse_f32(f(0)).to_bits() as u64,
        Prim::F16To32 => from_float(ty, decode_half(bits(0), 5)),
        Prim::Bf16To32 => from_float(ty, decode_half(bits(0), 8)),
        Prim::F32To16 | Prim::F64To16 => encode_half(f(0), 5),
        Prim::F32ToBf16 | Prim::F64ToBf16 => encode_half(f(0), 8),

        Prim::Call1 => match (Routine::from_imm(imm).unwrap(), ty) {
            (r, Ty::F32) => r.f32_1()(f32::from_bits(bits(0) as u32)).to_bits() as u64,
            (r, _) => r.f64_1()(f(0)).to_bits(),
        },
        Prim::CallIf if bits(0) != 0 => eval(Prim::Call1, from, ty, imm, &args[1..2]),
        Prim::CallIf => bits(2),
        Prim::Call2 => match (Routine::from_imm(imm).unwrap(), ty) {
            (r, Ty::F32) => r.f32_2()(f32::from_bits(bits(0) as u32), f32::from_bits(bits(1) as u32)).to_bits() as u64,
            (r, _) => r.f64_2()(f(0), f(1)).to_bits(),
        },
    }
}

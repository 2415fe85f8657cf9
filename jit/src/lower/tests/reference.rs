//! A second definition of every op, on scalars: integers in `i128`, floats in `f64` (`f32` where that shows).

// Each function here takes its share of the ops. What nothing takes panics, so a new op fails until it has a reference.
#![allow(clippy::wildcard_enum_match_arm)]

use lazuli_graph::{DType, Kind, MapOp, Scalar};

/// What an op should give.
pub(super) enum Expected {
    /// This, bit for bit.
    Exactly(Scalar),
    /// At most so many ULP away.
    Near(Scalar, u64),
}

pub(super) fn expected(op: MapOp, dtype: DType, args: &[Scalar]) -> Expected {
    use Expected::Exactly;
    if op == MapOp::Where {
        return Exactly(if args[0].as_bool() { args[1] } else { args[2] });
    }
    let (x, y) = (args[0], args.get(1).copied().unwrap_or(args[0]));
    if let Some(answer) = question(op, x, y) {
        return Exactly(Scalar::from_bits(DType::Bool, answer as u64));
    }
    match dtype.kind() {
        Kind::Bool => Exactly(Scalar::from_bits(dtype, boolean(op, x.as_bool(), y.as_bool()) as u64)),
        Kind::Signed | Kind::Unsigned => Exactly(wrap(dtype, integer(op, dtype, int(x), int(y)))),
        Kind::Float => float(op, dtype, x, y),
    }
}

fn int(x: Scalar) -> i128 {
    if x.dtype().kind() == Kind::Signed { x.as_i64() as i128 } else { x.bits() as i128 }
}

fn wrap(dtype: DType, x: i128) -> Scalar {
    Scalar::from_bits(dtype, x as u64)
}

/// The ops that answer yes or no.
fn question(op: MapOp, x: Scalar, y: Scalar) -> Option<bool> {
    let float = x.dtype().is_float();
    // `f64` holds every float, `i128` every integer.
    let order = if float { x.as_f64().partial_cmp(&y.as_f64()) } else { Some(int(x).cmp(&int(y))) };
    let value = x.as_f64();
    Some(match op {
        MapOp::Equal => order.is_some_and(|o| o.is_eq()),
        MapOp::NotEqual => order.is_none_or(|o| o.is_ne()),
        MapOp::Less => order.is_some_and(|o| o.is_lt()),
        MapOp::LessEqual => order.is_some_and(|o| o.is_le()),
        MapOp::Greater => order.is_some_and(|o| o.is_gt()),
        MapOp::GreaterEqual => order.is_some_and(|o| o.is_ge()),
        MapOp::Isnan => float && value.is_nan(),
        MapOp::Isinf => float && value.is_infinite(),
        MapOp::Isfinite => !float || value.is_finite(),
        MapOp::Signbit if float => x.bits() >> (8 * x.dtype().size() - 1) == 1,
        MapOp::Signbit => int(x) < 0,
        MapOp::LogicalAnd => x.as_bool() && y.as_bool(),
        MapOp::LogicalOr => x.as_bool() || y.as_bool(),
        MapOp::LogicalXor => x.as_bool() != y.as_bool(),
        MapOp::LogicalNot => !x.as_bool(),
        _ => return None,
    })
}

fn boolean(op: MapOp, x: bool, y: bool) -> bool {
    match op {
        MapOp::Abs | MapOp::Round | MapOp::Floor | MapOp::Ceil | MapOp::Trunc => x,
        MapOp::Add | MapOp::Maximum | MapOp::Fmax | MapOp::BitwiseOr => x || y,
        MapOp::Multiply | MapOp::Minimum | MapOp::Fmin | MapOp::BitwiseAnd => x && y,
        MapOp::BitwiseXor => x != y,
        MapOp::Invert => !x,
        _ => panic!("{op} takes no bool"),
    }
}

fn integer(op: MapOp, dtype: DType, x: i128, y: i128) -> i128 {
    let width = 8 * dtype.size() as i128;
    let floor = |x: i128, y: i128| x.div_euclid(y) - (x.rem_euclid(y) != 0 && y < 0) as i128;
    match op {
        MapOp::Negative => -x,
        MapOp::Abs => x.abs(),
        MapOp::Sign => x.signum(),
        MapOp::Add => x + y,
        MapOp::Subtract => x - y,
        MapOp::Multiply => x.wrapping_mul(y),
        MapOp::Square => x.wrapping_mul(x),
        MapOp::FloorDivide => {
            if y == 0 {
                0
            } else {
                floor(x, y)
            }
        }
        MapOp::Remainder => {
            if y == 0 {
                0
            } else {
                x - floor(x, y) * y
            }
        }
        MapOp::Reciprocal => {
            if x == 0 {
                0
            } else {
                1 / x
            }
        }
        MapOp::Pow if y < 0 => match x {
            1 => 1,
            -1 => {
                if y % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        },
        MapOp::Pow => {
            // By the exponent's bits from the top, in 64 bits that wrap.
            (0..64).rev().fold(1u64, |p, bit| {
                let p = p.wrapping_mul(p);
                if y >> bit & 1 == 1 { p.wrapping_mul(x as u64) } else { p }
            }) as i128
        }
        MapOp::Minimum | MapOp::Fmin => x.min(y),
        MapOp::Maximum | MapOp::Fmax => x.max(y),
        MapOp::Round | MapOp::Floor | MapOp::Ceil | MapOp::Trunc => x,
        MapOp::BitwiseAnd => x & y,
        MapOp::BitwiseOr => x | y,
        MapOp::BitwiseXor => x ^ y,
        MapOp::Invert => !x,
        MapOp::LeftShift => {
            if (0..width).contains(&y) {
                x << y
            } else {
                0
            }
        }
        MapOp::RightShift => {
            if (0..width).contains(&y) {
                x >> y
            } else if x < 0 {
                -1
            } else {
                0
            }
        }
        _ => panic!("{op} takes no integer"),
    }
}

fn float(op: MapOp, dtype: DType, sx: Scalar, sy: Scalar) -> Expected {
    let (x, y) = (sx.as_f64(), sy.as_f64());
    let minimum = |x: f64, y: f64| match x.partial_cmp(&y) {
        None => f64::NAN,
        Some(std::cmp::Ordering::Less) => x,
        Some(std::cmp::Ordering::Greater) => y,
        Some(std::cmp::Ordering::Equal) => {
            if x.is_sign_negative() {
                x
            } else {
                y
            }
        }
    };
    let number = |both: f64| {
        if x.is_nan() {
            y
        } else if y.is_nan() {
            x
        } else {
            both
        }
    };
    let negative_minimum = -minimum(-x, -y);
    let exact = match op {
        MapOp::Negative => -x,
        MapOp::Abs => x.abs(),
        MapOp::Sign => {
            if x.is_nan() {
                x
            } else if x == 0.0 {
                0.0
            } else {
                x.signum()
            }
        }
        MapOp::Add => x + y,
        MapOp::Subtract => x - y,
        MapOp::Multiply => x * y,
        MapOp::Square => x * x,
        MapOp::Divide => x / y,
        MapOp::Reciprocal => 1.0 / x,
        MapOp::FloorDivide if dtype == DType::F64 => divmod_f64(x, y).0,
        MapOp::Remainder if dtype == DType::F64 => divmod_f64(x, y).1,
        // Of the narrower, intermediate results round to `f32`.
        MapOp::FloorDivide => divmod_f32(x as f32, y as f32).0 as f64,
        MapOp::Remainder => divmod_f32(x as f32, y as f32).1 as f64,
        MapOp::Minimum => minimum(x, y),
        MapOp::Maximum => negative_minimum,
        MapOp::Fmin => number(minimum(x, y)),
        MapOp::Fmax => number(negative_minimum),
        MapOp::Copysign => x.copysign(y),
        MapOp::Round => x.round_ties_even(),
        MapOp::Floor => x.floor(),
        MapOp::Ceil => x.ceil(),
        MapOp::Trunc => x.trunc(),
        MapOp::Sqrt => x.sqrt(),
        _ => {
            let value = function(op, x, y);
            // The table's bound is for the exact value; the reference itself is half an ULP off, of `f64` one.
            let mut steps = op.row().ulp as u64 + (dtype == DType::F64) as u64;
            // Of a sum that cancels, the bound is in units of what was added.
            if op == MapOp::Logaddexp && value.is_finite() && value != 0.0 {
                steps += (2.0 * x.abs().max(y.abs()).max(1.0) / value.abs()).min(1e18) as u64;
            }
            return Expected::Near(Scalar::from_f64(dtype, value), steps);
        }
    };
    Expected::Exactly(Scalar::from_f64(dtype, exact))
}

fn function(op: MapOp, x: f64, y: f64) -> f64 {
    match op {
        MapOp::Hypot => x.hypot(y),
        MapOp::Pow => x.powf(y),
        MapOp::Atan2 => x.atan2(y),
        MapOp::Exp => x.exp(),
        MapOp::Exp2 => x.exp2(),
        MapOp::Expm1 => x.exp_m1(),
        MapOp::Log => x.ln(),
        MapOp::Log2 => x.log2(),
        MapOp::Log10 => x.log10(),
        MapOp::Log1p => x.ln_1p(),
        MapOp::Sin => x.sin(),
        MapOp::Cos => x.cos(),
        MapOp::Tan => x.tan(),
        MapOp::Asin => x.asin(),
        MapOp::Acos => x.acos(),
        MapOp::Atan => x.atan(),
        MapOp::Sinh => x.sinh(),
        MapOp::Cosh => x.cosh(),
        MapOp::Tanh => x.tanh(),
        MapOp::Cbrt => x.cbrt(),
        MapOp::Asinh => libm::asinh(x),
        MapOp::Acosh if x < 1.0 => f64::NAN,
        MapOp::Acosh => libm::acosh(x),
        MapOp::Atanh => libm::atanh(x),
        MapOp::Erf => libm::erf(x),
        MapOp::Erfc => libm::erfc(x),
        MapOp::Sigmoid if x < 0.0 => x.exp() / (1.0 + x.exp()),
        MapOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        MapOp::Logaddexp if x == y => x + std::f64::consts::LN_2,
        MapOp::Logaddexp if x.is_nan() || y.is_nan() => f64::NAN,
        MapOp::Logaddexp => x.max(y) + (-(x - y).abs()).exp().ln_1p(),
        _ => panic!("{op} takes no float"),
    }
}

/// Floored quotient and remainder, as the language reference of Python and NumPy's manual describe them: the remainder
/// is that of exact truncated division, brought to the sign of the divisor; the quotient is `(x - remainder) / y`,
/// snapped to an integer. Zeros keep the sign of the ratio and of the divisor; by zero, they are `x / y` and NaN.
macro_rules! divmod {
    ($name:ident $t:ty) => {
        fn $name(x: $t, y: $t) -> ($t, $t) {
            if y == 0.0 {
                return (x / y, <$t>::NAN);
            }
            let mut remainder = x % y;
            let mut quotient = (x - remainder) / y;
            if remainder == 0.0 {
                remainder = (0.0 as $t).copysign(y);
            } else if (remainder < 0.0) != (y < 0.0) {
                remainder += y;
                quotient -= 1.0;
            }
            if quotient == 0.0 {
                return ((0.0 as $t).copysign(x / y), remainder);
            }
            let floor = quotient.floor();
            (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, remainder)
        }
    };
}

divmod!(divmod_f64 f64);
divmod!(divmod_f32 f32);

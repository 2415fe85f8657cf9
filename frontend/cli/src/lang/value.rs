//! What expressions evaluate to, and Python's arithmetic on numbers.
//!
//! Literals, and whatever is computed of literals by operators alone, are Python's numbers: integers without dtype,
//! floats of 64 bits. They turn into array expressions where they meet an array, and give way to its dtype there.

use super::ast::{BinaryOp, CompareOp, UnaryOp};
use lazuli_graph::{DType, Expr, Scalar};
use std::cmp::Ordering;

/// A value of the language.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`, also `newaxis`.
    None,
    /// `...`.
    Ellipsis,
    /// `True`, `False`.
    Bool(bool),
    /// An integer without dtype.
    Int(i128),
    /// A float without dtype.
    Float(f64),
    /// A string.
    Str(String),
    /// A dtype.
    DType(DType),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A list.
    List(Vec<Value>),
    /// An array.
    Array(Expr),
    /// `np`: a prefix before NumPy's names.
    Module,
}

impl Value {
    /// What the value is, for errors.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::None => "None",
            Value::Ellipsis => "'...'",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Str(_) => "a string",
            Value::DType(_) => "a dtype",
            Value::Tuple(_) => "a tuple",
            Value::List(_) => "a list",
            Value::Array(_) => "an array",
            Value::Module => "a module",
        }
    }

    /// The number as a scalar of its default dtype; `None` if it is no number or does not fit 64 bits.
    pub fn scalar(&self) -> Option<Scalar> {
        match *self {
            Value::Bool(x) => Some(Scalar::from_i64(DType::Bool, x as i64)),
            Value::Int(x) => match i64::try_from(x) {
                Ok(x) => Some(Scalar::from_i64(DType::I64, x)),
                Err(_) => u64::try_from(x).ok().map(|x| Scalar::from_u64(DType::U64, x)),
            },
            Value::Float(x) => Some(Scalar::from_f64(DType::F64, x)),
            _ => None,
        }
    }

    /// The number as an integer, `True` as 1.
    pub(super) fn integer(&self) -> Option<i128> {
        match *self {
            Value::Bool(x) => Some(x as i128),
            Value::Int(x) => Some(x),
            _ => None,
        }
    }

    /// The number as a float.
    pub(super) fn float(&self) -> Option<f64> {
        match *self {
            Value::Float(x) => Some(x),
            _ => self.integer().map(|x| x as f64),
        }
    }

    /// Whether the value is a number without dtype.
    pub(super) fn is_number(&self) -> bool {
        self.float().is_some()
    }
}

const TOO_LARGE: &str = "the result is too large";
const BY_ZERO: &str = "division by zero";

/// `op x` for a number; `None` where `x` is no number.
pub(super) fn unary(op: UnaryOp, x: &Value) -> Option<Result<Value, &'static str>> {
    if let Some(n) = x.integer() {
        return Some(match op {
            UnaryOp::Negative => n.checked_neg().map(Value::Int).ok_or(TOO_LARGE),
            UnaryOp::Positive => Ok(Value::Int(n)),
            UnaryOp::Invert => Ok(Value::Int(!n)),
        });
    }
    let x = x.float()?;
    Some(match op {
        UnaryOp::Negative => Ok(Value::Float(-x)),
        UnaryOp::Positive => Ok(Value::Float(x)),
        UnaryOp::Invert => Err("'~' is not defined for floats"),
    })
}

/// `x op y` for numbers; `None` where either is no number.
pub(super) fn binary(op: BinaryOp, x: &Value, y: &Value) -> Option<Result<Value, &'static str>> {
    match (x.integer(), y.integer()) {
        (Some(a), Some(b)) => Some(integers(op, a, b, matches!((x, y), (Value::Bool(_), Value::Bool(_))))),
        _ => Some(floats(op, x.float()?, y.float()?)),
    }
}

fn integers(op: BinaryOp, a: i128, b: i128, bools: bool) -> Result<Value, &'static str> {
    let floor = |a: i128, b: i128| {
        let (q, r) = (a.checked_div(b)?, a.checked_rem(b)?);
        let below = r != 0 && (r < 0) != (b < 0);
        Some(if below { (q - 1, r + b) } else { (q, r) })
    };
    let whole = match op {
        BinaryOp::BitOr | BinaryOp::BitXor | BinaryOp::BitAnd => {
            let bits = match op {
                BinaryOp::BitOr => a | b,
                BinaryOp::BitXor => a ^ b,
                _ => a & b,
            };
            return Ok(if bools { Value::Bool(bits != 0) } else { Value::Int(bits) });
        }
        BinaryOp::Add => a.checked_add(b),
        BinaryOp::Subtract => a.checked_sub(b),
        BinaryOp::Multiply => a.checked_mul(b),
        BinaryOp::Divide if b == 0 => return Err(BY_ZERO),
        BinaryOp::Divide => return Ok(Value::Float(a as f64 / b as f64)),
        BinaryOp::FloorDivide | BinaryOp::Remainder if b == 0 => return Err(BY_ZERO),
        BinaryOp::FloorDivide => floor(a, b).map(|x| x.0),
        BinaryOp::Remainder => floor(a, b).map(|x| x.1),
        BinaryOp::LeftShift | BinaryOp::RightShift if b < 0 => return Err("a shift cannot be negative"),
        // Multiplied, for a shift would drop what overflows.
        BinaryOp::LeftShift if a == 0 => Some(0),
        BinaryOp::LeftShift => (b < 126).then(|| 1i128 << b).and_then(|factor| a.checked_mul(factor)),
        BinaryOp::RightShift => Some(a >> b.min(127)),
        BinaryOp::Power if b < 0 => return floats(op, a as f64, b as f64),
        BinaryOp::Power => match (a, u32::try_from(b)) {
            (0 | 1, _) => Some(if b == 0 { 1 } else { a }),
            (-1, _) => Some(if b % 2 == 0 { 1 } else { -1 }),
            (_, Ok(b)) => a.checked_pow(b),
            (_, Err(_)) => None,
        },
        BinaryOp::Matmul => return Err("'@' is not defined for numbers"),
    };
    whole.map(Value::Int).ok_or(TOO_LARGE)
}

fn floats(op: BinaryOp, a: f64, b: f64) -> Result<Value, &'static str> {
    // Python's float.__divmod__: the exact remainder first, with the divisor's sign.
    let divmod = || {
        let mut rem = a % b;
        let mut div = (a - rem) / b;
        if rem != 0.0 {
            if (b < 0.0) != (rem < 0.0) {
                rem += b;
                div -= 1.0;
            }
        } else {
            rem = 0f64.copysign(b);
        }
        let mut quotient = 0f64.copysign(a / b);
        if div != 0.0 {
            quotient = div.floor();
            if div - quotient > 0.5 {
                quotient += 1.0;
            }
        }
        (quotient, rem)
    };
    let x = match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Remainder if b == 0.0 => return Err(BY_ZERO),
        BinaryOp::Divide => a / b,
        BinaryOp::FloorDivide => divmod().0,
        BinaryOp::Remainder => divmod().1,
        BinaryOp::Power if a == 0.0 && b < 0.0 => return Err("zero to a negative power"),
        BinaryOp::Power if a < 0.0 && a.is_finite() && b.is_finite() && b.fract() != 0.0 => {
            return Err("a negative number to a fractional power is complex");
        }
        BinaryOp::Power => {
            let x = a.powf(b);
            if x.is_infinite() && a.is_finite() && b.is_finite() {
                return Err(TOO_LARGE);
            }
            x
        }
        BinaryOp::Matmul => return Err("'@' is not defined for numbers"),
        BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => {
            return Err("'&', '|' and '^' are not defined for floats");
        }
        BinaryOp::LeftShift | BinaryOp::RightShift => return Err("shifts are not defined for floats"),
    };
    Ok(Value::Float(x))
}

/// `x op y` for numbers; `None` where either is no number.
pub(super) fn compare(op: CompareOp, x: &Value, y: &Value) -> Option<bool> {
    let order = match (x.integer(), y.integer()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => x.float()?.partial_cmp(&y.float()?),
    };
    Some(match op {
        CompareOp::Less => order == Some(Ordering::Less),
        CompareOp::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        CompareOp::Greater => order == Some(Ordering::Greater),
        CompareOp::GreaterEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        CompareOp::Equal => order == Some(Ordering::Equal),
        CompareOp::NotEqual => order != Some(Ordering::Equal),
    })
}

//! Decimal digits of floats.

use crate::{bf16, f16};
use lazuli_graph::{DType, Scalar};

/// The digits of a finite float: `int.frac` times ten to the power `exp`.
pub(super) struct Decimal {
    negative: bool,
    /// Digits before the point; at least one.
    pub(super) int: String,
    /// Digits after the point, without trailing zeros.
    pub(super) frac: String,
    /// The exponent; zero in the positional form.
    pub(super) exp: i32,
}

impl Decimal {
    pub(super) fn sign(&self) -> &'static str {
        if self.negative { "-" } else { "" }
    }

    /// The fewest digits that tell `x` from its neighbours, without exponent; but where those are more than `precision`
    /// after the point, the exact value rounded to so many, halves to even.
    pub(super) fn positional(x: Scalar, precision: Option<usize>) -> Decimal {
        let value = x.as_f64();
        let (digits, exp) = shortest(x);
        let point = exp + 1;
        let after = (digits.len() as i32 - point).max(0) as usize;
        let (int, frac) = match precision {
            Some(p) if after > p => split(&format!("{:.p$}", value.abs())),
            _ => {
                let padded = format!("{digits}{}", "0".repeat((point - digits.len() as i32).max(0) as usize));
                match usize::try_from(point) {
                    Ok(p @ 1..) => (padded[..p].to_owned(), padded[p..].to_owned()),
                    _ => ("0".to_owned(), format!("{}{padded}", "0".repeat(point.unsigned_abs() as usize))),
                }
            }
        };
        Decimal::new(value, int, frac, 0)
    }

    /// The same with one digit before the point, and the exponent that this takes.
    pub(super) fn scientific(x: Scalar, precision: Option<usize>) -> Decimal {
        let value = x.as_f64();
        let (digits, exp) = shortest(x);
        match precision {
            Some(p) if digits.len() > p + 1 => Decimal::exact(x, p),
            _ => Decimal::new(value, digits[..1].to_owned(), digits[1..].to_owned(), exp),
        }
    }

    /// The exact value rounded to `precision` digits after the point, halves to even, with an exponent.
    pub(super) fn exact(x: Scalar, precision: usize) -> Decimal {
        let value = x.as_f64();
        let (digits, exp) = parse(&format!("{:.precision$e}", value.abs()));
        Decimal::new(value, digits[..1].to_owned(), digits[1..].to_owned(), exp)
    }

    fn new(value: f64, int: String, mut frac: String, exp: i32) -> Decimal {
        frac.truncate(frac.trim_end_matches('0').len());
        Decimal { negative: value.is_sign_negative(), int, frac, exp }
    }
}

/// `12.5` at its point.
fn split(text: &str) -> (String, String) {
    let (int, frac) = text.split_once('.').unwrap_or((text, ""));
    (int.to_owned(), frac.to_owned())
}

/// `1.25e-3` to `125` and -3.
fn parse(text: &str) -> (String, i32) {
    let (mantissa, exp) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa.replace('.', ""), exp.parse().expect("Rust writes a decimal exponent"))
}

/// The fewest digits that read back to `x` (without its sign), and the exponent of the first.
fn shortest(x: Scalar) -> (String, i32) {
    match x.dtype() {
        DType::F32 => parse(&format!("{:e}", f32::from_bits(x.bits() as u32).abs())),
        DType::F16 => shortest_half(x.as_f64().abs(), |v| f16::from_f64(v).to_f64()),
        DType::BF16 => shortest_half(x.as_f64().abs(), |v| bf16::from_f64(v).to_f64()),
        _ => parse(&format!("{:e}", x.as_f64().abs())),
    }
}

/// The same for a 16-bit format, given how it rounds. Of the decimals of a length, only the two that enclose `x` can
/// read back to it.
fn shortest_half(x: f64, round: impl Fn(f64) -> f64) -> (String, i32) {
    for digits in 0..8 {
        let near = format!("{x:.digits$e}");
        if round(read(&near)) == x {
            return parse(&near);
        }
        // The other neighbour: one unit of the last place further.
        let (all, exp) = parse(&near);
        let unit = if read(&near) > x { -1i64 } else { 1 };
        let value: i64 = all.parse().expect("these are at most eight decimal digits");
        let far = format!("{}e{}", value + unit, exp - digits as i32);
        if round(read(&far)) == x {
            return parse(&format!("{:.digits$e}", read(&far)));
        }
    }
    parse(&format!("{x:e}"))
}

fn read(text: &str) -> f64 {
    text.parse().expect("Rust reads the numbers it writes")
}

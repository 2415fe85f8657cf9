//! Prints tensors as NumPy prints arrays with its default options.
//!
//! [`digits`] turns one float into decimal digits; [`Column`] settles how all elements are written, so that they line
//! up; [`Writer`] nests the brackets and breaks the lines.

mod digits;

use crate::tensor::Tensor;
use digits::Decimal;
use lazuli_graph::{DType, Index, Kind, Scalar, View};
use std::fmt;

/// More elements than this are shortened to [`EDGE`] at each end of an axis.
const THRESHOLD: usize = 1000;
const EDGE: usize = 3;
/// Columns of a line.
const WIDTH: usize = 75;
/// Digits after the point at most.
const PRECISION: usize = 8;

/// As NumPy's `print` does: `[[0.  0.5]\n [1.  1.5]]`.
impl fmt::Display for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.elements() == 0 {
            return f.write_str("[]");
        }
        if let (0, Ok(value)) = (self.rank(), self.item()) {
            return f.write_str(&alone(value));
        }
        let short = self.elements() > THRESHOLD;
        let shown = if short { edges(self) } else { self.clone() };
        let mut writer = Writer { column: Column::new(&shown), short, out: String::new() };
        writer.write(self, 0);
        f.write_str(&writer.out)
    }
}

/// A value by itself, as Python's `str` writes a NumPy scalar.
fn alone(x: Scalar) -> String {
    match x.dtype().kind() {
        Kind::Bool => (if x.as_bool() { "True" } else { "False" }).to_owned(),
        Kind::Signed => x.as_i64().to_string(),
        Kind::Unsigned => x.bits().to_string(),
        Kind::Float => {
            let value = x.as_f64();
            if let Some(word) = not_finite(value) {
                word.to_owned()
            } else if value == 0.0 || (1e-4..large(x.dtype(), 1e16)).contains(&value.abs()) {
                let d = Decimal::positional(x, None);
                format!("{}{}.{}", d.sign(), d.int, if d.frac.is_empty() { "0" } else { &d.frac })
            } else {
                let d = Decimal::scientific(x, None);
                let point = if d.frac.is_empty() { "" } else { "." };
                format!("{}{}{point}{}{}", d.sign(), d.int, d.frac, exponent(d.exp, 2))
            }
        }
    }
}

fn not_finite(x: f64) -> Option<&'static str> {
    if x.is_nan() {
        Some("nan")
    } else if x.is_infinite() {
        Some(if x > 0.0 { "inf" } else { "-inf" })
    } else {
        None
    }
}

/// `e-05`, with at least `digits` digits.
fn exponent(exp: i32, digits: usize) -> String {
    format!("e{}{:0digits$}", if exp < 0 { '-' } else { '+' }, exp.unsigned_abs())
}

/// The elements that a shortened array shows, and no others.
fn edges(t: &Tensor) -> Tensor {
    let mut parts = vec![t.clone()];
    for axis in 0..t.rank() {
        let n = t.shape()[axis];
        if n <= 2 * EDGE {
            continue;
        }
        let ends = [(None, Some(EDGE as i64)), (Some(n as i64 - EDGE as i64), None)];
        parts = parts
            .iter()
            .flat_map(|p| {
                ends.map(|(start, stop)| {
                    let mut index = vec![Index::FULL; axis];
                    index.push(Index::Slice { start, stop, step: 1 });
                    let view = View::index(p.shape(), &index).expect("a slice of a tensor of this rank is in range");
                    p.view(&view).expect("the view was made for this shape")
                })
            })
            .collect();
    }
    // All that matters is which values there are; their order does not.
    let values: Vec<u64> = parts.iter().flat_map(|p| p.iter_scalars().map(Scalar::bits)).collect();
    crate::dispatch!(t.dtype(), T => {
        let values: Vec<T> = values.iter().map(|&b| crate::Element::from_scalar(Scalar::from_bits(t.dtype(), b))).collect();
        Tensor::from_vec(&[values.len()], values).expect("the shape is that of the vector")
    })
}

/// How every element of one array is written.
enum Column {
    Bool,
    /// Right-aligned to this width.
    Int(usize),
    Float {
        /// Digits of the exponent, where there is one.
        exp_digits: Option<usize>,
        /// Characters before the point, sign included.
        left: usize,
        /// Characters after the point, up to the exponent.
        right: usize,
    },
}

impl Column {
    fn new(shown: &Tensor) -> Column {
        match shown.dtype().kind() {
            Kind::Bool => Column::Bool,
            Kind::Signed | Kind::Unsigned => {
                Column::Int(shown.iter_scalars().map(|x| alone(x).len()).max().unwrap_or(0))
            }
            Kind::Float => Column::float(shown),
        }
    }

    fn float(shown: &Tensor) -> Column {
        let finite: Vec<Scalar> = shown.iter_scalars().filter(|x| x.as_f64().is_finite()).collect();
        let scientific = needs_exponent(shown.dtype(), &finite);
        let (mut left, mut right, mut exp_digits) = (0, 0, None);
        for &x in &finite {
            let d = if scientific {
                let d = Decimal::scientific(x, Some(PRECISION));
                let digits = d.exp.unsigned_abs().to_string().len().max(2);
                exp_digits = exp_digits.max(Some(digits));
                d
            } else {
                Decimal::positional(x, Some(PRECISION))
            };
            left = left.max(d.sign().len() + d.int.len());
            right = right.max(d.frac.len());
        }
        // Words are as wide as numbers; they may need more room than the numbers do.
        let tail = right + 1 + exp_digits.map_or(0, |e| e + 2);
        for word in shown.iter_scalars().filter_map(|x| not_finite(x.as_f64())) {
            left = left.max(word.len().saturating_sub(tail));
        }
        Column::Float { exp_digits, left, right }
    }

    fn element(&self, x: Scalar) -> String {
        match *self {
            Column::Bool => format!("{:>5}", alone(x)),
            Column::Int(width) => format!("{:>width$}", alone(x)),
            Column::Float { exp_digits, left, right } => {
                if let Some(word) = not_finite(x.as_f64()) {
                    let width = left + 1 + right + exp_digits.map_or(0, |e| e + 2);
                    return format!("{word:>width$}");
                }
                match exp_digits {
                    Some(digits) => {
                        let mut d = Decimal::scientific(x, Some(PRECISION));
                        if d.frac.len() < right {
                            // Not zeros fill up the digits, but those of the exact value.
                            d = Decimal::exact(x, right);
                        }
                        let int = format!("{}{}", d.sign(), d.int);
                        format!("{int:>left$}.{:0<right$}{}", d.frac, exponent(d.exp, digits))
                    }
                    None => {
                        let d = Decimal::positional(x, Some(PRECISION));
                        let int = format!("{}{}", d.sign(), d.int);
                        format!("{int:>left$}.{:<right$}", d.frac)
                    }
                }
            }
        }
    }
}

/// Whether numbers are so large, small or far apart that they are written with exponents.
fn needs_exponent(dtype: DType, finite: &[Scalar]) -> bool {
    let magnitudes = || finite.iter().map(|x| x.as_f64().abs()).filter(|&x| x != 0.0);
    let Some(max) = magnitudes().reduce(f64::max) else { return false };
    let min = magnitudes().fold(max, f64::min);
    // Bound and ratio are those of the dtype.
    let rounded = |x: f64| Scalar::from_f64(dtype, x).as_f64();
    max >= large(dtype, 1e8) || min < rounded(1e-4) || rounded(max / min) > 1000.0
}

/// From where on numbers are written with exponents: at most `bound`, and not with more digits than the dtype is good
/// for.
fn large(dtype: DType, bound: f64) -> f64 {
    match dtype {
        DType::F32 => 1e6,
        DType::F16 => 1e3,
        DType::BF16 => 1e2,
        _ => bound,
    }
}

/// Nests brackets and breaks lines.
struct Writer {
    column: Column,
    short: bool,
    out: String,
}

impl Writer {
    /// Writes `t`, whose opening bracket stands in column `depth`.
    fn write(&mut self, t: &Tensor, depth: usize) {
        let n = t.shape()[0];
        let skip = self.short && n > 2 * EDGE;
        let picked: Vec<Option<usize>> = if skip {
            (0..EDGE).map(Some).chain([None]).chain((n - EDGE..n).map(Some)).collect()
        } else {
            (0..n).map(Some).collect()
        };
        self.out.push('[');
        if t.rank() == 1 {
            self.row(t, depth, &picked);
        } else {
            let indent = " ".repeat(depth + 1);
            let gap = "\n".repeat(t.rank() - 1);
            for (k, &at) in picked.iter().enumerate() {
                if k > 0 {
                    self.out.push_str(&gap);
                    self.out.push_str(&indent);
                }
                match at {
                    None => self.out.push_str("..."),
                    Some(i) => {
                        let view = View::index(t.shape(), &[Index::At(i as i64)]).expect("the index is in range");
                        self.write(&t.view(&view).expect("the view was made for this shape"), depth + 1);
                    }
                }
            }
        }
        self.out.push(']');
    }

    /// Writes the elements of one row, in as many lines as it takes.
    fn row(&mut self, t: &Tensor, depth: usize, picked: &[Option<usize>]) {
        let indent = depth + 1;
        // The closing brackets of all axes must still fit.
        let width = WIDTH.saturating_sub(indent);
        let mut column = indent;
        for (k, &at) in picked.iter().enumerate() {
            let word = match at {
                None => "...".to_owned(),
                Some(i) => self.column.element(t.get(&[i]).expect("the index is in range")),
            };
            // A word too long for any line is not moved to the next.
            if column + word.len() > width && column > indent {
                let kept = self.out.trim_end_matches(' ').len();
                self.out.truncate(kept);
                self.out.push('\n');
                self.out.push_str(&" ".repeat(indent));
                column = indent;
            }
            column += word.len() + 1;
            self.out.push_str(&word);
            if k + 1 < picked.len() {
                self.out.push(' ');
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! The op table: the one list of operations.
//!
//! Every elementwise operation is a row of [`MAP_OPS`], every reduction a row of [`REDUCE_OPS`], every scan a row of
//! [`SCAN_OPS`]. The parser of the text form and of the command, the builder methods, the generated reference, the
//! fuzzers and the generic tests iterate these tables. What an op computes stands in `lazuli-jit`, `lower`.

use crate::DType;
use std::fmt;

/// How an elementwise op chooses the dtype it computes in, and its result's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rule {
    /// Any dtype; the result has it.
    Same,
    /// Any number, not `bool`; the result has its dtype.
    Number,
    /// Floats as they are; integers widened to the float that holds them (`int8` to `float16`, `int16` to `float32`,
    /// the rest to `float64`); the result has that dtype.
    Float,
    /// As `Float`, but every integer becomes `float64`.
    Divide,
    /// Any dtype in, `bool` out.
    Compare,
    /// Any dtype, taken as `bool`; `bool` out.
    Logical,
    /// `bool` and integers; the result has their dtype.
    Bits,
    /// Integers; `bool` counts as `int8`.
    Shift,
    /// Numbers; `bool` counts as `int8`.
    Integral,
    /// The first operand is a `bool` condition, the others promote.
    Select,
}

/// Algebraic facts about an op, for the passes. All hold bit for bit, up to the sign and payload of NaN; of
/// `commutative`, [`MapOp::commutes`] knows the exceptions.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Props {
    /// `f(a, b)` is `f(b, a)`.
    pub commutative: bool,
    /// `f(f(a, b), c)` is `f(a, f(b, c))` for integers and `bool`.
    pub associative: bool,
    /// `f(f(a))` is `f(a)`; of a binary op, `f(a, a)` is `a`.
    pub idempotent: bool,
    /// `f(f(a))` is `a`.
    pub involution: bool,
}

const PLAIN: Props = Props { commutative: false, associative: false, idempotent: false, involution: false };
const COMMUTES: Props = Props { commutative: true, ..PLAIN };
const RING: Props = Props { commutative: true, associative: true, ..PLAIN };
const LATTICE: Props = Props { commutative: true, associative: true, idempotent: true, ..PLAIN };
const IDEMPOTENT: Props = Props { idempotent: true, ..PLAIN };
const INVOLUTION: Props = Props { involution: true, ..PLAIN };

/// One row of the table of elementwise operations.
#[derive(Debug)]
pub struct MapRow {
    /// The op.
    pub op: MapOp,
    /// Its name, everywhere.
    pub name: &'static str,
    /// NumPy's other names for it.
    pub aliases: &'static [&'static str],
    /// The operator in expressions, if it has one.
    pub symbol: Option<&'static str>,
    /// The number of operands.
    pub arity: u8,
    /// How dtypes are chosen.
    pub rule: Rule,
    /// What passes may rely on.
    pub props: Props,
    /// Cost of one element, in units of one addition; for the fusion's cost rule and the thread threshold.
    pub cost: u16,
    /// The interval that sample inputs for tests and benchmarks come from.
    pub domain: (f64, f64),
    /// Largest allowed error in `Standard`, in units in the last place, for `float64` and `float32`; 0 is exact.
    pub ulp: f64,
    /// One line of documentation.
    pub doc: &'static str,
}

macro_rules! map_ops {
    ($($variant:ident $name:ident [$($alias:ident),*] $symbol:expr, $arity:tt, $rule:ident, $props:ident, $cost:literal, $domain:expr, $ulp:literal, $doc:literal;)*) => {
        /// An elementwise operation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum MapOp { $(#[doc = $doc] $variant),* }

        /// The elementwise operations, in the order of [`MapOp`].
        pub const MAP_OPS: &[MapRow] = &[$(MapRow {
            op: MapOp::$variant, name: stringify!($name), aliases: &[$(stringify!($alias)),*], symbol: $symbol,
            arity: $arity, rule: Rule::$rule, props: $props, cost: $cost, domain: $domain, ulp: $ulp, doc: $doc,
        }),*];
    };
}

const ALL: (f64, f64) = (-1e3, 1e3);

/// Hands every row of the table to the macro `callback`; for code that needs one item an op, such as methods.
#[macro_export]
macro_rules! for_each_map_op {
    ($callback:ident) => {
        $callback! {
            // arithmetic
            Negative negative [neg] Some("-"), 1, Number, INVOLUTION, 1, ALL, 0.0, "`-x`; unsigned integers wrap.";
            Abs abs [absolute, fabs] None, 1, Same, IDEMPOTENT, 1, ALL, 0.0, "`|x|`; the most negative integer stays as it is.";
            Sign sign [] None, 1, Number, IDEMPOTENT, 3, ALL, 0.0, "-1, 0 or 1 as `x` is below, at or above zero; NaN stays NaN.";
            Add add [] Some("+"), 2, Same, RING, 1, ALL, 0.0, "`x + y`; of `bool`s, logical or.";
            Subtract subtract [sub] Some("-"), 2, Number, PLAIN, 1, ALL, 0.0, "`x - y`.";
            Multiply multiply [mul] Some("*"), 2, Same, RING, 1, ALL, 0.0, "`x * y`; of `bool`s, logical and.";
            Divide divide [true_divide, div] Some("/"), 2, Divide, PLAIN, 6, ALL, 0.0, "`x / y` in floating point.";
            FloorDivide floor_divide [] Some("//"), 2, Integral, PLAIN, 20, ALL, 0.0, "The largest integer at most `x / y`; integer division by zero gives 0.";
            Remainder remainder [mod] Some("%"), 2, Integral, PLAIN, 20, ALL, 0.0, "`x - floor_divide(x, y) * y`, with the sign of `y`; an integer remainder by zero is 0.";
            Pow pow [power] Some("**"), 2, Integral, PLAIN, 60, (0.01, 20.0), 1.0, "`x` to the power `y`; integers wrap, negative integer exponents follow the inverse truncated to an integer.";
            Square square [] None, 1, Integral, PLAIN, 1, ALL, 0.0, "`x * x`.";
            Reciprocal reciprocal [] None, 1, Integral, PLAIN, 6, ALL, 0.0, "`1 / x`, of integers truncated.";
            Minimum minimum [] None, 2, Same, LATTICE, 2, ALL, 0.0, "The smaller of two; NaN if either is NaN.";
            Maximum maximum [] None, 2, Same, LATTICE, 2, ALL, 0.0, "The larger of two; NaN if either is NaN.";
            Fmin fmin [] None, 2, Same, LATTICE, 2, ALL, 0.0, "The smaller of two; a NaN gives way to a number.";
            Fmax fmax [] None, 2, Same, LATTICE, 2, ALL, 0.0, "The larger of two; a NaN gives way to a number.";
            Copysign copysign [] None, 2, Float, PLAIN, 2, ALL, 0.0, "The magnitude of `x` with the sign of `y`, which is not specified of NaN.";
            // rounding
            Round round [rint, around] None, 1, Same, IDEMPOTENT, 2, ALL, 0.0, "The nearest integer, halves to even; integers stay as they are.";
            Floor floor [] None, 1, Same, IDEMPOTENT, 2, ALL, 0.0, "The largest integer at most `x`.";
            Ceil ceil [] None, 1, Same, IDEMPOTENT, 2, ALL, 0.0, "The smallest integer at least `x`.";
            Trunc trunc [fix] None, 1, Same, IDEMPOTENT, 2, ALL, 0.0, "`x` without its fraction.";
            // roots, exponentials, logarithms
            Sqrt sqrt [] None, 1, Float, PLAIN, 8, (0.0, 1e3), 0.0, "The square root; NaN below zero.";
            Hypot hypot [] None, 2, Float, COMMUTES, 30, ALL, 1.0, "`sqrt(x*x + y*y)` without needless overflow.";
            Exp exp [] None, 1, Float, PLAIN, 20, (-20.0, 20.0), 1.0, "e to the power `x`.";
            Exp2 exp2 [] None, 1, Float, PLAIN, 20, (-20.0, 20.0), 1.0, "2 to the power `x`.";
            Expm1 expm1 [] None, 1, Float, PLAIN, 25, (-20.0, 20.0), 1.0, "`exp(x) - 1`, accurate near zero.";
            Log log [] None, 1, Float, PLAIN, 25, (1e-3, 1e3), 1.0, "The natural logarithm.";
            Log2 log2 [] None, 1, Float, PLAIN, 25, (1e-3, 1e3), 1.0, "The logarithm to base 2.";
            Log10 log10 [] None, 1, Float, PLAIN, 25, (1e-3, 1e3), 1.0, "The logarithm to base 10.";
            Log1p log1p [] None, 1, Float, PLAIN, 30, (-0.9, 1e3), 1.0, "`log(1 + x)`, accurate near zero.";
            Cbrt cbrt [] None, 1, Float, PLAIN, 30, ALL, 1.0, "The cube root.";
            Logaddexp logaddexp [] None, 2, Float, COMMUTES, 80, (-20.0, 20.0), 2.0, "`log(exp(x) + exp(y))` without overflow; the error is in units of the largest of the operands and the result, as the sum may cancel.";
            // trigonometry
            Sin sin [] None, 1, Float, PLAIN, 30, (-1e2, 1e2), 1.0, "The sine of `x` radians.";
            Cos cos [] None, 1, Float, PLAIN, 30, (-1e2, 1e2), 1.0, "The cosine of `x` radians.";
            Tan tan [] None, 1, Float, PLAIN, 45, (-1e2, 1e2), 1.0, "The tangent of `x` radians.";
            Asin asin [arcsin] None, 1, Float, PLAIN, 35, (-1.0, 1.0), 1.0, "The angle in [-pi/2, pi/2] whose sine is `x`.";
            Acos acos [arccos] None, 1, Float, PLAIN, 35, (-1.0, 1.0), 1.0, "The angle in [0, pi] whose cosine is `x`.";
            Atan atan [arctan] None, 1, Float, PLAIN, 35, ALL, 1.0, "The angle in [-pi/2, pi/2] whose tangent is `x`.";
            Atan2 atan2 [arctan2] None, 2, Float, PLAIN, 45, ALL, 1.0, "The angle in [-pi, pi] of the point (`y`, `x`): `atan2(x1=y, x2=x)`.";
            Sinh sinh [] None, 1, Float, PLAIN, 40, (-20.0, 20.0), 1.0, "The hyperbolic sine.";
            Cosh cosh [] None, 1, Float, PLAIN, 40, (-20.0, 20.0), 1.0, "The hyperbolic cosine.";
            Tanh tanh [] None, 1, Float, PLAIN, 40, (-5.0, 5.0), 1.0, "The hyperbolic tangent.";
            Asinh asinh [arcsinh] None, 1, Float, PLAIN, 55, ALL, 1.0, "The inverse hyperbolic sine.";
            Acosh acosh [arccosh] None, 1, Float, PLAIN, 55, (1.0, 1e3), 1.0, "The inverse hyperbolic cosine; NaN below 1.";
            Atanh atanh [arctanh] None, 1, Float, PLAIN, 55, (-1.0, 1.0), 1.0, "The inverse hyperbolic tangent; NaN beyond -1 and 1.";
            // functions of statistics
            Sigmoid sigmoid [expit] None, 1, Float, PLAIN, 35, (-20.0, 20.0), 1.0, "The logistic function `1 / (1 + exp(-x))`.";
            Erf erf [] None, 1, Float, PLAIN, 60, (-5.0, 5.0), 1.0, "The error function.";
            Erfc erfc [] None, 1, Float, PLAIN, 80, (-5.0, 10.0), 1.0, "`1 - erf(x)`, accurate where that is small.";
            // comparison
            Equal equal [] Some("=="), 2, Compare, COMMUTES, 1, ALL, 0.0, "Whether `x` equals `y`.";
            NotEqual not_equal [] Some("!="), 2, Compare, COMMUTES, 1, ALL, 0.0, "Whether `x` differs from `y`.";
            Less less [] Some("<"), 2, Compare, PLAIN, 1, ALL, 0.0, "Whether `x` is below `y`.";
            LessEqual less_equal [] Some("<="), 2, Compare, PLAIN, 1, ALL, 0.0, "Whether `x` is at most `y`.";
            Greater greater [] Some(">"), 2, Compare, PLAIN, 1, ALL, 0.0, "Whether `x` is above `y`.";
            GreaterEqual greater_equal [] Some(">="), 2, Compare, PLAIN, 1, ALL, 0.0, "Whether `x` is at least `y`.";
            Isnan isnan [] None, 1, Compare, PLAIN, 1, ALL, 0.0, "Whether `x` is NaN.";
            Isinf isinf [] None, 1, Compare, PLAIN, 2, ALL, 0.0, "Whether `x` is infinite.";
            Isfinite isfinite [] None, 1, Compare, PLAIN, 2, ALL, 0.0, "Whether `x` is neither NaN nor infinite.";
            Signbit signbit [] None, 1, Compare, PLAIN, 2, ALL, 0.0, "Whether the sign bit is set, which is not specified of NaN; for integers, whether `x` is negative.";
            // logic and bits
            LogicalAnd logical_and [] None, 2, Logical, LATTICE, 1, ALL, 0.0, "Whether both are true (not zero).";
            LogicalOr logical_or [] None, 2, Logical, LATTICE, 1, ALL, 0.0, "Whether either is true (not zero).";
            LogicalXor logical_xor [] None, 2, Logical, RING, 1, ALL, 0.0, "Whether exactly one is true (not zero).";
            LogicalNot logical_not [] None, 1, Logical, INVOLUTION, 1, ALL, 0.0, "Whether `x` is false (zero).";
            BitwiseAnd bitwise_and [] Some("&"), 2, Bits, LATTICE, 1, ALL, 0.0, "The bits set in both.";
            BitwiseOr bitwise_or [] Some("|"), 2, Bits, LATTICE, 1, ALL, 0.0, "The bits set in either.";
            BitwiseXor bitwise_xor [] Some("^"), 2, Bits, RING, 1, ALL, 0.0, "The bits set in exactly one.";
            Invert invert [bitwise_not, bitwise_invert] Some("~"), 1, Bits, INVOLUTION, 1, ALL, 0.0, "Every bit flipped; of `bool`, logical not.";
            LeftShift left_shift [bitwise_left_shift] Some("<<"), 2, Shift, PLAIN, 2, (0.0, 20.0), 0.0, "`x` shifted left by `y` bits; 0 where `y` is negative or at least the width.";
            RightShift right_shift [bitwise_right_shift] Some(">>"), 2, Shift, PLAIN, 2, (0.0, 20.0), 0.0, "`x` shifted right by `y` bits, keeping the sign; all sign where `y` is negative or at least the width.";
            // choice
            Where where [] None, 3, Select, PLAIN, 2, ALL, 0.0, "`x` where the condition holds, else `y`.";
        }
    };
}

for_each_map_op!(map_ops);

impl MapOp {
    /// The op's row of the table.
    pub const fn row(self) -> &'static MapRow {
        &MAP_OPS[self as usize]
    }

    /// The op's name.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// Whether the operands may change places when the op computes in `dtype`.
    ///
    /// The minimum and maximum of `0.0` and `-0.0` are one of the operands, which depends on their order.
    pub const fn commutes(self, dtype: DType) -> bool {
        let picks = matches!(self, MapOp::Minimum | MapOp::Maximum | MapOp::Fmin | MapOp::Fmax);
        self.row().props.commutative && !(picks && dtype.is_float())
    }

    /// The op with this name or alias.
    pub fn from_name(name: &str) -> Option<MapOp> {
        MAP_OPS.iter().find(|r| r.name == name || r.aliases.contains(&name)).map(|r| r.op)
    }
}

impl fmt::Display for MapOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One row of the table of reductions.
#[derive(Debug)]
pub struct ReduceRow {
    /// The op.
    pub op: ReduceOp,
    /// Its name, everywhere.
    pub name: &'static str,
    /// NumPy's other names for it.
    pub aliases: &'static [&'static str],
    /// Whether reducing no element is an error, for want of an identity.
    pub needs_element: bool,
    /// One line of documentation.
    pub doc: &'static str,
}

macro_rules! reduce_ops {
    ($($variant:ident $name:literal [$($alias:literal),*] $needs:literal, $doc:literal;)*) => {
        /// A reduction along axes.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum ReduceOp { $(#[doc = $doc] $variant),* }

        /// The reductions, in the order of [`ReduceOp`].
        pub const REDUCE_OPS: &[ReduceRow] = &[$(ReduceRow {
            op: ReduceOp::$variant, name: $name, aliases: &[$($alias),*], needs_element: $needs, doc: $doc,
        }),*];
    };
}

reduce_ops! {
    Sum "sum" [] false, "The sum; of `bool` and small integers in 64 bits.";
    Prod "prod" [] false, "The product; of `bool` and small integers in 64 bits.";
    Min "min" ["amin"] true, "The smallest element; NaN if there is one.";
    Max "max" ["amax"] true, "The largest element; NaN if there is one.";
    Any "any" [] false, "Whether some element is true (not zero).";
    All "all" [] false, "Whether every element is true (not zero).";
    Argmin "argmin" [] true, "The position of the first smallest element, in C order of the axes reduced; the first NaN if there is one.";
    Argmax "argmax" [] true, "The position of the first largest element, in C order of the axes reduced; the first NaN if there is one.";
}

impl ReduceOp {
    /// The op's row of the table.
    pub const fn row(self) -> &'static ReduceRow {
        &REDUCE_OPS[self as usize]
    }

    /// The op's name.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The op with this name or alias.
    pub fn from_name(name: &str) -> Option<ReduceOp> {
        REDUCE_OPS.iter().find(|r| r.name == name || r.aliases.contains(&name)).map(|r| r.op)
    }

    /// The dtype elements of `dtype` are cast to before they are reduced.
    pub const fn operand_dtype(self, dtype: DType) -> DType {
        match self {
            ReduceOp::Sum | ReduceOp::Prod => match dtype {
                DType::Bool | DType::I8 | DType::I16 | DType::I32 => DType::I64,
                DType::U8 | DType::U16 | DType::U32 => DType::U64,
                _ => dtype,
            },
            ReduceOp::Any | ReduceOp::All => DType::Bool,
            ReduceOp::Min | ReduceOp::Max | ReduceOp::Argmin | ReduceOp::Argmax => dtype,
        }
    }

    /// The dtype of the result, from that of the (already cast) operand.
    pub const fn result_dtype(self, operand: DType) -> DType {
        match self {
            ReduceOp::Argmin | ReduceOp::Argmax => DType::I64,
            ReduceOp::Any | ReduceOp::All => DType::Bool,
            ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Min | ReduceOp::Max => operand,
        }
    }
}

impl fmt::Display for ReduceOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One row of the table of scans.
#[derive(Debug)]
pub struct ScanRow {
    /// The op.
    pub op: ScanOp,
    /// Its name, everywhere.
    pub name: &'static str,
    /// NumPy's other names for it.
    pub aliases: &'static [&'static str],
    /// One line of documentation.
    pub doc: &'static str,
}

/// A running reduction along one axis.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum ScanOp {
    /// The running sum.
    Cumsum,
    /// The running product.
    Cumprod,
}

/// The scans, in the order of [`ScanOp`].
pub const SCAN_OPS: &[ScanRow] = &[
    ScanRow {
        op: ScanOp::Cumsum,
        name: "cumsum",
        aliases: &["cumulative_sum"],
        doc: "The running sum, element after element; of `bool` and small integers in 64 bits.",
    },
    ScanRow {
        op: ScanOp::Cumprod,
        name: "cumprod",
        aliases: &["cumulative_prod"],
        doc: "The running product, element after element; of `bool` and small integers in 64 bits.",
    },
];

impl ScanOp {
    /// The op's row of the table.
    pub const fn row(self) -> &'static ScanRow {
        &SCAN_OPS[self as usize]
    }

    /// The op's name.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The op with this name or alias.
    pub fn from_name(name: &str) -> Option<ScanOp> {
        SCAN_OPS.iter().find(|r| r.name == name || r.aliases.contains(&name)).map(|r| r.op)
    }

    /// The dtype elements of `dtype` are cast to before the scan; also the result's.
    pub const fn operand_dtype(self, dtype: DType) -> DType {
        ReduceOp::Sum.operand_dtype(dtype)
    }
}

impl fmt::Display for ScanOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The float that integers of a dtype are widened to by [`Rule::Float`].
const fn float_for(dtype: DType) -> DType {
    match dtype {
        DType::Bool | DType::I8 | DType::U8 => DType::F16,
        DType::I16 | DType::U16 => DType::F32,
        DType::I32 | DType::U32 | DType::I64 | DType::U64 => DType::F64,
        d => d,
    }
}

impl Rule {
    /// From the promoted dtype of the operands (of a [`Rule::Select`], of the two choices): the dtype to compute in,
    /// and the result's. `None` where the op has no meaning for the dtype.
    pub const fn apply(self, operands: DType) -> Option<(DType, DType)> {
        match self {
            Rule::Same | Rule::Select => Some((operands, operands)),
            Rule::Number => match operands {
                DType::Bool => None,
                d => Some((d, d)),
            },
            Rule::Float => Some((float_for(operands), float_for(operands))),
            Rule::Divide => match operands.is_float() {
                true => Some((operands, operands)),
                false => Some((DType::F64, DType::F64)),
            },
            Rule::Compare => Some((operands, DType::Bool)),
            Rule::Logical => Some((DType::Bool, DType::Bool)),
            Rule::Bits => match operands.is_float() {
                true => None,
                false => Some((operands, operands)),
            },
            Rule::Shift => match operands {
                DType::Bool => Some((DType::I8, DType::I8)),
                d if d.is_float() => None,
                d => Some((d, d)),
            },
            Rule::Integral => match operands {
                DType::Bool => Some((DType::I8, DType::I8)),
                d => Some((d, d)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_enum_order_and_names_are_unique() {
        let mut names = std::collections::HashSet::new();
        for (i, r) in MAP_OPS.iter().enumerate() {
            assert_eq!(r.op as usize, i, "{}", r.name);
            assert!(r.aliases.iter().chain([&r.name]).all(|n| names.insert(*n)), "{}", r.name);
        }
        for (i, r) in REDUCE_OPS.iter().enumerate() {
            assert_eq!(r.op as usize, i, "{}", r.name);
            assert!(r.aliases.iter().chain([&r.name]).all(|n| names.insert(*n)), "{}", r.name);
        }
        for (i, r) in SCAN_OPS.iter().enumerate() {
            assert_eq!(r.op as usize, i, "{}", r.name);
            assert!(r.aliases.iter().chain([&r.name]).all(|n| names.insert(*n)), "{}", r.name);
        }
    }
}

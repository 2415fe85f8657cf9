//! The notation that the functions are written in: lanes with operators, over a [`Builder`].
//!
//! A [`Lane`] is a value of the program being built; `a * b + c` appends two instructions, [`Lane::fma`] one. Nothing is
//! contracted or reordered. A plain number beside a lane is a constant of the lane's type, rounded to it.

use crate::{Builder, Precision, Routine, Ty, ValueId};
use std::cell::RefCell;
use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

/// The program under construction.
pub(super) struct Program {
    builder: RefCell<Builder>,
    precision: Precision,
}

/// A value of the program: floats, the bits of floats, or a mask.
#[derive(Clone, Copy)]
pub(super) struct Lane<'a> {
    program: &'a Program,
    id: ValueId,
}

/// A polynomial, once for each type and precision; the lowest coefficient comes first.
pub(super) struct Polynomial {
    pub(super) long: &'static [f64],
    pub(super) long_fast: &'static [f64],
    pub(super) short: &'static [f64],
    pub(super) short_fast: &'static [f64],
}

/// What the floats of one type are made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Format {
    /// Bits of the fraction.
    pub(super) fraction: u32,
    /// Added to exponents.
    pub(super) bias: i32,
    /// `1.5 * 2^fraction`: adding it rounds a much smaller number to an integer, which then stands in the low bits.
    pub(super) magic: f64,
    /// The bits of one.
    pub(super) one: u64,
    /// The sign bit.
    pub(super) sign: u64,
    /// The smallest normal number.
    pub(super) least: f64,
}

const SINGLE: Format = Format {
    fraction: 23,
    bias: 127,
    magic: 12582912.0,
    one: 0x3f80_0000,
    sign: 1 << 31,
    least: f32::MIN_POSITIVE as f64,
};
const DOUBLE: Format = Format {
    fraction: 52,
    bias: 1023,
    magic: 6755399441055744.0,
    one: 0x3ff0_0000_0000_0000,
    sign: 1 << 63,
    least: f64::MIN_POSITIVE,
};

/// Appends what `f` does with `args` to the program in `b`, and gives the value of its result.
pub(super) fn emit<const N: usize>(
    b: &mut Builder,
    precision: Precision,
    args: [ValueId; N],
    f: impl for<'a> FnOnce([Lane<'a>; N]) -> Lane<'a>,
) -> ValueId {
    let program = Program { builder: RefCell::new(std::mem::take(b)), precision };
    let id = f(args.map(|id| Lane { program: &program, id })).id;
    *b = program.builder.into_inner();
    id
}

impl<'a> Lane<'a> {
    fn build(self, f: impl FnOnce(&mut Builder) -> ValueId) -> Lane<'a> {
        let id = f(&mut self.program.builder.borrow_mut());
        Lane { program: self.program, id }
    }

    pub(super) fn ty(self) -> Ty {
        self.program.builder.borrow().ty(self.id)
    }

    /// Whether these are `F32`, or the bits of such.
    pub(super) fn is_short(self) -> bool {
        matches!(self.ty(), Ty::F32 | Ty::I32)
    }

    /// Whether few instructions count more than the last bits.
    pub(super) fn is_fast(self) -> bool {
        self.program.precision == Precision::Fast
    }

    pub(super) fn format(self) -> Format {
        if self.is_short() { SINGLE } else { DOUBLE }
    }

    /// The one for this type: of `F64`, of `F32`.
    pub(super) fn pick<T>(self, long: T, short: T) -> T {
        if self.is_short() { short } else { long }
    }

    /// A constant of this float type.
    pub(super) fn constant(self, x: f64) -> Lane<'a> {
        let ty = self.ty();
        self.build(|b| b.float(ty, x))
    }

    /// A constant of this integer type.
    fn integer(self, x: u64) -> Lane<'a> {
        let ty = self.ty();
        self.build(|b| b.bits(ty, x))
    }

    /// `self * y + z`, rounded once.
    pub(super) fn fma(self, y: impl Operand<'a>, z: impl Operand<'a>) -> Lane<'a> {
        let (y, z) = (y.lane(self), z.lane(self));
        self.build(|b| b.fma(self.id, y.id, z.id))
    }

    pub(super) fn sqrt(self) -> Lane<'a> {
        self.build(|b| b.fsqrt(self.id))
    }

    pub(super) fn abs(self) -> Lane<'a> {
        self.build(|b| b.fabs(self.id))
    }

    pub(super) fn round(self) -> Lane<'a> {
        self.build(|b| b.fnearest(self.id))
    }

    /// `(1 + self) 2^k`; see [`Prim::FRaise`](crate::Prim::FRaise).
    pub(super) fn raise(self, k: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.fraise(self.id, k.id))
    }

    /// `k` and `m` of `self = 2^k m`, `m` between the roots of 1/2 and 2. Of zero, infinity, NaN and negative numbers, `k` is
    /// what the logarithm is.
    pub(super) fn split(self) -> (Lane<'a>, Lane<'a>) {
        let m = self.build(|b| b.fsignificand(self.id));
        (self.build(|b| b.fexponent(self.id)), m)
    }

    pub(super) fn copysign(self, sign: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.fcopysign(self.id, sign.id))
    }

    /// The smaller, this one if either is NaN.
    pub(super) fn at_most(self, limit: impl Operand<'a>) -> Lane<'a> {
        let limit = limit.lane(self);
        self.build(|b| b.fmin(limit.id, self.id))
    }

    /// The larger, this one if either is NaN.
    pub(super) fn at_least(self, limit: impl Operand<'a>) -> Lane<'a> {
        let limit = limit.lane(self);
        self.build(|b| b.fmax(limit.id, self.id))
    }

    /// Held between two numbers; NaN stays.
    pub(super) fn clamp(self, low: f64, high: f64) -> Lane<'a> {
        self.at_least(low).at_most(high)
    }

    /// Whether `self < y`.
    pub(super) fn lt(self, y: impl Operand<'a>) -> Lane<'a> {
        let y = y.lane(self);
        self.build(|b| b.flt(self.id, y.id))
    }

    /// Whether `self > y`.
    pub(super) fn gt(self, y: impl Operand<'a>) -> Lane<'a> {
        let y = y.lane(self);
        self.build(|b| b.flt(y.id, self.id))
    }

    /// Whether `self <= y`.
    pub(super) fn le(self, y: impl Operand<'a>) -> Lane<'a> {
        let y = y.lane(self);
        self.build(|b| b.fle(self.id, y.id))
    }

    /// Whether `self == y`.
    pub(super) fn eq(self, y: impl Operand<'a>) -> Lane<'a> {
        let y = y.lane(self);
        self.build(|b| b.feq(self.id, y.id))
    }

    /// Whether `self != y`, or either is NaN.
    pub(super) fn ne(self, y: impl Operand<'a>) -> Lane<'a> {
        let y = y.lane(self);
        self.build(|b| b.fne(self.id, y.id))
    }

    /// Of a mask: `yes` where it holds, else `no`.
    pub(super) fn select(self, yes: Lane<'a>, no: impl Operand<'a>) -> Lane<'a> {
        let no = no.lane(yes);
        self.build(|b| b.select(self.id, yes.id, no.id))
    }

    /// Of a mask: one of two constants of the type of `like`.
    pub(super) fn choose(self, like: Lane<'a>, yes: f64, no: f64) -> Lane<'a> {
        self.select(like.constant(yes), like.constant(no))
    }

    /// Of a mask: the correctly rounded function of `x` where it holds, else `y`.
    pub(super) fn call(self, routine: Routine, x: Lane<'a>, y: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.call_if(routine, self.id, x.id, y.id))
    }

    /// The bits of floats.
    pub(super) fn bits(self) -> Lane<'a> {
        let ty = self.ty().bits();
        self.build(|b| b.bitcast(ty, self.id))
    }

    /// The floats with these bits.
    pub(super) fn float(self) -> Lane<'a> {
        let ty = self.pick(Ty::F64, Ty::F32);
        self.build(|b| b.bitcast(ty, self.id))
    }

    /// Of integers: shifted left.
    pub(super) fn shl(self, by: u32) -> Lane<'a> {
        let by = self.integer(by as u64);
        self.build(|b| b.shl(self.id, by.id))
    }

    /// Of integers: shifted right, filled with zeros.
    pub(super) fn shr(self, by: u32) -> Lane<'a> {
        let by = self.integer(by as u64);
        self.build(|b| b.shr_u(self.id, by.id))
    }

    /// Of integers: the sum with a constant, wrapping.
    pub(super) fn plus(self, x: u64) -> Lane<'a> {
        let x = self.integer(x);
        self.build(|b| b.iadd(self.id, x.id))
    }

    /// Of integers: the difference, wrapping.
    pub(super) fn isub(self, y: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.isub(self.id, y.id))
    }

    /// Of integers: a constant less this, wrapping.
    pub(super) fn isub_from(self, x: u64) -> Lane<'a> {
        let x = self.integer(x);
        self.build(|b| b.isub(x.id, self.id))
    }

    /// Of integers: the bits set in both.
    pub(super) fn and(self, y: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.and(self.id, y.id))
    }

    /// Of integers: those of these bits that are set.
    pub(super) fn masked(self, mask: u64) -> Lane<'a> {
        let mask = self.integer(mask);
        self.and(mask)
    }

    /// Of integers: with these bits set.
    pub(super) fn with(self, bits: u64) -> Lane<'a> {
        let bits = self.integer(bits);
        self.build(|b| b.or(self.id, bits.id))
    }

    /// Of integers: bits set in one.
    pub(super) fn xor(self, y: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.xor(self.id, y.id))
    }

    /// Of integers: whether they are negative, as signed ones.
    pub(super) fn is_negative(self) -> Lane<'a> {
        let zero = self.integer(0);
        self.build(|b| b.slt(self.id, zero.id))
    }

    /// The sign bit, in place.
    pub(super) fn sign_bit(self) -> Lane<'a> {
        let sign = self.format().sign;
        self.bits().masked(sign)
    }

    /// Floats, their signs flipped where a sign bit is set.
    pub(super) fn flip(self, sign: Lane<'a>) -> Lane<'a> {
        self.bits().xor(sign).float()
    }

    /// As `F64`.
    pub(super) fn widen(self) -> Lane<'a> {
        self.build(|b| b.f32_to_64(Ty::F64, self.id))
    }

    /// As `F32`, rounded.
    pub(super) fn narrow(self) -> Lane<'a> {
        self.build(|b| b.f64_to_32(Ty::F32, self.id))
    }

    /// The polynomial of the type and the precision.
    pub(super) fn poly(self, polynomial: &Polynomial) -> Lane<'a> {
        self.paired(self.coefficients(polynomial))
    }

    /// One of two polynomials with as many coefficients, by Horner's rule: where a mask holds, or else.
    pub(super) fn poly_of(self, mask: Lane<'a>, yes: &Polynomial, no: &Polynomial) -> Lane<'a> {
        let (yes, no) = (self.coefficients(yes), self.coefficients(no));
        assert_eq!(yes.len(), no.len(), "polynomials of one degree");
        let choices: Vec<Choice<'a>> = yes.iter().zip(no).map(|(&yes, &no)| Choice { mask, yes, no }).collect();
        self.horner(&choices)
    }

    /// The polynomial without its first coefficient, over this.
    pub(super) fn poly_behind_first(self, polynomial: &Polynomial) -> Lane<'a> {
        self.paired(&self.coefficients(polynomial)[1..])
    }

    /// `factor` times the polynomial, plus `rest`; what rounding the polynomial's value takes is taken of less, all but its
    /// first term.
    pub(super) fn poly_times(self, polynomial: &Polynomial, factor: Lane<'a>, rest: Option<Lane<'a>>) -> Lane<'a> {
        let (small, behind) = (factor * self, self.poly_behind_first(polynomial));
        let behind = rest.map_or_else(|| small * behind, |rest| small.fma(behind, rest));
        factor.fma(self.first(polynomial), behind)
    }

    /// The first coefficient of the polynomial.
    pub(super) fn first(self, polynomial: &Polynomial) -> f64 {
        self.coefficients(polynomial)[0]
    }

    fn coefficients(self, polynomial: &Polynomial) -> &'static [f64] {
        match (self.is_short(), self.is_fast()) {
            (false, false) => polynomial.long,
            (false, true) => polynomial.long_fast,
            (true, false) => polynomial.short,
            (true, true) => polynomial.short_fast,
        }
    }

    /// Neighbours are paired, so that the chain of dependent instructions is half as long as Horner's for one more
    /// multiplication.
    fn paired(self, coefficients: &[f64]) -> Lane<'a> {
        if coefficients.len() < 5 {
            return self.horner(coefficients);
        }
        let square = self * self;
        let pair = |p: &[f64]| match *p {
            [low, high] => self.constant(high).fma(self, low),
            _ => self.constant(p[0]),
        };
        let sums = coefficients.chunks(2).rev().map(pair);
        // At least five coefficients make at least three pairs.
        sums.reduce(|sum, pair| sum.fma(square, pair)).unwrap_or(self)
    }

    /// The polynomial by Horner's rule.
    pub(super) fn horner<T: Operand<'a> + Copy>(self, coefficients: &[T]) -> Lane<'a> {
        let constants = coefficients.iter().rev().map(|a| a.lane(self));
        constants.reduce(|sum, a| sum.fma(self, a)).unwrap_or_else(|| self.constant(0.0))
    }
}

/// What may stand beside a lane.
pub(super) trait Operand<'a> {
    /// As a lane of the type of `like`.
    fn lane(self, like: Lane<'a>) -> Lane<'a>;
}

impl<'a> Operand<'a> for Lane<'a> {
    fn lane(self, _: Lane<'a>) -> Lane<'a> {
        self
    }
}

impl<'a> Operand<'a> for f64 {
    fn lane(self, like: Lane<'a>) -> Lane<'a> {
        like.constant(self)
    }
}

/// One of two numbers, which a mask chooses where it is used.
#[derive(Clone, Copy)]
struct Choice<'a> {
    mask: Lane<'a>,
    yes: f64,
    no: f64,
}

impl<'a> Operand<'a> for Choice<'a> {
    fn lane(self, like: Lane<'a>) -> Lane<'a> {
        self.mask.choose(like, self.yes, self.no)
    }
}

macro_rules! operators {
    ($($op:ident $method:ident $prim:ident;)*) => {$(
        impl<'a, T: Operand<'a>> $op<T> for Lane<'a> {
            type Output = Lane<'a>;

            fn $method(self, y: T) -> Lane<'a> {
                let y = y.lane(self);
                self.build(|b| b.$prim(self.id, y.id))
            }
        }

        impl<'a> $op<Lane<'a>> for f64 {
            type Output = Lane<'a>;

            fn $method(self, y: Lane<'a>) -> Lane<'a> {
                y.constant(self).$method(y)
            }
        }
    )*};
}

operators! {
    Add add fadd;
    Sub sub fsub;
    Mul mul fmul;
    Div div fdiv;
}

impl<'a> Neg for Lane<'a> {
    type Output = Lane<'a>;

    fn neg(self) -> Lane<'a> {
        self.build(|b| b.fneg(self.id))
    }
}

/// Of masks: both.
impl<'a> BitAnd for Lane<'a> {
    type Output = Lane<'a>;

    fn bitand(self, y: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.mand(self.id, y.id))
    }
}

/// Of masks: either.
impl<'a> BitOr for Lane<'a> {
    type Output = Lane<'a>;

    fn bitor(self, y: Lane<'a>) -> Lane<'a> {
        self.build(|b| b.mor(self.id, y.id))
    }
}

/// Of a mask: where it does not hold.
impl<'a> Not for Lane<'a> {
    type Output = Lane<'a>;

    fn not(self) -> Lane<'a> {
        self.build(|b| b.mnot(self.id))
    }
}

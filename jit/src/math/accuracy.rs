//! How far the functions are off: the table of functions, samples of arguments, and the error against correctly rounded
//! results.

use crate::kernel::{Class, Role, Slab};
use crate::{Builder, Interp, Kernel, Precision, Prim, Routine, Ty, ValueId};
use lazuli_graph::DType;

/// Appends a function to a program.
#[derive(Clone, Copy, Debug)]
pub enum Emit {
    /// Of one argument.
    One(fn(&mut Builder, ValueId, Precision) -> ValueId),
    /// Of two arguments.
    Two(fn(&mut Builder, ValueId, ValueId, Precision) -> ValueId),
}

/// A function of the library.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name, as in the op table.
    pub name: &'static str,
    /// How it is emitted.
    pub emit: Emit,
    /// The correctly rounded function.
    pub routine: Routine,
    /// Where its arguments are interesting: uniform samples are drawn from there, besides those from all numbers.
    pub range: (f64, f64),
    /// The largest errors that any sample has shown, in ULP, rounded up: the tests hold us to them. In `Standard`, in `F64`
    /// and `F32`; then in `Fast`.
    pub bounds: [[f64; 2]; 2],
}

const fn one(
    name: &'static str,
    emit: fn(&mut Builder, ValueId, Precision) -> ValueId,
    routine: Routine,
    range: (f64, f64),
    bounds: [[f64; 2]; 2],
) -> Function {
    Function { name, emit: Emit::One(emit), routine, range, bounds }
}

const fn two(
    name: &'static str,
    emit: fn(&mut Builder, ValueId, ValueId, Precision) -> ValueId,
    routine: Routine,
    bounds: [[f64; 2]; 2],
) -> Function {
    Function { name, emit: Emit::Two(emit), routine, range: (-10.0, 10.0), bounds }
}

/// Every function of the library.
pub const FUNCTIONS: &[Function] = &[
    one("exp", super::exp, Routine::Exp, (-750.0, 715.0), [[0.88, 0.88], [3.6, 1.1]]),
    one("exp2", super::exp2, Routine::Exp2, (-1080.0, 1030.0), [[0.87, 0.92], [3.6, 1.11]]),
    one("expm1", super::expm1, Routine::Expm1, (-40.0, 715.0), [[0.94, 0.99], [0.94, 1.2]]),
    one("log", super::log, Routine::Log, (0.0, 10.0), [[0.77, 0.86], [2.2, 1.24]]),
    one("log2", super::log2, Routine::Log2, (0.0, 10.0), [[0.9, 0.96], [2.4, 1.5]]),
    one("log10", super::log10, Routine::Log10, (0.0, 10.0), [[0.92, 0.93], [2.3, 1.5]]),
    one("log1p", super::log1p, Routine::Log1p, (-1.0, 10.0), [[0.69, 0.95], [2.2, 1.3]]),
    one("sin", super::sin, Routine::Sin, (-10.0, 10.0), [[0.79, 0.89], [1.9, 1.55]]),
    one("cos", super::cos, Routine::Cos, (-10.0, 10.0), [[0.83, 0.89], [1.9, 1.6]]),
    one("tan", super::tan, Routine::Tan, (-10.0, 10.0), [[0.86, 0.9], [3.6, 3.31]]),
    one("asin", super::asin, Routine::Asin, (-1.0, 1.0), [[0.63, 0.65], [1.2, 1.2]]),
    one("acos", super::acos, Routine::Acos, (-1.0, 1.0), [[0.999, 0.999], [1.2, 1.2]]),
    one("atan", super::atan, Routine::Atan, (-3.0, 3.0), [[0.68, 0.77], [1.6, 1.41]]),
    two("atan2", super::atan2, Routine::Atan2, [[0.74, 0.999], [2.2, 1.52]]),
    one("sinh", super::sinh, Routine::Sinh, (-20.0, 20.0), [[0.78, 0.91], [0.78, 0.97]]),
    one("cosh", super::cosh, Routine::Cosh, (-20.0, 20.0), [[0.78, 0.76], [0.78, 0.8]]),
    one("tanh", super::tanh, Routine::Tanh, (-10.0, 10.0), [[0.83, 0.85], [2.6, 3.0]]),
    one("asinh", super::asinh, Routine::Asinh, (-10.0, 10.0), [[0.79, 0.91], [2.2, 1.3]]),
    one("acosh", super::acosh, Routine::Acosh, (1.0, 10.0), [[0.75, 0.86], [2.2, 1.2]]),
    one("atanh", super::atanh, Routine::Atanh, (-1.0, 1.0), [[0.82, 0.91], [2.3, 1.3]]),
    one("sigmoid", super::sigmoid, Routine::Sigmoid, (-740.0, 40.0), [[0.67, 0.7], [1.6, 1.6]]),
    one("erf", super::erf, Routine::Erf, (-5.0, 5.0), [[0.83, 0.87], [2.1, 2.2]]),
    one("erfc", super::erfc, Routine::Erfc, (-5.0, 28.0), [[0.9, 0.97], [1.5, 1.6]]),
    one("cbrt", super::cbrt, Routine::Cbrt, (-10.0, 10.0), [[0.502, 0.51], [3.9, 0.51]]),
    two("hypot", super::hypot, Routine::Hypot, [[0.502, 0.51], [1.0, 0.51]]),
    two("pow", super::pow, Routine::Pow, [[0.9, 0.96], [3.6, 2.2]]),
    // In units of the largest of the result and the operands, as the sum may cancel.
    two("logaddexp", super::logaddexp, Routine::Logaddexp, [[1.7, 1.7], [2.0, 2.0]]),
];

impl Function {
    /// The function with this name.
    pub fn named(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|f| f.name == name)
    }

    /// The number of its arguments.
    pub fn arity(&self) -> usize {
        self.routine.arity() as usize
    }

    /// The largest error allowed, in ULP, for a float type and a precision other than `Precise`.
    pub fn bound(&self, ty: Ty, precision: Precision) -> f64 {
        self.bounds[(precision == Precision::Fast) as usize][(ty == Ty::F32) as usize]
    }

    /// The correctly rounded result, but for the rare arguments where the routine is a step off.
    pub fn right64(&self, x: f64, y: f64) -> f64 {
        match self.arity() {
            1 => self.routine.f64_1()(x),
            _ => self.routine.f64_2()(x, y),
        }
    }

    /// The correctly rounded result in `f32`.
    pub fn right32(&self, x: f32, y: f32) -> f32 {
        match self.arity() {
            1 => self.routine.f32_1()(x),
            _ => self.routine.f32_2()(x, y),
        }
    }

    /// A kernel that applies the function, in `F32` or `F64`, to contiguous operands; the last is the result.
    pub fn kernel(&self, ty: Ty, precision: Precision) -> Kernel {
        let dtype = if ty == Ty::F32 { DType::F32 } else { DType::F64 };
        let mut b = Builder::new();
        let x = b.operand(Role::Input, dtype, Class::Contiguous);
        let x = b.load(x);
        let y = match self.emit {
            Emit::One(f) => f(&mut b, x, precision),
            Emit::Two(f) => {
                let y = b.operand(Role::Input, dtype, Class::Contiguous);
                let y = b.load(y);
                f(&mut b, x, y, precision)
            }
        };
        let out = b.operand(Role::Output, dtype, Class::Contiguous);
        b.store(out, y);
        b.finish()
    }

    /// The number of vector instructions that as many results take as fit a vector of the type: constants, loads and
    /// casts of bits are free, as is a negation that an FMA takes in; what an `F32` function computes in 64-bit lanes
    /// counts twice.
    pub fn cost(&self, ty: Ty, precision: Precision) -> usize {
        let kernel = self.kernel(ty, precision);
        let live = kernel.live();
        let mut absorbed = vec![true; kernel.insts.len()];
        for (inst, _) in kernel.insts.iter().zip(&live).filter(|(i, live)| **live && i.prim != Prim::Fma) {
            inst.args().iter().for_each(|a| absorbed[a.0 as usize] = false);
        }
        let width = |i: usize| {
            let inst = &kernel.insts[i];
            // Of a comparison, that of what is compared.
            let ty = |v: ValueId| kernel.ty(v).size();
            inst.args().iter().map(|a| ty(*a)).chain([inst.ty.size()]).max().unwrap_or(0)
        };
        let counted = |i: &usize| match kernel.insts[*i].prim {
            Prim::Const | Prim::Load | Prim::Bitcast => false,
            Prim::FNeg => live[*i] && !absorbed[*i],
            _ => live[*i],
        };
        (0..kernel.insts.len()).filter(counted).map(|i| (width(i) / ty.size()).max(1)).sum()
    }

    /// The results for arguments in `f64`, by the interpreter. `ys` is not looked at for functions of one argument.
    pub fn eval64(&self, precision: Precision, xs: &[f64], ys: &[f64]) -> Vec<f64> {
        self.eval(Ty::F64, precision, xs, ys)
    }

    /// The results for arguments in `f32`, by the interpreter. `ys` is not looked at for functions of one argument.
    pub fn eval32(&self, precision: Precision, xs: &[f32], ys: &[f32]) -> Vec<f32> {
        self.eval(Ty::F32, precision, xs, ys)
    }

    #[allow(unsafe_code)]
    fn eval<T: bytemuck::Pod>(&self, ty: Ty, precision: Precision, xs: &[T], ys: &[T]) -> Vec<T> {
        let two = self.arity() == 2;
        assert!(!two || xs.len() == ys.len(), "as many first arguments as second ones");
        let interp = Interp::new(&self.kernel(ty, precision));
        let mut out = vec![T::zeroed(); xs.len()];
        let size = size_of::<T>() as isize;
        let mut slab = Slab::new(self.arity() + 1);
        slab.set_extents(xs.len(), 1);
        slab.set_operand(0, xs.as_ptr().expose_provenance() as u64, size, 0);
        if two {
            slab.set_operand(1, ys.as_ptr().expose_provenance() as u64, size, 0);
        }
        slab.set_operand(self.arity(), out.as_mut_ptr().expose_provenance() as u64, size, 0);
        // SAFETY: the operands are arrays of `xs.len()` elements of the kernel's type, and `out` is a new one.
        unsafe { interp.run(&slab) };
        out
    }
}

/// A small generator of random numbers (xorshift), so that samples are the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence with this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * 2f64.powi(-53)
    }
}

/// Numbers at which something happens: zeros, infinities, NaN, the ends of the ranges, small integers and halves.
pub fn special_values() -> Vec<f64> {
    let mut v = vec![
        0.0,
        1.0,
        2.0,
        3.0,
        0.5,
        1.5,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        f64::from_bits(0x000f_ffff_ffff_ffff),
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
        f32::MAX as f64,
        f32::MIN_POSITIVE as f64,
        f32::from_bits(1) as f64,
        709.782712893384,
        745.1332191019412,
        710.4758600739439,
        88.72283905206835,
        103.97207708399179,
    ];
    v.extend((1..=64).map(|i| i as f64 * 0.5));
    v.extend((-1074..=1023).map(|e| 2f64.powi(e)));
    v.extend((1..=40).map(|i| i as f64 * std::f64::consts::FRAC_PI_4));
    v.extend((0..=308).map(|i| 10f64.powi(i)));
    let near: Vec<f64> = v.iter().flat_map(|x| [x.next_up(), x.next_down()]).collect();
    v.extend(near);
    v.iter().flat_map(|&x| [x, -x]).collect()
}

impl Function {
    /// About `count` arguments: special values, all exponents alike, the interesting range, and around one and the
    /// multiples of pi/2.
    pub fn sample(&self, count: usize, seed: u64) -> (Vec<f64>, Vec<f64>) {
        let mut random = Random::new(seed);
        let (lo, hi) = self.range;
        let mut draw = |kind: usize| match kind % 6 {
            0 => f64::from_bits(random.bits()),
            1 | 2 => lo + (hi - lo) * random.unit(),
            3 => {
                // all exponents from 2^-40 to 2^40
                let x = 2f64.powf(80.0 * random.unit() - 40.0);
                if random.bits() & 1 == 0 { x } else { -x }
            }
            4 => {
                let n = 2f64.powf(30.0 * random.unit()).floor();
                let x = n * std::f64::consts::FRAC_PI_2;
                f64::from_bits(x.to_bits() + random.bits() % 3 - 1)
            }
            _ => 1.0 + (random.unit() - 0.5) * 2f64.powf(-40.0 * random.unit()),
        };
        let special = special_values();
        if self.arity() == 1 {
            let mut xs = special;
            xs.extend((0..count).map(&mut draw));
            return (xs, Vec::new());
        }
        let (mut xs, mut ys) = (Vec::new(), Vec::new());
        for (i, &x) in special.iter().enumerate().filter(|(i, _)| i % 31 == 0 || *i < 60) {
            for &y in special.iter().skip(i % 5).step_by(23).chain(&special[..60]) {
                xs.push(x);
                ys.push(y);
            }
        }
        for i in 0..count {
            xs.push(draw(i));
            ys.push(draw(i / 6));
        }
        (xs, ys)
    }
}

/// How many numbers lie between `a` and `b`, plus one; 0 if they are the same. Two NaN are the same; NaN and a number,
/// or two zeros of different sign, are as far apart as can be.
pub fn steps64(a: f64, b: f64) -> u64 {
    let order = |x: f64| {
        let i = x.to_bits() as i64;
        if i < 0 { (i64::MIN - i) as i128 - 1 } else { i as i128 }
    };
    match (a.is_nan(), b.is_nan()) {
        (true, true) => 0,
        (false, false) if a == 0.0 && b == 0.0 && a.to_bits() != b.to_bits() => u64::MAX,
        (false, false) => u64::try_from((order(a) - order(b)).unsigned_abs()).unwrap_or(u64::MAX),
        _ => u64::MAX,
    }
}

/// The error of `got` in units in the last place of `f32`, for a result that is `exact` (to `f64`) and rounds to `right`.
/// Infinite where one is NaN or infinite and the other is not, or where the sign of zero is wrong.
pub fn ulps32(got: f32, right: f32, exact: f64) -> f64 {
    if got.to_bits() == right.to_bits() || got.is_nan() && right.is_nan() {
        if !exact.is_finite() || exact.abs() > f32::MAX as f64 || right.is_infinite() {
            return 0.0;
        }
    } else if !got.is_finite() || !right.is_finite() || got == right {
        return f64::INFINITY;
    }
    (got as f64 - exact).abs() / unit(exact, Ty::F32)
}

/// The unit in the last place of a number, in a float type.
fn unit(x: f64, ty: Ty) -> f64 {
    let (fraction, least) = if ty == Ty::F32 { (23, -126) } else { (52, -1022) };
    let exponent = ((x.abs().to_bits() >> 52) as i32 - 1023).max(least);
    let exponent = exponent - fraction;
    if exponent < -1022 { f64::from_bits(1 << (exponent + 1074)) } else { 2f64.powi(exponent) }
}

/// What a measurement found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    /// Arguments looked at.
    pub count: u64,
    /// Results that are not the nearest.
    pub misrounded: u64,
    /// The largest error in ULP; for `F64` the number of steps from the correctly rounded result.
    pub worst: f64,
    /// Where that was.
    pub at: (f64, f64),
    /// The mean error of those looked at for it, which are some in `F32` and none in `F64`.
    pub mean: Mean,
}

/// A running mean.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    /// The mean so far; NaN of nothing.
    pub fn value(self) -> f64 {
        self.sum / self.count as f64
    }
}

impl Measure {
    fn add(&mut self, x: f64, y: f64, right: bool, error: f64) {
        self.count += 1;
        self.misrounded += !right as u64;
        if error > self.worst {
            (self.worst, self.at) = (error, (x, y));
        }
    }

    /// Both measurements in one.
    pub fn merge(self, other: Measure) -> Measure {
        let (worst, at) = if other.worst > self.worst { (other.worst, other.at) } else { (self.worst, self.at) };
        Measure {
            count: self.count + other.count,
            misrounded: self.misrounded + other.misrounded,
            worst,
            at,
            mean: Mean { sum: self.mean.sum + other.mean.sum, count: self.mean.count + other.mean.count },
        }
    }
}

impl Function {
    /// Measures `F64` at these arguments: in steps from the correctly rounded result.
    pub fn measure64(&self, precision: Precision, xs: &[f64], ys: &[f64]) -> Measure {
        let mut m = Measure::default();
        for (i, got) in self.eval64(precision, xs, ys).into_iter().enumerate() {
            let (x, y) = (xs[i], ys.get(i).copied().unwrap_or(0.0));
            let right = self.right64(x, y);
            let mut steps = steps64(got, right) as f64;
            if steps > 0.0 && self.is_flushed(precision, got, right, 2.0 * f64::MIN_POSITIVE, x, y) {
                steps = 0.0;
            } else if steps > 0.0 && self.routine == Routine::Logaddexp && got.is_finite() && right.is_finite() {
                steps = (got - right).abs() / unit(largest(x, y, right), Ty::F64);
            }
            m.add(x, y, steps == 0.0, steps);
        }
        m
    }

    /// Measures `F32` at these arguments, in ULP.
    pub fn measure32(&self, precision: Precision, xs: &[f32], ys: &[f32]) -> Measure {
        let mut m = Measure::default();
        for (i, got) in self.eval32(precision, xs, ys).into_iter().enumerate() {
            let (x, y) = (xs[i], ys.get(i).copied().unwrap_or(0.0));
            let right = self.right32(x, y);
            let (wide_x, wide_y) = (x as f64, y as f64);
            let same = got.to_bits() == right.to_bits() || got.is_nan() && right.is_nan();
            let counts = i % 64 == 0;
            if same && !counts {
                // Below a half in any case.
                m.add(wide_x, wide_y, true, 0.0);
                continue;
            }
            let exact = self.right64(wide_x, wide_y);
            let mut error = ulps32(got, right, exact);
            let least = 2.0 * f32::MIN_POSITIVE as f64;
            if !same && self.is_flushed(precision, got as f64, right as f64, least, wide_x, wide_y) {
                error = 0.0;
            } else if self.routine == Routine::Logaddexp && got.is_finite() && exact.is_finite() {
                error = (got as f64 - exact).abs() / unit(largest(wide_x, wide_y, exact), Ty::F32);
            }
            m.add(wide_x, wide_y, same || error == 0.0, error);
            if counts && right != 0.0 && right.is_finite() {
                m.mean = Mean { sum: m.mean.sum + error, count: m.mean.count + 1 };
            }
        }
        m
    }

    /// Whether a result is what `Fast` allows where arguments or results are subnormal, or nearly so: a subnormal
    /// argument counts as zero, and such a result may be zero.
    fn is_flushed(&self, precision: Precision, got: f64, right: f64, least: f64, x: f64, y: f64) -> bool {
        let zero = |x: f64| if x.abs() < least { 0.0f64.copysign(x) } else { x };
        precision == Precision::Fast
            && (right.abs() < least && got == 0.0 || {
                let (flushed_x, flushed_y) = (zero(x), zero(y));
                let flushed = self.right64(flushed_x, flushed_y);
                (flushed_x != x || flushed_y != y) && (flushed == got || flushed.is_nan() && got.is_nan())
            })
    }
}

fn largest(x: f64, y: f64, result: f64) -> f64 {
    let finite = |x: f64| if x.is_finite() { x.abs() } else { 0.0 };
    finite(x).max(finite(y)).max(result.abs())
}

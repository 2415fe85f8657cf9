//! How far the functions are off: the table of functions, samples of arguments, and the error against correctly rounded
//! results.

use crate::kernel::{Class, Role, Slab};
use crate::{Builder, Interp, Kernel, Routine, Ty, ValueId};
use lazuli_graph::DType;

/// Appends a function to a program.
#[derive(Clone, Copy, Debug)]
pub enum Emit {
    /// Of one argument.
    One(fn(&mut Builder, ValueId) -> ValueId),
    /// Of two arguments.
    Two(fn(&mut Builder, ValueId, ValueId) -> ValueId),
}

/// A function of the library.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name, as in the op table.
    pub name: &'static str,
    /// How it is emitted.
    pub emit: Emit,
    /// The correctly rounded function; none for `cbrt`, which has no routine.
    pub routine: Option<Routine>,
    /// Where its arguments are interesting: uniform samples are drawn from there, besides those from all numbers.
    pub range: (f64, f64),
    /// The largest errors that any sample has shown, in ULP, in `F64` and `F32`, rounded up: the tests hold us to them.
    pub bound: (f64, f64),
}

const fn one(
    name: &'static str,
    emit: fn(&mut Builder, ValueId) -> ValueId,
    routine: Option<Routine>,
    range: (f64, f64),
    bound: (f64, f64),
) -> Function {
    Function { name, emit: Emit::One(emit), routine, range, bound }
}

const fn two(
    name: &'static str,
    emit: fn(&mut Builder, ValueId, ValueId) -> ValueId,
    routine: Routine,
    bound: (f64, f64),
) -> Function {
    Function { name, emit: Emit::Two(emit), routine: Some(routine), range: (-10.0, 10.0), bound }
}

/// Every function of the library.
pub const FUNCTIONS: &[Function] = &[
    one("exp", super::exp, Some(Routine::Exp), (-750.0, 715.0), (0.78, 0.501)),
    one("exp2", super::exp2, Some(Routine::Exp2), (-1080.0, 1030.0), (0.77, 0.501)),
    one("expm1", super::expm1, Some(Routine::Expm1), (-40.0, 715.0), (0.92, 0.501)),
    one("log", super::log, Some(Routine::Log), (0.0, 10.0), (0.78, 0.501)),
    one("log2", super::log2, Some(Routine::Log2), (0.0, 10.0), (0.72, 0.501)),
    one("log10", super::log10, Some(Routine::Log10), (0.0, 10.0), (0.63, 0.501)),
    one("log1p", super::log1p, Some(Routine::Log1p), (-1.0, 10.0), (0.79, 0.501)),
    one("sin", super::sin, Some(Routine::Sin), (-10.0, 10.0), (0.78, 0.502)),
    one("cos", super::cos, Some(Routine::Cos), (-10.0, 10.0), (0.79, 0.502)),
    one("tan", super::tan, Some(Routine::Tan), (-10.0, 10.0), (0.90, 0.503)),
    one("asin", super::asin, Some(Routine::Asin), (-1.0, 1.0), (0.64, 0.501)),
    one("acos", super::acos, Some(Routine::Acos), (-1.0, 1.0), (0.63, 0.501)),
    one("atan", super::atan, Some(Routine::Atan), (-3.0, 3.0), (0.65, 0.501)),
    two("atan2", super::atan2, Routine::Atan2, (0.78, 0.501)),
    one("sinh", super::sinh, Some(Routine::Sinh), (-20.0, 20.0), (0.86, 0.501)),
    one("cosh", super::cosh, Some(Routine::Cosh), (-20.0, 20.0), (0.83, 0.501)),
    one("tanh", super::tanh, Some(Routine::Tanh), (-10.0, 10.0), (0.78, 0.501)),
    one("cbrt", super::cbrt, None, (-10.0, 10.0), (0.501, 0.501)),
    two("hypot", super::hypot, Routine::Hypot, (0.501, 0.501)),
    two("pow", super::pow, Routine::Pow, (0.74, 0.501)),
];

impl Function {
    /// The function with this name.
    pub fn named(name: &str) -> Option<&'static Function> {
        FUNCTIONS.iter().find(|f| f.name == name)
    }

    /// The number of its arguments.
    pub fn arity(&self) -> usize {
        match self.emit {
            Emit::One(_) => 1,
            Emit::Two(_) => 2,
        }
    }

    /// The correctly rounded result, but for the rare arguments where the routine is a step off.
    pub fn right64(&self, x: f64, y: f64) -> f64 {
        match (self.routine, self.emit) {
            (None, _) => pxfm::f_cbrt(x),
            // The inverse square of a large number overflows within the routine; the platform's own is nearly as good.
            (Some(Routine::Pow), _) if y == -2.0 => x.powf(y),
            (Some(r), Emit::One(_)) => r.f64_1()(x),
            (Some(r), Emit::Two(_)) => r.f64_2()(x, y),
        }
    }

    /// The correctly rounded result in `f32`.
    pub fn right32(&self, x: f32, y: f32) -> f32 {
        match (self.routine, self.emit) {
            (None, _) => pxfm::f_cbrtf(x),
            (Some(r), Emit::One(_)) => r.f32_1()(x),
            (Some(r), Emit::Two(_)) => r.f32_2()(x, y),
        }
    }

    /// A kernel that applies the function, in `F32` or `F64`, to contiguous operands; the last is the result.
    pub fn kernel(&self, ty: Ty) -> Kernel {
        let dtype = if ty == Ty::F32 { DType::F32 } else { DType::F64 };
        let mut b = Builder::new();
        let x = b.operand(Role::Input, dtype, Class::Contiguous);
        let x = b.load(x);
        let y = match self.emit {
            Emit::One(f) => f(&mut b, x),
            Emit::Two(f) => {
                let y = b.operand(Role::Input, dtype, Class::Contiguous);
                let y = b.load(y);
                f(&mut b, x, y)
            }
        };
        let out = b.operand(Role::Output, dtype, Class::Contiguous);
        b.store(out, y);
        b.finish()
    }

    /// The number of instructions that one result takes, constants aside.
    pub fn cost(&self, ty: Ty) -> usize {
        let free = |p| matches!(p, crate::Prim::Const | crate::Prim::Load);
        self.kernel(ty).insts.iter().filter(|i| !free(i.prim)).count()
    }

    /// The results for arguments in `f64`, by the interpreter. `ys` is not looked at for functions of one argument.
    pub fn eval64(&self, xs: &[f64], ys: &[f64]) -> Vec<f64> {
        self.eval(Ty::F64, xs, ys)
    }

    /// The results for arguments in `f32`, by the interpreter. `ys` is not looked at for functions of one argument.
    pub fn eval32(&self, xs: &[f32], ys: &[f32]) -> Vec<f32> {
        self.eval(Ty::F32, xs, ys)
    }

    #[allow(unsafe_code)]
    fn eval<T: bytemuck::Pod>(&self, ty: Ty, xs: &[T], ys: &[T]) -> Vec<T> {
        let two = self.arity() == 2;
        assert!(!two || xs.len() == ys.len(), "as many first arguments as second ones");
        let interp = Interp::new(&self.kernel(ty));
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
    let exponent = ((exact.abs().to_bits() >> 52) as i32 - 1023).max(-126);
    (got as f64 - exact).abs() / 2f64.powi(exponent - 23)
}

/// What a measurement found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Measure {
    /// Arguments looked at.
    pub count: u64,
    /// Results that are not the nearest.
    pub misrounded: u64,
    /// The largest error: for `F32` in ULP, for `F64` the number of steps from the correctly rounded result.
    pub worst: f64,
    /// Where that was.
    pub at: (f64, f64),
}

impl Measure {
    fn add(&mut self, x: f64, y: f64, right: bool, error: f64) {
        self.count += 1;
        self.misrounded += !right as u64;
        if error > self.worst {
            (self.worst, self.at) = (error, (x, y));
        }
    }
}

impl Function {
    /// Measures `F64` at these arguments.
    pub fn measure64(&self, xs: &[f64], ys: &[f64]) -> Measure {
        let mut m = Measure::default();
        for (i, got) in self.eval64(xs, ys).into_iter().enumerate() {
            let (x, y) = (xs[i], ys.get(i).copied().unwrap_or(0.0));
            let steps = steps64(got, self.right64(x, y));
            m.add(x, y, steps == 0, steps as f64);
        }
        m
    }

    /// Measures `F32` at these arguments.
    pub fn measure32(&self, xs: &[f32], ys: &[f32]) -> Measure {
        let mut m = Measure::default();
        for (i, got) in self.eval32(xs, ys).into_iter().enumerate() {
            let (x, y) = (xs[i], ys.get(i).copied().unwrap_or(0.0));
            let (exact, right) = (self.right64(x as f64, y as f64), self.right32(x, y));
            let right_bits = got.to_bits() == right.to_bits() || got.is_nan() && right.is_nan();
            m.add(x as f64, y as f64, right_bits, ulps32(got, right, exact));
        }
        m
    }
}

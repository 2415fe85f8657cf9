//! What each primitive computes: one instruction over the lanes of a tile.
//!
//! Registers are slices of one scratch buffer. A vector register holds a lane for each element of a tile, a uniform one
//! a single lane that all of them share.
//!
//! Every loop is compiled for several feature sets (`pulp`), so that it vectorizes for the CPU at hand and `mul_add`
//! is an instruction where there is one. Rust never contracts `a * b + c`. The loops run over whole tiles, with no
//! constant trip count: then it is the loop vectorizer that turns them into vector code, whatever the operation.

use crate::half;
use crate::kernel::{Prim, Ty};
use crate::routine::Routine;
use bytemuck::Pod;
use pulp::{Arch, Simd, WithSimd};

/// Where a value lives.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Reg {
    /// First byte, in the constants or in the scratch buffer.
    pub(super) offset: usize,
    /// In the constants of the kernel; else in the scratch buffer.
    pub(super) constant: bool,
    /// One lane serves the whole tile.
    pub(super) uniform: bool,
}

/// A decoded instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) prim: Prim,
    /// Type of the result.
    pub(super) ty: Ty,
    /// Type of the first argument; of `select`, that of the result.
    pub(super) from: Ty,
    pub(super) dst: Reg,
    pub(super) args: [Reg; 3],
    pub(super) imm: u64,
}

/// The memory that instructions work on.
pub(super) struct Frame<'a> {
    pub(super) arch: Arch,
    pub(super) consts: &'a [u8],
    pub(super) scratch: &'a mut [u8],
    /// Lanes of this tile.
    pub(super) lanes: usize,
}

/// An argument.
#[derive(Clone, Copy)]
enum Source<'a, T> {
    Vector(&'a [T]),
    Uniform(T),
}

impl<T: Copy> Source<'_, T> {
    fn lane(&self, i: usize) -> T {
        match self {
            Source::Vector(lanes) => lanes[i],
            Source::Uniform(lane) => *lane,
        }
    }
}

/// The scratch buffer around the destination, and the constants.
struct Sources<'a> {
    consts: &'a [u8],
    below: &'a [u8],
    above: &'a [u8],
    above_at: usize,
    lanes: usize,
}

impl<'a> Sources<'a> {
    fn get<T: Pod>(&self, reg: Reg) -> Source<'a, T> {
        let lanes = if reg.uniform { 1 } else { self.lanes };
        let (space, offset) = match reg {
            Reg { constant: true, offset, .. } => (self.consts, offset),
            Reg { offset, .. } if offset < self.above_at => (self.below, offset),
            Reg { offset, .. } => (self.above, offset - self.above_at),
        };
        let lanes: &[T] = bytemuck::cast_slice(&space[offset..offset + lanes * size_of::<T>()]);
        if reg.uniform { Source::Uniform(lanes[0]) } else { Source::Vector(lanes) }
    }
}

impl Frame<'_> {
    /// The destination's lanes, and access to everything else.
    fn split<T: Pod>(&mut self, dst: Reg) -> (&mut [T], Sources<'_>) {
        let lanes = if dst.uniform { 1 } else { self.lanes };
        let end = dst.offset + lanes * size_of::<T>();
        let (below, rest) = self.scratch.split_at_mut(dst.offset);
        let (d, above) = rest.split_at_mut(end - dst.offset);
        (bytemuck::cast_slice_mut(d), Sources { consts: self.consts, below, above, above_at: end, lanes })
    }

    fn map1<A: Pod, R: Pod>(&mut self, op: &Op, f: impl Fn(A) -> R) {
        let arch = self.arch;
        let (d, s) = self.split(op.dst);
        match s.get(op.args[0]) {
            Source::Uniform(a) => d.fill(f(a)),
            Source::Vector(a) => arch.dispatch(Map1 { d, a, f }),
        }
    }

    fn map2<A: Pod, B: Pod, R: Pod>(&mut self, op: &Op, f: impl Fn(A, B) -> R) {
        let arch = self.arch;
        let (d, s) = self.split(op.dst);
        match (s.get(op.args[0]), s.get(op.args[1])) {
            (Source::Uniform(a), Source::Uniform(b)) => d.fill(f(a, b)),
            (Source::Uniform(a), Source::Vector(b)) => arch.dispatch(Map1 { d, a: b, f: |b| f(a, b) }),
            (Source::Vector(a), Source::Uniform(b)) => arch.dispatch(Map1 { d, a, f: |a| f(a, b) }),
            (Source::Vector(a), Source::Vector(b)) => arch.dispatch(Map2 { d, a, b, f }),
        }
    }

    fn map3<A: Pod, B: Pod, C: Pod, R: Pod>(&mut self, op: &Op, f: impl Fn(A, B, C) -> R) {
        use Source::{Uniform, Vector};
        let arch = self.arch;
        let (d, s) = self.split(op.dst);
        match (s.get(op.args[0]), s.get(op.args[1]), s.get(op.args[2])) {
            (Uniform(a), Uniform(b), Uniform(c)) => d.fill(f(a, b, c)),
            (Vector(a), Uniform(b), Uniform(c)) => arch.dispatch(Map1 { d, a, f: |a| f(a, b, c) }),
            (Uniform(a), Vector(b), Uniform(c)) => arch.dispatch(Map1 { d, a: b, f: |b| f(a, b, c) }),
            (Uniform(a), Uniform(b), Vector(c)) => arch.dispatch(Map1 { d, a: c, f: |c| f(a, b, c) }),
            (Vector(a), Vector(b), Uniform(c)) => arch.dispatch(Map2 { d, a, b, f: |a, b| f(a, b, c) }),
            (Vector(a), Uniform(b), Vector(c)) => arch.dispatch(Map2 { d, a, b: c, f: |a, c| f(a, b, c) }),
            (Uniform(a), Vector(b), Vector(c)) => arch.dispatch(Map2 { d, a: b, b: c, f: |b, c| f(a, b, c) }),
            (Vector(a), Vector(b), Vector(c)) => arch.dispatch(Map3 { d, a, b, c, f }),
        }
    }

    /// Calls `f` for the lanes whose mask holds; the others get the third argument.
    fn call_if<T: Pod>(&mut self, op: &Op, f: impl Fn(T) -> T) {
        let (d, s) = self.split::<T>(op.dst);
        let (m, a) = (s.get::<u8>(op.args[0]), s.get::<T>(op.args[1]));
        match s.get::<T>(op.args[2]) {
            Source::Uniform(b) => d.fill(b),
            Source::Vector(b) => d.copy_from_slice(b),
        }
        if matches!(m, Source::Vector(m) if m.iter().all(|&m| m == 0)) {
            return;
        }
        for (i, d) in d.iter_mut().enumerate().filter(|(i, _)| m.lane(*i) != 0) {
            *d = f(a.lane(i));
        }
    }

    /// Fills the register of a constant.
    fn splat<T: Pod>(&mut self, op: &Op, value: T) {
        let (d, _) = self.split::<T>(op.dst);
        d.fill(value);
    }
}

struct Map1<'a, A, R, F> {
    d: &'a mut [R],
    a: &'a [A],
    f: F,
}

impl<A: Copy, R, F: Fn(A) -> R> WithSimd for Map1<'_, A, R, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (d, a) in self.d.iter_mut().zip(self.a) {
            *d = (self.f)(*a);
        }
    }
}

struct Map2<'a, A, B, R, F> {
    d: &'a mut [R],
    a: &'a [A],
    b: &'a [B],
    f: F,
}

impl<A: Copy, B: Copy, R, F: Fn(A, B) -> R> WithSimd for Map2<'_, A, B, R, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for ((d, a), b) in self.d.iter_mut().zip(self.a).zip(self.b) {
            *d = (self.f)(*a, *b);
        }
    }
}

struct Map3<'a, A, B, C, R, F> {
    d: &'a mut [R],
    a: &'a [A],
    b: &'a [B],
    c: &'a [C],
    f: F,
}

impl<A: Copy, B: Copy, C: Copy, R, F: Fn(A, B, C) -> R> WithSimd for Map3<'_, A, B, C, R, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (((d, a), b), c) in self.d.iter_mut().zip(self.a).zip(self.b).zip(self.c) {
            *d = (self.f)(*a, *b, *c);
        }
    }
}

/// The verifier has checked the types, so no other can come here.
#[cold]
fn ill_typed(op: &Op) -> ! {
    unreachable!("the verifier refuses {:?} from {:?} to {:?}", op.prim, op.from, op.ty)
}

macro_rules! float {
    ($frame:ident, $op:ident, |$($a:ident),+| $e:expr) => {
        match $op.from {
            Ty::F32 => float!(@ f32, $frame, $op, |$($a),+| $e),
            Ty::F64 => float!(@ f64, $frame, $op, |$($a),+| $e),
            _ => ill_typed($op),
        }
    };
    (@ $t:ty, $frame:ident, $op:ident, |$a:ident| $e:expr) => { $frame.map1($op, |$a: $t| $e) };
    (@ $t:ty, $frame:ident, $op:ident, |$a:ident, $b:ident| $e:expr) => { $frame.map2($op, |$a: $t, $b: $t| $e) };
    (@ $t:ty, $frame:ident, $op:ident, |$a:ident, $b:ident, $c:ident| $e:expr) => {
        $frame.map3($op, |$a: $t, $b: $t, $c: $t| $e)
    };
}

/// `$e` for each integer type; in it, `U` and `S` are the unsigned and signed type of the lanes, which come as `U`.
macro_rules! int {
    ($frame:ident, $op:ident, |$($a:ident),+| $e:expr) => {
        match $op.from {
            Ty::I8 => int!(@ u8, i8, $frame, $op, |$($a),+| $e),
            Ty::I16 => int!(@ u16, i16, $frame, $op, |$($a),+| $e),
            Ty::I32 => int!(@ u32, i32, $frame, $op, |$($a),+| $e),
            Ty::I64 => int!(@ u64, i64, $frame, $op, |$($a),+| $e),
            _ => ill_typed($op),
        }
    };
    (@ $u:ty, $s:ty, $frame:ident, $op:ident, |$a:ident| $e:expr) => {{
        #[allow(dead_code)]
        type U = $u;
        #[allow(dead_code)]
        type S = $s;
        $frame.map1($op, |$a: U| $e)
    }};
    (@ $u:ty, $s:ty, $frame:ident, $op:ident, |$a:ident, $b:ident| $e:expr) => {{
        #[allow(dead_code)]
        type U = $u;
        #[allow(dead_code)]
        type S = $s;
        $frame.map2($op, |$a: U, $b: U| $e)
    }};
}

/// A conversion by `as` between the pairs of types listed: `Ty(rust type) => Ty(rust type)`.
macro_rules! cast {
    ($frame:ident, $op:ident, $($from:ident($a:ty) => $to:ident($r:ty)),+ $(,)?) => {
        match ($op.from, $op.ty) {
            $((Ty::$from, Ty::$to) => $frame.map1($op, |a: $a| a as $r),)+
            _ => ill_typed($op),
        }
    };
}

// In the bodies for each integer type, some cast is to the type it comes from.
#[allow(clippy::unnecessary_cast)]
impl Frame<'_> {
    /// Runs one instruction. Loads and indices are not for here.
    pub(super) fn exec(&mut self, op: &Op) {
        match op.prim {
            Prim::Load | Prim::Index => unreachable!("loads are steps of their own"),
            Prim::Const => match op.ty.size() {
                0 | 1 => self.splat(op, op.imm as u8),
                2 => self.splat(op, op.imm as u16),
                4 => self.splat(op, op.imm as u32),
                _ => self.splat(op, op.imm),
            },

            Prim::FAdd => float!(self, op, |a, b| a + b),
            Prim::FSub => float!(self, op, |a, b| a - b),
            Prim::FMul => float!(self, op, |a, b| a * b),
            Prim::FDiv => float!(self, op, |a, b| a / b),
            Prim::FSqrt => float!(self, op, |a| a.sqrt()),
            Prim::Fma => float!(self, op, |a, b, c| a.mul_add(b, c)),
            Prim::FNeg => float!(self, op, |a| -a),
            Prim::FAbs => float!(self, op, |a| a.abs()),
            Prim::FCopysign => float!(self, op, |a, b| a.copysign(b)),
            Prim::FFloor => float!(self, op, |a| a.floor()),
            Prim::FCeil => float!(self, op, |a| a.ceil()),
            Prim::FTrunc => float!(self, op, |a| a.trunc()),
            Prim::FNearest => float!(self, op, |a| a.round_ties_even()),
            Prim::FRaise | Prim::FSignificand | Prim::FExponent => unreachable!("expanded"),
            Prim::FMin => float!(self, op, |a, b| if a < b { a } else { b }),
            Prim::FMax => float!(self, op, |a, b| if a > b { a } else { b }),

            Prim::IAdd => int!(self, op, |a, b| a.wrapping_add(b)),
            Prim::ISub => int!(self, op, |a, b| a.wrapping_sub(b)),
            Prim::IMul => int!(self, op, |a, b| a.wrapping_mul(b)),
            Prim::INeg => int!(self, op, |a| a.wrapping_neg()),
            Prim::IAbs => int!(self, op, |a| (a as S).wrapping_abs() as U),
            Prim::SMin => int!(self, op, |a, b| (a as S).min(b as S) as U),
            Prim::SMax => int!(self, op, |a, b| (a as S).max(b as S) as U),
            Prim::UMin => int!(self, op, |a, b| a.min(b)),
            Prim::UMax => int!(self, op, |a, b| a.max(b)),
            Prim::SDiv => int!(self, op, |a, b| if b == 0 { 0 } else { (a as S).wrapping_div(b as S) as U }),
            Prim::UDiv => int!(self, op, |a, b| a.checked_div(b).unwrap_or(0)),
            Prim::SRem => int!(self, op, |a, b| if b == 0 { 0 } else { (a as S).wrapping_rem(b as S) as U }),
            Prim::URem => int!(self, op, |a, b| a.checked_rem(b).unwrap_or(0)),
            Prim::And => int!(self, op, |a, b| a & b),
            Prim::Or => int!(self, op, |a, b| a | b),
            Prim::Xor => int!(self, op, |a, b| a ^ b),
            Prim::Not => int!(self, op, |a| !a),
            Prim::Shl => int!(self, op, |a, b| if b < U::BITS as U { a.wrapping_shl(b as u32) } else { 0 }),
            Prim::ShrU => int!(self, op, |a, b| if b < U::BITS as U { a.wrapping_shr(b as u32) } else { 0 }),
            Prim::ShrS => int!(self, op, |a, b| (a as S).wrapping_shr(b.min(U::BITS as U - 1) as u32) as U),

            Prim::FEq => float!(self, op, |a, b| (a == b) as u8),
            Prim::FNe => float!(self, op, |a, b| (a != b) as u8),
            Prim::FLt => float!(self, op, |a, b| (a < b) as u8),
            Prim::FLe => float!(self, op, |a, b| (a <= b) as u8),
            Prim::IEq => int!(self, op, |a, b| (a == b) as u8),
            Prim::INe => int!(self, op, |a, b| (a != b) as u8),
            Prim::SLt => int!(self, op, |a, b| ((a as S) < b as S) as u8),
            Prim::SLe => int!(self, op, |a, b| (a as S <= b as S) as u8),
            Prim::ULt => int!(self, op, |a, b| (a < b) as u8),
            Prim::ULe => int!(self, op, |a, b| (a <= b) as u8),

            Prim::MAnd => self.map2(op, |a: u8, b: u8| a & b),
            Prim::MOr => self.map2(op, |a: u8, b: u8| a | b),
            Prim::MXor => self.map2(op, |a: u8, b: u8| a ^ b),
            Prim::MNot => self.map1(op, |a: u8| a ^ 1),
            Prim::Select => match op.ty.size() {
                1 => self.map3(op, |m: u8, a: u8, b: u8| if m != 0 { a } else { b }),
                2 => self.map3(op, |m: u8, a: u16, b: u16| if m != 0 { a } else { b }),
                4 => self.map3(op, |m: u8, a: u32, b: u32| if m != 0 { a } else { b }),
                8 => self.map3(op, |m: u8, a: u64, b: u64| if m != 0 { a } else { b }),
                _ => ill_typed(op),
            },

            Prim::MaskToInt => match op.ty.size() {
                1 => self.map1(op, |a: u8| a),
                2 => self.map1(op, |a: u8| a as u16),
                4 => self.map1(op, |a: u8| a as u32),
                8 => self.map1(op, |a: u8| a as u64),
                _ => ill_typed(op),
            },
            Prim::Bitcast => match op.ty.size() {
                4 => self.map1(op, |a: u32| a),
                8 => self.map1(op, |a: u64| a),
                _ => ill_typed(op),
            },
            Prim::SExt => cast!(self, op,
                I8(i8) => I16(i16), I8(i8) => I32(i32), I8(i8) => I64(i64),
                I16(i16) => I32(i32), I16(i16) => I64(i64), I32(i32) => I64(i64)),
            Prim::ZExt => cast!(self, op,
                I8(u8) => I16(u16), I8(u8) => I32(u32), I8(u8) => I64(u64),
                I16(u16) => I32(u32), I16(u16) => I64(u64), I32(u32) => I64(u64)),
            Prim::Trunc => cast!(self, op,
                I16(u16) => I8(u8), I32(u32) => I8(u8), I32(u32) => I16(u16),
                I64(u64) => I8(u8), I64(u64) => I16(u16), I64(u64) => I32(u32)),
            Prim::SToF => cast!(self, op,
                I32(i32) => F32(f32), I32(i32) => F64(f64), I64(i64) => F32(f32), I64(i64) => F64(f64)),
            Prim::UToF => cast!(self, op,
                I32(u32) => F32(f32), I32(u32) => F64(f64), I64(u64) => F32(f32), I64(u64) => F64(f64)),
            Prim::FToS => cast!(self, op,
                F32(f32) => I32(i32), F32(f32) => I64(i64), F64(f64) => I32(i32), F64(f64) => I64(i64)),
            Prim::FToU => cast!(self, op,
                F32(f32) => I32(u32), F32(f32) => I64(u64), F64(f64) => I32(u32), F64(f64) => I64(u64)),
            Prim::F32To64 => self.map1(op, |a: f32| a as f64),
            Prim::F64To32 => self.map1(op, |a: f64| a as f32),
            Prim::F16To32 => self.map1(op, half::f16_to_f32),
            Prim::F32To16 => self.map1(op, half::f32_to_f16),
            Prim::F64To16 => self.map1(op, half::f64_to_f16),
            Prim::Bf16To32 => self.map1(op, half::bf16_to_f32),
            Prim::F32ToBf16 => self.map1(op, half::f32_to_bf16),
            Prim::F64ToBf16 => self.map1(op, half::f64_to_bf16),

            Prim::Call1 | Prim::Call2 | Prim::CallIf => self.routine(op),
        }
    }

    fn routine(&mut self, op: &Op) {
        let Some(routine) = Routine::from_imm(op.imm) else { ill_typed(op) };
        match (op.prim, op.ty) {
            (Prim::Call1, Ty::F32) => {
                let f = routine.f32_1();
                self.map1(op, |a: f32| f(a));
            }
            (Prim::Call1, Ty::F64) => {
                let f = routine.f64_1();
                self.map1(op, |a: f64| f(a));
            }
            (Prim::Call2, Ty::F32) => {
                let f = routine.f32_2();
                self.map2(op, |a: f32, b: f32| f(a, b));
            }
            (Prim::Call2, Ty::F64) => {
                let f = routine.f64_2();
                self.map2(op, |a: f64, b: f64| f(a, b));
            }
            (Prim::CallIf, Ty::F32) => {
                let f = routine.f32_1();
                self.call_if(op, |a: f32| f(a));
            }
            (Prim::CallIf, Ty::F64) => {
                let f = routine.f64_1();
                self.call_if(op, |a: f64| f(a));
            }
            _ => ill_typed(op),
        }
    }
}

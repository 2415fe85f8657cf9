//! Random well-formed kernels, for the tests of everything that takes kernels.

use crate::kernel::{Class, Kernel, Prim, Role, Sig, Ty, ValueId};
#[cfg(target_arch = "x86_64")]
use crate::target::Tuning;
#[cfg(target_arch = "x86_64")]
use crate::{Backend, Target};
use crate::{Builder, Routine};
use lazuli_graph::DType;
use proptest::prelude::*;

/// The targets of this CPU that the backend `wide` makes code for, of all tunings.
#[cfg(target_arch = "x86_64")]
pub(crate) fn wide_targets() -> impl Iterator<Item = Target> {
    let usable = Target::available().into_iter().filter(|t| t.supported());
    let wide = usable.map(|t| Target::by_name(t.name).unwrap()).filter(|t| Backend::Wide.why_not(t).is_none());
    wide.flat_map(|t| [Tuning::Other, Tuning::Zen4, Tuning::Intel].map(|tuning| t.clone().tuned_to(tuning)))
}

/// The instruction that asks for inputs ahead of their use.
#[cfg(target_arch = "x86_64")]
pub(crate) fn asking(target: &Target) -> &'static str {
    if target.tuning() == Tuning::Zen4 { "prefetcht1" } else { "prefetcht0" }
}

/// This machine, as if its CPU divided slowly, if it has vectors of 512 bits.
#[cfg(target_arch = "x86_64")]
pub(crate) fn slow_divider() -> Option<Target> {
    slow_dividers().next()
}

/// The same, and as if it divided slower than it multiplies.
#[cfg(target_arch = "x86_64")]
pub(crate) fn slow_dividers() -> impl Iterator<Item = Target> {
    let tuned = [Tuning::Intel, Tuning::Zen4].map(|tuning| Target::detect().clone().tuned_to(tuning));
    tuned.into_iter().filter(|t| t.vector_bits() == 512)
}

/// A small generator of numbers.
#[cfg(target_arch = "x86_64")]
pub(crate) fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state ^ *state >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

/// The numbers `x` of so many bits for which `x / y` lies nearest to halfway between two of them, on both sides: `y` is odd,
/// and `m` an odd number of one bit more with `m y = x 2^(bits + 1) + s`.
#[cfg(target_arch = "x86_64")]
pub(crate) fn halfway(y: u64, bits: u32, count: i64) -> impl Iterator<Item = u64> {
    // Newton's iteration doubles the digits of the inverse modulo a power of two.
    let inverse = (0..6).fold(y, |i, _| i.wrapping_mul(2u64.wrapping_sub(y.wrapping_mul(i))));
    (0..count).flat_map(|k| [2 * k + 1, -2 * k - 1]).filter_map(move |s| {
        let m = inverse.wrapping_mul(s as u64) & ((1 << (bits + 1)) - 1);
        let x = (i128::from(m) * i128::from(y) - i128::from(s)) >> (bits + 1);
        (m >= 1 << bits).then_some(x as u64)
    })
}

/// Well-formed kernels of about `insts` instructions at most: every primitive, dtype and class comes up.
pub(crate) fn kernels(insts: usize) -> impl Strategy<Value = Kernel> {
    let words = prop::collection::vec(any::<u64>(), 0..insts);
    (words, prop::collection::vec(any::<u64>(), 1..4)).prop_map(|(insts, outputs)| build(&insts, &outputs))
}

/// Constants worth meeting: special values of each type, else any bits.
fn constant(ty: Ty, word: u64) -> u64 {
    let bits = match ty {
        Ty::M => return word & 1,
        Ty::F32 => {
            let special = [0.0, -0.0, 1.0, -1.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, 1e-45, 0.1];
            special.get(word as usize % 16).map_or(word >> 8, |x| x.to_bits() as u64)
        }
        Ty::F64 => {
            let special = [0.0, -0.0, 1.0, -1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, f64::MAX, 5e-324, 0.1];
            special.get(word as usize % 16).map_or(word, |x| x.to_bits())
        }
        Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 => {
            let special = [0, 1, 2, 3, 7, 8, u64::MAX, 1 << 63, 1 << 31, 1 << 15, 1 << 7, i64::MAX as u64];
            special.get(word as usize % 24).copied().unwrap_or(word >> 5)
        }
    };
    bits & (u64::MAX >> (64 - 8 * ty.size()))
}

/// The largest magnitude of an exponent in the domain of [`Prim::FRaise`].
pub(crate) fn raise_limit(ty: Ty) -> f64 {
    if ty == Ty::F32 { 192.0 } else { 1536.0 }
}

/// Arguments made such that the primitive's result is said.
pub(crate) fn accepted(b: &mut Builder, prim: Prim, ty: Ty, [x, k, other]: [ValueId; 3]) -> [ValueId; 3] {
    if prim != Prim::FRaise {
        return [x, k, other];
    }
    // Half of the powers make subnormal numbers, where it matters that nothing is rounded twice.
    let most = raise_limit(ty);
    let subnormal = if ty == Ty::F32 { -138.0 } else { -1048.0 };
    let [low, high, least, most, subnormal] = [-0.75, 1000.0, -most, most, subnormal].map(|limit| b.float(ty, limit));
    // NaN stays in the first, and leaves the second.
    let x = b.fmax(low, x);
    let x = b.fmin(high, x);
    let k = b.fmax(k, least);
    let k = b.fmin(k, most);
    // From around -1048 by a 64th of what was given.
    let small = b.float(ty, 1.0 / 64.0);
    let part = b.fmul(k, small);
    let near = b.fadd(part, subnormal);
    let zero = b.float(ty, 0.0);
    let negative = b.flt(k, zero);
    let k = b.select(negative, near, k);
    [x, b.fnearest(k), other]
}

struct Generator {
    b: Builder,
    values: Vec<ValueId>,
}

impl Generator {
    /// A value of type `ty`: an earlier one, or a new source.
    fn value(&mut self, ty: Ty, word: u64) -> ValueId {
        let of_type: Vec<ValueId> = self.values.iter().copied().filter(|&v| self.b.ty(v) == ty).collect();
        if !of_type.is_empty() && word & 3 != 0 {
            return of_type[(word >> 2) as usize % of_type.len()];
        }
        self.source(ty, word >> 2)
    }

    fn source(&mut self, ty: Ty, word: u64) -> ValueId {
        let dtypes: Vec<DType> = DType::ALL.into_iter().filter(|&d| Ty::of(d) == ty).collect();
        let v = match word & 3 {
            0 => self.b.bits(ty, constant(ty, word >> 2)),
            1 if ty == Ty::I64 => {
                let operand = self.b.operand(Role::Index, DType::I64, Class::Strided);
                self.b.index(operand)
            }
            _ if dtypes.is_empty() => self.b.bits(ty, constant(ty, word >> 2)),
            _ => {
                let class = [Class::Contiguous, Class::Broadcast, Class::Strided][(word >> 2) as usize % 3];
                let operand = self.b.operand(Role::Input, dtypes[(word >> 4) as usize % dtypes.len()], class);
                self.b.load(operand)
            }
        };
        self.values.push(v);
        v
    }

    fn inst(&mut self, word: u64) {
        let prim = Prim::ALL[word as usize % Prim::ALL.len()];
        let (pick, a, b, c) = ((word >> 8) as usize, word >> 16, word >> 32, word >> 48);
        let floats = [Ty::F32, Ty::F64];
        let ints = [Ty::I8, Ty::I16, Ty::I32, Ty::I64];
        let (args, ty) = match prim.row().sig {
            Sig::Source => {
                self.source(Ty::ALL[pick % 7], a);
                return;
            }
            Sig::Float => ([floats[pick % 2]; 3], floats[pick % 2]),
            Sig::Int => ([ints[pick % 4]; 3], ints[pick % 4]),
            Sig::FloatCompare => ([floats[pick % 2]; 3], Ty::M),
            Sig::IntCompare => ([ints[pick % 4]; 3], Ty::M),
            Sig::Mask => ([Ty::M; 3], Ty::M),
            Sig::Select if prim == Prim::CallIf => {
                let ty = floats[pick % 2];
                ([Ty::M, ty, ty], ty)
            }
            Sig::Select => {
                let ty = Ty::ALL[1 + pick % 6];
                ([Ty::M, ty, ty], ty)
            }
            Sig::Convert => {
                let pairs: Vec<(Ty, Ty)> = (Ty::ALL.into_iter().flat_map(|f| Ty::ALL.map(|t| (f, t))))
                    .filter(|&(from, to)| crate::verify::converts(prim, from, to))
                    .collect();
                let (from, to) = pairs[pick % pairs.len()];
                ([from; 3], to)
            }
        };
        let mut values = [ValueId(0); 3];
        for (k, word) in [a, b, c].into_iter().enumerate().take(prim.row().arity as usize) {
            values[k] = self.value(args[k], word);
        }
        // The first argument of a masked call is the mask, the last what stands in for the result.
        let arity = if prim == Prim::CallIf { 1 } else { prim.row().arity };
        let routines: Vec<Routine> = Routine::ALL.iter().copied().filter(|r| r.arity() == arity).collect();
        let imm = match prim {
            Prim::Call1 | Prim::Call2 | Prim::CallIf => routines[(c >> 8) as usize % routines.len()].imm(),
            _ => 0,
        };
        let values = accepted(&mut self.b, prim, ty, values);
        let v = self.b.inst(prim, ty, values, imm);
        self.values.push(v);
    }
}

fn build(insts: &[u64], outputs: &[u64]) -> Kernel {
    let mut g = Generator { b: Builder::new(), values: Vec::new() };
    for &word in insts {
        g.inst(word);
    }
    for &word in outputs {
        let dtype = DType::ALL[word as usize % DType::ALL.len()];
        let class = if word >> 8 & 1 == 0 { Class::Contiguous } else { Class::Strided };
        let value = g.value(Ty::of(dtype), word >> 16);
        let operand = g.b.operand(Role::Output, dtype, class);
        g.b.store(operand, value);
    }
    g.b.finish()
}

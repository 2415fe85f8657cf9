//! Primitives that are composed of others: what they mean, and the code for CPUs that have no instructions for them.

use super::exp::halves;
use super::lanes::{Lane, emit};
use super::log;
use crate::kernel::{Inst, Kernel, Prim};
use crate::{Builder, Precision, ValueId};
use std::borrow::Cow;

/// The kernel with every composed primitive replaced by those that it is made of.
pub(crate) fn expand(kernel: &Kernel) -> Cow<'_, Kernel> {
    if !kernel.insts.iter().any(|i| i.prim.is_composed()) {
        return Cow::Borrowed(kernel);
    }
    let mut b = Builder::new();
    for o in &kernel.operands {
        b.operand(o.role, o.dtype, o.class);
    }
    let mut values: Vec<ValueId> = Vec::with_capacity(kernel.insts.len());
    for inst in &kernel.insts {
        let mut args = inst.args;
        inst.args().iter().zip(&mut args).for_each(|(old, new)| *new = values[old.0 as usize]);
        let exact = Precision::Standard;
        values.push(match inst.prim {
            Prim::FRaise => {
                let shifted = shifted(&mut b, args[1]);
                emit(&mut b, exact, [args[0], shifted], |[a, shifted]| raise(a, shifted))
            }
            Prim::FExponent => emit(&mut b, exact, [args[0]], |[a]| exponent(a)),
            Prim::FSignificand => emit(&mut b, exact, [args[0]], |[a]| significand(a)),
            prim => b.inst(prim, inst.ty, args, inst.imm),
        });
    }
    for store in &kernel.stores {
        b.store(store.operand, values[store.value.0 as usize]);
    }
    Cow::Owned(b.finish())
}

/// The integer `k` with the magic number added: what it was made of, if it was.
fn shifted(b: &mut Builder, k: ValueId) -> ValueId {
    let &Inst { prim, args: [from, less, _], .. } = b.def(k);
    let magic = emit(b, Precision::Standard, [k], |[k]| k.constant(k.format().magic));
    if prim == Prim::FSub && less == magic { from } else { b.fadd(k, magic) }
}

/// The power is multiplied in two halves, neither of which is subnormal or infinite.
fn raise<'a>(a: Lane<'a>, shifted: Lane<'a>) -> Lane<'a> {
    let [half, rest] = halves(shifted);
    a.fma(half, half) * rest
}

fn exponent(x: Lane<'_>) -> Lane<'_> {
    let (k, _) = log::split(x, true);
    let k = x.lt(f64::INFINITY).select(k, x);
    let k = x.eq(0.0).select(x.constant(f64::NEG_INFINITY), k);
    nan_below_zero(x, k)
}

fn significand(x: Lane<'_>) -> Lane<'_> {
    let (_, m) = log::split(x, true);
    nan_below_zero(x, m)
}

/// `y`, or NaN where `x` is negative or NaN.
fn nan_below_zero<'a>(x: Lane<'a>, y: Lane<'a>) -> Lane<'a> {
    x.constant(0.0).le(x).select(y, f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::expand;
    use crate::kernel::{Class, Kernel, Prim, Role, ValueId};
    use crate::{Builder, Precision, math};
    use lazuli_graph::DType;

    /// `f` of an input, without composed primitives.
    fn expanded(f: impl Fn(&mut Builder, ValueId) -> ValueId) -> Kernel {
        let mut b = Builder::new();
        let [x, y] = [Role::Input, Role::Output].map(|r| b.operand(r, DType::F64, Class::Contiguous));
        let x = b.load(x);
        let result = f(&mut b, x);
        b.store(y, result);
        let kernel = b.finish();
        let expanded = expand(&kernel).into_owned();
        assert!(kernel.insts.iter().any(|i| i.prim.is_composed()));
        assert!(!expanded.insts.iter().any(|i| i.prim.is_composed()));
        expanded
    }

    fn count(kernel: &Kernel, prim: Prim) -> usize {
        kernel.insts.iter().filter(|i| i.prim == prim).count()
    }

    /// A function of `x` rounds its exponent by adding and subtracting; one that is given is rounded here.
    #[test]
    fn an_exponent_is_rounded_once() {
        let exp = expanded(|b, x| math::exp(b, x, Precision::Standard));
        // Of the remainder: its two parts, and the last term.
        assert_eq!(count(&exp, Prim::FAdd), 2);
        let given = expanded(|b, x| b.fraise(x, x));
        assert_eq!(count(&given, Prim::FAdd), 1);
        let other = expanded(|b, x| {
            let k = b.fsub(x, x);
            b.fraise(x, k)
        });
        assert_eq!(count(&other, Prim::FAdd), 1);
    }

    #[test]
    fn exponent_and_significand_share_what_tells_negative_numbers() {
        let alone = expanded(|b, x| b.fsignificand(x));
        let both = expanded(|b, x| {
            let (k, m) = (b.fexponent(x), b.fsignificand(x));
            b.fadd(k, m)
        });
        assert_eq!((count(&alone, Prim::FLe), count(&both, Prim::FLe)), (1, 1));
    }
}

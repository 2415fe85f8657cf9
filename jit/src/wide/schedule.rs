//! The order in which a round computes a long program.
//!
//! Programs come with one function after the other, and each is a chain: what waits for its next link fills the CPU's
//! scheduler, and the chain that depends on nothing of it stands too far behind to be seen. Here the next operation is the one
//! that can begin first; of several, the one that most is still to come after. Once so many values are alive as there are
//! registers, operations that free one come first, in the order of the program.

use crate::flow::{invariant, uses};
use crate::kernel::{Class, Inst, Kernel, Prim, Store, ValueId};
use smallvec::SmallVec;
use std::cmp::Reverse;

/// How far ahead of the program's order an operation may be taken.
const WINDOW: usize = 64;

/// Values of a vector that may be alive beside those that there are registers for: a few in memory cost less than waiting.
const MORE: usize = 2;

/// Half cycles until a result can be used: about what recent CPUs have in common.
fn latency(prim: Prim) -> u32 {
    2 * match prim {
        Prim::Const => 0,
        // Lane by lane.
        Prim::Load | Prim::SDiv | Prim::UDiv | Prim::SRem | Prim::URem | Prim::Call1 | Prim::Call2 => 20,
        Prim::FMul | Prim::Fma => 4,
        Prim::FAdd | Prim::FSub | Prim::FMin | Prim::FMax => 3,
        Prim::FEq | Prim::FNe | Prim::FLt | Prim::FLe => 4,
        Prim::FRaise | Prim::FSignificand | Prim::FExponent => 5,
        Prim::FDiv => 14,
        Prim::FSqrt => 20,
        _ => 2,
    }
}

/// The same program in another order, for rounds of so many vectors and so many registers. What is the same for a row comes
/// first; what is loaded as it lies in memory stands before its first use.
pub(super) fn reorder(kernel: &Kernel, vectors: usize, registers: usize) -> Kernel {
    let (count, limit) = (kernel.insts.len(), registers / vectors + MORE);
    let (used, same) = (uses(kernel), invariant(kernel));
    let at_use = |v: usize| {
        let inst = &kernel.insts[v];
        !same[v] && inst.prim == Prim::Load && kernel.operands[inst.imm as usize].class == Class::Contiguous
    };
    let (live, dead): (Vec<usize>, Vec<usize>) = (0..count).partition(|&v| used[v] > 0);
    let (mut order, moving): (Vec<usize>, Vec<usize>) = live.into_iter().partition(|&v| same[v]);
    let (mut loads, mut left): (Vec<usize>, Vec<usize>) = moving.into_iter().partition(|&v| at_use(v));
    let significands: Vec<usize> =
        left.iter().copied().filter(|&v| kernel.insts[v].prim == Prim::FSignificand).collect();
    // Of what is left, the arguments that are left, too, each once; and who has each as such.
    let mut args: Vec<SmallVec<[usize; 3]>> = vec![SmallVec::new(); count];
    let mut users: Vec<SmallVec<[usize; 4]>> = vec![SmallVec::new(); count];
    for &v in &left {
        let inst = &kernel.insts[v];
        // An exponent is made of what its significand has found out, if that comes before it.
        let before = significands
            .iter()
            .copied()
            .find(|&s| s < v && inst.prim == Prim::FExponent && kernel.insts[s].args[0] == inst.args[0]);
        for a in inst.args().iter().map(|a| a.0 as usize).chain(before) {
            if !same[a] && !at_use(a) && !args[v].contains(&a) {
                args[v].push(a);
                users[a].push(v);
            }
        }
    }
    // How long it takes from the beginning of each to the end of all; how many arguments it waits for, and until when; how
    // many wait for it.
    let mut rest = vec![0u32; count];
    for &v in left.iter().rev() {
        let after = users[v].iter().map(|&u| rest[u]).max().unwrap_or(0);
        rest[v] = after + latency(kernel.insts[v].prim);
    }
    let mut missing: Vec<usize> = args.iter().map(SmallVec::len).collect();
    let mut begin = vec![0u32; count];
    let mut waiting: Vec<usize> = users.iter().map(SmallVec::len).collect();
    kernel.stores.iter().for_each(|s| waiting[s.value.0 as usize] += 1);

    let (mut now, mut alive) = (0, 0);
    while !left.is_empty() {
        let ready = left.iter().take(WINDOW).enumerate().filter(|&(_, &v)| missing[v] == 0);
        let choices = ready.map(|(at, &v)| {
            if alive >= limit {
                ((args[v].iter().any(|&a| waiting[a] == 1), Reverse(at as u32), 0), at)
            } else {
                ((true, Reverse(begin[v].max(now)), rest[v]), at)
            }
        });
        // Of equal ones, that which comes first.
        let best = choices.reduce(|a, b| if b.0 > a.0 { b } else { a });
        let (_, at) = best.expect("operands come first, so the first that is left can begin");
        let v = left.remove(at);
        let start = begin[v].max(now);
        for &a in &args[v] {
            waiting[a] -= 1;
            alive -= usize::from(waiting[a] == 0);
        }
        alive += 1;
        for &u in &users[v] {
            missing[u] -= 1;
            begin[u] = begin[u].max(start + latency(kernel.insts[v].prim));
        }
        // Two vectors a cycle.
        now = start + vectors as u32;
        for a in kernel.insts[v].args().iter().map(|a| a.0 as usize) {
            if let Some(at) = loads.iter().position(|&load| load == a) {
                order.push(loads.remove(at));
            }
        }
        order.push(v);
    }
    // What is stored as it was loaded, and what nobody uses.
    order.extend(loads.into_iter().chain(dead));
    rebuilt(kernel, &order)
}

/// A program's instructions in this order.
fn rebuilt(kernel: &Kernel, order: &[usize]) -> Kernel {
    let mut place = vec![0; kernel.insts.len()];
    order.iter().zip(0..).for_each(|(&v, to)| place[v] = to);
    let moved = |v: ValueId| ValueId(place[v.0 as usize]);
    let insts = order.iter().map(|&v| {
        let inst = kernel.insts[v];
        let mut args = inst.args;
        args[..inst.args().len()].iter_mut().for_each(|a| *a = moved(*a));
        Inst { args, ..inst }
    });
    let stores = kernel.stores.iter().map(|s| Store { value: moved(s.value), ..*s });
    Kernel { operands: kernel.operands.clone(), insts: insts.collect(), stores: stores.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::kernel::{Class, Role, Ty};
    use crate::testing::kernels;
    use lazuli_graph::DType;
    use proptest::prelude::*;
    use std::hash::BuildHasher;

    /// Chains of `links` operations on one input, one after the other, and their sum.
    fn chains(count: usize, links: usize) -> Kernel {
        let mut b = Builder::new();
        let input = b.operand(Role::Input, DType::F64, Class::Contiguous);
        let output = b.operand(Role::Output, DType::F64, Class::Contiguous);
        let x = b.load(input);
        let mut sum = x;
        let ends: Vec<ValueId> = (0..count)
            .map(|chain| {
                let factor = b.float(Ty::F64, 2.0 + chain as f64);
                (0..links).fold(x, |y, _| b.fma(y, factor, x))
            })
            .collect();
        for end in ends {
            sum = b.fadd(sum, end);
        }
        b.store(output, sum);
        b.finish()
    }

    /// What each instruction computes, written out; equal programs have equal texts, whatever their order.
    fn texts(kernel: &Kernel) -> (Vec<String>, Vec<String>) {
        let mut texts: Vec<String> = Vec::new();
        for inst in &kernel.insts {
            let args: Vec<&str> = inst.args().iter().map(|a| texts[a.0 as usize].as_str()).collect();
            // A hash of what is below, or texts would double in length with each instruction.
            let below = rustc_hash::FxBuildHasher.hash_one(&args);
            texts.push(format!("{:?} {:?} {} {below}", inst.prim, inst.ty, inst.imm));
        }
        let stored = kernel.stores.iter().map(|s| format!("{} {}", s.operand, texts[s.value.0 as usize])).collect();
        texts.sort();
        (texts, stored)
    }

    /// The most values that are alive at once, but for constants and what is loaded as it lies in memory.
    fn alive(kernel: &Kernel) -> usize {
        let order: Vec<usize> = (0..kernel.insts.len()).collect();
        let counts = |v: &usize| match kernel.insts[*v].prim {
            Prim::Const => false,
            Prim::Load => kernel.operands[kernel.insts[*v].imm as usize].class == Class::Strided,
            _ => true,
        };
        let last = |v: usize| {
            let stored = kernel.stores.iter().any(|s| s.value.0 as usize == v);
            let users = order.iter().filter(|&&u| kernel.insts[u].args().iter().any(|a| a.0 as usize == v));
            if stored { order.len() } else { users.copied().max().unwrap_or(v) }
        };
        let spans: Vec<_> = order.iter().copied().filter(counts).map(|v| (v, last(v))).collect();
        order.iter().map(|at| spans.iter().filter(|(from, to)| from <= at && at < to).count()).max().unwrap_or(0)
    }

    #[test]
    fn chains_stand_side_by_side() {
        let before = chains(3, 20);
        let after = reorder(&before, 2, 32);
        // The links of each, by the chain's factor.
        let links = |factor: f64| {
            let uses = |i: &Inst| i.prim == Prim::Fma && after.insts[i.args[1].0 as usize].imm == factor.to_bits();
            (0..after.insts.len()).filter(|&v| uses(&after.insts[v])).collect::<Vec<_>>()
        };
        let all = [links(2.0), links(3.0), links(4.0)];
        for link in 0..20 {
            let places = all.each_ref().map(|l| l[link]);
            assert!(places.iter().max().unwrap() - places.iter().min().unwrap() <= 3, "link {link} at {places:?}");
        }
        assert_eq!(texts(&before), texts(&after));
    }

    /// Pairs of chains of five, each pair added to the sum of those before it: all chains could begin at once.
    fn pairs(count: usize, class: Class) -> Kernel {
        let mut b = Builder::new();
        let output = b.operand(Role::Output, DType::F64, Class::Contiguous);
        let mut sum = b.float(Ty::F64, 0.0);
        for _ in 0..count {
            let input = b.operand(Role::Input, DType::F64, class);
            let x = b.load(input);
            let [left, right] = [2.0, 3.0].map(|factor| {
                let factor = b.float(Ty::F64, factor);
                (0..5).fold(x, |y, _| b.fma(y, factor, x))
            });
            let both = b.fmul(left, right);
            sum = b.fadd(sum, both);
        }
        b.store(output, sum);
        b.finish()
    }

    #[test]
    fn no_more_is_alive_than_registers_hold() {
        for class in [Class::Contiguous, Class::Strided] {
            let kernel = pairs(20, class);
            for (vectors, registers) in [(2, 16), (2, 32), (4, 32)] {
                let after = reorder(&kernel, vectors, registers);
                let (most, limit) = (alive(&after), registers / vectors + MORE);
                assert!(most <= limit + 1, "{class:?}, {vectors} vectors, {registers} registers: {most}");
                assert_eq!(texts(&kernel), texts(&after));
            }
            // That would be more otherwise.
            assert!(alive(&reorder(&kernel, 1, 1000)) > 32 / 4 + MORE + 1, "{class:?}");
        }
    }

    #[test]
    fn what_is_loaded_as_it_lies_stands_before_its_use() {
        let after = reorder(&pairs(20, Class::Contiguous), 2, 16);
        for (at, inst) in after.insts.iter().enumerate().filter(|(_, i)| i.prim == Prim::Load) {
            assert!(after.insts[at + 1].args().contains(&ValueId(at as u32)), "{inst:?}");
        }
    }

    #[test]
    fn an_exponent_follows_its_significand() {
        let mut b = Builder::new();
        let input = b.operand(Role::Input, DType::F64, Class::Contiguous);
        let output = b.operand(Role::Output, DType::F64, Class::Contiguous);
        let x = b.load(input);
        let mut sum = x;
        for _ in 0..20 {
            let y = crate::math::log(&mut b, sum, crate::Precision::Standard);
            sum = b.fadd(y, x);
        }
        b.store(output, sum);
        let after = reorder(&b.finish(), 4, 32);
        let exponents = after.insts.iter().enumerate().filter(|(_, i)| i.prim == Prim::FExponent);
        let mut count = 0;
        for (at, exponent) in exponents {
            let same = |i: &Inst| i.prim == Prim::FSignificand && i.args[0] == exponent.args[0];
            assert!(after.insts[..at].iter().any(same));
            count += 1;
        }
        assert_eq!(count, 20);
    }

    proptest! {
        /// The same instructions and stores, operands before users.
        #[test]
        fn nothing_is_lost(kernel in kernels(150), vectors in 2usize..5) {
            let after = reorder(&kernel, vectors, 16);
            prop_assert!(after.verify().is_ok());
            prop_assert_eq!(texts(&kernel), texts(&after));
        }
    }
}

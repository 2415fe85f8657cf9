//! What is decided before instructions are selected: lanes of a round, negations that fold into others, constants that
//! get a register.

use super::ahead::{Asks, Level};
use super::divide::has_reciprocal;
use super::fold::accumulators;
use super::schedule;
use super::stagger::{self, Apart};
use crate::flow::{invariant, sizes, spans, uses};
use crate::kernel::{Class, Inst, Kernel, Operand, Prim, Role, Ty, ValueId};
use crate::launch::Streams;
use crate::target::{Divider, Tuning};
use std::borrow::Cow;

/// The most vectors of the widest lanes in one round, but for [chains](CHAIN_UNROLL) and where they are [staggered](STAGGERED).
const MAX_UNROLL: usize = 4;

/// The most vector operations of a round that is unrolled to hide the loop's overhead, and of one that is unrolled to
/// give the CPU independent chains to work on.
pub(super) const SHORT: usize = 24;
const LONG: usize = 700;

/// Operations one after another, from which on a round has four vectors, if it then has no more than so many operations and
/// there are so many registers: what waits for a chain fills the scheduler, long before the CPU has looked ahead over as many
/// instructions as it could. Memory for what has no register costs less than waiting.
const FOUR_CHAINS: usize = 12;
const FOUR: usize = 1000;
const MANY_REGISTERS: usize = 24;

/// The least work of a program that is [put in another order](schedule::reorder); and how many times as many operations as
/// its longest chain such a program has, if it is chains enough by itself: it then has three vectors in a round, or two.
const ORDERED: usize = 64;
const CHAINS_OF_ITS_OWN: usize = 5;

/// Operations one after another, from which on two vectors are too few, where four do not fit: what the CPU looks ahead over
/// then ends within the chain.
const DEEP: usize = 32;

/// The most vector operations of a round of three of those: to give registers to more takes too long.
const THREE: usize = 320;

/// Vectors of a staggered round ([`super::stagger`]): as many as have at most so many operations together, or the fewer.
const STAGGERED: [usize; 2] = [8, 6];
const FEW: usize = 256;

/// Of so many operations, one may be a division or a root: where there are more, they set the pace. Of programs in rounds of four, if
/// the divider is slow, it may be one of fewer: of `float64`, others then do a part of them ([`super::newton`]).
const DIVISION: usize = 24;
const SLOW_DIVISION: usize = 16;

/// The instructions of a division that goes without the divider in each vector.
const MULTIPLIED: usize = 9;

/// Vectors of a round of a program that is one chain. What waits for the chain fills the scheduler, so a round hardly
/// overlaps with the next: operations that take three or four cycles need several independent chains.
const CHAIN_UNROLL: usize = 6;

/// The operations of such a program.
const CHAIN: std::ops::RangeInclusive<usize> = 6..=24;

/// The most vector operations of a round of one vector of a kernel whose rows are reduced: there are several such rounds,
/// and with more, storing a tile and reading it again takes little of the time.
const FOLDED: usize = 48;

/// Lanes of the two loops.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Rounds {
    /// Of a round of the main loop.
    pub(super) lanes: usize,
    /// Of a round of the tail: a vector of the widest.
    pub(super) single: usize,
    /// By which the counter goes on at the end of a round of the main loop: all, or the last vector where it has gone
    /// with the others.
    pub(super) last: usize,
}

impl Rounds {
    /// Rounds of `unroll` vectors at once.
    pub(super) fn of(single: usize, unroll: usize) -> Rounds {
        Rounds { lanes: single * unroll, single, last: single * unroll }
    }
}

/// A program in the order in which rounds of several vectors compute it.
pub(super) fn ordered(kernel: &Kernel, width: usize, registers: usize, divider: Divider) -> Cow<'_, Kernel> {
    let plan = Plan::undecided(kernel, divider);
    let single = plan.single(kernel, width);
    let work = plan.work(kernel, single, width);
    if work < ORDERED {
        return Cow::Borrowed(kernel);
    }
    let vectors = plan.wanted(kernel, work, width / single, registers, divider);
    Cow::Owned(schedule::reorder(kernel, vectors, registers))
}

/// Whether a program is so deep that it wants many vectors in a round.
pub(super) fn is_deep(kernel: &Kernel) -> bool {
    Plan::undecided(kernel, Divider::Fast).depth(kernel) >= FOUR_CHAINS
}

/// Whether a program is so short that it waits for what it reads.
pub(super) fn is_short(kernel: &Kernel, width: usize) -> bool {
    let plan = Plan::undecided(kernel, Divider::Fast);
    plan.work(kernel, plan.single(kernel, width), width) <= SHORT
}

/// Decisions about one kernel.
pub(super) struct Plan {
    /// How often each value is used, after folding; 0 is dead.
    pub(super) uses: Vec<u32>,
    /// Whether each value is the same for a whole row.
    pub(super) invariant: Vec<bool>,
    /// Bytes of a lane of each value; for a mask, those of the compare that makes it.
    pub(super) size: Vec<u8>,
    /// Negations that only appear in `fma`, which then takes another sign: no code is made for them.
    pub(super) folded: Vec<bool>,
    /// What is the same for a row and divides what is not, where that goes without the divider ([`super::divide`]).
    pub(super) reciprocals: Vec<ValueId>,
    /// How slow divisions are: where they are not slowest, every second of those goes without it.
    pub(super) divider: Divider,
    /// Whether every second root of `float64` goes without it.
    pub(super) halves_roots: bool,
    /// Of the others, and of roots, how many sixteenths go without it ([`super::newton`]).
    pub(super) newton: usize,
    /// Constants that stay in registers through the loops, the most used first.
    pub(super) hoisted: Vec<ValueId>,
    /// Where columns go through stages, values that are the same in each row, and computed before the first: they count as invariant.
    pub(super) held: Vec<bool>,
    pub(super) rounds: Rounds,
    /// All rounds are masked, as those of a tail.
    pub(super) masked: bool,
    /// If the vectors of a round of the main loop are at different places of the program, how far apart ([`super::stagger`]).
    pub(super) staggered: Option<Apart>,
    /// How contiguous inputs are asked for before their use, where they come from memory.
    pub(super) asks: Asks,
}

impl Plan {
    /// Decides for a kernel whose rows are reduced: a round has one element for each virtual lane, a vector at a time. An error
    /// if the states are not of the widest type, the values of a round are too many for the registers, or the program is long.
    pub(super) fn fold(
        kernel: &Kernel,
        width: usize,
        registers: usize,
        divider: Divider,
    ) -> Result<Plan, &'static str> {
        let mut plan = Plan::undecided(kernel, divider);
        let single = plan.single(kernel, width);
        if kernel.stores.iter().any(|s| width / kernel.ty(s.value).size() != single) {
            return Err("states are not of the widest type");
        }
        let moving = |v: &usize| plan.moves(*v);
        let goes_on = |i: &Inst| i.prim == Prim::Index || (i.prim == Prim::Load && plan.strided(kernel, i));
        let steps = (0..kernel.insts.len()).filter(moving).any(|v| goes_on(&kernel.insts[v]));
        let lanes = single * accumulators(width);
        plan.rounds = Rounds { lanes, single, last: if steps { single } else { lanes } };
        let pressure = plan.pressure(kernel, &spans(kernel, &plan.uses), single, width);
        let work = plan.work(kernel, single, width);
        plan.newton = plan.for_newton(kernel, single, width, divider);
        if pressure > registers {
            return Err("states do not fit the registers");
        }
        if work > FOLDED {
            return Err("what is reduced takes longer than a tile of it would");
        }
        plan.hoist(kernel, registers, pressure);
        Ok(plan)
    }

    /// Decides for a kernel that computes one element a row.
    pub(super) fn once(kernel: &Kernel, width: usize) -> Plan {
        let mut plan = Plan::undecided(kernel, Divider::Fast);
        plan.rounds = Rounds::of(plan.single(kernel, width), 1);
        plan
    }

    /// Decides for rounds of one vector. With 512 bits they all are as those of a tail, which is half of the code.
    pub(super) fn draft(kernel: &Kernel, width: usize, registers: usize, divider: Divider) -> Plan {
        let mut plan = Plan::undecided(kernel, divider);
        plan.masked = width == 64;
        plan.rounds = Rounds::of(plan.single(kernel, width), 1);
        let pressure = plan.pressure(kernel, &spans(kernel, &plan.uses), plan.rounds.lanes, width);
        plan.hoist(kernel, registers, pressure);
        plan
    }

    pub(super) fn undecided(kernel: &Kernel, divider: Divider) -> Plan {
        let mut uses = uses(kernel);
        let folded = fold(kernel, &mut uses);
        let (invariant, size) = (invariant(kernel), sizes(kernel));
        let rounds = Rounds { lanes: 0, single: 0, last: 0 };
        let hoisted = Vec::new();
        let (reciprocals, asks, staggered) = (Vec::new(), Asks::NEVER, None);
        let held = Vec::new();
        let mut plan = Plan {
            uses,
            invariant,
            size,
            folded,
            reciprocals,
            divider,
            halves_roots: false,
            newton: 0,
            hoisted,
            held,
            rounds,
            masked: false,
            staggered,
            asks,
        };
        if plan.may_multiply(kernel) {
            plan.reciprocals = plan.divisors(kernel);
        }
        plan
    }

    /// Whether divisions by what is the same for a row may go without the divider.
    pub(super) fn may_multiply(&self, kernel: &Kernel) -> bool {
        match self.divider {
            Divider::Fast => false,
            // Deep programs leave little of the other units.
            Divider::Slow => self.depth(kernel) < FOUR_CHAINS,
            Divider::Slowest => true,
        }
    }

    /// What is the same for a row and divides what is not, where that goes without the divider.
    pub(super) fn divisors(&self, kernel: &Kernel) -> Vec<ValueId> {
        let slow = |i: &Inst| i.ty == Ty::F64 || self.divider != Divider::Slow;
        let divides = |(v, i): &(usize, &Inst)| self.moves(*v) && i.prim == Prim::FDiv && slow(i);
        let mut divisors: Vec<ValueId> =
            kernel.insts.iter().enumerate().filter(divides).map(|(_, i)| i.args[1]).collect();
        divisors.retain(|d| self.invariant[d.0 as usize] && has_reciprocal(&kernel.insts[d.0 as usize]));
        divisors.sort_unstable();
        divisors.dedup();
        divisors
    }

    /// Lanes of a vector of the widest.
    pub(super) fn single(&self, kernel: &Kernel, width: usize) -> usize {
        let stored = kernel.stores.iter().map(|s| self.size[s.value.0 as usize]);
        let moving = (0..kernel.insts.len()).filter(|v| self.moves(*v)).map(|v| self.size[v]);
        width / usize::from(moving.chain(stored).max().unwrap_or(8).max(1))
    }

    /// Decides for vectors of `width` bytes and so many vector registers.
    pub(super) fn new(kernel: &Kernel, width: usize, registers: usize, divider: Divider) -> Plan {
        let mut plan = Plan::undecided(kernel, divider);
        plan.halves_roots = divider == Divider::Slow && plan.may_multiply(kernel);
        let single = plan.single(kernel, width);
        let spans = spans(kernel, &plan.uses);
        let work = plan.work(kernel, single, width);
        plan.newton = plan.for_newton(kernel, single, width, divider);
        if plan.is_chain(kernel, work, width / single) {
            // The input stays in registers, and a result takes the register of what it is made of.
            let used = 2 * CHAIN_UNROLL + plan.row_values(kernel) + 1;
            if used <= registers {
                plan.rounds = Rounds::of(single, CHAIN_UNROLL);
                plan.hoisted = plan.constants(kernel, registers - used);
                return plan;
            }
        }
        let wanted = plan.wanted(kernel, work, width / single, registers, divider);
        let many = registers >= MANY_REGISTERS;
        let fits = |unroll: &usize| {
            let lanes = single * unroll;
            let pressure = plan.pressure(kernel, &spans, lanes, width);
            match unroll {
                4 if wanted == 4 => pressure <= if work < ORDERED { 2 * registers } else { 3 * registers },
                3 => wanted == 3 && pressure <= if many { 3 * registers } else { registers * 3 / 2 },
                // A second chain is worth more than what it has the first leave in memory; with many registers it was not tried.
                2 if work >= ORDERED => wanted > 1 && pressure <= if many { 2 } else { 3 } * registers,
                2 if work > SHORT => wanted > 1 && pressure <= registers + 2,
                _ => work * unroll <= 2 * SHORT && pressure < registers,
            }
        };
        let unroll = [MAX_UNROLL, 3, 2].into_iter().find(fits).unwrap_or(1);
        plan.rounds = Rounds::of(single, unroll);
        let pressure = plan.pressure(kernel, &spans, plan.rounds.lanes, width);
        plan.hoist(kernel, registers, pressure);
        plan
    }

    /// Has vectors of a round be at different places of the program, if they are four for the sake of independent chains, and
    /// operands are contiguous or the same for a row.
    pub(super) fn stagger(&mut self, kernel: &Kernel, width: usize, registers: usize) {
        let Rounds { lanes, single, .. } = self.rounds;
        let work = self.work(kernel, single, width);
        let chains = lanes == MAX_UNROLL * single && self.depth(kernel) >= FOUR_CHAINS;
        if !chains || kernel.operands.iter().any(|o| o.class == Class::Strided) {
            return;
        }
        if work < ORDERED {
            let [more, fewer] = STAGGERED;
            self.rounds = Rounds::of(single, if more * work <= FEW { more } else { fewer });
            self.staggered = Some(Apart::Third);
        } else {
            self.staggered = Some(Apart::Little);
        }
        // Not all vectors have most alive at once; where they nearly have, no register is left for constants anyhow.
        let pressure = self.pressure(kernel, &spans(kernel, &self.uses), single, width) * stagger::PLACES;
        self.hoist(kernel, registers, pressure);
    }

    /// Gives constants the registers that rounds of this pressure leave.
    fn hoist(&mut self, kernel: &Kernel, registers: usize, pressure: usize) {
        let used = pressure + self.row_values(kernel);
        // One register is left for what an instruction needs on the way.
        self.hoisted = self.constants(kernel, registers.saturating_sub(used + 1));
    }

    /// Whether a value has to be computed in each round.
    pub(super) fn moves(&self, value: usize) -> bool {
        self.uses[value] > 0 && !self.invariant[value] && !self.folded[value]
    }

    /// The constants that moving instructions use most.
    fn constants(&self, kernel: &Kernel, count: usize) -> Vec<ValueId> {
        let mut used = vec![0u32; kernel.insts.len()];
        for (_, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| self.moves(*v)) {
            // The amount of a shift becomes part of the instruction.
            let shift = matches!(inst.prim, Prim::Shl | Prim::ShrU | Prim::ShrS);
            for arg in &inst.args()[..inst.args().len() - usize::from(shift)] {
                used[arg.0 as usize] += 1;
            }
        }
        let is_constant =
            |v: &usize| kernel.insts[*v].prim == Prim::Const && used[*v] > 0 && kernel.insts[*v].ty != Ty::M;
        let mut constants: Vec<usize> = (0..kernel.insts.len()).filter(is_constant).collect();
        constants.sort_by_key(|&v| std::cmp::Reverse(used[v]));
        constants.into_iter().take(count).map(|v| ValueId(v as u32)).collect()
    }

    /// Whether all lanes are of `size` bytes, those of results that are the same for a row included. Only then are lanes of
    /// a number of vectors that is no power of two whole vectors.
    fn even(&self, kernel: &Kernel, size: usize) -> bool {
        let moving = (0..kernel.insts.len()).filter(|v| self.moves(*v));
        let stored = kernel.stores.iter().map(|s| s.value.0 as usize);
        moving.chain(stored).all(|v| usize::from(self.size[v]) == size)
    }

    /// The longest chain of operations.
    fn depth(&self, kernel: &Kernel) -> usize {
        let mut depth = vec![0; kernel.insts.len()];
        for (v, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| self.moves(*v)) {
            depth[v] = 1 + inst.args().iter().map(|a| depth[a.0 as usize]).max().unwrap_or(0);
        }
        depth.into_iter().max().unwrap_or(0)
    }

    /// How many vectors of lanes of `size` bytes a round of a program is to have for the sake of independent chains.
    fn wanted(&self, kernel: &Kernel, work: usize, size: usize, registers: usize, divider: Divider) -> usize {
        let depth = self.depth(kernel);
        let spare = |among: usize| self.divisions(kernel) * among <= work;
        let moving = (0..kernel.insts.len()).filter(|v| self.moves(*v)).count();
        let has_chains = work >= ORDERED && moving >= CHAINS_OF_ITS_OWN * depth;
        let many = registers >= MANY_REGISTERS
            && depth >= FOUR_CHAINS
            && 4 * work <= FOUR
            && (divider != Divider::Slowest || spare(SLOW_DIVISION));
        let deep = depth >= DEEP && 3 * work <= THREE && spare(DIVISION);
        if many && !has_chains {
            4
        } else if (many || deep) && self.even(kernel, size) {
            3
        } else if work <= LONG {
            2
        } else {
            1
        }
    }

    /// Whether a value is a division that goes without the divider in each vector.
    pub(super) fn multiplies(&self, inst: &Inst) -> bool {
        self.divider == Divider::Slowest && inst.prim == Prim::FDiv && self.reciprocals.contains(&inst.args[1])
    }

    /// How many divisions and roots of a round of one vector take the divider.
    fn divisions(&self, kernel: &Kernel) -> usize {
        let slow = |v: &usize| {
            let inst = &kernel.insts[*v];
            self.moves(*v) && matches!(inst.prim, Prim::FDiv | Prim::FSqrt) && !self.multiplies(inst)
        };
        (0..kernel.insts.len()).filter(slow).count()
    }

    /// How many values that are the same for a row, constants aside, the rounds use.
    fn row_values(&self, kernel: &Kernel) -> usize {
        let mut used = vec![false; kernel.insts.len()];
        for (_, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| self.moves(*v)) {
            inst.args().iter().for_each(|a| used[a.0 as usize] = true);
        }
        let row = |v: &usize| used[*v] && self.invariant[*v] && kernel.insts[*v].prim != Prim::Const;
        // Of a divisor there are the parts of its reciprocal, too.
        let parts = |v: &&ValueId| kernel.insts[v.0 as usize].prim != Prim::Const;
        (0..used.len()).filter(row).count() + 2 * self.reciprocals.iter().filter(parts).count()
    }

    /// Has inputs asked for that come from memory in so many streams, where that pays. `steps`: it is the first of several
    /// steps over rows.
    pub(super) fn ask(&mut self, kernel: &Kernel, width: usize, streams: Streams, steps: bool, tuning: Tuning) {
        self.asks = match (tuning, streams) {
            (Tuning::Intel, Streams::None) => Asks::NEVER,
            (Tuning::Intel, _) => Asks::Pages,
            (Tuning::Zen4 | Tuning::Other, _) => {
                // What is behind a short row that stays is asked for again and again: in the first cache, that costs little.
                let second = tuning == Tuning::Zen4 && streams != Streams::Beside;
                let level = if second { Level::Second } else { Level::First };
                let work = self.work(kernel, self.single(kernel, width), width);
                let loads = |v: &usize| self.moves(*v) && kernel.insts[*v].prim == Prim::Load;
                let contiguous = |v: &usize| !self.strided(kernel, &kernel.insts[*v]);
                let inputs = (0..kernel.insts.len()).filter(loads).filter(contiguous).count();
                if streams == Streams::Rows && work <= SHORT {
                    let reads = |o: &Operand| (o.role, o.class) == (Role::Input, Class::Contiguous);
                    Asks::NextRow(kernel.operands.iter().map(reads).collect())
                } else {
                    Asks::before(inputs, streams, work, steps, level)
                }
            }
        };
    }

    /// Whether hardly anything in a short program of lanes of `size` bytes can be computed before what comes before it.
    fn is_chain(&self, kernel: &Kernel, work: usize, size: usize) -> bool {
        let mut depth = vec![0; kernel.insts.len()];
        for (v, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| self.moves(*v)) {
            let arithmetic = matches!(inst.prim, Prim::FAdd | Prim::FSub | Prim::FMul);
            let contiguous = inst.prim == Prim::Load && !self.strided(kernel, inst);
            if !(arithmetic || contiguous) {
                return false;
            }
            let before = inst.args().iter().map(|a| depth[a.0 as usize]).max().unwrap_or(0);
            depth[v] = before + usize::from(arithmetic);
        }
        // One load: what else is alive beside the chain would have no registers.
        let loads = kernel.insts.iter().enumerate().filter(|(v, i)| self.moves(*v) && i.prim == Prim::Load).count();
        let longest = depth.into_iter().max().unwrap_or(0);
        let stored = kernel.operands.iter().filter(|o| o.role == Role::Output).all(|o| o.class == Class::Contiguous);
        self.even(kernel, size) && stored && loads == 1 && CHAIN.contains(&work) && longest + loads == work
    }

    /// Roughly how many instructions a round of `lanes` lanes takes.
    fn work(&self, kernel: &Kernel, lanes: usize, width: usize) -> usize {
        let computed: usize = (0..kernel.insts.len()).map(|v| self.cost(kernel, v, lanes, width)).sum();
        let strided = kernel.operands.iter().filter(|o| o.role == Role::Output && o.class == Class::Strided).count();
        computed + strided * lanes
    }

    /// Roughly how many instructions one of the program takes. A division or a root is one, though it may be 20 by
    /// [`super::newton`]: where it is, rounds of as many vectors as with one are the faster.
    pub(super) fn cost(&self, kernel: &Kernel, v: usize, lanes: usize, width: usize) -> usize {
        let inst = &kernel.insts[v];
        let vectors = vectors(self.size[v], lanes, width);
        match inst.prim {
            _ if !self.moves(v) => 0,
            Prim::Load if self.strided(kernel, inst) => lanes,
            Prim::SDiv | Prim::UDiv | Prim::SRem | Prim::URem | Prim::Call1 | Prim::Call2 => 100 * vectors,
            Prim::CallIf => 2 * vectors,
            Prim::FDiv if self.multiplies(inst) => MULTIPLIED * vectors,
            _ => vectors,
        }
    }

    pub(super) fn strided(&self, kernel: &Kernel, inst: &Inst) -> bool {
        kernel.operands[inst.imm as usize].class == Class::Strided
    }

    /// The most vectors alive at once in a round, constants not counted; inputs that are [read again](super::sources) are, for they
    /// may be used often.
    pub(super) fn pressure(&self, kernel: &Kernel, spans: &[(usize, usize)], lanes: usize, width: usize) -> usize {
        let mut change = vec![0isize; spans.len() + 2];
        for (v, &(from, to)) in spans.iter().enumerate() {
            // What is loaded for one use is an operand in memory.
            let folds =
                kernel.insts[v].prim == Prim::Load && self.uses[v] == 1 && !self.strided(kernel, &kernel.insts[v]);
            if self.uses[v] > 0 && !self.folded[v] && !folds {
                let n = if self.invariant[v] { 0 } else { vectors(self.size[v], lanes, width) as isize };
                change[from] += n;
                change[to + 1] -= n;
            }
        }
        let mut alive = 0;
        change.iter().fold(0, |most, c| {
            alive += c;
            most.max(alive)
        }) as usize
    }
}

/// How many vectors of `width` bytes hold `lanes` lanes of `size` bytes.
pub(super) fn vectors(size: u8, lanes: usize, width: usize) -> usize {
    (usize::from(size) * lanes / width).max(1)
}

/// Finds the negations that only `fma` uses, and counts their uses as those of what they negate.
fn fold(kernel: &Kernel, uses: &mut [u32]) -> Vec<bool> {
    let mut folded: Vec<bool> =
        kernel.insts.iter().zip(&*uses).map(|(i, uses)| i.prim == Prim::FNeg && *uses > 0).collect();
    for (v, inst) in kernel.insts.iter().enumerate() {
        if uses[v] > 0 && inst.prim != Prim::Fma {
            inst.args().iter().for_each(|a| folded[a.0 as usize] = false);
        }
    }
    for store in &kernel.stores {
        folded[store.value.0 as usize] = false;
    }
    for (v, inst) in kernel.insts.iter().enumerate().rev() {
        if folded[v] {
            // A negation of a negation stays.
            let of = inst.args[0].0 as usize;
            folded[of] = false;
            uses[of] += uses[v] - 1;
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::{Precision, math};
    use lazuli_graph::DType;

    type Function = fn(&mut Builder, ValueId, Precision) -> ValueId;

    /// A long chain.
    const EXPS: Function = |b, x, p| (0..4).fold(x, |y, _| math::exp(b, y, p));

    /// The sum of functions of one input.
    fn sum(functions: &[Function]) -> Kernel {
        let mut b = Builder::new();
        let input = b.operand(Role::Input, DType::F64, Class::Contiguous);
        let output = b.operand(Role::Output, DType::F64, Class::Contiguous);
        let x = b.load(input);
        let values: Vec<ValueId> = functions.iter().map(|f| f(&mut b, x, Precision::Standard)).collect();
        let all = values.into_iter().reduce(|a, c| b.fadd(a, c)).unwrap();
        b.store(output, all);
        b.finish()
    }

    /// Vectors of a round, and whether the program is put in another order, with 32 registers and with 16.
    fn decided(functions: &[Function]) -> [(usize, bool); 2] {
        let kernel = sum(functions);
        [(64, 32), (32, 16)].map(|(width, registers)| {
            let ordered = ordered(&kernel, width, registers, Divider::Fast);
            let mut plan = Plan::new(&ordered, width, registers, Divider::Fast);
            plan.stagger(&ordered, width, registers);
            let rounds = plan.rounds;
            (rounds.lanes / rounds.single, matches!(ordered, Cow::Owned(_)))
        })
    }

    #[test]
    fn independent_chains_come_from_several_vectors_or_from_the_program() {
        // One chain; several one after another; several side by side; more than registers are given to in time.
        assert_eq!(decided(&[math::exp])[0], (8, false));
        assert_eq!(decided(&[math::tanh])[0], (6, false));
        assert_eq!(decided(&[EXPS])[0], (4, true));
        assert_eq!(decided(&[math::sin, math::cos, math::tanh, math::exp])[0], (3, true));
        // Two vectors of it have more values alive than twice 16.
        let angles = [math::sin, math::cos, math::asin];
        assert_eq!(decided(&angles)[1], (2, true));
        let sines: Function = |b, x, p| (0..16).fold(x, |y, _| math::sin(b, y, p));
        assert_eq!(decided(&[sines]), [(1, true); 2]);
    }

    /// Rounds of three vectors in step load a constant once; pairs, and the loops of single ones, have it in memory.
    #[test]
    fn three_vectors_share_their_constants() {
        let kernel = sum(&[math::sin, math::cos, math::tanh, math::exp]);
        let code = super::super::encode_512(&kernel, super::super::Mode::Plain).unwrap();
        let fma = |i: &&iced_x86::Instruction| format!("{:?}", i.mnemonic()).starts_with("Vfmadd");
        let all = code.iter().filter(fma).count();
        let in_memory = code.iter().filter(fma).filter(|i| i.is_broadcast()).count();
        assert!(in_memory > 0 && in_memory <= all / 3, "{in_memory} of {all}");
    }
}

//! One code for several kernels over the same columns: statistics of a few rows, and what is done with them.
//!
//! ```text
//! stage:
//!   group: as many columns as there are virtual lanes, while so many are left; then a vector of them, masked, at a time
//!     what is the same in each row; then of one row, a round, or else
//!     row: a round, whose lanes are stored, or join the accumulators
//!     the accumulators are stored
//! ```
//! Drafts of 512 bits have but the masked groups. States stay in the accumulators of [`super::fold`] from the first row to
//! the last, each lane that of a column.

use super::ahead::Asks;
use super::encode::Encoded;
use super::fold::accumulators;
use super::mach::Kind;
use super::plan::{Plan, Rounds, vectors};
use super::select::Selector;
use super::stages::{Planned, Stage, Work};
use super::{Mode, finish};
use crate::flow::spans;
use crate::kernel::{Class, Kernel, Prim, ValueId};
use crate::math::composed::expand;
use crate::target::{Divider, Target, Tuning};
use std::borrow::Cow;

/// Makes the bytes of stages over the same columns, as [`super::assemble`] does of a kernel.
pub(super) fn assemble(stages: &[Stage<'_>], evex: bool, tuning: Tuning, draft: bool) -> Result<Encoded, String> {
    let (width, registers) = if evex { (64, 32usize) } else { (32, 16) };
    let taken = stages.iter().map(Stage::states).max().unwrap_or(0) * accumulators(width);
    if taken * 2 > registers {
        return Err("states take too many of the registers".to_owned());
    }
    let (mut planned, mut first_operand) = (Vec::with_capacity(stages.len()), 0);
    for stage in stages {
        if stage.kernel.operands.iter().any(|o| o.class == Class::Strided) {
            return Err("columns do not lie side by side".to_owned());
        }
        let kernel = if evex { Cow::Borrowed(stage.kernel) } else { expand(stage.kernel) };
        let divider = if draft { Divider::Fast } else { tuning.divider(evex) };
        let mut plan = Plan::columns(&kernel, width, registers - taken, stage.fixed, divider);
        if stage.ahead {
            plan.asks = Asks::columns();
        }
        let Stage { work, ring: (scratch, _), fixed, around, .. } = *stage;
        planned.push(Planned { kernel, plan, work, ring: (scratch, 1), fixed, around, behind: 0, first_operand });
        first_operand += stage.kernel.operands.len() + stage.states();
    }
    let first = planned.first().ok_or("there are no stages")?;
    let single = first.plan.rounds.single;
    if planned.iter().any(|s| s.plan.rounds.single != single) {
        return Err("stages have lanes of several widths".to_owned());
    }
    let narrow = |s: &Planned<'_>| {
        let states = s.kernel.stores.iter().map(|store| s.kernel.ty(store.value).size());
        matches!(s.work, Work::Fold { .. }) && states.into_iter().any(|size| width / size != single)
    };
    if planned.iter().any(narrow) {
        return Err("states are not of the widest type".to_owned());
    }
    let mut selector = Selector::new(&first.kernel, &first.plan, evex, Mode::Plain);
    build(&mut selector, &planned, single * accumulators(width), draft && evex);
    finish(selector, evex, taken, draft)
}

/// Whether code of a kernel for columns has divisions that go without the divider because these operands are the same in each row.
pub(super) fn multiplies_by_held(kernel: &Kernel, fixed: &[bool], target: &Target) -> bool {
    let evex = target.vector_bits() == 512;
    let (width, registers) = if evex { (64, 32) } else { (32, 16) };
    let plan = Plan::columns(kernel, width, registers, fixed, target.tuning().divider(evex));
    plan.reciprocals.iter().any(|d| plan.held.get(d.0 as usize) == Some(&true))
}

/// Selects instructions for all stages, for groups of `lanes` columns; `masked`: of a vector, as the last ones.
fn build<'a>(s: &mut Selector<'a>, stages: &'a [Planned<'a>], lanes: usize, masked: bool) {
    let single = stages[0].plan.rounds.single;
    s.body.rounds = Rounds { lanes, single, last: lanes };
    for stage in stages {
        s.turn_to(stage);
        let rest = if masked {
            let rest = s.body.block_count() + 1;
            s.body.end_block(Kind::BeginRow { first: false }, &[rest]);
            rest
        } else {
            let [none, entry] = [1, 2].map(|n| s.body.block_count() + n);
            s.body.end_block(Kind::EnterMain, &[entry, none]);
            s.body.end_aside(none);
            let main = jump(s);
            group(s, stage, lanes, false);
            again(s, Kind::NextMain, main);
            let rest = jump(s);
            s.body.lead(none, rest);
            rest
        };
        s.body.end_block(Kind::EnterTail, &[rest + 2, rest + 1]);
        s.body.end_aside(rest);
        let tail = jump(s);
        group(s, stage, single, true);
        again(s, Kind::NextTail, tail);
        let next = jump(s);
        s.body.lead(rest + 1, next);
    }
    s.body.end_block(Kind::Return, &[]);
    s.body.seal();
}

/// Ends the current block with a jump to the next, whose number it gives.
fn jump(s: &mut Selector<'_>) -> usize {
    let next = s.body.block_count() + 1;
    s.body.end_block(Kind::Jump, &[next]);
    next
}

/// Ends the current block with `kind`, which goes back to block `first` or on.
fn again(s: &mut Selector<'_>, kind: Kind, first: usize) {
    let [again, done] = [1, 2].map(|n| s.body.block_count() + n);
    s.body.end_block(kind, &[again, done]);
    s.body.end_aside(first);
}

/// What a stage does with `lanes` columns.
fn group<'a>(s: &mut Selector<'a>, stage: &'a Planned<'a>, lanes: usize, tail: bool) {
    s.turn_to(stage);
    s.fold_begin();
    s.hold(lanes, tail, stage.fixed);
    if stage.work == Work::Once {
        return rows(s, lanes, tail);
    }
    let first = s.body.block_count() + 1;
    // The tail needs to know how many columns it has.
    s.counted = !tail;
    s.body.end_block(Kind::FirstRow { counted: s.counted }, &[first]);
    rows(s, lanes, tail);
    s.counted = false;
    if stage.work == Work::Map && !tail {
        s.ask_to_write(lanes);
    }
    again(s, if tail { Kind::NextRow { more: 0 } } else { Kind::NextCounted }, first);
    if !s.folds.is_empty() {
        s.fold_columns(lanes, tail);
    }
}

/// What a stage does with `lanes` columns of a row.
fn rows(s: &mut Selector<'_>, lanes: usize, tail: bool) {
    s.row(0);
    let Rounds { lanes: round, single, .. } = s.plan.rounds;
    if tail {
        s.fold_from = 0;
        return s.round(single, true);
    }
    for from in (0..lanes).step_by(round) {
        (s.from_lane, s.fold_from) = (from, from / single);
        s.round(round, false);
    }
    s.from_lane = 0;
}

impl Plan {
    /// Decides for a kernel that takes as many columns at a time as there are virtual lanes, a row of them after another: in one
    /// round if it has the registers, else a vector at a time. What depends on `fixed` operands alone, which are the same in
    /// each row, is computed once, if there are registers for that, too.
    pub(super) fn columns(kernel: &Kernel, width: usize, registers: usize, fixed: &[bool], divider: Divider) -> Plan {
        let mut plan = Plan::undecided(kernel, divider);
        let spans = spans(kernel, &plan.uses);
        let single = plan.single(kernel, width);
        let all = Rounds::of(single, accumulators(width));
        let pressure = |plan: &Plan| plan.pressure(kernel, &spans, all.lanes, width);
        let alone = pressure(&plan) < registers;
        let constant = |d: &ValueId| kernel.insts[d.0 as usize].prim == Prim::Const;
        plan.rounds = if alone { all } else { Rounds::of(single, 1) };
        let uniform = plan.invariant.clone();
        let held = held(kernel, fixed);
        let each = |v: usize| held[v] && plan.uses[v] > 0 && !uniform[v];
        let each: Vec<bool> = (0..held.len()).map(each).collect();
        plan.invariant.iter_mut().zip(&each).for_each(|(i, held)| *i |= held);
        let mut divisors = if plan.may_multiply(kernel) { plan.divisors(kernel) } else { Vec::new() };
        divisors.retain(|d| constant(d) || held[d.0 as usize]);
        // In registers from row to row: what rounds use of it, and reciprocals.
        let mut used = vec![false; held.len()];
        for (_, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| plan.moves(*v)) {
            inst.args().iter().for_each(|a| used[a.0 as usize] = true);
        }
        kernel.stores.iter().for_each(|s| used[s.value.0 as usize] = true);
        let registers_of = |v: usize| if uniform[v] { 1 } else { vectors(plan.size[v], all.lanes, width) };
        let values: usize = (0..held.len()).filter(|&v| held[v] && used[v]).map(registers_of).sum();
        let parts: usize = divisors.iter().filter(|d| !constant(d)).map(|d| 2 * registers_of(d.0 as usize)).sum();
        if alone && pressure(&plan) + values + parts < registers {
            (plan.held, plan.reciprocals) = (held, divisors);
        } else {
            (plan.invariant, plan.held) = (uniform, vec![false; held.len()]);
            divisors.retain(constant);
            plan.reciprocals = divisors;
        }
        plan
    }
}

/// Values that depend on these operands alone, and are no constants.
fn held(kernel: &Kernel, fixed: &[bool]) -> Vec<bool> {
    let mut held: Vec<bool> = Vec::with_capacity(kernel.insts.len());
    for inst in &kernel.insts {
        let constant = |a: &ValueId| kernel.insts[a.0 as usize].prim == Prim::Const;
        held.push(match inst.prim {
            Prim::Const | Prim::Index => false,
            Prim::Load => fixed.get(inst.imm as usize) == Some(&true),
            _ => {
                let args = inst.args();
                args.iter().all(|a| held[a.0 as usize] || constant(a)) && !args.iter().all(constant)
            }
        });
    }
    held
}

//! Stages that take their rows together: in one loop, each a round of its own row.
//!
//! One after the other, a stage that adds leaves the divider idle and one that divides the adders, and a row is longer than
//! the CPU looks ahead. Between the first rows and the last, which not all stages have, all have one.

use super::mach::Kind;
use super::nest::{self, Part};
use super::plan::{Plan, is_deep};
use super::select::{Lanes, Ramp, Selector, Src};
use super::stages::{Planned, Stage, Work, tree};
use crate::kernel::{Class, Kernel, Role, ValueId};
use crate::reduce::Join;
use regalloc2::{Operand, VReg};
use rustc_hash::FxHashMap;

/// Whether it is worth it to take rows together. Deep programs lose their rounds of many vectors by it, which pays where inputs
/// come from memory.
pub(super) fn pays(stages: &[Stage<'_>]) -> bool {
    stages.iter().any(|s| s.ahead) || !stages.iter().any(|s| s.work != Work::Once && is_deep(s.kernel))
}

/// The elements of a block, if stages can take rows together: more than one computes or reduces elements, all have the same
/// lanes, in order, and blocks.
pub(super) fn length(stages: &[Planned<'_>]) -> Option<usize> {
    let rows = || stages.iter().filter(|s| s.work != Work::Once);
    let lengths = || rows().filter_map(|s| if let Work::Fold { block, .. } = s.work { Some(block) } else { None });
    let (first, length) = (rows().next()?, lengths().next()?);
    let same = |s: &Planned<'_>| {
        let dense = s.kernel.operands.iter().all(|o| o.role != Role::Index && o.class != Class::Strided);
        dense && s.plan.rounds.single == first.plan.rounds.single
    };
    (rows().count() > 1 && rows().all(same) && lengths().all(|l| l == length)).then_some(length)
}

/// What is selected of a stage while others are.
struct Aside<'a> {
    kernel: &'a Kernel,
    plan: &'a Plan,
    folds: &'a [Join],
    around: bool,
    first_operand: usize,
    first_output: usize,
    bases: Vec<VReg>,
    strides: Vec<Option<VReg>>,
    ramps: Vec<Option<Ramp>>,
    fixed: Vec<Option<Lanes>>,
    values: Vec<Option<Lanes>>,
    hoisted: FxHashMap<(u64, u8), VReg>,
    parts: FxHashMap<ValueId, [Src; 2]>,
}

impl<'a> Selector<'a> {
    /// Puts the current stage aside.
    fn put_aside(&mut self) -> Aside<'a> {
        Aside {
            kernel: self.kernel,
            plan: self.plan,
            folds: self.folds,
            around: self.around,
            first_operand: self.first_operand,
            first_output: self.first_output,
            bases: std::mem::take(&mut self.bases),
            strides: std::mem::take(&mut self.strides),
            ramps: std::mem::take(&mut self.ramps),
            fixed: std::mem::take(&mut self.fixed),
            values: std::mem::take(&mut self.values),
            hoisted: std::mem::take(&mut self.hoisted),
            parts: std::mem::take(&mut self.parts),
        }
    }

    /// Does something for a stage that was put aside.
    fn on<T>(&mut self, stage: &mut Aside<'a>, f: impl FnOnce(&mut Self) -> T) -> T {
        self.swap(stage);
        let result = f(self);
        self.swap(stage);
        result
    }

    fn swap(&mut self, stage: &mut Aside<'a>) {
        use std::mem::swap;
        swap(&mut self.kernel, &mut stage.kernel);
        swap(&mut self.plan, &mut stage.plan);
        swap(&mut self.folds, &mut stage.folds);
        swap(&mut self.around, &mut stage.around);
        swap(&mut self.first_operand, &mut stage.first_operand);
        swap(&mut self.first_output, &mut stage.first_output);
        swap(&mut self.bases, &mut stage.bases);
        swap(&mut self.strides, &mut stage.strides);
        swap(&mut self.ramps, &mut stage.ramps);
        swap(&mut self.fixed, &mut stage.fixed);
        swap(&mut self.values, &mut stage.values);
        swap(&mut self.hoisted, &mut stage.hoisted);
        swap(&mut self.parts, &mut stage.parts);
    }

    /// A part of a row that is computed beside others.
    fn map_part(&mut self, part: Part, [lanes, single]: [usize; 2]) {
        match part {
            Part::Main => self.round(lanes, false),
            Part::Tail(_) => self.round(single, true),
            part => self.around_main(part),
        }
    }
}

/// Selects instructions for rows that all stages have, from block `at` on. Gives the block that ends them, which is to lead
/// to the end of the row; the next is where stages begin that take rows one after the other.
pub(super) fn build<'a>(s: &mut Selector<'a>, stages: &'a [Planned<'a>], at: usize, length: usize) -> usize {
    let [skip, rows] = [1, 2].map(|n| at + n);
    s.body.end_block(Kind::EnterTogether { behind: stages.len() as u8 - 1 }, &[rows, skip]);
    s.body.end_aside(skip);
    let mut aside: Vec<Aside<'a>> = Vec::new();
    let mut outputs = 0;
    for (behind, stage) in stages.iter().enumerate() {
        s.turn_to(stage);
        s.first_output = outputs;
        s.row(behind);
        if stage.work == Work::Once {
            s.once();
        } else {
            outputs += s.folds.len();
            aside.push(s.put_aside());
        }
    }
    // Stores around the caches want whole vectors of memory.
    let mut row = rows;
    let mut misaligned = None;
    if let Some(stage) = aside.iter().find(|a| a.around) {
        let output = stage.kernel.operands.iter().position(|o| o.role == Role::Output).unwrap_or_default();
        let base = Operand::reg_use(stage.bases[output]);
        let [elsewhere, on] = [1, 2].map(|n| row + n);
        s.body.end_block_with(Kind::EnterAligned, &[base], &[on, elsewhere]);
        s.body.end_aside(elsewhere);
        (row, misaligned) = (on, Some(elsewhere));
    }
    let fold = aside.iter().position(|a| !a.folds.is_empty()).unwrap_or_default();
    let rounds = aside[fold].plan.rounds;
    // The loops are those of a reduction.
    s.plan = aside[fold].plan;
    let mut each = |s: &mut Selector<'a>, part: Part| {
        for stage in &mut aside {
            s.on(stage, |s| match s.folds {
                [] => s.map_part(part, [rounds.lanes, rounds.single]),
                _ => s.fold_part(part),
            });
        }
    };
    let mut last = nest::fold(s, row, length, true, &mut each);
    for stage in aside.iter_mut().filter(|a| !a.folds.is_empty()) {
        last = s.on(stage, |s| tree(s, last));
    }
    let next = last + 1;
    s.body.end_block(Kind::Jump, &[next]);
    s.body.lead(skip, next);
    if let Some(elsewhere) = misaligned {
        s.body.lead(elsewhere, next);
    }
    last
}

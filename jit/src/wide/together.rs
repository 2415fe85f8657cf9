//! Stages that take their rows together: in one loop, each a round of its own row.
//!
//! One after the other, a stage that adds leaves the divider idle and one that divides the adders, and a row is longer than
//! the CPU looks ahead. Between the first rows and the last, which not all stages have, all have one.

use super::Mode;
use super::mach::Kind;
use super::nest::{self, Part};
use super::plan::{Rounds, is_deep};
use super::select::Selector;
use super::stages::{Planned, Stage, Work, tree};
use crate::kernel::{Class, Role};
use regalloc2::Operand;

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
        let strided = s.kernel.operands.iter().any(|o| o.class == Class::Strided);
        !strided && s.plan.rounds.single == first.plan.rounds.single
    };
    (rows().count() > 1 && rows().all(same) && lengths().all(|l| l == length)).then_some(length)
}

impl<'a> Selector<'a> {
    /// Has instructions selected by another, which appends them to the same function and its constants to the same pool.
    fn lend<T>(&mut self, other: &mut Selector<'a>, select: impl FnOnce(&mut Selector<'a>) -> T) -> T {
        let swap = |one: &mut Selector<'a>, other: &mut Selector<'a>| {
            std::mem::swap(&mut one.body, &mut other.body);
            std::mem::swap(&mut one.pool, &mut other.pool);
        };
        swap(self, other);
        let result = select(other);
        swap(self, other);
        result
    }

    /// A part of a row that is computed beside others.
    fn map_part(&mut self, part: Part, Rounds { lanes, single, .. }: Rounds) {
        match part {
            Part::Main => self.going_on(lanes, |s| s.round(lanes, false)),
            Part::Tail(_) => self.round(single, true),
            part => self.outside_main(part),
        }
    }
}

/// Selects instructions for rows that all stages have, from block `at` on. Gives the block that ends them, which is to lead
/// to the end of the row; the next is where stages begin that take rows one after the other.
pub(super) fn build<'a>(s: &mut Selector<'a>, stages: &'a [Planned<'a>], at: usize, length: usize) -> usize {
    let [skip, rows] = [1, 2].map(|n| at + n);
    s.body.end_block(Kind::EnterTogether { behind: stages.last().map_or(0, |s| s.behind as u8) }, &[rows, skip]);
    s.body.end_aside(skip);
    // One for each stage that has a loop.
    let mut beside: Vec<Selector<'a>> = Vec::new();
    let mut outputs = 0;
    for stage in stages {
        let mut own = Selector::new(&stage.kernel, &stage.plan, s.evex, Mode::Plain);
        own.turn_to(stage);
        own.first_output = outputs;
        outputs += own.folds.len();
        s.lend(&mut own, |own| own.row(stage.behind));
        if stage.work == Work::Once {
            s.lend(&mut own, Selector::once);
        } else {
            beside.push(own);
        }
    }
    // Stores around the caches want whole vectors of memory.
    let mut row = rows;
    let mut misaligned = None;
    if let Some(stage) = beside.iter().find(|b| b.around) {
        let output = stage.kernel.operands.iter().position(|o| o.role == Role::Output).unwrap_or_default();
        let base = Operand::reg_use(stage.bases[output]);
        let [elsewhere, on] = [1, 2].map(|n| row + n);
        s.body.end_block_with(Kind::EnterAligned, &[base], &[on, elsewhere]);
        s.body.end_aside(elsewhere);
        (row, misaligned) = (on, Some(elsewhere));
    }
    // The loops are those of a reduction.
    let folds = |stage: &&Selector<'a>| !stage.folds.is_empty();
    s.plan = beside.iter().find(folds).map_or(s.plan, |stage| stage.plan);
    let rounds = s.plan.rounds;
    let mut each = |s: &mut Selector<'a>, part: Part| {
        for stage in &mut beside {
            s.lend(stage, |stage| match stage.folds {
                [] => stage.map_part(part, rounds),
                _ => stage.fold_part(part),
            });
        }
    };
    let mut last = nest::fold(s, row, length, true, &mut each);
    for stage in beside.iter_mut().filter(|b| folds(&&**b)) {
        last = s.lend(stage, |stage| tree(stage, last));
    }
    let next = last + 1;
    s.body.end_block(Kind::Jump, &[next]);
    s.body.lead(skip, next);
    if let Some(elsewhere) = misaligned {
        s.body.lead(elsewhere, next);
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;
    use crate::{Builder, Precision, math};
    use lazuli_graph::DType;

    #[test]
    fn deep_programs_take_rows_together_where_they_come_from_memory() {
        let kernel = |deep: bool| -> Kernel {
            let mut b = Builder::new();
            let [x, y] = [Role::Input, Role::Output].map(|role| b.operand(role, DType::F64, Class::Contiguous));
            let x = b.load(x);
            let value = if deep { math::exp(&mut b, x, Precision::Standard) } else { b.fadd(x, x) };
            b.store(y, value);
            b.finish()
        };
        let kernels = [false, true].map(kernel);
        for (deep, ahead) in [(false, false), (false, true), (true, false), (true, true)] {
            let stage = |deep: bool| {
                let kernel = &kernels[usize::from(deep)];
                Stage {
                    kernel,
                    work: Work::Map,
                    ring: (&[], 1),
                    fixed: &[],
                    behind: 0,
                    short: false,
                    ahead,
                    around: false,
                }
            };
            assert_eq!(pays(&[stage(false), stage(deep)]), ahead || !deep);
        }
    }
}

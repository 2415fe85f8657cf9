//! One code for several kernels over the same rows: each, a *stage*, is a row behind the one before it, or almost
//! ([`Stage::behind`]).

use super::encode::Encoded;
use super::fold::accumulators;
use super::mach::{Enc, GPR, Kind, Mem};
use super::nest::{self, ROW};
use super::plan::{Plan, is_deep, ordered};
use super::select::Selector;
use super::{Mode, finish, together};
use crate::kernel::{Kernel, Role};
use crate::launch::Streams;
use crate::math::composed::expand;
use crate::reduce::Join;
use crate::target::{Divider, Tuning};
use iced_x86::Code;
use regalloc2::VReg;
use std::borrow::Cow;

/// What a stage of code does that takes rows, or columns, through several ([`crate::RowCode`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work<'a> {
    /// It computes one element of each output a row, or a column.
    Once,
    /// It computes a row, or a column, of elements.
    Map,
    /// It reduces the row, in blocks of so many elements, or the column; and makes results of the states.
    Fold { joins: &'a [Join], block: usize },
}

/// A stage: a kernel, and what is done.
pub(crate) struct Stage<'a> {
    pub(crate) kernel: &'a Kernel,
    pub(crate) work: Work<'a>,
    /// Of which operands there is room for so many rows, of which each takes the place of the one as many rows before.
    pub(crate) ring: (&'a [bool], usize),
    /// Of columns, which operands are the same in each row.
    pub(crate) fixed: &'a [bool],
    /// Of rows, how many it is behind the first stage.
    pub(crate) behind: usize,
    /// Rows have few elements.
    pub(crate) short: bool,
    /// Inputs come from memory.
    pub(crate) ahead: bool,
    /// Outputs are stored around the caches, as [`Mode::Around`] says.
    pub(crate) around: bool,
}

impl Stage<'_> {
    /// The states of a row, or of a column.
    pub(super) fn states(&self) -> usize {
        if let Work::Fold { joins, .. } = self.work { joins.len() } else { 0 }
    }
}

/// How the loops of stages lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Loops {
    /// Rows that all stages have are taken by them in one loop, where that pays.
    Together,
    /// One loop after another.
    Apart,
    /// The same, made quickly, as by [`Mode::Draft`].
    Draft,
}

/// A stage with what is decided about it.
pub(super) struct Planned<'a> {
    pub(super) kernel: Cow<'a, Kernel>,
    pub(super) plan: Plan,
    pub(super) work: Work<'a>,
    pub(super) ring: (&'a [bool], usize),
    pub(super) fixed: &'a [bool],
    pub(super) around: bool,
    pub(super) behind: usize,
    /// Where its operands begin in the slab.
    pub(super) first_operand: usize,
}

/// Makes the bytes of several stages, as [`super::assemble`] does of a kernel.
pub(super) fn assemble(stages: &[Stage<'_>], evex: bool, tuning: Tuning, loops: Loops) -> Result<Encoded, String> {
    let (width, registers) = if evex { (64, 32usize) } else { (32, 16) };
    let draft = loops == Loops::Draft;
    let divider = match tuning.divider(evex) {
        // Little is left of the other units; or there is little to win for the row's reciprocal.
        Divider::Slow if draft || stages.iter().any(|s| s.short || is_deep(s.kernel)) => Divider::Fast,
        divider => divider,
    };
    let together = loops == Loops::Together && together::pays(stages);
    // Of all stages at once if they are to take rows together, else of one.
    let outputs = stages.iter().map(Stage::states);
    let outputs = if together { outputs.sum() } else { outputs.max().unwrap_or(0) };
    let taken = outputs * accumulators(width);
    // Steps one by one have all registers where nothing is reduced; in one loop they all have values.
    if taken * if together { 4 } else { 2 } > registers {
        return Err("states take too many of the registers".to_owned());
    }
    let free = registers - taken;
    let (mut planned, mut first_operand) = (Vec::with_capacity(stages.len()), 0);
    for stage in stages {
        let kernel = if evex { Cow::Borrowed(stage.kernel) } else { expand(stage.kernel) };
        let kernel = match stage.work {
            Work::Map if !draft => Cow::Owned(ordered(&kernel, width, free, divider).into_owned()),
            _ => kernel,
        };
        let mut plan = match stage.work {
            Work::Once => Plan::once(&kernel, width),
            Work::Map if draft => Plan::draft(&kernel, width, free, divider),
            Work::Map => Plan::new(&kernel, width, free, divider),
            Work::Fold { block, .. } => {
                let plan = Plan::fold(&kernel, width, free, divider)?;
                if block == 0 || block % plan.rounds.lanes != 0 {
                    return Err(format!("blocks of {block} elements are no rounds of {}", plan.rounds.lanes));
                }
                plan
            }
        };
        if draft || together {
            // Drafts are to be short; and in one loop, the other stages take the units that are left.
            plan.newton = 0;
        }
        if stage.ahead {
            plan.ask(&kernel, width, Streams::One, true, tuning);
        }
        let Stage { work, ring, fixed, behind, around, .. } = *stage;
        planned.push(Planned { kernel, plan, work, ring, fixed, around, behind, first_operand });
        first_operand += stage.kernel.operands.len() + stage.states();
    }
    let first = planned.first().ok_or("there are no stages")?;
    let mut selector = Selector::new(&first.kernel, &first.plan, evex, Mode::Plain);
    let length = together::length(&planned).filter(|_| together);
    if together && length.is_none() {
        return Err("stages cannot take rows together".to_owned());
    }
    build(&mut selector, &planned, length);
    finish(selector, evex, taken, draft)
}

/// Selects instructions for several stages over the same rows. In one pass of the loop of rows, each stage has the row
/// behind that of the stage before it, or almost ([`Stage::behind`]): what it needs of that stage was made a pass ago, and the CPU
/// works on all of them at once. Rows that all stages have are taken by them together, in blocks of `together` elements, if they can be.
fn build<'a>(s: &mut Selector<'a>, stages: &'a [Planned<'a>], together: Option<usize>) {
    s.body.end_block(Kind::Jump, &[ROW]);
    let mut at = ROW;
    let mut done = None;
    if let Some(length) = together {
        let last = together::build(s, stages, at, length);
        done = Some(last);
        at = last + 1;
    }
    for stage in stages {
        s.turn_to(stage);
        let [skip, row] = [1, 2].map(|n| at + n);
        s.body.end_block(Kind::EnterStage { behind: stage.behind as u8 }, &[row, skip]);
        s.body.end_aside(skip);
        s.row(stage.behind);
        let last = self::row(s, stage, row);
        at = last + 1;
        s.body.end_block(Kind::Jump, &[at]);
        s.body.lead(skip, at);
    }
    if let Some(done) = done {
        s.body.lead(done, at);
    }
    nest::end(s, at, stages.last().map_or(0, |s| s.behind));
}

/// What a stage does with a row, whose preparation is in block `row`. Gives the block after it, which is open.
pub(super) fn row(s: &mut Selector<'_>, stage: &Planned<'_>, row: usize) -> usize {
    match stage.work {
        Work::Once => {
            s.once();
            row
        }
        Work::Map => nest::map(s, row),
        Work::Fold { block, .. } => {
            let last = nest::fold(s, row, block, true, &mut |s, part| s.fold_part(part));
            tree(s, last)
        }
    }
}

/// Combines the states of a row's blocks, from block `at` on, and stores the results. Gives the block after it, which is open.
pub(super) fn tree(s: &mut Selector<'_>, at: usize) -> usize {
    let [entry, pair, again, done, none, next] = [1, 2, 3, 4, 5, 6].map(|n| at + n);
    s.body.end_block(Kind::EnterTree, &[entry, none]);
    s.body.end_block(Kind::FirstPair, &[pair]);
    s.body.put_aside();
    s.fold_pair();
    s.body.end_block(Kind::NextPair, &[again, done]);
    s.body.put_aside();
    s.body.end_aside(pair);
    s.body.end_aside(next);
    s.body.end_aside(next);
    s.fold_result();
    next
}

impl<'a> Selector<'a> {
    /// Goes on with one of several stages.
    pub(super) fn turn_to(&mut self, stage: &'a Planned<'a>) {
        (self.first_operand, self.first_output) = (stage.first_operand, 0);
        (self.kernel, self.plan, self.ring) = (&stage.kernel, &stage.plan, stage.ring);
        (self.stages, self.around, self.divided) = (true, stage.around, 0);
        self.folds = if let Work::Fold { joins, .. } = stage.work { joins } else { &[] };
        self.bases.clear();
        self.strides.clear();
        self.ramps.clear();
        self.hoisted.clear();
        self.fixed = vec![None; self.kernel.insts.len()];
        self.values = vec![None; self.kernel.insts.len()];
        self.still.clear();
        self.parts.clear();
        self.turn_to_lanes(self.lanes, false);
    }

    /// Stores values that are the same for a row, an element each.
    pub(super) fn once(&mut self) {
        self.uniform = true;
        for store in &self.kernel.stores {
            let lanes = self.get(store.value);
            let lanes = self.in_registers(lanes);
            self.store(store.operand as usize, &lanes);
        }
        self.loaded.clear();
        self.uniform = false;
    }

    /// Where states go: of output `output`, one after another.
    pub(super) fn states(&mut self, output: usize) -> VReg {
        if !self.stages {
            return self.bases[self.kernel.stores[output].operand as usize];
        }
        let before = &self.kernel.operands[..self.kernel.stores[output].operand as usize];
        let number = before.iter().filter(|o| o.role == Role::Output).count();
        let at = self.slab_word(self.kernel.operands.len() + number);
        self.push(Enc::new(Code::Mov_r64_rm64).mem(1, Mem::Slab(at)), GPR, &[])
    }
}

//! What is decided about a kernel before any code is made: what is dead, what is the same for a whole row, how many
//! lanes go through one round of the inner loop, and how many registers are left for constants.

use crate::flow::{invariant, sizes, spans, uses};
use crate::kernel::{Inst, Kernel, Prim, ValueId};

/// Bytes of a vector register, on every target.
pub(super) const VECTOR: usize = 16;

/// The most lanes of one round: what is left over goes through the loop of single lanes.
const MAX_LANES: usize = 32;

/// The most vector operations of a round that is unrolled: beyond, the overhead of the loop no longer shows.
const MAX_WORK: usize = 48;

/// Decisions about one kernel.
pub(super) struct Plan {
    /// How often live instructions and stores use each value; 0 is dead.
    pub(super) uses: Vec<u32>,
    /// Whether each value is the same for a whole row.
    pub(super) invariant: Vec<bool>,
    /// Bytes of a lane of each value; for a mask, those of the compare that makes it.
    pub(super) size: Vec<u8>,
    /// Lanes of one round of the inner loop; a power of two.
    pub(super) lanes: usize,
    /// How many constants may live in registers through the loop.
    pub(super) budget: usize,
}

impl Plan {
    /// Decides for a target with so many vector registers, and an instruction for `fma` or none.
    pub(super) fn new(kernel: &Kernel, registers: usize, fma: bool) -> Plan {
        let uses = uses(kernel);
        let invariant = invariant(kernel);
        let size = sizes(kernel);
        let mut plan = Plan { uses, invariant, size, lanes: 0, budget: 0 };
        let moving = |v: &usize| plan.uses[*v] > 0 && !plan.invariant[*v];
        let stored = kernel.stores.iter().map(|s| plan.size[s.value.0 as usize]);
        let widest = (0..kernel.insts.len()).filter(moving).map(|v| plan.size[v]).chain(stored).max();
        let base = VECTOR / usize::from(widest.unwrap_or(8).max(1));
        let spans = spans(kernel, &plan.uses);
        let fits = |lanes: usize| {
            lanes <= MAX_LANES
                && plan.work(kernel, lanes) <= MAX_WORK
                && plan.pressure(&spans, lanes) + plan.constants(kernel) <= registers - 2
        };
        let lanes = [4, 2].map(|unroll| base * unroll).into_iter().find(|&lanes| fits(lanes)).unwrap_or(base);
        // One register is left for what an instruction needs on the way.
        let mut budget = (registers - 1).saturating_sub(plan.pressure(&spans, lanes) + plan.row_values(kernel));
        if kernel.insts.iter().enumerate().any(|(v, inst)| plan.moves(v) && calls(inst, fma)) {
            // A call saves no vector register: constants would go to the stack and back, even if it is rarely made.
            budget = 0;
        }
        plan.lanes = lanes;
        plan.budget = budget;
        plan
    }

    /// Whether a value has to be computed in each round.
    pub(super) fn moves(&self, value: usize) -> bool {
        self.uses[value] > 0 && !self.invariant[value]
    }

    /// Bytes of a lane of a value.
    pub(super) fn size(&self, value: ValueId) -> u8 {
        self.size[value.0 as usize]
    }

    /// How many values that are the same for a row, constants aside, the rounds use.
    fn row_values(&self, kernel: &Kernel) -> usize {
        let mut used = vec![false; kernel.insts.len()];
        for (_, inst) in kernel.insts.iter().enumerate().filter(|(v, _)| self.moves(*v)) {
            inst.args().iter().for_each(|a| used[a.0 as usize] = true);
        }
        let row = |v: &usize| used[*v] && self.invariant[*v] && kernel.insts[*v].prim != Prim::Const;
        (0..used.len()).filter(row).count()
    }

    fn constants(&self, kernel: &Kernel) -> usize {
        kernel.insts.iter().zip(&self.uses).filter(|(i, uses)| i.prim == Prim::Const && **uses > 0).count()
    }

    /// Roughly how many machine instructions a round takes.
    fn work(&self, kernel: &Kernel, lanes: usize) -> usize {
        let cost = |(v, inst): (usize, &Inst)| match inst.prim {
            _ if !self.moves(v) => 0,
            Prim::SDiv | Prim::UDiv | Prim::SRem | Prim::URem => 8 * lanes,
            Prim::Call1 | Prim::Call2 | Prim::CallIf => 4 * vectors(self.size[v], lanes),
            _ => vectors(self.size[v], lanes),
        };
        kernel.insts.iter().enumerate().map(cost).sum()
    }

    /// The most vectors alive at once in a round, constants not counted.
    fn pressure(&self, spans: &[(usize, usize)], lanes: usize) -> usize {
        let mut change = vec![0isize; spans.len() + 2];
        for (v, &(from, to)) in spans.iter().enumerate() {
            if self.uses[v] > 0 {
                let n = if self.invariant[v] { 0 } else { vectors(self.size[v], lanes) as isize };
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

/// How many vectors hold `lanes` lanes of `size` bytes.
pub(super) fn vectors(size: u8, lanes: usize) -> usize {
    (usize::from(size) * lanes / VECTOR).max(1)
}

/// Whether an instruction calls a function.
fn calls(inst: &Inst, fma: bool) -> bool {
    match inst.prim {
        Prim::Call1 | Prim::Call2 | Prim::CallIf => true,
        Prim::Fma => !fma,
        _ => false,
    }
}

//! The loops around a lane program.
//!
//! ```text
//! row:   base + r * s1 of each operand; what is the same for the row
//! main:  a round of `lanes` lanes, while so many are left
//! whole: rounds of one vector that is all there, if a round of the main loop has several
//! tail:  a round of one vector, masked to what is left
//! ```
//! Blocks are numbered so that no edge leads from one with two successors to one with two predecessors, and in the
//! order in which loops nest, which the register allocator goes by.

use super::mach::Kind;
use super::plan::Rounds;
use super::select::Selector;

const ROW: usize = 1;
const MAIN_ENTRY: usize = 2;
const MAIN: usize = 3;
const MAIN_AGAIN: usize = 4;
const MAIN_DONE: usize = 5;
const NO_MAIN: usize = 6;
const REST: usize = 7;

/// Vectors of a round of the main loop from which on what is left over is worth a loop of whole vectors.
const WHOLE: usize = 4;

/// Selects instructions for the whole of a kernel.
pub(super) fn build(s: &mut Selector<'_>) {
    let single = s.plan.rounds.single;
    main(s, false);
    // The block where the tail begins or is passed over.
    let mut rest = REST;
    if s.plan.rounds.lanes / single >= WHOLE {
        let [entry, whole, again, done, none, after] = [1, 2, 3, 4, 5, 6].map(|n| REST + n);
        s.body.end_block(Kind::EnterWhole, &[entry, none]);
        s.body.end_block(Kind::Jump, &[whole]);
        s.round(single, false);
        s.body.end_block(Kind::NextWhole, &[again, done]);
        s.body.end_aside(whole);
        s.body.end_block(Kind::Jump, &[after]);
        s.body.end_aside(after);
        rest = after;
    }
    let [entry, tail, again, done, none, next] = [1, 2, 3, 4, 5, 6].map(|n| rest + n);
    s.body.end_block(Kind::EnterTail, &[entry, none]);
    s.body.end_block(Kind::Jump, &[tail]);
    s.round(single, true);
    s.body.end_block(Kind::NextTail, &[again, done]);
    s.body.end_aside(tail);
    s.body.end_block(Kind::Jump, &[next]);
    s.body.end_aside(next);
    end(s, next);
}

/// The row's beginning, and the main loop.
fn main(s: &mut Selector<'_>, fold: bool) {
    let Rounds { lanes, single, .. } = s.plan.rounds;
    s.body.end_block(Kind::Jump, &[ROW]);
    s.row();
    if fold {
        s.fold_begin();
    }
    s.body.end_block(Kind::EnterMain, &[MAIN_ENTRY, NO_MAIN]);
    s.body.end_block(Kind::Jump, &[MAIN]);
    if fold {
        // A vector at a time: the CPU finds what is independent, and values take few registers.
        for t in 0..lanes / single {
            if t > 0 {
                s.body.push(Kind::Step, &[]);
            }
            s.fold_from = t;
            s.round(single, false);
        }
    } else {
        s.round(lanes, false);
    }
    s.body.end_block(Kind::NextMain, &[MAIN_AGAIN, MAIN_DONE]);
    s.body.end_aside(MAIN);
    s.body.end_block(Kind::Jump, &[REST]);
    s.body.end_aside(REST);
}

/// The row's end, which is block `next`.
fn end(s: &mut Selector<'_>, next: usize) {
    s.body.end_block(Kind::NextRow, &[next + 1, next + 2]);
    s.body.end_aside(ROW);
    s.body.end_block(Kind::Return, &[]);
    s.body.seal();
}

/// Selects instructions for the whole of a kernel whose rows are reduced: the tail has a block for each accumulator.
pub(super) fn build_fold(s: &mut Selector<'_>) {
    let Rounds { lanes, single, .. } = s.plan.rounds;
    let vectors = lanes / single;
    // Each block of the tail but the last has one beside it, from where it goes on if the row ends there.
    let tail = |t: usize| REST + 1 + 2 * t;
    let no_tail = tail(vectors - 1) + 1;
    let next = no_tail + 1;
    main(s, true);
    s.body.end_block(Kind::EnterTail, &[tail(0), no_tail]);
    for t in 0..vectors {
        s.fold_from = t;
        s.round(single, true);
        if t + 1 < vectors {
            s.body.end_block(Kind::NextTail, &[tail(t + 1), tail(t) + 1]);
            s.body.end_aside(next);
        } else {
            s.body.end_block(Kind::Jump, &[next]);
        }
    }
    s.body.end_aside(next);
    s.fold_end();
    end(s, next);
}

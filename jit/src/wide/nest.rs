//! The loops around a lane program.
//!
//! ```text
//! row:   base + r * s1 of each operand; what is the same for the row
//! main:  a round of `lanes` lanes, while so many are left
//! tail:  a round of one vector, masked to what is left
//! ```
//! Blocks are numbered so that no edge leads from one with two successors to one with two predecessors, and in the
//! order in which loops nest, which the register allocator goes by.

use super::mach::Kind;
use super::select::Selector;

const ROW: usize = 1;
const MAIN_ENTRY: usize = 2;
const MAIN: usize = 3;
const MAIN_AGAIN: usize = 4;
const MAIN_DONE: usize = 5;
const NO_MAIN: usize = 6;
const REST: usize = 7;
const TAIL_ENTRY: usize = 8;
const TAIL: usize = 9;
const TAIL_AGAIN: usize = 10;
const TAIL_DONE: usize = 11;
const NO_TAIL: usize = 12;
const NEXT: usize = 13;
const ROW_AGAIN: usize = 14;
const DONE: usize = 15;

/// Selects instructions for the whole of a kernel.
pub(super) fn build(s: &mut Selector<'_>) {
    s.body.end_block(Kind::Jump, &[ROW]);
    s.row();
    s.body.end_block(Kind::EnterMain, &[MAIN_ENTRY, NO_MAIN]);
    s.body.end_block(Kind::Jump, &[MAIN]);
    s.round(s.plan.rounds.lanes, false);
    s.body.end_block(Kind::NextMain, &[MAIN_AGAIN, MAIN_DONE]);
    s.body.end_aside(MAIN);
    s.body.end_block(Kind::Jump, &[REST]);
    s.body.end_aside(REST);
    s.body.end_block(Kind::EnterTail, &[TAIL_ENTRY, NO_TAIL]);
    s.body.end_block(Kind::Jump, &[TAIL]);
    s.round(s.plan.rounds.single, true);
    s.body.end_block(Kind::NextTail, &[TAIL_AGAIN, TAIL_DONE]);
    s.body.end_aside(TAIL);
    s.body.end_block(Kind::Jump, &[NEXT]);
    s.body.end_aside(NEXT);
    s.body.end_block(Kind::NextRow, &[ROW_AGAIN, DONE]);
    s.body.end_aside(ROW);
    s.body.end_block(Kind::Return, &[]);
    s.body.seal();
}

/// Selects instructions for the whole of a kernel whose rows are reduced: the tail has a block for each accumulator.
pub(super) fn build_fold(s: &mut Selector<'_>) {
    let vectors = s.plan.rounds.lanes / s.plan.rounds.single;
    // Each block of the tail but the last has one beside it, from where it goes on if the row ends there.
    let tail = |t: usize| TAIL_ENTRY + 2 * t;
    let no_tail = tail(vectors - 1) + 1;
    let (next, row_again, done) = (no_tail + 1, no_tail + 2, no_tail + 3);
    s.body.end_block(Kind::Jump, &[ROW]);
    s.row();
    s.fold_begin();
    s.body.end_block(Kind::EnterMain, &[MAIN_ENTRY, NO_MAIN]);
    s.body.end_block(Kind::Jump, &[MAIN]);
    // A vector at a time: the CPU finds what is independent, and values take few registers.
    for t in 0..vectors {
        s.fold_from = t;
        s.round(s.plan.rounds.single, false);
        if t + 1 < vectors {
            s.body.push(Kind::Step, &[]);
        }
    }
    s.body.end_block(Kind::NextMain, &[MAIN_AGAIN, MAIN_DONE]);
    s.body.end_aside(MAIN);
    s.body.end_block(Kind::Jump, &[REST]);
    s.body.end_aside(REST);
    s.body.end_block(Kind::EnterTail, &[tail(0), no_tail]);
    for t in 0..vectors {
        s.fold_from = t;
        s.round(s.plan.rounds.single, true);
        if t + 1 < vectors {
            s.body.end_block(Kind::NextTail, &[tail(t + 1), tail(t) + 1]);
            s.body.end_aside(next);
        } else {
            s.body.end_block(Kind::Jump, &[next]);
        }
    }
    s.body.end_aside(next);
    s.fold_end();
    s.body.end_block(Kind::NextRow, &[row_again, done]);
    s.body.end_aside(ROW);
    s.body.end_block(Kind::Return, &[]);
    s.body.seal();
}

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

/// Whether a block lies off the straight way through the code.
pub(super) fn is_off_path(block: usize) -> bool {
    matches!(block, MAIN_AGAIN | NO_MAIN | TAIL_AGAIN | NO_TAIL | ROW_AGAIN)
}

/// Selects instructions for the whole of a kernel.
pub(super) fn build(s: &mut Selector<'_>) {
    s.body.end_block(Kind::Jump, &[ROW]);
    s.row();
    s.body.end_block(Kind::EnterMain, &[MAIN_ENTRY, NO_MAIN]);
    s.body.end_block(Kind::Jump, &[MAIN]);
    s.round(s.plan.rounds.lanes, false);
    s.body.end_block(Kind::NextMain, &[MAIN_AGAIN, MAIN_DONE]);
    s.body.end_block(Kind::Jump, &[MAIN]);
    s.body.end_block(Kind::Jump, &[REST]);
    s.body.end_block(Kind::Jump, &[REST]);
    s.body.end_block(Kind::EnterTail, &[TAIL_ENTRY, NO_TAIL]);
    s.body.end_block(Kind::Jump, &[TAIL]);
    s.round(s.plan.rounds.single, true);
    s.body.end_block(Kind::NextTail, &[TAIL_AGAIN, TAIL_DONE]);
    s.body.end_block(Kind::Jump, &[TAIL]);
    s.body.end_block(Kind::Jump, &[NEXT]);
    s.body.end_block(Kind::Jump, &[NEXT]);
    s.body.end_block(Kind::NextRow, &[ROW_AGAIN, DONE]);
    s.body.end_block(Kind::Jump, &[ROW]);
    s.body.end_block(Kind::Return, &[]);
    s.body.seal();
}

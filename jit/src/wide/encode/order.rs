//! The order of blocks in memory.

use super::super::mach::{Body, Kind};
use regalloc2::{Block, Function, InstOrEdit, Output};

/// Whether a block does nothing but go on.
fn is_empty(body: &Body, output: &Output, block: usize) -> bool {
    let mut steps = output.block_insts_and_edits(body, Block::new(block));
    matches!(steps.next(), Some(InstOrEdit::Inst(i)) if matches!(body.insts[i.index()].kind, Kind::Jump))
}

/// Where a jump to `block` ends up.
pub(super) fn through(body: &Body, output: &Output, mut block: usize) -> usize {
    while is_empty(body, output, block) {
        block = body.block_succs(Block::new(block))[0].index();
    }
    block
}

/// All blocks that do something: falling through in the common case, the rest behind.
pub(super) fn order(body: &Body, output: &Output) -> Vec<usize> {
    let full = |b: &usize| !is_empty(body, output, *b);
    let (aside, hot): (Vec<usize>, Vec<usize>) = (0..body.block_count()).filter(full).partition(|&b| body.is_aside(b));
    [hot, aside].concat()
}

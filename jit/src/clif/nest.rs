//! The loops around a lane program.
//!
//! ```text
//! entry(slab):   constants; no rows or no elements: done
//! row(r):        base + r * s1 of each operand; what is the same for the row
//! main(i):       a round of N lanes while i < n0 rounded down to N
//! tail(i):       a round of one lane while i < n0
//! next:          the next row
//! ```
//! All operands are addressed from the row's base with one element counter; strides stay in registers or on the stack,
//! as the register allocator sees fit.

use super::emit::Emitter;
use crate::kernel::{Class, Kernel, Role};
use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{Block, BlockArg, Function, InstBuilder, MemFlagsData, Value};

/// An operand in the current row.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// The address of its first element; for an index, its first value.
    pub(super) base: Value,
    /// The stride along the row in bytes, where the class leaves it open; for an index, what it grows by.
    pub(super) stride: Option<Value>,
}

/// The flags of accesses to the slab: 8-byte words that do not change during the call.
fn slab_flags() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly()
}

/// Fills `func`, which takes the address of a slab.
pub(super) fn build<'a>(
    func: &'a mut Function,
    kernel: &'a Kernel,
    emitter: impl FnOnce(FuncCursor<'a>) -> Emitter<'a>,
) -> Emitter<'a> {
    let [entry, row, main, rest, tail, next, done]: [Block; 7] = std::array::from_fn(|_| func.dfg.make_block());
    for block in [entry, row, main, rest, tail, next, done] {
        func.layout.append_block(block);
    }
    let slab = func.dfg.append_block_param(entry, I64);
    let r = func.dfg.append_block_param(row, I64);
    let i_main = func.dfg.append_block_param(main, I64);
    let i_tail = func.dfg.append_block_param(tail, I64);
    let mut e = emitter(FuncCursor::new(func));
    let lanes = e.plan().lanes as i64;

    e.pos.goto_bottom(entry);
    let zero = e.pos.ins().iconst(I64, 0);
    let n0 = e.pos.ins().load(I64, slab_flags(), slab, 0);
    let n1 = e.pos.ins().load(I64, slab_flags(), slab, 8);
    // Rounds of the main loop cover the elements up to this one.
    let main_end = e.pos.ins().band_imm_s(n0, -lanes);
    let no_elements = e.pos.ins().icmp_imm_s(IntCC::Equal, n0, 0);
    let no_rows = e.pos.ins().icmp_imm_s(IntCC::Equal, n1, 0);
    let nothing = e.pos.ins().bor(no_elements, no_rows);
    let last = e.pos.ins().brif(nothing, done, &[], row, &[BlockArg::Value(zero)]);
    e.begin(last);

    e.pos.goto_bottom(row);
    let rows: Vec<Row> = (0..kernel.operands.len()).map(|k| operand(&mut e.pos, kernel, k, slab, r)).collect();
    e.row(rows);
    let zero = e.pos.ins().iconst(I64, 0);
    e.pos.ins().brif(main_end, main, &[BlockArg::Value(zero)], tail, &[BlockArg::Value(zero)]);

    e.pos.goto_bottom(main);
    e.round(lanes as usize, i_main);
    let i = e.pos.ins().iadd_imm_s(i_main, lanes);
    let more = e.pos.ins().icmp(IntCC::UnsignedLessThan, i, main_end);
    e.pos.ins().brif(more, main, &[BlockArg::Value(i)], rest, &[]);

    e.pos.goto_bottom(rest);
    let more = e.pos.ins().icmp(IntCC::UnsignedLessThan, main_end, n0);
    e.pos.ins().brif(more, tail, &[BlockArg::Value(main_end)], next, &[]);

    e.pos.goto_bottom(tail);
    e.round(1, i_tail);
    let i = e.pos.ins().iadd_imm_s(i_tail, 1);
    let more = e.pos.ins().icmp(IntCC::UnsignedLessThan, i, n0);
    e.pos.ins().brif(more, tail, &[BlockArg::Value(i)], next, &[]);

    e.pos.goto_bottom(next);
    let r = e.pos.ins().iadd_imm_s(r, 1);
    let more = e.pos.ins().icmp(IntCC::UnsignedLessThan, r, n1);
    e.pos.ins().brif(more, row, &[BlockArg::Value(r)], done, &[]);

    e.pos.goto_bottom(done);
    e.pos.ins().return_(&[]);
    e
}

/// Operand `k` in row `r`.
fn operand(pos: &mut FuncCursor<'_>, kernel: &Kernel, k: usize, slab: Value, r: Value) -> Row {
    let operand = &kernel.operands[k];
    let at = 16 + 24 * k as i32;
    let base = pos.ins().load(I64, slab_flags(), slab, at);
    let s1 = pos.ins().load(I64, slab_flags(), slab, at + 16);
    let offset = pos.ins().imul(r, s1);
    let base = pos.ins().iadd(base, offset);
    let open = operand.role == Role::Index || operand.class == Class::Strided;
    let stride = open.then(|| pos.ins().load(I64, slab_flags(), slab, at + 8));
    Row { base, stride }
}

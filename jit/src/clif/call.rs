//! Calls out of generated code: one a round, for all its lanes.

use super::emit::{Emitter, Lanes, vector_of};
use super::imports::{Import, frame_step};
use super::plan::VECTOR;
use crate::kernel::Inst;
use cranelift_codegen::cursor::Cursor;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, Value};

/// Arguments of a call, at most.
const ARGUMENTS: usize = 3;

impl Emitter<'_> {
    /// Applies a function to the lanes of its arguments. The lanes of all are of the size of `inst`'s type.
    pub(super) fn call(&mut self, inst: &Inst, args: &[&Lanes]) -> Lanes {
        let frame = self.frame(inst);
        for (k, arg) in args.iter().enumerate() {
            self.put(inst, frame, k, arg);
        }
        self.enter(inst, frame);
        self.result(inst, frame)
    }

    /// `m ? f(a) : b`, with a jump around the call where no lane of the round needs it.
    pub(super) fn call_if(&mut self, inst: &Inst) -> Lanes {
        // What is emitted late must not be emitted first on the branch that may not be taken.
        let (a, b) = (self.get(inst.args[1]), self.get(inst.args[2]));
        let mask = self.mask(inst.args[0], inst.ty.size() as u8);
        let here = self.pos.current_block().expect("a round is emitted into a block");
        let [slow, join] = std::array::from_fn(|_| self.pos.func.dfg.make_block());
        self.pos.func.layout.insert_block_after(join, here);
        self.pos.func.layout.append_block(slow);
        self.pos.func.layout.set_cold(slow);
        // `b` goes through memory, so that it is used once only: Cranelift folds no load into what a value depends on
        // that is used twice, and that would be most of a function that ends in a masked call.
        let frame = self.frame(inst);
        self.put(inst, frame, 0, &b);
        let mut any = mask.vectors[0];
        for &m in &mask.vectors[1..] {
            any = self.pos.ins().bor(any, m);
        }
        let any = self.pos.ins().vany_true(any);
        self.pos.ins().brif(any, slow, &[], join, &[]);

        self.pos.goto_bottom(slow);
        let frame = self.frame(inst);
        self.put(inst, frame, 1, &a);
        self.put(inst, frame, 2, &mask);
        self.enter(inst, frame);
        self.pos.ins().jump(join, &[]);

        self.pos.goto_bottom(join);
        let frame = self.frame(inst);
        self.result(inst, frame)
    }

    /// Puts argument `k` into the frame.
    fn put(&mut self, inst: &Inst, frame: Value, k: usize, arg: &Lanes) {
        let at = k * self.step(inst);
        for (v, &vector) in arg.vectors.iter().enumerate() {
            self.pos.ins().store(flags(), vector, frame, (at + v * VECTOR) as i32);
        }
    }

    /// Calls the function of `inst`.
    fn enter(&mut self, inst: &Inst, frame: Value) {
        let callee = self.callee(Import { prim: inst.prim, ty: inst.ty });
        let routine = self.pos.ins().iconst(I64, inst.imm as i64);
        let lanes = self.called_lanes(inst);
        let lanes = self.pos.ins().iconst(I64, lanes as i64);
        self.pos.ins().call(callee, &[routine, lanes, frame]);
    }

    /// The results, which are where the first argument was.
    fn result(&mut self, inst: &Inst, frame: Value) -> Lanes {
        let (ty, size) = (vector_of(inst.ty), inst.ty.size() as u8);
        let offsets = (0..self.count(size)).map(|v| (v * VECTOR) as i32);
        let vectors = offsets.map(|offset| self.pos.ins().load(ty, flags(), frame, offset)).collect();
        Lanes { size, vectors }
    }

    /// Lanes that a call computes: for a value of the row, all of its vector, as they have to be the same.
    fn called_lanes(&self, inst: &Inst) -> usize {
        if self.uniform { VECTOR / inst.ty.size() } else { self.lanes }
    }

    fn step(&self, inst: &Inst) -> usize {
        frame_step(self.called_lanes(inst), inst.ty.size())
    }

    /// The address of memory for the arguments. Calls follow one another, so they share it.
    fn frame(&mut self, inst: &Inst) -> Value {
        let bytes = (ARGUMENTS * self.step(inst)) as u32;
        let slots = &mut self.pos.func.sized_stack_slots;
        let new = || StackSlotData::new(StackSlotKind::ExplicitSlot, 0, VECTOR.trailing_zeros() as u8);
        let slot = *self.frame_slot.get_or_insert_with(|| slots.push(new()));
        slots[slot].size = slots[slot].size.max(bytes);
        self.pos.ins().stack_addr(I64, slot, 0)
    }
}

/// The flags of accesses to the frame.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

//! The one primitive that branches: a call that is made only where some lane asks for it.

use super::emit::{Emitter, Lanes, vector_of};
use super::imports::Import;
use crate::kernel::Inst;
use cranelift_codegen::cursor::Cursor;
use cranelift_codegen::ir::{BlockArg, InstBuilder};
use smallvec::SmallVec;

impl Emitter<'_> {
    /// `m ? f(a) : b`, with a jump around the calls where no lane of the round needs them.
    pub(super) fn call_if(&mut self, inst: &Inst) -> Lanes {
        // What is emitted late must not be emitted first on the branch that may not be taken.
        let (a, b) = (self.get(inst.args[1]), self.get(inst.args[2]));
        let mask = self.mask(inst.args[0], inst.ty.size() as u8);
        let mut any = mask.vectors[0];
        for &m in &mask.vectors[1..] {
            any = self.pos.ins().bor(any, m);
        }
        let any = self.pos.ins().vany_true(any);
        let here = self.pos.current_block().expect("a round is emitted into a block");
        let (slow, join) = (self.pos.func.dfg.make_block(), self.pos.func.dfg.make_block());
        self.pos.func.layout.insert_block_after(join, here);
        self.pos.func.layout.append_block(slow);
        self.pos.func.layout.set_cold(slow);
        let ty = vector_of(inst.ty);
        let vectors = b.vectors.iter().map(|_| self.pos.func.dfg.append_block_param(join, ty)).collect();
        let arguments =
            |lanes: &Lanes| -> SmallVec<[BlockArg; 4]> { lanes.vectors.iter().map(|&v| v.into()).collect() };
        self.pos.ins().brif(any, slow, &[], join, &arguments(&b));
        self.pos.goto_bottom(slow);
        let called = self.call(Import::routine(inst), inst.ty, &[a]);
        let mut k = 0;
        let masks = mask.vectors;
        let chosen = self.zip(&called, &b, |e, called, b| {
            k += 1;
            e.choose(masks[k - 1], called, b)
        });
        self.pos.ins().jump(join, &arguments(&chosen));
        self.pos.goto_bottom(join);
        Lanes { size: b.size, vectors }
    }
}

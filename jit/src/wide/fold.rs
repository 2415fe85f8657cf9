//! Reductions of rows: states in registers from the first element of a row to the last.
//!
//! Virtual lanes are those of [`crate::Reduction`]: as many as fill 128 bytes, in two or four *accumulators* for each
//! output. They are registers that are never allocated, the last ones there are. A round of the main loop has one
//! element for each virtual lane; the tail has one block of code for each accumulator, since an element's place in the
//! row says which it belongs to. At the end of a block, and of the row, the lanes are combined by halving, and the state
//! is stored behind the one before. Where it is columns that are reduced ([`super::columns`]), each lane is that of a column.

use super::encode::STATE;
use super::mach::{Enc, GPR, Index, Masking, Mem, VEC};
use super::memory::newer;
use super::pairs::*;
use super::select::Selector;
use super::sources::{Lanes, Src, ones};
use crate::kernel::{Inst, Prim, Ty, ValueId};
use crate::reduce::Join;
use iced_x86::Code;
use regalloc2::{Operand, PReg, VReg};
use smallvec::{SmallVec, smallvec};

/// Bytes of the virtual lanes of one output.
pub(super) const STATE_BYTES: usize = 128;

/// How many accumulators an output has.
pub(super) fn accumulators(width: usize) -> usize {
    STATE_BYTES / width
}

impl Selector<'_> {
    /// Accumulator `n` of output `output`.
    fn accumulator(&self, output: usize, n: usize) -> Operand {
        let registers = if self.evex { 32 } else { 16 };
        let before = (self.first_output + output) * accumulators(self.width);
        Operand::fixed_nonallocatable(PReg::new(registers - 1 - before - n, VEC))
    }

    /// The type of the state of an output.
    fn state(&self, output: usize) -> Ty {
        self.kernel.ty(self.kernel.stores[output].value)
    }

    /// Sets the accumulators to the identities.
    pub(super) fn fold_begin(&mut self) {
        for (output, join) in self.folds.iter().enumerate() {
            let mem = Mem::Pool(self.pool_vector(join.identity, self.state(output).size() as u8));
            for n in 0..accumulators(self.width) {
                let enc = Enc::new(self.code(MOVUPD)).mem(1, mem);
                self.put(enc, &[self.accumulator(output, n)]);
            }
        }
    }

    /// Adds the lanes of output `output` to the accumulators from `first` on.
    pub(super) fn fold(&mut self, output: usize, lanes: &Lanes, first: usize) {
        let (join, ty) = (self.folds[output], self.state(output));
        let size = ty.size() as u8;
        for v in 0..self.count(size) {
            let mut src = lanes.at(v);
            let accumulator = self.accumulator(output, first + v);
            let pair = direct(join.prim, ty, self.evex);
            if let (true, true, Some(pair)) = (self.tail, self.evex, pair) {
                // What the tail does not have changes nothing.
                let (value, mask) = (self.reg(src), self.tail_mask());
                let enc = Enc::new(pair.evex).masked(Masking::Merge);
                self.put(enc, &[accumulator, accumulator, Operand::reg_use(value), Operand::reg_use(mask)]);
                continue;
            }
            if self.tail {
                src = Src::Reg(self.present(src, join.identity, size));
            }
            if let Some(pair) = pair {
                let mut enc = Enc::new(self.code(pair));
                let mut operands: SmallVec<[Operand; 4]> = smallvec![accumulator, accumulator];
                match self.memory(src, size, pair) {
                    Some((mem, base, broadcast)) => {
                        enc = enc.mem(2, mem);
                        enc.broadcast = broadcast;
                        operands.extend(base.map(Operand::reg_use));
                    }
                    None => operands.push(Operand::reg_use(self.reg(src))),
                }
                self.put(enc, &operands);
            } else {
                let (before, value) = (self.read(accumulator), self.reg(src));
                let after = self.join(join, ty, before, value);
                self.put(Enc::new(self.code(MOVUPD)), &[accumulator, Operand::reg_use(after)]);
            }
        }
        self.forget_loaded();
    }

    /// Combines the lanes and stores the state of each output.
    pub(super) fn fold_end(&mut self) {
        self.tail = false;
        let number = self.push(Enc::new(Code::Mov_r64_rm64).mem(1, Mem::Frame(STATE)), GPR, &[]);
        for output in 0..self.folds.len() {
            let (join, ty) = (self.folds[output], self.state(output));
            let mut vectors = self.halves(output, join, ty);
            while vectors.len() > 1 {
                let half = vectors.len() / 2;
                for n in 0..half {
                    vectors[n] = self.join(join, ty, vectors[n], vectors[n + half]);
                }
                vectors.truncate(half);
            }
            let mut all = vectors[0];
            if self.evex {
                let upper = self.push(Enc::new(HIGH.evex).imm(1), VEC, &[all]);
                all = self.join(join, ty, all, upper);
            }
            let upper = self.part(all, 1);
            all = self.join(join, ty, all, upper);
            let mut bytes = 8;
            while bytes >= ty.size() {
                let code = Code::VEX_Vpsrldq_xmm_xmm_imm8;
                let code = if self.evex { newer(code) } else { code };
                let upper = self.push(Enc::new(code).imm(bytes as u8), VEC, &[all]);
                all = self.join(join, ty, all, upper);
                bytes /= 2;
            }
            let base = self.states(output);
            let mem = Mem::At { index: Index::Operand, scale: ty.size() as u8, disp: 0 };
            self.store_state(ty, mem, &[all, base, number]);
        }
        self.forget_loaded();
    }

    /// Combines two states of each output: the left one, of which the counter has the number, is what both become.
    pub(super) fn fold_pair(&mut self) {
        for output in 0..self.folds.len() {
            let (join, ty) = (self.folds[output], self.state(output));
            let scale = ty.size() as u8;
            let left = self.states(output);
            let right = self.body.vreg(GPR);
            let apart = Operand::fixed_nonallocatable(PReg::new(2, GPR));
            let lea = Enc::new(Code::Lea_r64_m).mem(1, Mem::At { index: Index::Operand, scale, disp: 0 });
            self.put(lea, &[Operand::reg_def(right), Operand::reg_use(left), apart]);
            let mem = Mem::At { index: Index::Counter, scale, disp: 0 };
            let [a, b] = [left, right].map(|base| self.load_state(ty, mem, base));
            let both = self.join(join, ty, a, b);
            self.store_state(ty, mem, &[both, left]);
        }
        self.forget_loaded();
    }

    /// Makes the result of the first state of each output, and stores it.
    pub(super) fn fold_result(&mut self) {
        for output in 0..self.folds.len() {
            let (join, ty) = (self.folds[output], self.state(output));
            let mem = Mem::At { index: Index::No, scale: 1, disp: 0 };
            let base = self.states(output);
            let mut state = self.load_state(ty, mem, base);
            if join.key {
                state = self.unkey(ty, state);
            }
            let result = self.bases[self.kernel.stores[output].operand as usize];
            self.store_state(ty, mem, &[state, result]);
        }
        self.forget_loaded();
    }

    /// Stores what each lane of the accumulators has come to: the results of `lanes` columns, or of those that the tail has.
    pub(super) fn fold_columns(&mut self, lanes: usize, tail: bool) {
        self.turn_to_lanes(lanes, tail);
        for (output, join) in self.folds.iter().enumerate() {
            let ty = self.state(output);
            let size = ty.size() as u8;
            let mut vectors = SmallVec::new();
            for v in 0..self.count(size) {
                let mut state = self.read(self.accumulator(output, v));
                if join.key {
                    state = self.unkey(ty, state);
                }
                vectors.push(Src::Reg(state));
            }
            let operand = self.kernel.stores[output].operand as usize;
            self.store(operand, &Lanes { size, same: false, vectors });
        }
        self.tail = false;
        self.forget_loaded();
    }

    /// The float with this key.
    fn unkey(&mut self, ty: Ty, key: VReg) -> VReg {
        let size = ty.size() as u8;
        let bits = u64::from(size) * 8;
        let inst = |prim| Inst { prim, ty, args: [ValueId(0); 3], imm: 0 };
        let key = Lanes { size, same: true, vectors: smallvec![Src::Reg(key)] };
        let (shift, rest) = (self.splat(size, bits - 1), self.splat(size, ones(size) >> 1));
        let sign = self.integer(&inst(Prim::ShrS), &[key.clone(), shift]);
        let flips = self.integer(&inst(Prim::And), &[sign, rest]);
        let float = self.integer(&inst(Prim::Xor), &[key, flips]);
        self.reg(float.at(0))
    }

    fn load_state(&mut self, ty: Ty, mem: Mem, base: VReg) -> VReg {
        let code = if ty.size() == 8 { Code::VEX_Vmovq_xmm_xmmm64 } else { Code::VEX_Vmovd_xmm_rm32 };
        let code = if self.evex { newer(code) } else { code };
        self.push(Enc::new(code).mem(1, mem), VEC, &[base])
    }

    /// Stores a state; `operands` are that, the base and perhaps an index.
    fn store_state(&mut self, ty: Ty, mem: Mem, operands: &[VReg]) {
        let code = if ty.size() == 8 { Code::VEX_Vmovq_xmmm64_xmm } else { Code::VEX_Vmovd_rm32_xmm };
        let code = if self.evex { newer(code) } else { code };
        self.push_store(Enc::new(code).mem(0, mem), operands);
    }

    /// The accumulators of an output, each of the first half with one of the second.
    fn halves(&mut self, output: usize, join: Join, ty: Ty) -> SmallVec<[VReg; 4]> {
        let half = accumulators(self.width) / 2;
        let pair = direct(join.prim, ty, self.evex);
        let both = |n: usize| [n, n + half].map(|n| self.accumulator(output, n));
        let pairs: SmallVec<[[Operand; 2]; 2]> = (0..half).map(both).collect();
        let join = |[a, b]: [Operand; 2]| match pair {
            Some(pair) => {
                let joined = self.body.vreg(VEC);
                self.put(Enc::new(self.code(pair)), &[Operand::reg_def(joined), a, b]);
                joined
            }
            None => {
                let (a, b) = (self.read(a), self.read(b));
                self.join(join, ty, a, b)
            }
        };
        pairs.into_iter().map(join).collect()
    }

    /// What an accumulator holds.
    fn read(&mut self, accumulator: Operand) -> VReg {
        let copy = self.body.vreg(VEC);
        self.put(Enc::new(self.code(MOVUPD)), &[Operand::reg_def(copy), accumulator]);
        copy
    }

    /// A whole vector, with the identity in the lanes that the tail does not have.
    fn present(&mut self, src: Src, identity: u64, size: u8) -> VReg {
        let (value, identity) = (self.reg(src), self.reg(Src::Const { bits: identity, size }));
        let pair = if size == 8 { BLENDVPD } else { BLENDVPS };
        if self.evex {
            let mask = self.tail_mask();
            let enc = Enc::new(pair.evex).masked(Masking::Merge);
            return self.push(enc, VEC, &[identity, value, mask]);
        }
        let mask = self.tail_vector(size);
        self.push(Enc::new(pair.vex), VEC, &[identity, value, mask])
    }

    /// Two vectors of states combined.
    fn join(&mut self, join: Join, ty: Ty, a: VReg, b: VReg) -> VReg {
        let (size, args) = (ty.size() as u8, [a, b].map(Src::Reg));
        match direct(join.prim, ty, self.evex) {
            Some(pair) => self.op(pair, size, &args, None),
            None => {
                let inst = Inst { prim: join.prim, ty, args: [ValueId(0); 3], imm: 0 };
                let lanes = args.map(|src| Lanes { size, same: true, vectors: smallvec![src] });
                let joined = self.integer(&inst, &lanes).at(0);
                self.reg(joined)
            }
        }
    }
}

/// The one instruction that combines states, if there is one.
fn direct(prim: Prim, ty: Ty, evex: bool) -> Option<Pair> {
    let by = |four: Pair, eight: Pair| if ty.size() == 8 { eight } else { four };
    Some(match prim {
        Prim::FAdd => by(ADDPS, ADDPD),
        Prim::FMul => by(MULPS, MULPD),
        Prim::IAdd => by(PADDD, PADDQ),
        Prim::SMin if ty.size() == 4 || evex => by(PMINSD, PMINSQ),
        Prim::SMax if ty.size() == 4 || evex => by(PMAXSD, PMAXSQ),
        Prim::UMin if ty.size() == 4 || evex => by(PMINUD, PMINUQ),
        Prim::UMax if ty.size() == 4 || evex => by(PMAXUD, PMAXUQ),
        _ => return None,
    })
}

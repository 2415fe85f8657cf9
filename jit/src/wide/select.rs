//! Selection: one round of the lane program.
//!
//! Vectors are always whole: what fills only part of one has anything in its other lanes, and nothing that traps or
//! writes is ever done to them.

use super::Mode;
use super::ahead::Asks;
use super::mach::{Body, Enc, GPR, Kind, MASK, Mem, VEC};
use super::memory::at;
use super::pairs::*;
use super::plan::Plan;
use super::pool::Pool;
use super::sources::{Lanes, Src, constant, sign};
use crate::kernel::{Class, Inst, Kernel, Prim, Role, Ty, ValueId};
use crate::reduce::Join;
use iced_x86::Code;
use regalloc2::{Operand, RegClass, VReg};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

/// Index operands: lanes of multiples of the stride, and the stride of a whole vector.
#[derive(Clone, Copy)]
pub(super) struct Ramp {
    pub(super) lanes: VReg,
    pub(super) step: VReg,
}

pub(super) struct Selector<'a> {
    pub(super) body: Body,
    pub(super) kernel: &'a Kernel,
    pub(super) plan: &'a Plan,
    pub(super) evex: bool,
    pub(super) width: usize,
    /// Lanes of the round.
    pub(super) lanes: usize,
    pub(super) tail: bool,
    /// Whether values are being computed once for a row.
    pub(super) uniform: bool,
    /// The address (or first value) of each operand in the row, and its stride where the class leaves it open.
    pub(super) bases: Vec<VReg>,
    pub(super) strides: Vec<Option<VReg>>,
    /// The address of each operand in the next row, where that is [asked for](super::ahead).
    pub(super) next_row: Vec<Option<VReg>>,
    pub(super) ramps: Vec<Option<Ramp>>,
    /// Values of the row, and of the round.
    pub(super) fixed: Vec<Option<Lanes>>,
    pub(super) values: Vec<Option<Lanes>>,
    /// How often each value is yet used in the round.
    pub(super) left: Vec<u32>,
    /// The step of the program that is being selected, and that which used each input last in the round.
    pub(super) step: usize,
    pub(super) used: Vec<Option<usize>>,
    pub(super) hoisted: FxHashMap<(u64, u8), VReg>,
    /// Reciprocals of divisors, in two parts: of each vector, if they differ.
    pub(super) parts: FxHashMap<ValueId, SmallVec<[[Src; 2]; 2]>>,
    /// Vectors of divisions and roots so far, of which some are not the divider's ([`super::divide`], [`super::newton`]).
    pub(super) divided: usize,
    /// Constants that the current instruction has in registers.
    pub(super) loaded: SmallVec<[((u64, u8), VReg); 4]>,
    pub(super) pool: Pool,
    /// Of the tail: masks of the lanes left.
    pub(super) tail_vectors: [Option<VReg>; 2],
    pub(super) tail_mask: Option<VReg>,
    pub(super) tail_table: u32,
    /// Whether outputs are written around the caches.
    pub(super) around: bool,
    /// How states are combined, one for each store; empty: elements are stored.
    pub(super) folds: &'a [Join],
    /// The accumulator of the first vector of the round.
    pub(super) fold_from: usize,
    /// The lane behind the counter that the round begins with, where several rounds lie behind one another.
    pub(super) from_lane: usize,
    /// By how many lanes the main loop goes on that is being selected; outside of one, 0.
    pub(super) goes_on: usize,
    /// Where the operands of the stage begin in the slab; behind those that follow are its states, if it is one of several.
    pub(super) first_operand: usize,
    pub(super) stages: bool,
    /// Of stages whose rows are reduced together, outputs of those before it.
    pub(super) first_output: usize,
    /// Operands in scratch memory, which has room for so many rows; 1: their strides say where rows are.
    pub(super) ring: (&'a [bool], usize),
    /// Whether the row's number is where the limit was.
    pub(super) counted: bool,
    /// Addresses of the operands that are the same in each row of a group of columns, once that is prepared.
    pub(super) still: Vec<Option<VReg>>,
}

impl<'a> Selector<'a> {
    pub(super) fn new(kernel: &'a Kernel, plan: &'a Plan, evex: bool, mode: Mode<'a>) -> Selector<'a> {
        let width = if evex { 64 } else { 32 };
        let none = || vec![None; kernel.insts.len()];
        let mut pool = Pool::default();
        let tail_table = pool.tail_table(width);
        Selector {
            body: Body::new(width),
            kernel,
            plan,
            evex,
            width,
            lanes: 0,
            tail: false,
            uniform: false,
            bases: Vec::new(),
            strides: Vec::new(),
            next_row: Vec::new(),
            ramps: Vec::new(),
            fixed: none(),
            values: none(),
            left: Vec::new(),
            step: 0,
            used: Vec::new(),
            hoisted: FxHashMap::default(),
            parts: FxHashMap::default(),
            divided: 0,
            loaded: SmallVec::new(),
            pool,
            tail_vectors: [None; 2],
            tail_mask: None,
            tail_table,
            around: matches!(mode, Mode::Around(_)),
            folds: if let Mode::Fold { joins, .. } = mode { joins } else { &[] },
            fold_from: 0,
            from_lane: 0,
            goes_on: 0,
            first_operand: 0,
            stages: false,
            first_output: 0,
            ring: (&[], 1),
            counted: false,
            still: Vec::new(),
        }
    }

    /// Where the slab has the address of operand `k` of the stage.
    pub(super) fn slab_word(&self, k: usize) -> i32 {
        16 + 24 * (self.first_operand + k) as i32
    }

    // Instructions.

    /// Appends an instruction that gives a register of `class`.
    pub(super) fn push(&mut self, enc: Enc, class: RegClass, args: &[VReg]) -> VReg {
        let result = self.body.vreg(class);
        let mut operands: SmallVec<[Operand; 6]> =
            smallvec![if enc.tied { Operand::reg_reuse_def(result, 1) } else { Operand::reg_def(result) }];
        operands.extend(args.iter().map(|&a| Operand::reg_use(a)));
        self.body.push(Kind::Enc(enc), &operands);
        result
    }

    /// Appends an instruction on these operands.
    pub(super) fn put(&mut self, enc: Enc, operands: &[Operand]) {
        self.body.push(Kind::Enc(enc), operands);
    }

    /// Appends an instruction without a result.
    pub(super) fn push_store(&mut self, enc: Enc, args: &[VReg]) {
        let operands: SmallVec<[Operand; 6]> = args.iter().map(|&a| Operand::reg_use(a)).collect();
        self.body.push(Kind::Enc(enc), &operands);
    }

    pub(super) fn code(&self, pair: Pair) -> Code {
        let code = if self.evex { pair.evex } else { pair.vex };
        debug_assert!(code != Code::INVALID, "{pair:?} does not exist in this width");
        code
    }

    /// `pair` applied to registers; the last argument may be in memory. `size` is that of the lanes.
    pub(super) fn op(&mut self, pair: Pair, size: u8, args: &[Src], imm: Option<u8>) -> VReg {
        self.op_into(pair, size, args, imm, VEC)
    }

    /// [`Self::op`] with a result in a register of `class`.
    pub(super) fn op_into(&mut self, pair: Pair, size: u8, args: &[Src], imm: Option<u8>, class: RegClass) -> VReg {
        let mut enc = Enc::new(self.code(pair));
        enc.imm = imm;
        let Some((&last, first)) = args.split_last() else { return self.push(enc, class, &[]) };
        let mut regs: SmallVec<[VReg; 4]> = first.iter().map(|&a| self.reg(a)).collect();
        let at = args.len() as u8;
        match self.memory(last, size, pair) {
            Some((mem, base, broadcast)) => {
                enc = enc.mem(at, mem);
                enc.broadcast = broadcast;
                regs.extend(base);
            }
            None => regs.push(self.reg(last)),
        }
        self.push(enc, class, &regs)
    }

    /// Lanes of `size` bytes, vector by vector from those of `args`.
    pub(super) fn map<const N: usize>(
        &mut self,
        size: u8,
        args: [&Lanes; N],
        mut f: impl FnMut(&mut Self, [Src; N]) -> VReg,
    ) -> Lanes {
        let same = args.iter().all(|a| a.same);
        let count = if same { 1 } else { self.count(size) };
        let vectors = (0..count).map(|k| Src::Reg(f(self, args.map(|a| a.at(k))))).collect();
        Lanes { size, same, vectors }
    }

    /// One instruction on all arguments.
    pub(super) fn map_op<const N: usize>(&mut self, pair: Pair, size: u8, args: [&Lanes; N], imm: Option<u8>) -> Lanes {
        self.map(size, args, |s, args| s.op(pair, size, &args, imm))
    }

    /// One instruction on two arguments that may change places.
    pub(super) fn commute(&mut self, pair: Pair, size: u8, a: &Lanes, b: &Lanes) -> Lanes {
        let (a, b) = if matches!(a.at(0), Src::Reg(_)) { (a, b) } else { (b, a) };
        self.map_op(pair, size, [a, b], None)
    }

    // Rows and rounds.

    /// What is the same for a row: addresses, strides, constants in registers, values.
    /// The row is the one that is `behind` so many others.
    pub(super) fn row(&mut self, behind: usize) {
        let number = if self.counted {
            let number = self.body.vreg(GPR);
            let count = Operand::fixed_nonallocatable(regalloc2::PReg::new(2, GPR));
            self.put(Enc::new(Code::Mov_r64_rm64), &[Operand::reg_def(number), count]);
            number
        } else {
            self.push(Enc::new(Code::Mov_r64_rm64).mem(1, Mem::Frame(0)), GPR, &[])
        };
        let number = if behind > 0 { self.lea(at(-(behind as i32)), &[number]) } else { number };
        self.bases.clear();
        self.strides.clear();
        self.next_row.clear();
        self.ramps.clear();
        let (ring, rows) = self.ring;
        let place = (rows > 1 && ring.contains(&true)).then(|| {
            let and = Enc::new(Code::And_rm64_imm8).tied().imm(rows as u8 - 1);
            self.push(and, GPR, &[number])
        });
        for (k, operand) in self.kernel.operands.iter().enumerate() {
            let at = self.slab_word(k);
            let mut next = None;
            if let Some(&Some(base)) = self.still.get(k) {
                self.bases.push(base);
            } else {
                let step = self.push(Enc::new(Code::Mov_r64_rm64).mem(1, Mem::Slab(at + 16)), GPR, &[]);
                let number = place.filter(|_| ring.get(k) == Some(&true)).unwrap_or(number);
                let offset = self.push(Enc::new(Code::Imul_r64_rm64).tied(), GPR, &[step, number]);
                let base = self.push(Enc::new(Code::Add_r64_rm64).tied().mem(1, Mem::Slab(at)), GPR, &[offset]);
                self.bases.push(base);
                if matches!(&self.plan.asks, Asks::NextRow(rows) if rows.get(k) == Some(&true)) {
                    next = Some(self.push(Enc::new(Code::Add_r64_rm64).tied(), GPR, &[step, base]));
                }
            }
            self.next_row.push(next);
            let open = operand.role == Role::Index || operand.class == Class::Strided;
            let stride = open.then(|| self.push(Enc::new(Code::Mov_r64_rm64).mem(1, Mem::Slab(at + 8)), GPR, &[]));
            self.strides.push(stride);
            let ramp = match stride {
                Some(stride) if operand.role == Role::Index => Some(self.ramp(stride)),
                _ => None,
            };
            self.ramps.push(ramp);
        }
        for &v in &self.plan.hoisted {
            let inst = &self.kernel.insts[v.0 as usize];
            let (bits, size) = (inst.imm, inst.ty.size() as u8);
            if !self.hoisted.contains_key(&(bits, size)) {
                let register = self.load_constant(bits, size);
                self.hoisted.insert((bits, size), register);
            }
        }
        self.uniform = true;
        self.lanes = 1;
        self.left = self.plan.uses.clone();
        for (v, inst) in self.kernel.insts.iter().enumerate() {
            let known = self.plan.held.get(v) == Some(&true) || inst.prim == Prim::Const || self.plan.folded[v];
            if self.plan.uses[v] > 0 && self.plan.invariant[v] && !known {
                let mut lanes = self.inst(inst);
                lanes.same = true;
                self.fixed[v] = Some(self.in_registers(lanes));
                self.loaded.clear();
            }
        }
        self.uniform = false;
    }

    /// Prepares the rows of a group of columns: what is the same in each, of `lanes` columns, or those that the tail has.
    pub(super) fn hold(&mut self, lanes: usize, tail: bool, fixed: &[bool]) {
        self.bases.clear();
        // Operands of columns lie side by side.
        self.strides = vec![None; self.kernel.operands.len()];
        for k in 0..self.kernel.operands.len() {
            let base = fixed.get(k).copied().unwrap_or_default().then(|| {
                let at = self.slab_word(k);
                self.push(Enc::new(Code::Mov_r64_rm64).mem(1, Mem::Slab(at)), GPR, &[])
            });
            self.still.push(base);
            self.bases.push(base.unwrap_or(VReg::invalid()));
        }
        self.begin_round(lanes, tail);
        for (v, inst) in self.kernel.insts.iter().enumerate() {
            if self.plan.held[v] && self.plan.uses[v] > 0 && !self.plan.folded[v] {
                let made = self.inst(inst);
                self.fixed[v] = Some(self.in_registers(made));
                self.loaded.clear();
            }
        }
        if !tail {
            self.reciprocals();
        }
    }

    /// The end of a row's preparation where outputs are written around the caches: all begin at the same lane of a vector.
    pub(super) fn enter_head(&mut self, head: usize, none: usize) {
        let output = self.kernel.operands.iter().position(|o| o.role == Role::Output).unwrap_or_default();
        let size = self.kernel.operands[output].dtype.size() as u8;
        let base = Operand::reg_use(self.bases[output]);
        self.body.end_block_with(Kind::EnterHead { size }, &[base], &[head, none]);
    }

    fn begin_round(&mut self, lanes: usize, tail: bool) {
        self.turn_to_lanes(lanes, tail);
        self.left = self.plan.uses.clone();
    }

    /// Goes on with so many lanes, or those that the tail has: what was known of another tail's is not there any more.
    pub(super) fn turn_to_lanes(&mut self, lanes: usize, tail: bool) {
        (self.lanes, self.tail, self.tail_vectors, self.tail_mask) = (lanes, tail, [None; 2], None);
    }

    /// A round of `lanes` lanes, masked if it is the tail.
    pub(super) fn round(&mut self, lanes: usize, tail: bool) {
        self.begin_round(lanes, tail);
        self.values.fill(None);
        self.used.clear();
        self.used.resize(self.kernel.insts.len(), None);
        for (v, inst) in self.kernel.insts.iter().enumerate() {
            self.step = v;
            if self.plan.moves(v) {
                let lanes = self.inst(inst);
                self.values[v] = Some(lanes);
                self.loaded.clear();
            }
        }
        if !self.folds.is_empty() {
            for (output, store) in self.kernel.stores.iter().enumerate() {
                let lanes = self.get(store.value);
                self.fold(output, &lanes, self.fold_from);
            }
            return;
        }
        // Everything is read before anything is written: outputs may lie where inputs do.
        let mut stores: SmallVec<[(usize, Lanes); 4]> = SmallVec::new();
        for store in &self.kernel.stores {
            let lanes = self.get(store.value);
            let lanes = self.in_registers(lanes);
            stores.push((store.operand as usize, lanes));
        }
        self.loaded.clear();
        for (operand, lanes) in stores {
            self.store(operand, &lanes);
        }
    }

    /// The address of lane zero of an operand that strides.
    pub(super) fn strided(&mut self, k: usize) -> VReg {
        let stride = self.strides[k].expect("the class leaves the stride open");
        let offset = self.body.vreg(GPR);
        let counter = Operand::fixed_nonallocatable(regalloc2::PReg::new(0, GPR));
        let operands = [Operand::reg_reuse_def(offset, 1), Operand::reg_use(stride), counter];
        self.body.push(Kind::Enc(Enc::new(Code::Imul_r64_rm64).tied()), &operands);
        self.push(Enc::new(Code::Add_r64_rm64).tied(), GPR, &[offset, self.bases[k]])
    }

    /// The mask of the lanes of `size` bytes that the tail has.
    pub(super) fn tail_vector(&mut self, size: u8) -> VReg {
        let at = usize::from(size == 8);
        if let Some(mask) = self.tail_vectors[at] {
            return mask;
        }
        let mask = self.body.vreg(VEC);
        self.body.push(Kind::TailVector { size }, &[Operand::reg_def(mask)]);
        self.tail_vectors[at] = Some(mask);
        mask
    }

    /// The lanes that the tail has, as a mask register.
    pub(super) fn tail_mask(&mut self) -> VReg {
        if let Some(mask) = self.tail_mask {
            return mask;
        }
        let mask = self.body.vreg(MASK);
        // A register of narrow lanes has more of them than a round, and where all rounds are masked any number is left.
        let narrow = |o: &crate::kernel::Operand| o.role != Role::Index && o.dtype.size() * self.lanes < 16;
        let most = self.plan.masked || self.kernel.operands.iter().any(narrow);
        self.body.push(Kind::TailMask { most }, &[Operand::reg_def(mask)]);
        self.tail_mask = Some(mask);
        mask
    }

    // The lane program.

    /// The result of an instruction.
    fn inst(&mut self, inst: &Inst) -> Lanes {
        let size = inst.ty.size() as u8;
        if inst.prim == Prim::Fma {
            return self.fma(inst);
        }
        let args: SmallVec<[Lanes; 4]> = inst.args().iter().map(|&a| self.get(a)).collect();
        for a in inst.args() {
            self.left[a.0 as usize] = self.left[a.0 as usize].saturating_sub(1);
        }
        let double = inst.ty == Ty::F64;
        let by = |d: Pair, s: Pair| if double { d } else { s };
        match inst.prim {
            Prim::FDiv | Prim::FSqrt if self.uniform => self.divide_once(inst, &args),
            Prim::Const => constant(inst),
            Prim::Load => self.load(inst),
            Prim::Index => self.index(inst),
            Prim::FAdd => self.commute(by(ADDPD, ADDPS), size, &args[0], &args[1]),
            Prim::FMul => self.commute(by(MULPD, MULPS), size, &args[0], &args[1]),
            Prim::FSub => self.map_op(by(SUBPD, SUBPS), size, [&args[0], &args[1]], None),
            Prim::FDiv => match self.quotient(inst, &args) {
                Some(quotient) => quotient,
                None => self.divide_floats(double, [&args[0], &args[1]]),
            },
            Prim::FMin => self.map_op(by(MINPD, MINPS), size, [&args[0], &args[1]], None),
            Prim::FMax => self.map_op(by(MAXPD, MAXPS), size, [&args[0], &args[1]], None),
            Prim::FSqrt => self.root(double, &args[0]),
            Prim::FFloor => self.map_op(by(ROUNDPD, ROUNDPS), size, [&args[0]], Some(9)),
            Prim::FCeil => self.map_op(by(ROUNDPD, ROUNDPS), size, [&args[0]], Some(10)),
            Prim::FTrunc => self.map_op(by(ROUNDPD, ROUNDPS), size, [&args[0]], Some(11)),
            Prim::FNearest => self.map_op(by(ROUNDPD, ROUNDPS), size, [&args[0]], Some(8)),
            Prim::FNeg => {
                let sign = self.splat(size, sign(size));
                self.commute(by(XORPD, XORPS), size, &args[0], &sign)
            }
            Prim::FAbs => {
                let rest = self.splat(size, sign(size) - 1);
                self.commute(by(ANDPD, ANDPS), size, &args[0], &rest)
            }
            Prim::FCopysign => {
                let rest = self.splat(size, sign(size) - 1);
                let magnitude = self.commute(by(ANDPD, ANDPS), size, &args[0], &rest);
                let sign = self.splat(size, sign(size));
                let sign = self.commute(by(ANDPD, ANDPS), size, &args[1], &sign);
                self.commute(by(ORPD, ORPS), size, &magnitude, &sign)
            }
            Prim::Fma => unreachable!("handled above"),
            Prim::FRaise | Prim::FSignificand | Prim::FExponent => self.composed(inst, &args),
            Prim::IAdd
            | Prim::ISub
            | Prim::IMul
            | Prim::INeg
            | Prim::IAbs
            | Prim::SMin
            | Prim::SMax
            | Prim::UMin
            | Prim::UMax
            | Prim::SDiv
            | Prim::UDiv
            | Prim::SRem
            | Prim::URem
            | Prim::And
            | Prim::Or
            | Prim::Xor
            | Prim::Not
            | Prim::Shl
            | Prim::ShrU
            | Prim::ShrS => self.integer(inst, &args),
            Prim::FEq | Prim::FNe | Prim::FLt | Prim::FLe => self.compare_floats(inst, &args),
            Prim::IEq | Prim::INe | Prim::SLt | Prim::SLe | Prim::ULt | Prim::ULe => self.compare_ints(inst, &args),
            Prim::MAnd | Prim::MOr | Prim::MXor | Prim::MNot => self.masks(inst, &args),
            Prim::Select => self.select(inst.ty, &args),
            Prim::MaskToInt
            | Prim::Bitcast
            | Prim::SExt
            | Prim::ZExt
            | Prim::Trunc
            | Prim::SToF
            | Prim::UToF
            | Prim::FToS
            | Prim::FToU
            | Prim::F32To64
            | Prim::F64To32
            | Prim::F16To32
            | Prim::F32To16
            | Prim::F64To16
            | Prim::Bf16To32
            | Prim::F32ToBf16
            | Prim::F64ToBf16 => self.convert(inst, &args),
            Prim::Call1 | Prim::Call2 => self.call(inst, &args),
            Prim::CallIf => self.call_if(inst, &args),
        }
    }
}

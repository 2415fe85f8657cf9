//! The emitter of lanes: what a value is, where constants live, and one round of the lane program.

use super::imports::Import;
use super::nest::Row;
use super::plan::{Plan, VECTOR, vectors};
use crate::kernel::{Inst, Kernel, Prim, Ty, ValueId};
use cranelift_codegen::cursor::{Cursor, CursorPosition, FuncCursor};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32X4, I64, I64X2};
use cranelift_codegen::ir::{
    self, ConstantData, Endianness, ExternalName, FuncRef, GlobalValueData, InstBuilder, MemFlagsData, Opcode,
    StackSlot, Type, UserExternalName, Value,
};
use rustc_hash::FxHashMap;
use smallvec::{SmallVec, smallvec};

/// What the instruction set does well.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caps {
    /// Vector registers.
    pub(super) registers: usize,
    /// `fma` is one instruction.
    pub(super) fma: bool,
    /// Rounding to an integer is one instruction.
    pub(super) round: bool,
    /// `unarrow` from 32 bits is one instruction.
    pub(super) narrow: bool,
    /// Float compares may take operands from memory that is not aligned.
    pub(super) compare_memory: bool,
    /// `x86_cvtt2dq` exists: conversion to integers without saturation.
    pub(super) truncate: bool,
    /// `blendv` exists: selection by the top bit of each lane.
    pub(super) blend: bool,
    /// Signed 64-bit integers convert to floats as vectors.
    pub(super) i64_to_f64: bool,
}

/// The lanes of a value in the current round: as many vectors as they fill, or the lower part of one.
///
/// Integers and floats are in vectors of their type. A mask is all ones or all zeros in integer lanes of `size` bytes,
/// which is the width of the compare that made it until a use asks for another.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) size: u8,
    pub(super) vectors: SmallVec<[Value; 4]>,
}

pub(super) struct Emitter<'a> {
    pub(super) pos: FuncCursor<'a>,
    pub(super) kernel: &'a Kernel,
    pub(super) caps: Caps,
    plan: &'a Plan,
    /// Lanes of the round.
    pub(super) lanes: usize,
    /// Whether values are being computed once for a row: every lane of their vectors holds the same.
    pub(super) uniform: bool,
    /// The element counter of the round.
    pub(super) index: Value,
    pub(super) rows: Vec<Row>,
    /// Values of this row, one vector each.
    fixed: Vec<Option<Lanes>>,
    /// Values of this round.
    values: Vec<Option<Lanes>>,
    /// For shifts by an amount that is the same for the row: the amount as a scalar.
    pub(super) amounts: FxHashMap<ValueId, Value>,
    /// The stack slot for the arguments of calls.
    pub(super) frame_slot: Option<StackSlot>,
    /// The branch at the end of the entry block: constants go before it.
    entry_end: Option<ir::Inst>,
    hoisted: FxHashMap<(Type, u128), Value>,
    /// How many more constants may be hoisted.
    budget: usize,
    pool: Vec<u128>,
    pool_slots: FxHashMap<u128, usize>,
    pool_base: Option<Value>,
    imports: Vec<Import>,
    callees: FxHashMap<Import, FuncRef>,
}

impl<'a> Emitter<'a> {
    pub(super) fn new(pos: FuncCursor<'a>, kernel: &'a Kernel, plan: &'a Plan, caps: Caps) -> Emitter<'a> {
        let none = || vec![None; kernel.insts.len()];
        Emitter {
            pos,
            kernel,
            caps,
            plan,
            lanes: 1,
            uniform: false,
            index: Value::from_u32(0),
            rows: Vec::new(),
            fixed: none(),
            values: none(),
            amounts: FxHashMap::default(),
            frame_slot: None,
            entry_end: None,
            hoisted: FxHashMap::default(),
            budget: plan.budget,
            pool: Vec::new(),
            pool_slots: FxHashMap::default(),
            pool_base: None,
            imports: Vec::new(),
            callees: FxHashMap::default(),
        }
    }

    pub(super) fn plan(&self) -> &'a Plan {
        self.plan
    }

    /// The constant pool and the imported functions, in the order of their numbers.
    pub(super) fn finish(self) -> (Vec<u128>, Vec<Import>) {
        (self.pool, self.imports)
    }

    /// Starts: the entry block ends with `entry_end`. The constants used most get the registers that are free.
    pub(super) fn begin(&mut self, entry_end: ir::Inst) {
        self.entry_end = Some(entry_end);
        // Constants that only row invariants use, and the amounts of shifts, need no register in the loop.
        let mut uses = vec![0u32; self.kernel.insts.len()];
        for (_, inst) in self.kernel.insts.iter().enumerate().filter(|(v, _)| self.plan.moves(*v)) {
            let shift = matches!(inst.prim, Prim::Shl | Prim::ShrU | Prim::ShrS);
            for arg in &inst.args()[..inst.args().len() - usize::from(shift)] {
                uses[arg.0 as usize] += 1;
            }
        }
        let mut constants: Vec<_> =
            (0..self.kernel.insts.len()).filter(|&v| self.kernel.insts[v].prim == Prim::Const && uses[v] > 0).collect();
        constants.sort_by_key(|&v| std::cmp::Reverse(uses[v]));
        let constants = constants.into_iter().map(|v| &self.kernel.insts[v]);
        for inst in constants.filter(|inst| inst.ty != Ty::M).take(self.budget) {
            self.in_entry(|e| e.constant(inst));
        }
    }

    /// Starts a row: its bases and strides, and the values that do not change along it.
    pub(super) fn row(&mut self, rows: Vec<Row>) {
        self.rows = rows;
        self.uniform = true;
        self.lanes = 1;
        for v in 0..self.kernel.insts.len() {
            let inst = &self.kernel.insts[v];
            if self.plan.uses[v] > 0 && self.plan.invariant[v] && inst.prim != Prim::Const {
                let lanes = self.primitive(inst);
                self.fixed[v] = Some(lanes);
            }
        }
        for v in 0..self.kernel.insts.len() {
            let inst = &self.kernel.insts[v];
            let shift = matches!(inst.prim, Prim::Shl | Prim::ShrU | Prim::ShrS);
            if shift && self.plan.moves(v) && self.plan.invariant[inst.args[1].0 as usize] {
                self.hoist_amount(inst.args[1]);
            }
        }
        self.uniform = false;
    }

    /// Emits one round of `lanes` lanes, from element `index` of the row.
    pub(super) fn round(&mut self, lanes: usize, index: Value) {
        self.lanes = lanes;
        self.index = index;
        self.values.fill(None);
        for v in 0..self.kernel.insts.len() {
            let inst = &self.kernel.insts[v];
            // Loads wait for their first use, where they may become operands of an instruction.
            if self.plan.moves(v) && inst.prim != Prim::Load {
                let lanes = self.primitive(inst);
                self.values[v] = Some(lanes);
            }
        }
        // All that is read is read before anything is written: an output may be in the place of an input.
        let stores = self.kernel.stores.iter().map(|s| (s.operand, self.get(s.value))).collect::<Vec<_>>();
        for (operand, lanes) in stores {
            self.store(operand as usize, &lanes);
        }
    }

    fn inst(&self, v: ValueId) -> &'a Inst {
        &self.kernel.insts[v.0 as usize]
    }

    pub(super) fn ty(&self, v: ValueId) -> Ty {
        self.inst(v).ty
    }

    /// The bits of a value that is a constant.
    pub(super) fn constant_bits(&self, v: ValueId) -> Option<u64> {
        let inst = self.inst(v);
        (inst.prim == Prim::Const).then_some(inst.imm)
    }

    /// How many vectors hold the round's lanes of `size` bytes.
    pub(super) fn count(&self, size: u8) -> usize {
        vectors(size, self.lanes)
    }

    /// The lanes of a value, masks in the width they are in.
    pub(super) fn get(&mut self, v: ValueId) -> Lanes {
        let at = v.0 as usize;
        let inst = self.inst(v);
        if inst.prim == Prim::Const {
            let value = self.constant(inst);
            return self.repeat(value, self.plan.size(v));
        }
        if let Some(fixed) = &self.fixed[at] {
            let (value, size) = (fixed.vectors[0], fixed.size);
            return self.repeat(value, size);
        }
        if self.values[at].is_none() {
            // Everything but loads has been emitted in order.
            let lanes = self.primitive(inst);
            self.values[at] = Some(lanes);
        }
        self.values[at].clone().expect("set just above")
    }

    /// The lanes of a mask, `size` bytes wide.
    pub(super) fn mask(&mut self, v: ValueId, size: u8) -> Lanes {
        let lanes = self.get(v);
        self.resize_mask(lanes, size)
    }

    fn repeat(&self, value: Value, size: u8) -> Lanes {
        Lanes { size, vectors: smallvec![value; self.count(size)] }
    }

    // Constants.

    /// The vector of a constant.
    fn constant(&mut self, inst: &Inst) -> Value {
        match inst.ty {
            Ty::M => self.vconst(I8X16, if inst.imm == 0 { 0 } else { u128::MAX }),
            ty => self.splat_bits(vector_of(ty), inst.imm),
        }
    }

    /// A vector with `bits` in every lane.
    pub(super) fn splat_bits(&mut self, ty: Type, bits: u64) -> Value {
        let width = ty.lane_bits();
        let lane = u128::from(if width == 64 { bits } else { bits & ((1 << width) - 1) });
        let pattern = (0..128 / width).fold(0, |p, i| p | lane << (i * width));
        self.vector_const(ty, pattern)
    }

    /// A constant vector: in a register through the loop if there is one, else an operand in the pool.
    fn vector_const(&mut self, ty: Type, pattern: u128) -> Value {
        if pattern == 0 || pattern == u128::MAX || self.uniform {
            // The first two are made from nothing in one instruction.
            return self.vconst(ty, pattern);
        }
        if let Some(&value) = self.hoisted.get(&(ty, pattern)) {
            return value;
        }
        if self.budget > 0 {
            self.budget -= 1;
            let value = self.in_entry(|e| e.vconst(ty, pattern));
            self.hoisted.insert((ty, pattern), value);
            return value;
        }
        let base = self.pool_base();
        let next = self.pool.len();
        let slot = *self.pool_slots.entry(pattern).or_insert(next);
        if slot == next {
            self.pool.push(pattern);
        }
        let flags = MemFlagsData::trusted().with_readonly();
        self.pos.ins().load(ty, flags, base, (slot * VECTOR) as i32)
    }

    fn vconst(&mut self, ty: Type, pattern: u128) -> Value {
        let data = ConstantData::from(&pattern.to_le_bytes()[..]);
        let constant = self.pos.func.dfg.constants.insert(data);
        self.pos.ins().vconst(ty, constant)
    }

    fn pool_base(&mut self) -> Value {
        if let Some(base) = self.pool_base {
            return base;
        }
        // The module numbers data from 0 in namespace 1.
        let name = UserExternalName { namespace: 1, index: 0 };
        let name = ExternalName::user(self.pos.func.declare_imported_user_function(name));
        let symbol = GlobalValueData::Symbol { name, offset: 0.into(), colocated: false, tls: false };
        let symbol = self.pos.func.create_global_value(symbol);
        let base = self.in_entry(|e| e.pos.ins().symbol_value(I64, symbol));
        self.pool_base = Some(base);
        base
    }

    /// Emits at the end of the entry block.
    fn in_entry<T>(&mut self, emit: impl FnOnce(&mut Self) -> T) -> T {
        let here = self.pos.position();
        if let Some(end) = self.entry_end {
            self.pos.set_position(CursorPosition::At(end));
        }
        let result = emit(self);
        self.pos.set_position(here);
        result
    }

    // Vectors.

    /// The same bits as another type of vector or scalar.
    pub(super) fn cast(&mut self, value: Value, ty: Type) -> Value {
        if self.pos.func.dfg.value_type(value) == ty {
            return value;
        }
        self.pos.ins().bitcast(ty, MemFlagsData::new().with_endianness(Endianness::Little), value)
    }

    /// Picks bytes: numbers below 16 from `a`, the others from `b`.
    pub(super) fn shuffle(&mut self, a: Value, b: Value, bytes: [u8; 16]) -> Value {
        let ty = self.pos.func.dfg.value_type(a);
        let (a, b) = (self.cast(a, I8X16), self.cast(b, I8X16));
        let mask = self.pos.func.dfg.immediates.push(ConstantData::from(&bytes[..]));
        let value = self.pos.ins().shuffle(a, b, mask);
        self.cast(value, ty)
    }

    /// The upper half of `a` in the lower half.
    pub(super) fn high(&mut self, a: Value) -> Value {
        self.shuffle(a, a, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15])
    }

    /// The lower halves of `a` and `b`.
    pub(super) fn join(&mut self, a: Value, b: Value) -> Value {
        self.shuffle(a, b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])
    }

    /// `mask ? a : b` in each lane; the mask has integer lanes of the same size.
    pub(super) fn choose(&mut self, mask: Value, a: Value, b: Value) -> Value {
        let dfg = &self.pos.func.dfg;
        let (ty, mask_ty) = (dfg.value_type(a), dfg.value_type(mask));
        let compare = dfg.value_def(mask).inst().map(|i| dfg.insts[i].opcode());
        // Cranelift itself finds the blend for a mask that comes right from a compare, and min and max.
        let via = match compare {
            Some(Opcode::Fcmp) => ty,
            Some(Opcode::Icmp) => mask_ty,
            _ if !self.caps.blend => ty,
            _ => {
                let via = if ty.lane_bits() < 32 { I8X16 } else { mask_ty };
                let (mask, a, b) = (self.cast(mask, via), self.cast(a, via), self.cast(b, via));
                let value = self.pos.ins().blendv(mask, a, b);
                return self.cast(value, ty);
            }
        };
        let (mask, a, b) = (self.cast(mask, via), self.cast(a, via), self.cast(b, via));
        let value = self.pos.ins().bitselect(mask, a, b);
        self.cast(value, ty)
    }

    /// Applies `f` to each vector.
    pub(super) fn map(&mut self, a: &Lanes, mut f: impl FnMut(&mut Self, Value) -> Value) -> Lanes {
        Lanes { size: a.size, vectors: a.vectors.iter().map(|&a| f(self, a)).collect() }
    }

    /// Applies `f` to each pair of vectors.
    pub(super) fn zip(&mut self, a: &Lanes, b: &Lanes, mut f: impl FnMut(&mut Self, Value, Value) -> Value) -> Lanes {
        let vectors = a.vectors.iter().zip(&b.vectors).map(|(&a, &b)| f(self, a, b)).collect();
        Lanes { size: a.size, vectors }
    }

    fn unary(&mut self, inst: &Inst, f: impl FnMut(&mut Self, Value) -> Value) -> Lanes {
        let a = self.get(inst.args[0]);
        self.map(&a, f)
    }

    fn binary(&mut self, inst: &Inst, f: impl FnMut(&mut Self, Value, Value) -> Value) -> Lanes {
        let (a, b) = (self.get(inst.args[0]), self.get(inst.args[1]));
        self.zip(&a, &b, f)
    }

    /// A mask of the lanes where `a` and `b` compare as asked.
    pub(super) fn compare_floats(&mut self, cc: FloatCC, a: Value, b: Value) -> Value {
        if !self.caps.compare_memory {
            // Cranelift 0.135 makes a load that stands right before it an operand of `cmpps`, as if that could take one
            // that is not aligned. Nothing passes this barrier, and it has no code of its own.
            self.pos.ins().sequence_point();
        }
        self.pos.ins().fcmp(cc, a, b)
    }

    fn fcmp(&mut self, inst: &Inst, cc: FloatCC) -> Lanes {
        self.binary(inst, |e, a, b| e.compare_floats(cc, a, b))
    }

    fn icmp(&mut self, inst: &Inst, cc: IntCC) -> Lanes {
        self.binary(inst, |e, a, b| e.pos.ins().icmp(cc, a, b))
    }

    /// Both masks in the wider of their widths.
    fn masks(&mut self, inst: &Inst, f: impl FnMut(&mut Self, Value, Value) -> Value) -> Lanes {
        let size = self.plan.size(inst.args[0]).max(self.plan.size(inst.args[1]));
        let (a, b) = (self.mask(inst.args[0], size), self.mask(inst.args[1], size));
        self.zip(&a, &b, f)
    }

    // Lane by lane.

    /// Lane `i` of a value as a scalar.
    pub(super) fn extract(&mut self, a: &Lanes, i: usize) -> Value {
        let per = VECTOR / usize::from(a.size);
        self.pos.ins().extractlane(a.vectors[i / per], (i % per) as u8)
    }

    /// Computes each lane by itself and puts the scalars of type `to` together.
    pub(super) fn lanewise(&mut self, to: Ty, mut f: impl FnMut(&mut Self, usize) -> Value) -> Lanes {
        let ty = vector_of(to);
        let size = to.size() as u8;
        let per = VECTOR / usize::from(size);
        let scalars: SmallVec<[Value; MAX_SCALARS]> = (0..self.lanes).map(|i| f(self, i)).collect();
        let vectors = scalars.chunks(per).map(|chunk| self.assemble(ty, chunk)).collect();
        Lanes { size, vectors }
    }

    /// A vector whose first lanes are these.
    pub(super) fn assemble(&mut self, ty: Type, scalars: &[Value]) -> Value {
        let first = scalars[0];
        let mut vector = if self.uniform || (scalars.len() > 1 && ty.lane_bits() == 64) {
            self.pos.ins().splat(ty, first)
        } else {
            self.first_lane(ty, first)
        };
        for (i, &scalar) in scalars.iter().enumerate().skip(1) {
            vector = self.pos.ins().insertlane(vector, scalar, i as u8);
        }
        vector
    }

    /// A vector whose first lane is `scalar`.
    pub(super) fn first_lane(&mut self, ty: Type, scalar: Value) -> Value {
        if ty.lane_bits() >= 32 {
            return self.pos.ins().scalar_to_vector(ty, scalar);
        }
        // Narrow scalars have no move to a vector register of their own.
        let wide = self.pos.ins().uextend(ir::types::I32, scalar);
        let vector = self.pos.ins().scalar_to_vector(I32X4, wide);
        self.cast(vector, ty)
    }

    pub(super) fn callee(&mut self, import: Import) -> FuncRef {
        if let Some(&callee) = self.callees.get(&import) {
            return callee;
        }
        self.imports.push(import);
        // The module numbers functions in namespace 0: first the kernel, then the imports.
        let callee = import.declare(self.pos.func, self.imports.len() as u32);
        self.callees.insert(import, callee);
        callee
    }

    // Primitives.

    fn primitive(&mut self, inst: &Inst) -> Lanes {
        match inst.prim {
            Prim::Const => {
                let value = self.constant(inst);
                self.repeat(value, inst.ty.size().max(1) as u8)
            }
            Prim::Load => self.load(inst),
            Prim::Index => self.index_lanes(inst),
            Prim::FAdd => self.binary(inst, |e, a, b| e.pos.ins().fadd(a, b)),
            Prim::FSub => self.binary(inst, |e, a, b| e.pos.ins().fsub(a, b)),
            Prim::FMul => self.binary(inst, |e, a, b| e.pos.ins().fmul(a, b)),
            Prim::FDiv => self.binary(inst, |e, a, b| e.pos.ins().fdiv(a, b)),
            Prim::FSqrt => self.unary(inst, |e, a| e.pos.ins().sqrt(a)),
            Prim::Fma => self.fma(inst),
            Prim::FNeg => self.unary(inst, |e, a| e.pos.ins().fneg(a)),
            Prim::FAbs => self.unary(inst, Self::fabs),
            Prim::FCopysign => self.binary(inst, Self::copysign),
            Prim::FFloor | Prim::FCeil | Prim::FTrunc | Prim::FNearest => {
                let prim = inst.prim;
                self.unary(inst, |e, a| e.round_float(prim, a))
            }
            Prim::FRaise | Prim::FSignificand | Prim::FExponent => unreachable!("expanded"),
            Prim::FMin => self.binary(inst, |e, a, b| {
                let less = e.compare_floats(FloatCC::LessThan, a, b);
                e.choose(less, a, b)
            }),
            Prim::FMax => self.binary(inst, |e, a, b| {
                let less = e.compare_floats(FloatCC::LessThan, b, a);
                e.choose(less, a, b)
            }),
            Prim::IAdd => self.binary(inst, |e, a, b| e.pos.ins().iadd(a, b)),
            Prim::ISub => self.binary(inst, |e, a, b| e.pos.ins().isub(a, b)),
            Prim::IMul => self.binary(inst, Self::imul),
            Prim::INeg => self.unary(inst, |e, a| e.pos.ins().ineg(a)),
            Prim::IAbs => self.unary(inst, |e, a| e.pos.ins().iabs(a)),
            Prim::SMin => self.binary(inst, |e, a, b| e.pos.ins().smin(a, b)),
            Prim::SMax => self.binary(inst, |e, a, b| e.pos.ins().smax(a, b)),
            Prim::UMin => self.binary(inst, |e, a, b| e.pos.ins().umin(a, b)),
            Prim::UMax => self.binary(inst, |e, a, b| e.pos.ins().umax(a, b)),
            Prim::SDiv | Prim::UDiv | Prim::SRem | Prim::URem => self.divide(inst),
            Prim::And => self.binary(inst, |e, a, b| e.pos.ins().band(a, b)),
            Prim::Or => self.binary(inst, |e, a, b| e.pos.ins().bor(a, b)),
            Prim::Xor => self.binary(inst, |e, a, b| e.pos.ins().bxor(a, b)),
            Prim::Not => self.unary(inst, |e, a| e.pos.ins().bnot(a)),
            Prim::Shl | Prim::ShrU | Prim::ShrS => self.shift(inst),
            Prim::FEq => self.fcmp(inst, FloatCC::Equal),
            Prim::FNe => self.fcmp(inst, FloatCC::NotEqual),
            Prim::FLt => self.fcmp(inst, FloatCC::LessThan),
            Prim::FLe => self.fcmp(inst, FloatCC::LessThanOrEqual),
            Prim::IEq => self.icmp(inst, IntCC::Equal),
            Prim::INe => self.icmp(inst, IntCC::NotEqual),
            Prim::SLt => self.icmp(inst, IntCC::SignedLessThan),
            Prim::SLe => self.icmp(inst, IntCC::SignedLessThanOrEqual),
            Prim::ULt => self.icmp(inst, IntCC::UnsignedLessThan),
            Prim::ULe => self.icmp(inst, IntCC::UnsignedLessThanOrEqual),
            Prim::MAnd => self.masks(inst, |e, a, b| e.pos.ins().band(a, b)),
            Prim::MOr => self.masks(inst, |e, a, b| e.pos.ins().bor(a, b)),
            Prim::MXor => self.masks(inst, |e, a, b| e.pos.ins().bxor(a, b)),
            Prim::MNot => self.unary(inst, |e, a| e.pos.ins().bnot(a)),
            Prim::Select => {
                let mask = self.mask(inst.args[0], inst.ty.size() as u8);
                let (a, b) = (self.get(inst.args[1]), self.get(inst.args[2]));
                let masks = mask.vectors;
                let mut k = 0;
                self.zip(&a, &b, |e, a, b| {
                    k += 1;
                    e.choose(masks[k - 1], a, b)
                })
            }
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
            | Prim::F64ToBf16 => self.convert(inst),
            Prim::Call1 => {
                let a = self.get(inst.args[0]);
                self.call(inst, &[&a])
            }
            Prim::Call2 => {
                let (a, b) = (self.get(inst.args[0]), self.get(inst.args[1]));
                self.call(inst, &[&a, &b])
            }
            Prim::CallIf => self.call_if(inst),
        }
    }
}

/// Scalars of one round that need no allocation.
const MAX_SCALARS: usize = 16;

/// The vector type of a lane type. Masks have none of their own.
pub(super) fn vector_of(ty: Ty) -> Type {
    match ty {
        Ty::M | Ty::I8 => I8X16,
        Ty::I16 => I16X8,
        Ty::I32 => I32X4,
        Ty::I64 => I64X2,
        Ty::F32 => F32X4,
        Ty::F64 => F64X2,
    }
}

/// The integer vector type with lanes of `size` bytes.
pub(super) fn integers(size: u8) -> Type {
    match size {
        1 => I8X16,
        2 => I16X8,
        4 => I32X4,
        _ => I64X2,
    }
}

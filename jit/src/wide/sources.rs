//! The lanes of values, and where the operands of instructions come from: registers, constants, memory.

use super::mach::{Enc, Index, Mem, VEC};
use super::pairs::*;
use super::plan::vectors;
use super::select::Selector;
use crate::kernel::{Class, Inst, Prim, Ty, ValueId};
use regalloc2::VReg;
use smallvec::{SmallVec, smallvec};

/// A vector of lanes, or where to get it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Src {
    /// In a register: a vector, or of a mask with 512 bits a mask register.
    Reg(VReg),
    /// These bits in each lane of `size` bytes.
    Const { bits: u64, size: u8 },
    /// `bytes` bytes of a contiguous operand, from `disp` on.
    Mem { operand: u32, disp: i32, bytes: u8 },
}

/// The lanes of a value in the current round: as many vectors as they fill, or the lower part of one.
///
/// A mask is all ones or all zeros in integer lanes of `size` bytes, or with 512 bits a bit for each such lane; the
/// size is that of the compare that made it until a use asks for another.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) size: u8,
    /// One vector stands for all: every lane is the same.
    pub(super) same: bool,
    pub(super) vectors: SmallVec<[Src; 4]>,
}

impl Lanes {
    pub(super) fn at(&self, k: usize) -> Src {
        self.vectors[if self.same { 0 } else { k }]
    }
}

/// Steps of the program for which an input that is used again stays in registers. With 512 bits a store of what has no register
/// takes a turn of the units for `fma` (Zen 5); to read an input again takes none.
const KEPT: usize = 16;

/// Vectors of a round from which on a constant is loaded to a register, and not by each of their instructions.
const SHARED: usize = 3;

impl Selector<'_> {
    /// A source as a memory operand of `pair`, with its base register, if it can be one and is not in a register.
    pub(super) fn memory(&mut self, src: Src, size: u8, pair: Pair) -> Option<(Mem, Option<VReg>, bool)> {
        match src {
            Src::Reg(_) => None,
            Src::Const { bits, size: of } => {
                let known = self.hoisted.contains_key(&(bits, of)) || self.loaded.iter().any(|(c, _)| *c == (bits, of));
                // Zeros and ones are made faster than they are loaded.
                if known || bits == 0 || (!self.evex && bits == ones(of)) {
                    return None;
                }
                // So many instructions load it once for all of them.
                if self.evex && self.count(size) >= SHARED {
                    return None;
                }
                if self.evex && pair.element != 0 {
                    let (bits, of) = repeat(bits, of, pair.element)?;
                    return Some((Mem::Pool(self.pool.place(bits, of, None)), None, true));
                }
                Some((Mem::Pool(self.pool.place(bits, of, Some(self.width))), None, false))
            }
            Src::Mem { operand, disp, bytes } => {
                let whole = usize::from(bytes) == self.width;
                let base = self.bases[operand as usize];
                let scale = self.kernel.operands[operand as usize].dtype.size() as u8;
                debug_assert!(size == scale || !whole || pair.element == 0 || size > 0, "lanes as loaded");
                whole.then_some((Mem::At { index: Index::Counter, scale, disp }, Some(base), false))
            }
        }
    }

    /// A source in a register.
    pub(super) fn reg(&mut self, src: Src) -> VReg {
        match src {
            Src::Reg(v) => v,
            Src::Const { bits, size } => {
                if let Some(&v) = self.hoisted.get(&(bits, size)) {
                    return v;
                }
                if let Some((_, v)) = self.loaded.iter().find(|(c, _)| *c == (bits, size)) {
                    return *v;
                }
                let v = self.load_constant(bits, size);
                self.loaded.push(((bits, size), v));
                v
            }
            Src::Mem { operand, disp, bytes } => self.load_bytes(operand, disp, bytes.into()),
        }
    }

    pub(super) fn load_constant(&mut self, bits: u64, size: u8) -> VReg {
        if bits == 0 {
            return self.zero();
        }
        if self.evex {
            let pair = match size {
                1 => BROADCASTB,
                2 => BROADCASTW,
                4 => BROADCASTSS,
                _ => BROADCASTSD,
            };
            let mem = Mem::Pool(self.pool.place(bits, size, None));
            return self.push(Enc::new(pair.evex).mem(1, mem), VEC, &[]);
        }
        let mem = Mem::Pool(self.pool.place(bits, size, Some(self.width)));
        self.push(Enc::new(MOVUPD.vex).mem(1, mem), VEC, &[])
    }

    /// A vector of these bits in the pool.
    pub(super) fn pool_vector(&mut self, bits: u64, size: u8) -> u32 {
        self.pool.place(bits, size, Some(self.width))
    }

    /// Lets go of the constants that are in registers for the current instruction.
    pub(super) fn forget_loaded(&mut self) {
        self.loaded.clear();
    }

    /// 64 bits of the pool.
    pub(super) fn pool_word(&mut self, bits: u64) -> Mem {
        Mem::Pool(self.pool.place(bits, 8, None))
    }

    /// A vector of zeros.
    pub(super) fn zero(&mut self) -> VReg {
        // The xor of a register with itself needs a register that holds something: a constant is as cheap.
        let mem = Mem::Pool(self.pool.place(0, 8, Some(self.width)));
        let pair = MOVUPD;
        self.push(Enc::new(self.code(pair)).mem(1, mem), VEC, &[])
    }

    /// How many vectors lanes of `size` bytes fill.
    pub(super) fn count(&self, size: u8) -> usize {
        if self.uniform { 1 } else { vectors(size, self.lanes, self.width) }
    }

    /// The lanes of a value that has been computed. What is loaded is loaded here if it is used more than once; and again, if
    /// that was long ago.
    pub(super) fn get(&mut self, value: ValueId) -> Lanes {
        let v = value.0 as usize;
        let inst = self.kernel.insts[v];
        if inst.prim == Prim::Const {
            return constant(&inst);
        }
        let slot = if self.plan.invariant[v] { &self.fixed[v] } else { &self.values[v] };
        let lanes = slot.as_ref().expect("values are computed in order").clone();
        if inst.prim == Prim::Load && self.plan.uses[v] > 1 {
            let again = self.is_read_again(v, &inst);
            let lanes = if again { self.contiguous(&inst) } else { lanes };
            if again && self.left[v] == 1 {
                return lanes;
            }
            let lanes = self.in_registers(lanes);
            if !self.plan.invariant[v] {
                self.values[v] = Some(lanes.clone());
            }
            return lanes;
        }
        lanes
    }

    /// Whether an input is read again, and not kept in registers since it was used last: they would be written to memory meanwhile.
    fn is_read_again(&mut self, v: usize, load: &Inst) -> bool {
        let lies_still = self.kernel.operands[load.imm as usize].class == Class::Contiguous && !self.plan.invariant[v];
        if !lies_still || self.uniform || self.tail {
            return false;
        }
        let last = self.used[v].replace(self.step);
        last.is_some_and(|last| self.step - last > KEPT)
    }

    /// The lanes of a value that comes before the current instruction, if it is computed.
    pub(super) fn made(&self, v: usize) -> Option<Lanes> {
        if self.plan.invariant[v] { self.fixed[v].clone() } else { self.values[v].clone() }
    }

    /// The same with every vector in a register.
    pub(super) fn in_registers(&mut self, lanes: Lanes) -> Lanes {
        let vectors = lanes.vectors.iter().map(|&src| Src::Reg(self.reg(src))).collect();
        Lanes { vectors, ..lanes }
    }

    /// Whether a value is used by nothing after the current instruction, so that its register may be written over.
    pub(super) fn dies(&self, value: ValueId) -> bool {
        let v = value.0 as usize;
        !self.uniform && !self.plan.invariant[v] && self.left[v] == 0
    }

    /// A constant in every lane.
    pub(super) fn splat(&self, size: u8, bits: u64) -> Lanes {
        Lanes { size, same: true, vectors: smallvec![Src::Const { bits, size }] }
    }
}

/// The bits of a lane's sign.
pub(super) fn sign(size: u8) -> u64 {
    1 << (8 * size - 1)
}

/// All bits of a lane.
pub(super) fn ones(size: u8) -> u64 {
    u64::MAX >> (64 - 8 * u32::from(size))
}

/// A pattern of lanes of `size` bytes as one of `to` bytes; `None` where it is none.
fn repeat(bits: u64, size: u8, to: u8) -> Option<(u64, u8)> {
    if size <= to {
        let times = to / size;
        let bits = (0..times).fold(0, |sum, k| sum | bits << (8 * size * k));
        return Some((bits, to));
    }
    let low = bits & ones(to);
    (bits >> (8 * to) == low).then_some((low, to))
}

/// The lanes of a constant.
pub(super) fn constant(inst: &Inst) -> Lanes {
    let (bits, size) = match inst.ty {
        Ty::M => (if inst.imm & 1 == 1 { u64::MAX } else { 0 }, 8),
        ty => (inst.imm, ty.size() as u8),
    };
    Lanes { size, same: true, vectors: smallvec![Src::Const { bits, size }] }
}

//! Preparing a kernel: what is computed how often, and which register holds it.
#![allow(unsafe_code)]

use super::exec::{Frame, Op, Reg};
use crate::kernel::{Class, Kernel, Prim, Ty, ValueId};
use pulp::Arch;

/// Bytes that the registers of a tile should fit in: the usual first-level data cache.
const TILE_BYTES: usize = 32 << 10;
/// Fewest and most lanes of a tile; multiples of [`STEP`].
const LANES: (usize, usize) = (128, 512);
/// Tiles have a multiple of this many lanes, so that vector loops come out even.
const STEP: usize = 64;

/// A cache line: the unit, and the alignment, of registers.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C, align(64))]
pub(super) struct Line([u64; 8]);

// SAFETY: 64 bytes of integers, without padding.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above; every bit pattern is valid.
unsafe impl bytemuck::Pod for Line {}

const LINE: usize = size_of::<Line>();

/// Bytes of a uniform register: one lane of any type.
const UNIFORM: usize = 8;

/// Bytes of a lane in a register; a mask takes one.
fn lane_bytes(ty: Ty) -> usize {
    ty.size().max(1)
}

/// A load, an index or a computation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Compute(Op),
    Load { operand: u32, dst: Reg, ty: Ty },
    Index { operand: u32, dst: Reg },
}

/// A store at the end of a tile.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoreStep {
    pub(super) operand: u32,
    pub(super) src: Reg,
    pub(super) ty: Ty,
}

/// The values that depend on nothing but constants, evaluated.
pub(super) struct Consts {
    pub(super) lines: Vec<Line>,
    /// Where each value is, if it is one of them.
    regs: Vec<Option<Reg>>,
}

fn op(kernel: &Kernel, i: usize, dst: Reg, reg: impl Fn(ValueId) -> Reg) -> Op {
    let inst = &kernel.insts[i];
    let mut args = [Reg::default(); 3];
    for (r, &a) in args.iter_mut().zip(inst.args()) {
        *r = reg(a);
    }
    let from = match (inst.prim, inst.args()) {
        (Prim::Select | Prim::CallIf, _) | (_, []) => inst.ty,
        (_, [first, ..]) => kernel.ty(*first),
    };
    Op { prim: inst.prim, ty: inst.ty, from, dst, args, imm: inst.imm }
}

impl Consts {
    pub(super) fn new(kernel: &Kernel) -> Consts {
        let mut regs: Vec<Option<Reg>> = vec![None; kernel.insts.len()];
        let mut bytes = 0;
        let live = kernel.live();
        for (i, inst) in kernel.insts.iter().enumerate() {
            let source = matches!(inst.prim, Prim::Load | Prim::Index);
            if live[i] && !source && inst.args().iter().all(|a| regs[a.0 as usize].is_some()) {
                regs[i] = Some(Reg { offset: bytes, constant: true, uniform: true });
                bytes += UNIFORM;
            }
        }
        let mut lines = vec![Line::default(); bytes.div_ceil(LINE)];
        // While they are computed, they are the scratch registers.
        let place = |r: Reg| Reg { constant: false, ..r };
        let mut frame =
            Frame { arch: Arch::new(), consts: &[], scratch: bytemuck::cast_slice_mut(&mut lines), lanes: 1 };
        for (i, dst) in regs.iter().enumerate() {
            if let Some(dst) = dst {
                frame.exec(&op(kernel, i, place(*dst), |a| place(regs[a.0 as usize].unwrap_or_default())));
            }
        }
        Consts { lines, regs }
    }
}

/// The program with its registers.
#[derive(Debug)]
pub(super) struct Plan {
    /// Run once a row.
    pub(super) uniform: Vec<Step>,
    /// Run once a tile.
    pub(super) tile: Vec<Step>,
    pub(super) stores: Vec<StoreStep>,
    /// Lanes of a full tile.
    pub(super) lanes: usize,
    /// The scratch memory it takes.
    pub(super) scratch_lines: usize,
    pub(super) arch: Arch,
}

/// Tile registers of one lane size: numbered slots, freed ones used again.
#[derive(Default)]
struct Slots {
    free: Vec<usize>,
    count: usize,
}

impl Slots {
    fn take(&mut self) -> usize {
        self.free.pop().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }
}

/// The place of a value before offsets are known.
#[derive(Clone, Copy)]
enum Place {
    Dead,
    Const(Reg),
    /// Byte offset among the uniform registers.
    Uniform(usize),
    /// Lane size as a power of two, slot of that size.
    Tile(usize, usize),
}

impl Plan {
    /// `broadcast`: whether `Broadcast` operands are uniform in a tile.
    pub(super) fn new(kernel: &Kernel, consts: &Consts, broadcast: bool) -> Plan {
        let n = kernel.insts.len();
        let live = kernel.live();
        // The last user of a value; `n` where it is stored.
        let mut last = vec![0; n];
        for (i, inst) in kernel.insts.iter().enumerate().filter(|(i, _)| live[*i]) {
            inst.args().iter().for_each(|a| last[a.0 as usize] = i);
        }
        kernel.stores.iter().for_each(|s| last[s.value.0 as usize] = n);

        let mut places: Vec<Place> = Vec::with_capacity(n);
        let mut slots: [Slots; 4] = Default::default();
        let mut uniform_bytes = 0;
        for (i, inst) in kernel.insts.iter().enumerate() {
            let uniform = match inst.prim {
                Prim::Load => broadcast && kernel.operands[inst.imm as usize].class == Class::Broadcast,
                Prim::Index => false,
                _ => inst.args().iter().all(|a| !matches!(places[a.0 as usize], Place::Tile(..))),
            };
            let place = if !live[i] {
                Place::Dead
            } else if let Some(reg) = consts.regs[i] {
                Place::Const(reg)
            } else if uniform {
                uniform_bytes += UNIFORM;
                Place::Uniform(uniform_bytes - UNIFORM)
            } else {
                let class = lane_bytes(inst.ty).trailing_zeros() as usize;
                Place::Tile(class, slots[class].take())
            };
            places.push(place);
            // Only now, so that the result shares no register with an argument.
            if live[i] {
                let args = inst.args();
                for (k, a) in args.iter().enumerate() {
                    if let Place::Tile(class, slot) = places[a.0 as usize]
                        && last[a.0 as usize] == i
                        && !args[..k].contains(a)
                    {
                        slots[class].free.push(slot);
                    }
                }
            }
        }

        let lane: usize = slots.iter().enumerate().map(|(class, s)| s.count << class).sum();
        let lanes = (TILE_BYTES / lane.max(1) / STEP * STEP).clamp(LANES.0, LANES.1);
        // A line between registers, so that they do not all start in the same set of the cache.
        let pitch = |class: usize| (lanes << class).next_multiple_of(LINE) + LINE;
        let mut start = [0; 4];
        let mut offset = uniform_bytes.next_multiple_of(LINE);
        for class in 0..4 {
            start[class] = offset;
            offset += slots[class].count * pitch(class);
        }

        let reg = |v: ValueId| match places[v.0 as usize] {
            Place::Dead => Reg::default(),
            Place::Const(reg) => reg,
            Place::Uniform(offset) => Reg { offset, constant: false, uniform: true },
            Place::Tile(class, slot) => {
                Reg { offset: start[class] + slot * pitch(class), constant: false, uniform: false }
            }
        };
        let (mut uniform, mut tile) = (Vec::new(), Vec::new());
        for (i, inst) in kernel.insts.iter().enumerate() {
            let dst = reg(ValueId(i as u32));
            let step = match inst.prim {
                Prim::Load => Step::Load { operand: inst.imm as u32, dst, ty: inst.ty },
                Prim::Index => Step::Index { operand: inst.imm as u32, dst },
                _ => Step::Compute(op(kernel, i, dst, reg)),
            };
            match places[i] {
                Place::Dead | Place::Const(_) => {}
                Place::Uniform(_) => uniform.push(step),
                Place::Tile(..) => tile.push(step),
            }
        }
        let stores = (kernel.stores.iter())
            .map(|s| StoreStep { operand: s.operand, src: reg(s.value), ty: kernel.ty(s.value) })
            .collect();
        Plan { uniform, tile, stores, lanes, scratch_lines: offset / LINE, arch: Arch::new() }
    }
}

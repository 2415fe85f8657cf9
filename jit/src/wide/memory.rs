//! Loads, stores and coordinates.
//!
//! Lanes of the tail that are not there are not read and not written. With 512 bits, mask registers see to that. With
//! 256 bits, contiguous lanes of 4 and 8 bytes are read under a vector mask; all else goes lane by lane, from pointers
//! that stop at the last lane, and into memory as far as there are lanes.

use super::mach::{Enc, GPR, Index, Kind, Masking, Mem, VEC};
use super::pairs::*;
use super::select::{Ramp, Selector};
use super::sources::{Lanes, Src};
use crate::kernel::{Class, Inst};
use iced_x86::Code;
use regalloc2::{Operand, VReg};
use smallvec::{SmallVec, smallvec};

/// Through a pointer.
pub(super) fn at(disp: i32) -> Mem {
    Mem::At { index: Index::No, scale: 1, disp }
}

/// Through a pointer and strides.
fn strides(n: u8) -> Mem {
    Mem::At { index: Index::Operand, scale: n, disp: 0 }
}

/// A walk from lane to lane of an operand.
struct Cursor {
    operand: usize,
    /// Of the last lane, or of one of the four before the next.
    pointer: VReg,
    taken: usize,
}

/// An address and its registers.
type LanePlace = (Mem, SmallVec<[VReg; 2]>);

impl Selector<'_> {
    /// The elements of an operand.
    pub(super) fn load(&mut self, inst: &Inst) -> Lanes {
        let k = inst.imm as usize;
        let size = inst.ty.size();
        let class = self.kernel.operands[k].class;
        if class == Class::Broadcast {
            let pair = [BROADCASTB, BROADCASTW, BROADCASTSS, BROADCASTSD][size.trailing_zeros() as usize];
            let v = self.push(Enc::new(self.code(pair)).mem(1, at(0)), VEC, &[self.bases[k]]);
            return Lanes { size: size as u8, same: true, vectors: smallvec![Src::Reg(v)] };
        }
        let bytes = (size * self.lanes).min(self.width);
        let count = self.count(size as u8);
        let mut vectors = SmallVec::new();
        let slow = class == Class::Strided || (self.tail && !self.evex && size < 4);
        if slow {
            let mut cursor = self.cursor(k, size);
            for _ in 0..count {
                vectors.push(Src::Reg(self.gather(size, bytes / size, &mut cursor)));
            }
        } else if self.tail {
            vectors.push(Src::Reg(self.load_tail(k, size, bytes)));
        } else {
            let from = self.from_lane * size;
            self.ask(k, size, from..from + count * bytes);
            return self.contiguous(inst);
        }
        Lanes { size: size as u8, same: false, vectors }
    }

    /// The elements of a contiguous operand in a round of the main loop, in memory.
    pub(super) fn contiguous(&self, inst: &Inst) -> Lanes {
        let (size, from) = (inst.ty.size(), self.from_lane * inst.ty.size());
        let bytes = (size * self.lanes).min(self.width) as u8;
        let disp = |v: usize| (from + v * self.width) as i32;
        let src = |v: usize| Src::Mem { operand: inst.imm as u32, disp: disp(v), bytes };
        Lanes { size: size as u8, same: false, vectors: (0..self.count(size as u8)).map(src).collect() }
    }

    /// Before lane zero of an operand.
    fn cursor(&mut self, k: usize, size: usize) -> Cursor {
        let pointer = if self.kernel.operands[k].class == Class::Strided {
            self.strided(k)
        } else {
            let mem = Mem::At { index: Index::Counter, scale: size as u8, disp: 0 };
            self.lea(mem, &[self.bases[k]])
        };
        Cursor { operand: k, pointer, taken: 0 }
    }

    /// `bytes` bytes of a contiguous operand, with anything behind them.
    pub(super) fn load_bytes(&mut self, operand: u32, disp: i32, bytes: usize) -> VReg {
        let scale = self.kernel.operands[operand as usize].dtype.size() as u8;
        let mem = Mem::At { index: Index::Counter, scale, disp };
        let base = self.bases[operand as usize];
        let code = match bytes {
            64 => MOVUPD.evex,
            32 => MOVUPD.vex,
            16 => Code::VEX_Vmovupd_xmm_xmmm128,
            8 => Code::VEX_Vmovq_xmm_xmmm64,
            4 => Code::VEX_Vmovd_xmm_rm32,
            _ => {
                let zero = self.zero();
                let code = if bytes == 2 {
                    Code::VEX_Vpinsrw_xmm_xmm_r32m16_imm8
                } else {
                    Code::VEX_Vpinsrb_xmm_xmm_r32m8_imm8
                };
                return self.push(Enc::new(code).mem(2, mem).imm(0), VEC, &[zero, base]);
            }
        };
        // Registers from 16 on exist in the newer encoding only, and a value may get any.
        let code = if self.evex { newer(code) } else { code };
        self.push(Enc::new(code).mem(1, mem), VEC, &[base])
    }

    /// The lanes of a contiguous operand that the tail has.
    fn load_tail(&mut self, k: usize, size: usize, bytes: usize) -> VReg {
        let mem = Mem::At { index: Index::Counter, scale: size as u8, disp: 0 };
        let base = self.bases[k];
        if self.evex {
            let mask = self.tail_mask();
            let code = masked_move(size, bytes).0;
            return self.push(Enc::new(code).mem(1, mem).masked(Masking::Zero), VEC, &[mask, base]);
        }
        let mask = self.tail_vector(size as u8);
        let code = match (size, bytes) {
            (4, 16) => Code::VEX_Vmaskmovps_xmm_xmm_m128,
            (4, _) => Code::VEX_Vmaskmovps_ymm_ymm_m256,
            (_, 16) => Code::VEX_Vmaskmovpd_xmm_xmm_m128,
            _ => Code::VEX_Vmaskmovpd_ymm_ymm_m256,
        };
        self.push(Enc::new(code).mem(2, mem), VEC, &[mask, base])
    }

    /// The pointer of the lane after that of `pointer`, if the tail has it; else that one.
    fn advance(&mut self, k: usize, pointer: VReg, lane: usize) -> VReg {
        let next = self.body.vreg(GPR);
        let stride = self.strides[k];
        let by = if stride.is_some() { None } else { Some(self.kernel.operands[k].dtype.size() as u8) };
        let mut operands: SmallVec<[Operand; 3]> =
            smallvec![Operand::reg_reuse_def(next, 1), Operand::reg_use(pointer)];
        operands.extend(stride.map(Operand::reg_use));
        self.body.push(Kind::Advance { lane: lane as u8, by }, &operands);
        next
    }

    /// `lanes` lanes from where `cursor` stands; it then stands at the last of them.
    fn gather(&mut self, size: usize, lanes: usize, cursor: &mut Cursor) -> VReg {
        let per = 16 / size;
        let mut parts: SmallVec<[VReg; 4]> = SmallVec::new();
        for first in (0..lanes).step_by(per) {
            let mut part = None;
            for lane in 0..per.min(lanes - first) {
                let place = self.next_lane(cursor, first + lane);
                part = Some(match part {
                    None => self.first_lane(size, &place),
                    Some(part) => self.insert_lane(size, lane as u8, part, &place),
                });
            }
            parts.extend(part);
        }
        self.join_parts(&parts)
    }

    /// Where the next lane is, which is lane `lane` of its vector.
    fn next_lane(&mut self, cursor: &mut Cursor, lane: usize) -> LanePlace {
        let n = cursor.taken;
        cursor.taken += 1;
        if self.tail {
            if n > 0 {
                cursor.pointer = self.advance(cursor.operand, cursor.pointer, lane);
            }
            return (at(0), smallvec![cursor.pointer]);
        }
        let stride = self.strides[cursor.operand].expect("contiguous lanes are read and written at once");
        // A pointer for four lanes, which an address can add one stride to or two, and one to the second of them.
        if n > 0 && n.is_multiple_of(4) {
            cursor.pointer = self.lea(strides(4), &[cursor.pointer, stride]);
        }
        match n % 4 {
            0 => (at(0), smallvec![cursor.pointer]),
            3 => {
                let second = self.lea(strides(1), &[cursor.pointer, stride]);
                (strides(2), smallvec![second, stride])
            }
            by => (strides(by as u8), smallvec![cursor.pointer, stride]),
        }
    }

    pub(super) fn lea(&mut self, mem: Mem, operands: &[VReg]) -> VReg {
        self.push(Enc::new(Code::Lea_r64_m).mem(1, mem), GPR, operands)
    }

    /// The element at `place` in the first lane.
    fn first_lane(&mut self, size: usize, place: &LanePlace) -> VReg {
        let code = match size {
            8 => Code::VEX_Vmovq_xmm_xmmm64,
            4 => Code::VEX_Vmovd_xmm_rm32,
            _ => {
                let zero = self.zero();
                return self.insert_lane(size, 0, zero, place);
            }
        };
        let code = if self.evex { newer(code) } else { code };
        self.push(Enc::new(code).mem(1, place.0), VEC, &place.1)
    }

    fn insert_lane(&mut self, size: usize, lane: u8, part: VReg, place: &LanePlace) -> VReg {
        let code = match size {
            8 => Code::VEX_Vpinsrq_xmm_xmm_rm64_imm8,
            4 => Code::VEX_Vpinsrd_xmm_xmm_rm32_imm8,
            2 => Code::VEX_Vpinsrw_xmm_xmm_r32m16_imm8,
            _ => Code::VEX_Vpinsrb_xmm_xmm_r32m8_imm8,
        };
        let code = if self.evex { newer(code) } else { code };
        let mut operands: SmallVec<[VReg; 3]> = smallvec![part];
        operands.extend_from_slice(&place.1);
        self.push(Enc::new(code).mem(2, place.0).imm(lane), VEC, &operands)
    }

    /// 128-bit parts next to each other.
    pub(super) fn join_parts(&mut self, parts: &[VReg]) -> VReg {
        match *parts {
            [a] => a,
            [a, b] => self.insert_part(a, b, 1),
            [a, b, c, d] => {
                let ab = self.insert_part(a, b, 1);
                let abc = self.insert_part(ab, c, 2);
                self.insert_part(abc, d, 3)
            }
            // Lanes come in powers of two.
            _ => parts[0],
        }
    }

    /// `a` with its 128-bit part `n` replaced.
    fn insert_part(&mut self, a: VReg, part: VReg, n: u8) -> VReg {
        let code = if self.evex {
            Code::EVEX_Vinsertf64x2_zmm_k1z_zmm_xmmm128_imm8
        } else {
            Code::VEX_Vinsertf128_ymm_ymm_xmmm128_imm8
        };
        self.push(Enc::new(code).imm(n), VEC, &[a, part])
    }

    /// The 128-bit part `n` of a vector.
    pub(super) fn part(&mut self, a: VReg, n: u8) -> VReg {
        if n == 0 {
            return a;
        }
        if !self.evex {
            return self.push(Enc::new(Code::VEX_Vextractf128_xmmm128_ymm_imm8).imm(n), VEC, &[a]);
        }
        self.push(Enc::new(Code::EVEX_Vextractf64x2_xmmm128_k1z_zmm_imm8).imm(n), VEC, &[a])
    }

    /// Writes the elements of an output, which are in registers.
    pub(super) fn store(&mut self, k: usize, lanes: &Lanes) {
        let operand = &self.kernel.operands[k];
        let size = operand.dtype.size();
        let bytes = (size * self.lanes).min(self.width);
        let count = self.count(size as u8);
        debug_assert_eq!(count * bytes, size * self.lanes, "a round stores whole vectors");
        debug_assert!(!(self.uniform && self.tail), "a tail's lanes are not the same for a row");
        let slow = operand.class == Class::Strided || (self.tail && !self.evex);
        if slow {
            let mut cursor = self.cursor(k, size);
            for v in 0..count {
                let vector = self.reg(lanes.at(v));
                self.scatter(size, bytes / size, vector, &mut cursor);
            }
            return;
        }
        let base = self.bases[k];
        for v in 0..count {
            let vector = self.reg(lanes.at(v));
            let mem = Mem::At {
                index: Index::Counter,
                scale: size as u8,
                disp: (self.from_lane * size + v * self.width) as i32,
            };
            let mem = if self.uniform { at(0) } else { mem };
            if self.tail {
                let mask = self.tail_mask();
                let code = masked_move(size, bytes).1;
                self.push_store(Enc::new(code).mem(0, mem).masked(Masking::Merge), &[vector, mask, base]);
                continue;
            }
            let (code, imm) = match bytes {
                64 if self.around => (STREAM.evex, None),
                64 => (STORE.evex, None),
                32 if self.around => (if self.evex { Code::EVEX_Vmovntpd_m256_ymm } else { STREAM.vex }, None),
                32 if !self.evex => (STORE.vex, None),
                32 => (Code::VEX_Vmovupd_ymmm256_ymm, None),
                16 if self.around => (Code::VEX_Vmovntpd_m128_xmm, None),
                16 => (Code::VEX_Vmovupd_xmmm128_xmm, None),
                8 => (Code::VEX_Vmovq_xmmm64_xmm, None),
                4 => (Code::VEX_Vmovd_rm32_xmm, None),
                2 => (Code::VEX_Vpextrw_r32m16_xmm_imm8, Some(0)),
                _ => (Code::VEX_Vpextrb_r32m8_xmm_imm8, Some(0)),
            };
            let code = if self.evex { newer(code) } else { code };
            let mut enc = Enc::new(code).mem(0, mem);
            enc.imm = imm;
            self.push_store(enc, &[vector, base]);
        }
    }

    /// Writes lanes one by one, as far as the round has them.
    fn scatter(&mut self, size: usize, lanes: usize, vector: VReg, cursor: &mut Cursor) {
        let per = 16 / size;
        for first in (0..lanes).step_by(per) {
            let part = self.part(vector, (first / per) as u8);
            for lane in 0..per.min(lanes - first) {
                let (mem, registers) = self.next_lane(cursor, first + lane);
                let code = match size {
                    8 => Code::VEX_Vpextrq_rm64_xmm_imm8,
                    4 => Code::VEX_Vpextrd_rm32_xmm_imm8,
                    2 => Code::VEX_Vpextrw_r32m16_xmm_imm8,
                    _ => Code::VEX_Vpextrb_r32m8_xmm_imm8,
                };
                let code = if self.evex { newer(code) } else { code };
                let mut enc = Enc::new(code).mem(0, mem).imm(lane as u8);
                enc.guard = if self.tail { (first + lane) as u8 } else { 0 };
                let mut operands: SmallVec<[VReg; 3]> = smallvec![part];
                operands.extend(registers);
                self.push_store(enc, &operands);
            }
        }
    }

    /// What an index operand adds up to in each lane.
    pub(super) fn ramp(&mut self, stride: VReg) -> Ramp {
        let lea = |s: &mut Self, a: VReg, b: VReg| s.lea(strides(1), &[a, b]);
        let zero = self.zero();
        let insert =
            if self.evex { newer(Code::VEX_Vpinsrq_xmm_xmm_rm64_imm8) } else { Code::VEX_Vpinsrq_xmm_xmm_rm64_imm8 };
        let mut lanes = self.push(Enc::new(insert).imm(1), VEC, &[zero, stride]);
        let mut step = lea(self, stride, stride);
        let mut parts: SmallVec<[VReg; 4]> = smallvec![lanes];
        let two = self.broadcast_gpr(step);
        for _ in 1..self.width / 16 {
            lanes = self.op(PADDQ, 8, &[Src::Reg(lanes), Src::Reg(two)], None);
            parts.push(lanes);
        }
        let lanes = self.join_parts(&parts);
        for _ in 0..(self.width / 16).trailing_zeros() {
            step = lea(self, step, step);
        }
        Ramp { lanes, step: self.broadcast_gpr(step) }
    }

    fn broadcast_gpr(&mut self, a: VReg) -> VReg {
        if self.evex {
            return self.push(Enc::new(Code::EVEX_Vpbroadcastq_zmm_k1z_r64), VEC, &[a]);
        }
        let low = self.push(Enc::new(Code::VEX_Vmovq_xmm_rm64), VEC, &[a]);
        self.all_lanes(low, 8)
    }

    /// The coordinates of an index operand: its first value in the row and multiples of its stride.
    pub(super) fn index(&mut self, inst: &Inst) -> Lanes {
        let k = inst.imm as usize;
        let first = self.strided(k);
        let first = self.broadcast_gpr(first);
        let Some(ramp) = self.ramps[k] else { unreachable!("index operands have a ramp") };
        let mut vector = self.op(PADDQ, 8, &[Src::Reg(first), Src::Reg(ramp.lanes)], None);
        let mut vectors: SmallVec<[Src; 4]> = smallvec![Src::Reg(vector)];
        for _ in 1..self.count(8) {
            vector = self.op(PADDQ, 8, &[Src::Reg(vector), Src::Reg(ramp.step)], None);
            vectors.push(Src::Reg(vector));
        }
        Lanes { size: 8, same: false, vectors }
    }
}

/// The masked load and store of lanes of `size` bytes in a register of `bytes`.
fn masked_move(size: usize, bytes: usize) -> (Code, Code) {
    use Code::*;
    let width = if bytes <= 16 { 0 } else { bytes.trailing_zeros() as usize - 4 };
    match size {
        1 => [
            (EVEX_Vmovdqu8_xmm_k1z_xmmm128, EVEX_Vmovdqu8_xmmm128_k1z_xmm),
            (EVEX_Vmovdqu8_ymm_k1z_ymmm256, EVEX_Vmovdqu8_ymmm256_k1z_ymm),
            (EVEX_Vmovdqu8_zmm_k1z_zmmm512, EVEX_Vmovdqu8_zmmm512_k1z_zmm),
        ][width],
        2 => [
            (EVEX_Vmovdqu16_xmm_k1z_xmmm128, EVEX_Vmovdqu16_xmmm128_k1z_xmm),
            (EVEX_Vmovdqu16_ymm_k1z_ymmm256, EVEX_Vmovdqu16_ymmm256_k1z_ymm),
            (EVEX_Vmovdqu16_zmm_k1z_zmmm512, EVEX_Vmovdqu16_zmmm512_k1z_zmm),
        ][width],
        4 => [
            (EVEX_Vmovups_xmm_k1z_xmmm128, EVEX_Vmovups_xmmm128_k1z_xmm),
            (EVEX_Vmovups_ymm_k1z_ymmm256, EVEX_Vmovups_ymmm256_k1z_ymm),
            (EVEX_Vmovups_zmm_k1z_zmmm512, EVEX_Vmovups_zmmm512_k1z_zmm),
        ][width],
        _ => [
            (EVEX_Vmovupd_xmm_k1z_xmmm128, EVEX_Vmovupd_xmmm128_k1z_xmm),
            (EVEX_Vmovupd_ymm_k1z_ymmm256, EVEX_Vmovupd_ymmm256_k1z_ymm),
            (EVEX_Vmovupd_zmm_k1z_zmmm512, EVEX_Vmovupd_zmmm512_k1z_zmm),
        ][width],
    }
}

/// The encoding that reaches all 32 vector registers.
pub(super) fn newer(code: Code) -> Code {
    use Code::*;
    match code {
        VEX_Vmovupd_ymm_ymmm256 => EVEX_Vmovupd_ymm_k1z_ymmm256,
        VEX_Vmovupd_xmm_xmmm128 => EVEX_Vmovupd_xmm_k1z_xmmm128,
        VEX_Vmovupd_ymmm256_ymm => EVEX_Vmovupd_ymmm256_k1z_ymm,
        VEX_Vmovupd_xmmm128_xmm => EVEX_Vmovupd_xmmm128_k1z_xmm,
        VEX_Vmovntpd_m128_xmm => EVEX_Vmovntpd_m128_xmm,
        VEX_Vmovq_xmm_xmmm64 => EVEX_Vmovq_xmm_xmmm64,
        VEX_Vmovq_xmmm64_xmm => EVEX_Vmovq_xmmm64_xmm,
        VEX_Vmovd_xmm_rm32 => EVEX_Vmovd_xmm_rm32,
        VEX_Vmovd_rm32_xmm => EVEX_Vmovd_rm32_xmm,
        VEX_Vpinsrq_xmm_xmm_rm64_imm8 => EVEX_Vpinsrq_xmm_xmm_rm64_imm8,
        VEX_Vpinsrd_xmm_xmm_rm32_imm8 => EVEX_Vpinsrd_xmm_xmm_rm32_imm8,
        VEX_Vpinsrw_xmm_xmm_r32m16_imm8 => EVEX_Vpinsrw_xmm_xmm_r32m16_imm8,
        VEX_Vpinsrb_xmm_xmm_r32m8_imm8 => EVEX_Vpinsrb_xmm_xmm_r32m8_imm8,
        VEX_Vpextrq_rm64_xmm_imm8 => EVEX_Vpextrq_rm64_xmm_imm8,
        VEX_Vpextrd_rm32_xmm_imm8 => EVEX_Vpextrd_rm32_xmm_imm8,
        VEX_Vpextrw_r32m16_xmm_imm8 => EVEX_Vpextrw_r32m16_xmm_imm8,
        VEX_Vpextrb_r32m8_xmm_imm8 => EVEX_Vpextrb_r32m8_xmm_imm8,
        VEX_Vpsrldq_xmm_xmm_imm8 => EVEX_Vpsrldq_xmm_xmmm128_imm8,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use crate::kernel::{Class, Role, Slab};
    use crate::lower;
    use crate::testing::wide_targets;
    use crate::{Backend, Builder, Code, Target};
    use lazuli_graph::DType;

    /// A byte that is written where one is read: no lane of the next round may be touched by the tail's first.
    #[test]
    fn bytes_in_place_beside_wider_lanes() {
        // Programs of several lengths have rounds of one to four vectors.
        (0..12).for_each(bytes_in_place);
    }

    fn bytes_in_place(terms: usize) {
        let mut b = Builder::new();
        let bytes = b.operand(Role::Input, DType::U8, Class::Contiguous);
        let others = [0; 3].map(|_| b.operand(Role::Input, DType::F64, Class::Contiguous));
        let out = b.operand(Role::Output, DType::U8, Class::Contiguous);
        let x = b.load(bytes);
        let x = lower::cast(&mut b, DType::U8, DType::F64, x);
        let [y, z, w] = others.map(|k| b.load(k));
        let (a, c) = (b.fmul(x, y), b.fmul(z, w));
        let mut sum = b.fadd(a, c);
        for k in [x, y, z, w, a, c].into_iter().cycle().take(terms) {
            let small = b.fmul(k, sum);
            sum = b.fsub(sum, small);
        }
        let sum = lower::cast(&mut b, DType::F64, DType::U8, sum);
        b.store(out, sum);
        let kernel = b.finish();
        let interp = Code::compile(&kernel, Backend::Interp, Target::detect()).unwrap();
        for target in wide_targets() {
            let code = Code::compile(&kernel, Backend::Wide, &target).unwrap();
            for n in 1..80usize {
                let x: Vec<u8> = (0..n).map(|i| (i * 37 % 251) as u8).collect();
                let y: Vec<f64> = (0..3 * n).map(|i| (i % 17) as f64 / 64.0).collect();
                let run = |code: &Code, in_place: bool| {
                    let (mut data, mut apart) = (x.clone(), vec![0u8; n]);
                    let mut slab = Slab::new(5);
                    slab.set_extents(n, 1);
                    slab.set_operand(0, data.as_mut_ptr() as u64, 1, 0);
                    (0..3).for_each(|k| slab.set_operand(1 + k, y[k * n..].as_ptr() as u64, 8, 0));
                    let to = if in_place { &mut data } else { &mut apart };
                    slab.set_operand(4, to.as_mut_ptr() as u64, 1, 0);
                    // SAFETY: all operands have `n` elements; the output is apart, or where the first input is.
                    unsafe { code.run(&slab) };
                    if in_place { data } else { apart }
                };
                assert!(run(&code, true) == run(&interp, false), "{n}, {}", target.name());
            }
        }
    }
}

//! Loads, stores and coordinates.

use super::emit::{Emitter, Lanes, vector_of};
use super::plan::VECTOR;
use crate::kernel::{Class, Inst, Ty};
use cranelift_codegen::ir::types::{F32X4, F64X2, I8X16, I16X8, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value};

/// The flags of accesses to arrays: they are mapped, but not aligned to vectors.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Emitter<'_> {
    /// The elements of an operand.
    pub(super) fn load(&mut self, inst: &Inst) -> Lanes {
        let k = inst.imm as usize;
        let ty = vector_of(inst.ty);
        let size = inst.ty.size() as u8;
        match self.kernel.operands[k].class {
            Class::Broadcast => {
                let base = self.rows[k].base;
                let scalar = self.pos.ins().load(ty.lane_type(), flags(), base, 0);
                let vector = self.pos.ins().splat(ty, scalar);
                Lanes { size, vectors: [vector].into_iter().collect() }
            }
            Class::Contiguous => {
                let address = self.element(k, inst.ty);
                let bytes = (usize::from(size) * self.lanes).min(VECTOR);
                let vectors = (0..self.count(size)).map(|v| self.load_bytes(ty, bytes, address, v * VECTOR)).collect();
                Lanes { size, vectors }
            }
            Class::Strided => {
                let mut address = self.strided(k);
                let stride = self.stride(k);
                let per = VECTOR / usize::from(size);
                let mut left = self.lanes;
                let mut vectors = smallvec::SmallVec::new();
                while left > 0 {
                    let n = left.min(per);
                    left -= n;
                    let mut vector = None;
                    for lane in 0..n {
                        vector = Some(match vector {
                            None => self.load_bytes(ty, usize::from(size), address, 0),
                            Some(vector) => {
                                let scalar = self.pos.ins().load(ty.lane_type(), flags(), address, 0);
                                self.pos.ins().insertlane(vector, scalar, lane as u8)
                            }
                        });
                        if left > 0 || lane + 1 < n {
                            address = self.pos.ins().iadd(address, stride);
                        }
                    }
                    vectors.extend(vector);
                }
                Lanes { size, vectors }
            }
        }
    }

    /// Writes the elements of an output.
    pub(super) fn store(&mut self, k: usize, lanes: &Lanes) {
        let operand = &self.kernel.operands[k];
        if operand.class != Class::Strided {
            let address = self.element(k, Ty::of(operand.dtype));
            let bytes = (usize::from(lanes.size) * self.lanes).min(VECTOR);
            for (v, &vector) in lanes.vectors.iter().enumerate() {
                self.store_bytes(vector, bytes, address, v * VECTOR);
            }
            return;
        }
        let mut address = self.strided(k);
        let stride = self.stride(k);
        for lane in 0..self.lanes {
            let scalar = self.extract(lanes, lane);
            self.pos.ins().store(flags(), scalar, address, 0);
            if lane + 1 < self.lanes {
                address = self.pos.ins().iadd(address, stride);
            }
        }
    }

    /// The coordinates of an index operand: its first value in the row and multiples of its stride.
    pub(super) fn index_lanes(&mut self, inst: &Inst) -> Lanes {
        let k = inst.imm as usize;
        let first = self.strided(k);
        if self.lanes == 1 {
            return Lanes { size: 8, vectors: [self.first_lane(I64X2, first)].into_iter().collect() };
        }
        let stride = self.stride(k);
        let second = self.pos.ins().iadd(first, stride);
        let mut vector = self.assemble(I64X2, &[first, second]);
        let mut vectors: smallvec::SmallVec<_> = [vector].into_iter().collect();
        if self.lanes > 2 {
            let two = self.pos.ins().iadd(stride, stride);
            let two = self.pos.ins().splat(I64X2, two);
            for _ in 1..self.count(8) {
                vector = self.pos.ins().iadd(vector, two);
                vectors.push(vector);
            }
        }
        Lanes { size: 8, vectors }
    }

    /// The address of the round's first element of a contiguous operand.
    fn element(&mut self, k: usize, ty: Ty) -> Value {
        let shift = ty.size().trailing_zeros();
        let mut offset = self.index;
        if shift > 0 {
            offset = self.pos.ins().ishl_imm_u(offset, i64::from(shift));
        }
        let base = self.rows[k].base;
        self.pos.ins().iadd(base, offset)
    }

    /// The address (or coordinate) of the round's first element of an operand with a stride.
    fn strided(&mut self, k: usize) -> Value {
        let (base, stride, index) = (self.rows[k].base, self.stride(k), self.index);
        let offset = self.pos.ins().imul(index, stride);
        self.pos.ins().iadd(base, offset)
    }

    fn stride(&mut self, k: usize) -> Value {
        match self.rows[k].stride {
            Some(stride) => stride,
            // Only strided operands and indices ask, and those have one.
            None => self.pos.ins().iconst(I64, 0),
        }
    }

    /// Reads a vector, or the first bytes of one.
    fn load_bytes(&mut self, ty: Type, bytes: usize, address: Value, offset: usize) -> Value {
        let offset = offset as i32;
        let vector = match bytes {
            1 => {
                let scalar = self.pos.ins().uload8(I32, flags(), address, offset);
                self.pos.ins().scalar_to_vector(I32X4, scalar)
            }
            2 => {
                let scalar = self.pos.ins().uload16(I32, flags(), address, offset);
                self.pos.ins().scalar_to_vector(I32X4, scalar)
            }
            4 => {
                let scalar = self.pos.ins().load(I32, flags(), address, offset);
                self.pos.ins().scalar_to_vector(I32X4, scalar)
            }
            8 => {
                let scalar = self.pos.ins().load(I64, flags(), address, offset);
                self.pos.ins().scalar_to_vector(I64X2, scalar)
            }
            _ => return self.pos.ins().load(ty, flags(), address, offset),
        };
        self.cast(vector, ty)
    }

    /// Writes a vector, or the first bytes of one.
    fn store_bytes(&mut self, vector: Value, bytes: usize, address: Value, offset: usize) {
        let via = match bytes {
            1 => I8X16,
            2 => I16X8,
            4 => F32X4,
            8 => F64X2,
            _ => {
                self.pos.ins().store(flags(), vector, address, offset as i32);
                return;
            }
        };
        let vector = self.cast(vector, via);
        let scalar = self.pos.ins().extractlane(vector, 0);
        self.pos.ins().store(flags(), scalar, address, offset as i32);
    }
}

//! What is done out of line: calls, which are rarely made, their common part, divisions and roots.

use super::super::divide::UNORDERED;
use super::super::mach::Call;
use super::super::pairs::*;
use super::{ARGUMENTS, Aside, EQUAL, Failure, Label, NOT_EQUAL, RSP, Stub, T1, Writer, gpr};
use iced_x86::{Code, IcedError, Instruction, MemoryOperand, Register};
use regalloc2::{Allocation, Inst};

impl Writer<'_> {
    fn argument(&self, k: usize) -> i32 {
        (ARGUMENTS + k * self.body.width) as i32
    }

    fn store_argument(&mut self, k: usize, allocation: Allocation, mask_size: u8) -> Result<(), Failure> {
        let register = self.register(allocation)?;
        let at = self.argument(k);
        if !self.evex {
            return self.mr(Code::VEX_Vmovupd_ymmm256_ymm, RSP, at, register);
        }
        if mask_size == 0 {
            return self.mr(Code::EVEX_Vmovupd_zmmm512_k1z_zmm, RSP, at, register);
        }
        // All registers are saved by now, but for those that the arguments are in.
        let code = if mask_size == 8 { Code::EVEX_Vpmovm2q_zmm_kr } else { Code::EVEX_Vpmovm2d_zmm_kr };
        self.mr(Code::EVEX_Vmovupd_zmmm512_k1z_zmm, RSP, self.saves as i32, Register::ZMM0)?;
        self.rr(code, Register::ZMM0, register)?;
        self.mr(Code::EVEX_Vmovupd_zmmm512_k1z_zmm, RSP, at, Register::ZMM0)?;
        self.rm(Code::EVEX_Vmovupd_zmm_k1z_zmmm512, Register::ZMM0, RSP, self.saves as i32)
    }

    fn load_result(&mut self, inst: Inst) -> Result<(), Failure> {
        let (result, at) = (self.result(inst)?, self.argument(0));
        let code = if self.evex { Code::EVEX_Vmovupd_zmm_k1z_zmmm512 } else { Code::VEX_Vmovupd_ymm_ymmm256 };
        self.rm(code, result, RSP, at)
    }

    /// Goes through the common part of calls.
    fn enter_call(&mut self, call: Call) -> Result<(), Failure> {
        for (word, value) in [(16, call.function as u64), (24, call.routine), (32, call.lanes.into())] {
            self.constant(T1, value)?;
            self.mr(Code::Mov_rm64_r64, RSP, word, T1)?;
        }
        let thunk = match self.thunk {
            Some(thunk) => thunk,
            None => {
                let thunk = self.label();
                *self.thunk.insert(thunk)
            }
        };
        self.byte(0xe8);
        self.to(Label::Other(thunk));
        Ok(())
    }

    pub(super) fn call(&mut self, call: Call, inst: Inst) -> Result<(), Failure> {
        // `[result, a, …]`: the result may be where an argument is.
        let allocs = self.output.inst_allocs(inst);
        for (k, &argument) in allocs[1..].iter().enumerate() {
            self.store_argument(k, argument, 0)?;
        }
        self.enter_call(call)?;
        self.load_result(inst)
    }

    pub(super) fn call_if(&mut self, call: Call, inst: Inst) -> Result<(), Failure> {
        let mask = self.register(self.output.inst_allocs(inst)[2])?;
        if call.mask_size == 0 {
            self.rr(Code::VEX_Vptest_ymm_ymmm256, mask, mask)?;
        } else {
            let code = if call.lanes <= 8 { Code::VEX_Kortestb_kr_kr } else { Code::VEX_Kortestw_kr_kr };
            self.rr(code, mask, mask)?;
        }
        self.aside(inst, Aside::Call(call));
        Ok(())
    }

    pub(super) fn divide_if(&mut self, root: bool, size: u8, inst: Inst) -> Result<(), Failure> {
        let allocs = self.output.inst_allocs(inst);
        let masks = (self.register(allocs[4])?, self.register(allocs[5])?);
        self.rr(if size == 8 { Code::VEX_Kortestb_kr_kr } else { Code::VEX_Kortestw_kr_kr }, masks.0, masks.1)?;
        self.aside(inst, Aside::Divide { root, size });
        Ok(())
    }

    /// Goes out of line if the mask at this place of the operands has a lane.
    pub(super) fn unless_near(&mut self, mask: u8, what: Aside, inst: Inst) -> Result<(), Failure> {
        let far = self.register(self.output.inst_allocs(inst)[usize::from(mask)])?;
        self.rr(Code::VEX_Kortestb_kr_kr, far, far)?;
        self.aside(inst, what);
        Ok(())
    }

    /// Roots that may be wrong.
    fn rooted(&mut self, count: usize, inst: Inst) -> Result<(), Failure> {
        let allocs = self.output.inst_allocs(inst);
        for k in 0..count {
            let (root, x) = (self.register(allocs[k])?, self.register(allocs[2 * count + k])?);
            self.masked(Instruction::with2(SQRTPD.evex, root, x), None)?;
        }
        Ok(())
    }

    /// Quotients that may be wrong: zeros have a sign, and small numbers, infinities and NaN are divided after all.
    fn looked_at(&mut self, count: usize, inst: Inst) -> Result<(), Failure> {
        let registers: Result<Vec<Register>, Failure> =
            self.output.inst_allocs(inst).iter().map(|&a| self.register(a)).collect();
        let registers = registers?;
        let (quotients, args) = (&registers[..count], registers[2 * count..].chunks(3));
        let [bits, number, wrong] = [1, 2, 3].map(|n| registers[5 * count + n]);
        let (left, right) = (Code::EVEX_Vpsllq_zmm_k1z_zmmm512b64_imm8, Code::EVEX_Vpsrlq_zmm_k1z_zmmm512b64_imm8);
        let (is_set, is_zero) = (TESTMQ.evex, TESTNMQ.evex);
        for (&q, of_q) in quotients.iter().zip(args) {
            let [x, y, h] = [0, 1, 2].map(|n| of_q[n]);
            // Without the sign.
            self.masked(Instruction::with3(left, bits, x, 1), None)?;
            self.masked(Instruction::with3(is_zero, wrong, bits, bits), None)?;
            self.masked(Instruction::with3(is_set, number, bits, bits), None)?;
            self.masked(Instruction::with3(MULPD.evex, q, x, h), Some(wrong))?;
            // Two bits of the exponent, of which one is set in every number from 2^-511 on.
            self.masked(Instruction::with3(right, bits, bits, 62), None)?;
            self.masked(Instruction::with3(is_zero, number, bits, bits), Some(number))?;
            self.masked(Instruction::with4(CMPPD.evex, wrong, q, q, i32::from(UNORDERED)), None)?;
            self.rr(Code::VEX_Kortestb_kr_kr, number, wrong)?;
            let next = self.label();
            self.branch(EQUAL, Label::Other(next));
            self.masked(Instruction::with3(DIVPD.evex, q, x, y), None)?;
            self.bind(next);
        }
        Ok(())
    }

    /// An instruction, for the lanes of a mask, or for all.
    fn masked(&mut self, i: Result<Instruction, IcedError>, mask: Option<Register>) -> Result<(), Failure> {
        let mut i = i.map_err(|e| e.to_string())?;
        if let Some(mask) = mask {
            i.set_op_mask(mask);
        }
        self.put(&i)
    }

    /// Goes out of line if the last comparison says so, and comes back.
    fn aside(&mut self, inst: Inst, what: Aside) {
        let (start, back) = (self.label(), self.label());
        self.branch(NOT_EQUAL, Label::Other(start));
        self.bind(back);
        self.stubs.push(Stub { inst, what, start, back });
    }

    pub(super) fn stub(&mut self, Stub { inst, what, start, back }: Stub) -> Result<(), Failure> {
        self.bind(start);
        match what {
            Aside::Call(call) => self.called(inst, call)?,
            Aside::Divide { root, size } => self.divided(root, size, inst)?,
            Aside::Quotients(count) => self.looked_at(count.into(), inst)?,
            Aside::Roots(count) => self.rooted(count.into(), inst)?,
        }
        self.jump(Label::Other(back));
        Ok(())
    }

    fn divided(&mut self, root: bool, size: u8, inst: Inst) -> Result<(), Failure> {
        let allocs = self.output.inst_allocs(inst);
        let (result, x, y) = (self.register(allocs[0])?, self.register(allocs[2])?, self.register(allocs[3])?);
        let i = match (root, size) {
            (true, 8) => Instruction::with2(SQRTPD.evex, result, x),
            (true, _) => Instruction::with2(SQRTPS.evex, result, x),
            (false, 8) => Instruction::with3(DIVPD.evex, result, x, y),
            (false, _) => Instruction::with3(DIVPS.evex, result, x, y),
        };
        self.put(&i.map_err(|e| e.to_string())?)
    }

    fn called(&mut self, inst: Inst, call: Call) -> Result<(), Failure> {
        // `[result, b, m, a, …]` to `b, a, …, m`, which is how functions take it.
        let allocs = self.output.inst_allocs(inst);
        let last = allocs.len() - 2;
        self.store_argument(0, allocs[0], 0)?;
        for k in 1..last {
            self.store_argument(k, allocs[k + 2], 0)?;
        }
        self.store_argument(last, allocs[2], call.mask_size)?;
        self.enter_call(call)?;
        self.load_result(inst)
    }

    /// The common part of calls: saves every register, calls what the frame says, restores.
    pub(super) fn thunk(&mut self, label: usize) -> Result<(), Failure> {
        debug_assert!(self.calls, "the frame has room for calls");
        self.bind(label);
        // The return address is on the stack.
        let frame = |at: usize| (at + 8) as i32;
        let width = self.body.width;
        let vectors = if self.evex { 32 } else { 16 };
        let (store, load) = if self.evex {
            (Code::EVEX_Vmovupd_zmmm512_k1z_zmm, Code::EVEX_Vmovupd_zmm_k1z_zmmm512)
        } else {
            (Code::VEX_Vmovupd_ymmm256_ymm, Code::VEX_Vmovupd_ymm_ymmm256)
        };
        // What is callee-saved stays. Windows asks for more than the System V convention saves, and gets it.
        const GPRS: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];
        let gprs = self.saves + vectors * width;
        let masks = gprs + 128;
        for n in 0..vectors {
            self.mr(store, RSP, frame(self.saves + n * width), self.vector(n))?;
        }
        for n in GPRS {
            self.mr(Code::Mov_rm64_r64, RSP, frame(gprs + 8 * n), gpr(n))?;
        }
        if self.evex {
            for n in 1..8 {
                self.mr(Code::VEX_Kmovq_m64_kr, RSP, frame(masks + 8 * n), Register::K0 + n as u32)?;
            }
        }
        self.put(&Instruction::with(Code::VEX_Vzeroupper))?;
        let registers = if cfg!(windows) {
            [Register::RCX, Register::RDX, Register::R8]
        } else {
            [Register::RDI, Register::RSI, Register::RDX]
        };
        self.rm(Code::Mov_r64_rm64, T1, RSP, frame(16))?;
        self.rm(Code::Mov_r64_rm64, registers[0], RSP, frame(24))?;
        self.rm(Code::Mov_r64_rm64, registers[1], RSP, frame(32))?;
        let arguments = MemoryOperand::with_base_displ(RSP, frame(ARGUMENTS).into());
        let i = Instruction::with2(Code::Lea_r64_m, registers[2], arguments).map_err(|e| e.to_string())?;
        self.put(&i)?;
        // Aligned to 16 again, with the room that Windows asks for.
        self.ri(Code::Sub_rm64_imm8, RSP, 40)?;
        let i = Instruction::with1(Code::Call_rm64, T1).map_err(|e| e.to_string())?;
        self.put(&i)?;
        self.ri(Code::Add_rm64_imm8, RSP, 40)?;
        for n in 0..vectors {
            self.rm(load, self.vector(n), RSP, frame(self.saves + n * width))?;
        }
        for n in GPRS {
            self.rm(Code::Mov_r64_rm64, gpr(n), RSP, frame(gprs + 8 * n))?;
        }
        if self.evex {
            for n in 1..8 {
                self.rm(Code::VEX_Kmovq_kr_km64, Register::K0 + n as u32, RSP, frame(masks + 8 * n))?;
            }
        }
        self.put(&Instruction::with(Code::Retnq))
    }
}

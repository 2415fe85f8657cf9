//! The ends of blocks: counters, limits, and where the code goes on.

use super::super::mach::Kind;
use super::order::through;
use super::{ABOVE, BELOW, BELOW_EQUAL, EQUAL, LESS, NOT_BELOW, NOT_EQUAL};
use super::{COUNTER, END, Failure, LIMIT, Label, RSP, SLAB, STATE, T0, Writer, gpr};
use iced_x86::{Code, Instruction, MemoryOperand, Register};
use regalloc2::{Block, Function, Inst};

impl Writer<'_> {
    /// The last instruction of a block.
    pub(super) fn end(
        &mut self,
        kind: Kind,
        (block, inst): (Block, Inst),
        next: Option<usize>,
        saved: &[usize],
        done: usize,
    ) -> Result<(), Failure> {
        let (lanes, single) = (self.rounds.lanes as i32, self.rounds.single as i32);
        let successor = |k: usize| through(self.body, self.output, self.body.block_succs(block)[k].index());
        let target = |k: usize| Label::Block(successor(k));
        match kind {
            Kind::Jump => self.go(successor(0), next),
            Kind::EnterMain => {
                self.rr(Code::Xor_r32_rm32, Register::EAX, Register::EAX)?;
                self.rm(Code::Mov_r64_rm64, LIMIT, SLAB, 0)?;
                self.ri(Code::Sub_rm64_imm32, LIMIT, lanes)?;
                self.choose(BELOW, target(1), successor(0), next);
            }
            Kind::NextMain => {
                self.ri(Code::Add_rm64_imm32, COUNTER, self.rounds.last as i32)?;
                self.rr(Code::Cmp_r64_rm64, COUNTER, LIMIT)?;
                self.choose(BELOW_EQUAL, target(0), successor(1), next);
            }
            Kind::EnterHead { size } => {
                let base = self.register(self.output.inst_allocs(inst)[0])?;
                self.rr(Code::Mov_r64_rm64, T0, base)?;
                let i = Instruction::with1(Code::Neg_rm64, T0).map_err(|e| e.to_string())?;
                self.put(&i)?;
                self.ri(Code::And_rm64_imm8, T0, self.body.width as i32 - 1)?;
                self.ri(Code::Shr_rm64_imm8, T0, size.trailing_zeros() as i32)?;
                self.rm(Code::Mov_r64_rm64, LIMIT, SLAB, 0)?;
                self.rr(Code::Cmp_r64_rm64, T0, LIMIT)?;
                self.rr(Code::Cmovb_r64_rm64, LIMIT, T0)?;
                self.mr(Code::Mov_rm64_r64, RSP, END, LIMIT)?;
                self.rr(Code::Xor_r32_rm32, Register::EAX, Register::EAX)?;
                self.rr(Code::Test_rm64_r64, LIMIT, LIMIT)?;
                self.choose(NOT_EQUAL, target(0), successor(1), next);
            }
            Kind::HeadDone => {
                self.rm(Code::Mov_r64_rm64, COUNTER, RSP, END)?;
                self.mi(Code::Mov_rm64_imm32, RSP, END, 0)?;
                self.go(successor(0), next);
            }
            Kind::Resume => {
                self.rm(Code::Mov_r64_rm64, LIMIT, SLAB, 0)?;
                self.enter(lanes, target(1), successor(0), next)?;
            }
            Kind::BeginRow { first } => {
                self.rr(Code::Xor_r32_rm32, Register::EAX, Register::EAX)?;
                if first {
                    self.mr(Code::Mov_rm64_r64, RSP, STATE, COUNTER)?;
                }
                self.go(successor(0), next);
            }
            Kind::EnterBlock { length } => {
                let end = MemoryOperand::with_base_displ(COUNTER, length.into());
                let i = Instruction::with2(Code::Lea_r64_m, LIMIT, end).map_err(|e| e.to_string())?;
                self.put(&i)?;
                self.rm(Code::Mov_r64_rm64, T0, SLAB, 0)?;
                self.rr(Code::Cmp_r64_rm64, T0, LIMIT)?;
                self.rr(Code::Cmovb_r64_rm64, LIMIT, T0)?;
                self.mr(Code::Mov_rm64_r64, RSP, END, LIMIT)?;
                self.enter(lanes, target(1), successor(0), next)?;
            }
            Kind::EnterBlockTail => {
                self.rm(Code::Mov_r64_rm64, LIMIT, RSP, END)?;
                self.rr(Code::Sub_r64_rm64, LIMIT, COUNTER)?;
                self.choose(EQUAL, target(1), successor(0), next);
            }
            Kind::NextBlock => {
                self.mi(Code::Add_rm64_imm8, RSP, STATE, 1)?;
                // In the tail the counter need not have come to the end.
                self.rm(Code::Mov_r64_rm64, T0, RSP, END)?;
                self.rm(Code::Cmp_r64_rm64, T0, SLAB, 0)?;
                self.choose(BELOW, target(0), successor(1), next);
            }
            Kind::EnterTree => {
                self.mi(Code::Cmp_rm64_imm8, RSP, STATE, 1)?;
                self.choose(NOT_EQUAL, target(0), successor(1), next);
            }
            Kind::FirstPair => {
                self.rr(Code::Xor_r32_rm32, Register::EAX, Register::EAX)?;
                self.ri(Code::Mov_r32_imm32, Register::EDX, 1)?;
                self.go(successor(0), next);
            }
            Kind::NextPair => {
                let pair = MemoryOperand::with_base_index_scale(COUNTER, LIMIT, 2);
                let i = Instruction::with2(Code::Lea_r64_m, COUNTER, pair).map_err(|e| e.to_string())?;
                self.put(&i)?;
                self.rm(Code::Mov_r64_rm64, T0, RSP, STATE)?;
                self.rr(Code::Sub_r64_rm64, T0, LIMIT)?;
                self.rr(Code::Cmp_r64_rm64, COUNTER, T0)?;
                self.branch(BELOW, target(0));
                // Twice as far apart.
                self.rr(Code::Xor_r32_rm32, Register::EAX, Register::EAX)?;
                self.rr(Code::Add_r64_rm64, LIMIT, LIMIT)?;
                self.rm(Code::Cmp_r64_rm64, LIMIT, RSP, STATE)?;
                self.choose(BELOW, target(0), successor(1), next);
            }
            Kind::EnterStage { behind } => {
                self.rm(Code::Mov_r64_rm64, T0, RSP, 0)?;
                if behind > 0 {
                    self.ri(Code::Sub_rm64_imm8, T0, behind.into())?;
                }
                // Rows before the first have the largest numbers.
                self.rm(Code::Cmp_r64_rm64, T0, SLAB, 8)?;
                self.choose(NOT_BELOW, target(1), successor(0), next);
            }
            Kind::EnterTogether { behind } => {
                self.rm(Code::Mov_r64_rm64, T0, RSP, 0)?;
                self.rm(Code::Cmp_r64_rm64, T0, SLAB, 8)?;
                self.branch(NOT_BELOW, target(1));
                self.ri(Code::Sub_rm64_imm8, T0, behind.into())?;
                self.choose(BELOW, target(1), successor(0), next);
            }
            Kind::EnterAligned => {
                let base = self.register(self.output.inst_allocs(inst)[0])?;
                self.ri(Code::Test_rm64_imm32, base, self.body.width as i32 - 1)?;
                self.choose(NOT_EQUAL, target(1), successor(0), next);
            }
            Kind::EnterWhole => {
                self.rm(Code::Mov_r64_rm64, LIMIT, SLAB, 0)?;
                self.enter(single, target(1), successor(0), next)?;
            }
            Kind::NextWhole => {
                self.ri(Code::Add_rm64_imm32, COUNTER, single)?;
                self.rr(Code::Cmp_r64_rm64, COUNTER, LIMIT)?;
                self.choose(BELOW_EQUAL, target(0), successor(1), next);
            }
            Kind::EnterTail => {
                self.rm(Code::Mov_r64_rm64, LIMIT, SLAB, 0)?;
                self.rr(Code::Sub_r64_rm64, LIMIT, COUNTER)?;
                self.choose(EQUAL, target(1), successor(0), next);
            }
            Kind::NextTail => {
                self.ri(Code::Add_rm64_imm32, COUNTER, single)?;
                self.ri(Code::Sub_rm64_imm32, LIMIT, single)?;
                if self.body.block_succs(block).len() > 2 {
                    self.branch(ABOVE, target(0));
                    self.mi(Code::Cmp_rm64_imm8, RSP, END, 0)?;
                    self.choose(NOT_EQUAL, target(2), successor(1), next);
                } else {
                    self.choose(ABOVE, target(0), successor(1), next);
                }
            }
            Kind::FirstRow { counted: false } => {
                self.mi(Code::Mov_rm64_imm32, RSP, 0, 0)?;
                self.go(successor(0), next);
            }
            Kind::FirstRow { counted: true } => {
                self.mr(Code::Mov_rm64_r64, RSP, END, LIMIT)?;
                self.rr(Code::Xor_r32_rm32, Register::EDX, Register::EDX)?;
                self.go(successor(0), next);
            }
            Kind::NextCounted => {
                self.ri(Code::Add_rm64_imm8, LIMIT, 1)?;
                self.rm(Code::Cmp_r64_rm64, LIMIT, SLAB, 8)?;
                self.branch(BELOW, target(0));
                self.rm(Code::Mov_r64_rm64, LIMIT, RSP, END)?;
                self.go(successor(1), next);
            }
            Kind::NextRow { more } => {
                self.rm(Code::Mov_r64_rm64, T0, RSP, 0)?;
                self.ri(Code::Add_rm64_imm8, T0, 1)?;
                self.mr(Code::Mov_rm64_r64, RSP, 0, T0)?;
                if more > 0 {
                    self.ri(Code::Sub_rm64_imm8, T0, more.into())?;
                }
                self.rm(Code::Cmp_r64_rm64, T0, SLAB, 8)?;
                self.choose(LESS, target(0), successor(1), next);
            }
            _ => {
                self.put(&Instruction::with(Code::VEX_Vzeroupper))?;
                self.rm(Code::Mov_r64_rm64, RSP, RSP, 8)?;
                for &r in saved.iter().rev() {
                    let i = Instruction::with1(Code::Pop_r64, gpr(r)).map_err(|e| e.to_string())?;
                    self.put(&i)?;
                }
                self.bind(done);
                self.put(&Instruction::with(Code::Retnq))?;
            }
        }
        Ok(())
    }

    /// Sets the limit, which holds where elements end, for rounds of `lanes`, and goes to `other` if one is left, else to
    /// `none`.
    fn enter(&mut self, lanes: i32, none: Label, other: usize, next: Option<usize>) -> Result<(), Failure> {
        self.ri(Code::Sub_rm64_imm32, LIMIT, lanes)?;
        self.branch(BELOW, none);
        self.rr(Code::Cmp_r64_rm64, COUNTER, LIMIT)?;
        self.choose(ABOVE, none, other, next);
        Ok(())
    }

    /// Goes to `taken` on a condition, else to the block `other`, which may be the one that comes `next`.
    fn choose(&mut self, condition: u8, taken: Label, other: usize, next: Option<usize>) {
        self.branch(condition, taken);
        self.go(other, next);
    }

    /// Goes to the block `to`, which may be the one that comes `next`.
    fn go(&mut self, to: usize, next: Option<usize>) {
        if next != Some(to) {
            self.jump(Label::Block(to));
        }
    }
}

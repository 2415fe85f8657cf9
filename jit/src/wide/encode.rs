//! From instructions with registers to bytes.
//!
//! ```text
//! constants | checks, prologue | row: main loop, tail | epilogue | calls that are rarely made | their common part
//! ```
//! The code takes the address of a slab and follows the System V convention. Registers that are never allocated:
//!
//! | register | holds |
//! |---|---|
//! | `rdi` | the slab |
//! | `rax` | the element counter of the row; the left state of a pair |
//! | `rdx` | in the loops of whole rounds the last counter at which one is left; in the tail the elements left; how far the states of a pair are apart; the number of the row, where rows are a loop within whole rounds |
//! | `r10`, `r11` | nothing from one instruction to the next |
//! | `rsp` | the frame |
//! | the last vectors | accumulators, where rows are reduced ([`super::fold`]) |
//!
//! | bytes of the frame | what |
//! |---|---|
//! | 0, 8 | the number of the row; the stack pointer to go back to |
//! | 16, 24, 32 | of a call: function, routine, lanes |
//! | 40 | where the block of the row ends that is reduced; how many lanes the tail does first, while it does them; what `rdx` had before it counted rows |
//! | 48 | the number of the next state; then how many there are |
//! | 64 … | of a call: argument vectors, then every register |
//! | then | spilled values |

use super::mach::{Body, Call, Enc, GPR, Index, Kind, MASK, Masking, Mem, VEC};
use super::plan::Rounds;
use iced_x86::{Code, Encoder, Instruction, MemoryOperand, OpKind, Register};
use regalloc2::{Allocation, Block, Edit, Inst, InstOrEdit, MachineEnv, Output, PReg, PRegSet, RegClass};

mod calls;
mod ends;
mod order;

/// General registers that may be allocated: those a call need not preserve first.
const SCRATCH_GPRS: [u8; 4] = [1, 6, 8, 9];
const SAVED_GPRS: [u8; 6] = [3, 5, 12, 13, 14, 15];

/// Where in the frame the end of a block is, or the lanes that the tail does first.
const END: i32 = 40;
/// Where in the frame the number of the next state is.
pub(super) const STATE: i32 = 48;
/// Where in the frame the arguments of calls are.
const ARGUMENTS: usize = 64;
/// Arguments of a call, at most, with its mask.
const MAX_ARGUMENTS: usize = 4;

/// What the registers are.
/// The last `taken` vector registers are not for the allocator.
pub(super) fn environment(evex: bool, taken: usize) -> MachineEnv {
    let set = |class: RegClass, numbers: &mut dyn Iterator<Item = usize>| {
        numbers.fold(PRegSet::empty(), |set, n| set.with(PReg::new(n, class)))
    };
    let vectors = if evex { 32 } else { 16 } - taken;
    MachineEnv {
        preferred_regs_by_class: [
            set(GPR, &mut SCRATCH_GPRS.iter().map(|&n| n as usize)),
            set(VEC, &mut (0..vectors)),
            set(MASK, &mut (1..8)),
        ],
        non_preferred_regs_by_class: [
            set(GPR, &mut SAVED_GPRS.iter().map(|&n| n as usize)),
            PRegSet::empty(),
            PRegSet::empty(),
        ],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}

/// The encoded function.
pub(super) struct Encoded {
    /// Constants and code.
    pub(super) bytes: Vec<u8>,
    /// Where the code starts.
    pub(super) entry: usize,
}

/// An instruction that cannot be encoded: a bug.
type Failure = String;

/// A place to go to.
#[derive(Clone, Copy)]
enum Label {
    Block(usize),
    Other(usize),
}

struct Writer<'a> {
    body: &'a Body,
    output: &'a Output,
    /// Those of the current block.
    rounds: Rounds,
    evex: bool,
    encoder: Encoder,
    at: usize,
    blocks: Vec<usize>,
    others: Vec<usize>,
    fixups: Vec<(usize, Label)>,
    stubs: Vec<Stub>,
    calls: bool,
    /// The label of the common part of calls.
    thunk: Option<usize>,
    frame: usize,
    saves: usize,
    spills: usize,
    tail_table: u32,
}

/// Code out of line that waits to be written.
struct Stub {
    inst: Inst,
    what: Aside,
    start: usize,
    back: usize,
}

/// What code out of line does.
#[derive(Clone, Copy)]
enum Aside {
    Call(Call),
    /// A division or a root of lanes of so many bytes.
    Divide {
        root: bool,
        size: u8,
    },
    /// So many quotients.
    Quotients(u8),
    /// So many roots.
    Roots(u8),
}

const RSP: Register = Register::RSP;
const SLAB: Register = Register::RDI;
const COUNTER: Register = Register::RAX;
const LIMIT: Register = Register::RDX;
const T0: Register = Register::R10;
const T1: Register = Register::R11;

fn gpr(n: usize) -> Register {
    const NAMES: [Register; 16] = [
        Register::RAX,
        Register::RCX,
        Register::RDX,
        Register::RBX,
        Register::RSP,
        Register::RBP,
        Register::RSI,
        Register::RDI,
        Register::R8,
        Register::R9,
        Register::R10,
        Register::R11,
        Register::R12,
        Register::R13,
        Register::R14,
        Register::R15,
    ];
    NAMES[n]
}

/// Encodes `body` with the registers that `output` gives it. `pool` are the constants; at `tail_table` in them, one
/// vector of ones is followed by one of zeros.
pub(super) fn encode(body: &Body, output: &Output, pool: &[u8], tail_table: u32) -> Result<Encoded, Failure> {
    let evex = body.width == 64;
    let calls = body.insts.iter().any(|i| matches!(i.kind, Kind::CallIf(_) | Kind::Call(_)));
    let saves = ARGUMENTS + MAX_ARGUMENTS * body.width;
    let vectors = if evex { 32 } else { 16 };
    let spills = if calls { saves + vectors * body.width + 128 + 64 } else { ARGUMENTS };
    let frame = (spills + output.num_spillslots * 8).next_multiple_of(64);
    let mut encoder = Encoder::new(64);
    let entry = pool.len().next_multiple_of(64);
    let mut start = Vec::with_capacity(entry + 16 * body.insts.len());
    start.extend_from_slice(pool);
    start.resize(entry, 0);
    encoder.set_buffer(start);
    let mut w = Writer {
        body,
        output,
        rounds: Rounds::default(),
        evex,
        encoder,
        at: entry,
        blocks: vec![usize::MAX; body.block_count()],
        others: Vec::new(),
        fixups: Vec::new(),
        stubs: Vec::new(),
        calls,
        thunk: None,
        frame,
        saves,
        spills,
        tail_table,
    };
    w.function()?;
    let mut bytes = w.encoder.take_buffer();
    for (at, label) in w.fixups {
        let target = match label {
            Label::Block(b) => w.blocks[b],
            Label::Other(l) => w.others[l],
        };
        let distance = (target as i64 - (at as i64 + 4)) as i32;
        bytes[at..at + 4].copy_from_slice(&distance.to_le_bytes());
    }
    Ok(Encoded { bytes, entry })
}

impl Writer<'_> {
    fn put(&mut self, instruction: &Instruction) -> Result<(), Failure> {
        let n = self.encoder.encode(instruction, self.at as u64).map_err(|e| {
            let operands: Vec<String> =
                (0..instruction.op_count()).map(|i| format!("{:?}", instruction.op_kind(i))).collect();
            format!("{:?} ({}): {e}", instruction.code(), operands.join(", "))
        })?;
        self.at += n;
        Ok(())
    }

    fn byte(&mut self, byte: u8) {
        self.encoder.write_u8(byte);
        self.at += 1;
    }

    fn rr(&mut self, code: Code, a: Register, b: Register) -> Result<(), Failure> {
        let i = Instruction::with2(code, a, b).map_err(|e| e.to_string())?;
        self.put(&i)
    }

    fn rm(&mut self, code: Code, a: Register, base: Register, disp: i32) -> Result<(), Failure> {
        let i = Instruction::with2(code, a, MemoryOperand::with_base_displ(base, disp.into()));
        self.put(&i.map_err(|e| e.to_string())?)
    }

    fn mr(&mut self, code: Code, base: Register, disp: i32, b: Register) -> Result<(), Failure> {
        let i = Instruction::with2(code, MemoryOperand::with_base_displ(base, disp.into()), b);
        self.put(&i.map_err(|e| e.to_string())?)
    }

    fn ri(&mut self, code: Code, a: Register, imm: i32) -> Result<(), Failure> {
        let i = Instruction::with2(code, a, imm).map_err(|e| e.to_string())?;
        self.put(&i)
    }

    fn mi(&mut self, code: Code, base: Register, disp: i32, imm: i32) -> Result<(), Failure> {
        let i = Instruction::with2(code, MemoryOperand::with_base_displ(base, disp.into()), imm);
        self.put(&i.map_err(|e| e.to_string())?)
    }

    fn constant(&mut self, register: Register, value: u64) -> Result<(), Failure> {
        let i = Instruction::with2(Code::Mov_r64_imm64, register, value).map_err(|e| e.to_string())?;
        self.put(&i)
    }

    fn label(&mut self) -> usize {
        self.others.push(usize::MAX);
        self.others.len() - 1
    }

    fn bind(&mut self, label: usize) {
        self.others[label] = self.at;
    }

    fn to(&mut self, label: Label) {
        self.fixups.push((self.at, label));
        for _ in 0..4 {
            self.byte(0);
        }
    }

    fn jump(&mut self, label: Label) {
        self.byte(0xe9);
        self.to(label);
    }

    /// A jump on a condition, by the low digit of its opcode.
    fn branch(&mut self, condition: u8, label: Label) {
        self.byte(0x0f);
        self.byte(0x80 + condition);
        self.to(label);
    }

    fn function(&mut self) -> Result<(), Failure> {
        let done = self.label();
        for word in [0, 8] {
            self.mi(Code::Cmp_rm64_imm8, SLAB, word, 0)?;
            self.branch(EQUAL, Label::Other(done));
        }
        let saved = self.saved_registers();
        for &r in &saved {
            let i = Instruction::with1(Code::Push_r64, gpr(r)).map_err(|e| e.to_string())?;
            self.put(&i)?;
        }
        self.rr(Code::Mov_r64_rm64, T1, RSP)?;
        self.ri(Code::And_rm64_imm8, RSP, -64)?;
        // A frame of several pages must not reach beyond the one that ends the stack without touching it.
        for page in (4096..=self.frame).step_by(4096) {
            self.mi(Code::Cmp_rm64_imm8, RSP, -(page as i32), 0)?;
        }
        self.ri(Code::Sub_rm64_imm32, RSP, self.frame as i32)?;
        self.mr(Code::Mov_rm64_r64, RSP, 8, T1)?;
        self.rr(Code::Xor_r32_rm32, Register::R10D, Register::R10D)?;
        self.mr(Code::Mov_rm64_r64, RSP, 0, T0)?;
        if self.body.insts.iter().any(|i| matches!(i.kind, Kind::NextBlock)) {
            self.mr(Code::Mov_rm64_r64, RSP, STATE, T0)?;
        }

        let order = order::order(self.body, self.output);
        for (n, &block) in order.iter().enumerate() {
            self.blocks[block] = self.at;
            let next = order.get(n + 1).copied();
            self.block(Block::new(block), next, &saved, done)?;
        }
        for stub in std::mem::take(&mut self.stubs) {
            self.stub(stub)?;
        }
        if let Some(thunk) = self.thunk {
            self.thunk(thunk)?;
        }
        Ok(())
    }

    /// The registers in use that the caller expects unchanged.
    fn saved_registers(&self) -> Vec<usize> {
        let mut used = [false; 16];
        let mut see = |a: Allocation| {
            if let Some(r) = a.as_reg()
                && r.class() == GPR
            {
                used[r.hw_enc()] = true;
            }
        };
        self.output.allocs.iter().for_each(|&a| see(a));
        for (_, Edit::Move { from, to }) in &self.output.edits {
            see(*from);
            see(*to);
        }
        SAVED_GPRS.iter().map(|&r| r as usize).filter(|&r| used[r]).collect()
    }

    fn block(&mut self, block: Block, next: Option<usize>, saved: &[usize], done: usize) -> Result<(), Failure> {
        let (body, output) = (self.body, self.output);
        self.rounds = body.rounds(block.index());
        for step in output.block_insts_and_edits(body, block) {
            match step {
                InstOrEdit::Edit(Edit::Move { from, to }) => self.copy(*from, *to)?,
                InstOrEdit::Inst(inst) => match body.insts[inst.index()].kind {
                    Kind::Enc(enc) => self.instruction(enc, inst)?,
                    Kind::TailVector { size } => self.tail_vector(size, inst)?,
                    Kind::Step => self.ri(Code::Add_rm64_imm32, COUNTER, self.rounds.single as i32)?,
                    Kind::TailMask { most } => self.tail_mask(most, inst)?,
                    Kind::Advance { lane, by } => self.advance(lane, by, inst)?,
                    Kind::CallIf(call) => self.call_if(call, inst)?,
                    Kind::Call(call) => self.call(call, inst)?,
                    Kind::DivideIf { root, size } => self.divide_if(root, size, inst)?,
                    Kind::Quotients { count } => self.unless_near(5 * count, Aside::Quotients(count), inst)?,
                    Kind::Roots { count } => self.unless_near(3 * count, Aside::Roots(count), inst)?,
                    end => self.end(end, (block, inst), next, saved, done)?,
                },
            }
        }
        Ok(())
    }

    fn vector(&self, n: usize) -> Register {
        if self.evex { Register::ZMM0 + n as u32 } else { Register::YMM0 + n as u32 }
    }

    fn register(&self, allocation: Allocation) -> Result<Register, Failure> {
        let preg = allocation.as_reg().ok_or("an operand on the stack")?;
        Ok(match preg.class() {
            GPR => gpr(preg.hw_enc()),
            VEC => self.vector(preg.hw_enc()),
            _ => Register::K0 + preg.hw_enc() as u32,
        })
    }

    fn spill(&self, allocation: Allocation) -> Result<i32, Failure> {
        let slot = allocation.as_stack().ok_or("a move between nothing")?;
        Ok((self.spills + slot.index() * 8) as i32)
    }

    fn copy(&mut self, from: Allocation, to: Allocation) -> Result<(), Failure> {
        let class = from.as_reg().or(to.as_reg()).ok_or("a move from stack to stack")?.class();
        let (load, store, between) = match (class, self.evex) {
            (GPR, _) => (Code::Mov_r64_rm64, Code::Mov_rm64_r64, Code::Mov_r64_rm64),
            (VEC, false) => {
                (Code::VEX_Vmovupd_ymm_ymmm256, Code::VEX_Vmovupd_ymmm256_ymm, Code::VEX_Vmovupd_ymm_ymmm256)
            }
            (VEC, true) => (
                Code::EVEX_Vmovupd_zmm_k1z_zmmm512,
                Code::EVEX_Vmovupd_zmmm512_k1z_zmm,
                Code::EVEX_Vmovupd_zmm_k1z_zmmm512,
            ),
            _ => (Code::VEX_Kmovq_kr_km64, Code::VEX_Kmovq_m64_kr, Code::VEX_Kmovq_kr_km64),
        };
        match (from.is_reg(), to.is_reg()) {
            (true, true) => {
                let (to, from) = (self.register(to)?, self.register(from)?);
                self.rr(between, to, from)
            }
            (false, _) => {
                let (to, from) = (self.register(to)?, self.spill(from)?);
                self.rm(load, to, RSP, from)
            }
            (true, false) => {
                let (to, from) = (self.spill(to)?, self.register(from)?);
                self.mr(store, RSP, to, from)
            }
        }
    }

    fn instruction(&mut self, enc: Enc, inst: Inst) -> Result<(), Failure> {
        let allocs = self.output.inst_allocs(inst);
        let mut registers = allocs.len();
        let mut i = Instruction::new();
        i.set_code(enc.code);
        let mut skip = 0;
        if enc.guard > 0 {
            self.ri(Code::Cmp_rm64_imm8, LIMIT, enc.guard as i32)?;
            // Over the instruction, if this is all there is.
            self.byte(0x70 + BELOW_EQUAL);
            skip = self.at;
            self.byte(0);
        }
        if enc.mem != Mem::None {
            i.set_memory_displ_size(8);
            match enc.mem {
                Mem::None => {}
                Mem::Pool(at) => {
                    i.set_memory_base(Register::RIP);
                    i.set_memory_displacement64(at.into());
                }
                Mem::Slab(disp) => {
                    i.set_memory_base(SLAB);
                    i.set_memory_displacement64(disp as u64);
                }
                Mem::Frame(disp) => {
                    i.set_memory_base(RSP);
                    i.set_memory_displacement64(disp as u64);
                }
                Mem::At { index, scale, disp } => {
                    if index == Index::Operand {
                        registers -= 1;
                        let index = self.register(allocs[registers])?;
                        i.set_memory_index(index);
                    } else if index == Index::Counter {
                        i.set_memory_index(COUNTER);
                    }
                    i.set_memory_index_scale(scale.into());
                    registers -= 1;
                    let base = self.register(allocs[registers])?;
                    i.set_memory_base(base);
                    i.set_memory_displacement64(disp as i64 as u64);
                    if disp == 0 {
                        i.set_memory_displ_size(if matches!(base, Register::RBP | Register::R13) { 1 } else { 0 });
                    }
                }
            }
            i.set_is_broadcast(enc.broadcast);
        }
        if enc.masking != Masking::None {
            registers -= 1;
            let mask = self.register(allocs[registers])?;
            i.set_op_mask(mask);
            i.set_zeroing_masking(enc.masking == Masking::Zero);
        }
        let mut operand = 0u32;
        for (n, &allocation) in allocs[..registers].iter().enumerate() {
            if enc.tied && n == 1 {
                continue;
            }
            if enc.mem != Mem::None && operand == u32::from(enc.mem_at) {
                i.set_op_kind(operand, OpKind::Memory);
                operand += 1;
            }
            let register = self.sized(enc.code, operand, allocation)?;
            i.set_op_kind(operand, OpKind::Register);
            i.set_op_register(operand, register);
            operand += 1;
        }
        if enc.mem != Mem::None && operand == u32::from(enc.mem_at) {
            i.set_op_kind(operand, OpKind::Memory);
            operand += 1;
        }
        if let Some(imm) = enc.imm {
            i.set_op_kind(operand, immediate_kind(enc.code, operand));
            i.set_immediate8(imm);
        }
        self.put(&i)?;
        if enc.guard > 0 {
            let distance = (self.at - skip - 1) as u8;
            self.patch(skip, distance);
        }
        Ok(())
    }

    /// Writes over a byte.
    fn patch(&mut self, at: usize, byte: u8) {
        let mut buffer = self.encoder.take_buffer();
        buffer[at] = byte;
        self.encoder.set_buffer(buffer);
    }

    /// The register of an operand, by the width that the encoding names.
    fn sized(&self, code: Code, operand: u32, allocation: Allocation) -> Result<Register, Failure> {
        use iced_x86::OpCodeOperandKind as K;
        let n = allocation.as_reg().ok_or("an operand on the stack")?.hw_enc();
        Ok(match code.op_code().op_kind(operand) {
            K::xmm_reg | K::xmm_rm | K::xmm_vvvv | K::xmm_or_mem | K::xmm_is4 => Register::XMM0 + n as u32,
            K::ymm_reg | K::ymm_rm | K::ymm_vvvv | K::ymm_or_mem | K::ymm_is4 => Register::YMM0 + n as u32,
            _ => self.register(allocation)?,
        })
    }

    fn result(&self, inst: Inst) -> Result<Register, Failure> {
        self.register(self.output.inst_allocs(inst)[0])
    }

    /// The least of what is left and the lanes of a round, in `T0`.
    fn left(&mut self) -> Result<(), Failure> {
        self.ri(Code::Mov_r32_imm32, Register::R10D, self.rounds.single as i32)?;
        self.rr(Code::Cmp_r64_rm64, LIMIT, T0)?;
        self.rr(Code::Cmovb_r64_rm64, T0, LIMIT)
    }

    fn tail_vector(&mut self, size: u8, inst: Inst) -> Result<(), Failure> {
        let result = self.result(inst)?;
        self.left()?;
        let i = Instruction::with1(Code::Neg_rm64, T0).map_err(|e| e.to_string())?;
        self.put(&i)?;
        let middle = u64::from(self.tail_table) + self.body.width as u64;
        let table = MemoryOperand::with_base_displ_size(Register::RIP, middle as i64, 8);
        let i = Instruction::with2(Code::Lea_r64_m, T1, table).map_err(|e| e.to_string())?;
        self.put(&i)?;
        let mask = MemoryOperand::with_base_index_scale(T1, T0, size.into());
        let i = Instruction::with2(Code::VEX_Vmovupd_ymm_ymmm256, result, mask).map_err(|e| e.to_string())?;
        self.put(&i)
    }

    fn tail_mask(&mut self, most: bool, inst: Inst) -> Result<(), Failure> {
        let result = self.result(inst)?;
        if most {
            self.left()?;
        }
        // Fewer are left than 256, which is as far as the instruction counts, or it is told the least of both.
        self.ri(Code::Mov_rm64_imm32, T1, -1)?;
        let i = Instruction::with3(Code::VEX_Bzhi_r64_rm64_r64, T1, T1, if most { T0 } else { LIMIT })
            .map_err(|e| e.to_string())?;
        self.put(&i)?;
        self.rr(Code::VEX_Kmovq_kr_r64, result, T1)
    }

    fn advance(&mut self, lane: u8, by: Option<u8>, inst: Inst) -> Result<(), Failure> {
        let pointer = self.result(inst)?;
        self.ri(Code::Cmp_rm64_imm8, LIMIT, lane.into())?;
        self.byte(0x70 + BELOW_EQUAL);
        let skip = self.at;
        self.byte(0);
        match by {
            Some(by) => self.ri(Code::Add_rm64_imm8, pointer, by.into())?,
            None => {
                let stride = self.register(self.output.inst_allocs(inst)[2])?;
                self.rr(Code::Add_r64_rm64, pointer, stride)?;
            }
        }
        let distance = (self.at - skip - 1) as u8;
        self.patch(skip, distance);
        Ok(())
    }
}

// The low digits of the opcodes of conditional jumps.
const BELOW: u8 = 2;
const NOT_BELOW: u8 = 3;
const EQUAL: u8 = 4;
const NOT_EQUAL: u8 = 5;
const BELOW_EQUAL: u8 = 6;
const ABOVE: u8 = 7;
const LESS: u8 = 12;

fn immediate_kind(code: Code, operand: u32) -> OpKind {
    use iced_x86::OpCodeOperandKind as K;
    match code.op_code().op_kind(operand) {
        K::imm8sex64 => OpKind::Immediate8to64,
        K::imm8sex32 => OpKind::Immediate8to32,
        _ => OpKind::Immediate8,
    }
}

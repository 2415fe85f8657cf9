//! Machine instructions before registers are allocated, and the function that `regalloc2` sees.
//!
//! An instruction's operands stand in one order, which the encoder relies on:
//! `[result] [the argument that the result replaces] [other arguments …] [mask register] [base] [index]`.
//! Some general registers are never allocated; the encoder gives them fixed meanings ([`super::encode`]).

use super::plan::Rounds;
use iced_x86::Code;
use regalloc2::{Block, Function, Inst, InstRange, Operand, PRegSet, RegClass, VReg};

/// The class of general registers.
pub(super) const GPR: RegClass = RegClass::Int;
/// The class of vector registers.
pub(super) const VEC: RegClass = RegClass::Float;
/// The class of mask registers.
pub(super) const MASK: RegClass = RegClass::Vector;

/// A memory operand.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) enum Mem {
    /// None.
    #[default]
    None,
    /// A constant of the pool, by its offset.
    Pool(u32),
    /// Base register (an operand), displacement, and an index times `scale`.
    At { index: Index, scale: u8, disp: i32 },
    /// A word of the slab.
    Slab(i32),
    /// Bytes of the frame.
    Frame(i32),
}

/// The index of a memory operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Index {
    /// None.
    No,
    /// The element counter.
    Counter,
    /// The last operand.
    Operand,
}

/// How a mask register is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Masking {
    /// Not.
    #[default]
    None,
    /// Lanes without the bit stay as they are; of a compare or store: are left out.
    Merge,
    /// Lanes without the bit become zero.
    Zero,
}

/// One encoded instruction.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enc {
    pub(super) code: Code,
    /// The first argument is the result's register, and does not appear by itself.
    pub(super) tied: bool,
    pub(super) masking: Masking,
    pub(super) mem: Mem,
    /// Which operand of the encoding the memory is.
    pub(super) mem_at: u8,
    /// Memory is one element, for all lanes.
    pub(super) broadcast: bool,
    pub(super) imm: Option<u8>,
    /// Executed only if the tail has more lanes than this; 0: always.
    pub(super) guard: u8,
}

impl Enc {
    /// `code` on registers alone.
    pub(super) const fn new(code: Code) -> Enc {
        Enc {
            code,
            tied: false,
            masking: Masking::None,
            mem: Mem::None,
            mem_at: 0,
            broadcast: false,
            imm: None,
            guard: 0,
        }
    }

    pub(super) const fn imm(mut self, imm: u8) -> Enc {
        self.imm = Some(imm);
        self
    }

    pub(super) const fn mem(mut self, at: u8, mem: Mem) -> Enc {
        self.mem = mem;
        self.mem_at = at;
        self
    }

    pub(super) const fn tied(mut self) -> Enc {
        self.tied = true;
        self
    }

    pub(super) const fn masked(mut self, masking: Masking) -> Enc {
        self.masking = masking;
        self
    }
}

/// What a machine instruction does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// One instruction of the CPU.
    Enc(Enc),
    /// A vector whose first lanes of `size` bytes, as many as the tail has left, are all ones.
    TailVector {
        /// Bytes of a lane.
        size: u8,
    },
    /// A mask register with a bit for each lane that the tail has left; `most`: at most for those of a round.
    TailMask {
        /// Whether lanes beyond those of a round would be seen.
        most: bool,
    },
    /// The pointer of lane `lane` of the tail from that of the lane before: one stride on, unless the tail ends here.
    Advance {
        /// The lane.
        lane: u8,
        /// The stride, where it is no operand.
        by: Option<u8>,
    },
    /// `m ? routine(a, …) : b`, `[result, b, m, a, …]`; the call is out of line.
    CallIf(Call),
    /// A call for all lanes, `[result, a, …]`.
    Call(Call),
    /// By the divider after all if one of two masks has a lane, in place of the result: `[result, it, x, y, mask, mask]`, `x / y`
    /// or the root of `x`; out of line.
    DivideIf {
        /// Whether it is a root.
        root: bool,
        /// Bytes of a lane.
        size: u8,
    },
    /// Quotients of `float64` that were made by multiplication, `count` of them: if the mask has a lane, what is not right is made
    /// again out of line: `[result …, quotient …, x, y, 1/y …, mask]`, and a vector and two mask registers for that.
    Quotients {
        /// How many.
        count: u8,
    },
    /// The same of roots: `[result …, root …, x …, mask]`.
    Roots {
        /// How many.
        count: u8,
    },
    /// To the only successor.
    Jump,
    /// The end of a row's preparation: to the main loop if it has a round, else to the second successor.
    EnterMain,
    /// The end of a row's preparation, where outputs, of lanes of `size` bytes, are written around the caches: to the tail
    /// for the lanes before the first whole vector of the output in the operand, or if there are none to the second
    /// successor.
    EnterHead {
        /// Bytes of a lane.
        size: u8,
    },
    /// The end of these lanes.
    HeadDone,
    /// As [`Kind::EnterMain`], from where the counter stands.
    Resume,
    /// The end of the preparation of a row that is reduced; `first`: its states begin anew.
    BeginRow {
        /// Whether the next state is the first.
        first: bool,
    },
    /// The beginning of a block of it: to the main loop if it has a round, else to the second successor.
    EnterBlock {
        /// Elements of a block, but for the last of a row.
        length: u32,
    },
    /// To the tail of a block if elements are left, else to the second successor.
    EnterBlockTail,
    /// The end of a block: to the next of the row, or to the second successor.
    NextBlock,
    /// To the tree over a row's states, or if there is one to the second successor.
    EnterTree,
    /// To the first two of them.
    FirstPair,
    /// To the next pair of the tree over them, or to the second successor.
    NextPair,
    /// To a stage for the row that is `behind` so many others, or to the second successor if there is no such row.
    EnterStage {
        /// How many rows.
        behind: u8,
    },
    /// To the steps that all stages take together, if each has a row, the last of which is `behind` so many others; else to
    /// the second successor.
    EnterTogether {
        /// How many rows.
        behind: u8,
    },
    /// Goes on if the address in the operand is that of a whole vector, else to the second successor.
    EnterAligned,
    /// On by one vector, within a round of the main loop.
    Step,
    /// The end of a round of the main loop: again, or to the second successor.
    NextMain,
    /// To rounds of one whole vector if one is left, else to the second successor.
    EnterWhole,
    /// The end of such a round: again, or to the second successor.
    NextWhole,
    /// To the tail if elements are left, else to the second successor.
    EnterTail,
    /// The end of a round of the tail: again, or to the second successor; to the third, if the tail came first.
    NextTail,
    /// To the first row of a loop within rounds: `counted` in the place of the limit, which comes back behind the loop, else as other
    /// rows are.
    FirstRow {
        /// Whether it is.
        counted: bool,
    },
    /// To the next row that is so counted, or to the second successor.
    NextCounted,
    /// To the next row, or to the second successor; `more` rows than there are, for stages that are behind.
    NextRow {
        /// How many more.
        more: u8,
    },
    /// The end.
    Return,
}

/// A call out of the code; see [`crate::calls`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// The address of the function.
    pub(super) function: usize,
    /// Its first argument.
    pub(super) routine: u64,
    /// Lanes of a vector.
    pub(super) lanes: u8,
    /// The vector's mask, where there is one, is a mask register of lanes of this size; 0: is a vector.
    pub(super) mask_size: u8,
}

/// An instruction and where its operands are.
#[derive(Clone, Copy, Debug)]
pub(super) struct MInst {
    pub(super) kind: Kind,
    operands: (u32, u32),
}

#[derive(Default)]
struct BlockInfo {
    range: (u32, u32),
    successors: Vec<Block>,
    predecessors: Vec<Block>,
    /// Off the straight way through the code.
    aside: bool,
    rounds: Rounds,
}

/// A function of machine instructions.
#[derive(Default)]
pub(super) struct Body {
    pub(super) insts: Vec<MInst>,
    operands: Vec<Operand>,
    blocks: Vec<BlockInfo>,
    vregs: usize,
    /// Bytes of a vector register.
    pub(super) width: usize,
    /// Lanes of the loops that the current block is of.
    pub(super) rounds: Rounds,
}

impl Body {
    /// An empty function over vectors of `width` bytes.
    pub(super) fn new(width: usize) -> Body {
        Body { width, ..Body::default() }
    }

    /// A new virtual register.
    pub(super) fn vreg(&mut self, class: RegClass) -> VReg {
        self.vregs += 1;
        VReg::new(self.vregs - 1, class)
    }

    /// Appends an instruction.
    pub(super) fn push(&mut self, kind: Kind, operands: &[Operand]) {
        let start = self.operands.len() as u32;
        self.operands.extend_from_slice(operands);
        self.insts.push(MInst { kind, operands: (start, self.operands.len() as u32) });
    }

    /// Ends the current block with `kind`, which goes to `successors`.
    pub(super) fn end_block(&mut self, kind: Kind, successors: &[usize]) {
        self.end_block_with(kind, &[], successors);
    }

    /// Ends the current block with `kind`, which reads `operands` and goes to `successors`.
    pub(super) fn end_block_with(&mut self, kind: Kind, operands: &[Operand], successors: &[usize]) {
        let start = self.blocks.last().map_or(0, |b| b.range.1);
        self.push(kind, operands);
        let successors = successors.iter().map(|&b| Block::new(b)).collect();
        let range = (start, self.insts.len() as u32);
        self.blocks.push(BlockInfo { range, successors, predecessors: Vec::new(), aside: false, rounds: self.rounds });
    }

    /// Ends the current block, which lies off the straight way through the code and goes on at `successor`.
    pub(super) fn end_aside(&mut self, successor: usize) {
        self.end_block(Kind::Jump, &[successor]);
        self.put_aside();
    }

    /// Has the last block lie off the straight way through the code.
    pub(super) fn put_aside(&mut self) {
        if let Some(block) = self.blocks.last_mut() {
            block.aside = true;
        }
    }

    /// Lanes of the loops that a block is of.
    pub(super) fn rounds(&self, block: usize) -> Rounds {
        self.blocks[block].rounds
    }

    /// Has a block that goes on at one other go on at `to`.
    pub(super) fn lead(&mut self, block: usize, to: usize) {
        self.blocks[block].successors = vec![Block::new(to)];
    }

    /// Whether a block lies off the straight way through the code.
    pub(super) fn is_aside(&self, block: usize) -> bool {
        self.blocks[block].aside
    }

    /// Finds the predecessors, once every block has ended.
    pub(super) fn seal(&mut self) {
        for b in 0..self.blocks.len() {
            for s in self.blocks[b].successors.clone() {
                self.blocks[s.index()].predecessors.push(Block::new(b));
            }
        }
    }

    /// How many blocks there are.
    pub(super) fn block_count(&self) -> usize {
        self.blocks.len()
    }
}

impl Function for Body {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let (start, end) = self.blocks[block.index()].range;
        InstRange::new(Inst::new(start as usize), Inst::new(end as usize))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].successors
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].predecessors
    }

    fn block_params(&self, _: Block) -> &[VReg] {
        &[]
    }

    fn is_ret(&self, inst: Inst) -> bool {
        matches!(self.insts[inst.index()].kind, Kind::Return)
    }

    fn is_branch(&self, inst: Inst) -> bool {
        use Kind::*;
        let kind = self.insts[inst.index()].kind;
        !matches!(
            kind,
            Enc(_)
                | TailVector { .. }
                | TailMask { .. }
                | Advance { .. }
                | CallIf(_)
                | Call(_)
                | DivideIf { .. }
                | Quotients { .. }
                | Roots { .. }
                | Step
                | Return
        )
    }

    fn branch_blockparams(&self, _: Block, _: Inst, _: usize) -> &[VReg] {
        &[]
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        let (start, end) = self.insts[inst.index()].operands;
        &self.operands[start as usize..end as usize]
    }

    fn inst_clobbers(&self, _: Inst) -> PRegSet {
        PRegSet::empty()
    }

    fn num_vregs(&self) -> usize {
        self.vregs
    }

    /// In words of 8 bytes.
    fn spillslot_size(&self, class: RegClass) -> usize {
        if class == VEC { self.width / 8 } else { 1 }
    }
}

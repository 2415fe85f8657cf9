//! Inputs that come from memory are asked for before their use.
//!
//! The CPU fetches by itself what comes next in a stream, up to the end of a page. Intel's fetch less far ahead of one stream
//! than a core can wait for: several streams, in pages of their own, bring more. So there each input is asked for in several
//! pages at once, in the window behind the one that is being read, and each stream of asking is what the CPU goes ahead of:
//!
//! ```text
//! read    |>>>>----------------|                   a window: so many pages, aligned to as many
//! asked                        |>---|>---|>---|>---|
//! ```
//! An address tells by itself what is asked for when it is read, so rows, parts and rounds may begin anywhere.
//!
//! On other CPUs inputs are asked for so many bytes before their use, for the first-level cache or, on Zen 4, for the second, less
//! far ahead; and there, where rows are added, or stay beside others that move, in the row that comes next.

use super::mach::{Enc, GPR, Index, Mem};
use super::memory::at;
use super::plan::SHORT;
use super::select::Selector;
use crate::kernel::Role;
use crate::launch::{LINE, Streams};
use iced_x86::Code;
use smallvec::{SmallVec, smallvec};
use std::ops::Range;

/// The bytes of a page, beyond which the CPU does not go by itself.
const PAGE: usize = 4096;

/// How far before its use the first-level cache is asked for an input that comes from memory, where it is the only one.
const FAR: usize = 2 * PAGE;

/// How far before its use the second-level cache is asked for an input, of one or of several.
const SOON: usize = PAGE / 4;

/// Programs of so many vector operations ask twice, [`FAR`] ahead and again within a page, for all inputs, and so do those of
/// which several inputs are of the same memory: what takes longer for a line than memory does, but not much, was seen to wait
/// for memory all the same. What takes less loses by it, and with more than one input by asking at all, but on Zen 4.
const TWICE: usize = 10;

/// Bytes of all inputs together that are asked for within a page: half of the smallest first-level cache.
const NEAR: usize = 16 << 10;

/// Pages that are asked for at once, where a pass of the main loop reads more than two lines; else two.
const PAGES: usize = 4;

/// How far before its use memory is asked for where columns go through stages: two groups of the widest elements. Each row is a
/// stream of its own, which are more than a CPU goes ahead of. What is written is asked for, too: else stores wait for their lines.
const GROUPS: usize = 256;

/// How contiguous inputs are asked for.
#[derive(Debug)]
pub(super) enum Asks {
    /// For a cache, so many bytes before their use; if there are none, not at all.
    Before(Level, SmallVec<[usize; 2]>),
    /// In several pages at once.
    Pages,
    /// Of these, where the next row has what is read, for the second-level cache: a row may be as long as the first is large.
    NextRow(SmallVec<[bool; 8]>),
}

/// A cache that is asked to have something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Level {
    First,
    Second,
}

impl Level {
    fn code(self) -> Code {
        match self {
            Level::First => Code::Prefetcht0_m8,
            Level::Second => Code::Prefetcht1_m8,
        }
    }
}

impl Asks {
    /// Not at all.
    pub(super) const NEVER: Asks = Asks::Before(Level::First, SmallVec::new_const());

    /// How many bytes before their use so many inputs of a program of `work` vector operations are asked for, if they are:
    /// long programs do not wait for memory. `steps`: it is the first of several steps over rows.
    pub(super) fn before(inputs: usize, streams: Streams, work: usize, steps: bool, level: Level) -> Asks {
        let distances = match streams {
            _ if work > SHORT || inputs == 0 => SmallVec::new(),
            _ if steps || work >= TWICE || matches!(streams, Streams::Same | Streams::Stencil) => {
                smallvec![PAGE.min(NEAR / inputs), FAR]
            }
            Streams::One | Streams::Several if level == Level::Second => smallvec![SOON],
            Streams::None | Streams::One | Streams::Beside => smallvec![FAR],
            _ => SmallVec::new(),
        };
        Asks::Before(level, distances)
    }

    /// Those of the first of several stages that columns go through.
    pub(super) fn columns() -> Asks {
        Asks::Before(Level::First, smallvec![GROUPS])
    }
}

impl Selector<'_> {
    /// Asks for what later rounds read where this one reads these bytes of a contiguous operand, from the counter on.
    /// Nothing happens where there is no memory.
    pub(super) fn ask(&mut self, k: usize, size: usize, bytes: Range<usize>) {
        let plan = self.plan;
        match &plan.asks {
            Asks::Before(level, distances) => self.ask_before(*level, k, size, bytes, distances),
            // At the first of its vectors for all of the round.
            Asks::Pages if bytes.start == 0 => match (self.goes_on * size).div_ceil(LINE) {
                0 => {}
                lines => self.ask_pages(k, size, lines),
            },
            Asks::Pages => {}
            Asks::NextRow(_) => {
                if let Some(&Some(next)) = self.next_row.get(k) {
                    for disp in bytes.step_by(LINE) {
                        let mem = Mem::At { index: Index::Counter, scale: size as u8, disp: disp as i32 };
                        self.push_store(Enc::new(Level::Second.code()).mem(0, mem), &[next]);
                    }
                }
            }
        }
    }

    /// Asks for what is read so many bytes behind these of a contiguous operand.
    fn ask_before(&mut self, level: Level, k: usize, size: usize, bytes: Range<usize>, distances: &[usize]) {
        for &ahead in distances {
            for disp in bytes.clone().step_by(LINE) {
                let mem = Mem::At { index: Index::Counter, scale: size as u8, disp: (ahead + disp) as i32 };
                self.push_store(Enc::new(level.code()).mem(0, mem), &[self.bases[k]]);
            }
        }
    }

    /// Asks for what a later group of columns writes to the row where this one writes `lanes` elements, in memory.
    pub(super) fn ask_to_write(&mut self, lanes: usize) {
        for (k, operand) in self.kernel.operands.iter().enumerate().filter(|(_, o)| o.role == Role::Output) {
            let size = operand.dtype.size();
            if self.ring.0.get(k) == Some(&true) {
                continue;
            }
            for disp in (0..lanes * size).step_by(LINE) {
                let mem = Mem::At { index: Index::Counter, scale: size as u8, disp: (GROUPS + disp) as i32 };
                self.push_store(Enc::new(Code::Prefetchw_m8).mem(0, mem), &[self.bases[k]]);
            }
        }
    }

    /// Asks for so many lines of a contiguous operand in several pages: as many as a pass of the main loop reads, or a few more.
    fn ask_pages(&mut self, k: usize, size: usize, lines: usize) {
        let pages = if lines <= 2 { 2 } else { PAGES };
        // The window begins at `a - w`, and the next is gone through by `w / pages`: from `a - w / pages * (pages - 1)` on.
        let a = self.lea(Mem::At { index: Index::Counter, scale: size as u8, disp: 0 }, &[self.bases[k]]);
        let window = (pages * PAGE).ilog2() as u8;
        let mut shift = |code, by: u8, a| self.push(Enc::new(code).tied().imm(by), GPR, &[a]);
        let w = shift(Code::Shl_rm64_imm8, 64 - window, a);
        let part = shift(Code::Shr_rm64_imm8, 64 - PAGE.ilog2() as u8, w);
        let times = |scale| Mem::At { index: Index::Operand, scale, disp: 0 };
        let back = if pages == 2 { part } else { self.lea(times(PAGES as u8 - 2), &[part, part]) };
        let from = self.push(Enc::new(Code::Sub_r64_rm64).tied(), GPR, &[a, back]);
        for page in 0..pages {
            for line in 0..lines.div_ceil(pages) {
                let disp = (pages + page) * PAGE + line * LINE;
                self.push_store(Enc::new(Code::Prefetcht0_m8).mem(0, at(disp as i32)), &[from]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Class, Kernel, Prim};
    use crate::reduce::Join;
    use crate::target::Tuning;
    use crate::wide::{Mode, instructions, main_loop};
    use crate::{Builder, Precision, math};
    use iced_x86::{Instruction, OpKind, Register};
    use lazuli_graph::DType;
    use rustc_hash::{FxHashMap, FxHashSet};

    /// One input of this type, and what is made of it.
    fn kernel(dtype: DType, f: impl Fn(&mut Builder, crate::ValueId) -> crate::ValueId) -> Kernel {
        let mut b = Builder::new();
        let [x, y] =
            [(Role::Input, dtype), (Role::Output, DType::F64)].map(|(r, d)| b.operand(r, d, Class::Contiguous));
        let x = b.load(x);
        let x = crate::lower::cast(&mut b, dtype, DType::F64, x);
        let result = f(&mut b, x);
        b.store(y, result);
        b.finish()
    }

    /// The addresses that one pass of a loop asks for, if all addresses are `base` and the counter stands at `counter`.
    fn asked(code: &[Instruction], base: u64, counter: u64) -> Vec<u64> {
        let mut registers: FxHashMap<Register, u64> = FxHashMap::default();
        registers.insert(Register::RAX, counter);
        let mut asked = Vec::new();
        for i in code {
            let get = |r: Register| if r == Register::None { 0 } else { registers.get(&r).copied().unwrap_or(base) };
            let address = get(i.memory_base())
                .wrapping_add(if i.memory_index() == Register::None {
                    0
                } else {
                    get(i.memory_index()).wrapping_mul(i.memory_index_scale().into())
                })
                .wrapping_add(i.memory_displacement64());
            let to = i.op0_register();
            let value = match i.code() {
                Code::Prefetcht0_m8 => {
                    asked.push(address);
                    continue;
                }
                Code::Lea_r64_m => address,
                Code::Mov_r64_rm64 | Code::Mov_rm64_r64 if i.op1_kind() == OpKind::Register => get(i.op1_register()),
                Code::Shl_rm64_imm8 => get(to) << i.immediate(1),
                Code::Shr_rm64_imm8 => get(to) >> i.immediate(1),
                Code::Sub_r64_rm64 => get(to).wrapping_sub(get(i.op1_register())),
                Code::Add_rm64_imm32 => get(to).wrapping_add(i.immediate(1)),
                _ => continue,
            };
            registers.insert(to, value);
        }
        asked
    }

    #[test]
    fn what_does_not_come_from_memory_is_not_asked_for() {
        let kernel = kernel(DType::F64, |b, x| b.fadd(x, x));
        let code = |tuning, streams| {
            let code = instructions(&kernel, false, tuning, Mode::Around(streams)).unwrap();
            (code.iter().any(|i| i.code() == Code::Prefetcht0_m8), code)
        };
        assert!(code(Tuning::Intel, Streams::One).0 && !code(Tuning::Intel, Streams::None).0);
        assert_eq!(code(Tuning::Other, Streams::One), code(Tuning::Other, Streams::None));
    }

    /// Each line that a round reads of one row is asked for in the next, through an address that is made once a row.
    #[test]
    fn lines_of_the_next_row_are_asked_for() {
        let mut b = Builder::new();
        let [x, y, z] = [Role::Input, Role::Input, Role::Output].map(|r| b.operand(r, DType::F64, Class::Contiguous));
        let (x, y) = (b.load(x), b.load(y));
        let sum = b.fadd(x, y);
        b.store(z, sum);
        let kernel = b.finish();
        for (evex, rows) in [(false, [true, false, false]), (true, [true, false, false]), (true, [true, true, false])] {
            let code = instructions(&kernel, evex, Tuning::Other, Mode::Ahead(&rows)).unwrap();
            let (main, step) = main_loop(&code);
            let asking: Vec<_> = main.iter().filter(|i| i.code() == Code::Prefetcht1_m8).collect();
            let inputs = rows.iter().filter(|r| **r).count();
            assert_eq!(asking.len(), inputs * (8 * step as usize).div_ceil(LINE), "{evex}, {rows:?}");
            for i in asking {
                let made = |m: &Instruction| m.code() == Code::Add_r64_rm64 && m.op0_register() == i.memory_base();
                assert!(code.iter().any(|m| made(m) && m.op1_kind() == OpKind::Register), "{evex}, {rows:?}");
            }
        }
    }

    /// On Zen 4, for the second cache; beside a row that stays, in the next row if that is long, or else for the first cache.
    #[test]
    fn zen_4_is_asked_for_the_second_cache() {
        let kernel = kernel(DType::F64, |b, x| b.fadd(x, x));
        let asked = |tuning, streams| {
            let code = instructions(&kernel, false, tuning, Mode::Around(streams)).unwrap();
            let (main, _) = main_loop(&code);
            let asks = |level: Level| main.iter().any(|i| i.code() == level.code());
            let memory = main.iter().filter(|i| i.op0_kind() == OpKind::Memory);
            let far = memory.map(|i| i.memory_displacement64() as usize / SOON * SOON).max();
            (asks(Level::First), asks(Level::Second), far.unwrap())
        };
        assert_eq!(asked(Tuning::Other, Streams::One), (true, false, FAR));
        assert_eq!(asked(Tuning::Other, Streams::Several), (false, false, 0));
        assert_eq!(asked(Tuning::Zen4, Streams::One), (false, true, SOON));
        assert_eq!(asked(Tuning::Zen4, Streams::Several), (false, true, SOON));
        assert_eq!(asked(Tuning::Zen4, Streams::Beside), (true, false, FAR));
        assert_eq!(asked(Tuning::Zen4, Streams::Rows), (false, true, 0));
    }

    /// What is read in turn is asked for, each line in time and in several pages by turns.
    #[test]
    fn every_line_is_asked_for_before_it_is_read() {
        let sum = [Join { prim: Prim::FAdd, identity: (-0.0f64).to_bits(), key: false }];
        let fold = Mode::Fold { joins: &sum, block: 1024, far: Some(Streams::One) };
        let map = Mode::Around(Streams::One);
        let double = |b: &mut Builder, x| b.fadd(x, x);
        let chain = |b: &mut Builder, x| (0..8).fold(x, |y, _| b.fmul(y, x));
        let exp = |b: &mut Builder, x| math::exp(b, x, Precision::Standard);
        let programs = [
            (kernel(DType::F64, double), map),
            (kernel(DType::F32, double), map),
            (kernel(DType::U8, double), map),
            (kernel(DType::F64, chain), map),
            (kernel(DType::F64, exp), map),
            (kernel(DType::F64, double), fold),
            (kernel(DType::F32, double), fold),
        ];
        let mut seen = Vec::new();
        for ((program, mode), evex) in programs.iter().flat_map(|p| [(p, false), (p, true)]) {
            let code = instructions(program, evex, Tuning::Intel, *mode).unwrap();
            let (code, step) = main_loop(&code);
            let size = program.operands[0].dtype.size() as u64;
            let lines = (step * size).div_ceil(LINE as u64) as usize;
            seen.push(lines);
            let pages = if lines < 3 { 2 } else { PAGES };
            let window = (pages * PAGE) as u64;
            let base = 0x7f12_3456_7000 + 8 * 13;
            let line = |address: u64| address / LINE as u64;
            let (mut seen_lines, end) = (FxHashSet::<u64>::default(), 20 * window);
            for counter in (0..end / size).step_by(step as usize) {
                let at = base + counter * size;
                let all = asked(code, base, counter);
                assert_eq!(all.len(), lines.next_multiple_of(pages), "{size} bytes, {evex}, {mode:?}");
                for &address in &all {
                    let ahead = address - at;
                    assert!((window / pages as u64..=2 * window).contains(&ahead), "{ahead} of {window}");
                    seen_lines.insert(line(address));
                }
                let mut apart: Vec<u64> = all.iter().map(|a| (a - all[0]) / PAGE as u64).collect();
                apart.dedup();
                assert_eq!(apart, (0..pages as u64).collect::<Vec<_>>());
            }
            // From the end of the second window on; rounds go from one window to the next within themselves.
            let range = line(base + 2 * window)..line(base + end - window);
            let missed = range.clone().filter(|l| !seen_lines.contains(l)).count() as u64;
            let rounds = (range.end - range.start) * LINE as u64 / window + 1;
            assert!(missed <= rounds * pages as u64, "{missed} of {range:?} missed, {size} bytes, {evex}, {mode:?}");
            assert!(missed == 0 || !window.is_multiple_of(step * size), "{missed} missed");
        }
        // Rounds of one line to eight.
        assert!(seen.contains(&1) && seen.contains(&2) && seen.contains(&4) && seen.contains(&8), "{seen:?}");
    }
}

//! Row-blocked execution: consecutive steps over the same rows become one, which takes a few rows at a time through
//! all of them; so do steps over the same columns of a few rows.
//!
//! [`form`] looks at the steps of a plan. Steps join a run where one reads what another wrote and
//! [`row_local`] holds for all that passes between them: row `r` needs row `r` only. What nothing outside the run
//! reads is a *temporary*: it exists for the rows of one chunk, in each thread's scratch memory. A run pays if its rows
//! fit the second-level cache; else its steps stay as they are, and [`Rejected`] says why.
//!
//! Where columns are reduced ([`Over::Columns`]), [`column_local`] says the same of columns, and one code has to do all steps:
//! a few columns at a time. Where there is none, or not yet, the steps run one by one, and memory is planned for that.

use crate::config::Config;
use crate::cost;
use crate::error::{Error, Result};
use crate::exec::Run;
use crate::kernels::{CachedRows, lookup_rows};
use crate::plan::{Access, Launchable, Slot, SlotInfo, Source, Step};
use lazuli_jit::{
    Code, ColumnLayout, Operand, Reduction, Role, RowBinding, RowCode, RowLayout, RowMemory, RowPlace, RowProgram,
    RowSink, RowSource, RowStage, RowWords, Target, column_local, row_local,
};
use lazuli_runtime::{Buffer, cpu};
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most runs that are looked at together: chains that do not depend on one another may be interleaved.
const OPEN: usize = 4;
/// The share of the second-level cache that the rows of a chunk may take: one in so many. The rest is for the next rows
/// to arrive in.
const SHARE: usize = 2;
/// Bytes of a chunk below which it is not worth the calls that it takes.
const LEAST: usize = 64 << 10;
/// The most rows of a chunk.
const MOST_ROWS: usize = 4096;

/// What steps go over together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Over {
    /// So many rows, each of which a reduction makes one element of.
    Rows(usize),
    /// So many matrices of so many rows and columns; a reduction makes one row of each. In what is said of runs, each matrix is a
    /// row.
    Columns([usize; 3]),
}

/// Steps over the same rows; see the module's documentation.
pub struct RowRun {
    /// What they go over.
    pub over: Over,
    /// How many rows there are.
    pub rows: usize,
    /// How many of them are taken through the steps at a time; where columns are, one.
    pub chunk: usize,
    /// [`Step::Map`] and [`Step::Reduce`], in order.
    pub steps: Vec<Step>,
    /// Slots freed after each step, if they run one by one; of [`Over::Rows`], none.
    pub frees: Vec<SmallVec<[Slot; 2]>>,
    /// What the steps write: the slot, and the bytes of a row.
    pub written: Vec<(Slot, usize)>,
    /// Those of the written slots that have no memory but scratch.
    pub temporaries: Vec<Slot>,
    /// The slots that the steps access, what they write first.
    sources: Vec<Slot>,
    /// The steps, checked.
    layout: Looked,
    /// Code that does all steps, where there may be such.
    whole: Option<Arc<CachedRows>>,
    /// What all steps cost, in picoseconds and in the op table's units, and their elements.
    picoseconds: u64,
    units: u64,
    elements: usize,
}

/// Steps that have been looked at, for any number of runs.
enum Looked {
    Not,
    Rows(RowLayout),
    Columns(ColumnLayout),
}

/// Steps that share rows but do not fit the cache.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// How many steps.
    pub steps: usize,
    /// How many rows there are.
    pub rows: usize,
    /// Bytes of one row, of all that the steps read and write.
    pub row: usize,
    /// How many bytes it may have.
    pub limit: usize,
}

/// A run that may still grow: its steps run where the last of them stood.
struct Open {
    steps: Vec<Step>,
    /// Known from the first reduction on. Before, all steps are maps: each element of the smallest is a row.
    over: Option<Over>,
    elements: usize,
    written: FxHashSet<Slot>,
}

/// What a reduction goes over, if it takes rows one by one, or columns that are one block.
fn over(step: &Step, columns: bool) -> Option<Over> {
    let Step::Reduce { run, kept, outer, inner, .. } = step else { return None };
    let product = |loops: &[usize]| loops.iter().product::<usize>();
    let [matrices, height, width] =
        [&run.extents[..*kept], &run.extents[*kept..*outer], &run.extents[*outer..]].map(product);
    if *inner {
        (kept == outer).then_some(Over::Rows(matrices))
    } else {
        let suits = columns && (2..=Reduction::OUTER_BLOCK).contains(&height) && width > 1;
        suits.then_some(Over::Columns([matrices, height, width]))
    }
}

fn elements(run: &Launchable) -> usize {
    run.extents.iter().product()
}

impl Open {
    /// Whether `step`, a map or a reduction that goes over `other`, can be the next.
    fn takes(&self, step: &Step, other: Option<Over>, slots: &[SlotInfo]) -> bool {
        let Some(run) = step.run() else { return false };
        let all = |over: Over| self.steps.iter().all(|s| self.fits(s, over, slots));
        let map = matches!(step, Step::Map { .. });
        match (self.over, other) {
            (Some(over), Some(other)) => over == other && self.fits(step, over, slots),
            (Some(over), None) => map && self.fits(step, over, slots),
            (None, Some(over)) => self.fits(step, over, slots) && all(over),
            (None, None) => {
                let over = Over::Rows(self.elements.min(elements(run)));
                map && self.fits(step, over, slots) && all(over)
            }
        }
    }

    /// Whether a step keeps to its row, or column, wherever it reads what the run writes, or writes itself.
    fn fits(&self, step: &Step, over: Over, slots: &[SlotInfo]) -> bool {
        let Some(run) = step.run() else { return false };
        let mut own = FxHashSet::default();
        step.writes(&mut |slot| {
            own.insert(slot);
        });
        let (rows, results) = match over {
            Over::Rows(rows) => (rows, rows),
            Over::Columns([matrices, _, width]) => (matrices, matrices * width),
        };
        let whole = |n: usize| rows > 0 && n > 0 && n.is_multiple_of(rows);
        let sinks = match step {
            Step::Reduce { sinks, .. } => sinks.iter().all(|s| slots[s.slot as usize].bytes == results * s.result_size),
            _ => true,
        };
        let kernel = run.kernel.kernel();
        // One code has to do all steps that reduce columns; each element of a tile is of one reduction.
        let suits = match over {
            Over::Rows(_) => whole(elements(run)),
            Over::Columns([_, height, _]) => {
                let tiles = run.accesses.iter().filter(|a| a.source == Source::Scratch).count();
                let one_each = if let Step::Reduce { sinks, .. } = step { sinks.len() == tiles } else { true };
                (elements(run) == results || elements(run) == results * height)
                    && self.steps.len() < RowProgram::STAGES
                    && RowProgram::takes(kernel)
                    && one_each
            }
        };
        let local = |operand: &Operand, a: &Access, row: Option<usize>| match over {
            Over::Rows(rows) => row.is_none_or(|row| row_local(operand, &run.extents, rows, row, a.offset, &a.strides)),
            Over::Columns(shape) => {
                column_local(operand, &run.extents, shape, &a.strides, row.map(|row| (a.offset, row)))
            }
        };
        sinks
            && suits
            && run.accesses.iter().zip(&kernel.operands).all(|(a, operand)| match a.source {
                Source::Slot(slot) if self.written.contains(&slot) || own.contains(&slot) => {
                    let bytes = slots[slot as usize].bytes;
                    whole(bytes) && local(operand, a, Some(bytes / rows))
                }
                Source::Slot(_) => local(operand, a, None),
                Source::Index => matches!(over, Over::Rows(_)),
                Source::Scratch => true,
            })
    }

    fn push(&mut self, step: Step, other: Option<Over>) {
        self.over = self.over.or(other);
        if let Some(run) = step.run() {
            self.elements = self.elements.min(elements(run));
        }
        step.writes(&mut |slot| {
            self.written.insert(slot);
        });
        self.steps.push(step);
    }
}

/// Joins steps to runs. `needed` lists the slots of results; `inputs` is how many slots are inputs. `columns`: such that reduce
/// columns, too.
pub(crate) fn form(
    steps: Vec<Step>,
    slots: &[SlotInfo],
    inputs: usize,
    needed: &[Slot],
    columns: bool,
) -> (Vec<Step>, Vec<Rejected>) {
    // How many steps read each slot: what is read outside its run is no temporary.
    let mut readers = vec![0usize; slots.len()];
    steps.iter().for_each(|s| s.reads(&mut |slot| readers[slot as usize] += 1));
    needed.iter().for_each(|s| readers[*s as usize] += 1);
    let mut out = Former { out: Vec::new(), rejected: Vec::new(), slots, inputs, readers };
    out.join(steps, columns);
    (out.out, out.rejected)
}

struct Former<'a> {
    out: Vec<Step>,
    rejected: Vec<Rejected>,
    slots: &'a [SlotInfo],
    inputs: usize,
    readers: Vec<usize>,
}

impl Former<'_> {
    /// Appends the steps, of which some become runs; `columns`: such that reduce columns, too.
    fn join(&mut self, steps: Vec<Step>, columns: bool) {
        let mut open: Vec<Open> = Vec::new();
        for step in steps {
            let mut feeds: SmallVec<[usize; 2]> = SmallVec::new();
            step.reads(&mut |slot| {
                if slot as usize >= self.inputs
                    && let Some(i) = open.iter().position(|o| o.written.contains(&slot))
                    && !feeds.contains(&i)
                {
                    feeds.push(i);
                }
            });
            feeds.sort_unstable();
            let over = over(&step, columns);
            let joins = feeds.iter().copied().find(|&i| open[i].takes(&step, over, self.slots));
            // All others that the step reads from must have run before.
            let mut home = joins;
            for &i in feeds.iter().rev().filter(|&&i| Some(i) != joins) {
                self.close(open.remove(i));
                home = home.map(|h| if i < h { h - 1 } else { h });
            }
            if let Some(home) = home {
                open[home].push(step, over);
                continue;
            }
            let starts = over.is_some() || matches!(step, Step::Map { .. });
            match step.run() {
                Some(run) if starts && elements(run) > 0 => {
                    if open.len() == OPEN {
                        // One that reduces columns may well stay alone.
                        let lone = |o: &Open| o.steps.len() == 1 && matches!(o.over, Some(Over::Columns(_)));
                        self.close(open.remove(open.iter().position(lone).unwrap_or(0)));
                    }
                    let mut next =
                        Open { steps: Vec::new(), over: None, elements: elements(run), written: FxHashSet::default() };
                    if over.is_none_or(|over| next.fits(&step, over, self.slots)) {
                        next.push(step, over);
                        open.push(next);
                    } else {
                        self.out.push(step);
                    }
                }
                _ => self.out.push(step),
            }
        }
        open.into_iter().for_each(|o| self.close(o));
    }

    /// Makes a run of what was joined, if it pays.
    fn close(&mut self, open: Open) {
        if open.steps.len() < 2 {
            return self.out.extend(open.steps);
        }
        let rows = match open.over.unwrap_or(Over::Rows(open.elements)) {
            Over::Rows(rows) => rows,
            Over::Columns(shape) => return self.close_columns(open, shape),
        };
        let mut touched: FxHashMap<Slot, usize> = FxHashMap::default();
        for run in open.steps.iter().filter_map(Step::run) {
            for a in &run.accesses {
                if let Source::Slot(slot) = a.source {
                    let bytes = touched_by(&run.extents, a).div_ceil(rows);
                    let most = touched.entry(slot).or_default();
                    *most = (*most).max(bytes);
                }
            }
        }
        let row = touched.values().sum::<usize>().max(1);
        let cache = cpu::caches().l2;
        // A few long rows are better shared by all threads, step by step.
        let limit = if rows < 8 { cache / 4 } else { cache };
        if row > limit {
            self.rejected.push(Rejected { steps: open.steps.len(), rows, row, limit });
            return self.out.extend(open.steps);
        }
        // As much as the cache takes, but so that every thread gets some.
        let (least, most) = ((LEAST / row).max(1), (cache / SHARE / row).max(1));
        let chunk = rows.div_ceil(4 * cpu::cores()).clamp(least.min(most), most).min(MOST_ROWS).min(rows);
        let run = self.run(open, Over::Rows(rows), rows, chunk);
        self.out.push(Step::Rows(run));
    }

    /// Makes a run of what was joined, if there may be code for all of it; else joins the steps by their rows alone.
    fn close_columns(&mut self, open: Open, [matrices, height, width]: [usize; 3]) {
        let mut run = self.run(open, Over::Columns([matrices, height, width]), matrices, 1);
        let (sources, places, stages) = run.stages();
        match ColumnLayout::new(matrices, [height, width], places, stages) {
            Some(layout) => {
                (run.sources, run.layout) = (sources, Looked::Columns(layout));
                self.out.push(Step::Rows(run));
            }
            None => self.join(run.steps, false),
        }
    }

    /// A run of what was joined, which nobody has looked at.
    fn run(&self, open: Open, over: Over, rows: usize, chunk: usize) -> RowRun {
        let mut inside: FxHashMap<Slot, usize> = FxHashMap::default();
        open.steps.iter().for_each(|step| step.reads(&mut |slot| *inside.entry(slot).or_default() += 1));
        let mut written: Vec<(Slot, usize)> =
            open.written.iter().map(|&s| (s, self.slots[s as usize].bytes / rows)).collect();
        written.sort_unstable();
        let temporaries = written
            .iter()
            .map(|w| w.0)
            .filter(|s| self.readers[*s as usize] == inside.get(s).copied().unwrap_or(0))
            .collect();
        let runs = || open.steps.iter().filter_map(Step::run);
        let units = |r: &Launchable| (elements(r) as u64).saturating_mul(r.kernel.weight().into());
        let (picoseconds, units, elements) = (
            runs().map(Launchable::work).fold(0, u64::saturating_add),
            runs().map(units).fold(0, u64::saturating_add),
            runs().map(elements).sum(),
        );
        let (frees, sources, layout, whole, steps) = (Vec::new(), Vec::new(), Looked::Not, None, open.steps);
        RowRun {
            over,
            rows,
            chunk,
            steps,
            frees,
            written,
            temporaries,
            sources,
            layout,
            whole,
            picoseconds,
            units,
            elements,
        }
    }
}

/// The bytes that an access touches.
pub(crate) fn touched_by(extents: &[usize], access: &Access) -> usize {
    let moving = extents.iter().zip(&access.strides).filter(|(_, s)| **s != 0);
    moving.map(|(n, _)| *n).fold(access.dtype.size(), usize::saturating_mul)
}

impl RowRun {
    /// Whether a slot has no memory but scratch.
    pub fn is_temporary(&self, slot: Slot) -> bool {
        self.temporaries.contains(&slot)
    }

    /// Calls `f` with each slot that is read and not written here.
    pub(crate) fn reads(&self, f: &mut dyn FnMut(Slot)) {
        for step in &self.steps {
            step.reads(&mut |slot| {
                if !self.written.iter().any(|w| w.0 == slot) {
                    f(slot);
                }
            });
        }
    }

    /// Calls `f` with each slot that is written and has memory.
    pub(crate) fn writes(&self, f: &mut dyn FnMut(Slot)) {
        self.written.iter().map(|w| w.0).filter(|s| !self.is_temporary(*s)).for_each(f);
    }

    /// Bytes read from and written to memory: each slot once.
    pub(crate) fn moved(&self, slots: &[SlotInfo]) -> u64 {
        let mut bytes = 0u64;
        self.writes(&mut |slot| bytes = bytes.saturating_add(slots[slot as usize].bytes as u64));
        let mut read: FxHashMap<Slot, u64> = FxHashMap::default();
        for run in self.steps.iter().filter_map(Step::run) {
            for (a, o) in run.accesses.iter().zip(&run.kernel.kernel().operands) {
                if let (Source::Slot(slot), Role::Input) = (a.source, o.role)
                    && !self.written.iter().any(|w| w.0 == slot)
                {
                    let most = read.entry(slot).or_default();
                    *most = (*most).max(touched_by(&run.extents, a) as u64);
                }
            }
        }
        read.values().fold(bytes, |sum, b| sum.saturating_add(*b))
    }

    /// What it costs to run, in picoseconds.
    pub(crate) fn work(&self) -> u64 {
        self.picoseconds
    }

    /// The slots that the steps access, what they write first; what each is for; and the steps, as code sees them.
    fn stages(&self) -> (Vec<Slot>, Vec<RowPlace>, Vec<RowStage<'_>>) {
        let mut numbers: FxHashMap<Slot, usize> = FxHashMap::default();
        let (mut sources, mut places) = (Vec::new(), Vec::new());
        for &(slot, row) in &self.written {
            numbers.insert(slot, places.len());
            sources.push(slot);
            places.push(if self.is_temporary(slot) { RowPlace::Temporary { row } } else { RowPlace::Write { row } });
        }
        let mut stages = Vec::with_capacity(self.steps.len());
        for step in &self.steps {
            let Some(run) = step.run() else { continue };
            let mut bindings = SmallVec::new();
            for a in &run.accesses {
                let source = match a.source {
                    Source::Index => RowSource::Index,
                    Source::Scratch => RowSource::Tile,
                    Source::Slot(slot) => RowSource::Memory(*numbers.entry(slot).or_insert_with(|| {
                        sources.push(slot);
                        places.push(RowPlace::Read);
                        places.len() - 1
                    })),
                };
                bindings.push(RowBinding { source, offset: a.offset, strides: a.strides.clone() });
            }
            let sinks = match step {
                Step::Reduce { sinks, .. } => sinks
                    .iter()
                    .map(|s| RowSink { reduction: s.op, tile: s.scratch, memory: numbers[&s.slot] })
                    .collect(),
                _ => SmallVec::new(),
            };
            stages.push(RowStage { kernel: run.kernel.kernel(), extents: run.extents.clone(), bindings, sinks });
        }
        (sources, places, stages)
    }

    /// Looks at the steps once, for any number of runs.
    pub(crate) fn look_at(&mut self, target: &'static Target) -> Result<()> {
        if let Looked::Not = self.layout {
            let (sources, places, stages) = self.stages();
            let mut layout = RowLayout::new(self.rows, self.chunk, places, stages)?;
            layout.suit(target, cpu::caches().l1);
            (self.sources, self.layout) = (sources, Looked::Rows(layout));
        }
        let program = match &self.layout {
            Looked::Not => None,
            Looked::Rows(layout) => layout.program(),
            Looked::Columns(layout) => Some(layout.program()),
        };
        self.whole = program.map(|program| lookup_rows(program, target));
        if let Some(whole) = &self.whole {
            match &mut self.layout {
                Looked::Not => {}
                Looked::Rows(layout) => layout.adopt(whole.program()),
                Looked::Columns(layout) => layout.adopt(whole.program()),
            }
        }
        Ok(())
    }

    /// The code that does all steps, if it is worth it by now.
    pub(crate) fn worth(&self, config: &Config) -> Option<&RowCode> {
        self.whole.as_deref().and_then(|whole| whole.worth(config, self.units, self.picoseconds))
    }

    /// Whether the steps have to run one by one, as there is no code that does all.
    pub(crate) fn is_apart(&self, code: Option<&RowCode>) -> bool {
        code.is_none() && matches!(self.over, Over::Columns(_))
    }

    /// Whether steps like these may have code that does all of them.
    pub(crate) fn may_be_whole(&self) -> bool {
        self.whole.is_some()
    }

    /// The code that does all steps, if steps like these may have such code, or why there is none.
    pub(crate) fn whole(&self) -> Option<std::result::Result<&RowCode, &str>> {
        self.whole.as_ref().map(|w| w.code())
    }

    /// Runs all steps, by code that does all, or where rows are reduced by that of each. `read` gives an input's bytes and where
    /// it starts; `outs` are the buffers of the slots that [`RowRun::writes`] tells, in that order.
    pub(crate) fn run<'m>(
        &'m self,
        code: Option<&'m RowCode>,
        state: &Run<'_>,
        read: impl Fn(Slot) -> (&'m [u8], usize),
        outs: SmallVec<[&'m mut [u8]; 2]>,
    ) -> Result<()> {
        let mut outs = outs.into_iter();
        let memories = self.sources.iter().enumerate().map(|(i, &slot)| match i < self.written.len() {
            true if self.is_temporary(slot) => RowMemory::Nothing,
            true => RowMemory::Write(outs.next().unwrap_or_default()),
            false => {
                let (bytes, start) = read(slot);
                RowMemory::Read(bytes, start)
            }
        });
        let far = matches!(self.steps.last(), Some(Step::Map { run, .. }) if run.far);
        let threads = state.threads(self.picoseconds);
        let count = if threads <= 1 { 1 } else { cost::parts(self.picoseconds, threads, state.watched()) };
        let per_row = self.elements / self.rows.max(1);
        match (&self.layout, code) {
            (Looked::Rows(layout), Some(code)) => {
                let mut words = RowWords::default();
                let mut rows = layout.bind_whole(code, &mut words, memories)?;
                if far {
                    rows.around_caches();
                }
                let scratch = rows.scratch();
                state.each(threads, rows.parts(count), move |part| {
                    let done = |rows| state.advance(rows * per_row);
                    with_scratch(scratch, |scratch| part.run(scratch, state.watched(), done))
                })
            }
            (Looked::Columns(layout), Some(code)) => {
                let mut words = RowWords::default();
                let mut columns = layout.bind(code, &mut words, memories)?;
                let Over::Columns([.., width]) = self.over else { return Ok(()) };
                let scratch = columns.scratch();
                // Who watches is told more often.
                let count = if state.watched() { count.max(self.elements >> 20) } else { count };
                state.each(threads, columns.parts(count), move |part| {
                    let done = |columns| state.advance(columns * (per_row / width));
                    with_scratch(scratch, |scratch| part.run(scratch, done))
                })
            }
            (Looked::Rows(layout), None) => {
                let runs = self.steps.iter().filter_map(Step::run);
                let codes: SmallVec<[&Code; 8]> = runs.map(|run| run.code(state.config)).collect::<Result<_>>()?;
                let mut rows = layout.bind(codes, memories)?;
                if far {
                    rows.around_caches();
                }
                let scratch = rows.scratch();
                state.each(threads, rows.parts(count), move |part| {
                    let mut buffer = Buffer::alloc(scratch)?;
                    part.run(buffer.bytes_mut().unwrap_or_default(), |rows| state.advance(rows * per_row))
                })
            }
            (Looked::Columns(_), None) => Err(Error::Internal("columns without code for all steps".to_owned())),
            (Looked::Not, _) => Err(Error::Internal("rows that nobody looked at".to_owned())),
        }
    }
}

/// Calls `f` with so many bytes of scratch memory.
fn with_scratch(bytes: usize, f: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
    let mut few = Few([0; 1024]);
    match few.0.get_mut(..bytes) {
        Some(few) => f(few),
        None => f(Buffer::alloc(bytes)?.bytes_mut().unwrap_or_default()),
    }
}

/// Scratch memory of a few rows.
#[repr(align(64))]
struct Few([u8; 1024]);

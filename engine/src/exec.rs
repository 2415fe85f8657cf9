//! Running a plan: allocation, kernels over tiles, library calls, on the threads of the configuration.
//!
//! A call of a small kernel takes about as long as this file lets it: what can be known from the plan is looked at when
//! the plan is made, above all the bounds of every access ([`lazuli_jit::Layout`]).

use crate::config::{self, Config};
use crate::cost;
use crate::error::{Error, Result};
use crate::plan::{Launchable, Plan, Slot, Source, Step};
use crate::rows::RowRun;
use crate::{reduce, scan};
use lazuli_jit::{Launch, Memory, Parts, Role, RowCode};
use lazuli_runtime::matmul::matmul;
use lazuli_runtime::threads::{Share, Work};
use lazuli_runtime::{Buffer, Tensor};
use smallvec::SmallVec;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The least number of elements that are worth a part of their own.
const GRAIN: usize = 4096;

/// What a plan computes.
pub type Results = SmallVec<[Tensor; 2]>;

/// One run of a plan: the configuration, and what is done so far.
pub(crate) struct Run<'a> {
    pub config: &'a Config,
    total: u64,
    done: AtomicU64,
    /// The cores that it may use, if a step would have several.
    share: Option<Share>,
}

impl Run<'_> {
    /// The threads to use for this much work, in [`cost`]'s picoseconds: fewer than configured where others compute, too.
    pub fn threads(&self, work: u64) -> usize {
        match &self.share {
            Some(share) if work >= cost::PARALLEL => share.threads(self.config.threads),
            _ => 1,
        }
    }

    /// Whether someone wants to know how far the run is, or to stop it.
    pub fn watched(&self) -> bool {
        self.config.progress.is_some() || self.config.cancel.is_some()
    }

    /// Counts `elements` as done and reports it.
    ///
    /// # Errors
    /// The cancel token is set.
    pub fn advance(&self, elements: usize) -> Result<()> {
        if let Some(cancel) = &self.config.cancel
            && cancel.load(Ordering::Relaxed)
        {
            return Err(Error::Cancelled);
        }
        if let Some(progress) = &self.config.progress {
            let done = self.done.fetch_add(elements as u64, Ordering::Relaxed) + elements as u64;
            progress((done as f64 / self.total.max(1) as f64).min(1.0));
        }
        Ok(())
    }

    /// Runs a map.
    fn launch(&self, run: &Launchable, mut launch: Launch<'_>) -> Result<()> {
        if run.far {
            launch.around_caches();
        }
        let threads = self.threads(run.work());
        if threads <= 1 && !self.watched() {
            launch.run();
            return Ok(());
        }
        if launch.elements() == 0 {
            return Ok(());
        }
        let count = match threads {
            // It comes back now and then.
            0 | 1 => launch.elements().div_ceil(1 << 20),
            _ => cost::parts(run.work(), threads, self.watched()),
        };
        let parts = launch.parts(count, GRAIN);
        let own = if self.watched() { 1 } else { cost::own(parts.count(), threads) };
        let threads = threads.min(parts.count());
        self.share(threads, Maps { run: self, own, parts }).map(drop)
    }

    /// Runs `task` for each item, on `threads` threads, each of which has a run of them to begin with.
    pub fn each<I: IntoIterator<IntoIter: ExactSizeIterator + Send, Item: Send>>(
        &self,
        threads: usize,
        items: I,
        task: impl Fn(I::Item) -> Result<()> + Sync,
    ) -> Result<()> {
        let mut items = items.into_iter();
        if threads <= 1 || items.len() <= 1 {
            return items.try_for_each(task);
        }
        let own = if self.watched() { 1 } else { cost::own(items.len(), threads) };
        let threads = threads.min(items.len());
        self.share(threads, Items { own, items: Mutex::new(items), task }).map(drop)
    }

    /// Does what there is to do, on `threads` threads, and gives it back; none begins anything after the first error.
    pub fn share<S: Supply>(&self, threads: usize, supply: S) -> Result<S> {
        let work = Shared { supply, failed: AtomicBool::new(false), error: Mutex::new(None) };
        let done = match &self.share {
            Some(share) => share.together(threads, work),
            None => {
                // On one thread.
                work.work();
                work
            }
        };
        done.error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(done.supply), Err)
    }
}

/// What threads share.
pub(crate) trait Supply: Sync {
    /// Does something that nobody does yet, if there is anything, and tells whether that was the last of all: to look for more
    /// takes a line of memory that other threads have written. `first`: it is the first time on this thread.
    fn next(&self, first: bool) -> Option<(bool, Result<()>)>;
}

/// The parts of a map, of which a thread takes so many at first.
struct Maps<'a> {
    run: &'a Run<'a>,
    own: usize,
    parts: Parts<'a>,
}

impl Supply for Maps<'_> {
    fn next(&self, first: bool) -> Option<(bool, Result<()>)> {
        let part = self.parts.take(if first { self.own } else { 1 })?;
        let (last, elements) = (part.is_last(), part.elements());
        part.run();
        Some((last, self.run.advance(elements)))
    }
}

/// Items, of which a thread takes so many at first.
struct Items<I, F> {
    own: usize,
    items: Mutex<I>,
    task: F,
}

impl<I, F> Supply for Items<I, F>
where
    I: ExactSizeIterator<Item: Send> + Send,
    F: Fn(I::Item) -> Result<()> + Sync,
{
    fn next(&self, first: bool) -> Option<(bool, Result<()>)> {
        let mut items = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let run: SmallVec<[I::Item; 12]> = items.by_ref().take(if first { self.own } else { 1 }).collect();
        let last = items.len() == 0;
        drop(items);
        (!run.is_empty()).then(|| (last, run.into_iter().try_for_each(&self.task)))
    }
}

/// What threads share, and the first error: all in one place, which goes to a worker's core with the job.
struct Shared<S> {
    failed: AtomicBool,
    supply: S,
    error: Mutex<Option<Error>>,
}

impl<S: Supply> Work for Shared<S> {
    fn work(&self) {
        let mut first = true;
        while !self.failed.load(Ordering::Relaxed)
            && let Some((last, outcome)) = self.supply.next(std::mem::take(&mut first))
        {
            if let Err(e) = outcome {
                self.failed.store(true, Ordering::Relaxed);
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
            }
            if last {
                break;
            }
        }
    }
}

impl Plan {
    /// Runs the plan over `inputs`, whose layouts are those it was made for, and appends the results to `results`.
    ///
    /// # Errors
    /// The memory limit, exhausted memory, cancellation.
    pub fn run(&self, inputs: &[&Tensor], config: &Config, results: &mut Results) -> Result<()> {
        if let Some(limit) = config.memory_limit
            && self.peak > limit
        {
            return Err(Error::MemoryLimit { needed: self.peak, limit });
        }
        let total = if config.progress.is_some() { self.steps.iter().map(Step::elements).sum() } else { 0 };
        let share = (self.work >= cost::PARALLEL && config.threads != 1).then(Share::new);
        let run = Run { config, total, done: AtomicU64::new(0), share };
        // Whether a lone step is none, as there is no code for it as a whole.
        let mut apart = false;
        if let Some(lone) = &self.lone {
            let rows = if let Some(Step::Rows(rows)) = self.steps.first() { Some(rows) } else { None };
            let code = rows.and_then(|rows| rows.worth(config));
            apart = rows.is_some_and(|rows| rows.is_apart(code));
            if !apart {
                return self.run_lone(lone, inputs, &run, code, results);
            }
        }
        // What is computed; inputs stay where they are.
        let mut slots: SmallVec<[Option<Buffer>; 8]> = SmallVec::new();
        slots.resize_with(self.slots.len(), || None);
        let memory = Slots { plan: self, inputs };
        for (step, frees) in self.steps.iter().zip(&self.frees) {
            memory.step(step, apart, &mut slots, &run)?;
            for &slot in frees {
                slots[slot as usize] = None;
            }
        }
        for (i, o) in self.outputs.iter().enumerate() {
            let slot = o.place.slot;
            // The last output that lies in it takes the handle along.
            let last = self.outputs[i + 1..].iter().all(|other| other.place.slot != slot);
            let buffer = match slots[slot as usize].take_if(|_| last) {
                Some(buffer) => buffer,
                None => memory.buffer(slot, &slots)?.clone(),
            };
            results.push(o.layout.tensor(buffer, (o.place.offset + memory.start(slot)) as usize)?);
        }
        Ok(())
    }

    /// Runs a plan of one step, whose outputs are the results `lone` in this order. `code` does all of it, if it is a run of rows.
    fn run_lone(
        &self,
        lone: &[u32],
        inputs: &[&Tensor],
        run: &Run<'_>,
        code: Option<&RowCode>,
        results: &mut Results,
    ) -> Result<()> {
        let mut buffers: SmallVec<[Option<Buffer>; 2]> = SmallVec::new();
        for &output in lone {
            let slot = self.outputs[output as usize].place.slot;
            buffers.push(Some(Buffer::alloc(self.slots[slot as usize].bytes)?));
        }
        let mut outs = buffers.iter_mut().flatten().map(|b| b.bytes_mut().unwrap_or_default());
        let read = |slot: Slot| inputs.get(slot as usize).map(|input| (input.buffer().bytes(), input.offset()));
        match self.steps.first() {
            Some(Step::Map { run: launchable, .. }) => {
                run.launch(launchable, launchable.bind_lone(run.config, read, &mut outs)?)?;
            }
            Some(Step::Reduce { run: launchable, kept, outer, inner, sinks }) => {
                let mut launch = launchable.bind_lone(run.config, read, &mut std::iter::empty())?;
                let task = reduce::Task::new(run, &mut launch, launchable, sinks);
                task.run(*kept, *outer, *inner, &mut few(outs))?;
            }
            Some(Step::Rows(rows)) => rows.run(code, run, |slot| read(slot).unwrap_or_default(), few(outs))?,
            _ => return Err(Error::Internal("a plan of one step has none".to_owned())),
        }
        for (i, o) in self.outputs.iter().enumerate() {
            let buffer = lone.iter().position(|&output| output as usize == i).and_then(|at| buffers[at].take());
            let buffer = buffer.ok_or_else(|| Error::Internal(format!("result {i} was not computed")))?;
            results.push(o.layout.tensor(buffer, 0)?);
        }
        Ok(())
    }
}

impl Launchable {
    /// Binds the kernel of a plan's only step to inputs, by `read`, and the memory of its outputs. Inlined, so that what is bound
    /// is written where it is used.
    #[inline(always)]
    fn bind_lone<'m>(
        &'m self,
        config: &Config,
        read: impl Fn(Slot) -> Option<(&'m [u8], usize)>,
        outs: &mut impl Iterator<Item = &'m mut [u8]>,
    ) -> Result<Launch<'m>> {
        let code = self.code(config)?;
        let memory = self.accesses.iter().map(|a| match a.source {
            Source::Index | Source::Scratch => Memory::Nothing,
            Source::Slot(slot) => match read(slot) {
                Some((bytes, start)) => Memory::Read(bytes, start),
                None => Memory::Write(outs.next().unwrap_or_default()),
            },
        });
        Ok(self.layout.bind(code, memory)?)
    }
}

/// A few things, one after another: `collect` is made for more, and takes longer than a small kernel.
#[inline]
pub(crate) fn few<T>(things: impl IntoIterator<Item = T>) -> SmallVec<[T; 2]> {
    let mut all = SmallVec::new();
    things.into_iter().for_each(|thing| all.push(thing));
    all
}

impl Step {
    /// The elements of its iteration space, for progress.
    fn elements(&self) -> u64 {
        self.runs().iter().map(|run| run.extents.iter().product::<usize>() as u64).sum()
    }
}

/// The bytes of freshly allocated buffers.
fn writable(buffers: &mut [Buffer]) -> Result<SmallVec<[&mut [u8]; 2]>> {
    buffers
        .iter_mut()
        .map(|b| b.bytes_mut().ok_or_else(|| Error::Internal("a fresh buffer is shared".to_owned())))
        .collect()
}

struct Slots<'a> {
    plan: &'a Plan,
    inputs: &'a [&'a Tensor],
}

impl<'a> Slots<'a> {
    /// Where in its buffer a slot starts: an input's first element, else the beginning.
    fn start(&self, slot: u32) -> isize {
        self.inputs.get(slot as usize).map_or(0, |t| t.offset() as isize)
    }

    /// The memory of a slot.
    fn buffer<'m>(&self, slot: u32, slots: &'m [Option<Buffer>]) -> Result<&'m Buffer>
    where
        'a: 'm,
    {
        match self.inputs.get(slot as usize) {
            Some(input) => Ok(input.buffer()),
            None => slots[slot as usize]
                .as_ref()
                .ok_or_else(|| Error::Internal(format!("slot {slot} is read before it is written"))),
        }
    }

    fn allocate(&self, slots: impl Iterator<Item = u32>) -> Result<SmallVec<[Buffer; 2]>> {
        slots.map(|s| Ok(Buffer::alloc(self.plan.slots[s as usize].bytes)?)).collect()
    }

    /// Binds a kernel: inputs from `slots`, outputs from `outs` in operand order (scratch where there are none).
    /// `in_place` lists input operands that are the memory of an output operand.
    fn bind<'m>(
        &self,
        run: &'m Launchable,
        slots: &'m [Option<Buffer>],
        outs: &'m mut [(u32, Buffer)],
        in_place: &[(u32, u32)],
        state: &Run<'_>,
    ) -> Result<Launch<'m>>
    where
        'a: 'm,
    {
        let code = run.code(state.config)?;
        let operands = &run.kernel.kernel().operands;
        let mut outs = outs.iter_mut();
        let memory = run.accesses.iter().zip(operands).enumerate().map(|(i, (a, operand))| {
            let bytes = |slot: u32| match self.inputs.get(slot as usize) {
                Some(input) => Memory::Read(input.buffer().bytes(), input.offset()),
                None => Memory::Read(slots[slot as usize].as_ref().map_or(&[], Buffer::bytes), 0),
            };
            match (a.source, operand.role) {
                (Source::Index | Source::Scratch, _) => Memory::Nothing,
                (Source::Slot(_), Role::Output) => {
                    Memory::Write(outs.next().and_then(|(_, b)| b.bytes_mut()).unwrap_or_default())
                }
                (Source::Slot(slot), _) => match in_place.iter().find(|(input, _)| *input == i as u32) {
                    Some(&(_, output)) => Memory::InPlace(output),
                    None => bytes(slot),
                },
            }
        });
        Ok(run.layout.bind(code, memory)?)
    }

    /// Runs a step. `apart`: if it is several, there is no code for it as a whole.
    fn step(&self, step: &Step, apart: bool, slots: &mut SmallVec<[Option<Buffer>; 8]>, run: &Run<'_>) -> Result<()> {
        match step {
            Step::Map { run: launchable, in_place } => self.map(launchable, in_place, slots, run)?,
            Step::Reduce { run: launchable, kept, outer, inner, sinks } => {
                let mut out = self.allocate(sinks.iter().map(|s| s.slot))?;
                {
                    let mut launch = self.bind(launchable, slots, &mut [], &[], run)?;
                    let mut outs = writable(&mut out)?;
                    reduce::Task::new(run, &mut launch, launchable, sinks).run(*kept, *outer, *inner, &mut outs)?;
                }
                sinks.iter().zip(out).for_each(|(s, b)| slots[s.slot as usize] = Some(b));
            }
            Step::Scan { run: launchable, kept, outer, sinks } => {
                let mut out = self.allocate(sinks.iter().map(|s| s.slot))?;
                {
                    let launch = self.bind(launchable, slots, &mut [], &[], run)?;
                    let mut outs = writable(&mut out)?;
                    scan::run(run, &launch, launchable, *kept, *outer, sinks, &mut outs)?;
                }
                sinks.iter().zip(out).for_each(|(s, b)| slots[s.slot as usize] = Some(b));
            }
            Step::Matmul { left, right, dtype, slot, .. } => {
                let side = |(place, shape): &(crate::plan::Place, lazuli_graph::Shape)| {
                    let buffer = self.buffer(place.slot, slots)?.clone();
                    let offset = place.offset + self.start(place.slot);
                    Ok::<_, Error>(Tensor::from_parts(buffer, *dtype, shape.clone(), &place.strides, offset as usize)?)
                };
                let (a, b) = (side(left)?, side(right)?);
                let product = config::suspended(|| matmul(&a, &b, run.threads(step.work())))?;
                slots[*slot as usize] = Some(product.buffer().clone());
            }
            Step::Rows(rows) => {
                let code = if apart { None } else { rows.worth(run.config) };
                if rows.is_apart(code) {
                    for (step, frees) in rows.steps.iter().zip(&rows.frees) {
                        self.step(step, false, slots, run)?;
                        frees.iter().for_each(|&slot| slots[slot as usize] = None);
                    }
                } else {
                    self.rows(rows, code, slots, run)?;
                }
            }
        }
        Ok(())
    }

    /// Runs all steps of a run of rows.
    fn rows(
        &self,
        rows: &RowRun,
        code: Option<&RowCode>,
        slots: &mut SmallVec<[Option<Buffer>; 8]>,
        run: &Run<'_>,
    ) -> Result<()> {
        let mut written = SmallVec::<[u32; 2]>::new();
        rows.writes(&mut |slot| written.push(slot));
        let mut out = self.allocate(written.iter().copied())?;
        let read = |slot: u32| match self.inputs.get(slot as usize) {
            Some(input) => (input.buffer().bytes(), input.offset()),
            None => (slots[slot as usize].as_ref().map_or(&[][..], Buffer::bytes), 0),
        };
        rows.run(code, run, read, writable(&mut out)?)?;
        written.iter().zip(out).for_each(|(s, b)| slots[*s as usize] = Some(b));
        Ok(())
    }

    fn map(
        &self,
        run: &Launchable,
        in_place: &[Option<u32>],
        slots: &mut SmallVec<[Option<Buffer>; 8]>,
        state: &Run<'_>,
    ) -> Result<()> {
        let kernel = run.kernel.kernel();
        let outputs = run.accesses.iter().enumerate().filter(|(i, _)| kernel.operands[*i].role == Role::Output);
        let mut buffers: SmallVec<[(u32, Buffer); 2]> = SmallVec::new();
        let mut reused: SmallVec<[(u32, u32); 2]> = SmallVec::new();
        for (n, (operand, access)) in outputs.enumerate() {
            let Source::Slot(slot) = access.source else { continue };
            let bytes = self.plan.slots[slot as usize].bytes;
            let dying =
                in_place.get(n).copied().flatten().and_then(|input| match run.accesses[input as usize].source {
                    Source::Slot(from) => Some((input, from)),
                    _ => None,
                });
            let buffer = match dying {
                // Memory that someone else holds by now, such as an alias that was returned, is left alone.
                Some((input, from))
                    if slots[from as usize].as_mut().is_some_and(|b| b.len() >= bytes && b.bytes_mut().is_some()) =>
                {
                    reused.push((input, operand as u32));
                    slots[from as usize].take().expect("the buffer was just looked at")
                }
                _ => Buffer::alloc(bytes)?,
            };
            buffers.push((slot, buffer));
        }
        state.launch(run, self.bind(run, slots, &mut buffers, &reused, state)?)?;
        for (slot, buffer) in buffers {
            slots[slot as usize] = Some(buffer);
        }
        Ok(())
    }
}

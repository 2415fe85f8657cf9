//! Running a plan: allocation, kernels over tiles, library calls, on the threads of the configuration.

use crate::config::{self, Config};
use crate::error::{Error, Result};
use crate::plan::{Access, Launchable, Plan, Source, Step};
use crate::{reduce, scan};
use lazuli_jit::{Binding, Launch, Memory, Role};
use lazuli_runtime::matmul::matmul;
use lazuli_runtime::threads::Threads;
use lazuli_runtime::{Buffer, Tensor};
use rayon::prelude::*;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, Ordering};

/// Work (elements times cost units) below which waking another thread costs more than it gains.
const PARALLEL: u64 = 600_000;
/// The least number of elements that are worth a part of their own.
const GRAIN: usize = 4096;

/// One run of a plan: the configuration, and what is done so far.
pub(crate) struct Run<'a> {
    pub config: &'a Config,
    threads: usize,
    total: u64,
    done: AtomicU64,
}

impl Run<'_> {
    /// The threads to use for this much work.
    pub fn threads(&self, work: u64) -> usize {
        if work < PARALLEL { 1 } else { self.threads }
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

    /// Runs `task` for each item, on `threads` threads.
    pub fn each<T: Send>(
        &self,
        threads: usize,
        items: Vec<T>,
        task: impl Fn(T) -> Result<()> + Sync + Send,
    ) -> Result<()> {
        if threads <= 1 || items.len() <= 1 {
            items.into_iter().try_for_each(task)
        } else {
            let pool = Threads::get(threads)?;
            config::suspended(|| pool.install(|| items.into_par_iter().try_for_each(task)))
        }
    }
}

impl Plan {
    /// Runs the plan over `inputs`, whose layouts are those it was made for.
    ///
    /// # Errors
    /// The memory limit, exhausted memory, cancellation.
    pub fn run(&self, inputs: &[Tensor], config: &Config) -> Result<SmallVec<[Tensor; 2]>> {
        if let Some(limit) = config.memory_limit
            && self.peak > limit
        {
            return Err(Error::MemoryLimit { needed: self.peak, limit });
        }
        let threads = Threads::count(config.threads);
        let total = if config.progress.is_some() { self.steps.iter().map(Step::elements).sum() } else { 0 };
        let run = Run { config, threads, total, done: AtomicU64::new(0) };
        let mut slots: SmallVec<[Option<Buffer>; 8]> = SmallVec::with_capacity(self.slots.len());
        slots.extend(inputs.iter().map(|t| Some(t.buffer().clone())));
        slots.resize_with(self.slots.len(), || None);
        let memory = Slots { plan: self, inputs };
        for (step, frees) in self.steps.iter().zip(&self.frees) {
            match step {
                Step::Map { run: launchable, in_place } => memory.map(launchable, in_place, &mut slots, &run)?,
                Step::Reduce { run: launchable, kept, outer, inner, sinks } => {
                    let mut out = memory.allocate(sinks.iter().map(|s| s.slot))?;
                    {
                        let launch = memory.bind(launchable, &slots, &mut [], &[], &run)?;
                        let mut outs = writable(&mut out)?;
                        let task = reduce::Task { run: &run, launch: &launch, launchable, sinks };
                        task.run(*kept, *outer, *inner, &mut outs)?;
                    }
                    sinks.iter().zip(out).for_each(|(s, b)| slots[s.slot as usize] = Some(b));
                }
                Step::Scan { run: launchable, kept, outer, sinks } => {
                    let mut out = memory.allocate(sinks.iter().map(|s| s.slot))?;
                    {
                        let launch = memory.bind(launchable, &slots, &mut [], &[], &run)?;
                        let mut outs = writable(&mut out)?;
                        scan::run(&run, &launch, launchable, *kept, *outer, sinks, &mut outs)?;
                    }
                    sinks.iter().zip(out).for_each(|(s, b)| slots[s.slot as usize] = Some(b));
                }
                Step::Rows(rows) => {
                    let mut written = SmallVec::<[u32; 2]>::new();
                    rows.writes(&mut |slot| written.push(slot));
                    let mut out = memory.allocate(written.iter().copied())?;
                    {
                        let read = |slot: u32| {
                            let bytes = slots[slot as usize].as_ref().map_or(&[][..], Buffer::bytes);
                            (bytes, memory.start(slot))
                        };
                        rows.run(config, &run, read, writable(&mut out)?)?;
                    }
                    written.iter().zip(out).for_each(|(s, b)| slots[*s as usize] = Some(b));
                }
                Step::Matmul { left, right, dtype, slot, .. } => {
                    let side = |(place, shape): &(crate::plan::Place, lazuli_graph::Shape)| {
                        let buffer = slots[place.slot as usize].clone().expect("steps run after those they read from");
                        let offset = place.offset + memory.start(place.slot);
                        Tensor::from_parts(buffer, *dtype, shape.clone(), &place.strides, offset as usize)
                    };
                    let (a, b) = (side(left)?, side(right)?);
                    let columns = b.shape().last().copied().unwrap_or(1) as u64;
                    let work = (a.shape().elements() as u64).saturating_mul(columns);
                    let product = config::suspended(|| matmul(&a, &b, run.threads(work)))?;
                    slots[*slot as usize] = Some(product.buffer().clone());
                }
            }
            for &slot in frees {
                slots[slot as usize] = None;
            }
        }
        self.outputs
            .iter()
            .map(|o| {
                let buffer = slots[o.place.slot as usize].clone().expect("every output was computed");
                let offset = o.place.offset + memory.start(o.place.slot);
                Ok(Tensor::from_parts(buffer, o.dtype, o.shape.clone(), &o.place.strides, offset as usize)?)
            })
            .collect()
    }
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
    inputs: &'a [Tensor],
}

impl<'a> Slots<'a> {
    /// Where in its buffer a slot starts: an input's first element, else the beginning.
    fn start(&self, slot: u32) -> isize {
        self.inputs.get(slot as usize).map_or(0, |t| t.offset() as isize)
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
    ) -> Result<Launch<'m>> {
        let elements = run.extents.iter().product();
        let code = run.kernel.code(state.config, elements)?;
        let operands = &run.kernel.kernel().operands;
        let mut outs = outs.iter_mut();
        let bindings = run.accesses.iter().zip(operands).enumerate().map(|(i, (a, operand))| {
            let Access { offset, strides, .. } = a;
            let mut offset = *offset;
            let memory = match (a.source, operand.role) {
                (Source::Index, _) => Memory::Index,
                (Source::Scratch, _) => Memory::Scratch,
                (Source::Slot(_), Role::Output) => {
                    Memory::Write(outs.next().and_then(|(_, b)| b.bytes_mut()).unwrap_or_default())
                }
                (Source::Slot(slot), _) => match in_place.iter().find(|(input, _)| *input == i as u32) {
                    Some(&(_, output)) => Memory::InPlace(output),
                    None => {
                        offset += self.start(slot);
                        Memory::Read(slots[slot as usize].as_ref().map_or(&[], Buffer::bytes))
                    }
                },
            };
            Binding { memory, offset, strides: strides.clone() }
        });
        Ok(Launch::new(code, &run.extents, bindings)?)
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
        {
            let mut launch = self.bind(run, slots, &mut buffers, &reused, state)?;
            let elements = launch.elements();
            if elements > 0 {
                let weight = run.kernel.weight().max(run.accesses.len() as u32) as u64;
                let work = (elements as u64).saturating_mul(weight);
                let threads = state.threads(work);
                if threads <= 1 && state.config.progress.is_none() && state.config.cancel.is_none() {
                    launch.run();
                } else {
                    // Several parts a thread even out cores of unequal speed; watched runs come back often.
                    let count = if threads <= 1 { elements.div_ceil(1 << 20) } else { threads * 4 };
                    let parts = launch.parts(count, GRAIN);
                    state.each(threads, parts, |part| {
                        let n = part.elements();
                        part.run();
                        state.advance(n)
                    })?;
                }
            }
        }
        for (slot, buffer) in buffers {
            slots[slot as usize] = Some(buffer);
        }
        Ok(())
    }
}

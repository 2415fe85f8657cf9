//! Scans: tiles of the kernel's values into scratch memory, then a running combination into the result.
//!
//! Independent rows are shared by the threads. A few long rows along the last axis are cut into chunks of whole blocks
//! ([`Scan::BLOCK`]): each thread takes the next chunk, scans its blocks by themselves, waits for the carry of the chunk
//! before, passes its own on, which takes a step a block, and then combines the carry with what it has in the cache.

use crate::cost;
use crate::error::Result;
use crate::exec::Run;
use crate::plan::{Launchable, Sink};
use crate::reduce::Scratch;
use lazuli_jit::{Launch, Scan};
use lazuli_runtime::Buffer;
use smallvec::SmallVec;
use std::sync::{Condvar, Mutex, PoisonError};

/// Elements of a tile: whole blocks.
const TILE: usize = 4 * Scan::BLOCK;
/// Elements that a thread takes of a long row: few enough for its second-level cache.
const CHUNK: usize = 4 * TILE;

/// Runs a scan step: loops `..kept` are independent, `kept..outer` is the scanned one, the rest are independent.
pub(crate) fn run(
    state: &Run<'_>,
    launch: &Launch<'_>,
    launchable: &Launchable,
    kept: usize,
    outer: usize,
    sinks: &[Sink<Scan>],
    outs: &mut [&mut [u8]],
) -> Result<()> {
    let extents = &launchable.extents;
    let product = |r: &[usize]| r.iter().product::<usize>();
    let (k, n, w) = (product(&extents[..kept]), product(&extents[kept..outer]), product(&extents[outer..]));
    if k * n * w == 0 {
        return Ok(());
    }
    let threads = state.threads(launchable.work());
    if w == 1 && threads > 1 && k < threads * 2 && n > CHUNK {
        return (0..k).try_for_each(|row| {
            let rows = sinks.iter().zip(outs.iter_mut()).map(|(s, out)| {
                let size = n * s.result_size;
                &mut out[row * size..(row + 1) * size]
            });
            long(state, launch, launchable, outer, row * n, sinks, rows.collect(), threads)
        });
    }
    // Cut the outputs into runs of independent slices.
    let parts = || cost::parts(launchable.work(), threads, state.watched());
    let chunk = if threads <= 1 { k } else { k.div_ceil(parts()) };
    let mut pieces: Vec<SmallVec<[&mut [u8]; 2]>> = (0..k.div_ceil(chunk)).map(|_| SmallVec::new()).collect();
    for (sink, out) in sinks.iter().zip(outs) {
        for (piece, part) in pieces.iter_mut().zip(out.chunks_mut(chunk * n * w * sink.result_size)) {
            piece.push(part);
        }
    }
    let batch = (TILE / w).clamp(1, n);
    state.each(threads, pieces.into_iter().enumerate(), |(piece, mut outs)| {
        let mut scratch = Scratch::new(launchable, batch * w)?;
        let mut states: SmallVec<[Buffer; 2]> = SmallVec::new();
        for s in sinks {
            states.push(Buffer::alloc(w * s.op.state_size())?);
        }
        for row in piece * chunk..((piece + 1) * chunk).min(k) {
            for (s, carry) in sinks.iter().zip(&mut states) {
                s.op.identity(carry.bytes_mut().unwrap_or_default());
            }
            for start in (0..n).step_by(batch) {
                let rows = batch.min(n - start);
                scratch.fill(launch, outer, row * n + start..row * n + start + rows, 0..w);
                let at = (row - piece * chunk) * n + start;
                for ((s, carry), out) in sinks.iter().zip(&mut states).zip(outs.iter_mut()) {
                    let data = scratch.get(s.scratch, 0..rows * w);
                    let out = &mut out[at * w * s.result_size..(at + rows) * w * s.result_size];
                    let carry = carry.bytes_mut().unwrap_or_default();
                    if w == 1 { s.op.inner(data, carry, out) } else { s.op.outer(data, rows, w, carry, out) }
                }
                state.advance(rows * w)?;
            }
        }
        Ok(())
    })
}

/// The carries of a long row: those of the first chunks, as far as they are known.
struct Carries {
    known: Mutex<(usize, SmallVec<[Buffer; 2]>)>,
    changed: Condvar,
}

/// Scans one long row, whose first element has flat position `first`.
#[allow(clippy::too_many_arguments)]
fn long(
    state: &Run<'_>,
    launch: &Launch<'_>,
    launchable: &Launchable,
    split: usize,
    first: usize,
    sinks: &[Sink<Scan>],
    outs: SmallVec<[&mut [u8]; 2]>,
    threads: usize,
) -> Result<()> {
    let n = launchable.extents[split - 1];
    let mut chunks: Vec<SmallVec<[&mut [u8]; 2]>> = (0..n.div_ceil(CHUNK)).map(|_| SmallVec::new()).collect();
    for (sink, out) in sinks.iter().zip(outs) {
        for (chunk, part) in chunks.iter_mut().zip(out.chunks_mut(CHUNK * sink.result_size)) {
            chunk.push(part);
        }
    }
    let fresh = || -> Result<SmallVec<[Buffer; 2]>> {
        sinks
            .iter()
            .map(|s| {
                let mut carry = Buffer::alloc(s.op.state_size())?;
                s.op.identity(carry.bytes_mut().unwrap_or_default());
                Ok(carry)
            })
            .collect()
    };
    let carries = Carries { known: Mutex::new((0, fresh()?)), changed: Condvar::new() };
    // Chunks are taken in order, so the one whose carry is next is always under way.
    let next = Mutex::new(chunks.into_iter().enumerate());
    state.each(threads, 0..threads, |_| {
        let mut scratch = Scratch::new(launchable, TILE)?;
        let mut mine = fresh()?;
        loop {
            let taken = next.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((chunk, mut outs)) = taken else { return Ok(()) };
            let start = chunk * CHUNK;
            let len = CHUNK.min(n - start);
            for tile in (0..len).step_by(TILE) {
                let count = TILE.min(len - tile);
                scratch.fill(launch, split, first + start + tile..first + start + tile + count, 0..1);
                for (s, out) in sinks.iter().zip(outs.iter_mut()) {
                    let range = tile * s.result_size..(tile + count) * s.result_size;
                    s.op.blocks(scratch.get(s.scratch, 0..count), &mut out[range]);
                }
            }
            {
                let known = carries.known.lock().unwrap_or_else(PoisonError::into_inner);
                let mut known = carries
                    .changed
                    .wait_while(known, |(before, _)| *before != chunk)
                    .unwrap_or_else(PoisonError::into_inner);
                let (before, carry) = &mut *known;
                for (((s, carry), mine), out) in sinks.iter().zip(carry).zip(&mut mine).zip(&outs) {
                    let carry = carry.bytes_mut().unwrap_or_default();
                    mine.bytes_mut().unwrap_or_default().copy_from_slice(carry);
                    s.op.total(carry, out);
                }
                *before += 1;
                carries.changed.notify_all();
            }
            for ((s, mine), out) in sinks.iter().zip(&mut mine).zip(outs.iter_mut()) {
                s.op.carry(mine.bytes_mut().unwrap_or_default(), out);
            }
            // A run that is stopped still passes every carry on, so nobody waits for ever: chunks end here.
            state.advance(len)?;
        }
    })
}

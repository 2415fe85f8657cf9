//! Scans: tiles of the kernel's values into scratch memory, then a running combination into the result.

use crate::error::Result;
use crate::exec::Run;
use crate::plan::{Launchable, Sink};
use crate::reduce::Scratch;
use lazuli_jit::{Launch, Scan};
use lazuli_runtime::Buffer;
use smallvec::SmallVec;

/// Elements of a tile.
const TILE: usize = 4096;

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
    // Cut the outputs into runs of independent slices.
    let chunk = if threads <= 1 { k } else { k.div_ceil(threads * 4) };
    let mut pieces: Vec<SmallVec<[&mut [u8]; 2]>> = (0..k.div_ceil(chunk)).map(|_| SmallVec::new()).collect();
    for (sink, out) in sinks.iter().zip(outs) {
        for (piece, part) in pieces.iter_mut().zip(out.chunks_mut(chunk * n * w * sink.result_size)) {
            piece.push(part);
        }
    }
    let batch = (TILE / w).clamp(1, n);
    state.each(threads, pieces.into_iter().enumerate().collect(), |(piece, mut outs)| {
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

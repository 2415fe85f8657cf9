//! Running reductions: in which order elements are combined, down to the bit.
//!
//! | scanned axis | order |
//! |---|---|
//! | the last | blocks of [`Scan::BLOCK`] elements: the running result of each block by itself, element after element; then the last result of the block before is combined with each, as the left operand |
//! | another | the plain loop, element after element, as in NumPy |
//!
//! So the blocks of a long row are independent but for one value, and a row of one block is the plain loop. Every
//! partial result is rounded to the dtype. Of integers, no order shows in the bits.

use crate::half;
use bytemuck::Pod;
use lazuli_graph::{DType, ScanOp};

/// A running reduction of elements of one dtype, by pieces of contiguous memory.
///
/// The carry between pieces is a *state* of [`Scan::state_size`] bytes: the result so far. Buffers are aligned to their
/// items.
///
/// # Panics
/// Its methods panic on buffers that are not so aligned, or too small.
///
/// ```
/// use lazuli_graph::{DType, ScanOp};
/// use lazuli_jit::Scan;
/// let scan = Scan::new(ScanOp::Cumsum, DType::I64);
/// let (data, mut out, mut state) = ([1i64, 2, 3], [0i64; 3], [0i64]);
/// scan.identity(bytemuck::cast_slice_mut(&mut state));
/// scan.inner(bytemuck::cast_slice(&data), bytemuck::cast_slice_mut(&mut state), bytemuck::cast_slice_mut(&mut out));
/// assert_eq!(out, [1, 3, 6]);
/// assert_eq!(state, [6]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    op: ScanOp,
    dtype: DType,
}

/// Evaluates `$call::<T>(…, f)` with the type of the elements and the step of the scan, and its identity.
macro_rules! with_step {
    ($scan:expr, |$identity:ident, $step:ident| $body:expr) => {
        match ($scan.op, $scan.dtype) {
            (ScanOp::Cumsum, DType::F64) => with_step!(@ f64, -0.0, |a, b| a + b, $identity, $step, $body),
            (ScanOp::Cumsum, DType::F32) => with_step!(@ f32, -0.0, |a, b| a + b, $identity, $step, $body),
            // The sum or product of two halves is rounded rightly even though it is rounded to `f32` first: that has
            // more than twice the bits, and two more.
            (ScanOp::Cumsum, DType::F16) => with_step!(@ u16, 0x8000,
                |a, b| half::f32_to_f16(half::f16_to_f32(a) + half::f16_to_f32(b)), $identity, $step, $body),
            (ScanOp::Cumsum, DType::BF16) => with_step!(@ u16, 0x8000,
                |a, b| half::f32_to_bf16(half::bf16_to_f32(a) + half::bf16_to_f32(b)), $identity, $step, $body),
            (ScanOp::Cumprod, DType::F64) => with_step!(@ f64, 1.0, |a, b| a * b, $identity, $step, $body),
            (ScanOp::Cumprod, DType::F32) => with_step!(@ f32, 1.0, |a, b| a * b, $identity, $step, $body),
            (ScanOp::Cumprod, DType::F16) => with_step!(@ u16, 0x3c00,
                |a, b| half::f32_to_f16(half::f16_to_f32(a) * half::f16_to_f32(b)), $identity, $step, $body),
            (ScanOp::Cumprod, DType::BF16) => with_step!(@ u16, 0x3f80,
                |a, b| half::f32_to_bf16(half::bf16_to_f32(a) * half::bf16_to_f32(b)), $identity, $step, $body),
            // Signed or not, the wrapped bits are the same; `new` refuses the narrower dtypes.
            (ScanOp::Cumsum, _) => with_step!(@ u64, 0, |a, b| a.wrapping_add(b), $identity, $step, $body),
            (ScanOp::Cumprod, _) => with_step!(@ u64, 1, |a, b| a.wrapping_mul(b), $identity, $step, $body),
        }
    };
    (@ $t:ty, $one:expr, |$a:ident, $b:ident| $e:expr, $identity:ident, $step:ident, $body:expr) => {{
        let $identity: $t = $one;
        let $step = |$a: $t, $b: $t| -> $t { $e };
        $body
    }};
}

impl Scan {
    /// The scan `op` of elements of `dtype`.
    ///
    /// # Panics
    /// Where elements of `dtype` must be cast first ([`ScanOp::operand_dtype`]).
    pub fn new(op: ScanOp, dtype: DType) -> Scan {
        assert!(op.operand_dtype(dtype) == dtype, "{op} casts {dtype} to {} first", op.operand_dtype(dtype));
        Scan { op, dtype }
    }

    /// The operation.
    pub fn op(&self) -> ScanOp {
        self.op
    }

    /// The dtype of elements, results and states.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Bytes of a state.
    pub fn state_size(&self) -> usize {
        self.dtype.size()
    }

    /// Fills a buffer of states with what to start from: the first result is then the first element, to the bit.
    pub fn identity(&self, states: &mut [u8]) {
        fn fill<T: Pod>(states: &mut [u8], identity: T, _: impl Fn(T, T) -> T) {
            bytemuck::cast_slice_mut::<u8, T>(states).fill(identity);
        }
        with_step!(self, |identity, step| fill(states, identity, step))
    }

    /// Elements of a block of a row.
    pub const BLOCK: usize = 1024;

    /// Scans a piece of a row that begins with a block, from the carry in `state`, and leaves the new carry there.
    pub fn inner(&self, data: &[u8], state: &mut [u8], out: &mut [u8]) {
        self.blocks(data, out);
        let n = data.len();
        self.carry(state, &mut out[..n]);
    }

    /// Scans each block of a piece of a row by itself. The piece begins with a block.
    pub fn blocks(&self, data: &[u8], out: &mut [u8]) {
        fn run<T: Pod>(data: &[u8], out: &mut [u8], identity: T, step: impl Fn(T, T) -> T + Copy) {
            let data = bytemuck::cast_slice::<u8, T>(data);
            let out = &mut bytemuck::cast_slice_mut::<u8, T>(out)[..data.len()];
            // Four blocks at once: four chains of operations hide the latency of one.
            const WAYS: usize = 4;
            let mut ins = data.chunks_exact(WAYS * Scan::BLOCK);
            let mut outs = out.chunks_exact_mut(WAYS * Scan::BLOCK);
            for (x, o) in (&mut ins).zip(&mut outs) {
                let ((x0, x1), (x2, x3)) = halves(x.split_at(2 * Scan::BLOCK));
                let (left, right) = o.split_at_mut(2 * Scan::BLOCK);
                let ((o0, o1), (o2, o3)) = (left.split_at_mut(Scan::BLOCK), right.split_at_mut(Scan::BLOCK));
                let [mut a, mut b, mut c, mut d] = [identity; WAYS];
                for i in 0..Scan::BLOCK {
                    (a, b, c, d) = (step(a, x0[i]), step(b, x1[i]), step(c, x2[i]), step(d, x3[i]));
                    (o0[i], o1[i], o2[i], o3[i]) = (a, b, c, d);
                }
            }
            let rest = ins.remainder().chunks(Scan::BLOCK).zip(outs.into_remainder().chunks_mut(Scan::BLOCK));
            for (x, o) in rest {
                let mut running = identity;
                for (o, &x) in o.iter_mut().zip(x) {
                    running = step(running, x);
                    *o = running;
                }
            }
        }
        with_step!(self, |identity, step| run(data, out, identity, step))
    }

    /// The carry behind blocks that were scanned by themselves, from the one before them.
    pub fn total(&self, state: &mut [u8], out: &[u8]) {
        fn run<T: Pod>(state: &mut [u8], out: &[u8], _: T, step: impl Fn(T, T) -> T) {
            let carry = &mut bytemuck::cast_slice_mut::<u8, T>(state)[0];
            for block in bytemuck::cast_slice::<u8, T>(out).chunks(Scan::BLOCK) {
                if let Some(&last) = block.last() {
                    *carry = step(*carry, last);
                }
            }
        }
        with_step!(self, |identity, step| run(state, out, identity, step))
    }

    /// Combines the carry in `state` with blocks that were scanned by themselves, and leaves the new carry there.
    pub fn carry(&self, state: &mut [u8], out: &mut [u8]) {
        fn run<T: Pod>(state: &mut [u8], out: &mut [u8], _: T, step: impl Fn(T, T) -> T) {
            let carry = &mut bytemuck::cast_slice_mut::<u8, T>(state)[0];
            for block in bytemuck::cast_slice_mut::<u8, T>(out).chunks_mut(Scan::BLOCK) {
                let before = *carry;
                block.iter_mut().for_each(|o| *o = step(before, *o));
                if let Some(&last) = block.last() {
                    *carry = last;
                }
            }
        }
        with_step!(self, |identity, step| run(state, out, identity, step))
    }

    /// Scans down `width` columns at once, over `rows` rows, from the carries in `states`.
    pub fn outer(&self, data: &[u8], rows: usize, width: usize, states: &mut [u8], out: &mut [u8]) {
        fn run<T: Pod>(
            data: &[u8],
            (rows, width): (usize, usize),
            states: &mut [u8],
            out: &mut [u8],
            _: T,
            step: impl Fn(T, T) -> T,
        ) {
            let size = size_of::<T>();
            let (data, out) = (&data[..rows * width * size], &mut out[..rows * width * size]);
            let states = &mut bytemuck::cast_slice_mut::<u8, T>(states)[..width];
            let rows = bytemuck::cast_slice::<u8, T>(data).chunks_exact(width.max(1));
            for (row, out) in rows.zip(bytemuck::cast_slice_mut::<u8, T>(out).chunks_exact_mut(width.max(1))) {
                for ((s, &x), o) in states.iter_mut().zip(row).zip(out) {
                    *s = step(*s, x);
                    *o = *s;
                }
            }
        }
        with_step!(self, |identity, step| run(data, (rows, width), states, out, identity, step))
    }
}

/// Two slices that lie next to each other.
type Two<'a, T> = (&'a [T], &'a [T]);

/// Both halves of each half, where a half has two blocks.
fn halves<'a, T>((left, right): Two<'a, T>) -> (Two<'a, T>, Two<'a, T>) {
    (left.split_at(Scan::BLOCK), right.split_at(Scan::BLOCK))
}

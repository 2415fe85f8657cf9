//! Products of matrices.
//!
//! `float32` and `float64` go through the crate `gemm`, 16-bit floats through it in `float32`; integers wrap, and bools
//! are an "or" of "and"s, by loops of our own.
//!
//! The bits of a result do not depend on the number of threads: threads share out rows and columns, and each element is
//! summed along `k` by one of them, in blocks whose size follows from the shapes and the processor. They do depend on the
//! processor: on its vector instructions and caches. (A sum of floats with the same bits everywhere is what fused
//! reductions are for.)
#![allow(unsafe_code)]

use crate::cpu;
use crate::element::Element;
use crate::error::{AllocError, TensorError};
use crate::tensor::Tensor;
use crate::threads::{Threads, ThreadsError, parallel_for};
use crate::{bf16, f16};
use gemm::Parallelism;
use lazuli_graph::{DType, Shape, ShapeError};
use smallvec::SmallVec;

/// Why two tensors have no product.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatmulError {
    /// Two dtypes.
    #[error("matmul of {0} and {1}; both must have the same dtype")]
    DType(DType, DType),
    /// Shapes that do not fit.
    #[error("matmul of shapes {0} and {1}; it takes [..., m, k] and [..., k, n] with the same leading extents")]
    Shapes(Shape, Shape),
    /// A result that is too large.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// No memory.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// No threads.
    #[error(transparent)]
    Threads(#[from] ThreadsError),
    /// Memory that cannot be read as what it is.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Multiplications below which one thread is faster than several.
const PARALLEL_FROM: usize = 1 << 18;

/// Rows of the left matrix that one task of the integer loops takes.
const ROWS: usize = 16;

/// The matrix products of two stacks, `[..., m, k]` by `[..., k, n]`: the leading extents are the same on both sides
/// (broadcast ones have stride 0), and the result is a C-contiguous `[..., m, n]`.
///
/// Any strides will do. `threads` is how many threads work at most, 0 for one for each core.
///
/// ```
/// use lazuli_runtime::{Tensor, matmul::matmul};
/// let a = Tensor::from_vec(&[2, 3], vec![1, 2, 3, 4, 5, 6])?;
/// let b = Tensor::from_vec(&[3, 1], vec![1, 10, 100])?;
/// assert_eq!(matmul(&a, &b, 1)?.as_slice::<i32>()?, [321, 654]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Different dtypes, shapes that do not fit, no memory, no threads.
pub fn matmul(a: &Tensor, b: &Tensor, threads: usize) -> Result<Tensor, MatmulError> {
    if a.dtype() != b.dtype() {
        return Err(MatmulError::DType(a.dtype(), b.dtype()));
    }
    let rank = a.rank();
    let fits = rank >= 2
        && b.rank() == rank
        && a.shape()[..rank - 2] == b.shape()[..rank - 2]
        && a.shape()[rank - 1] == b.shape()[rank - 2];
    if !fits {
        return Err(MatmulError::Shapes(a.shape().clone(), b.shape().clone()));
    }
    let mut extents = SmallVec::<[usize; 4]>::from_slice(a.shape());
    extents[rank - 1] = b.shape()[rank - 1];
    let shape = Shape::new(&extents)?;
    match a.dtype() {
        DType::F32 => multiply::<f32>(a, b, &shape, threads),
        DType::F64 => multiply::<f64>(a, b, &shape, threads),
        DType::F16 => {
            let c = multiply::<f32>(&convert(a, f16::to_f32)?, &convert(b, f16::to_f32)?, &shape, threads)?;
            Ok(convert(&c, f16::from_f32)?)
        }
        DType::BF16 => {
            let c = multiply::<f32>(&convert(a, bf16::to_f32)?, &convert(b, bf16::to_f32)?, &shape, threads)?;
            Ok(convert(&c, bf16::from_f32)?)
        }
        DType::Bool => multiply::<Bit>(a, b, &shape, threads),
        // Wrapping arithmetic is the same with and without a sign.
        DType::I8 | DType::U8 => multiply::<u8>(a, b, &shape, threads),
        DType::I16 | DType::U16 => multiply::<u16>(a, b, &shape, threads),
        DType::I32 | DType::U32 => multiply::<u32>(a, b, &shape, threads),
        DType::I64 | DType::U64 => multiply::<u64>(a, b, &shape, threads),
    }
}

/// The tensor in another dtype.
fn convert<A: Element, B: Element>(t: &Tensor, f: fn(A) -> B) -> Result<Tensor, TensorError> {
    let whole = t.to_contiguous()?;
    let mut v = Vec::new();
    v.try_reserve_exact(t.elements()).map_err(|_| AllocError { bytes: t.elements() * size_of::<B>() })?;
    v.extend(whole.as_slice::<A>()?.iter().map(|&x| f(x)));
    Tensor::from_vec(t.shape(), v)
}

/// One matrix: where element 0, 0 lies and how far rows and columns are apart, in elements.
#[derive(Clone, Copy)]
struct Matrix<T> {
    ptr: *const T,
    row: isize,
    col: isize,
}

/// How matrices of one type are multiplied.
trait Product: Copy + Send + Sync {
    /// Rows are independent tasks of [`ROWS`] rows; otherwise [`Product::multiply`] brings its own threads.
    const BY_ROWS: bool;

    /// Writes the product, `m` rows of `n`, from `c` on.
    ///
    /// # Safety
    /// The matrices `a` (`m` by `k`) and `b` (`k` by `n`) can be read; `c` can be written and overlaps neither.
    unsafe fn multiply(mnk: [usize; 3], c: *mut Self, a: Matrix<Self>, b: Matrix<Self>, parallel: Parallelism);
}

macro_rules! floats {
    ($($t:ty),*) => {$(
        impl Product for $t {
            const BY_ROWS: bool = false;

            unsafe fn multiply([m, n, k]: [usize; 3], c: *mut $t, a: Matrix<$t>, b: Matrix<$t>, parallel: Parallelism) {
                // SAFETY: as the caller says; the result is C-contiguous, and is not read.
                unsafe {
                    gemm::gemm(
                        m, n, k, c, 1, n as isize, false, a.ptr, a.col, a.row, b.ptr, b.col, b.row, 0.0, 1.0, false,
                        false, false, parallel,
                    );
                }
            }
        }
    )*};
}

floats!(f32, f64);

/// What the loops add up and multiply.
trait Ring: Copy + Default {
    /// `to + x * y`.
    fn multiply_add(to: Self, x: Self, y: Self) -> Self;
}

/// A byte that is 0 or not: a bool.
#[derive(Clone, Copy, Default)]
#[repr(transparent)]
struct Bit(u8);

impl Ring for Bit {
    fn multiply_add(to: Bit, x: Bit, y: Bit) -> Bit {
        Bit(to.0 | ((x.0 != 0) & (y.0 != 0)) as u8)
    }
}

macro_rules! integers {
    ($($t:ty),*) => {$(
        impl Ring for $t {
            fn multiply_add(to: $t, x: $t, y: $t) -> $t {
                to.wrapping_add(x.wrapping_mul(y))
            }
        }
    )*};
}

integers!(u8, u16, u32, u64);

macro_rules! rings {
    ($($t:ty),*) => {$(
        impl Product for $t {
            const BY_ROWS: bool = true;

            unsafe fn multiply([m, n, k]: [usize; 3], c: *mut $t, a: Matrix<$t>, b: Matrix<$t>, _: Parallelism) {
                // Columns in blocks, so that the block of `b` stays in the cache from one row to the next.
                const COLUMNS: usize = 1024;
                const DEPTH: usize = 64;
                // SAFETY: all indices are inside the matrices, which the caller answers for.
                unsafe {
                    c.write_bytes(0, m * n);
                    for j0 in (0..n).step_by(COLUMNS) {
                        let width = COLUMNS.min(n - j0);
                        for p0 in (0..k).step_by(DEPTH) {
                            for i in 0..m {
                                let to = std::slice::from_raw_parts_mut(c.add(i * n + j0), width);
                                for p in p0..k.min(p0 + DEPTH) {
                                    let x = *a.ptr.offset(i as isize * a.row + p as isize * a.col);
                                    let from = b.ptr.offset(p as isize * b.row + j0 as isize * b.col);
                                    let row = std::slice::from_raw_parts(from, width);
                                    for (to, &y) in to.iter_mut().zip(row) {
                                        *to = Ring::multiply_add(*to, x, y);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    )*};
}

rings!(Bit, u8, u16, u32, u64);

/// A pointer that threads may share: they write different parts behind it.
#[derive(Clone, Copy)]
struct Shared<T>(*mut T);

// SAFETY: the tasks of `multiply` write different elements.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// So that closures capture the whole, not the pointer in it.
    fn at(&self, i: usize) -> *mut T {
        self.0.wrapping_add(i)
    }
}

/// `T` has the size of the elements of `a` and `b`, and is read bit by bit.
fn multiply<T: Product>(a: &Tensor, b: &Tensor, shape: &Shape, threads: usize) -> Result<Tensor, MatmulError> {
    let rank = shape.rank();
    let (m, n, k) = (shape[rank - 2], shape[rank - 1], a.shape()[rank - 1]);
    // The integer loops walk along the rows of `b`.
    let b =
        if T::BY_ROWS && n > 1 && b.strides()[rank - 1] != size_of::<T>() as isize { &b.to_owned_copy()? } else { b };
    let c = Tensor::alloc(a.dtype(), shape)?;
    if c.elements() == 0 {
        return Ok(c);
    }
    if k == 0 {
        return Ok(Tensor::zeros(a.dtype(), shape)?);
    }
    let size = size_of::<T>() as isize;
    let matrix = |t: &Tensor, stack: usize, row: usize| {
        let (mut left, mut at) = (stack, row as isize * t.strides()[rank - 2]);
        for axis in (0..rank - 2).rev() {
            at += (left % t.shape()[axis]) as isize * t.strides()[axis];
            left /= t.shape()[axis];
        }
        let (row, col) = (t.strides()[rank - 2] / size, t.strides()[rank - 1] / size);
        Matrix { ptr: t.as_ptr().wrapping_offset(at).cast::<T>(), row, col }
    };
    let out = Shared(c.buffer().as_mut_ptr().cast::<T>());
    let stacks = shape[..rank - 2].iter().product::<usize>();
    let work = m.saturating_mul(n).saturating_mul(k);
    let threads = if work.saturating_mul(stacks) < PARALLEL_FROM { 1 } else { Threads::count(threads) };
    // Tasks of some rows of one matrix of the stack; `gemm` shares out what is large on its own.
    let alone = !T::BY_ROWS && (threads == 1 || stacks >= threads || work < PARALLEL_FROM);
    let rows = if T::BY_ROWS { ROWS.max(PARALLEL_FROM / 4 / n.saturating_mul(k).max(1)).min(m) } else { m };
    let parts = m.div_ceil(rows);
    let task = |i: usize, parallel: Parallelism| {
        let (stack, row) = (i / parts, i % parts * rows);
        let count = rows.min(m - row);
        // SAFETY: `i` is below `stacks * parts`, so the rows are in the tensors, which have elements of the size of `T`,
        // aligned and initialised; `c` is new, and no other task writes these rows of it.
        unsafe {
            T::multiply(
                [count, n, k],
                out.at((stack * m + row) * n),
                matrix(a, stack, row),
                matrix(b, stack, 0),
                parallel,
            );
        }
    };
    if T::BY_ROWS || alone {
        parallel_for(stacks * parts, threads, |i| task(i, Parallelism::None));
    } else {
        // One pool whatever the share: callers of equal shares would wait for the one small pool that all of them have.
        Threads::get(threads.max(cpu::cores()))?
            .install(|| (0..stacks).for_each(|i| task(i, Parallelism::Rayon(threads))));
    }
    Ok(c)
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests;

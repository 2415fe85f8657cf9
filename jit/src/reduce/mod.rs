//! What reductions mean: in which order elements are combined, down to the bit.
//!
//! A reduction of many elements is cut into blocks; each block gives a partial *state*, and states are combined in
//! order. Where the cuts are is fixed here and by the caller's loop nest, never by the vector width of the CPU or the
//! number of threads, so the bits are everywhere the same.
//!
//! - An **inner block** is up to [`Reduction::block`] elements that lie side by side: 16 times a fixed number of
//!   virtual lanes, as many as fill 128 bytes. Element `i` goes to lane `i % lanes`, a lane takes its elements in order,
//!   and the lanes are then combined by halving: lane `j` with lane `j + lanes / 2`, then `j + lanes / 4`, …
//! - An **outer block** is up to [`Reduction::OUTER_BLOCK`] rows, added one after another to a row of states.
//!
//! | op | state | order matters |
//! |---|---|---|
//! | sum, prod of `f64`, `f32` | the number | yes |
//! | sum, prod of `f16`, `bf16` | an `f32`, rounded at the end | yes |
//! | sum, prod of integers | the number; wraps | no |
//! | min, max | the number, of floats a sort key of their size; NaN wins, `-0.0` is below `0.0` | no |
//! | any, all | a byte | no |
//! | argmin, argmax | a sort key and the position; zeros are equal, the first wins | no |
//! | exact sum | a fixed-point number that holds any sum without rounding | no |

mod arg;
mod exact;
mod fold;
mod lanes;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use lanes::{Columns, Join, columns, states};
pub use tree::Tree;

use lazuli_graph::{DType, ReduceOp};
use smallvec::SmallVec;

/// How one kind of reduction works on bytes; the methods are those of [`Reduction`].
trait Reducer: Sync {
    fn block(&self) -> usize;
    fn state_size(&self) -> usize;
    fn identity(&self, states: &mut [u8]);
    fn inner_rows(&self, data: &[u8], rows: usize, k: usize, first: u64, states: &mut [u8]);
    /// Blocks that follow one another, each pushed to the tree.
    fn blocks(&self, data: &[u8], size: usize, first: u64, tree: &mut Tree) {
        let block = self.block();
        let mut state: SmallVec<[u64; 8]> = SmallVec::from_elem(0, self.state_size().div_ceil(8));
        let state = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut state)[..self.state_size()];
        for (i, data) in data.chunks(block * size).enumerate() {
            self.inner_rows(data, 1, data.len() / size, first.wrapping_add((i * block) as u64), state);
            tree.push(0, self.state_size(), state, |left, right| self.combine(left, right));
        }
    }
    /// The states of blocks that follow one another, combined as a tree of them alone, into the first.
    fn total(&self, states: &mut [u8]) {
        let size = self.state_size();
        let mut count = states.len() / size;
        while count > 1 {
            for pair in 0..count / 2 {
                let (left, right) = states[2 * pair * size..2 * (pair + 1) * size].split_at_mut(size);
                self.combine(left, right);
                states.copy_within(2 * pair * size..(2 * pair + 1) * size, pair * size);
            }
            if count % 2 == 1 {
                states.copy_within((count - 1) * size..count * size, count / 2 * size);
            }
            count = count.div_ceil(2);
        }
    }
    /// The rows are `pitch` elements apart.
    fn outer(&self, data: &[u8], rows: usize, pitch: usize, width: usize, first: u64, states: &mut [u8]);
    fn combine(&self, left: &mut [u8], right: &[u8]);
    fn finish(&self, states: &[u8], empty: bool, out: &mut [u8]);
}

/// A reduction of elements of one dtype, by blocks of contiguous memory.
///
/// All buffers are bytes whose address is a multiple of the size of their items (64-byte aligned ones always fit).
///
/// # Panics
/// Its methods panic on buffers that are not so aligned, or too small.
///
/// ```
/// use lazuli_graph::{DType, ReduceOp};
/// use lazuli_jit::Reduction;
/// let sum = Reduction::new(ReduceOp::Sum, DType::F64, false);
/// let data = [1.0f64, 2.0, 3.5];
/// let (mut state, mut result) = ([0.0f64], [0.0f64]);
/// sum.inner(bytemuck::cast_slice(&data), 0, bytemuck::cast_slice_mut(&mut state));
/// sum.finish(bytemuck::cast_slice(&state), 3, bytemuck::cast_slice_mut(&mut result));
/// assert_eq!(result, [6.5]);
/// ```
#[derive(Clone, Copy)]
pub struct Reduction {
    op: ReduceOp,
    dtype: DType,
    exact: bool,
    reducer: &'static dyn Reducer,
}

impl PartialEq for Reduction {
    fn eq(&self, other: &Reduction) -> bool {
        (self.op, self.dtype, self.exact) == (other.op, other.dtype, other.exact)
    }
}

impl Eq for Reduction {}

impl std::hash::Hash for Reduction {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.op, self.dtype, self.exact).hash(state);
    }
}

impl std::fmt::Debug for Reduction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Reduction { op, dtype, exact, .. } = self;
        f.debug_struct("Reduction").field("op", op).field("dtype", dtype).field("exact", exact).finish()
    }
}

impl Reduction {
    /// Rows of an outer block.
    pub const OUTER_BLOCK: usize = 64;

    /// The reduction `op` of elements of `dtype`. `exact` asks for correctly rounded sums of floats.
    ///
    /// # Panics
    /// Where elements of `dtype` must be cast first ([`ReduceOp::operand_dtype`]).
    pub fn new(op: ReduceOp, dtype: DType, exact: bool) -> Reduction {
        assert!(op.operand_dtype(dtype) == dtype, "{op} casts {dtype} to {} first", op.operand_dtype(dtype));
        let exact = exact && op == ReduceOp::Sum && dtype.is_float();
        let reducer = match op {
            ReduceOp::Sum if exact => exact::reducer(dtype),
            ReduceOp::Argmin | ReduceOp::Argmax => arg::reducer(op, dtype),
            ReduceOp::Sum | ReduceOp::Prod | ReduceOp::Min | ReduceOp::Max | ReduceOp::Any | ReduceOp::All => {
                fold::reducer(op, dtype)
            }
        };
        Reduction { op, dtype, exact, reducer }
    }

    /// The operation.
    pub fn op(&self) -> ReduceOp {
        self.op
    }

    /// The dtype of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The dtype of the results.
    pub fn result_dtype(&self) -> DType {
        self.op.result_dtype(self.dtype)
    }

    /// Elements of a full inner block.
    pub fn block(&self) -> usize {
        self.reducer.block()
    }

    /// Bytes of a state.
    pub fn state_size(&self) -> usize {
        self.reducer.state_size()
    }

    /// Fills a buffer of states with the identity: combining it with a state changes no bit of it.
    pub fn identity(&self, states: &mut [u8]) {
        self.reducer.identity(states);
    }

    /// Reduces one inner block of at most [`Reduction::block`] elements to a state, which is overwritten. `first` is the
    /// position of its first element.
    pub fn inner(&self, data: &[u8], first: u64, state: &mut [u8]) {
        self.inner_rows(data, 1, data.len() / self.dtype.size(), first, state);
    }

    /// Reduces `rows` inner blocks of `k` elements each to a state each, with the bits of [`Reduction::inner`]. In each
    /// row, `first` is the position of the first element.
    pub fn inner_rows(&self, data: &[u8], rows: usize, k: usize, first: u64, states: &mut [u8]) {
        debug_assert!(k <= self.block(), "{k} elements are more than a block");
        let (data, states) = (&data[..rows * k * self.dtype.size()], &mut states[..rows * self.state_size()]);
        if k == 0 {
            self.identity(states);
        } else {
            self.reducer.inner_rows(data, rows, k, first, states);
        }
    }

    /// Reduces a sequence, which may come in pieces of whole blocks: the last piece may end within a block. `first` is
    /// the position of the piece's first element.
    ///
    /// ```
    /// use lazuli_graph::{DType, ReduceOp};
    /// use lazuli_jit::{Reduction, Tree};
    /// let sum = Reduction::new(ReduceOp::Sum, DType::F64, false);
    /// let data = vec![0.5f64; 1000];
    /// let (mut tree, mut state) = (Tree::new(), [0.0f64]);
    /// sum.blocks(bytemuck::cast_slice(&data), 0, &mut tree);
    /// sum.fold(&mut tree, bytemuck::cast_slice_mut(&mut state));
    /// assert_eq!(state, [500.0]);
    /// ```
    pub fn blocks(&self, data: &[u8], first: u64, tree: &mut Tree) {
        self.reducer.blocks(data, self.dtype.size(), first, tree);
    }

    /// Adds the folded state of `1 << height` units to a tree, where a unit is a block, or as many of them as a power of two.
    /// Before it, there must be a multiple of as many; only the last may have fewer. `state` is scratch afterwards.
    pub fn push(&self, height: u32, state: &mut [u8], tree: &mut Tree) {
        tree.push(height, self.state_size(), &mut state[..self.state_size()], |left, right| self.combine(left, right));
    }

    /// Combines the states of blocks that follow one another into the first, as a [`Tree`] of these alone does. The others are
    /// scratch afterwards.
    ///
    /// ```
    /// use lazuli_graph::{DType, ReduceOp};
    /// use lazuli_jit::Reduction;
    /// let sum = Reduction::new(ReduceOp::Sum, DType::F64, false);
    /// let mut states = [1.0f64, 2.0, 3.5];
    /// sum.total(bytemuck::cast_slice_mut(&mut states));
    /// assert_eq!(states[0], 6.5);
    /// ```
    pub fn total(&self, states: &mut [u8]) {
        self.reducer.total(states);
    }

    /// The state of all that was pushed to a tree, which is empty again; the identity if that was nothing.
    pub fn fold(&self, tree: &mut Tree, state: &mut [u8]) {
        let state = &mut state[..self.state_size()];
        self.identity(state);
        tree.fold(self.state_size(), state, |left, right| self.combine(left, right));
    }

    /// Adds `rows` rows of `width` elements, one after another, to `width` states. The first row has position `first`.
    pub fn outer(&self, data: &[u8], rows: usize, width: usize, first: u64, states: &mut [u8]) {
        self.outer_apart(data, rows, width, width, first, states);
    }

    /// [`Reduction::outer`] of rows that begin `pitch` elements apart.
    pub fn outer_apart(&self, data: &[u8], rows: usize, pitch: usize, width: usize, first: u64, states: &mut [u8]) {
        if rows == 0 || width == 0 {
            return;
        }
        let length = (rows - 1) * pitch + width;
        let (data, states) = (&data[..length * self.dtype.size()], &mut states[..width * self.state_size()]);
        self.reducer.outer(data, rows, pitch, width, first, states);
    }

    /// Combines each state of `left` with that of `right`, which comes later in order, into `left`.
    pub fn combine(&self, left: &mut [u8], right: &[u8]) {
        self.reducer.combine(left, right);
    }

    /// Turns states into results. `count` elements went into each: without any, a sum is 0 and a product 1; where
    /// [`ReduceRow::needs_element`](lazuli_graph::ops::ReduceRow::needs_element) says so, the result then means nothing.
    pub fn finish(&self, states: &[u8], count: u64, out: &mut [u8]) {
        let n = states.len() / self.state_size();
        self.reducer.finish(states, count == 0, &mut out[..n * self.result_dtype().size()]);
    }
}

//! What can go wrong with memory and tensors.

use lazuli_graph::{DType, Shape, ShapeError};

/// The system has no memory left for a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot allocate {bytes} bytes")]
pub struct AllocError {
    /// How much was asked for.
    pub bytes: usize,
}

/// Why a tensor cannot be made, or read as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TensorError {
    /// The data has another length than the shape says.
    #[error("shape {shape} has {} elements, but {given} were given", shape.elements())]
    Length {
        /// The shape.
        shape: Shape,
        /// Elements in the data.
        given: usize,
    },
    /// Read as another dtype than it has.
    #[error(
        "the tensor holds {has}, not {asked}; convert it with astype({asked}) before it is computed, or read it as {has}"
    )]
    DType {
        /// The dtype of the tensor.
        has: DType,
        /// The dtype of the Rust type asked for.
        asked: DType,
    },
    /// A slice was asked of elements that do not lie one after another.
    #[error(
        "the tensor of shape {shape} and byte strides {strides:?} is not C-contiguous; call to_contiguous() first, or to_vec() for a copy"
    )]
    NotContiguous {
        /// The shape.
        shape: Shape,
        /// Its strides in bytes.
        strides: Vec<isize>,
    },
    /// A bool tensor whose memory holds other bytes than 0 and 1.
    #[error("the memory of a bool tensor holds the byte {0}; only 0 and 1 are bools")]
    NotBool(u8),
    /// Another number of strides than axes.
    #[error("{strides} strides for {rank} axes")]
    Rank {
        /// How many strides.
        strides: usize,
        /// How many axes.
        rank: usize,
    },
    /// Elements outside the buffer.
    #[error("shape {shape} with byte strides {strides:?} from byte {offset} leaves its buffer of {len} bytes")]
    Bounds {
        /// The shape.
        shape: Shape,
        /// Strides in bytes.
        strides: Vec<isize>,
        /// Where element 0…0 lies.
        offset: usize,
        /// Bytes in the buffer.
        len: usize,
    },
    /// Elements at addresses their type cannot be read from.
    #[error("{dtype} elements must lie at multiples of {} bytes; copy the data first", dtype.size())]
    Misaligned {
        /// The dtype.
        dtype: DType,
    },
    /// The view reads positions the tensor does not have.
    #[error("view {view} does not fit a tensor of shape {shape}")]
    View {
        /// The view, as text.
        view: String,
        /// The tensor's shape.
        shape: Shape,
    },
    /// One element was asked of a tensor with more or fewer.
    #[error("a tensor of shape {0} is not a single value")]
    NotScalar(Shape),
    /// An index outside the tensor.
    #[error("index {index:?} is out of range for shape {shape}")]
    Index {
        /// What was asked for.
        index: Vec<usize>,
        /// The tensor's shape.
        shape: Shape,
    },
    /// Extents that are no shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// No memory.
    #[error(transparent)]
    Alloc(#[from] AllocError),
}

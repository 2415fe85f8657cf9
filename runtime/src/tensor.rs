//! Strided tensors: a dtype and a layout over a buffer.
#![allow(unsafe_code)]

use crate::buffer::Buffer;
use crate::copy;
use crate::element::Element;
use crate::error::{AllocError, TensorError};
use lazuli_graph::{DType, Scalar, Shape, View};
use smallvec::SmallVec;
use std::fmt;

/// Strides in bytes, one for each axis.
pub type Strides = SmallVec<[isize; 4]>;

/// An n-dimensional array of values in memory: reference-counted, so that a clone is cheap and shares the elements.
///
/// Invariants: every element lies inside the buffer and is aligned to its size; there is one stride for each axis.
///
/// ```
/// use lazuli_runtime::Tensor;
/// let t = Tensor::from_vec(&[2, 3], vec![1, 2, 3, 4, 5, 6])?;
/// assert_eq!(t.as_slice::<i32>()?, [1, 2, 3, 4, 5, 6]);
/// assert_eq!(t.to_string(), "[[1 2 3]\n [4 5 6]]");
/// assert!(t.as_slice::<f64>().is_err());
/// # Ok::<(), lazuli_runtime::TensorError>(())
/// ```
pub struct Tensor {
    buffer: Buffer,
    dtype: DType,
    shape: Shape,
    strides: Strides,
    offset: usize,
}

impl Clone for Tensor {
    fn clone(&self) -> Tensor {
        let Tensor { buffer, dtype, shape, strides, offset } = self;
        Tensor {
            buffer: buffer.clone(),
            dtype: *dtype,
            shape: shape.clone(),
            // A copy of memory; the derived clone would go stride by stride.
            strides: SmallVec::from_slice(strides),
            offset: *offset,
        }
    }
}

/// How the elements of tensors lie in memory, looked at once for any number of buffers.
///
/// ```
/// use lazuli_graph::{DType, Shape};
/// use lazuli_runtime::{Buffer, Layout};
/// let columns = Layout::new(DType::I32, Shape::new(&[3, 2])?, &[4, 12])?;
/// let t = columns.tensor(Buffer::from_vec(vec![1, 2, 3, 4, 5, 6]), 0)?;
/// assert_eq!(t.to_string(), "[[1 4]\n [2 5]\n [3 6]]");
/// assert!(columns.tensor(Buffer::from_vec(vec![1, 2, 3]), 0).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Layout {
    dtype: DType,
    shape: Shape,
    strides: Strides,
    /// The bytes that the elements take up, from element 0…0: `Some((low, high))`; `None` if further apart than
    /// addresses are.
    span: Option<(isize, isize)>,
    /// Whether elements lie at addresses they can be read from if element 0…0 does.
    aligned: bool,
}

impl Layout {
    /// Elements of `dtype`, `strides` bytes apart along the axes of `shape`.
    ///
    /// # Errors
    /// Another number of strides than axes.
    pub fn new(dtype: DType, shape: Shape, strides: &[isize]) -> Result<Layout, TensorError> {
        if strides.len() != shape.rank() {
            return Err(TensorError::Rank { strides: strides.len(), rank: shape.rank() });
        }
        let size = dtype.size();
        let empty = shape.contains(&0);
        let aligned = empty || shape.iter().zip(strides).all(|(&n, &s)| n <= 1 || s % size as isize == 0);
        let span = if empty { Some((0, 0)) } else { span(size, &shape, strides) };
        // A stride that is never taken could be too large to calculate with.
        let strides = shape.iter().zip(strides).map(|(&n, &s)| if n <= 1 { 0 } else { s }).collect();
        Ok(Layout { dtype, shape, strides, span, aligned })
    }

    /// The tensor whose element 0…0 lies `offset` bytes from the start of a buffer.
    ///
    /// # Errors
    /// Elements that would lie outside the buffer or at an address they cannot be read from.
    #[inline]
    pub fn tensor(&self, buffer: Buffer, offset: usize) -> Result<Tensor, TensorError> {
        // A tensor without elements lies nowhere, but its address must still be one of the buffer's.
        let inside = |(low, high): (isize, isize)| {
            let at = isize::try_from(offset).ok()?;
            let (low, high) = (at.checked_add(low)?, at.checked_add(high)?);
            (low >= 0 && high as usize <= buffer.len()).then_some(())
        };
        if self.span.and_then(inside).is_none() {
            return Err(self.outside(buffer.len(), offset));
        }
        let aligned = self.aligned && (buffer.as_ptr() as usize + offset).is_multiple_of(self.dtype.size());
        if !aligned && !self.shape.contains(&0) {
            return Err(TensorError::Misaligned { dtype: self.dtype });
        }
        let Layout { dtype, shape, strides, .. } = self;
        Ok(Tensor { buffer, dtype: *dtype, shape: shape.clone(), strides: SmallVec::from_slice(strides), offset })
    }

    #[cold]
    fn outside(&self, len: usize, offset: usize) -> TensorError {
        TensorError::Bounds { shape: self.shape.clone(), strides: self.strides.to_vec(), offset, len }
    }
}

/// The bytes from element 0…0 to the lowest element, and to the end of the highest; there is at least one element.
fn span(size: usize, shape: &[usize], strides: &[isize]) -> Option<(isize, isize)> {
    let (mut low, mut high) = (0isize, size as isize);
    for (&n, &s) in shape.iter().zip(strides) {
        let span = s.checked_mul(isize::try_from(n - 1).ok()?)?;
        if span < 0 { low = low.checked_add(span)? } else { high = high.checked_add(span)? }
    }
    Some((low, high))
}

/// Byte strides of a C-contiguous tensor.
fn contiguous(dtype: DType, shape: &Shape) -> Strides {
    shape.contiguous_strides().into_iter().map(|s| s * dtype.size() as isize).collect()
}

impl Tensor {
    /// A tensor of the elements of a `Vec`, which is not copied; the last axis runs fastest.
    ///
    /// # Errors
    /// Extents that are no shape, or another number of elements than they say.
    pub fn from_vec<T: Element>(shape: &[usize], v: Vec<T>) -> Result<Tensor, TensorError> {
        let shape = Shape::new(shape)?;
        if shape.elements() != v.len() {
            return Err(TensorError::Length { shape, given: v.len() });
        }
        let strides = contiguous(T::DTYPE, &shape);
        Ok(Tensor { buffer: Buffer::from_vec(v), dtype: T::DTYPE, shape, strides, offset: 0 })
    }

    /// A tensor of a copy of the elements of a slice; the last axis runs fastest.
    ///
    /// # Errors
    /// Extents that are no shape, another number of elements than they say, no memory.
    pub fn from_slice<T: Element>(shape: &[usize], slice: &[T]) -> Result<Tensor, TensorError> {
        let shape = Shape::new(shape)?;
        if shape.elements() != slice.len() {
            return Err(TensorError::Length { shape, given: slice.len() });
        }
        let t = Tensor::alloc(T::DTYPE, &shape)?;
        // SAFETY: the buffer is new, so it is ours alone, and has the size of the slice.
        unsafe { t.buffer.as_mut_ptr().cast::<T>().copy_from_nonoverlapping(slice.as_ptr(), slice.len()) };
        Ok(t)
    }

    /// A 0-d tensor.
    pub fn scalar(value: Scalar) -> Tensor {
        let dtype = value.dtype();
        let buffer = crate::dispatch!(dtype, T => Buffer::from_vec(vec![T::from_scalar(value)]));
        Tensor { buffer, dtype, shape: Shape::scalar(), strides: Strides::new(), offset: 0 }
    }

    /// A tensor over a part of a buffer: element 0…0 lies `offset` bytes from the start, and `strides` are in bytes.
    ///
    /// # Errors
    /// Elements that would lie outside the buffer or at an address they cannot be read from; another number of strides
    /// than axes.
    pub fn from_parts(
        buffer: Buffer,
        dtype: DType,
        shape: Shape,
        strides: &[isize],
        offset: usize,
    ) -> Result<Tensor, TensorError> {
        Layout::new(dtype, shape, strides)?.tensor(buffer, offset)
    }

    /// A C-contiguous tensor in memory from the pool. What its elements are is not specified.
    ///
    /// # Errors
    /// No memory.
    pub fn alloc(dtype: DType, shape: &Shape) -> Result<Tensor, AllocError> {
        let buffer = Buffer::alloc(shape.elements() * dtype.size())?;
        Ok(Tensor { buffer, dtype, shape: shape.clone(), strides: contiguous(dtype, shape), offset: 0 })
    }

    /// A C-contiguous tensor of zeros (`false` for bool).
    ///
    /// # Errors
    /// No memory.
    pub fn zeros(dtype: DType, shape: &Shape) -> Result<Tensor, AllocError> {
        let buffer = Buffer::zeroed(shape.elements() * dtype.size())?;
        Ok(Tensor { buffer, dtype, shape: shape.clone(), strides: contiguous(dtype, shape), offset: 0 })
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extents.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The distance between neighbours along each axis, in bytes.
    pub fn strides(&self) -> &[isize] {
        &self.strides
    }

    /// Where element 0…0 lies in the buffer, in bytes.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// The memory.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }

    /// The memory, for who is done with the tensor.
    pub fn into_buffer(self) -> Buffer {
        self.buffer
    }

    /// The address of element 0…0.
    pub fn as_ptr(&self) -> *const u8 {
        // SAFETY: the offset is at most the buffer's length.
        unsafe { self.buffer.as_ptr().add(self.offset) }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        self.shape.rank()
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.elements()
    }

    /// Bytes of the elements, were they contiguous.
    pub fn nbytes(&self) -> usize {
        self.elements() * self.dtype.size()
    }

    /// Whether the elements lie one after another, the last axis fastest.
    pub fn is_contiguous(&self) -> bool {
        let mut step = self.dtype.size() as isize;
        for (&n, &s) in self.shape.iter().zip(&self.strides).rev() {
            if n == 0 {
                return true;
            }
            if n != 1 && s != step {
                // An axis of extent zero further out would make the tensor empty.
                return self.elements() == 0;
            }
            step *= n as isize;
        }
        true
    }

    fn expect<T: Element>(&self) -> Result<(), TensorError> {
        if self.dtype == T::DTYPE { Ok(()) } else { Err(TensorError::DType { has: self.dtype, asked: T::DTYPE }) }
    }

    /// The elements of a C-contiguous tensor, not copied.
    ///
    /// # Errors
    /// Another dtype than `T`'s; a layout that is not C-contiguous; bytes in a bool tensor that are no bools.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], TensorError> {
        self.expect::<T>()?;
        if !self.is_contiguous() {
            return Err(TensorError::NotContiguous { shape: self.shape.clone(), strides: self.strides.to_vec() });
        }
        if self.elements() == 0 {
            return Ok(&[]);
        }
        if T::DTYPE == DType::Bool {
            // SAFETY: the elements are contiguous bytes inside the buffer.
            check_bools(unsafe { std::slice::from_raw_parts(self.as_ptr(), self.elements()) })?;
        }
        // SAFETY: the elements are contiguous, inside the buffer, aligned and of type `T` (any bits are, save for bool,
        // which was checked). Nobody writes them while the tensor holds the buffer: see `Buffer`.
        Ok(unsafe { std::slice::from_raw_parts(self.as_ptr().cast::<T>(), self.elements()) })
    }

    /// Checks that the elements can be read as `T`, whatever the layout.
    #[cfg(feature = "ndarray")]
    pub(crate) fn check_elements<T: Element>(&self) -> Result<(), TensorError> {
        self.expect::<T>()?;
        if T::DTYPE == DType::Bool && self.elements() > 0 {
            // Bytes between the elements need not be bools, so only the elements may be looked at.
            let bytes = Tensor { dtype: DType::U8, ..self.clone() };
            return bytes.iter_scalars().try_for_each(|b| check_bools(&[b.bits() as u8]));
        }
        Ok(())
    }

    /// The memory of a C-contiguous tensor.
    ///
    /// # Errors
    /// A layout that is not C-contiguous.
    pub fn as_bytes(&self) -> Result<&[u8], TensorError> {
        if !self.is_contiguous() {
            return Err(TensorError::NotContiguous { shape: self.shape.clone(), strides: self.strides.to_vec() });
        }
        if self.elements() == 0 {
            return Ok(&[]);
        }
        // SAFETY: the elements are contiguous and inside the buffer, whose bytes are initialised. Nobody writes them
        // while the tensor holds the buffer: see `Buffer`.
        Ok(unsafe { std::slice::from_raw_parts(self.as_ptr(), self.nbytes()) })
    }

    /// A copy of the elements in C order, whatever the layout.
    ///
    /// # Errors
    /// Another dtype than `T`'s; no memory; bytes in a bool tensor that are no bools.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>, TensorError> {
        self.expect::<T>()?;
        let mut v: Vec<T> = Vec::new();
        v.try_reserve_exact(self.elements()).map_err(|_| AllocError { bytes: self.nbytes() })?;
        // SAFETY: the vector has room for all elements, in a memory of its own.
        unsafe { self.copy_to(v.as_mut_ptr().cast()) };
        if T::DTYPE == DType::Bool {
            // SAFETY: the copy filled this many bytes.
            check_bools(unsafe { std::slice::from_raw_parts(v.as_ptr().cast::<u8>(), self.elements()) })?;
        }
        // SAFETY: the copy filled this many elements, which are of type `T`.
        unsafe { v.set_len(self.elements()) };
        Ok(v)
    }

    /// The elements in C order. Not copied where the tensor is the only holder of a whole `Vec<T>`.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    pub fn into_vec<T: Element>(self) -> Result<Vec<T>, TensorError> {
        let whole = self.expect::<T>().is_ok() && self.is_contiguous() && self.nbytes() == self.buffer.len();
        if !whole {
            return self.to_vec();
        }
        self.as_slice::<T>()?;
        let Tensor { buffer, dtype, shape, strides, offset } = self;
        buffer.into_vec().or_else(|buffer| Tensor { buffer, dtype, shape, strides, offset }.to_vec())
    }

    /// Copies the elements in C order.
    ///
    /// # Safety
    /// `to` must be aligned to the elements' size, and valid for writes of [`Tensor::nbytes`] bytes outside the buffer.
    unsafe fn copy_to(&self, to: *mut u8) {
        let strides = contiguous(self.dtype, &self.shape);
        // SAFETY: the elements lie inside the buffer and are aligned; the caller answers for `to`.
        unsafe { copy::strided(self.dtype.size(), &self.shape, self.as_ptr(), &self.strides, to, &strides) }
    }

    /// The value of a tensor of one element.
    ///
    /// # Errors
    /// More or fewer elements.
    pub fn item(&self) -> Result<Scalar, TensorError> {
        if self.elements() == 1 {
            // SAFETY: element 0…0 exists.
            Ok(unsafe { self.read(0) })
        } else {
            Err(TensorError::NotScalar(self.shape.clone()))
        }
    }

    /// The element at an index, which has one entry for each axis.
    ///
    /// # Errors
    /// An index outside the tensor.
    pub fn get(&self, index: &[usize]) -> Result<Scalar, TensorError> {
        if index.len() != self.rank() || index.iter().zip(self.shape.iter()).any(|(&i, &n)| i >= n) {
            return Err(TensorError::Index { index: index.to_vec(), shape: self.shape.clone() });
        }
        let at = index.iter().zip(&self.strides).map(|(&i, &s)| i as isize * s).sum();
        // SAFETY: the index is in range on every axis.
        Ok(unsafe { self.read(at) })
    }

    /// The element `at` bytes from element 0…0.
    ///
    /// # Safety
    /// An element must lie there.
    unsafe fn read(&self, at: isize) -> Scalar {
        // SAFETY: an element lies there, which is aligned and initialised. A bool is read as the byte it is.
        unsafe {
            let p = self.as_ptr().offset(at);
            let bits = match self.dtype.size() {
                1 => u64::from(*p),
                2 => u64::from(*p.cast::<u16>()),
                4 => u64::from(*p.cast::<u32>()),
                _ => *p.cast::<u64>(),
            };
            Scalar::from_bits(self.dtype, if self.dtype == DType::Bool { u64::from(bits != 0) } else { bits })
        }
    }

    /// The elements in C order, one by one.
    pub fn iter_scalars(&self) -> Scalars<'_> {
        Scalars { tensor: self, index: SmallVec::from_elem(0, self.rank()), at: 0, left: self.elements() }
    }

    /// A view of the same memory.
    ///
    /// # Errors
    /// A view that reads positions the tensor does not have.
    pub fn view(&self, view: &View) -> Result<Tensor, TensorError> {
        if !view.check(&self.shape) {
            return Err(TensorError::View { view: view.to_string(), shape: self.shape.clone() });
        }
        let (offset, strides) = view.strides(&self.strides);
        Ok(Tensor {
            buffer: self.buffer.clone(),
            dtype: self.dtype,
            shape: view.shape().clone(),
            strides,
            // The position of an element of a checked view, hence inside the buffer.
            offset: self.offset.wrapping_add_signed(offset),
        })
    }

    /// The same elements in C order under another shape, where strides can say that without a copy.
    ///
    /// `None` where they cannot, or `shape` has another number of elements.
    pub fn reshape(&self, shape: Shape) -> Option<Tensor> {
        if shape.elements() != self.elements() {
            return None;
        }
        let strides = if self.elements() == 0 {
            contiguous(self.dtype, &shape)
        } else {
            reshape_strides(self.dtype.size(), &self.shape, &self.strides, &shape)?
        };
        Some(Tensor { buffer: self.buffer.clone(), dtype: self.dtype, shape, strides, offset: self.offset })
    }

    /// The same elements C-contiguous: the tensor itself where it is, otherwise a copy.
    ///
    /// # Errors
    /// No memory.
    pub fn to_contiguous(&self) -> Result<Tensor, AllocError> {
        if self.is_contiguous() { Ok(self.clone()) } else { self.to_owned_copy() }
    }

    /// A C-contiguous copy in memory of its own.
    ///
    /// # Errors
    /// No memory.
    pub fn to_owned_copy(&self) -> Result<Tensor, AllocError> {
        let t = Tensor::alloc(self.dtype, &self.shape)?;
        // SAFETY: the memory is new and of this size.
        unsafe { self.copy_to(t.buffer.as_mut_ptr()) };
        Ok(t)
    }

    /// Whether dtype, shape and the bits of every element are the same; any NaN is the same as any other.
    pub fn bits_eq(&self, other: &Tensor) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && self.iter_scalars().zip(other.iter_scalars()).all(|(a, b)| same_bits(a, b))
    }

    /// The C-order position of the first element that [`Tensor::bits_eq`] would find different, with both values.
    /// Tensors of different shape or dtype have none.
    pub fn first_difference(&self, other: &Tensor) -> Option<(usize, Scalar, Scalar)> {
        let pairs = self.iter_scalars().zip(other.iter_scalars());
        pairs.enumerate().find(|(_, (a, b))| !same_bits(*a, *b)).map(|(i, (a, b))| (i, a, b))
    }
}

fn same_bits(a: Scalar, b: Scalar) -> bool {
    a == b || (a.dtype() == b.dtype() && a.dtype().is_float() && a.as_f64().is_nan() && b.as_f64().is_nan())
}

fn check_bools(bytes: &[u8]) -> Result<(), TensorError> {
    // The fold takes all bytes at once where the search would take one after another.
    if bytes.iter().fold(0, |any, &b| any | b) <= 1 {
        return Ok(());
    }
    bytes.iter().find(|&&b| b > 1).map_or(Ok(()), |&b| Err(TensorError::NotBool(b)))
}

/// Strides that read the elements in the same order under the shape `to`; both shapes have as many elements, at least
/// one. `None` where no strides can.
fn reshape_strides(size: usize, from: &[usize], strides: &[isize], to: &[usize]) -> Option<Strides> {
    // Runs of axes that one stride could walk, as (extent, innermost stride), outermost first.
    let mut runs = SmallVec::<[(usize, isize); 4]>::new();
    for (&n, &s) in from.iter().zip(strides).filter(|(n, _)| **n != 1) {
        match runs.last_mut() {
            Some((extent, stride)) if *stride == s * n as isize => {
                *extent *= n;
                *stride = s;
            }
            _ => runs.push((n, s)),
        }
    }
    let mut out = Strides::from_elem(size as isize, to.len());
    let mut run = runs.pop().unwrap_or((1, size as isize));
    for (axis, &n) in to.iter().enumerate().rev() {
        if run.0 == 1
            && n != 1
            && let Some(next) = runs.pop()
        {
            run = next;
        }
        out[axis] = run.1;
        if n == 1 {
            continue;
        }
        if !run.0.is_multiple_of(n) {
            return None;
        }
        run = (run.0 / n, run.1 * n as isize);
    }
    Some(out)
}

/// The elements of a [`Tensor`] in C order.
#[derive(Clone)]
pub struct Scalars<'a> {
    tensor: &'a Tensor,
    index: SmallVec<[usize; 4]>,
    at: isize,
    left: usize,
}

impl Iterator for Scalars<'_> {
    type Item = Scalar;

    fn next(&mut self) -> Option<Scalar> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: `at` is where the element of `index` lies, which is in range while any are left.
        let value = unsafe { self.tensor.read(self.at) };
        for axis in (0..self.index.len()).rev() {
            let (n, s) = (self.tensor.shape[axis], self.tensor.strides[axis]);
            self.index[axis] += 1;
            self.at += s;
            if self.index[axis] < n {
                break;
            }
            self.index[axis] = 0;
            self.at -= s * n as isize;
        }
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Scalars<'_> {}

/// NumPy's `repr`, but with the dtype always: `tensor([1. 2.], dtype=float64)`.
impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor({self}, dtype={})", self.dtype)
    }
}

#[cfg(test)]
mod tests;

//! From and to the crate `ndarray`.
#![allow(unsafe_code)]

use crate::buffer::Buffer;
use crate::element::Element;
use crate::error::TensorError;
use crate::tensor::{Strides, Tensor};
use lazuli_graph::Shape;
use ndarray::{ArcArray, Array, ArrayD, ArrayViewD, Axis, Dimension, IxDyn, ShapeBuilder};

impl Tensor {
    /// A tensor over the memory of an `ndarray` array, which is not copied; its strides are kept.
    ///
    /// ```
    /// use lazuli_runtime::Tensor;
    /// let a = ndarray::arr2(&[[1.0, 2.0], [3.0, 4.0]]);
    /// let t = Tensor::from_ndarray(a.reversed_axes())?;
    /// assert_eq!(t.to_vec::<f64>()?, [1.0, 3.0, 2.0, 4.0]);
    /// assert_eq!(t.into_ndarray::<f64>()?, ndarray::arr2(&[[1.0, 3.0], [2.0, 4.0]]).into_dyn());
    /// # Ok::<(), lazuli_runtime::TensorError>(())
    /// ```
    ///
    /// # Errors
    /// More axes than a tensor may have.
    pub fn from_ndarray<T: Element, D: Dimension>(array: Array<T, D>) -> Result<Tensor, TensorError> {
        let shape = Shape::new(array.shape())?;
        let strides = byte_strides::<T>(array.strides());
        let (v, offset) = array.into_raw_vec_and_offset();
        Tensor::from_parts(Buffer::from_vec(v), T::DTYPE, shape, &strides, offset.unwrap_or(0) * size_of::<T>())
    }

    /// A tensor over the memory of a shared `ndarray` array, which is not copied; its strides are kept.
    ///
    /// # Errors
    /// More axes than a tensor may have.
    pub fn from_arc_ndarray<T: Element, D: Dimension + 'static>(array: ArcArray<T, D>) -> Result<Tensor, TensorError> {
        let shape = Shape::new(array.shape())?;
        let strides = byte_strides::<T>(array.strides());
        let (mut before, mut after) = (0usize, size_of::<T>());
        for (&n, &s) in shape.iter().zip(&strides) {
            let span = n.saturating_sub(1) * s.unsigned_abs();
            if s < 0 { before += span } else { after += span }
        }
        if shape.elements() == 0 {
            (before, after) = (0, 0);
        }
        let low = array.as_ptr().cast::<u8>().wrapping_sub(before);
        // SAFETY: the bytes from the lowest to the highest element are inside the array's one allocation. The handle in
        // `array` keeps it alive, in place, and unchanged: `ndarray` copies shared elements before it writes them.
        let buffer = unsafe { Buffer::from_owner(array, low, before + after) };
        Tensor::from_parts(buffer, T::DTYPE, shape, &strides, before)
    }

    /// The elements as an `ndarray` array. Not copied where the tensor is C-contiguous and the only holder of a whole
    /// `Vec<T>`.
    ///
    /// # Errors
    /// Another dtype than `T`'s; no memory; bytes in a bool tensor that are no bools.
    pub fn into_ndarray<T: Element>(self) -> Result<ArrayD<T>, TensorError> {
        let dim = IxDyn(self.shape());
        Ok(ArrayD::from_shape_vec(dim, self.into_vec()?).expect("the vector has as many elements as the shape"))
    }

    /// The elements as an `ndarray` view, never copied, whatever the strides.
    ///
    /// # Errors
    /// Another dtype than `T`'s; bytes in a bool tensor that are no bools.
    pub fn view_ndarray<T: Element>(&self) -> Result<ArrayViewD<'_, T>, TensorError> {
        self.check_elements::<T>()?;
        let dim = IxDyn(self.shape());
        if self.elements() == 0 {
            return Ok(ArrayViewD::from_shape(dim, &[]).expect("a shape without elements needs none"));
        }
        // `ndarray` builds views from the lowest address; axes that run down are turned round afterwards.
        let size = size_of::<T>() as isize;
        let mut low = 0isize;
        let mut strides = Vec::with_capacity(self.rank());
        for (&n, &s) in self.shape().iter().zip(self.strides()) {
            low += (n as isize - 1) * s.min(0);
            strides.push((s / size).unsigned_abs());
        }
        // SAFETY: the elements lie inside the buffer, which the tensor keeps alive; they are aligned, initialised and of
        // type `T`, and nobody writes them while the tensor holds the buffer: see `Buffer`. Strides are not negative.
        let mut view =
            unsafe { ArrayViewD::from_shape_ptr(dim.strides(IxDyn(&strides)), self.as_ptr().offset(low).cast::<T>()) };
        for (axis, &s) in self.strides().iter().enumerate() {
            if s < 0 {
                view.invert_axis(Axis(axis));
            }
        }
        Ok(view)
    }
}

fn byte_strides<T>(strides: &[isize]) -> Strides {
    strides.iter().map(|s| s * size_of::<T>() as isize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lazuli_graph::{Axes, Index, View};
    use ndarray::{Array3, s};

    fn cube() -> Array3<i32> {
        Array3::from_shape_fn((2, 3, 4), |(i, j, k)| (100 * i + 10 * j + k) as i32)
    }

    #[test]
    fn arrays_come_in_without_a_copy() {
        let a = cube();
        let address = a.as_ptr();
        let t = Tensor::from_ndarray(a).unwrap();
        assert_eq!(t.as_ptr(), address.cast());
        let back = t.into_ndarray::<i32>().unwrap();
        assert_eq!(back.as_ptr(), address);
        assert_eq!(back, cube().into_dyn());
    }

    #[test]
    fn layouts_are_kept() {
        let mut a = cube();
        a.invert_axis(Axis(1));
        a.swap_axes(0, 2);
        a.slice_collapse(s![1..;2, .., 1..]);
        let (address, want) = (a.as_ptr(), a.clone().into_dyn());
        let t = Tensor::from_ndarray(a.clone()).unwrap();
        assert_eq!(t.view_ndarray::<i32>().unwrap(), want);
        assert_eq!(t.into_ndarray::<i32>().unwrap(), want);
        let shared = a.into_shared();
        let t = Tensor::from_arc_ndarray(shared.clone()).unwrap();
        assert_eq!((t.as_ptr(), shared.as_ptr()), (address.cast(), address));
        assert!(!t.buffer().is_writable());
        assert_eq!(t.view_ndarray::<i32>().unwrap(), want);
        drop(shared);
        assert_eq!(t.into_ndarray::<i32>().unwrap(), want);
    }

    #[test]
    fn views_of_every_layout() {
        let t = Tensor::from_ndarray(cube()).unwrap();
        let flipped = t.view(&View::flip(t.shape(), Axes::all(3))).unwrap();
        assert_eq!(flipped.view_ndarray::<i32>().unwrap(), cube().slice(s![..;-1, ..;-1, ..;-1]).into_dyn());
        let column = t.view(&View::index(t.shape(), &[Index::FULL, Index::At(1), Index::FULL]).unwrap()).unwrap();
        assert_eq!(column.view_ndarray::<i32>().unwrap(), cube().slice(s![.., 1, ..]).into_dyn());
        let to = Shape::new(&[5, 2, 3, 4]).unwrap();
        let wide = t.view(&View::broadcast(t.shape(), &to).unwrap()).unwrap();
        assert_eq!(wide.view_ndarray::<i32>().unwrap(), cube().broadcast((5, 2, 3, 4)).unwrap().into_dyn());
        assert!(t.view_ndarray::<f32>().is_err());
    }

    #[test]
    fn empty_and_single_arrays() {
        for extents in [vec![], vec![0], vec![3, 0, 2], vec![1, 1]] {
            let a = ArrayD::<f64>::ones(extents);
            let t = Tensor::from_ndarray(a.clone()).unwrap();
            assert_eq!(t.view_ndarray::<f64>().unwrap(), a);
            assert_eq!(Tensor::from_arc_ndarray(a.to_shared()).unwrap().into_ndarray::<f64>().unwrap(), a);
        }
    }
}

//! Operations made of others, and views.

use crate::array::{Array, operand};
use crate::axes::Over;
use lazuli_graph::{DType, Expr, Index, MapOp};

/// Statistics and bounds.
impl Array {
    /// The mean; NaN of no elements. Integers are averaged in `float64`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2, 6]).mean(All).item()?.as_f64(), 3.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn mean(&self, over: impl Into<Over>) -> Array {
        let over = over.into();
        self.along("mean", &over, |a, axes| a.mean(axes, over.keepdims))
    }

    /// The variance: the mean squared distance to the mean, in two passes over the data.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1.0, 3.0]).var(All).item()?.as_f64(), 1.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn var(&self, over: impl Into<Over>) -> Array {
        self.var_ddof(over, 0)
    }

    /// The variance with `n - ddof` in place of `n`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1.0, 3.0]).var_ddof(All, 1).item()?.as_f64(), 2.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn var_ddof(&self, over: impl Into<Over>, ddof: usize) -> Array {
        let over = over.into();
        self.along("var", &over, |a, axes| a.var(axes, ddof, over.keepdims))
    }

    /// The standard deviation: the square root of the variance.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1.0, 5.0]).std(All).item()?.as_f64(), 2.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn std(&self, over: impl Into<Over>) -> Array {
        self.std_ddof(over, 0)
    }

    /// The standard deviation with `n - ddof` in place of `n`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1.0, 3.0, 5.0]).std_ddof(All, 1).item()?.as_f64(), 2.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn std_ddof(&self, over: impl Into<Over>, ddof: usize) -> Array {
        let over = over.into();
        self.along("std", &over, |a, axes| a.std(axes, ddof, over.keepdims))
    }

    /// How many elements are not zero.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 0, 3]).count_nonzero(All).item()?.as_i64(), 2);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn count_nonzero(&self, over: impl Into<Over>) -> Array {
        let over = over.into();
        self.along("count_nonzero", &over, |a, axes| a.count_nonzero(axes, over.keepdims))
    }

    /// The distance from the smallest to the largest element.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([4, 1, 3]).ptp(All).item()?.as_i64(), 3);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn ptp(&self, over: impl Into<Over>) -> Array {
        let over = over.into();
        self.along("ptp", &over, |a, axes| a.ptp(axes, over.keepdims))
    }

    /// The elements kept within `low ..= high`; NaN stays.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([-1, 1, 9]).clip(0, 5).to_vec::<i32>()?, [0, 1, 5]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn clip(&self, low: impl Into<Array>, high: impl Into<Array>) -> Array {
        let (low, high) = (operand(low), operand(high));
        self.with(|a| a.clip(Some(low.inner()?), Some(high.inner()?)))
    }

    /// Rounded to `decimals` digits after the point (before it, if negative), halves to even.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1.26, 1.24]).round_to(1).to_vec::<f64>()?, [1.3, 1.2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn round_to(&self, decimals: i32) -> Array {
        self.with(|a| a.round_to(decimals))
    }

    /// Converted to `dtype`. Floats become integers toward zero; what is out of range saturates, NaN becomes 0.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1.9, -1e9]).astype(i8).to_vec::<i8>()?, [1, -128]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn astype(&self, dtype: DType) -> Array {
        self.with(|a| Ok(a.cast(dtype)))
    }

    /// The differences of neighbours along `axis`, `n` times.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 4, 9]).diff(1, 0).to_vec::<i32>()?, [3, 5]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn diff(&self, n: usize, axis: i64) -> Array {
        self.with(|a| a.diff(n, axis))
    }

    /// The matrix product `self @ other`, as NumPy's `matmul`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let a = Array::from([[1.0, 2.0], [3.0, 4.0]]);
    /// assert_eq!(a.matmul(Array::from([1.0, 1.0])).to_vec::<f64>()?, [3.0, 7.0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn matmul(&self, other: impl Into<Array>) -> Array {
        self.with2(&operand(other), |a, b| a.matmul_numpy(b))
    }

    /// The dot product, as NumPy's `dot`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2]).dot(Array::from([3, 4])).item()?.as_i64(), 11);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn dot(&self, other: impl Into<Array>) -> Array {
        self.with2(&operand(other), |a, b| a.dot(b))
    }
}

/// Views: free, and never a copy where strides can say it.
impl Array {
    /// `self[indices]`, with [`s!`](crate::s).
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let x = Array::from([[1, 2, 3], [4, 5, 6]]);
    /// assert_eq!(x.slice(s![.., 1..]).to_vec::<i32>()?, [2, 3, 5, 6]);
    /// assert_eq!(x.slice(s![-1]).to_vec::<i32>()?, [4, 5, 6]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn slice(&self, indices: impl AsRef<[Index]>) -> Array {
        self.with(|a| a.index(indices.as_ref()))
    }

    /// The axes reversed.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3], f64).t().shape()?.to_vec(), [3, 2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn t(&self) -> Array {
        self.with(|a| Ok(a.t()))
    }

    /// The axes in another order.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3, 4], f64).transpose([2, 0, 1]).shape()?.to_vec(), [4, 2, 3]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn transpose(&self, order: impl AsRef<[i64]>) -> Array {
        self.with(|a| a.transpose(order.as_ref()))
    }

    /// Two axes exchanged.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3, 4], f64).swapaxes(0, -1).shape()?.to_vec(), [4, 3, 2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn swapaxes(&self, a: i64, b: i64) -> Array {
        self.with(|x| x.swapaxes(a, b))
    }

    /// One axis moved to another place.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3, 4], f64).moveaxis(0, -1).shape()?.to_vec(), [3, 4, 2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn moveaxis(&self, from: i64, to: i64) -> Array {
        self.with(|a| a.moveaxis(from, to))
    }

    /// The elements in C order in another shape; one extent may be -1.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::arange(6).reshape([2, -1]).shape()?.to_vec(), [2, 3]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl AsRef<[i64]>) -> Array {
        self.with(|a| a.reshape_to(shape.as_ref()))
    }

    /// All elements in C order along one axis.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3], f64).ravel().shape()?.to_vec(), [6]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn ravel(&self) -> Array {
        self.reshape([-1])
    }

    /// Stretched to `shape`.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2]).broadcast_to([2, 2]).to_vec::<i32>()?, [1, 2, 1, 2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl AsRef<[usize]>) -> Array {
        self.with(|a| match lazuli_graph::Shape::new(shape.as_ref()) {
            Ok(shape) => a.broadcast_to(&shape),
            Err(e) => Err(Expr::error(e, "broadcast_to", &[a])),
        })
    }

    /// Read backwards along axes.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::arange(3).flip(All).to_vec::<i64>()?, [2, 1, 0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn flip(&self, over: impl Into<Over>) -> Array {
        self.along("flip", &over.into(), |a, axes| a.flip(axes))
    }

    /// Without its axes of extent 1.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([1, 3, 1], f64).squeeze().shape()?.to_vec(), [3]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn squeeze(&self) -> Array {
        self.with(|a| a.squeeze(None))
    }

    /// Without these axes, each of extent 1.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([1, 3, 1], f64).squeeze_axes(Axis(0)).shape()?.to_vec(), [3, 1]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn squeeze_axes(&self, over: impl Into<Over>) -> Array {
        self.along("squeeze", &over.into(), |a, axes| a.squeeze(Some(axes)))
    }

    /// With a new axis of extent 1 at `axis` of the result.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::arange(3).expand_dims(-1).shape()?.to_vec(), [3, 1]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> Array {
        self.with(|a| {
            let rank = a.shape().rank() + 1;
            let at = if axis < 0 { axis + rank as i64 } else { axis };
            match usize::try_from(at).ok().filter(|&i| i < rank) {
                Some(i) => a.expand_dims(lazuli_graph::Axes::from_iter([i])),
                None => Err(Expr::error(lazuli_graph::ShapeError::Axis { axis, rank }, "expand_dims", &[a])),
            }
        })
    }

    /// The operation with the name or alias `name` of the elementwise op table.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert!(Array::named("arctan2", &[1.0.into(), 1.0.into()]).is_some());
    /// assert!(Array::named("frobnicate", &[]).is_none());
    /// ```
    #[track_caller]
    pub fn named(name: &str, operands: &[Array]) -> Option<Array> {
        MapOp::from_name(name).map(|op| Array::map(op, operands))
    }
}

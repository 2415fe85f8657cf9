//! Along which axes: the argument of reductions.

use lazuli_graph::{Shape, ShapeError};
use smallvec::SmallVec;

/// Every axis.
///
/// ```
/// use lazuli::prelude::*;
/// assert_eq!(Array::ones([2, 3], f64).sum(All).item()?.as_f64(), 6.0);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct All;

/// One axis; negative counts from the end.
///
/// ```
/// use lazuli::prelude::*;
/// assert_eq!(Array::ones([2, 3], f64).sum(Axis(-1)).to_vec::<f64>()?, [3.0, 3.0]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Axis(pub i64);

/// Several axes; negative ones count from the end.
///
/// ```
/// use lazuli::prelude::*;
/// assert_eq!(Array::ones([2, 3, 4], f64).sum(Axes([0, -1])).to_vec::<f64>()?, [8.0; 3]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Axes<const N: usize>(pub [i64; N]);

/// The axes of a reduction, and whether they stay with extent 1.
///
/// ```
/// use lazuli::prelude::*;
/// let x = Array::zeros([2, 3, 4], f64);
/// assert_eq!(x.sum(Axis(-1)).shape()?.to_vec(), [2, 3]);
/// assert_eq!(x.sum(Axes([0, 2]).keepdims()).shape()?.to_vec(), [1, 3, 1]);
/// assert_eq!(x.sum(All).shape()?.to_vec(), [0usize; 0]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Over {
    axes: Option<SmallVec<[i64; 4]>>,
    /// Whether the axes stay.
    pub keepdims: bool,
}

impl Over {
    /// The axes as a set, for an array of this shape.
    pub(crate) fn resolve(&self, shape: &Shape) -> Result<lazuli_graph::Axes, ShapeError> {
        match &self.axes {
            None => Ok(lazuli_graph::Axes::all(shape.rank())),
            Some(axes) => shape.axes(axes),
        }
    }
}

macro_rules! over {
    ($([$($generic:tt)*] $t:ty, $self:ident => $axes:expr;)*) => {$(
        impl<$($generic)*> From<$t> for Over {
            fn from($self: $t) -> Over {
                Over { axes: $axes, keepdims: false }
            }
        }

        impl<$($generic)*> $t {
            /// The same axes, kept with extent 1.
            ///
            /// ```
            /// use lazuli::prelude::*;
            /// assert_eq!(Array::zeros([2, 3], f64).sum(All.keepdims()).shape()?.to_vec(), [1, 1]);
            /// # Ok::<(), lazuli::Error>(())
            /// ```
            pub fn keepdims(self) -> Over {
                Over { keepdims: true, ..self.into() }
            }
        }
    )*};
}

over! {
    [] All, _all => None;
    [] Axis, axis => Some(SmallVec::from_slice(&[axis.0]));
    [const N: usize] Axes<N>, axes => Some(SmallVec::from_slice(&axes.0));
}

impl From<&[i64]> for Over {
    fn from(axes: &[i64]) -> Over {
        Over { axes: Some(SmallVec::from_slice(axes)), keepdims: false }
    }
}

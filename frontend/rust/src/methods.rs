//! The methods of the op table: one for each row, by its name.

use crate::array::{Array, operand};
use crate::axes::Over;
use crate::operators::elementwise;
use lazuli_graph::{Expr, MapOp, ReduceOp, ScanOp};

macro_rules! method {
    // `where` takes a condition first: a function, below.
    ($variant:ident where 3 $doc:literal) => {};
    // `x ** 2` is a square, as NumPy's operator has it.
    ($variant:ident pow 2 $doc:literal) => {
        #[doc = $doc]
        ///
        /// A literal exponent of 2, 1, 0.5 or -1 is a square, a copy, a square root or a reciprocal, as for NumPy's `**`.
        ///
        /// ```
        /// use lazuli::prelude::*;
        /// assert_eq!(Array::from([3.0]).pow(2).to_vec::<f64>()?, [9.0]);
        /// # Ok::<(), lazuli::Error>(())
        /// ```
        #[track_caller]
        pub fn pow(&self, other: impl Into<Array>) -> Array {
            self.with2(&operand(other), |a, b| a.power(b))
        }
    };
    ($variant:ident $name:ident 1 $doc:literal) => {
        #[doc = $doc]
        ///
        /// Elementwise; the dtype rule, cost and accuracy stand in the op reference.
        ///
        /// ```
        /// use lazuli::prelude::*;
        #[doc = concat!("let y = Array::from([1u8, 0]).", stringify!($name), "();")]
        /// assert_eq!(y.compute()?.shape().to_vec(), [2]);
        /// # Ok::<(), lazuli::Error>(())
        /// ```
        #[track_caller]
        pub fn $name(&self) -> Array {
            self.with(|a| Expr::map_of(MapOp::$variant, [a]))
        }
    };
    ($variant:ident $name:ident 2 $doc:literal) => {
        #[doc = $doc]
        ///
        /// Elementwise, `x` the array and `y` the argument; both promote and broadcast.
        ///
        /// ```
        /// use lazuli::prelude::*;
        #[doc = concat!("let z = Array::from([1u8, 2]).", stringify!($name), "(1);")]
        /// assert_eq!(z.compute()?.shape().to_vec(), [2]);
        /// # Ok::<(), lazuli::Error>(())
        /// ```
        #[track_caller]
        pub fn $name(&self, other: impl Into<Array>) -> Array {
            elementwise(MapOp::$variant, [self.shown(), operand(other).given()])
        }
    };
}

macro_rules! methods {
    ($($variant:ident $name:tt [$($alias:ident),*] $symbol:expr, $arity:tt, $rule:ident, $props:ident, $cost:literal, $domain:expr, $ulp:literal, $doc:literal;)*) => {
        /// Elementwise.
        impl Array {
            $(method!($variant $name $arity $doc);)*
        }
    };
}

lazuli_graph::for_each_map_op!(methods);

/// `x` where the condition holds (is not zero), else `y`; all three broadcast, the choices promote.
///
/// ```
/// use lazuli::prelude::*;
/// let x = Array::arange(4);
/// assert_eq!(where_(x.less(2), &x, -1).to_vec::<i64>()?, [0, 1, -1, -1]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[track_caller]
pub fn where_(condition: impl Into<Array>, x: impl Into<Array>, y: impl Into<Array>) -> Array {
    elementwise(MapOp::Where, [operand(condition).given(), operand(x).given(), operand(y).given()])
}

macro_rules! reductions {
    ($($(#[$doc:meta])* $name:ident $variant:ident;)*) => {
        /// Reductions along [`All`](crate::All), [`Axis(i)`](crate::Axis) or [`Axes([i, j])`](crate::Axes), each with
        /// `.keepdims()`.
        impl Array {
            $(
                $(#[$doc])*
                ///
                /// ```
                /// use lazuli::prelude::*;
                #[doc = concat!("let y = Array::from([[1, 0], [2, 3]]).", stringify!($name), "(Axis(0));")]
                /// assert_eq!(y.compute()?.shape().to_vec(), [2]);
                /// # Ok::<(), lazuli::Error>(())
                /// ```
                #[track_caller]
                pub fn $name(&self, over: impl Into<Over>) -> Array {
                    self.reduce(ReduceOp::$variant, over)
                }
            )*
        }
    };
}

reductions! {
    /// The sum; of `bool` and small integers in 64 bits. Pairwise in blocks: the error does not grow with the length.
    sum Sum;
    /// The product; of `bool` and small integers in 64 bits.
    prod Prod;
    /// The smallest element; NaN if there is one. Of no elements an error.
    min Min;
    /// The largest element; NaN if there is one. Of no elements an error.
    max Max;
    /// Whether some element is true (not zero).
    any Any;
    /// Whether every element is true (not zero).
    all All;
    /// The position of the first smallest element, in C order of the axes reduced.
    argmin Argmin;
    /// The position of the first largest element, in C order of the axes reduced.
    argmax Argmax;
}

impl Array {
    /// The elementwise operation `op` of the table, on these operands.
    ///
    /// ```
    /// use lazuli::{MapOp, prelude::*};
    /// let y = Array::map(MapOp::Hypot, &[3.0.into(), Array::from([4.0])]);
    /// assert_eq!(y.to_vec::<f64>()?, [5.0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn map(op: MapOp, operands: &[Array]) -> Array {
        let mut exprs = Vec::with_capacity(operands.len());
        for operand in operands {
            match operand.expr() {
                Ok(e) => exprs.push(e),
                Err(_) => return operand.clone(),
            }
        }
        Array::new(Expr::map(op, &exprs))
    }

    /// The reduction `op` of the table.
    ///
    /// ```
    /// use lazuli::{ReduceOp, prelude::*};
    /// assert_eq!(Array::arange(4).reduce(ReduceOp::Sum, All).item()?.as_i64(), 6);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce(&self, op: ReduceOp, over: impl Into<Over>) -> Array {
        let over = over.into();
        self.along(op.name(), &over, |a, axes| a.reduce_keepdims(op, axes, over.keepdims))
    }

    /// Resolves axes for this array's shape.
    #[track_caller]
    pub(crate) fn along(
        &self,
        name: &'static str,
        over: &Over,
        f: impl FnOnce(&Expr, lazuli_graph::Axes) -> Result<Expr, lazuli_graph::Error>,
    ) -> Array {
        self.with(|a| match over.resolve(a.shape()) {
            Ok(axes) => f(a, axes),
            Err(e) => Err(Expr::error(e, name, &[a])),
        })
    }

    /// The scan `op` of the table along `axis`.
    ///
    /// ```
    /// use lazuli::{ScanOp, prelude::*};
    /// assert_eq!(Array::arange(4).scan(ScanOp::Cumsum, 0).to_vec::<i64>()?, [0, 1, 3, 6]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn scan(&self, op: ScanOp, axis: i64) -> Array {
        self.with(|a| a.scan(op, axis))
    }

    /// The running sum along `axis`; of `bool` and small integers in 64 bits.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2, 3]).cumsum(0).to_vec::<i64>()?, [1, 3, 6]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn cumsum(&self, axis: i64) -> Array {
        self.scan(ScanOp::Cumsum, axis)
    }

    /// The running product along `axis`; of `bool` and small integers in 64 bits.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2, 3]).cumprod(0).to_vec::<i64>()?, [1, 2, 6]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    #[track_caller]
    pub fn cumprod(&self, axis: i64) -> Array {
        self.scan(ScanOp::Cumprod, axis)
    }
}

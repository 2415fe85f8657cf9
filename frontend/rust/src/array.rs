//! The array: an expression, or the error of the operation that should have made it.

use lazuli_engine::{Config, Error, Explanation, Level, Result, config};
use lazuli_graph::{DType, Expr, Scalar, Shape, built_at};
use lazuli_runtime::{Element, Tensor};
use std::borrow::Cow;
use std::panic::Location;

/// The longest chain of operations that is built without being computed: what a loop adds beyond is computed where
/// it stands.
const MAX_DEPTH: u32 = 50_000;

/// A lazy n-dimensional array.
///
/// Making one runs nothing: each operation adds a node to an expression, checks shapes and dtypes, and remembers the
/// caller's line. [`Array::compute`] runs it. Cloning is cheap, and clones share what has been computed.
///
/// Operators work on arrays, references to arrays, and Rust numbers. A Rust number is *weak*: it takes on the dtype
/// of the array it meets (NEP 50). `%` has the sign of the divisor, as in Python.
///
/// ```
/// use lazuli::prelude::*;
/// let x = Array::from([1.0f32, 2.0, 3.0]);
/// let y = &x * 2.0 + 1;
/// assert_eq!(y.dtype()?, DType::F32);
/// assert_eq!(y.compute()?.as_slice::<f32>()?, [3.0, 5.0, 7.0]);
/// # Ok::<(), lazuli::Error>(())
/// ```
#[derive(Clone)]
#[must_use = "an array computes nothing until it is asked to"]
pub struct Array(std::result::Result<Expr, lazuli_graph::Error>);

/// An array as an operand, or its error.
pub(crate) type Side<'a> = std::result::Result<Cow<'a, Expr>, lazuli_graph::Error>;

impl Array {
    /// The array of an expression.
    #[track_caller]
    pub fn from_expr(expr: Expr) -> Array {
        Array::new(Ok(expr))
    }

    /// The result of building a node. Computes it at once in eager mode, and where chains grow out of bound.
    #[track_caller]
    pub(crate) fn new(result: std::result::Result<Expr, lazuli_graph::Error>) -> Array {
        if let Ok(expr) = &result
            && (config::is_eager() || expr.depth() > 0 && expr.depth().is_multiple_of(MAX_DEPTH))
            && expr.weak().is_none()
        {
            // An error shows again when the value is asked for.
            let _ = lazuli_engine::compute(std::slice::from_ref(expr), &config::current());
        }
        Array(result)
    }

    /// The expression.
    ///
    /// # Errors
    /// The error of the operation that should have made the array.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2]).expr()?.shape().to_vec(), [2]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn expr(&self) -> Result<&Expr> {
        self.0.as_ref().map_err(|e| Error::Expr(e.clone()))
    }

    /// The expression, or the error as the graph knows it.
    pub(crate) fn inner(&self) -> std::result::Result<&Expr, lazuli_graph::Error> {
        self.0.as_ref().map_err(Clone::clone)
    }

    /// Applies `f` to the expression, unless there is an error already.
    #[track_caller]
    pub(crate) fn with(&self, f: impl FnOnce(&Expr) -> std::result::Result<Expr, lazuli_graph::Error>) -> Array {
        let at = Location::caller();
        Array::new(self.inner().and_then(|e| built_at(at, || f(e))))
    }

    /// Applies `f` to both expressions, unless there is an error already.
    #[track_caller]
    pub(crate) fn with2(
        &self,
        other: &Array,
        f: impl FnOnce(&Expr, &Expr) -> std::result::Result<Expr, lazuli_graph::Error>,
    ) -> Array {
        let at = Location::caller();
        Array::new(self.inner().and_then(|a| built_at(at, || f(a, other.inner()?))))
    }

    /// The expression as an operand: this array goes on, or is used up.
    pub(crate) fn shown(&self) -> Side<'_> {
        self.inner().map(Cow::Borrowed)
    }

    pub(crate) fn given(self) -> Side<'static> {
        self.0.map(Cow::Owned)
    }

    /// The shape.
    ///
    /// # Errors
    /// The error of the operation that should have made the array.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3], f64).shape()?.to_vec(), [2, 3]);
    /// let wrong = Array::zeros([2, 3], f64) + Array::zeros([4], f64);
    /// assert!(wrong.shape().unwrap_err().to_string().starts_with("cannot broadcast [2, 3] with [4]"));
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn shape(&self) -> Result<&Shape> {
        Ok(self.expr()?.shape())
    }

    /// The dtype.
    ///
    /// # Errors
    /// The error of the operation that should have made the array.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!((Array::from([1i8]) + Array::from([1.0f32])).dtype()?, DType::F32);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn dtype(&self) -> Result<DType> {
        Ok(self.expr()?.dtype())
    }

    /// The number of axes.
    ///
    /// # Errors
    /// The error of the operation that should have made the array.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3], f64).ndim()?, 2);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn ndim(&self) -> Result<usize> {
        Ok(self.shape()?.rank())
    }

    /// The number of elements.
    ///
    /// # Errors
    /// The error of the operation that should have made the array.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::zeros([2, 3], f64).size()?, 6);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn size(&self) -> Result<usize> {
        Ok(self.shape()?.elements())
    }

    /// Returns the array, or at once the error that it holds: for code that wants errors where they arise.
    ///
    /// # Errors
    /// The error of the operation that should have made the array.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert!((Array::zeros([2], f64) + Array::zeros([3], f64)).checked().is_err());
    /// ```
    pub fn checked(self) -> Result<Array> {
        self.expr()?;
        Ok(self)
    }

    /// Computes the array with the configuration in force. The array keeps the result: computing it again, or
    /// something made of it, starts from there.
    ///
    /// # Errors
    /// The error of an operation that built it; memory; cancellation.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let t = Array::from([1.0, 4.0]).sqrt().compute()?;
    /// assert_eq!(t.as_slice::<f64>()?, [1.0, 2.0]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn compute(&self) -> Result<Tensor> {
        self.compute_with(&config::current())
    }

    /// Computes the array with a configuration for this call.
    ///
    /// # Errors
    /// As [`Array::compute`].
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let config = Config::default().precision(Precision::Precise).threads(1);
    /// let t = Array::from([1e16, 1.0, -1e16]).sum(All).compute_with(&config)?;
    /// assert_eq!(t.item()?.as_f64(), 1.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn compute_with(&self, config: &Config) -> Result<Tensor> {
        let expr = self.expr()?;
        if let Some(tensor) = lazuli_engine::computed(expr) {
            return Ok(tensor);
        }
        let mut all = lazuli_engine::compute(std::slice::from_ref(expr), config)?;
        Ok(all.remove(0))
    }

    /// Computes the array and gives its one element.
    ///
    /// # Errors
    /// As [`Array::compute`]; more or fewer than one element.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!(Array::from([1, 2, 3]).sum(All).item()?.as_i64(), 6);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn item(&self) -> Result<Scalar> {
        Ok(self.compute()?.item()?)
    }

    /// Computes the array and copies its elements, in C order.
    ///
    /// # Errors
    /// As [`Array::compute`]; another dtype than `T`'s.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// assert_eq!((Array::arange(3) * 2).to_vec::<i64>()?, [0, 2, 4]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Ok(self.compute()?.to_vec()?)
    }

    /// How the array would be computed: graph, passes, fusion, memory, kernels. Computes nothing.
    ///
    /// # Errors
    /// The error of an operation that built it.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let text = (Array::from([1.0, 2.0]) * 2.0).explain()?.to_string();
    /// assert!(text.contains("multiply"));
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn explain(&self) -> Result<Explanation> {
        self.explain_at(Level::Kernel)
    }

    /// [`Array::explain`] down to a level.
    ///
    /// # Errors
    /// As [`Array::explain`].
    ///
    /// ```
    /// use lazuli::{Level, prelude::*};
    /// let text = (Array::from([1.0, 2.0]) * 2.0).explain_at(Level::Clif)?.to_string();
    /// assert!(text.contains("fmul"));
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn explain_at(&self, level: Level) -> Result<Explanation> {
        lazuli_engine::explain(std::slice::from_ref(self.expr()?), &config::current(), level)
    }
}

/// An argument as an array, built at the caller's place and not in the middle of `Into`.
#[track_caller]
pub(crate) fn operand(x: impl Into<Array>) -> Array {
    built_at(Location::caller(), || x.into())
}

/// Computes several arrays in one plan, so that they share work and passes over the data.
///
/// # Errors
/// As [`Array::compute`].
///
/// ```
/// use lazuli::prelude::*;
/// let x = Array::linspace(0.0, 1.0, 5);
/// let [low, high] = compute_all([x.min(All), x.max(All)])?;
/// assert_eq!((low.item()?.as_f64(), high.item()?.as_f64()), (0.0, 1.0));
/// # Ok::<(), lazuli::Error>(())
/// ```
pub fn compute_all<const N: usize>(arrays: [Array; N]) -> Result<[Tensor; N]> {
    let all = compute_all_with(&arrays, &config::current())?;
    Ok(all.try_into().expect("as many tensors as arrays"))
}

/// [`compute_all`] for any number of arrays, with a configuration.
///
/// # Errors
/// As [`Array::compute`].
///
/// ```
/// use lazuli::{compute_all_with, prelude::*};
/// let arrays = vec![Array::arange(3), Array::arange(4)];
/// assert_eq!(compute_all_with(&arrays, &Config::default())?.len(), 2);
/// # Ok::<(), lazuli::Error>(())
/// ```
pub fn compute_all_with(arrays: &[Array], config: &Config) -> Result<Vec<Tensor>> {
    let roots: Vec<Expr> = arrays.iter().map(|a| a.expr().cloned()).collect::<Result<_>>()?;
    lazuli_engine::compute(&roots, config)
}

impl std::fmt::Debug for Array {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Ok(expr) => write!(f, "Array({expr:?})"),
            Err(e) => write!(f, "Array(error: {e})"),
        }
    }
}

impl From<&Array> for Array {
    fn from(a: &Array) -> Array {
        a.clone()
    }
}

impl From<Tensor> for Array {
    /// Shares the tensor's memory.
    #[track_caller]
    fn from(t: Tensor) -> Array {
        Array(Ok(lazuli_engine::data(t)))
    }
}

impl From<&Tensor> for Array {
    /// Shares the tensor's memory.
    #[track_caller]
    fn from(t: &Tensor) -> Array {
        Array(Ok(lazuli_engine::data(t.clone())))
    }
}

impl<T: Element> From<Vec<T>> for Array {
    /// A 1-d array that takes over the vector's memory.
    #[track_caller]
    fn from(v: Vec<T>) -> Array {
        let n = v.len();
        let tensor = Tensor::from_vec(&[n], v).expect("a vector has as many elements as it has");
        Array::from(tensor)
    }
}

impl<T: Element> From<&[T]> for Array {
    /// A 1-d array with a copy of the elements.
    #[track_caller]
    fn from(v: &[T]) -> Array {
        Array::from(v.to_vec())
    }
}

/// What stands between the brackets of an array literal: a number, or a row of such.
///
/// ```
/// use lazuli::prelude::*;
/// assert_eq!(Array::from([[[1u8, 2], [3, 4]]]).shape()?.to_vec(), [1, 2, 2]);
/// # Ok::<(), lazuli::Error>(())
/// ```
pub trait Nested {
    /// The numbers' type.
    type Item: Element;
    /// The extents of a row, appended to `out`.
    fn extents(out: &mut Vec<usize>);
    /// The numbers in C order, appended to `out`.
    fn flatten(self, out: &mut Vec<Self::Item>);
}

macro_rules! nested {
    ($($t:ty)*) => {$(
        impl Nested for $t {
            type Item = $t;
            fn extents(_: &mut Vec<usize>) {}
            fn flatten(self, out: &mut Vec<$t>) {
                out.push(self);
            }
        }
    )*};
}

nested! { bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 lazuli_runtime::f16 lazuli_runtime::bf16 }

impl<T: Nested, const M: usize> Nested for [T; M] {
    type Item = T::Item;
    fn extents(out: &mut Vec<usize>) {
        out.push(M);
        T::extents(out);
    }
    fn flatten(self, out: &mut Vec<T::Item>) {
        self.into_iter().for_each(|x| x.flatten(out));
    }
}

impl<T: Nested, const N: usize> From<[T; N]> for Array {
    /// An array of one axis for each level of brackets.
    #[track_caller]
    fn from(v: [T; N]) -> Array {
        let (mut extents, mut flat) = (Vec::new(), Vec::new());
        <[T; N] as Nested>::extents(&mut extents);
        v.flatten(&mut flat);
        let at = std::panic::Location::caller();
        let fail = |e: lazuli_graph::ShapeError| lazuli_graph::Error::new(e, "array", at);
        match lazuli_graph::Shape::new(&extents) {
            Ok(_) => Array::from(
                Tensor::from_vec(&extents, flat).expect("brackets hold as many numbers as their extents say"),
            ),
            Err(e) => Array(Err(fail(e))),
        }
    }
}

macro_rules! literals {
    ($($t:ty => $dtype:ident, $make:ident, $via:ty;)*) => {$(
        impl From<$t> for Array {
            /// A literal: 0-d, of a dtype that gives way to that of the arrays it meets.
            #[track_caller]
            fn from(x: $t) -> Array {
                Array(Ok(Expr::literal(Scalar::$make(DType::$dtype, x as $via))))
            }
        }
    )*};
}

literals! {
    f32 => F64, from_f64, f64;
    f64 => F64, from_f64, f64;
    i8 => I64, from_i64, i64;
    i16 => I64, from_i64, i64;
    i32 => I64, from_i64, i64;
    i64 => I64, from_i64, i64;
    isize => I64, from_i64, i64;
    u8 => I64, from_i64, i64;
    u16 => I64, from_i64, i64;
    u32 => I64, from_i64, i64;
    bool => Bool, from_i64, i64;
}

impl From<u64> for Array {
    /// A literal: 0-d, of a dtype that gives way to that of the arrays it meets.
    #[track_caller]
    fn from(x: u64) -> Array {
        let dtype = if i64::try_from(x).is_ok() { DType::I64 } else { DType::U64 };
        Array(Ok(Expr::literal(Scalar::from_u64(dtype, x))))
    }
}

impl From<usize> for Array {
    /// A literal: 0-d, of a dtype that gives way to that of the arrays it meets.
    #[track_caller]
    fn from(x: usize) -> Array {
        Array::from(x as u64)
    }
}

#[cfg(feature = "ndarray")]
impl<T: Element> From<ndarray::ArrayD<T>> for Array {
    /// Shares the memory. An array of more axes than there may be gives an array that holds the error.
    #[track_caller]
    fn from(a: ndarray::ArrayD<T>) -> Array {
        let at = std::panic::Location::caller();
        match Tensor::from_ndarray(a) {
            Ok(tensor) => Array::from(tensor),
            Err(e) => {
                let kind = lazuli_graph::ErrorKind::Argument(e.to_string());
                Array(Err(lazuli_graph::Error::new(kind, "array", at)))
            }
        }
    }
}

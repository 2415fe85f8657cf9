//! Functions: compile once, call with any shape.

use crate::array::Array;
use lazuli_engine::{Config, Result, config};
use lazuli_graph::Expr;
use lazuli_runtime::Tensor;
use smallvec::SmallVec;
use std::borrow::Cow;

/// A compiled function of `N` arrays.
///
/// The body is called with parameters once for each new combination of dtypes, shapes and strides; what it builds is
/// planned and kept, so that a call only runs kernels. Kernels are shared by all shapes.
///
/// ```
/// use lazuli::prelude::*;
/// let dist = Function::new(|[a, b]: [Array; 2]| (a - b).square().sum(Axis(-1)).sqrt());
/// let p = Array::from([[0.0, 0.0], [1.0, 1.0]]).compute()?;
/// let q = Array::from([3.0, 4.0]).compute()?;
/// assert_eq!(dist.call([&p, &q])?.as_slice::<f64>()?[0], 5.0);
/// # Ok::<(), lazuli::Error>(())
/// ```
pub struct Function<const N: usize> {
    inner: lazuli_engine::Function,
}

/// What the body of a [`Function`] may return: an array, or several.
///
/// ```
/// use lazuli::prelude::*;
/// let split = Function::new(|[x]: [Array; 1]| vec![x.floor(), &x - x.floor()]);
/// assert_eq!(split.call_with([&Array::from([2.5])], &Config::default())?.len(), 2);
/// # Ok::<(), lazuli::Error>(())
/// ```
pub trait Outputs {
    /// The arrays.
    fn arrays(self) -> Vec<Array>;
}

impl Outputs for Array {
    fn arrays(self) -> Vec<Array> {
        vec![self]
    }
}

impl<const M: usize> Outputs for [Array; M] {
    fn arrays(self) -> Vec<Array> {
        self.into()
    }
}

impl Outputs for Vec<Array> {
    fn arrays(self) -> Vec<Array> {
        self
    }
}

/// What a [`Function`] may be called with: a tensor, or an array, which is computed first.
///
/// ```
/// use lazuli::prelude::*;
/// let add = Function::new(|[x, y]: [Array; 2]| x + y);
/// let x = Array::from([1.0]);
/// assert_eq!(add.call([&x, &x.compute()?])?.item()?.as_f64(), 2.0);
/// # Ok::<(), lazuli::Error>(())
/// ```
pub trait Argument {
    /// The tensor.
    ///
    /// # Errors
    /// As [`Array::compute`].
    fn tensor(&self) -> Result<Cow<'_, Tensor>>;
}

impl Argument for Tensor {
    fn tensor(&self) -> Result<Cow<'_, Tensor>> {
        Ok(Cow::Borrowed(self))
    }
}

impl Argument for Array {
    fn tensor(&self) -> Result<Cow<'_, Tensor>> {
        self.compute().map(Cow::Owned)
    }
}

/// The arguments of a call.
pub type Arguments<'a, const N: usize> = [&'a dyn Argument; N];

impl<const N: usize> Function<N> {
    /// Makes a function of a body.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let double = Function::new(|[x]: [Array; 1]| x * 2);
    /// assert_eq!(double.call([&Array::from([1, 2])])?.to_vec::<i32>()?, [2, 4]);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn new<O: Outputs>(body: impl Fn([Array; N]) -> O + Send + Sync + 'static) -> Function<N> {
        let inner = lazuli_engine::Function::new(N, move |parameters: &[Expr]| {
            let arrays = std::array::from_fn(|i| Array::from_expr(parameters[i].clone()));
            body(arrays).arrays().iter().map(|a| a.expr().cloned()).collect()
        });
        Function { inner }
    }

    /// Calls the function and gives its first result.
    ///
    /// # Errors
    /// An error of the body for these dtypes and shapes, and those of running.
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let double = Function::new(|[x]: [Array; 1]| x * 2);
    /// let x = Array::from([0.5]).compute()?;
    /// assert_eq!(double.call([&x])?.item()?.as_f64(), 1.0);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn call(&self, args: Arguments<'_, N>) -> Result<Tensor> {
        let results = self.call_with(args, &config::current())?;
        results.into_iter().next().ok_or_else(|| lazuli_engine::Error::Call("the function has no result".to_owned()))
    }

    /// Calls the function with a configuration and gives all its results.
    ///
    /// # Errors
    /// As [`Function::call`].
    ///
    /// ```
    /// use lazuli::prelude::*;
    /// let both = Function::new(|[x]: [Array; 1]| [x.min(All), x.max(All)]);
    /// let results = both.call_with([&Array::from([3, 1, 2])], &Config::default())?;
    /// assert_eq!(results[1].item()?.as_i64(), 3);
    /// # Ok::<(), lazuli::Error>(())
    /// ```
    pub fn call_with(&self, args: Arguments<'_, N>, config: &Config) -> Result<SmallVec<[Tensor; 2]>> {
        let tensors: SmallVec<[Cow<'_, Tensor>; 4]> = args.iter().map(|a| a.tensor()).collect::<Result<_>>()?;
        self.inner.call(&tensors, config)
    }
}

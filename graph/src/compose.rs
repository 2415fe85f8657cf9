//! Operations made of other operations: means, variances, ranges, matrix products of any rank.
//!
//! Each is built from rows of the op table alone, so nothing below the graph knows of it. Dtypes and formulas are
//! NumPy's; where a result depends on the order of roundings, so is the order.

use crate::expr::here;
use crate::{Axes, DType, Error, ErrorKind, Expr, Index, Kind, MapOp, Op, ReduceOp, Scalar, Shape, View, Weak};
use smallvec::SmallVec;

#[track_caller]
fn float(x: f64) -> Expr {
    Expr::literal(Scalar::from_f64(DType::F64, x))
}

#[track_caller]
fn int(x: i64) -> Expr {
    Expr::literal(Scalar::from_i64(DType::I64, x))
}

#[track_caller]
fn argument(text: impl Into<String>, op: &'static str, operands: &[&Expr]) -> Error {
    Expr::error(ErrorKind::Argument(text.into()), op, operands)
}

/// The dtype means are taken in, and the one they are returned in.
const fn mean_dtypes(dtype: DType) -> (DType, DType) {
    match dtype {
        DType::F64 => (DType::F64, DType::F64),
        DType::F32 | DType::F16 | DType::BF16 => (DType::F32, dtype),
        _ => (DType::F64, DType::F64),
    }
}

/// Statistics and bounds.
impl Expr {
    /// A reduction along `axes`, which stay as axes of extent 1 if `keepdims`.
    ///
    /// # Errors
    /// As [`Expr::reduce`].
    #[track_caller]
    pub fn reduce_keepdims(&self, op: ReduceOp, axes: Axes, keepdims: bool) -> Result<Expr, Error> {
        let reduced = self.reduce(op, axes)?;
        if keepdims { reduced.expand_dims(axes) } else { Ok(reduced) }
    }

    /// How many elements one result of a reduction along `axes` is made of.
    fn count(&self, axes: Axes) -> usize {
        axes.iter().filter_map(|i| self.shape().get(i)).product()
    }

    /// `self / count`, rounded once: beyond 2^24 a count is not a `float32`.
    #[track_caller]
    fn over(&self, count: usize) -> Result<Expr, Error> {
        let dtype = self.dtype();
        let wide = if count > 1 << 24 { DType::F64 } else { dtype };
        Ok(Expr::map(MapOp::Divide, &[self.cast(wide), float(count as f64)])?.cast(dtype))
    }

    /// The mean along `axes`, dropped unless `keepdims`; NaN of no elements.
    ///
    /// Integers are averaged in `float64`; `float16` and `bfloat16` in `float32`, then rounded back.
    ///
    /// # Errors
    /// None today; the type leaves room for dtypes without a mean.
    #[track_caller]
    pub fn mean(&self, axes: Axes, keepdims: bool) -> Result<Expr, Error> {
        let (compute, result) = mean_dtypes(self.dtype());
        let sum = self.cast(compute).reduce_keepdims(ReduceOp::Sum, axes, keepdims)?;
        Ok(sum.over(self.count(axes))?.cast(result))
    }

    /// The variance in the dtype it is computed in.
    #[track_caller]
    fn wide_var(&self, axes: Axes, ddof: usize, keepdims: bool) -> Result<Expr, Error> {
        let x = self.cast(mean_dtypes(self.dtype()).0);
        let count = self.count(axes);
        let mean = x.reduce_keepdims(ReduceOp::Sum, axes, true)?.over(count)?;
        let deviation = Expr::map(MapOp::Subtract, &[x, mean])?;
        let square = Expr::map(MapOp::Square, &[deviation])?;
        square.reduce_keepdims(ReduceOp::Sum, axes, keepdims)?.over(count.saturating_sub(ddof))
    }

    /// The variance along `axes`: the sum of squared distances to the mean over `n - ddof`.
    ///
    /// Two passes over the data, so that a large mean costs no digits. Dtypes as for [`Expr::mean`].
    ///
    /// # Errors
    /// As [`Expr::mean`].
    #[track_caller]
    pub fn var(&self, axes: Axes, ddof: usize, keepdims: bool) -> Result<Expr, Error> {
        Ok(self.wide_var(axes, ddof, keepdims)?.cast(mean_dtypes(self.dtype()).1))
    }

    /// The standard deviation: the square root of [`Expr::var`].
    ///
    /// # Errors
    /// As [`Expr::mean`].
    #[track_caller]
    pub fn std(&self, axes: Axes, ddof: usize, keepdims: bool) -> Result<Expr, Error> {
        let root = Expr::map(MapOp::Sqrt, &[self.wide_var(axes, ddof, keepdims)?])?;
        Ok(root.cast(mean_dtypes(self.dtype()).1))
    }

    /// How many elements are not zero (NaN is not), as `int64`.
    ///
    /// # Errors
    /// None today.
    #[track_caller]
    pub fn count_nonzero(&self, axes: Axes, keepdims: bool) -> Result<Expr, Error> {
        self.cast(DType::Bool).reduce_keepdims(ReduceOp::Sum, axes, keepdims)
    }

    /// The distance from the smallest to the largest element.
    ///
    /// # Errors
    /// No elements; `bool`.
    #[track_caller]
    pub fn ptp(&self, axes: Axes, keepdims: bool) -> Result<Expr, Error> {
        let max = self.reduce_keepdims(ReduceOp::Max, axes, keepdims)?;
        let min = self.reduce_keepdims(ReduceOp::Min, axes, keepdims)?;
        Expr::map(MapOp::Subtract, &[max, min])
    }

    /// `min(max(x, low), high)`; a missing bound bounds nothing. NaN stays, and a NaN bound makes NaN.
    ///
    /// An integer literal at or beyond the end of an integer dtype's range bounds nothing either.
    ///
    /// # Errors
    /// Shapes that do not broadcast; an integer literal that leaves no value of the dtype.
    #[track_caller]
    pub fn clip(&self, low: Option<&Expr>, high: Option<&Expr>) -> Result<Expr, Error> {
        let dtype = self.dtype();
        let bounds = |bound: &&Expr, low: bool| match (bound.op(), bound.weak()) {
            (Op::Const(v), Some(Weak::Int)) if dtype.is_integer() && self.weak().is_none() => {
                let wide = |s: Scalar| match s.dtype() {
                    DType::U64 => s.bits() as i128,
                    _ => s.as_i64() as i128,
                };
                let bits = 8 * dtype.size() as u32;
                let (first, last) = match dtype.kind() {
                    Kind::Signed => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
                    _ => (0, (1i128 << bits) - 1),
                };
                if low { wide(*v) > first } else { wide(*v) < last }
            }
            _ => true,
        };
        let low = low.filter(|b| bounds(b, true));
        let high = high.filter(|b| bounds(b, false));
        let all: SmallVec<[&Expr; 3]> = [Some(self), low, high].into_iter().flatten().collect();
        let to = Expr::promote(&all);
        // Literals stay literals, so that their range is checked.
        let meet = |e: &Expr| if e.weak().is_some() { e.clone() } else { e.cast(to) };
        let mut out = meet(self);
        if let Some(low) = low {
            out = Expr::map(MapOp::Maximum, &[out, meet(low)])?;
        }
        if let Some(high) = high {
            out = Expr::map(MapOp::Minimum, &[out, meet(high)])?;
        }
        Ok(out)
    }

    /// Rounded to `decimals` places after the point (before it, if negative), halves to even.
    ///
    /// As NumPy: scaled by a power of ten, rounded, scaled back. Integers change only for negative `decimals`.
    ///
    /// # Errors
    /// A power of ten beyond `float64`.
    #[track_caller]
    pub fn round_to(&self, decimals: i32) -> Result<Expr, Error> {
        if decimals == 0 || (decimals > 0 && !self.dtype().is_float()) {
            return Expr::map(MapOp::Round, std::slice::from_ref(self));
        }
        // Parsed, for 10^n is then the nearest double.
        let power: Option<f64> = format!("1e{}", decimals.unsigned_abs()).parse().ok();
        let Some(power) = power.filter(|p| p.is_finite()) else {
            return Err(argument(format!("cannot round to {decimals} decimals"), "round", &[self]));
        };
        let wide = if self.dtype().is_float() { self.clone() } else { self.cast(DType::F64) };
        let (there, back) = match decimals > 0 {
            true => (MapOp::Multiply, MapOp::Divide),
            false => (MapOp::Divide, MapOp::Multiply),
        };
        let scaled = Expr::map(there, &[wide, float(power)])?;
        let rounded = Expr::map(MapOp::Round, &[scaled])?;
        Ok(Expr::map(back, &[rounded, float(power)])?.cast(self.dtype()))
    }

    /// The operator `**`: [`MapOp::Pow`], but literal exponents 2, 1, 0.5 and -1 become the operation they mean.
    ///
    /// # Errors
    /// As [`Expr::map`]; a negative integer literal as the exponent of integers.
    #[track_caller]
    pub fn power(&self, exponent: &Expr) -> Result<Expr, Error> {
        let operands = [self.clone(), exponent.clone()];
        let (Op::Const(value), Some(weak), None) = (exponent.op(), exponent.weak(), self.weak()) else {
            return Expr::map(MapOp::Pow, &operands);
        };
        let dtype = self.dtype().promote_weak(weak);
        if !dtype.is_float() {
            if value.dtype().kind() == Kind::Signed && value.as_i64() < 0 {
                let text = "integers to a negative integer power are not integers; convert the base to a float first";
                return Err(argument(text, "pow", &[self, exponent]));
            }
            return match (weak, value.as_i64()) {
                (Weak::Int, 2) => Expr::map(MapOp::Square, std::slice::from_ref(self)),
                _ => Expr::map(MapOp::Pow, &operands),
            };
        }
        let base = self.cast(dtype);
        match value.as_f64() {
            1.0 => Ok(base),
            2.0 => Expr::map(MapOp::Square, &[base]),
            0.5 => Expr::map(MapOp::Sqrt, &[base]),
            -1.0 => Expr::map(MapOp::Reciprocal, &[base]),
            _ => Expr::map(MapOp::Pow, &operands),
        }
    }

    /// Degrees to radians.
    ///
    /// # Errors
    /// None today.
    #[track_caller]
    pub fn deg2rad(&self) -> Result<Expr, Error> {
        self.scale_angle(std::f64::consts::PI / 180.0, std::f32::consts::PI / 180.0)
    }

    /// Radians to degrees.
    ///
    /// # Errors
    /// None today.
    #[track_caller]
    pub fn rad2deg(&self) -> Result<Expr, Error> {
        self.scale_angle(180.0 / std::f64::consts::PI, 180.0 / std::f32::consts::PI)
    }

    #[track_caller]
    fn scale_angle(&self, by: f64, by_single: f32) -> Result<Expr, Error> {
        let (dtype, _) = MapOp::Sqrt.row().rule.apply(self.dtype()).unwrap_or((DType::F64, DType::F64));
        match dtype {
            DType::F64 => Expr::map(MapOp::Multiply, &[self.cast(dtype), float(by)]),
            // The half precisions are computed in single.
            _ => Ok(Expr::map(MapOp::Multiply, &[self.cast(DType::F32), float(by_single as f64)])?.cast(dtype)),
        }
    }

    /// Differences of neighbours along `axis`, taken `n` times; of `bool`, whether they differ.
    ///
    /// # Errors
    /// An axis outside the array.
    #[track_caller]
    pub fn diff(&self, n: usize, axis: i64) -> Result<Expr, Error> {
        let at = here();
        let axis = self.shape().axis(axis).map_err(|e| Expr::error_at(e, "diff", &[self], at))?;
        let op = if self.dtype() == DType::Bool { MapOp::NotEqual } else { MapOp::Subtract };
        let mut out = self.clone();
        // Past the extent of the axis nothing is left to take differences of.
        for _ in 0..n.min(self.shape()[axis]) {
            let part = |start, stop| {
                let mut index = vec![Index::FULL; axis];
                index.push(Index::Slice { start, stop, step: 1 });
                index
            };
            let (above, below) = (out.index(&part(Some(1), None))?, out.index(&part(None, Some(-1)))?);
            out = Expr::map(op, &[above, below])?;
        }
        Ok(out)
    }
}

/// Views.
impl Expr {
    /// `self[indices]`: slices, positions, new axes.
    ///
    /// # Errors
    /// Positions outside the array, too many indices, a step of zero, two ellipses.
    #[track_caller]
    pub fn index(&self, indices: &[Index]) -> Result<Expr, Error> {
        let at = here();
        let view = View::index(self.shape(), indices).map_err(|e| Expr::error_at(e, "index", &[self], at))?;
        self.view(view)
    }

    /// The axes in another order: axis `i` of the result is axis `order[i]`. Negative axes count from the end.
    ///
    /// # Errors
    /// Anything but a permutation of the axes.
    #[track_caller]
    pub fn transpose(&self, order: &[i64]) -> Result<Expr, Error> {
        let at = here();
        let fail = |e| Expr::error_at(e, "transpose", &[self], at);
        let set = self.shape().axes(order).map_err(fail)?;
        if set.len() != self.shape().rank() {
            let text = format!("transpose needs each of {} axes, got {}", self.shape().rank(), order.len());
            return Err(argument(text, "transpose", &[self]));
        }
        let order: Vec<usize> = order.iter().map(|&a| self.shape().axis(a)).collect::<Result<_, _>>().map_err(fail)?;
        self.view(View::transpose(self.shape(), &order))
    }

    /// The axes in reverse order.
    #[track_caller]
    pub fn t(&self) -> Expr {
        let order: Vec<usize> = (0..self.shape().rank()).rev().collect();
        self.view(View::transpose(self.shape(), &order)).expect("a transpose reads what there is")
    }

    /// Two axes change places.
    ///
    /// # Errors
    /// An axis outside the array.
    #[track_caller]
    pub fn swapaxes(&self, a: i64, b: i64) -> Result<Expr, Error> {
        let at = here();
        let fail = |e| Expr::error_at(e, "swapaxes", &[self], at);
        let (a, b) = (self.shape().axis(a).map_err(fail)?, self.shape().axis(b).map_err(fail)?);
        let mut order: Vec<usize> = (0..self.shape().rank()).collect();
        order.swap(a, b);
        self.view(View::transpose(self.shape(), &order))
    }

    /// One axis moves to another place; the others keep their order.
    ///
    /// # Errors
    /// An axis outside the array.
    #[track_caller]
    pub fn moveaxis(&self, from: i64, to: i64) -> Result<Expr, Error> {
        let at = here();
        let fail = |e| Expr::error_at(e, "moveaxis", &[self], at);
        let (from, to) = (self.shape().axis(from).map_err(fail)?, self.shape().axis(to).map_err(fail)?);
        let mut order: Vec<usize> = (0..self.shape().rank()).filter(|&i| i != from).collect();
        order.insert(to, from);
        self.view(View::transpose(self.shape(), &order))
    }

    /// The elements along `axes` in reverse.
    ///
    /// # Errors
    /// None for axes of the array.
    #[track_caller]
    pub fn flip(&self, axes: Axes) -> Result<Expr, Error> {
        self.view(View::flip(self.shape(), axes))
    }

    /// New axes of extent 1, standing at `at` in the result.
    ///
    /// # Errors
    /// Too many axes; a place beyond the last axis of the result.
    #[track_caller]
    pub fn expand_dims(&self, at: Axes) -> Result<Expr, Error> {
        let rank = self.shape().rank() + at.len();
        if let Some(axis) = at.iter().find(|&i| i >= rank) {
            let kind = crate::ShapeError::Axis { axis: axis as i64, rank };
            return Err(Expr::error(kind, "expand_dims", &[self]));
        }
        let place = here();
        let view = View::expand_dims(self.shape(), at).map_err(|e| Expr::error_at(e, "expand_dims", &[self], place))?;
        self.view(view)
    }

    /// Without the axes `gone` (without any axis of extent 1, if `None`).
    ///
    /// # Errors
    /// An axis whose extent is not 1.
    #[track_caller]
    pub fn squeeze(&self, gone: Option<Axes>) -> Result<Expr, Error> {
        let shape = self.shape();
        let gone = gone.unwrap_or_else(|| (0..shape.rank()).filter(|&i| shape[i] == 1).collect());
        if let Some(axis) = gone.iter().find(|&i| shape.get(i) != Some(&1)) {
            let text = format!("cannot squeeze axis {axis} of {shape}: its extent is not 1");
            return Err(argument(text, "squeeze", &[self]));
        }
        self.view(View::squeeze(shape, gone))
    }

    /// The elements in C order in the shape `to`, in which one extent may be -1: whatever is left.
    ///
    /// # Errors
    /// Another number of elements, other negative extents.
    #[track_caller]
    pub fn reshape_to(&self, to: &[i64]) -> Result<Expr, Error> {
        let (n, at) = (self.shape().elements(), here());
        let fail = || {
            let kind = crate::ShapeError::Reshape { from: self.shape().clone(), to: to.to_vec() };
            Expr::error_at(kind, "reshape", &[self], at)
        };
        let known = to
            .iter()
            .filter(|&&e| e != -1)
            .try_fold(1usize, |product, &e| usize::try_from(e).ok().and_then(|e| product.checked_mul(e)));
        let known = known.ok_or_else(fail)?;
        let rest = match to.iter().filter(|&&e| e == -1).count() {
            0 => 0,
            1 if known > 0 && n.is_multiple_of(known) => n / known,
            _ => return Err(fail()),
        };
        let extents: Vec<usize> = to.iter().map(|&e| if e == -1 { rest } else { e as usize }).collect();
        if extents.iter().product::<usize>() != n {
            return Err(fail());
        }
        self.reshape(Shape::new(&extents).map_err(|e| Expr::error_at(e, "reshape", &[self], at))?)
    }
}

/// Creation.
impl Expr {
    /// Zero at every position.
    #[track_caller]
    pub fn zeros(dtype: DType, shape: Shape) -> Expr {
        Expr::full(Scalar::zero(dtype), shape)
    }

    /// One at every position.
    #[track_caller]
    pub fn ones(dtype: DType, shape: Shape) -> Expr {
        Expr::full(Scalar::one(dtype), shape)
    }

    /// `start`, `start + step`, … while before `stop`; in `dtype`, or the one that the three meet in.
    ///
    /// NumPy's formula: element `i` is `start + i * delta` with `delta = (start + step) - start`, both rounded to the
    /// dtype, so that errors do not add up.
    ///
    /// # Errors
    /// A step of zero or NaN, a range too long, `bool`.
    #[track_caller]
    pub fn arange(start: Scalar, stop: Scalar, step: Scalar, dtype: Option<DType>) -> Result<Expr, Error> {
        let at = here();
        let fail = |text: String| Error::new(ErrorKind::Argument(text), "arange", at);
        let meet = start.dtype().promote(stop.dtype()).promote(step.dtype());
        let meet = if meet == DType::Bool { DType::I64 } else { meet };
        let dtype = dtype.unwrap_or(meet);
        if dtype == DType::Bool {
            return Err(fail("arange has no meaning for bool".to_owned()));
        }
        let (length, next) = if meet.is_float() {
            let (a, b, s) = (start.as_f64(), stop.as_f64(), step.as_f64());
            (((b - a) / s).ceil(), Scalar::from_f64(DType::F64, a + s))
        } else {
            let wide = |s: Scalar| if s.dtype() == DType::U64 { s.bits() as i128 } else { s.as_i64() as i128 };
            let (a, b, s) = (wide(start), wide(stop), wide(step));
            let span = if s < 0 { a - b } else { b - a };
            let length = match s {
                0 => f64::NAN,
                _ if span <= 0 => 0.0,
                _ => ((span - 1) / s.abs() + 1) as f64,
            };
            (length, Scalar::from_i64(DType::I64, (a + s) as i64))
        };
        if length.is_nan() || (length.is_infinite() && step.as_f64() == 0.0) {
            return Err(fail(format!("arange({start}, {stop}, {step}) has no length")));
        }
        // Also false for infinity; Shape::new then judges by bytes.
        let length = if length < isize::MAX as f64 { length.max(0.0) as usize } else { usize::MAX };
        let shape = Shape::new(&[length]).map_err(|e| Error::new(e, "arange", at))?;
        // Half precisions are filled in single.
        let compute = if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype };
        let first = Expr::full(start.cast(dtype).cast(compute), Shape::scalar());
        let next = next.cast(dtype).cast(compute);
        let delta = match compute {
            DType::F64 => Scalar::from_f64(compute, next.as_f64() - start.cast(dtype).as_f64()),
            DType::F32 => {
                let (next, first) = (next.as_f64() as f32, start.cast(dtype).as_f64() as f32);
                Scalar::from_f64(compute, (next - first) as f64)
            }
            _ => Scalar::from_i64(compute, next.as_i64().wrapping_sub(start.cast(dtype).as_i64())),
        };
        let mut out = Expr::iota(shape).cast(compute);
        if delta != Scalar::one(compute) {
            out = Expr::map(MapOp::Multiply, &[out, Expr::full(delta, Shape::scalar())])?;
        }
        // Adding zero changes nothing, unless the first product is a negative zero.
        if first.op() != &Op::Const(Scalar::zero(compute)) || delta.as_f64() < 0.0 {
            out = Expr::map(MapOp::Add, &[out, first])?;
        }
        Ok(out.cast(dtype))
    }

    /// `num` numbers from `start` to `stop` in even steps, as `float64`; `stop` is the last of them if `endpoint`.
    ///
    /// NumPy's formula, `i * step + start`, with the last set to `stop` exactly.
    ///
    /// # Errors
    /// Too many numbers.
    #[track_caller]
    pub fn linspace(start: f64, stop: f64, num: usize, endpoint: bool) -> Result<Expr, Error> {
        let at = here();
        let shape = Shape::new(&[num]).map_err(|e| Error::new(e, "linspace", at))?;
        let position = Expr::iota(shape);
        let i = position.cast(DType::F64);
        let div = if endpoint { num.saturating_sub(1) } else { num };
        let delta = stop - start;
        let step = delta / div as f64;
        let scaled = if div == 0 {
            Expr::map(MapOp::Multiply, &[i, float(delta)])?
        } else if step == 0.0 {
            // The step underflowed: divide first.
            let part = Expr::map(MapOp::Divide, &[i, float(div as f64)])?;
            Expr::map(MapOp::Multiply, &[part, float(delta)])?
        } else {
            Expr::map(MapOp::Multiply, &[i, float(step)])?
        };
        let out = Expr::map(MapOp::Add, &[scaled, float(start)])?;
        let last = (num.saturating_sub(1)) as f64 * step + start;
        if !endpoint || num < 2 || (step != 0.0 && last.to_bits() == stop.to_bits()) {
            return Ok(out);
        }
        let is_last = Expr::map(MapOp::Equal, &[position, int(num as i64 - 1)])?;
        Expr::map(MapOp::Where, &[is_last, float(stop), out])
    }

    /// An `n` by `m` matrix with ones on diagonal `k` (above the main one if positive) and zeros elsewhere.
    ///
    /// # Errors
    /// A shape that is too large.
    #[track_caller]
    pub fn eye(n: usize, m: usize, k: i64, dtype: DType) -> Result<Expr, Error> {
        let at = here();
        let shape = |e: &[usize]| Shape::new(e).map_err(|e| Error::new(e, "eye", at));
        let whole = shape(&[n, m])?;
        // Off the matrix; this also keeps row + k from overflowing.
        if k >= m as i64 || k <= -(n as i64) {
            return Ok(Expr::zeros(dtype, whole));
        }
        let row = Expr::iota(shape(&[n, 1])?);
        let column = Expr::iota(shape(&[1, m])?);
        let diagonal = if k == 0 { row } else { Expr::map(MapOp::Add, &[row, int(k)])? };
        Ok(Expr::map(MapOp::Equal, &[diagonal, column])?.cast(dtype))
    }
}

/// Products.
impl Expr {
    /// The operator `@`: matrices in the last two axes, leading axes broadcast; a 1-d operand is a row on the left and
    /// a column on the right, and its axis is gone from the result.
    ///
    /// # Errors
    /// A 0-d operand, inner extents that differ, leading axes that do not broadcast.
    #[track_caller]
    pub fn matmul_numpy(&self, other: &Expr) -> Result<Expr, Error> {
        let at = here();
        let bad = || {
            let kind = ErrorKind::Matmul(self.shape().clone(), other.shape().clone());
            Expr::error_at(kind, "matmul", &[self, other], at)
        };
        let axes = |i: usize| Axes::from_iter([i]);
        let (row, column) = match (self.shape().rank(), other.shape().rank()) {
            (0, _) | (_, 0) => return Err(bad()),
            (a, b) => (a == 1, b == 1),
        };
        let inner = other.shape()[if column { 0 } else { other.shape().rank() - 2 }];
        if self.shape()[self.shape().rank() - 1] != inner {
            return Err(bad());
        }
        let left = if row { self.expand_dims(axes(0))? } else { self.clone() };
        let right = if column { other.expand_dims(axes(1))? } else { other.clone() };
        let mut out = left.matmul(&right)?;
        if column {
            out = out.squeeze(Some(axes(out.shape().rank() - 1)))?;
        }
        if row {
            out = out.squeeze(Some(axes(out.shape().rank() - if column { 1 } else { 2 })))?;
        }
        Ok(out)
    }

    /// `numpy.dot`: the product with a 0-d operand; otherwise the sum of products along the last axis of the left and
    /// the last but one (of a vector, the only one) of the right.
    ///
    /// # Errors
    /// Extents that differ.
    #[track_caller]
    pub fn dot(&self, other: &Expr) -> Result<Expr, Error> {
        let (a, b) = (self.shape().rank(), other.shape().rank());
        if a == 0 || b == 0 {
            return Expr::map(MapOp::Multiply, &[self.clone(), other.clone()]);
        }
        if b <= 2 {
            return self.matmul_numpy(other);
        }
        let at = here();
        let shape = |e: &[usize]| Shape::new(e).map_err(|e| Expr::error_at(e, "dot", &[self, other], at));
        let (lead, inner) = self.shape().split_at(a - 1);
        let right = other.moveaxis(-2, 0)?;
        if inner[0] != right.shape()[0] {
            let kind = ErrorKind::Matmul(self.shape().clone(), other.shape().clone());
            return Err(Expr::error(kind, "dot", &[self, other]));
        }
        let rest: Vec<usize> = right.shape()[1..].to_vec();
        let left = self.reshape(shape(&[lead.iter().product(), inner[0]])?)?;
        let right = right.reshape(shape(&[inner[0], rest.iter().product()])?)?;
        left.matmul(&right)?.reshape(shape(&[lead, &rest].concat())?)
    }
}

#[cfg(test)]
mod tests;

//! What can be called: every row of the op table, and the functions listed here.
//!
//! A function's first argument may also stand before it: `mean(x, axis=0)` is `x.mean(axis=0)`.

use super::args::{Call, Fault, Signature, settle};
use super::value::Value;
use lazuli_graph::ops::{MAP_OPS, REDUCE_OPS, SCAN_OPS};
use lazuli_graph::{Axes, DType, Expr, MapOp, ReduceOp, Scalar, ScanOp, Shape};

type Run = fn(&mut Call<'_>) -> Result<Expr, Fault>;

/// A function that is no row of the op table.
struct Row {
    names: &'static [&'static str],
    signature: &'static str,
    /// Whether the first argument may stand before the function.
    method: bool,
    run: Run,
}

const fn method(names: &'static [&'static str], signature: &'static str, run: Run) -> Row {
    Row { names, signature, method: true, run }
}

const fn function(names: &'static [&'static str], signature: &'static str, run: Run) -> Row {
    Row { names, signature, method: false, run }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    // statistics and bounds
    method(&["mean"], "a, axis=None, dtype=None, keepdims=False", mean),
    method(&["var"], "a, axis=None, ddof|correction=0, keepdims=False", |c| spread(c, Expr::var)),
    method(&["std"], "a, axis=None, ddof|correction=0, keepdims=False", |c| spread(c, Expr::std)),
    method(&["count_nonzero"], "a, axis=None, keepdims=False", |c| over_axes(c, Expr::count_nonzero)),
    method(&["ptp"], "a, axis=None, keepdims=False", |c| over_axes(c, Expr::ptp)),
    method(&["clip"], "a, a_min|min=None, a_max|max=None", clip),
    method(&["round", "around"], "a, decimals=0", round),
    method(&["diff"], "a, n=1, axis=-1", diff),
    method(&["deg2rad", "radians"], "x", |c| Ok(c.array("x")?.deg2rad()?)),
    method(&["rad2deg", "degrees"], "x", |c| Ok(c.array("x")?.rad2deg()?)),
    // views and conversions
    method(&["astype"], "x, dtype", |c| Ok(c.array("x")?.cast(c.dtype("dtype")?.unwrap_or(DType::F64)))),
    method(&["reshape"], "a, *shape", reshape),
    method(&["ravel", "flatten"], "a", |c| Ok(c.array("a")?.reshape_to(&[-1])?)),
    method(&["transpose", "permute_dims"], "a, *axes", transpose),
    method(&["matrix_transpose"], "x", |c| Ok(c.array("x")?.swapaxes(-1, -2)?)),
    method(&["swapaxes"], "a, axis1, axis2", |c| two_axes(c, "axis1", "axis2", Expr::swapaxes)),
    method(&["moveaxis"], "a, source, destination", |c| two_axes(c, "source", "destination", Expr::moveaxis)),
    method(&["flip"], "m, axis=None", |c| { let m = c.array("m")?; let axes = c.axes("axis", &m)?; Ok(m.flip(axes)?) }),
    method(&["flipud"], "m", |c| flip_axis(c, 0)),
    method(&["fliplr"], "m", |c| flip_axis(c, 1)),
    method(&["squeeze"], "a, axis=None", squeeze),
    method(&["expand_dims"], "a, axis", expand_dims),
    method(&["broadcast_to"], "array, shape", |c| { let x = c.array("array")?; Ok(x.broadcast_to(&c.shape("shape")?)?) }),
    // products
    method(&["matmul"], "x1, x2", |c| Ok(c.array("x1")?.matmul_numpy(&c.array("x2")?)?)),
    method(&["dot"], "a, b", |c| Ok(c.array("a")?.dot(&c.array("b")?)?)),
    method(&["outer"], "a, b", outer),
    // creation
    function(&["array", "asarray"], "object, dtype=None", |c| { let x = c.array("object")?; like(c, x) }),
    function(&["arange"], "start, stop=None, step=1, dtype=None", arange),
    function(&["linspace"], "start, stop, num=50, endpoint=True, dtype=None", linspace),
    function(&["zeros"], "shape, dtype=float64", |c| constant(c, Scalar::zero)),
    function(&["ones"], "shape, dtype=float64", |c| constant(c, Scalar::one)),
    function(&["full"], "shape, fill_value, dtype=None", |c| { let shape = c.shape("shape")?; full(c, &shape, None) }),
    function(&["eye"], "N, M=None, k=0, dtype=float64", eye),
    function(&["identity"], "n, dtype=float64", |c| { let n = c.size("n")?.unwrap_or(0); Ok(Expr::eye(n, n, 0, c.dtype("dtype")?.unwrap_or(DType::F64))?) }),
    method(&["zeros_like"], "a, dtype=None", |c| constant_like(c, Scalar::zero)),
    method(&["ones_like"], "a, dtype=None", |c| constant_like(c, Scalar::one)),
    method(&["full_like"], "a, fill_value, dtype=None", |c| { let a = c.array("a")?; full(c, &a.shape().clone(), Some(a.dtype())) }),
];

/// Something with a name that takes arguments.
#[derive(Clone, Copy)]
pub(super) enum Function {
    Row(usize),
    Map(MapOp),
    Reduce(ReduceOp),
    Scan(ScanOp),
    /// A dtype converts.
    Cast(DType),
}

impl Function {
    /// The function called `name`.
    pub(super) fn find(name: &str) -> Option<Function> {
        let row = ROWS.iter().position(|r| r.names.contains(&name)).map(Function::Row);
        row.or_else(|| MapOp::from_name(name).map(Function::Map))
            .or_else(|| ReduceOp::from_name(name).map(Function::Reduce))
            .or_else(|| ScanOp::from_name(name).map(Function::Scan))
            .or_else(|| dtype(name).map(Function::Cast))
    }

    /// Its parameters.
    pub(super) fn signature(self) -> Signature {
        Signature(match self {
            Function::Row(i) => ROWS[i].signature,
            Function::Map(MapOp::Where) => "condition, x, y",
            Function::Map(op) => match op.row().arity {
                1 => "x",
                2 => "x1, x2",
                _ => "x1, x2, x3",
            },
            Function::Reduce(ReduceOp::Sum | ReduceOp::Prod) => "a, axis=None, dtype=None, keepdims=False",
            Function::Reduce(_) => "a, axis=None, keepdims=False",
            Function::Scan(_) => "a, axis=None, dtype=None",
            Function::Cast(_) => "x",
        })
    }

    /// Whether `x.f()` is `f(x)`.
    pub(super) fn is_method(self) -> bool {
        match self {
            Function::Row(i) => ROWS[i].method,
            Function::Map(op) => op != MapOp::Where,
            Function::Reduce(_) | Function::Scan(_) => true,
            Function::Cast(_) => false,
        }
    }

    /// Calls it.
    pub(super) fn call(self, c: &mut Call<'_>) -> Result<Value, Fault> {
        let result = match self {
            Function::Row(i) => (ROWS[i].run)(c)?,
            Function::Map(op) => {
                let names: &[&str] = match (op, op.row().arity) {
                    (MapOp::Where, _) => &["condition", "x", "y"],
                    (_, 1) => &["x"],
                    (_, 2) => &["x1", "x2"],
                    _ => &["x1", "x2", "x3"],
                };
                let mut operands = names.iter().map(|n| c.operand(n)).collect::<Result<Vec<_>, _>>()?;
                settle(if op == MapOp::Where { &mut operands[1..] } else { &mut operands });
                settle(&mut operands[..1.min(usize::from(op == MapOp::Where))]);
                Expr::map(op, &operands)?
            }
            Function::Reduce(op) => {
                let x = c.array("a")?;
                let x = like(c, x)?;
                let axes = c.axes("axis", &x)?;
                let keepdims = c.flag("keepdims", false)?;
                x.reduce_keepdims(op, axes, keepdims)?
            }
            Function::Scan(op) => {
                let x = c.array("a")?;
                let x = like(c, x)?;
                match c.integer("axis")? {
                    Some(axis) => x.scan(op, axis)?,
                    None => x.reshape_to(&[-1])?.scan(op, 0)?,
                }
            }
            Function::Cast(dtype) => c.array("x")?.cast(dtype),
        };
        Ok(Value::Array(result))
    }
}

/// The dtype called `name`, Python's type names among them.
pub(super) fn dtype(name: &str) -> Option<DType> {
    match name {
        "int" => Some(DType::I64),
        "float" => Some(DType::F64),
        _ => name.parse().ok(),
    }
}

/// Every name that can be called, aliases included.
pub fn function_names() -> impl Iterator<Item = &'static str> {
    let rows = ROWS.iter().flat_map(|r| r.names.iter().copied());
    let maps = MAP_OPS.iter().flat_map(|r| std::iter::once(r.name).chain(r.aliases.iter().copied()));
    let reductions = REDUCE_OPS.iter().flat_map(|r| std::iter::once(r.name).chain(r.aliases.iter().copied()));
    let scans = SCAN_OPS.iter().flat_map(|r| std::iter::once(r.name).chain(r.aliases.iter().copied()));
    let dtypes = DType::ALL.iter().map(|d| d.name());
    // `round` and `around` are rows of both.
    let shadowed = |n: &&str| !ROWS.iter().any(|r| r.names.contains(n));
    rows.chain(maps.filter(shadowed)).chain(reductions).chain(scans).chain(dtypes)
}

/// `x` in the dtype of the argument `dtype`, if it is given.
fn like(c: &mut Call<'_>, x: Expr) -> Result<Expr, Fault> {
    Ok(match c.dtype("dtype")? {
        Some(dtype) => x.cast(dtype),
        None => x,
    })
}

fn mean(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let axes = c.axes("axis", &x)?;
    let keepdims = c.flag("keepdims", false)?;
    Ok(match c.dtype("dtype")? {
        Some(dtype) => x.cast(dtype).mean(axes, keepdims)?.cast(dtype),
        None => x.mean(axes, keepdims)?,
    })
}

type Spread = fn(&Expr, Axes, usize, bool) -> Result<Expr, lazuli_graph::Error>;

fn spread(c: &mut Call<'_>, f: Spread) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let axes = c.axes("axis", &x)?;
    let ddof = c.size("ddof")?.unwrap_or(0);
    Ok(f(&x, axes, ddof, c.flag("keepdims", false)?)?)
}

fn over_axes(c: &mut Call<'_>, f: fn(&Expr, Axes, bool) -> Result<Expr, lazuli_graph::Error>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let axes = c.axes("axis", &x)?;
    Ok(f(&x, axes, c.flag("keepdims", false)?)?)
}

fn clip(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let (low, high) = (c.operand_or_none("a_min")?, c.operand_or_none("a_max")?);
    Ok(x.clip(low.as_ref(), high.as_ref())?)
}

fn round(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let decimals = c.integer("decimals")?.unwrap_or(0);
    // Beyond these, all powers of ten are infinite.
    Ok(x.round_to(decimals.clamp(-400, 400) as i32)?)
}

fn diff(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let n = c.size("n")?.unwrap_or(1);
    // Each difference is a node.
    if n > 1000 {
        return Err(Fault::Text("'n' of diff can be at most 1000".to_owned()));
    }
    Ok(x.diff(n, c.integer("axis")?.unwrap_or(-1))?)
}

fn reshape(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    if c.rest.is_empty() {
        return Err(Fault::Text("reshape needs a shape".to_owned()));
    }
    Ok(x.reshape_to(&c.rest_integers()?)?)
}

fn transpose(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    match c.rest_integers()? {
        order if order.is_empty() => Ok(x.t()),
        order => Ok(x.transpose(&order)?),
    }
}

type TwoAxes = fn(&Expr, i64, i64) -> Result<Expr, lazuli_graph::Error>;

fn two_axes(c: &mut Call<'_>, first: &str, second: &str, f: TwoAxes) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    match (c.integer(first)?, c.integer(second)?) {
        (Some(a), Some(b)) => Ok(f(&x, a, b)?),
        _ => Err(Fault::Text(format!("{} needs two axes", c.name))),
    }
}

fn flip_axis(c: &mut Call<'_>, axis: i64) -> Result<Expr, Fault> {
    let m = c.array("m")?;
    let axes = m.shape().axes(&[axis]).map_err(|e| Expr::error(e, "flip", &[&m]))?;
    Ok(m.flip(axes)?)
}

fn squeeze(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    match c.integers("axis")? {
        None => Ok(x.squeeze(None)?),
        Some(axes) => Ok(x.squeeze(Some(x.shape().axes(&axes).map_err(|e| Expr::error(e, "squeeze", &[&x]))?))?),
    }
}

fn expand_dims(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let x = c.array("a")?;
    let places = c.integers("axis")?.unwrap_or_default();
    // Places count in the result, so their signs need its rank.
    let result = Shape::new(&vec![1; x.shape().rank() + places.len()])?;
    let places = result.axes(&places).map_err(|e| Expr::error(e, "expand_dims", &[&x]))?;
    Ok(x.expand_dims(places)?)
}

fn outer(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let (a, b) = (c.array("a")?.reshape_to(&[-1, 1])?, c.array("b")?.reshape_to(&[1, -1])?);
    Ok(Expr::map(MapOp::Multiply, &[a, b])?)
}

fn arange(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let zero = Scalar::zero(DType::I64);
    let first = c.number("start")?.unwrap_or(zero);
    let (start, stop) = match c.number("stop")? {
        Some(stop) => (first, stop),
        None => (zero, first),
    };
    let step = c.number("step")?.unwrap_or(Scalar::one(DType::I64));
    Ok(Expr::arange(start, stop, step, c.dtype("dtype")?)?)
}

fn linspace(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let end = |x: Option<Scalar>| x.map_or(0.0, Scalar::as_f64);
    let (start, stop) = (end(c.number("start")?), end(c.number("stop")?));
    let num = c.size("num")?.unwrap_or(50);
    let x = Expr::linspace(start, stop, num, c.flag("endpoint", true)?)?;
    Ok(match c.dtype("dtype")? {
        Some(dtype) if dtype.is_integer() => Expr::map(MapOp::Floor, &[x])?.cast(dtype),
        Some(dtype) => x.cast(dtype),
        None => x,
    })
}

fn constant(c: &mut Call<'_>, value: fn(DType) -> Scalar) -> Result<Expr, Fault> {
    let shape = c.shape("shape")?;
    Ok(Expr::full(value(c.dtype("dtype")?.unwrap_or(DType::F64)), shape))
}

fn constant_like(c: &mut Call<'_>, value: fn(DType) -> Scalar) -> Result<Expr, Fault> {
    let a = c.array("a")?;
    Ok(Expr::full(value(c.dtype("dtype")?.unwrap_or(a.dtype())), a.shape().clone()))
}

fn full(c: &mut Call<'_>, shape: &Shape, default: Option<DType>) -> Result<Expr, Fault> {
    let value = c.array("fill_value")?;
    let dtype = c.dtype("dtype")?.or(default).unwrap_or(value.dtype());
    Ok(value.cast(dtype).broadcast_to(shape)?)
}

fn eye(c: &mut Call<'_>) -> Result<Expr, Fault> {
    let n = c.size("N")?.unwrap_or(0);
    let m = c.size("M")?.unwrap_or(n);
    let k = c.integer("k")?.unwrap_or(0);
    Ok(Expr::eye(n, m, k, c.dtype("dtype")?.unwrap_or(DType::F64))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_once() {
        let mut seen = std::collections::HashSet::new();
        for name in function_names() {
            assert!(Function::find(name).is_some(), "{name}");
            assert!(seen.insert(name), "{name} twice");
        }
    }

    #[test]
    fn methods_have_an_argument_to_stand_before_them() {
        for row in ROWS.iter().filter(|r| r.method) {
            assert!(!row.signature.starts_with('*') && !row.signature.is_empty(), "{:?}", row.names);
        }
    }
}

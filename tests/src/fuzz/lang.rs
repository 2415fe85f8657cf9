//! The command's expression language.

use super::Target;
use lazuli_cli::lang::{Env, Value, eval, parse};
use lazuli_graph::{DType, Expr, Shape};

pub(super) const TARGET: Target = Target { name: "parse_expr", run, seeds, words: WORDS };

const WORDS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "::",
    "...",
    "None",
    "True",
    "**",
    "//",
    "@",
    "<<",
    "==",
    "=",
    ";",
    "\n",
    "#",
    "\\",
    "-",
    "~",
    "not ",
    " and ",
    " or ",
    " if ",
    " else ",
    "lambda ",
    "x",
    "y",
    "m",
    "b",
    "np.",
    ".T",
    ".shape",
    ".sum(",
    "axis=",
    "keepdims=",
    "dtype=",
    "where(",
    "reshape(",
    "arange(",
    "zeros(",
    "full(",
    "astype(",
    "float32",
    "int8",
    "1e999",
    "0x",
    "1_0",
    "nan",
    "'",
    "\"",
    "((((((((",
    "[[[[",
    "99999999999999999999",
    "9223372036854775807",
];

/// Parsing and evaluating give expressions or an error that prints.
fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let program = match parse("fuzz", text) {
        Ok(program) => program,
        Err(e) => return drop(e.to_string()),
    };
    let array = |i, dtype, shape: &[usize]| {
        let shape = Shape::new(shape).expect("the shapes below are small");
        Value::Array(Expr::parameter(i, dtype, shape))
    };
    let names = [
        ("x", array(0, DType::F64, &[7])),
        ("y", array(1, DType::I16, &[3, 7])),
        ("m", array(2, DType::F16, &[4, 1, 7])),
        ("b", array(3, DType::Bool, &[])),
        ("n", Value::Int(3)),
    ];
    let names = names.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let env = Env { names, new_array: &|_, dtype, shape| Expr::parameter(4, dtype, shape) };
    match eval(&program, &env) {
        Ok(outcome) => outcome.results.iter().for_each(|(_, e)| assert!(e.shape().rank() <= lazuli_graph::MAX_RANK)),
        Err(e) => drop(e.to_string()),
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "2**-0.5 + 3 // 2 % 7",
        "sqrt(x**2 + y**2).mean(axis=0, keepdims=True)",
        "z = y.astype(float32)\ngx = (z[1:-1, 2:] - z[1:-1, :-2]) / (2 * 75.0)  # a gradient\ngx.max()",
        "where(x > 0, x, -x)[::-1, None]",
        "y @ x; np.sin(m)[..., 0] & 1",
        "~b | (x == n) ^ True",
        "reshape(arange(21), (3, -1)) + y.T.T",
        "sum(y, axis=(0, 1)) << 2",
        "[[1, 2], [3, 4]]",
        "1 if b else 2",
    ];
    texts.iter().map(|t| t.as_bytes().to_vec()).collect()
}

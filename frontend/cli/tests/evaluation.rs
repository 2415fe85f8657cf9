//! Programs to expressions: dtypes and shapes against NumPy's, errors, results, arbitrary programs.
#![allow(clippy::unwrap_used)]

use lazuli_cli::lang::{Env, Outcome, Value, eval, function_names, parse};
use lazuli_graph::{DType, Expr, Scalar, Shape};
use proptest::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// The inputs that `data/numpy.txt` names.
fn inputs() -> HashMap<String, Value> {
    let arrays: [(&str, DType, &[usize]); 9] = [
        ("b", DType::Bool, &[3]),
        ("i", DType::I32, &[3]),
        ("u", DType::U8, &[2, 3]),
        ("h", DType::F16, &[3]),
        ("f", DType::F32, &[2, 3]),
        ("d", DType::F64, &[4, 2, 3]),
        ("z", DType::F64, &[]),
        ("s", DType::F32, &[1, 3, 1]),
        ("w", DType::F32, &[3, 3]),
    ];
    let mut names: HashMap<String, Value> = HashMap::new();
    for (i, (name, dtype, extents)) in arrays.into_iter().enumerate() {
        let array = Expr::parameter(i as u32, dtype, Shape::new(extents).unwrap());
        names.insert(name.to_owned(), Value::Array(array));
    }
    names.insert("n".to_owned(), Value::Int(3));
    names.insert("q".to_owned(), Value::Float(0.5));
    names
}

fn new_array(values: &[Scalar], dtype: DType, shape: Shape) -> Expr {
    assert_eq!(values.len(), shape.elements());
    assert!(values.iter().all(|v| v.dtype() == dtype));
    Expr::data(Arc::new(values.to_vec()), dtype, shape)
}

fn run(text: &str) -> Result<Outcome, String> {
    let program = parse("test.lz", text).map_err(|e| e.to_string())?;
    eval(&program, &Env { names: inputs(), new_array: &new_array }).map_err(|e| e.to_string())
}

fn last(text: &str) -> Expr {
    run(text).unwrap_or_else(|e| panic!("{text}: {e}")).results.pop().unwrap().1
}

#[test]
fn dtypes_and_shapes_are_numpys() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for line in include_str!("data/numpy.txt").lines().filter(|l| !l.starts_with('#')) {
        let (text, expected) = line.split_once(" => ").unwrap();
        let got = match run(text) {
            Ok(mut outcome) => {
                let e = outcome.results.pop().unwrap().1;
                assert_eq!(e.weak(), None, "{text}");
                format!("{} {}", e.dtype(), e.shape())
            }
            Err(_) => "error".to_owned(),
        };
        checked += 1;
        if got != expected {
            wrong.push(format!("{text}: {got}, NumPy {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(checked > 200, "{checked}");
}

/// The number that a program of literals alone evaluates to.
fn number(text: &str) -> Scalar {
    match last(text).op() {
        lazuli_graph::Op::Const(value) => *value,
        op => panic!("{text} is {op:?}"),
    }
}

#[test]
fn literals_compute_as_python_does() {
    for (text, value) in [
        ("7 // -2", -4),
        ("-7 // 2", -4),
        ("7 % -2", -1),
        ("-7 % 2", 1),
        ("-7 % 7", 0),
        ("2 ** 10", 1024),
        ("-2 ** 2", -4),
        ("(-2) ** 3", -8),
        ("~5", -6),
        ("1 << 62", 1 << 62),
        ("-5 >> 1", -3),
        ("-1 >> 1000", -1),
        ("6 & 3 | 8 ^ 1", 11),
        ("True + True", 2),
        ("-True", -1),
        ("0x_ff - 0b11 + 0o7", 259),
        ("(1, 2, 3)[-1]", 3),
        ("d.shape[0] * d.ndim", 12),
        ("10 ** 30 // 10 ** 29", 10),
        ("0 ** 0", 1),
        ("(-1) ** 1000000000001", -1),
    ] {
        assert_eq!(number(text), Scalar::from_i64(DType::I64, value), "{text}");
    }
    for (text, value) in [
        ("7 / 2", 3.5),
        ("2 ** -1", 0.5),
        ("1e3 // 7", 142.0),
        ("-1e0 % 3", 2.0),
        ("5.5 % -2", -0.5),
        ("-0.0 % 5", 0.0),
        ("1e300 * 1e300", f64::INFINITY),
        ("pi", std::f64::consts::PI),
        ("np.e", std::f64::consts::E),
        ("-inf", f64::NEG_INFINITY),
        ("4 ** 0.5", 2.0),
        ("1 + .5", 1.5),
        ("-0.0", -0.0),
        ("3.0 // -0.5", -6.0),
    ] {
        assert_eq!(number(text), Scalar::from_f64(DType::F64, value), "{text}");
    }
    for (text, value) in [
        ("1 < 2 < 3", true),
        ("1 < 3 < 2", false),
        ("3 > 2 > 2.5", false),
        ("nan == nan", false),
        ("nan != nan", true),
        ("1 == 1.0", true),
        ("True & False", false),
        ("True ^ False", true),
        ("9007199254740993 == 9007199254740992.0", true),
        ("10**20 > 10**19", true),
    ] {
        assert_eq!(number(text), Scalar::from_i64(DType::Bool, value as i64), "{text}");
    }
    assert_eq!(number("2 ** 63"), Scalar::from_u64(DType::U64, 1 << 63));
    for text in [
        "1 / 0",
        "1.0 // 0",
        "1 % 0.0",
        "2 ** 64",
        "10 ** 100",
        "1 << 200",
        "1 << -1",
        "0 ** -1",
        "(-8) ** (1 / 3)",
        "1.5 & 1",
        "1.5 << 1",
        "~1.5",
        "2 @ 3",
        "10.0 ** 400",
    ] {
        assert!(run(text).is_err(), "{text}");
    }
}

#[test]
fn chained_comparisons_are_conjunctions() {
    let e = last("0 < f < 2");
    assert_eq!((e.dtype(), &**e.shape(), e.op().name()), (DType::Bool, &[2, 3][..], "logical_and"));
    let e = last("0 < 1 < f <= w[:2] != 4");
    assert_eq!((e.dtype(), &**e.shape()), (DType::Bool, &[2, 3][..]));
}

#[test]
fn shortcuts_of_power() {
    for (text, op) in [
        ("f ** 2", "square"),
        ("f ** 0.5", "sqrt"),
        ("f ** -1", "reciprocal"),
        ("f ** 3", "pow"),
        ("f ** z", "pow"),
        ("f ** n", "pow"),
    ] {
        assert_eq!(last(text).op().name(), op, "{text}");
    }
    assert_eq!(last("f ** 1").op().name(), "input");
}

#[test]
fn results_are_the_names_and_the_last_statement() {
    let names = |text: &str| {
        let outcome = run(text).unwrap();
        outcome.results.into_iter().map(|(n, _)| n.unwrap_or("_".into())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("f"), "_");
    assert_eq!(names("x = f; y = x + 1"), "x y");
    assert_eq!(names("x = f; y = x; x = y + 1"), "y x");
    assert_eq!(names("x = f; s = x.shape; t = float32; k = 3; f; x.mean()"), "x k _");
    assert_eq!(names("f = f + 1; f"), "f _");
    // Assigning a name leaves what was made of its old value as it was.
    assert_eq!(last("x = f; y = x[0]; x = 0; y").shape().to_vec(), [3]);
    let outcome = run("x = f + n; i = f; i + x").unwrap();
    let mut used: Vec<&str> = outcome.used.iter().map(String::as_str).collect();
    used.sort_unstable();
    assert_eq!(used, ["f", "n"]);
    for text in ["f, f", "x = (1, 2)", "float32", "None", "x = 'a'", "...", "f.shape"] {
        assert!(run(text).is_err(), "{text}");
    }
}

#[test]
fn assigned_numbers_are_defaults_of_inputs() {
    // `n` is given as 3, `q` as 0.5, `m` not at all; `f` is an array.
    assert_eq!(number("n = 7; n").as_i64(), 3);
    assert_eq!(number("m = 7; m").as_i64(), 7);
    assert_eq!(number("q = -2 * pi; q").as_f64(), 0.5);
    assert_eq!(last("f = 1; f").shape().to_vec(), [2, 3]);
    // Not what is computed from something, nor a second assignment.
    assert_eq!(number("n = n + 1; n").as_i64(), 4);
    assert_eq!(number("m = 1; n = m + 1; n").as_i64(), 2);
    assert_eq!(number("n = 1; n = 2; n").as_i64(), 2);
    assert_eq!(last("f = zeros(5); f").shape().to_vec(), [5]);
    assert!(run("n = 7; 1").unwrap().used.contains("n"));
}

#[test]
fn lists_are_arrays() {
    let check = |text: &str, dtype: DType, extents: &[usize]| {
        let e = last(text);
        assert_eq!((e.dtype(), &**e.shape()), (dtype, extents), "{text}");
    };
    check("[1, 2, 3]", DType::I64, &[3]);
    check("[[1, 2], [3, 4.5]]", DType::F64, &[2, 2]);
    check("[True, False]", DType::Bool, &[2]);
    check("[True, 1]", DType::I64, &[2]);
    check("[2 ** 63, 1]", DType::U64, &[2]);
    check("[2 ** 63, 1.5]", DType::F64, &[2]);
    check("[]", DType::F64, &[0]);
    check("[[], []]", DType::F64, &[2, 0]);
    check("[[[1], [2]]]", DType::I64, &[1, 2, 1]);
    check("-[1, 2] + 0.5", DType::F64, &[2]);
    check("[-1, 2 * 3]", DType::I64, &[2]);
    check("[1, 2].T", DType::I64, &[2]);
    for text in ["[1, [2]]", "[[1], 2]", "[[1], [2, 3]]", "[f]", "[float32]", "[2 ** 63, -1]", "[2 ** 64]"] {
        assert!(run(text).is_err(), "{text}");
    }
}

#[test]
fn errors_point_and_help() {
    let cases = [
        (
            "y = 1\nsqrt(elv + f)",
            "unknown name 'elv'\n --> test.lz:2:6\n  |\n2 | sqrt(elv + f)\n  |      ^^^\n  = help: give it a value, elv=VALUE; known are b, d, f, h, i, n, q, s, u, w, y, z",
        ),
        (
            "elev = f\nelv * 2",
            "unknown name 'elv'\n --> test.lz:2:1\n  |\n2 | elv * 2\n  | ^^^\n  = help: did you mean 'elev'?",
        ),
        (
            "f.maen(axis=0)",
            "there is no method 'maen'\n --> test.lz:1:3\n  |\n1 | f.maen(axis=0)\n  |   ^^^^\n  = help: did you mean 'mean'?",
        ),
        (
            "sqr(f)",
            "there is no function 'sqr'\n --> test.lz:1:1\n  |\n1 | sqr(f)\n  | ^^^\n  = help: did you mean 'sqrt'?",
        ),
        (
            "n(2)",
            "there is no function 'n'\n --> test.lz:1:1\n  |\n1 | n(2)\n  | ^\n  = help: 'n' is a value; index it with '[', multiply with '*'",
        ),
        (
            "f.mean(axes=0)",
            "mean has no argument 'axes'\n --> test.lz:1:8\n  |\n1 | f.mean(axes=0)\n  |        ^^^^\n  = help: did you mean 'axis'? usage: mean(a, axis=None, dtype=None, keepdims=False)",
        ),
        (
            "f.mean(0, axis=1)",
            "mean got the argument 'axis' twice\n --> test.lz:1:11\n  |\n1 | f.mean(0, axis=1)\n  |           ^^^^\n  = help: usage: mean(a, axis=None, dtype=None, keepdims=False)",
        ),
        (
            "where(f > 0, f)",
            "where needs the argument 'y'\n --> test.lz:1:1\n  |\n1 | where(f > 0, f)\n  | ^^^^^\n  = help: usage: where(condition, x, y)",
        ),
        (
            "sin(f, f)",
            "sin takes at most 1 arguments\n --> test.lz:1:8\n  |\n1 | sin(f, f)\n  |        ^\n  = help: usage: sin(x)",
        ),
        (
            "f + d[:, :, :2]",
            "cannot broadcast [2, 3] with [4, 2, 2]\n --> test.lz:1:3\n  |\n1 | f + d[:, :, :2]\n  |   ^\n  = left: float32 [2, 3]\n  = right: float64 [4, 2, 2]\n  = help: dimensions must be equal or 1, aligned from the right",
        ),
        (
            "f > 0 & f < 1",
            "bitwise_and is not defined for float32\n --> test.lz:1:7\n  |\n1 | f > 0 & f < 1\n  |       ^\n  = left: int64 []\n  = right: float32 [2, 3]\n  = help: '&' binds tighter than comparisons: write (a < b) & (c < d)",
        ),
        (
            "f ^ 2",
            "bitwise_xor is not defined for float32\n --> test.lz:1:3\n  |\n1 | f ^ 2\n  |   ^\n  = left: float32 [2, 3]\n  = right: int64 []\n  = help: a power is written '**'",
        ),
        (
            "f[2]",
            "index 2 is out of range for axis 0 of extent 2\n --> test.lz:1:2\n  |\n1 | f[2]\n  |  ^^^\n  = operand: float32 [2, 3]",
        ),
        (
            "f[f > 0]",
            "an index must be an integer, a slice, None or '...'\n --> test.lz:1:3\n  |\n1 | f[f > 0]\n  |   ^^^^^\n  = help: to choose by a condition, use where(condition, a, b)",
        ),
        (
            "min(f, f)",
            "'axis' of min must be an integer, not an array\n --> test.lz:1:8\n  |\n1 | min(f, f)\n  |        ^\n  = help: of two arrays: minimum(a, b)",
        ),
        (
            "f.astype('flaot32')",
            "there is no dtype 'flaot32'\n --> test.lz:1:10\n  |\n1 | f.astype('flaot32')\n  |          ^^^^^^^^^\n  = help: did you mean 'float32'?",
        ),
        (
            "f.mean",
            "arrays have no attribute 'mean'\n --> test.lz:1:3\n  |\n1 | f.mean\n  |   ^^^^\n  = help: it is a method: write .mean()",
        ),
        ("sin + 1", "'sin' is a function\n --> test.lz:1:1\n  |\n1 | sin + 1\n  | ^^^\n  = help: call it: sin(x)"),
        ("True = 1", "'True' cannot be assigned\n --> test.lz:1:1\n  |\n1 | True = 1\n  | ^^^^"),
        (
            "f.clip(a_mn=0)",
            "clip has no argument 'a_mn'\n --> test.lz:1:8\n  |\n1 | f.clip(a_mn=0)\n  |        ^^^^\n  = help: did you mean 'a_min'? usage: clip(a, a_min=None, a_max=None)",
        ),
        (
            "u + 300",
            "the integer 300 does not fit uint8\n --> test.lz:1:3\n  |\n1 | u + 300\n  |   ^\n  = left: uint8 [2, 3]\n  = right: int64 []\n  = help: use a value in range, or convert the array to a wider dtype with astype",
        ),
    ];
    for (text, shown) in cases {
        assert_eq!(run(text).map(|_| ()).unwrap_err(), shown, "{text}");
    }
}

#[test]
fn wrong_arguments_are_errors() {
    for text in [
        "reshape(f)",
        "f.reshape('a')",
        "f.reshape(2.0, 3)",
        "f.sum(axis=True)",
        "f.sum(axis=0.0)",
        "f.sum(keepdims=2)",
        "f.sum(0, 1)",
        "f.sum(axis=0, 1)",
        "zeros()",
        "zeros(f)",
        "zeros((2, -1))",
        "zeros((10**10, 10**10))",
        "zeros(3, 4)",
        "full(3)",
        "eye(-1)",
        "eye(2.5)",
        "arange()",
        "arange(f)",
        "linspace(0)",
        "linspace(0, 1, -1)",
        "linspace(0, 1, 2*10**18)",
        "arange(2*10**18)",
        "astype(f)",
        "f.astype(3)",
        "swapaxes(f, 0)",
        "f.transpose(0)",
        "f.zeros(3)",
        "f.arange(3)",
        "f.where(1, 2)",
        "f.float32()",
        "diff(f, n=-1)",
        "diff(f, n=10**6)",
        "round(f, 10**6)",
        "f.round(400)",
        "f[0.5]",
        "f['a']",
        "f[1:2.5]",
        "f[True]",
        "f[...][..., ...]",
        "f[0][0][0]",
        "f[(0, 0, 0)]",
        "f.T.foo",
        "np.foo",
        "np.sin",
        "np.foo(1)",
        "np",
        "f.np",
        "(1, 2) + 1",
        "f + None",
        "f + 'a'",
        "f + float32",
        "sin('a')",
        "sin(None)",
        "sin()",
        "f.shape[5]",
        "f.shape[0:1]",
        "(1, 2).T",
        "'a'.T",
        "x = x",
        "f.dtype + 1",
        "sum()",
        "dot(f)",
        "expand_dims(f, 5)",
        "squeeze(f, axis=5)",
        "flipud(z)",
        "z.mT",
        "[1, 2](0)",
    ] {
        assert!(run(text).is_err(), "{text}");
    }
}

#[test]
fn a_long_program_is_linear_and_bounded() {
    let chain = format!("f{}", " + f".repeat(20_000));
    assert_eq!(last(&chain).shape().to_vec(), [2, 3]);
    let doubling = format!("x = f\n{}x", "x = x + x\n".repeat(10_000));
    assert_eq!(last(&doubling).shape().to_vec(), [2, 3]);
}

const FRAGMENTS: &[&str] = &[
    "f",
    "u",
    "d",
    "i",
    "b",
    "z",
    "s",
    "w",
    "n",
    "q",
    "2",
    "0.5",
    "-1",
    "None",
    "...",
    "(1, 2)",
    "[1, 2, 3]",
    "[[1], [2]]",
    "True",
    "float32",
    "'int8'",
    "np.pi",
    "1e400",
    "10**30",
    "f.shape",
    "(0, 1)",
    "()",
    "[]",
    "nan",
];
const OPERATORS: &[&str] =
    &["+", "-", "*", "/", "//", "%", "@", "**", "<<", ">>", "&", "|", "^", "<", "<=", "==", "!="];

/// Programs that are well formed, but mostly not well typed.
fn programs() -> impl Strategy<Value = String> {
    let names: Vec<&'static str> = function_names().collect();
    let leaf = prop::sample::select(FRAGMENTS).prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let names = names.clone();
        prop_oneof![
            (inner.clone(), prop::sample::select(OPERATORS), inner.clone())
                .prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (prop::sample::select(&["-", "+", "~"][..]), inner.clone()).prop_map(|(op, a)| format!("{op}{a}")),
            (prop::sample::select(names.clone()), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(f, a)| format!("{f}({})", a.join(", "))),
            (inner.clone(), prop::sample::select(names.clone()), prop::collection::vec(inner.clone(), 0..3))
                .prop_map(|(x, f, a)| format!("({x}).{f}({})", a.join(", "))),
            (
                inner.clone(),
                prop::sample::select(names),
                prop::sample::select(&["axis", "keepdims", "dtype", "shape", "k", "n", "ddof"][..]),
                inner.clone()
            )
                .prop_map(|(x, f, k, v)| format!("{f}({x}, {k}={v})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(x, a, b)| format!("({x})[{a}:{b}, {a}]")),
            (inner.clone(), inner.clone()).prop_map(|(x, a)| format!("({x})[{a}]")),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} < {b} < {c})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn well_formed_programs_never_panic(text in programs()) {
        match run(&text) {
            Ok(outcome) => prop_assert!(outcome.results.len() == 1),
            Err(shown) => prop_assert!(shown.contains('^'), "{}", shown),
        }
    }

    /// A program with a few characters removed, doubled or swapped.
    #[test]
    fn mutated_programs_never_panic(edits in prop::collection::vec((0usize..400, 0u8..3), 1..12)) {
        let text = "z = f.astype(float32)\ngx = (w[1:-1, 2:] - w[1:-1, :-2]) / (2 * 75.0)\ns = sqrt(gx**2 + 1).mean(axis=(0, 1), keepdims=True)\nwhere(s > 0.5, s, [1, 2.5][0])";
        let mut chars: Vec<char> = text.chars().collect();
        for (at, what) in edits {
            let at = at % chars.len();
            match what {
                0 => { chars.remove(at); }
                1 => { let c = chars[at]; chars.insert(at, c); }
                _ => { let other = (at * 7 + 3) % chars.len(); chars.swap(at, other); }
            }
        }
        let text: String = chars.into_iter().collect();
        if let Err(shown) = run(&text) {
            prop_assert!(shown.contains('^'), "{}", shown);
        }
    }
}

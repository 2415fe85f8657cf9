//! The command as it is run: results, files, errors and exit codes.
#![allow(clippy::unwrap_used)]

use lazuli::runtime::{npy, npz};
use lazuli::{DType, Tensor};
use std::path::Path;
use std::process::{Command, Output};

struct Run {
    code: i32,
    out: String,
    err: String,
}

fn lazuli_in(dir: &Path, args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lazuli"));
    command.current_dir(dir).args(args);
    // What the tester has set must not decide.
    for (name, _) in std::env::vars().filter(|(n, _)| n.starts_with("LAZULI_")) {
        command.env_remove(name);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run { code: status.code().unwrap(), out: text(stdout), err: text(stderr) }
}

/// The printed result of `eval`.
fn eval(args: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let run = lazuli_in(dir.path(), &[&["eval"], args].concat());
    assert_eq!((run.code, run.err.as_str()), (0, ""), "{args:?}");
    run.out
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn results_print_as_numpy_prints_them() {
    assert_eq!(eval(&["2**0.5"]), "1.4142135623730951\n");
    assert_eq!(eval(&["sqrt(x**2 + y**2)", "x=3", "y=4"]), "5.0\n");
    assert_eq!(eval(&["-x + [1, 2]", "x=-3"]), "[4 5]\n");
    assert_eq!(eval(&["arange(6).reshape(2, 3) / 2"]), "[[0.  0.5 1. ]\n [1.5 2.  2.5]]\n");
    assert_eq!(eval(&["x = 3; y = x + 1"]), "4\n");
    assert_eq!(eval(&["x = 3; y = x + 1; y", "x=10"]), "11\n");
    assert_eq!(eval(&["arange(10**6)"]), "[     0      1      2 ... 999997 999998 999999]\n");
    assert_eq!(eval(&["1 < arange(4) < 3"]), "[False False  True False]\n");
    assert_eq!(eval(&["zeros((0, 3))"]), "[]\n");
}

#[test]
fn numbers_come_out_right() {
    // Exact in float64, so that every backend and precision agrees to the last digit.
    for config in
        [&["--backend", "interp"][..], &["--backend", "clif"], &["--threads", "1"], &["--precision", "precise"]]
    {
        let run = |text: &str| eval(&[&[text], config].concat());
        assert_eq!(run("arange(10).sum()"), "45\n");
        assert_eq!(run("arange(10.0).mean()"), "4.5\n");
        assert_eq!(run("arange(1, 5).var()"), "1.25\n");
        assert_eq!(run("[1, 2, 3, 4].std(ddof=1) ** 2 * 3 - 5 < 1e-12"), "True\n");
        assert_eq!(run("var([1, 2, 3, 4], ddof=1) * 3"), "5.0\n");
        assert_eq!(run("eye(3, k=1).T"), "[[0. 0. 0.]\n [1. 0. 0.]\n [0. 1. 0.]]\n");
        assert_eq!(run("eye(2, 4, -1, dtype=int)"), "[[0 0 0 0]\n [1 0 0 0]]\n");
        assert_eq!(run("linspace(0, 1, 5)"), "[0.   0.25 0.5  0.75 1.  ]\n");
        assert_eq!(run("linspace(0, 1, 4, endpoint=False)"), "[0.   0.25 0.5  0.75]\n");
        assert_eq!(run("linspace(-3.3, 0.1, 7)[-1] == 0.1"), "True\n");
        assert_eq!(run("arange(10, 0, -3)"), "[10  7  4  1]\n");
        assert_eq!(run("arange(0, 1, 0.1)[3]"), "0.30000000000000004\n");
        assert_eq!(run("arange(6).reshape(2, 3) @ arange(3)"), "[ 5 14]\n");
        assert_eq!(run("arange(3) @ arange(3)"), "5\n");
        assert_eq!(run("[[1, 2], [3, 4]] @ [[0.5], [1]]"), "[[2.5]\n [5.5]]\n");
        assert_eq!(run("outer([1, 2], [3, 4])"), "[[3 4]\n [6 8]]\n");
        assert_eq!(run("clip(arange(5), 1, 3)"), "[1 1 2 3 3]\n");
        assert_eq!(run("round([2.675, -1.25, 1e300], 1)"), "[ 2.7e+000 -1.2e+000  1.0e+300]\n");
        assert_eq!(run("round([1234, 1250, -1350], -2)"), "[ 1200  1200 -1400]\n");
        assert_eq!(run("diff([1, 4, 9, 16], 2)"), "[2 2]\n");
        assert_eq!(run("cumsum([[1, 2], [3, 4]], axis=1)"), "[[1 3]\n [3 7]]\n");
        assert_eq!(run("argmax([3, 9, 2])"), "1\n");
        assert_eq!(run("count_nonzero([0, nan, 2])"), "2\n");
        assert_eq!(run("ones(0).mean()"), "nan\n");
        assert_eq!(run("(arange(4) ** 2)[::-1]"), "[9 4 1 0]\n");
        assert_eq!(run("array([4.0, -0.0]) ** 0.5"), "[ 2. -0.]\n");
        assert_eq!(run("where(arange(4) % 2 == 0, arange(4), -1)"), "[ 0 -1  2 -1]\n");
        assert_eq!(run("deg2rad(180.0) == pi"), "True\n");
    }
}

#[test]
fn files_in_and_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let run = |args: &[&str]| {
        let run = lazuli_in(dir.path(), &[&["eval"], args].concat());
        assert_eq!((run.code, run.out.as_str(), run.err.as_str()), (0, "", ""), "{args:?}");
    };
    npy::write(path("a.npy"), &Tensor::from_vec(&[2, 3], vec![1f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()).unwrap();
    run(&["x.T * 2", "x=a.npy", "-o", "b.npy"]);
    let b = npy::read(path("b.npy")).unwrap();
    assert_eq!((b.dtype(), b.shape().to_vec()), (DType::F32, vec![3, 2]));
    assert_eq!(b.to_vec::<f32>().unwrap(), [2.0, 8.0, 4.0, 10.0, 6.0, 12.0]);

    // All named results but the private ones, and the last.
    run(&["_t = x + 1; low = _t.min(); n = 3; _t.max()", "x=a.npy", "-o", "c.npz"]);
    let c = npz::open(path("c.npz")).unwrap();
    assert_eq!(c.names(), ["low", "n", "result"]);
    assert_eq!(c.read("result").unwrap().item().unwrap().as_f64(), 7.0);
    assert_eq!(c.read("low").unwrap().dtype(), DType::F32);

    // By name: several files, and several entries of one.
    run(&["m = x.mean(); s = x.sum(); x", "x=a.npy", "-o", "m=m.npy", "-o", "s=d.npz", "-o", "m=d.npz", "-o", "p.png"]);
    assert_eq!(npz::open(path("d.npz")).unwrap().names(), ["s", "m"]);
    assert_eq!(npy::read(path("m.npy")).unwrap().item().unwrap().as_f64(), 3.5);
    assert_eq!(&std::fs::read(path("p.png")).unwrap()[1..4], b"PNG");

    // One array needs no name; several do.
    run(&["x", "x=c.npz:low", "-o", "e.npz"]);
    run(&["x", "x=e.npz", "-o", "f.npy"]);
    let bad = lazuli_in(dir.path(), &["eval", "x", "x=c.npz"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.contains("low, n, result") && bad.err.contains("x=c.npz:low"), "{}", bad.err);

    // A program in a file; its name is in its errors.
    std::fs::write(path("p.lz"), "# twice\ny = x * 2\ny + z\n").unwrap();
    let bad = lazuli_in(dir.path(), &["eval", "-f", "p.lz", "x=a.npy"]);
    assert_eq!(bad.code, 1);
    assert!(bad.err.starts_with("error: unknown name 'z'\n --> p.lz:3:5\n"), "{}", bad.err);
    run(&["-f", "p.lz", "x=a.npy", "z=1", "-o", "g.npy"]);
}

#[test]
fn faults_have_a_message_and_exit_code_1_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    npy::write(path("a.npy"), &Tensor::from_vec(&[4], vec![1f64, 2.0, 3.0, 4.0]).unwrap()).unwrap();
    let whole = std::fs::read(path("a.npy")).unwrap();
    std::fs::write(path("cut.npy"), &whole[..whole.len() - 1]).unwrap();
    std::fs::write(path("junk.npz"), b"PK nothing").unwrap();
    std::fs::write(path("old.png"), b"old").unwrap();
    std::fs::write(path("deep.lz"), format!("{}1{}", "(".repeat(100_000), ")".repeat(100_000))).unwrap();
    let before = files(dir.path());
    for (args, part) in [
        (&["x + [1, 2]", "x=a.npy"][..], "cannot broadcast [4] with [2]\n --> <expression>:1:3"),
        (&["x & 1", "x=a.npy"], "bitwise_and is not defined for float64"),
        (&["y"], "unknown name 'y'"),
        (&["x[9]", "x=a.npy"], "index 9 is out of range"),
        (&["zeros((10**10, 10**10))"], "overflows"),
        (&["-f", "deep.lz"], "nests deeper"),
        (&["x", "x=missing.npy"], "missing.npy: "),
        (&["x", "x=cut.npy"], "cut.npy: truncated"),
        (&["x", "x=junk.npz:y"], "junk.npz: "),
        (&["x", "x=y"], "input 'x': 'y' is no number"),
        (&["-f", "missing.lz"], "missing.lz: "),
        (&["x", "x=a.npy", "-o", "y=b.npy"], "there is no result 'y'"),
        (&["x", "x=a.npy", "-o", "missing/b.npy"], "missing"),
        // The second output is at fault; the first must not appear.
        (&["x", "x=a.npy", "-o", "b.npy", "-o", "old.png"], "old.png: "),
        (&["ones((1000, 1000)) + x[0]", "x=a.npy", "--memory-limit", "1M", "-o", "b.npy"], "limit"),
        (&["ones(10**17)", "-o", "b.npy"], ""),
    ] {
        let run = lazuli_in(dir.path(), &[&["eval"], args].concat());
        let shown: String = run.err.chars().take(500).collect();
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{shown}");
        assert!(run.err.starts_with("error: ") && run.err.contains(part), "{part}: {shown}");
        assert!(!run.err.contains("panicked"), "{shown}");
        assert_eq!(files(dir.path()), before, "{part}");
    }
    assert_eq!(std::fs::read(path("old.png")).unwrap(), b"old");
}

#[test]
fn a_senseless_command_line_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &[][..],
        &["frobnicate"],
        &["eval"],
        &["eval", "x", "-o", "a.jpg"],
        &["eval", "x", "1"],
        &["eval", "x", "--threads", "many"],
        &["eval", "x", "--target", "z80"],
        &["eval", "-f", "a.lz", "x + 1"],
        &["explain", "x", "--level", "deep"],
    ] {
        let run = lazuli_in(dir.path(), args);
        assert_eq!((run.code, run.out.as_str()), (2, ""), "{args:?}");
        assert!(run.err.contains("--help"), "{args:?}: {}", run.err);
    }
    assert_eq!(lazuli_in(dir.path(), &["--version"]).code, 0);
    assert!(lazuli_in(dir.path(), &["eval", "--help"]).out.contains("NAME=VALUE"));
}

#[test]
fn unused_inputs_are_told_of_and_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let run = lazuli_in(dir.path(), &["eval", "x + 1", "x=1", "y=missing.npy"]);
    assert_eq!((run.code, run.out.as_str()), (0, "2\n"));
    assert_eq!(run.err, "warning: the input 'y' is not used\n");
}

#[test]
fn explain_shows_every_level_and_computes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let explain = |args: &[&str]| {
        let run = lazuli_in(dir.path(), &[&["explain", "exp(x) * 2 + x.sum()", "x=[1.5, 2.5][0] + 1"], args].concat());
        (run.code, run.out)
    };
    // An input is a number or a file: an array among its literals is neither.
    assert_eq!(explain(&[]).0, 1);
    let text = "exp(linspace(0, 1, 100000)).sum() * 2";
    let explain = |args: &[&str]| {
        let run = lazuli_in(dir.path(), &[&["explain", text], args].concat());
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        run.out
    };
    let graph = explain(&["--level", "graph"]);
    assert!(graph.contains("graph as built") && graph.contains("passes:") && graph.contains("fusion:"), "{graph}");
    assert!(!graph.contains(".rs:"), "places in the evaluator are nobody's business: {graph}");
    let kernel = explain(&[]);
    assert!(kernel.contains("lane program") && !kernel.contains("clif:"), "{kernel}");
    assert!(explain(&["--level", "clif"]).contains("clif:"));
    assert!(explain(&["--level", "asm"]).contains("machine code"));
    assert!(explain(&["--dot"]).starts_with("digraph"));
    explain(&["-o", "x.npy"]);
    assert!(files(dir.path()).is_empty());
    let run = lazuli_in(dir.path(), &["eval", "2 + 3", "--explain", "--time"]);
    assert_eq!((run.code, run.out.as_str()), (0, "5\n"));
    assert!(
        run.err.contains("graph as built") && run.err.contains("compute") && run.err.contains(" ms"),
        "{}",
        run.err
    );
}

#[test]
fn info_names_the_targets() {
    let dir = tempfile::tempdir().unwrap();
    let run = lazuli_in(dir.path(), &["info"]);
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    for part in ["lazuli", "cpu", "features", "caches", "threads", "precision", "target", "native", "interp"] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
}

/// The relief of a plane is known: the cosine of the angle between its normal and the light.
#[test]
fn the_hillshade_of_planes() {
    let dir = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let program = root.join("docs/examples/hillshade.lz");
    let program = program.to_str().unwrap();
    // Cells of one metre at the equator, so that the ground rises by one metre a metre along its gradient.
    let cell = "dx=1/111320 dy=1/111320 ymin=0 ymax=0".split(' ').collect::<Vec<_>>();
    let half = std::f64::consts::FRAC_1_SQRT_2;
    for (name, east, south, light) in [
        ("flat", 0.0, 0.0, half),
        ("faces north-west", half, half, 1.0),
        ("faces south-east", -half, -half, 0.0),
        // Across the light, the ground is only inclined to it.
        ("faces north-east", -half, half, 0.5),
        ("faces south-west", half, -half, 0.5),
        ("faces north", 0.0, 1.0, 0.5 + half / 2.0),
        ("faces west", 1.0, 0.0, 0.5 + half / 2.0),
        ("faces south", 0.0, -1.0, 0.5 - half / 2.0),
    ] {
        let plane = format!("arange(5) * {east} + (arange(4) * {south})[:, None]");
        assert_eq!(lazuli_in(dir.path(), &["eval", &plane, "-o", "z.npy"]).code, 0);
        let args = [&["eval", "-f", program, "elev=z.npy", "-o", "s.npy"][..], &cell].concat();
        let run = lazuli_in(dir.path(), &args);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{name}");
        let shade = npy::read(dir.path().join("s.npy")).unwrap();
        assert_eq!((shade.dtype(), shade.shape().to_vec()), (DType::F32, vec![2, 3]), "{name}");
        for value in shade.iter_scalars().map(|s| s.as_f64()) {
            assert!((value - light).abs() < 1e-5, "{name}: {value}, not {light}");
        }
    }
    // The real thing.
    let data = root.join("docs/data/jacksboro_dem.npz").to_str().unwrap().to_owned() + ":elevation";
    let run = lazuli_in(
        dir.path(),
        &["eval", "-f", program, &format!("elev={data}"), "-o", "relief.png", "-o", "relief.npy"],
    );
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let shade = npy::read(dir.path().join("relief.npy")).unwrap();
    assert_eq!((shade.dtype(), shade.shape().to_vec()), (DType::F32, vec![342, 401]));
    let values: Vec<f32> = shade.to_vec().unwrap();
    let (low, high) = values.iter().fold((1f32, 0f32), |(l, h), &v| (l.min(v), h.max(v)));
    // As NumPy computes them.
    assert!((low - 0.177_698_03).abs() < 1e-6 && (high - 0.978_230_06).abs() < 1e-6, "{low} {high}");
}

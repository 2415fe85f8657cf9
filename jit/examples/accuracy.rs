//! Measures the vector math library, and prints the page `docs/accuracy.md`; `cargo xtask accuracy` runs it.
//!
//! usage: accuracy [--step N] [--cost] [--filter NAME] [--at X [Y]]
//!
//! Functions of one `float32` are measured at every argument (`--step`: at every Nth), those of one 16-bit float
//! too, the rest at samples. `--cost` prints nothing but the numbers of instructions, `--at`
//! nothing but the results at one place. The exit code is 1 where an error
//! is above its bound in `math::accuracy`.

use half::{bf16, f16};
use lazuli_jit::math::accuracy::{FUNCTIONS, Function, Measure, Random};
use lazuli_jit::{Precision, Ty};
use std::process::ExitCode;

const PRECISIONS: [Precision; 2] = [Precision::Standard, Precision::Fast];
/// Arguments measured at a time.
const BLOCK: u64 = 1 << 16;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let flag = |name: &str| args.iter().any(|a| a == name);
    let filter = args.iter().position(|a| a == "--filter").and_then(|i| args.get(i + 1));
    let chosen: Vec<_> = FUNCTIONS.iter().filter(|f| filter.is_none_or(|t| f.name.contains(t.as_str()))).collect();
    if let Some(at) = args.iter().position(|a| a == "--at") {
        let x: Vec<f64> = args[at + 1..].iter().filter_map(|a| a.parse().ok()).collect();
        let (x, y) = (x.first().copied().unwrap_or(0.0), x.get(1).copied().unwrap_or(0.0));
        for (f, precision) in chosen.iter().flat_map(|f| PRECISIONS.map(|p| (*f, p))) {
            let (short_x, short_y) = (x as f32, y as f32);
            let (long, short) = (f.eval64(precision, &[x], &[y])[0], f.eval32(precision, &[short_x], &[short_y])[0]);
            println!(
                "{} {precision}: {long:e}, right {:e}; float32 {short:e}, right {:e}",
                f.name,
                f.right64(x, y),
                f.right32(short_x, short_y)
            );
        }
        return ExitCode::SUCCESS;
    }
    if flag("--cost") {
        costs(&chosen);
        return ExitCode::SUCCESS;
    }
    let step =
        args.iter().position(|a| a == "--step").and_then(|i| args.get(i + 1)?.parse().ok()).unwrap_or(1u64).max(1);
    let mut right = true;
    let every = if step == 1 { "every argument there is".to_owned() } else { format!("one of {step} arguments") };
    print!("{}", HEADER.replace("EVERY", &every));
    for (f, precision) in chosen.iter().flat_map(|f| PRECISIONS.map(|p| (*f, p))) {
        let rows =
            [("float64", Ty::F64, doubles(f, precision, step)), ("float32", Ty::F32, singles(f, precision, step))];
        for (dtype, ty, m) in rows {
            let bound = f.bound(ty, precision);
            // Of `F64` the steps from the correctly rounded result are known, which is half a unit off at most.
            let mut found = match ty {
                Ty::F64 if m.worst == 0.0 => "0 steps".to_owned(),
                Ty::F64 => format!("{} step{}", m.worst, if m.worst == 1.0 { "" } else { "s" }),
                _ => format!("{:.3}", m.worst),
            };
            let limit = if ty == Ty::F64 { (bound + 0.5).floor() } else { bound };
            if m.worst > limit {
                right = false;
                eprintln!("{} of {dtype} in {precision}: {found}, bound {bound}", f.name);
                found = format!("**{found}**");
            }
            let mean = if ty == Ty::F32 { format!("{:.3}", m.mean.value()) } else { String::new() };
            println!(
                "| `{}` | {dtype} | {precision} | {bound} | {found} | {} | {mean} | {:.2} % | {} |",
                f.name,
                argument(f, m),
                100.0 - 100.0 * m.misrounded as f64 / m.count as f64,
                f.cost(ty, precision)
            );
        }
    }
    print!("{HALVES}");
    for f in chosen.iter().filter(|f| f.arity() == 1) {
        let (half, brain) = (
            halves(f, f16::from_bits, f16::to_f32, f16::from_f64),
            halves(f, bf16::from_bits, bf16::to_f32, bf16::from_f64),
        );
        println!("| `{}` | {half} | {brain} |", f.name);
    }
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const HEADER: &str = "\
<!-- Written by `cargo xtask accuracy`. -->
# Accuracy

Errors of the functions in units in the last place (ULP). `float32` functions of one argument were compared with the
correctly rounded result at EVERY; functions of two, and those of `float64`, at samples: the range
where they are interesting, all exponents alike, all bit patterns, the neighbours of special values and of multiples of
pi/2. For `float64` the column *found* counts steps between the result and the correctly rounded one; the bounds are
fractions measured against MPFR. The tests hold every function to its bound, at samples;
what stands in bold is above it, and a defect. *Instructions* are those of the lane program
for one vector as AVX-512 has them (elsewhere up to seven stand for one that puts an exponent in or takes it out),
constants, loads and negations in an FMA aside; 64-bit lanes count twice in a `float32` function. In `fast`,
subnormal arguments may count as zero, and results below twice the smallest normal number may be zero. The error
of `logaddexp` is in units of the largest of the operands and the result, as the sum may cancel.

| function | dtype | precision | bound | found | at | mean | correctly rounded | instructions |
|---|---|---|--:|--:|---|--:|--:|--:|
";

const HALVES: &str = "
## 16-bit floats

Computed in `float32` and rounded: results, of all 65536 arguments, that are not correctly rounded.

| function | `float16` | `bfloat16` |
|---|--:|--:|
";

fn costs(chosen: &[&Function]) {
    println!("{:10} {:>9} {:>9} {:>9} {:>9}", "", "f64", "f64 fast", "f32", "f32 fast");
    for f in chosen {
        print!("{:10}", f.name);
        for (ty, precision) in [Ty::F64, Ty::F32].into_iter().flat_map(|t| PRECISIONS.map(|p| (t, p))) {
            print!(" {:9}", f.cost(ty, precision));
        }
        println!();
    }
}

fn argument(f: &Function, m: Measure) -> String {
    match f.arity() {
        _ if m.worst == 0.0 => String::new(),
        1 => format!("{:?}", m.at.0),
        _ => format!("{:?}, {:?}", m.at.0, m.at.1),
    }
}

/// Measures parts on all threads.
fn parallel(parts: u64, part: impl Fn(u64) -> Measure + Sync) -> Measure {
    let threads = std::thread::available_parallelism().map_or(1, usize::from) as u64;
    let next = std::sync::atomic::AtomicU64::new(0);
    let work = || {
        let mut m = Measure::default();
        loop {
            let i = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if i >= parts {
                return m;
            }
            m = m.merge(part(i));
        }
    };
    std::thread::scope(|s| {
        let handles: Vec<_> = (0..threads).map(|_| s.spawn(work)).collect();
        let all = handles.into_iter().map(|h| h.join().expect("measuring does not panic"));
        all.fold(Measure::default(), Measure::merge)
    })
}

fn singles(f: &Function, precision: Precision, step: u64) -> Measure {
    if f.arity() == 2 {
        return parallel(if step > 100 { 4 } else { 64 }, |seed| {
            let (xs, ys) = f.sample(60_000, 100 + seed);
            let narrow = |v: Vec<f64>| v.into_iter().map(|x| x as f32).collect::<Vec<_>>();
            let (mut xs, mut ys) = (narrow(xs), narrow(ys));
            let mut random = Random::new(200 + seed);
            let mut bits = |n: usize| (0..n).map(|_| f32::from_bits(random.bits() as u32)).collect::<Vec<_>>();
            xs.extend(bits(40_000));
            ys.extend(bits(40_000));
            f.measure32(precision, &xs, &ys)
        });
    }
    parallel((1 << 32) / (BLOCK * step) + 1, |i| {
        let bits = (i * BLOCK * step..(i + 1) * BLOCK * step).step_by(step as usize);
        let xs: Vec<f32> = bits.filter_map(|b| u32::try_from(b).ok()).map(f32::from_bits).collect();
        f.measure32(precision, &xs, &[])
    })
}

fn doubles(f: &Function, precision: Precision, step: u64) -> Measure {
    parallel(if step > 100 { 2 } else { 32 }, |seed| {
        let (xs, ys) = f.sample(60_000, 300 + seed);
        f.measure64(precision, &xs, &ys)
    })
}

/// How many results of a 16-bit float are not the nearest.
fn halves<T: Copy>(f: &Function, bits: fn(u16) -> T, widen: fn(T) -> f32, narrow: fn(f64) -> T) -> usize {
    let xs: Vec<f32> = (0..=u16::MAX).map(|b| widen(bits(b))).collect();
    let got = f.eval32(Precision::Standard, &xs, &[]);
    let wrong = |(&x, got): (&f32, f32)| {
        let (got, right) = (widen(narrow(got as f64)), widen(narrow(f.right64(x as f64, 0.0))));
        got.to_bits() != right.to_bits() && !(got.is_nan() && right.is_nan())
    };
    xs.iter().zip(got).filter(|&(x, got)| wrong((x, got))).count()
}

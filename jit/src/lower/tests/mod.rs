//! Every op on every dtype it accepts, against a second definition in plain Rust (`reference.rs`), on edge values and
//! random ones; and every cast against `Scalar::cast`.

mod reference;

use super::{cast, contract, map};
use crate::{Builder, Class, Interp, Kernel, Precision, Prim, Role, Slab, Ty, ValueId, eval_scalar};
use lazuli_graph::ops::{MAP_OPS, MapRow, Rule};
use lazuli_graph::{DType, Kind, MapOp, Scalar};
use reference::{Expected, expected};

/// A fixed sequence of numbers without pattern (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn within(&mut self, (low, high): (f64, f64)) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Where dtypes have their corners: the ends of their ranges, zeros, units, ties, subnormals, infinities, NaN.
fn edges(dtype: DType) -> Vec<Scalar> {
    let width = 8 * dtype.size() as u32;
    match dtype.kind() {
        Kind::Bool => [0, 1].map(|x| Scalar::from_bits(dtype, x)).to_vec(),
        Kind::Signed | Kind::Unsigned => {
            let top = 1i64.unbounded_shl(width - 1);
            let near_zero = -4..=8;
            let near_top = [-2, -1, 0, 1].map(|d| Scalar::from_i64(dtype, top.wrapping_add(d)));
            let shifts = [width as i64 - 1, width as i64, width as i64 + 1, -(width as i64), 100];
            let small = near_zero.chain(shifts).map(|x| Scalar::from_i64(dtype, x));
            small.chain(near_top).collect()
        }
        Kind::Float => {
            let magnitudes = [
                0.0,
                0.25,
                0.5,
                0.75,
                1.0,
                1.5,
                2.0,
                2.5,
                3.0,
                3.5,
                7.0,
                10.0,
                100.5,
                std::f64::consts::PI,
                1e-3,
                1.0 / 3.0,
                65504.0,
                65519.0,
                1e10,
                f64::INFINITY,
                f64::NAN,
            ];
            let signed = magnitudes.into_iter().flat_map(|x| [x, -x]).map(|x| Scalar::from_f64(dtype, x));
            let infinity = Scalar::from_f64(dtype, f64::INFINITY).bits();
            let one = Scalar::from_f64(dtype, 1.0).bits();
            let lowest_normal = infinity & infinity.wrapping_neg();
            let odd_bits = [1, 2, lowest_normal - 1, lowest_normal, lowest_normal + 1, infinity - 1, one - 1, one + 1];
            let sign = 1u64 << (width - 1);
            signed
                .chain(odd_bits.into_iter().flat_map(|x| [x, x | sign]).map(|x| Scalar::from_bits(dtype, x)))
                .collect()
        }
    }
}

fn random(dtype: DType, domain: (f64, f64), random: &mut Random) -> Scalar {
    match dtype.kind() {
        Kind::Bool => Scalar::from_bits(dtype, random.next() & 1),
        Kind::Float if !random.next().is_multiple_of(4) => Scalar::from_f64(dtype, random.within(domain)),
        Kind::Signed | Kind::Unsigned if random.next().is_multiple_of(2) => {
            Scalar::from_f64(dtype, random.within(domain))
        }
        Kind::Signed | Kind::Unsigned | Kind::Float => Scalar::from_bits(dtype, random.next()),
    }
}

/// Lists of arguments for an op: every pair of edges, and random ones.
fn samples(row: &MapRow, dtype: DType) -> Vec<Vec<Scalar>> {
    let r = &mut Random(row.op as u64 * 64 + dtype as u64);
    let edges = edges(dtype);
    let mut lists: Vec<Vec<Scalar>> = match row.arity {
        1 => edges.iter().map(|&x| vec![x]).collect(),
        2 => edges.iter().flat_map(|&x| edges.iter().map(move |&y| vec![x, y])).collect(),
        _ => {
            let bool = |b| Scalar::from_bits(DType::Bool, b as u64);
            edges.iter().flat_map(|&x| [false, true].map(|c| vec![bool(c), x, edges[0]])).collect()
        }
    };
    if row.arity < 3 {
        lists.extend((0..300).map(|_| (0..row.arity).map(|_| random(dtype, row.domain, r)).collect()));
    }
    lists
}

fn kernel(op: MapOp, dtype: DType, precision: Precision) -> Kernel {
    let mut b = Builder::new();
    let (_, result) = op.row().rule.apply(dtype).unwrap();
    let args: Vec<_> = (0..op.row().arity)
        .map(|i| {
            let condition = op.row().rule == Rule::Select && i == 0;
            let operand = b.operand(Role::Input, if condition { DType::Bool } else { dtype }, Class::Contiguous);
            b.load(operand)
        })
        .collect();
    let value = map(&mut b, op, dtype, &args, precision);
    assert_eq!(b.ty(value), Ty::of(result), "{op} {dtype}");
    let output = b.operand(Role::Output, result, Class::Contiguous);
    b.store(output, value);
    b.finish()
}

fn evaluate(kernel: &Kernel, args: &[Scalar]) -> Scalar {
    eval_scalar(kernel, args)[0]
}

/// The result for each list of arguments; all in one run of the interpreter.
#[allow(unsafe_code)]
fn evaluate_all(kernel: &Kernel, lists: &[Vec<Scalar>]) -> Vec<Scalar> {
    let (inputs, output) = (kernel.operands.len() - 1, kernel.operands[kernel.operands.len() - 1]);
    let mut columns: Vec<Vec<u8>> = (0..inputs)
        .map(|i| {
            let size = kernel.operands[i].dtype.size();
            let skip = if cfg!(target_endian = "big") { 8 - size } else { 0 };
            lists.iter().flat_map(|args| args[i].bits().to_ne_bytes().into_iter().skip(skip).take(size)).collect()
        })
        .collect();
    let size = output.dtype.size();
    columns.push(vec![0; lists.len() * size]);
    let mut slab = Slab::new(columns.len());
    slab.set_extents(lists.len(), 1);
    for (i, column) in columns.iter_mut().enumerate() {
        let step = kernel.operands[i].dtype.size() as isize;
        slab.set_operand(i, column.as_mut_ptr().expose_provenance() as u64, step, 0);
    }
    // SAFETY: every operand has a column of its own, with an element for each list.
    unsafe { Interp::new(kernel).run(&slab) };
    let bits = |cell: &[u8]| {
        let fold = |bits, &byte: &u8| bits << 8 | byte as u64;
        if cfg!(target_endian = "big") { cell.iter().fold(0, fold) } else { cell.iter().rev().fold(0, fold) }
    };
    columns[inputs].chunks(size).map(|cell| Scalar::from_bits(output.dtype, bits(cell))).collect()
}

/// Whether a result is what functions may do in `Fast`: to take a subnormal argument as zero, and to give zero for a
/// result below twice the smallest normal number.
fn flushed(op: MapOp, dtype: DType, args: &[Scalar], got: Scalar, want: Scalar) -> bool {
    let least = 2.0 * if dtype == DType::F64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE as f64 };
    let small = |x: Scalar| x.as_f64().abs() < least;
    let zero = |x: &Scalar| if small(*x) { Scalar::from_f64(dtype, 0.0f64.copysign(x.as_f64())) } else { *x };
    let args: Vec<Scalar> = args.iter().map(zero).collect();
    got.as_f64() == 0.0 && small(want)
        || matches!(expected(op, dtype, &args), Expected::Near(zero, _) if distance(got, zero) <= 4)
}

fn cases() -> impl Iterator<Item = (&'static MapRow, DType)> {
    MAP_OPS.iter().flat_map(|row| {
        // Only the dtypes that the op computes in: others are cast before.
        DType::ALL.into_iter().filter(|&d| row.rule.apply(d).is_some_and(|(c, _)| c == d)).map(move |d| (row, d))
    })
}

#[test]
fn every_op_gives_its_reference() {
    let (mut count, mut wrong) = (0, Vec::new());
    for (row, dtype) in cases() {
        for precision in Precision::ALL {
            let mut kernel = kernel(row.op, dtype, precision);
            // Contraction may move the programs of functions, but within what `Fast` allows.
            let slack = if precision == Precision::Fast { 3 } else { 0 };
            if slack > 0 {
                contract(&mut kernel);
            }
            kernel.verify().unwrap_or_else(|e| panic!("{} {dtype}: {e:?}", row.name));
            let lists = samples(row, dtype);
            for (args, got) in lists.iter().zip(evaluate_all(&kernel, &lists)) {
                let (want, fits) = match expected(row.op, dtype, args) {
                    Expected::Exactly(want) => (want, same(got, want)),
                    Expected::Near(want, ulp) => {
                        let near = distance(got, want) <= ulp + slack;
                        (want, near || precision == Precision::Fast && flushed(row.op, dtype, args, got, want))
                    }
                };
                if !fits {
                    wrong.push(format!("{precision} {} {args:?}: {got:?}, not {want:?}", row.name));
                }
                count += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong[..wrong.len().min(100)].join("\n"));
    assert!(count > 100_000, "{count}");
}

/// The same bits, any NaN being as good as another.
fn same(a: Scalar, b: Scalar) -> bool {
    a == b || a.dtype() == b.dtype() && a.as_f64().is_nan() && b.as_f64().is_nan()
}

/// How many floats lie between two of one dtype; zeros of either sign are one.
fn distance(a: Scalar, b: Scalar) -> u64 {
    if same(a, b) {
        return 0;
    }
    if a.as_f64().is_nan() || b.as_f64().is_nan() || a.as_f64().is_infinite() != b.as_f64().is_infinite() {
        return u64::MAX;
    }
    let sign = 1u64 << (8 * a.dtype().size() - 1);
    let ordered = |x: Scalar| {
        let magnitude = (x.bits() & !sign) as i64;
        if x.bits() & sign == 0 { magnitude } else { -magnitude }
    };
    ordered(a).abs_diff(ordered(b))
}

#[test]
fn every_cast_is_the_scalars() {
    for from in DType::ALL {
        for to in DType::ALL {
            let mut b = Builder::new();
            let (x, y) =
                (b.operand(Role::Input, from, Class::Contiguous), b.operand(Role::Output, to, Class::Contiguous));
            let v = b.load(x);
            let v = cast(&mut b, from, to, v);
            b.store(y, v);
            let kernel = b.finish();
            kernel.verify().unwrap();
            let lists: Vec<_> = cast_samples(from).into_iter().map(|x| vec![x]).collect();
            for (args, got) in lists.iter().zip(evaluate_all(&kernel, &lists)) {
                let (x, want) = (args[0], args[0].cast(to));
                assert!(same(got, want), "{x:?} to {to}: {got:?}, not {want:?}");
            }
        }
    }
}

/// All values of small dtypes; of the others the edges, what lies at the ends of each integer dtype, and random ones.
fn cast_samples(from: DType) -> Vec<Scalar> {
    if from == DType::Bool {
        return edges(from);
    }
    if from.size() <= 2 {
        return (0..1 << (8 * from.size())).map(|x| Scalar::from_bits(from, x)).collect();
    }
    let mut list = edges(from);
    let ends = [7, 8, 11, 15, 16, 24, 31, 32, 53, 62, 63, 64].map(|bits| 2f64.powi(bits));
    for end in ends.into_iter().flat_map(|x| [x, -x]) {
        let x = Scalar::from_f64(from, end);
        let around = [x.bits().wrapping_sub(1), x.bits(), x.bits().wrapping_add(1)];
        list.extend(around.map(|bits| Scalar::from_bits(from, bits)));
        list.extend([-1.0, -0.5, 0.5, 1.0].map(|d| Scalar::from_f64(from, end + d)));
    }
    let mut r = Random(from as u64);
    for _ in 0..4000 {
        // Numbers of every length, and those that end just beside a tie of a 16-bit float.
        let bits = r.next();
        list.push(Scalar::from_bits(from, bits >> (r.next() % 64)));
        let tie = 1u64.unbounded_shl((r.next() % 64) as u32);
        list.push(Scalar::from_bits(
            from,
            (bits & !(tie.wrapping_sub(1)) | tie).wrapping_add(r.next() % 3).wrapping_sub(1),
        ));
        list.push(Scalar::from_f64(from, r.within((-1e5, 1e5))));
    }
    list
}

/// Values that NumPy 2.4 gives, and those of `docs/decisions/0003-casts.md` where it gives none.
#[test]
fn tricky_values_are_pinned() {
    let inf = f64::INFINITY;
    let floats = [
        (MapOp::FloorDivide, -1.0, inf, -1.0),
        (MapOp::FloorDivide, -0.0, 3.5, -0.0),
        (MapOp::FloorDivide, 3.5, -0.0, -inf),
        (MapOp::FloorDivide, 1.0, 0.1, 9.0),
        (MapOp::FloorDivide, 1e300, 3.0, 3.3333333333333335e299),
        (MapOp::FloorDivide, inf, 1.0, f64::NAN),
        (MapOp::Remainder, -1.0, inf, inf),
        (MapOp::Remainder, 3.5, -inf, -inf),
        (MapOp::Remainder, 1.0, -1.0, -0.0),
        (MapOp::Remainder, -1.0, 3.5, 2.5),
        (MapOp::Remainder, 1e300, 7.0, 1.0),
        (MapOp::Remainder, 1.0, 0.0, f64::NAN),
        (MapOp::Minimum, 0.0, -0.0, -0.0),
        (MapOp::Maximum, -0.0, 0.0, 0.0),
        (MapOp::Maximum, inf, f64::NAN, f64::NAN),
        (MapOp::Fmax, f64::NAN, -inf, -inf),
        (MapOp::Pow, f64::NAN, 0.0, 1.0),
        (MapOp::Pow, 1.0, f64::NAN, 1.0),
        (MapOp::Pow, -0.0, -3.0, -inf),
        (MapOp::Pow, -8.0, 1.0 / 3.0, f64::NAN),
        (MapOp::Hypot, f64::NAN, -inf, inf),
        (MapOp::Atan2, -0.0, -1.0, -std::f64::consts::PI),
    ];
    for (op, x, y, want) in floats {
        for precision in Precision::ALL {
            let args = [x, y].map(|x| Scalar::from_f64(DType::F64, x));
            let (got, want) = (evaluate(&kernel(op, DType::F64, precision), &args), Scalar::from_f64(DType::F64, want));
            assert!(same(got, want), "{op} {args:?}, {precision}: {got:?}, not {want:?}");
        }
    }
    let bytes = [
        (MapOp::FloorDivide, -128, -1, -128),
        (MapOp::FloorDivide, -7, 2, -4),
        (MapOp::FloorDivide, -7, 0, 0),
        (MapOp::Remainder, -128, -1, 0),
        (MapOp::Remainder, 7, -2, -1),
        (MapOp::Remainder, -7, 0, 0),
        (MapOp::Pow, 3, 127, -85),
        (MapOp::Pow, -1, -3, -1),
        (MapOp::Pow, 0, -1, 0),
        (MapOp::LeftShift, 1, -1, 0),
        (MapOp::RightShift, -5, -1, -1),
        (MapOp::RightShift, 5, 9, 0),
    ];
    for (op, x, y, want) in bytes {
        let args = [x, y].map(|x| Scalar::from_i64(DType::I8, x));
        let got = evaluate(&kernel(op, DType::I8, Precision::Standard), &args);
        assert_eq!(got, Scalar::from_i64(DType::I8, want), "{op} {args:?}");
    }
    let casts =
        [(300.7, DType::U8, 255), (-1.5, DType::U8, 0), (f64::NAN, DType::I16, 0), (-1e20, DType::I64, i64::MIN)];
    for (x, to, want) in casts {
        assert_eq!(Scalar::from_f64(DType::F64, x).cast(to), Scalar::from_i64(to, want));
    }
}

#[test]
fn comparisons_stay_masks() {
    // where((a < b) & !(a == b), a, b): no byte in between.
    let mut b = Builder::new();
    let operands = [0; 2].map(|_| b.operand(Role::Input, DType::F64, Class::Contiguous));
    let [x, y] = operands.map(|o| b.load(o));
    let p = Precision::Standard;
    let less = map(&mut b, MapOp::Less, DType::F64, &[x, y], p);
    let equal = map(&mut b, MapOp::Equal, DType::F64, &[x, y], p);
    let differ = map(&mut b, MapOp::Invert, DType::Bool, &[equal], p);
    let both = map(&mut b, MapOp::LogicalAnd, DType::Bool, &[less, differ], p);
    let value = map(&mut b, MapOp::Where, DType::F64, &[both, x, y], p);
    assert!(matches!(b.def(b.def(value).args[0]).prim, Prim::MAnd));
    let widened = cast(&mut b, DType::Bool, DType::I64, both);
    assert!(matches!(b.def(widened).prim, Prim::MaskToInt));
}

#[test]
fn constant_integer_powers_are_short() {
    for (exponent, most) in [(0, 1), (1, 0), (2, 1), (3, 2), (10, 4)] {
        let mut b = Builder::new();
        let operand = b.operand(Role::Input, DType::I64, Class::Contiguous);
        let x = b.load(operand);
        let y = b.int(Ty::I64, exponent);
        let before = b.len();
        let value = map(&mut b, MapOp::Pow, DType::I64, &[x, y], Precision::Standard);
        assert!(b.len() - before <= most, "{exponent}");
        let output = b.operand(Role::Output, DType::I64, Class::Contiguous);
        b.store(output, value);
        // A power of 0 does not read its base.
        if exponent > 0 {
            let kernel = b.finish();
            let power = eval_scalar(&kernel, &[Scalar::from_i64(DType::I64, -3)])[0];
            assert_eq!(power.as_i64(), (-3i64).pow(exponent as u32));
        }
    }
}

/// Instructions other than loads that contraction makes of these results of three inputs, and their values at `[0.1, 0.2, -0.02]`.
fn contracted(results: impl Fn(&mut Builder, [ValueId; 3]) -> Vec<ValueId>) -> (Vec<Prim>, Vec<f64>) {
    let mut b = Builder::new();
    let operands = [0; 3].map(|_| b.operand(Role::Input, DType::F64, Class::Contiguous));
    let inputs = operands.map(|o| b.load(o));
    for value in results(&mut b, inputs) {
        let output = b.operand(Role::Output, DType::F64, Class::Contiguous);
        b.store(output, value);
    }
    let mut kernel = b.finish();
    contract(&mut kernel);
    kernel.verify().unwrap();
    let args = [0.1, 0.2, -0.02].map(|x| Scalar::from_f64(DType::F64, x));
    let got = eval_scalar(&kernel, &args).into_iter().map(Scalar::as_f64).collect();
    (kernel.insts.iter().map(|i| i.prim).filter(|&p| p != Prim::Load).collect(), got)
}

#[test]
fn contraction_keeps_products_with_two_uses() {
    let (prims, got) = contracted(|b, [x, y, z]| {
        let once = b.fmul(x, y);
        let a = b.fadd(z, once);
        let twice = b.fmul(x, z);
        let c = b.fadd(twice, y);
        let squares = [x, y].map(|v| b.fmul(v, v));
        vec![a, c, b.fadd(squares[0], squares[1]), twice]
    });
    assert_eq!(prims, [Prim::Fma, Prim::FMul, Prim::FAdd, Prim::FMul, Prim::Fma]);
    let want = [0.1f64.mul_add(0.2, -0.02), 0.1 * -0.02 + 0.2, 0.2f64.mul_add(0.2, 0.1 * 0.1), 0.1 * -0.02];
    assert_eq!(got, want);
}

#[test]
fn contraction_takes_differences() {
    let (prims, got) = contracted(|b, [x, y, z]| {
        let product = b.fmul(x, y);
        let first = b.fsub(product, z);
        let product = b.fmul(y, z);
        let second = b.fsub(x, product);
        let squares = [x, y].map(|v| b.fmul(v, v));
        let (product, half) = (b.fmul(x, z), b.float(Ty::F64, 0.5));
        vec![first, second, b.fsub(squares[0], squares[1]), b.fsub(product, half)]
    });
    let fused = [Prim::FNeg, Prim::Fma];
    // A difference of squares keeps its sign; a constant is negated at once.
    let rest = [Prim::FMul, Prim::FMul, Prim::Const, Prim::FSub, Prim::Const, Prim::Fma];
    assert_eq!(prims, [&fused[..], &fused, &rest].concat());
    let want =
        [0.1f64.mul_add(0.2, 0.02), (-0.2f64).mul_add(-0.02, 0.1), 0.1 * 0.1 - 0.2 * 0.2, 0.1f64.mul_add(-0.02, -0.5)];
    assert_eq!(got, want);
}

use super::*;
use crate::half::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16, f64_to_f16};
use bytemuck::{cast_slice, cast_slice_mut};
use lazuli_graph::Scalar;
use proptest::prelude::*;

/// 64-byte aligned memory of `n` bytes.
struct Buffer(Vec<[u64; 8]>, usize, usize);

impl Buffer {
    fn zeroed(n: usize) -> Buffer {
        let memory = vec![[0u64; 8]; n / 64 + 2];
        let skip = memory.as_ptr().cast::<u8>().align_offset(64);
        Buffer(memory, skip, n)
    }
    fn of(bytes: &[u8]) -> Buffer {
        let mut b = Buffer::zeroed(bytes.len());
        b.bytes_mut().copy_from_slice(bytes);
        b
    }
    fn bytes(&self) -> &[u8] {
        &cast_slice(&self.0)[self.1..][..self.2]
    }
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut cast_slice_mut(&mut self.0)[self.1..][..self.2]
    }
}

/// Every reduction there is.
fn all() -> Vec<Reduction> {
    let mut all = Vec::new();
    for row in lazuli_graph::ops::REDUCE_OPS {
        for dtype in DType::ALL.into_iter().filter(|&d| row.op.operand_dtype(d) == d) {
            all.push(Reduction::new(row.op, dtype, false));
            if row.op == ReduceOp::Sum && dtype.is_float() {
                all.push(Reduction::new(row.op, dtype, true));
            }
        }
    }
    all
}

fn scalars(dtype: DType, bytes: &[u8]) -> Vec<Scalar> {
    let bits = |c: &[u8]| c.iter().rev().fold(0u64, |x, b| x << 8 | *b as u64);
    bytes.chunks_exact(dtype.size()).map(|c| canonical(Scalar::from_bits(dtype, bits(c)))).collect()
}

/// All NaNs alike: their payload and sign are free.
fn canonical(x: Scalar) -> Scalar {
    if x.dtype().is_float() && x.as_f64().is_nan() { Scalar::from_f64(x.dtype(), f64::NAN) } else { x }
}

fn bytes(values: &[Scalar]) -> Vec<u8> {
    values.iter().flat_map(|x| x.bits().to_le_bytes()[..x.dtype().size()].to_vec()).collect()
}

fn finish(r: &Reduction, states: &[u8], count: u64) -> Vec<Scalar> {
    let mut out = Buffer::zeroed(states.len() / r.state_size() * r.result_dtype().size());
    r.finish(states, count, out.bytes_mut());
    scalars(r.result_dtype(), out.bytes())
}

fn inner(r: &Reduction, data: &[u8]) -> Scalar {
    let mut state = Buffer::zeroed(r.state_size());
    r.inner(data, 0, state.bytes_mut());
    finish(r, state.bytes(), (data.len() / r.dtype().size()) as u64)[0]
}

/// Numbers of a dtype, special ones among them.
fn sample(dtype: DType, n: usize, seed: u64) -> Vec<Scalar> {
    let mut x = seed | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x
    };
    let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 65504.0, 1e-7];
    (0..n)
        .map(|_| {
            let word = next();
            match dtype {
                DType::Bool => Scalar::from_bits(dtype, word & 1),
                d if d.is_float() && word % 64 == 1 => {
                    Scalar::from_f64(d, special[(word >> 8) as usize % special.len()])
                }
                d if d.is_float() => Scalar::from_f64(d, (word as i64 >> 40) as f64 / 1e4),
                d if word & 1 == 0 => Scalar::from_bits(d, next()),
                d => Scalar::from_bits(d, (word >> 20) % 5),
            }
        })
        .collect()
}

/// The float that the accumulator of `dtype` holds, and the rounding of an operation on it.
fn rounded(dtype: DType, x: f64) -> f64 {
    if dtype == DType::F64 { x } else { x as f32 as f64 }
}

/// One step of a reduction on numbers as `f64`; of operations in `f32`, rounding again changes nothing.
fn model_step(op: ReduceOp, dtype: DType, a: f64, b: f64) -> f64 {
    let nan = a.is_nan() || b.is_nan();
    match op {
        ReduceOp::Sum => rounded(dtype, a + b),
        ReduceOp::Prod => rounded(dtype, a * b),
        _ if nan => f64::NAN,
        ReduceOp::Min if a == b => {
            if a.is_sign_negative() {
                a
            } else {
                b
            }
        }
        ReduceOp::Max if a == b => {
            if a.is_sign_negative() {
                b
            } else {
                a
            }
        }
        ReduceOp::Min => {
            if a < b {
                a
            } else {
                b
            }
        }
        _ => {
            if a > b {
                a
            } else {
                b
            }
        }
    }
}

/// The block of the documentation, without identities: lanes that got nothing take no part.
fn model_block(op: ReduceOp, dtype: DType, data: &[f64]) -> Option<f64> {
    let n = if dtype == DType::F64 { 16 } else { 32 };
    let join = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => Some(model_step(op, dtype, a, b)),
        (a, b) => a.or(b),
    };
    let mut lanes = vec![None; n];
    for (i, &x) in data.iter().enumerate() {
        lanes[i % n] = join(lanes[i % n], Some(x));
    }
    let mut half = n / 2;
    while half > 0 {
        for j in 0..half {
            lanes[j] = join(lanes[j], lanes[j + half]);
        }
        half /= 2;
    }
    lanes[0]
}

#[test]
fn float_blocks_follow_the_documented_tree() {
    for op in [ReduceOp::Sum, ReduceOp::Prod, ReduceOp::Min, ReduceOp::Max] {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let r = Reduction::new(op, dtype, false);
            if matches!(op, ReduceOp::Sum | ReduceOp::Prod) {
                assert_eq!(r.block(), if dtype == DType::F64 { 256 } else { 512 });
            }
            for n in (1..70).chain([127, 128, 129, 255, 256]) {
                for seed in 1..6 {
                    let data = sample(dtype, n, seed * 7919 + n as u64);
                    let numbers: Vec<f64> = data.iter().map(|x| x.as_f64()).collect();
                    let result = model_block(op, dtype, &numbers).unwrap();
                    // A half is rounded from `f32`, where any conversion from `f64` rounds right.
                    let expected = match dtype {
                        DType::F16 => Scalar::from_bits(dtype, f32_to_f16(result as f32) as u64),
                        DType::BF16 => Scalar::from_bits(dtype, f32_to_bf16(result as f32) as u64),
                        _ => Scalar::from_f64(dtype, result),
                    };
                    assert_eq!(inner(&r, Buffer::of(&bytes(&data)).bytes()), canonical(expected), "{r:?} {data:?}");
                }
            }
        }
    }
}

#[test]
fn order_is_visible_in_sums() {
    // Were elements added one after another, 1 would vanish beside 1e16.
    let mut data = [0.0f64; 32];
    (data[0], data[1], data[16], data[17]) = (1e16, 1.0, -1e16, 2.0);
    assert_eq!(inner(&Reduction::new(ReduceOp::Sum, DType::F64, false), cast_slice(&data)).as_f64(), 3.0);
    let three = [1e16f64, 1.0, -1e16];
    assert_eq!(inner(&Reduction::new(ReduceOp::Sum, DType::F64, false), cast_slice(&three)).as_f64(), 1.0);
}

/// What an integer or bool reduction, or an argmin or argmax, gives.
fn model_exact(op: ReduceOp, data: &[Scalar]) -> Scalar {
    let dtype = data[0].dtype();
    let value =
        |x: &Scalar| if dtype.kind() == lazuli_graph::Kind::Signed { x.as_i64() as i128 } else { x.bits() as i128 };
    let whole = |x: i128| Scalar::from_bits(dtype, x as u64);
    let better = |a: &Scalar, b: &Scalar| match op {
        _ if !dtype.is_float() && op == ReduceOp::Argmin => value(b) < value(a),
        _ if !dtype.is_float() => value(b) > value(a),
        _ if a.as_f64().is_nan() => false,
        _ if b.as_f64().is_nan() => true,
        ReduceOp::Argmin => b.as_f64() < a.as_f64(),
        _ => b.as_f64() > a.as_f64(),
    };
    match op {
        ReduceOp::Sum => whole(data.iter().map(value).sum()),
        ReduceOp::Prod => whole(data.iter().fold(1, |p: i128, x| (p * value(x)) as u64 as i64 as i128)),
        ReduceOp::Min => whole(data.iter().map(value).min().unwrap()),
        ReduceOp::Max => whole(data.iter().map(value).max().unwrap()),
        ReduceOp::Any => Scalar::from_bits(DType::Bool, data.iter().any(|x| x.bits() != 0) as u64),
        ReduceOp::All => Scalar::from_bits(DType::Bool, data.iter().all(|x| x.bits() != 0) as u64),
        ReduceOp::Argmin | ReduceOp::Argmax => {
            let best = (1..data.len()).fold(0, |best, i| if better(&data[best], &data[i]) { i } else { best });
            Scalar::from_i64(DType::I64, best as i64)
        }
    }
}

fn has_exact_model(r: &Reduction) -> bool {
    !r.dtype().is_float() || matches!(r.op(), ReduceOp::Argmin | ReduceOp::Argmax)
}

#[test]
fn integers_and_positions() {
    for r in all().into_iter().filter(has_exact_model) {
        for n in (1..20).chain([31, 33, 64, 100, 129, 200, 255, 256]) {
            for seed in 1..5 {
                let data = sample(r.dtype(), n, seed * 104_729 + n as u64);
                let got = inner(&r, Buffer::of(&bytes(&data)).bytes());
                assert_eq!(got, model_exact(r.op(), &data), "{r:?} {data:?}");
            }
        }
    }
}

#[test]
fn rows_equal_blocks() {
    for r in all() {
        for k in (0..20).chain([31, 32, 33, 63, 64, 65, 200]) {
            let rows = 5;
            let data = Buffer::of(&bytes(&sample(r.dtype(), rows * k, 99 + k as u64)));
            let size = k * r.dtype().size();
            let mut states = Buffer::zeroed(rows * r.state_size());
            r.inner_rows(data.bytes(), rows, k, 7, states.bytes_mut());
            let together = finish(&r, states.bytes(), k as u64);
            for (j, together) in together.into_iter().enumerate() {
                let mut state = Buffer::zeroed(r.state_size());
                r.inner(Buffer::of(&data.bytes()[j * size..][..size]).bytes(), 7, state.bytes_mut());
                assert_eq!(together, finish(&r, state.bytes(), k as u64)[0], "{r:?} k={k} row {j}");
            }
        }
    }
}

/// The definition: the left subtree has as many blocks as the greatest power of two below their number.
fn tree_model(r: &Reduction, states: &[Buffer]) -> Buffer {
    match states {
        [] => {
            let mut state = Buffer::zeroed(r.state_size());
            r.identity(state.bytes_mut());
            state
        }
        [one] => Buffer::of(one.bytes()),
        _ => {
            let (left, right) = states.split_at(states.len().next_power_of_two() / 2);
            let (mut left, right) = (tree_model(r, left), tree_model(r, right));
            r.combine(left.bytes_mut(), right.bytes());
            left
        }
    }
}

#[test]
fn sequences_are_trees_of_blocks() {
    for r in all() {
        let (block, size) = (r.block(), r.dtype().size());
        for (blocks, rest) in [(0, 0), (0, 5), (1, 0), (2, 1), (3, 0), (5, 7), (8, 0), (13, 130)] {
            let n = blocks * block + rest;
            let data = Buffer::of(&bytes(&sample(r.dtype(), n, 3 + n as u64)));
            let states: Vec<Buffer> = (0..n)
                .step_by(block)
                .map(|at| {
                    let piece = Buffer::of(&data.bytes()[at * size..(at + block).min(n) * size]);
                    let mut state = Buffer::zeroed(r.state_size());
                    r.inner(piece.bytes(), at as u64, state.bytes_mut());
                    state
                })
                .collect();
            let expected = finish(&r, tree_model(&r, &states).bytes(), n as u64);
            let mut all = Buffer::of(&states.iter().flat_map(|s| s.bytes().to_vec()).collect::<Vec<u8>>());
            r.total(all.bytes_mut());
            if n > 0 {
                assert_eq!(
                    finish(&r, &all.bytes()[..r.state_size()], n as u64),
                    expected,
                    "{r:?} {n} elements, all at once"
                );
            }
            // In one piece, in pieces of whole blocks, and as subtrees of two blocks each or of as many as can be in two ranges.
            for piece in [blocks + 1, 1, 3] {
                let (mut tree, mut state) = (Tree::new(), Buffer::zeroed(r.state_size()));
                for at in (0..n).step_by(piece * block) {
                    let piece = Buffer::of(&data.bytes()[at * size..(at + piece * block).min(n) * size]);
                    r.blocks(piece.bytes(), at as u64, &mut tree);
                }
                r.fold(&mut tree, state.bytes_mut());
                assert_eq!(finish(&r, state.bytes(), n as u64), expected, "{r:?} {n} elements by {piece} blocks");
            }
            let (mut tree, mut state) = (Tree::new(), Buffer::zeroed(r.state_size()));
            for pair in states.chunks(2) {
                r.push(0, tree_model(&r, pair).bytes_mut(), &mut tree);
            }
            r.fold(&mut tree, state.bytes_mut());
            assert_eq!(finish(&r, state.bytes(), n as u64), expected, "{r:?} {n} elements, subtrees");
            for middle in [states.len() / 2, states.len() / 3] {
                let mut at = 0;
                while at < states.len() {
                    let end = if at < middle { middle } else { states.len() };
                    let height = at.trailing_zeros().min((end - at).ilog2());
                    let subtree = &states[at..at + (1 << height)];
                    r.push(height, tree_model(&r, subtree).bytes_mut(), &mut tree);
                    at += subtree.len();
                }
                r.fold(&mut tree, state.bytes_mut());
                assert_eq!(finish(&r, state.bytes(), n as u64), expected, "{r:?} {n} elements, from {middle}");
            }
        }
    }
}

#[test]
fn outer_rows_may_lie_apart() {
    for r in all() {
        let (rows, pitch, width) = (7, 19, 11);
        let data = Buffer::of(&bytes(&sample(r.dtype(), rows * pitch, 17)));
        let size = r.dtype().size();
        let dense: Vec<u8> =
            (0..rows).flat_map(|i| data.bytes()[i * pitch * size..][..width * size].to_vec()).collect();
        let (mut apart, mut together) =
            (Buffer::zeroed(width * r.state_size()), Buffer::zeroed(width * r.state_size()));
        r.identity(apart.bytes_mut());
        r.identity(together.bytes_mut());
        r.outer_apart(data.bytes(), rows, pitch, width, 2, apart.bytes_mut());
        r.outer(Buffer::of(&dense).bytes(), rows, width, 2, together.bytes_mut());
        assert_eq!(finish(&r, apart.bytes(), 9), finish(&r, together.bytes(), 9), "{r:?}");
    }
}

#[test]
fn outer_adds_row_after_row() {
    for r in all() {
        for width in [1, 2, 3, 15, 16, 17, 32, 33, 130, 300] {
            let rows = 9;
            let data = sample(r.dtype(), rows * width, 5 + width as u64);
            let buffer = Buffer::of(&bytes(&data));
            let mut states = Buffer::zeroed(width * r.state_size());
            r.identity(states.bytes_mut());
            // In two pieces, so that states carry over.
            let split = 4 * width * r.dtype().size();
            r.outer(&buffer.bytes()[..split], 4, width, 0, states.bytes_mut());
            r.outer(Buffer::of(&buffer.bytes()[split..]).bytes(), rows - 4, width, 4, states.bytes_mut());
            for (j, got) in finish(&r, states.bytes(), rows as u64).into_iter().enumerate() {
                let column: Vec<Scalar> = (0..rows).map(|i| data[i * width + j]).collect();
                let expected = if has_exact_model(&r) {
                    model_exact(r.op(), &column)
                } else if r.exact {
                    inner(&r, Buffer::of(&bytes(&column)).bytes())
                } else {
                    let step = |a, b| model_step(r.op(), r.dtype(), a, b);
                    let x = column.iter().map(|x| x.as_f64()).reduce(step).unwrap();
                    match r.dtype() {
                        DType::F16 => Scalar::from_bits(DType::F16, f32_to_f16(x as f32) as u64),
                        DType::BF16 => Scalar::from_bits(DType::BF16, f32_to_bf16(x as f32) as u64),
                        d => Scalar::from_f64(d, x),
                    }
                };
                assert_eq!(got, canonical(expected), "{r:?} width={width} column {j}: {column:?}");
            }
        }
    }
}

#[test]
fn identity_changes_nothing() {
    for r in all() {
        for x in sample(r.dtype(), 300, 3) {
            let (mut state, mut identity) = (Buffer::zeroed(r.state_size()), Buffer::zeroed(r.state_size()));
            r.inner(Buffer::of(&bytes(&[x])).bytes(), 4, state.bytes_mut());
            r.identity(identity.bytes_mut());
            let before = finish(&r, state.bytes(), 1);
            let mut left = Buffer::of(identity.bytes());
            r.combine(left.bytes_mut(), state.bytes());
            assert_eq!(finish(&r, left.bytes(), 1), before, "{r:?} {x:?}");
            r.combine(state.bytes_mut(), identity.bytes());
            assert_eq!(finish(&r, state.bytes(), 1), before, "{r:?} {x:?}");
        }
    }
}

/// Where the order does not matter, any cut gives the same bits.
#[test]
fn cuts_do_not_matter() {
    for r in all() {
        if r.dtype().is_float() && matches!(r.op(), ReduceOp::Sum | ReduceOp::Prod) && !r.exact {
            continue;
        }
        let data = sample(r.dtype(), 200, 17);
        let whole = inner(&r, Buffer::of(&bytes(&data)).bytes());
        for cut in [1, 3, 50, 199] {
            let (a, b) = data.split_at(cut);
            let (mut left, mut right) = (Buffer::zeroed(r.state_size()), Buffer::zeroed(r.state_size()));
            r.inner(Buffer::of(&bytes(a)).bytes(), 0, left.bytes_mut());
            r.inner(Buffer::of(&bytes(b)).bytes(), cut as u64, right.bytes_mut());
            r.combine(left.bytes_mut(), right.bytes());
            assert_eq!(finish(&r, left.bytes(), 200)[0], whole, "{r:?} {cut}");
        }
    }
}

#[test]
fn nothing_to_reduce() {
    for r in all() {
        let result = inner(&r, &[]);
        let expected = match r.op() {
            ReduceOp::Sum | ReduceOp::Any => Scalar::zero(r.result_dtype()),
            ReduceOp::Prod | ReduceOp::All => Scalar::one(r.result_dtype()),
            _ => continue,
        };
        assert_eq!(result, expected, "{r:?}");
    }
}

#[test]
fn special_values() {
    let (inf, nan) = (f64::INFINITY, f64::NAN);
    let cases: [(ReduceOp, &[f64], f64); 17] = [
        (ReduceOp::Sum, &[-0.0], 0.0),
        (ReduceOp::Sum, &[-0.0; 40], 0.0),
        (ReduceOp::Sum, &[-0.0, 0.0], 0.0),
        (ReduceOp::Sum, &[1.0, -1.0], 0.0),
        (ReduceOp::Sum, &[inf, 1.0], inf),
        (ReduceOp::Sum, &[inf, -inf], nan),
        (ReduceOp::Sum, &[-inf, 2.0, -inf], -inf),
        (ReduceOp::Sum, &[1.0, nan, inf], nan),
        (ReduceOp::Prod, &[-0.0, 2.0], -0.0),
        (ReduceOp::Prod, &[0.0, inf], nan),
        (ReduceOp::Min, &[0.0, -0.0], -0.0),
        (ReduceOp::Min, &[-0.0, 0.0], -0.0),
        (ReduceOp::Max, &[0.0, -0.0], 0.0),
        (ReduceOp::Max, &[-0.0, 0.0], 0.0),
        (ReduceOp::Min, &[1.0, nan, -inf], nan),
        (ReduceOp::Max, &[nan, inf, 3.0], nan),
        (ReduceOp::Max, &[-inf, -inf], -inf),
    ];
    for (op, data, expected) in cases {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let data: Vec<Scalar> = data.iter().map(|&x| Scalar::from_f64(dtype, x)).collect();
            for exact in [false, true] {
                let got = inner(&Reduction::new(op, dtype, exact), Buffer::of(&bytes(&data)).bytes());
                assert_eq!(got, Scalar::from_f64(dtype, expected), "{op} {data:?} exact={exact}");
            }
        }
    }
    let position = |op, data: &[f64]| inner(&Reduction::new(op, DType::F64, false), cast_slice(data)).as_i64();
    assert_eq!(position(ReduceOp::Argmin, &[0.0, -0.0, 0.0]), 0);
    assert_eq!(position(ReduceOp::Argmax, &[-0.0, 0.0]), 0);
    assert_eq!(position(ReduceOp::Argmin, &[1.0, nan, -inf, nan]), 1);
    assert_eq!(position(ReduceOp::Argmax, &[-inf, -inf]), 0);
    let lowest = inner(&Reduction::new(ReduceOp::Argmax, DType::I64, false), cast_slice(&[i64::MIN; 3])).as_i64();
    assert_eq!(lowest, 0);
}

#[test]
fn exact_sums_that_other_sums_miss() {
    let sum = |data: &[f64]| inner(&Reduction::new(ReduceOp::Sum, DType::F64, true), cast_slice(data)).as_f64();
    let max = f64::MAX;
    assert_eq!(sum(&[1e16, 1.0, -1e16]), 1.0);
    assert_eq!(sum(&[1e300, 1.0, -1e300, 1e-300]), 1.0);
    assert_eq!(sum(&[max, max, -max]), max);
    assert_eq!(sum(&[max, max]), f64::INFINITY);
    assert_eq!(sum(&[-max, -max]), f64::NEG_INFINITY);
    // Half a unit beyond the greatest number is a tie to the even infinity; a little less is not.
    let half_unit = power_of_two(970);
    assert_eq!(sum(&[max, half_unit]), f64::INFINITY);
    assert_eq!(sum(&[max, half_unit, -5e-324]), max);
    assert_eq!(sum(&[1.0, f64::EPSILON / 2.0]), 1.0);
    assert_eq!(sum(&[1.0, f64::EPSILON / 2.0, 5e-324]), 1.0 + f64::EPSILON);
    assert_eq!(sum(&[-1.0, -f64::EPSILON / 2.0, 5e-324]), -1.0);
    assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
    assert_eq!(sum(&[f64::MIN_POSITIVE, -5e-324]), f64::MIN_POSITIVE - 5e-324);
    assert_eq!(sum(&[0.1; 10]), 1.0);
    let single = [1.0f32, 2f32.powi(-24), 1e-45];
    let r = Reduction::new(ReduceOp::Sum, DType::F32, true);
    assert_eq!(inner(&r, cast_slice(&single)).as_f64(), (1.0 + f32::EPSILON) as f64);
    assert_eq!(inner(&r, cast_slice(&[f32::MAX, f32::MAX])).as_f64(), f64::INFINITY);
}

/// `powi` goes by way of infinity for the least exponents.
fn power_of_two(e: i32) -> f64 {
    f64::from_bits(if e < -1022 { 1 << (e + 1074) } else { ((e + 1023) as u64) << 52 })
}

proptest! {
    /// Whole numbers of a unit, added in `i128` and rounded by Rust.
    #[test]
    fn exact_sum_of_f64(
        parts in prop::collection::vec((-(1i64 << 53)..1i64 << 53, 0u32..60), 1..200),
        cancel in any::<bool>(),
        scale in prop_oneof![Just(-1074), Just(-1000), Just(0), Just(800)],
    ) {
        let unit = power_of_two(scale);
        let mut data: Vec<f64> = parts.iter().map(|&(m, e)| m as f64 * power_of_two(e as i32) * unit).collect();
        let mut total: i128 = parts.iter().map(|&(m, e)| (m as i128) << e).sum();
        if cancel {
            // Leave only what the first element adds.
            data.extend(parts[1..].iter().rev().map(|&(m, e)| -(m as f64 * power_of_two(e as i32) * unit)));
            total = (parts[0].0 as i128) << parts[0].1;
        }
        let r = Reduction::new(ReduceOp::Sum, DType::F64, true);
        prop_assert_eq!(inner(&r, cast_slice(&data)).as_f64(), total as f64 * unit);
    }

    #[test]
    fn exact_sum_of_f32(parts in prop::collection::vec((-(1i64 << 24)..1i64 << 24, 0u32..40), 1..200), scale in -100i32..20) {
        let unit = 2f32.powi(scale);
        let data: Vec<f32> = parts.iter().map(|&(m, e)| m as f32 * 2f32.powi(e as i32) * unit).collect();
        let total: i128 = parts.iter().map(|&(m, e)| (m as i128) << e).sum();
        let r = Reduction::new(ReduceOp::Sum, DType::F32, true);
        prop_assert_eq!(inner(&r, cast_slice(&data)).as_f64(), (total as f32 * unit) as f64);
    }

    #[test]
    fn exact_sum_of_halves(data in prop::collection::vec(any::<u16>(), 1..100)) {
        let data: Vec<u16> = data.into_iter().filter(|&h| f16_to_f32(h).is_finite()).collect();
        // Whole numbers of 2^-24, so few that an `f64` holds their sum.
        let total: f64 = data.iter().map(|&h| f16_to_f32(h) as f64).sum();
        let r = Reduction::new(ReduceOp::Sum, DType::F16, true);
        let expected = Scalar::from_bits(DType::F16, f64_to_f16(total) as u64);
        prop_assert_eq!(inner(&r, Buffer::of(cast_slice(&data)).bytes()).as_f64(), expected.as_f64());
    }
}

/// Blocks combined in pairs are far better than one running sum, and at least as good as 8 units in the last place.
#[test]
fn error_of_a_long_sum() {
    let data: Vec<f64> = (0..1 << 18).map(|i| 1.0 / (i as f64 + 0.7)).collect();
    let sum = |exact| {
        let r = Reduction::new(ReduceOp::Sum, DType::F64, exact);
        let mut states: Vec<Buffer> = (data.chunks(256))
            .map(|block| {
                let mut state = Buffer::zeroed(r.state_size());
                r.inner(cast_slice(block), 0, state.bytes_mut());
                state
            })
            .collect();
        while states.len() > 1 {
            let half = states.len() / 2;
            let right = states.split_off(half);
            for (a, b) in states.iter_mut().zip(&right) {
                r.combine(a.bytes_mut(), b.bytes());
            }
        }
        finish(&r, states[0].bytes(), data.len() as u64)[0].as_f64()
    };
    let (blocked, exact): (f64, f64) = (sum(false), sum(true));
    let running: f64 = data.iter().sum();
    let ulp = f64::EPSILON * 8.0;
    assert!((blocked - exact).abs() <= 8.0 * ulp, "{blocked} {exact}");
    assert!((blocked - exact).abs() < (running - exact).abs(), "{blocked} {exact} {running}");
}

#[test]
fn scans() {
    use crate::Scan;
    use lazuli_graph::ScanOp;
    for op in [ScanOp::Cumsum, ScanOp::Cumprod] {
        for dtype in DType::ALL.into_iter().filter(|&d| op.operand_dtype(d) == d) {
            let scan = Scan::new(op, dtype);
            let size = dtype.size();
            // One step, rounded to the dtype.
            let step = |a: Scalar, b: Scalar| {
                let sum = op == ScanOp::Cumsum;
                let f32_step = |a: f32, b: f32| if sum { a + b } else { a * b };
                canonical(match dtype {
                    DType::F64 => {
                        Scalar::from_f64(dtype, if sum { a.as_f64() + b.as_f64() } else { a.as_f64() * b.as_f64() })
                    }
                    DType::F32 => Scalar::from_f64(dtype, f32_step(a.as_f64() as f32, b.as_f64() as f32) as f64),
                    DType::F16 => {
                        let x = f32_step(f16_to_f32(a.bits() as u16), f16_to_f32(b.bits() as u16));
                        Scalar::from_bits(dtype, f32_to_f16(x) as u64)
                    }
                    DType::BF16 => {
                        let x = f32_step(bf16_to_f32(a.bits() as u16), bf16_to_f32(b.bits() as u16));
                        Scalar::from_bits(dtype, f32_to_bf16(x) as u64)
                    }
                    _ if sum => Scalar::from_bits(dtype, a.bits().wrapping_add(b.bits())),
                    _ => Scalar::from_bits(dtype, a.bits().wrapping_mul(b.bits())),
                })
            };
            for (n, seed) in [(0, 1), (1, 2), (5, 3), (100, 4), (100, 5), (6 * Scan::BLOCK + 7, 6)] {
                let mut data = sample(dtype, n, seed);
                if n == 1 && dtype.is_float() {
                    data[0] = Scalar::from_f64(dtype, -0.0);
                }
                let mut expected: Vec<Scalar> = Vec::new();
                for &x in &data {
                    expected.push(expected.last().map_or(canonical(x), |&c| step(c, x)));
                }
                // Block by block, each from the last result before.
                let mut blocked: Vec<Scalar> = Vec::new();
                for block in data.chunks(Scan::BLOCK) {
                    let before = blocked.last().copied();
                    let mut running = None;
                    for &x in block {
                        let local = running.map_or(canonical(x), |c| step(c, x));
                        blocked.push(before.map_or(local, |b| step(b, local)));
                        running = Some(local);
                    }
                }
                // In two pieces, the first of whole blocks.
                let buffer = Buffer::of(&bytes(&data));
                let (mut out, mut state) = (Buffer::zeroed(n * size), Buffer::zeroed(size));
                scan.identity(state.bytes_mut());
                let cut = n / 3 / Scan::BLOCK * Scan::BLOCK * size;
                scan.inner(&buffer.bytes()[..cut], state.bytes_mut(), &mut out.bytes_mut()[..cut]);
                scan.inner(&buffer.bytes()[cut..], state.bytes_mut(), &mut out.bytes_mut()[cut..]);
                assert_eq!(scalars(dtype, out.bytes()), blocked, "{scan:?} {n}");
                if n <= Scan::BLOCK || !dtype.is_float() {
                    assert_eq!(blocked, expected, "{scan:?} {n}");
                }

                // The carry alone, and what it is combined with.
                let (mut split, mut total) = (Buffer::zeroed(n * size), Buffer::zeroed(size));
                scan.identity(total.bytes_mut());
                let mut state = Buffer::of(total.bytes());
                scan.blocks(buffer.bytes(), split.bytes_mut());
                scan.total(total.bytes_mut(), split.bytes());
                scan.carry(state.bytes_mut(), split.bytes_mut());
                assert_eq!(scalars(dtype, split.bytes()), blocked, "{scan:?} {n}");
                assert_eq!(scalars(dtype, total.bytes()), scalars(dtype, state.bytes()), "{scan:?} {n}");

                // Three columns that hold the same.
                let columns: Vec<Scalar> = data.iter().flat_map(|&x| [x; 3]).collect();
                let (mut out, mut states) = (Buffer::zeroed(3 * n * size), Buffer::zeroed(3 * size));
                scan.identity(states.bytes_mut());
                scan.outer(Buffer::of(&bytes(&columns)).bytes(), n, 3, states.bytes_mut(), out.bytes_mut());
                let expected: Vec<Scalar> = expected.iter().flat_map(|&x| [x; 3]).collect();
                assert_eq!(scalars(dtype, out.bytes()), expected, "{scan:?} {data:?}");
            }
        }
    }
}

//! Quotients and roots are those of the divider, bit by bit.

use super::Plan;
use crate::kernel::{Class, Role, Ty, ValueId};
use crate::launch::{Accessed, Home, Layout, Memory};
use crate::target::Divider;
use crate::testing::{halfway, next, slow_divider, slow_dividers};
use crate::wide::{Mode, encode_512};
use crate::{Backend, Builder, Code, Precision, Target, lower, math};
use bytemuck::{Pod, cast_slice, cast_slice_mut};
use lazuli_graph::DType;
use smallvec::smallvec;
use std::fmt::LowerExp;

/// `x / y`, or the root of `x`, on this machine as if its CPU divided slowly, if it has vectors of 512 bits.
fn code(dtype: DType, root: bool) -> Option<Code> {
    Some(code_for(&slow_divider()?, dtype, root))
}

fn code_for(target: &Target, dtype: DType, root: bool) -> Code {
    let mut b = Builder::new();
    let inputs = if root { 1 } else { 2 };
    let operands: Vec<_> = (0..inputs).map(|_| b.operand(Role::Input, dtype, Class::Contiguous)).collect();
    let values: Vec<_> = operands.into_iter().map(|k| b.load(k)).collect();
    let z = if root { b.fsqrt(values[0]) } else { b.fdiv(values[0], values[1]) };
    let out = b.operand(Role::Output, dtype, Class::Contiguous);
    b.store(out, z);
    let code = Code::compile(&b.finish(), Backend::Wide, target).unwrap();
    let asm = code.asm().unwrap();
    assert!(asm.contains(if root { "vrsqrt14" } else { "vrcp14" }), "{asm}");
    code
}

/// Holds the results for the elements of `args` against what is expected. Each vector of them is there as often as a round
/// has vectors, of which each may be computed in another way.
fn check<T: Pod + PartialOrd + LowerExp>(code: &Code, args: &[&[T]], one: T, expected: impl Fn(usize) -> T) {
    const TIMES: usize = 4;
    let (size, lanes) = (size_of::<T>() as isize, 64 / size_of::<T>());
    let spread = |v: &[T]| -> Vec<T> {
        let mut v = v.to_vec();
        v.resize(v.len().next_multiple_of(lanes), one);
        v.chunks(lanes).flat_map(|vector| vector.repeat(TIMES)).collect()
    };
    let spread: Vec<Vec<T>> = args.iter().map(|v| spread(v)).collect();
    let n = spread[0].len();
    let access = || Accessed { home: Home::Memory, offset: 0, strides: smallvec![size] };
    let layout = Layout::new(&code.kernel().operands, &[n], (0..=args.len()).map(|_| access())).unwrap();
    let mut z = vec![T::zeroed(); n];
    let mut memory: Vec<Memory<'_>> = spread.iter().map(|v| Memory::Read(cast_slice(v), 0)).collect();
    memory.push(Memory::Write(cast_slice_mut(&mut z)));
    layout.bind(code, memory).unwrap().run();
    let nan = |v: T| v.partial_cmp(&v).is_none();
    for i in 0..args[0].len() {
        let expected = expected(i);
        for time in 0..TIMES {
            let got = z[(i / lanes * TIMES + time) * lanes + i % lanes];
            let same = bytemuck::bytes_of(&got) == bytemuck::bytes_of(&expected);
            let (x, y) = (args[0][i], args[args.len() - 1][i]);
            assert!(same || nan(got) && nan(expected), "of {x:e}, {y:e} it is {expected:e}, got {got:e}");
        }
    }
}

fn check_quotients(x: &[f64], y: &[f64]) {
    let (Some(double), Some(single)) = (code(DType::F64, false), code(DType::F32, false)) else { return };
    check(&double, &[x, y], 1.0, |i| x[i] / y[i]);
    let [x, y] = [x, y].map(|v| v.iter().map(|&v| v as f32).collect::<Vec<f32>>());
    check(&single, &[&x, &y], 1.0, |i| x[i] / y[i]);
}

/// Zeros, infinities, NaN, subnormal numbers, and the limits of what is in range; with both signs.
fn special() -> Vec<f64> {
    let powers = [500, -500, 499, 501, -501, -900, -901, 60, -60, 61, -61, 70, -70, -71, 127, -126, -127, -149, 1023];
    let mut all: Vec<f64> = powers.iter().map(|&e| 2f64.powi(e)).collect();
    let near: Vec<f64> = all.iter().flat_map(|v| [v.next_up(), v.next_down(), v * (1.0 + 2f64.powi(-23))]).collect();
    all.extend(near);
    all.extend([0.0, f64::INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-310, 1.0, 3.0, 2f64.next_down()]);
    all.extend([f32::MAX, f32::MIN_POSITIVE, 1e-45, 2f32.next_down()].map(f64::from));
    let negative: Vec<f64> = all.iter().map(|v| -v).collect();
    all.extend(negative);
    all
}

#[test]
fn special_quotients() {
    let special = special();
    let pairs: Vec<(f64, f64)> = special.iter().flat_map(|&x| special.iter().map(move |&y| (x, y))).collect();
    let (x, y): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
    check_quotients(&x, &y);
}

/// One special lane among others that are in range: a vector of them goes by Newton's iteration, or the divider after all.
#[test]
fn special_lanes() {
    let Some(single) = code(DType::F32, true) else { return };
    let limits = [500, -500, 60, -60, -900, -70, 1023, 127].map(|e| 2f64.powi(e));
    let last = limits.map(f64::next_up).into_iter().chain(limits.map(f64::next_down));
    let ones = [2f64.next_down(), f64::from(2f32.next_down()), 0.0, f64::NAN, f64::INFINITY, 5e-324, 1.5];
    let all: Vec<f64> = limits.into_iter().chain(last).chain(ones).flat_map(|v| [v, -v]).collect();
    let (mut x, mut y) = (Vec::new(), Vec::new());
    for (i, &special) in all.iter().enumerate() {
        for ordinary in [3.0, -3.0] {
            for special_x in [false, true] {
                let mut vectors = [[1.5; 16], [ordinary; 16]];
                // In both halves, for 16 lanes are two vectors of float64.
                vectors[usize::from(!special_x)][i % 8] = special;
                vectors[usize::from(!special_x)][i % 8 + 8] = special;
                x.extend(vectors[0]);
                y.extend(vectors[1]);
            }
        }
    }
    check_quotients(&x, &y);
    let narrow: Vec<f32> = x.iter().map(|&v| v as f32).collect();
    for target in slow_dividers() {
        check(&code_for(&target, DType::F64, true), &[&x], 1.0, |i| x[i].sqrt());
    }
    check(&single, &[&narrow], 1.0, |i| narrow[i].sqrt());
}

/// Numbers of both signs, with exponents that are as likely from `least` to `most`, and zeros among them.
fn numbers(state: &mut u64, [least, most]: [i32; 2]) -> Vec<f64> {
    let one = |i: usize| {
        let (bits, exponent) = (next(state), next(state) % (most - least) as u64);
        let significand = f64::from_bits(bits >> 12 | bits << 63 | 1023 << 52);
        if i % 29 == 5 { 0.0 } else { significand * 2f64.powi(least + exponent as i32) }
    };
    (0..40_000).map(one).collect()
}

#[test]
fn random_quotients() {
    let mut state = 5;
    for exponents in [[-500, 500], [-60, 60], [0, 1], [-16, 0]] {
        let x = numbers(&mut state, exponents);
        let y: Vec<f64> = numbers(&mut state, exponents).into_iter().filter(|&y| y != 0.0).collect();
        check_quotients(&x[..y.len()], &y);
    }
    // Any bits.
    let any = |state: &mut u64| (0..40_000).map(|_| f64::from_bits(next(state))).collect::<Vec<f64>>();
    let (x, y) = (any(&mut state), any(&mut state));
    check_quotients(&x, &y);
}

/// In a program of many operations, in rounds whose vectors are at different places, of lanes of two sizes, and before a tail.
#[test]
fn among_other_operations() {
    if let Some(target) = &slow_divider() {
        for deep in [true, false] {
            let mut b = Builder::new();
            let operand = |b: &mut Builder, role, dtype| b.operand(role, dtype, Class::Contiguous);
            let inputs = [DType::F64, DType::F64, DType::F32].map(|dtype| operand(&mut b, Role::Input, dtype));
            let [x, y, z] = inputs.map(|k| b.load(k));
            let mut v = b.fdiv(x, y);
            if deep {
                for _ in 0..6 {
                    let square = b.fmul(v, v);
                    let sum = b.fadd(square, x);
                    let magnitude = b.fabs(sum);
                    let root = b.fsqrt(magnitude);
                    v = b.fdiv(root, y);
                }
            }
            let root = b.fsqrt(z);
            let narrow = b.fdiv(root, z);
            let wide = lower::cast(&mut b, DType::F32, DType::F64, narrow);
            // Of the second kind all lanes are of 8 bytes but for an output.
            let sum = if deep { v } else { b.fadd(v, wide) };
            let outs = [(sum, DType::F64), (narrow, DType::F32)].map(|(v, d)| (v, operand(&mut b, Role::Output, d)));
            outs.into_iter().for_each(|(v, k)| b.store(k, v));
            let kernel = b.finish();
            let [code, plain] =
                [Backend::Wide, Backend::Interp].map(|backend| Code::compile(&kernel, backend, target).unwrap());
            assert!(code.asm().unwrap().contains("vrcp14pd"));
            let mut state = 11;
            let x = numbers(&mut state, [-30, 30]);
            let y: Vec<f64> = numbers(&mut state, [-30, 30]).iter().map(|v| v + 1e-3).collect();
            let z: Vec<f32> = numbers(&mut state, [-30, 30]).iter().map(|v| v.abs() as f32).collect();
            for n in [1, 7, 8, 31, 32, 33, 100, 10_001] {
                let results = [&code, &plain].map(|code| {
                    let (mut a, mut b) = (vec![0f64; n], vec![0f32; n]);
                    let access = |step| Accessed { home: Home::Memory, offset: 0, strides: smallvec![step] };
                    let layout = Layout::new(&kernel.operands, &[n], [8, 8, 4, 8, 4].map(access)).unwrap();
                    let memory = [
                        Memory::Read(cast_slice(&x[..n]), 0),
                        Memory::Read(cast_slice(&y[..n]), 0),
                        Memory::Read(cast_slice(&z[..n]), 0),
                        Memory::Write(cast_slice_mut(&mut a)),
                        Memory::Write(cast_slice_mut(&mut b)),
                    ];
                    layout.bind(code, memory).unwrap().run();
                    let plain = |x: f64| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() };
                    a.into_iter().chain(b.into_iter().map(f64::from)).map(plain).collect::<Vec<u64>>()
                });
                assert!(results[0] == results[1], "{deep}, {n}");
            }
        }
    }
}

/// How many sixteenths are not the divider's, and that the tail is.
#[test]
fn as_many_as_the_other_units_have_time_for() {
    let share = |dtype: DType, make: &dyn Fn(&mut Builder, ValueId, ValueId) -> ValueId| {
        let mut b = Builder::new();
        let operands = [Role::Input, Role::Input, Role::Output].map(|role| b.operand(role, dtype, Class::Contiguous));
        let (x, y) = (b.load(operands[0]), b.load(operands[1]));
        let z = make(&mut b, x, y);
        b.store(operands[2], z);
        let kernel = b.finish();
        let plan = Plan::new(&kernel, 64, 32, Divider::Slowest);
        for divider in [Divider::Fast, Divider::Slow] {
            assert_eq!(Plan::new(&kernel, 64, 32, divider).newton, 0);
        }
        assert_eq!(Plan::draft(&kernel, 64, 32, Divider::Slowest).newton, 0);
        let code = encode_512(&kernel, Mode::Plain).unwrap();
        let begins = |i: &&iced_x86::Instruction| {
            let name = format!("{:?}", i.mnemonic());
            name.starts_with("Vrcp14") || name.starts_with("Vrsqrt14")
        };
        let last = code.iter().rposition(|i| begins(&i)).unwrap_or(0);
        let masked = |i: &iced_x86::Instruction| i.has_op_mask() && format!("{:?}", i.mnemonic()).starts_with("Vmovup");
        // All of the tail comes after it.
        assert!(code[last..].iter().any(masked), "{dtype}");
        (plan.newton, code.iter().filter(begins).count())
    };
    let quotient = |b: &mut Builder, x, y| b.fdiv(x, y);
    let length = |b: &mut Builder, x, y| {
        let (x, y) = (b.fmul(x, x), b.fmul(y, y));
        let sum = b.fadd(x, y);
        b.fsqrt(sum)
    };
    let logistic = |b: &mut Builder, x, _| {
        let (one, x) = (b.float(Ty::F64, 1.0), math::exp(b, x, Precision::Standard));
        let sum = b.fadd(one, x);
        b.fdiv(one, sum)
    };
    // Of four vectors in a round, and one behind it.
    assert_eq!(share(DType::F64, &quotient), (9, 3));
    assert_eq!(share(DType::F32, &quotient), (8, 3));
    assert_eq!(share(DType::F64, &length), (11, 3));
    assert_eq!(share(DType::F64, &logistic), (0, 0));
}

#[test]
fn quotients_near_halfway() {
    let mut state = 2;
    for bits in [53, 24] {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        for n in 0..3000 {
            // Also the significands near all ones, of which the reciprocal is the hardest.
            let top = (1 << bits) - 1 - 2 * n;
            let random = next(&mut state) >> (64 - bits + 1) | 1 << (bits - 1) | 1;
            for (d, count) in [(top, if n == 0 { 400 } else { 4 }), (random, 6)] {
                for found in halfway(d, bits, count) {
                    x.push(found as f64);
                    y.push(d as f64);
                }
            }
        }
        check_quotients(&x, &y);
    }
}

#[test]
fn special_roots() {
    let Some(single) = code(DType::F32, true) else { return };
    let mut state = 7;
    let mut x = special();
    x.extend((0..40_000).map(|_| f64::from_bits(next(&mut state))));
    for exponents in [[-900, 1024], [-70, 128], [0, 2]] {
        x.extend(numbers(&mut state, exponents).into_iter().map(f64::abs));
    }
    // Vectors of the same, of which none is to be made again, or all.
    x.extend(
        [0.0, -0.0, 2f64.powi(-900), 2f64.powi(-900).next_down(), f64::NAN, 1e308, 2.0].iter().flat_map(|&x| [x; 16]),
    );
    for target in slow_dividers() {
        check(&code_for(&target, DType::F64, true), &[&x], 1.0, |i| x[i].sqrt());
    }
    let x: Vec<f32> = x.iter().map(|&x| x as f32).collect();
    check(&single, &[&x], 1.0, |i| x[i].sqrt());
}

/// All `float64` of which the root is within 2^-45 of a unit in the last place from halfway between two numbers.
#[test]
fn roots_near_halfway() {
    let mut x = Vec::new();
    for (bits, r) in [54, 55].into_iter().flat_map(|bits| (-500..500).map(move |k| (bits, 8 * k + 1i64))) {
        // n^2 = r modulo 2^bits: a root of each r that is 1 modulo 8, bit by bit, and the three others.
        let off = |n: u64| n.wrapping_mul(n).wrapping_sub(r as u64);
        let root = (3..bits).fold(1u64, |n, bit| if off(n) >> bit & 1 == 1 { n + (1 << (bit - 1)) } else { n });
        assert_eq!(off(root) % (1 << bits), 0);
        for n in [root, root.wrapping_neg()].into_iter().flat_map(|n| [n, n.wrapping_add(1 << (bits - 1))]) {
            // n is of 54 bits and odd: n / 2 is halfway. It is the root of the number below but for r.
            let n = n % (1 << bits);
            if (1 << 53..1 << 54).contains(&n) {
                let number = (i128::from(n) * i128::from(n) - i128::from(r)) >> bits;
                x.push(number as f64 * if bits == 54 { 1.0 } else { 2.0 });
            }
        }
    }
    assert!(x.len() > 2000);
    for target in slow_dividers() {
        check(&code_for(&target, DType::F64, true), &[&x], 1.0, |i| x[i].sqrt());
    }
}

/// Of the four vectors of a round, two have roots that are not the divider's: of `float64`, and of programs that are not deep.
#[test]
fn every_second_root_on_zen_4() {
    use crate::target::Tuning::{Other, Zen4};
    let begun = |dtype: DType, deep: bool, tuning| {
        let mut b = Builder::new();
        let [x, y] = [Role::Input, Role::Output].map(|role| b.operand(role, dtype, Class::Contiguous));
        let x = b.load(x);
        let x = if deep { math::exp(&mut b, x, Precision::Standard) } else { x };
        let root = b.fsqrt(x);
        b.store(y, root);
        let code = crate::wide::instructions(&b.finish(), true, tuning, Mode::Plain).unwrap();
        code.iter().filter(|i| format!("{:?}", i.mnemonic()).starts_with("Vrsqrt14")).count()
    };
    assert_eq!(begun(DType::F64, false, Zen4), 2);
    assert_eq!(begun(DType::F64, true, Zen4), 0);
    assert_eq!(begun(DType::F32, false, Zen4), 0);
    assert_eq!(begun(DType::F64, false, Other), 0);
}

/// Every significand of `float32`, with an even exponent and an odd one.
#[test]
fn every_root() {
    let Some(code) = code(DType::F32, true) else { return };
    for part in 0..16 {
        let x: Vec<f32> = (0..1 << 20).map(|m| f32::from_bits((part << 20 | m) + (127 << 23))).collect();
        check(&code, &[&x], 1.0, |i| x[i].sqrt());
    }
}

//! Rows that are divided by inputs whose rows are all the same: a few columns after others.

use super::*;
use crate::kernel::{Kernel, Ty};
use crate::testing::{next, wide_targets};

/// `(x - m) / s`, or with a quotient alone of which both is the same in each row.
fn kernel(dtype: DType, moves: bool) -> Kernel {
    let mut b = Builder::new();
    let [x, m, s] = [0; 3].map(|_| b.operand(Role::Input, dtype, Class::Contiguous));
    let out = b.operand(Role::Output, dtype, Class::Contiguous);
    let [x, m, s] = [x, m, s].map(|k| b.load(k));
    let result = if moves {
        let x = b.fsub(x, m);
        b.fdiv(x, s)
    } else {
        let m = b.fdiv(m, s);
        b.fsub(x, m)
    };
    b.store(out, result);
    b.finish()
}

/// Numbers of all kinds: most of them near one, so that quotients and divisors are in range.
fn numbers(dtype: DType, n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let special = [0.0, -0.0, f64::INFINITY, f64::NAN, 1e-310, 1e300, -1e-30, 1e30, 3.0];
    let number = |_| {
        let bits = next(&mut state);
        match bits % 40 {
            k @ 0..9 => special[k as usize],
            _ => f64::from_bits(bits >> 12 | 0x3ff << 52) - 1.5,
        }
    };
    let all = (0..n).map(number);
    match Ty::of(dtype) {
        Ty::F64 => all.flat_map(f64::to_le_bytes).collect(),
        _ => all.flat_map(|x| (x as f32).to_le_bytes()).collect(),
    }
}

#[test]
fn rows_are_divided_column_by_column() {
    // Rows, columns, how far apart rows of the input lie, and whether that is too far, or there are few elements, or rows at a time.
    let shapes = [
        ([170, 100], 100, false),
        ([401, 41], 45, false),
        ([401, 41], 50, true),
        ([37, 450], 450, false),
        ([1900, 9], 9, false),
        ([100, 16], 16, true),
        ([20, 1100], 1100, true),
    ];
    for (dtype, moves) in [(DType::F64, true), (DType::F32, true), (DType::F64, false)] {
        let kernel = kernel(dtype, moves);
        let size = dtype.size();
        let interp = Code::compile(&kernel, Backend::Interp, Target::detect()).unwrap();
        for target in wide_targets() {
            for ([rows, columns], pitch, not) in shapes {
                let code = Code::compile(&kernel, Backend::Wide, &target).unwrap();
                let at = |row: usize| access(0, &[(row * size) as isize, size as isize]);
                let layout =
                    Layout::new(&kernel.operands, &[rows, columns], [at(pitch), at(0), at(0), at(columns)]).unwrap();
                let inputs = [rows * pitch, columns, columns].map(|n| numbers(dtype, n, n as u64));
                let [expected, whole, parts] = [(&interp, 0), (&code, 0), (&code, 3)].map(|(code, parts)| {
                    let mut memory = vec![[0u64; 8]; (rows * columns * size).div_ceil(64)];
                    let out = Memory::Write(&mut cast_slice_mut(&mut memory)[..rows * columns * size]);
                    let reads = inputs.iter().map(|bytes| Memory::Read(bytes, 0));
                    let mut launch = layout.bind(code, reads.chain([out])).unwrap();
                    match parts {
                        // Code is made for them after some.
                        0 => (0..40).for_each(|_| launch.run()),
                        _ => {
                            let parts = launch.parts(parts, 1);
                            while let Some(part) = parts.take(1) {
                                part.run();
                            }
                        }
                    }
                    // One NaN is as good as another.
                    let bits = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |bits, b| bits << 8 | u64::from(*b));
                    let plain = |bits: u64| match Ty::of(dtype) {
                        Ty::F64 if f64::from_bits(bits).is_nan() => u64::MAX,
                        Ty::F32 if f32::from_bits(bits as u32).is_nan() => u64::MAX,
                        _ => bits,
                    };
                    cast_slice::<_, u8>(&memory).chunks(size).map(|b| plain(bits(b))).collect::<Vec<u64>>()
                });
                let what = format!("{dtype}, {}, {:?}, {rows} x {columns}", target.name(), target.tuning());
                assert!(whole == expected, "{what}");
                assert!(parts == expected, "{what}, in parts");
                let zen4 = target.is_zen4();
                assert_eq!(code.holds(), zen4 && dtype == DType::F64 && moves && !not, "{what}");
            }
        }
    }
}

/// Other inputs may be the same in each row, and one that moves may be worked in place of: each choice has code of its own.
#[test]
fn each_choice_of_rows_that_stay_has_its_own_code() {
    let kernel = kernel(DType::F64, true);
    let interp = Code::compile(&kernel, Backend::Interp, Target::detect()).unwrap();
    let (rows, columns) = (200, 100);
    let dense = || access(0, &[8 * columns as isize, 8]);
    let row = || access(0, &[0, 8]);
    for target in wide_targets() {
        let code = Code::compile(&kernel, Backend::Wide, &target).unwrap();
        // The first is divided by what moves; the others by what stays.
        for (x_stays, m_stays, s_stays) in [(true, true, false), (false, false, true), (false, true, true)] {
            let of = |stays: bool| if stays { row() } else { dense() };
            let accesses = [of(x_stays), of(m_stays), of(s_stays), dense()];
            let layout = Layout::new(&kernel.operands, &[rows, columns], accesses).unwrap();
            let inputs = [3, 5, 7].map(|seed| numbers(DType::F64, rows * columns, seed));
            let outs = [&interp, &code].map(|code| {
                let mut out = vec![0.0f64; rows * columns];
                for _ in 0..if code.backend() == Backend::Wide { 30 } else { 1 } {
                    cast_slice_mut::<_, u8>(&mut out).copy_from_slice(&inputs[0]);
                    let x = if x_stays { Memory::Read(&inputs[0], 0) } else { Memory::InPlace(3) };
                    let others = inputs[1..].iter().map(|bytes| Memory::Read(bytes, 0));
                    let out = Memory::Write(cast_slice_mut(&mut out));
                    layout.bind(code, std::iter::once(x).chain(others).chain([out])).unwrap().run();
                }
                out.into_iter().map(|x| if x.is_nan() { 0 } else { x.to_bits() }).collect::<Vec<u64>>()
            });
            assert!(outs[0] == outs[1], "{}, {:?}, {x_stays}, {m_stays}, {s_stays}", target.name(), target.tuning());
        }
        assert_eq!(code.holds(), target.is_zen4());
    }
}

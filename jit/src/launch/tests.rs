use super::layout::{TILE_COLUMNS, TILE_CONFLICTS};
use super::*;
use crate::target::Tuning;
use crate::{Backend, Builder, Target};
use bytemuck::{cast_slice, cast_slice_mut};
use lazuli_graph::DType;
use smallvec::smallvec;

mod far;
#[cfg(target_arch = "x86_64")]
mod held;

/// `z = x - y`, strided operands.
fn subtract(dtype: DType) -> Code {
    let mut b = Builder::new();
    let class = Class::Strided;
    let (x, y) = (b.operand(Role::Input, dtype, class), b.operand(Role::Input, dtype, class));
    let (x, y) = (b.load(x), b.load(y));
    let z = if dtype.is_float() { b.fsub(x, y) } else { b.isub(x, y) };
    let out = b.operand(Role::Output, dtype, class);
    b.store(out, z);
    Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap()
}

/// `y = x`, dense.
fn copy(home: Home) -> (Code, Layout) {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::I32, Class::Contiguous);
    let x = b.load(x);
    let out = b.operand(Role::Output, DType::I32, Class::Contiguous);
    b.store(out, x);
    let code = Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap();
    let access = |home| Accessed { home, offset: 0, strides: smallvec![40, 4] };
    let layout = Layout::new(&code.kernel().operands, &[3, 8], [access(Home::Memory), access(home)]).unwrap();
    (code, layout)
}

fn access(offset: isize, strides: &[isize]) -> Accessed {
    Accessed { home: Home::Memory, offset, strides: SmallVec::from_slice(strides) }
}

fn layout(extents: &[usize], accesses: [Accessed; 3]) -> Result<Layout, LaunchError> {
    Layout::new(&subtract(DType::F64).kernel().operands, extents, accesses)
}

/// Runs `z = x - y` over what the layout says.
fn run(layout: &Layout, x: (&[f64], usize), y: &[f64], z: &mut [f64]) -> Result<(), LaunchError> {
    let code = subtract(DType::F64);
    let memory = [Memory::Read(cast_slice(x.0), x.1), Memory::Read(cast_slice(y), 0), Memory::Write(cast_slice_mut(z))];
    layout.bind(&code, memory)?.run();
    Ok(())
}

#[test]
fn one_layout_serves_many_buffers() {
    // Columns of x, flipped, minus a row that is repeated.
    let layout = layout(&[2, 3], [access(0, &[-8, 16]), access(0, &[0, 8]), access(0, &[24, 8])]).unwrap();
    assert_eq!(layout.elements(), 6);
    for scale in [1.0, 10.0] {
        let x: Vec<f64> = (0..6).map(|i| i as f64 * scale).collect();
        let mut z = [0.0; 6];
        run(&layout, (&x, 8), &[1.0, 2.0, 3.0], &mut z).unwrap();
        assert_eq!(z, [0, 1, 2, 3, 4, 5].map(|i| x[2 * (i % 3) + 1 - i / 3] - (i % 3 + 1) as f64));
    }
}

#[test]
fn every_call_is_held_against_its_memory() {
    let layout = layout(&[2, 3], [access(0, &[-8, 16]), access(0, &[0, 8]), access(0, &[24, 8])]).unwrap();
    let (x, y, mut z) = ([0.0; 6], [0.0; 3], [0.0; 6]);
    let wrong = |result: Result<(), LaunchError>, operand, what| {
        assert_eq!(result, Err(LaunchError::Operand { operand, what }));
    };
    assert_eq!(run(&layout, (&x, 8), &y, &mut z), Ok(()));
    // Before the memory, behind it, with a start that overflows.
    wrong(run(&layout, (&x, 0), &y, &mut z), 0, "read outside its memory");
    wrong(run(&layout, (&x, 16), &y, &mut z), 0, "read outside its memory");
    wrong(run(&layout, (&x, usize::MAX), &y, &mut z), 0, "read outside its memory");
    wrong(run(&layout, (&x, isize::MAX as usize), &y, &mut z), 0, "read outside its memory");
    wrong(run(&layout, (&x[1..], 8), &y, &mut z), 0, "read outside its memory");
    wrong(run(&layout, (&x, 8), &y[1..], &mut z), 1, "read outside its memory");
    wrong(run(&layout, (&x, 8), &y, &mut z[1..]), 2, "write outside its memory");
}

#[test]
fn kernel_and_memory_must_be_those_of_the_layout() {
    let layout = layout(&[4], [access(0, &[8]), access(0, &[8]), access(0, &[8])]).unwrap();
    let (x, mut z) = ([0u8; 32], [0u8; 32]);
    let code = subtract(DType::I64);
    let memory = [Memory::Read(&x, 0), Memory::Read(&x, 0), Memory::Write(&mut z)];
    let what = "is another one in the kernel";
    assert_eq!(layout.bind(&code, memory).err(), Some(LaunchError::Operand { operand: 0, what }));
    let code = subtract(DType::F64);
    let memory = [Memory::Read(&x, 0), Memory::Read(&x, 0)];
    assert_eq!(layout.bind(&code, memory).err(), Some(LaunchError::Count { expected: 3, given: 2 }));
    let what = "memory does not suit the operand's role";
    for memory in [
        [Memory::Read(&x, 0), Memory::Read(&x, 0), Memory::Read(&x, 0)],
        [Memory::Read(&x, 0), Memory::Read(&x, 0), Memory::Nothing],
    ] {
        assert_eq!(layout.bind(&code, memory).err(), Some(LaunchError::Operand { operand: 2, what }));
    }
    let (code, _) = copy(Home::Memory);
    assert!(matches!(layout.bind(&code, []).err(), Some(LaunchError::Count { expected: 2, given: 3 })));
}

#[test]
fn layouts_are_checked() {
    let plain = || access(0, &[8]);
    let what = |extents: &[usize], accesses| match layout(extents, accesses) {
        Err(LaunchError::Operand { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(what(&[4], [plain(), plain(), access(0, &[0])]), "elements of an output coincide");
    assert_eq!(what(&[4], [plain(), plain(), access(0, &[8, 8])]), "wrong number of strides");
    assert_eq!(what(&[4], [access(0, &[isize::MAX]), plain(), plain()]), "reaches further than addresses do");
    let index = Accessed { home: Home::Index, offset: 0, strides: smallvec![1] };
    assert_eq!(what(&[4], [index, plain(), plain()]), "memory does not suit the operand's role");
    let large = [1 << 40, 1 << 40];
    let result = layout(&large, [access(0, &[0, 0]), access(0, &[0, 0]), access(0, &[0, 0])]);
    assert_eq!(result.err(), Some(LaunchError::Extents));
}

#[test]
fn in_place_of_the_same_layout_only() {
    let code = subtract(DType::F64);
    let mut z = [5.0, 6.0, 7.0];
    let y = [1.0, 2.0, 3.0];
    let same = layout(&[3], [access(0, &[8]), access(0, &[8]), access(0, &[8])]).unwrap();
    let memory = [Memory::InPlace(2), Memory::Read(cast_slice(&y), 0), Memory::Write(cast_slice_mut(&mut z))];
    same.bind(&code, memory).unwrap().run();
    assert_eq!(z, [4.0, 4.0, 4.0]);
    for first in [access(8, &[8]), access(16, &[-8])] {
        let other = layout(&[3], [first, access(0, &[8]), access(0, &[8])]).unwrap();
        let memory = [Memory::InPlace(2), Memory::Read(cast_slice(&y), 0), Memory::Write(cast_slice_mut(&mut z))];
        let what = "works in place of another layout";
        assert_eq!(other.bind(&code, memory).err(), Some(LaunchError::Operand { operand: 0, what }));
    }
}

#[test]
fn parts_cover_everything_once() {
    for (extents, strides) in [(&[1000usize][..], &[8isize][..]), (&[7, 11, 13], &[1144, 104, 8]), (&[], &[])] {
        let layout = layout(extents, [access(0, strides), access(0, strides), access(0, strides)]).unwrap();
        let n = layout.elements();
        let x: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let (y, mut z) = (vec![1.0; n], vec![0.0; n]);
        let code = subtract(DType::F64);
        let memory =
            [Memory::Read(cast_slice(&x), 0), Memory::Read(cast_slice(&y), 0), Memory::Write(cast_slice_mut(&mut z))];
        let launch = layout.bind(&code, memory).unwrap();
        let parts = launch.parts(5, 1);
        let mut left: Vec<Part> = std::iter::from_fn(|| parts.take(1)).collect();
        assert_eq!(left.len(), parts.count());
        assert!(parts.take(1).is_none());
        assert_eq!(left.iter().map(Part::elements).sum::<usize>(), n);
        assert!(left.iter().rev().enumerate().all(|(behind, part)| part.is_last() == (behind == 0)));
        // In any order.
        left.reverse();
        left.into_iter().for_each(Part::run);
        assert!(z.iter().enumerate().all(|(i, &z)| z == i as f64 - 1.0));
        // Several at a time, and more than there are.
        z.fill(0.0);
        let memory =
            [Memory::Read(cast_slice(&x), 0), Memory::Read(cast_slice(&y), 0), Memory::Write(cast_slice_mut(&mut z))];
        let launch = layout.bind(&code, memory).unwrap();
        let parts = launch.parts(8, 1);
        let runs: Vec<Part> = [3, 1, 2, usize::MAX].into_iter().filter_map(|k| parts.take(k)).collect();
        assert_eq!(runs.iter().map(Part::elements).sum::<usize>(), n);
        assert!(parts.take(usize::MAX).is_none() && parts.take(1).is_none());
        runs.into_iter().for_each(Part::run);
        assert!(z.iter().enumerate().all(|(i, &z)| z == i as f64 - 1.0));
    }
}

/// Where there are enough, parts have whole rows; of short ones whole lines, too.
#[test]
fn parts_have_whole_rows() {
    let code = subtract(DType::F64);
    for (rows, width, unit) in [(320, 100, 100), (9000, 3, 192), (40, 100, 64), (200, 3, 64)] {
        let strides = [8 * width as isize + 8, 8];
        let layout = layout(&[rows, width], [access(0, &strides), access(0, &strides), access(0, &strides)]).unwrap();
        let x = vec![1.0; rows * (width + 1)];
        let mut z = vec![0.0; x.len()];
        let read = || Memory::Read(cast_slice(&x), 0);
        let launch = layout.bind(&code, [read(), read(), Memory::Write(cast_slice_mut(&mut z))]).unwrap();
        let parts = launch.parts(8, 1);
        let mut lengths: Vec<usize> = std::iter::from_fn(|| parts.take(1)).map(|p| p.elements()).collect();
        lengths.pop();
        let text = format!("{rows} x {width}: {lengths:?}");
        assert!(lengths.len() >= 4 && lengths.iter().all(|n| n.is_multiple_of(unit)), "{text}");
        assert!(unit == 64 || lengths.iter().all(|n| n.is_multiple_of(width)), "{text}");
    }
}

#[test]
fn transposed_inputs_are_read_in_tiles() {
    for (rows, columns, tile) in [(130, 600, Some(TILE_COLUMNS)), (512, 513, Some(TILE_CONFLICTS)), (60, 600, None)] {
        let (along, across) = ([rows as isize * 8, 8], [columns as isize * 8, 8]);
        let strides = [[across[1], along[0]], across, across];
        let layout = layout(
            &[2, rows, columns],
            strides.map(|[s1, s0]| {
                let outer = if s0 == 8 { rows as isize * s1 } else { columns as isize * s0 };
                access(0, &[outer, s1, s0])
            }),
        );
        let layout = layout.unwrap();
        assert_eq!(layout.tile().map(|t| t[1]), tile);
        let n = layout.elements();
        let x: Vec<f64> = (0..n).map(|i| i as f64).collect();
        let y: Vec<f64> = (0..n).map(|i| 0.5 * i as f64).collect();
        let code = subtract(DType::F64);
        for parts in [None, Some(1), Some(3), Some(50)] {
            let mut z = vec![f64::NAN; n];
            let memory = [
                Memory::Read(cast_slice(&x), 0),
                Memory::Read(cast_slice(&y), 0),
                Memory::Write(cast_slice_mut(&mut z)),
            ];
            let mut launch = layout.bind(&code, memory).unwrap();
            match parts {
                None => launch.run(),
                Some(count) => {
                    let parts = launch.parts(count, 1);
                    std::iter::from_fn(|| parts.take(1)).for_each(Part::run);
                }
            }
            for (i, z) in z.into_iter().enumerate() {
                let (plane, row, column) = (i / (rows * columns), i / columns % rows, i % columns);
                assert_eq!(z, (plane * rows * columns + column * rows + row) as f64 - 0.5 * i as f64, "element {i}");
            }
        }
    }
}

#[test]
fn rectangles_are_what_fill_would_read() {
    let (code, layout) = copy(Home::Scratch);
    let x: Vec<i32> = (0..28).collect();
    let launch = layout.bind(&code, [Memory::Read(cast_slice(&x), 0), Memory::Nothing]).unwrap();
    for rows in [0..3, 0..1, 1..3, 2..2] {
        for columns in [0..8, 3..8, 0..1, 4..4] {
            let mut filled = vec![0i32; rows.len() * columns.len()];
            launch.fill(1, rows.clone(), columns.clone(), &mut [cast_slice_mut(&mut filled)]);
            let (bytes, pitch) = launch.rectangle(0, 1, rows.clone(), columns.clone()).unwrap();
            let seen = (0..rows.len()).flat_map(|r| {
                let row: &[i32] = cast_slice(&bytes[r * pitch..][..columns.len() * 4]);
                row.to_vec()
            });
            assert!(columns.is_empty() || seen.eq(filled.iter().copied()), "{rows:?} {columns:?}");
        }
    }
    // Outside the space, of an output, and where rows have gaps.
    assert!(launch.rectangle(0, 1, 0..4, 0..8).is_none());
    assert!(launch.rectangle(0, 1, 0..3, 0..9).is_none());
    assert!(launch.rectangle(1, 1, 0..3, 0..8).is_none());
    assert!(launch.rectangle(0, 0, 0..1, 0..24).is_none());
    // Memory that is written is not given out.
    let (code, layout) = copy(Home::Memory);
    let mut y = vec![0i32; 28];
    let memory = [Memory::Read(cast_slice(&x), 0), Memory::Write(cast_slice_mut(&mut y))];
    assert!(layout.bind(&code, memory).unwrap().rectangle(0, 1, 0..3, 0..8).is_none());
}

/// States that never left the registers are those of elements that were stored first, bit by bit.
#[test]
fn folding_gives_the_states_of_blocks() {
    // Tuned to Intel's CPUs, divisions by a value of the row are multiplications.
    for tuning in [Tuning::Other, Tuning::Zen4, Tuning::Intel] {
        let target = Target::detect().clone().tuned_to(tuning);
        if Backend::Wide.why_not(&target).is_none() {
            fold_blocks(&target);
        }
    }
}

fn fold_blocks(target: &Target) {
    use crate::reduce::Reduction;
    use DType::*;
    use lazuli_graph::MapOp;
    use lazuli_graph::ReduceOp::{self, *};
    let special = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, -1e308];
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state >> 33
    };
    for dtype in [F64, F32, F16, BF16, I64, U64, I32, U32] {
        for op in [Sum, Prod, Min, Max].into_iter().filter(|op: &ReduceOp| op.operand_dtype(dtype) == dtype) {
            let reduction = Reduction::new(op, dtype, false);
            for [class, other] in [
                [Class::Contiguous, Class::Contiguous],
                [Class::Strided, Class::Broadcast],
                [Class::Contiguous, Class::Broadcast],
            ] {
                // z = x + y or x / y, in the lanes of the dtype.
                let contiguous = dtype.is_float() && class == Class::Contiguous;
                let divides = contiguous && other == Class::Broadcast;
                let map = if contiguous { MapOp::Divide } else { MapOp::Add };
                let mut b = Builder::new();
                let (x, y) = (b.operand(Role::Input, dtype, class), b.operand(Role::Input, dtype, other));
                let (x, y) = (b.load(x), b.load(y));
                let z = crate::lower::map(&mut b, map, dtype, &[x, y], Default::default());
                let out = b.operand(Role::Output, dtype, Class::Contiguous);
                b.store(out, z);
                let kernel = b.finish();
                let Ok(folding) = Code::folding(&kernel, &[reduction], target) else {
                    assert!(matches!((op, dtype), (Min | Max, F16 | BF16)), "{op} {dtype} {class:?}");
                    continue;
                };
                #[cfg(target_arch = "x86_64")]
                {
                    let (states, joins) = crate::reduce::states(&kernel, &[reduction]).unwrap();
                    for far in [None, Some(Streams::One)] {
                        let mode = crate::wide::Mode::Fold { joins: &joins, block: reduction.block(), far };
                        let asm = crate::wide::encode_512(&states, mode).unwrap();
                        let asks = asm.iter().any(|i| i.code() == iced_x86::Code::Prefetcht0_m8);
                        let multiplies =
                            |i: &iced_x86::Instruction| format!("{:?}", i.mnemonic()).starts_with("Vptestnm");
                        assert_eq!(asm.iter().any(multiplies), divides, "{op} {dtype}");
                        let iterates = |i: &iced_x86::Instruction| format!("{:?}", i.mnemonic()).starts_with("Vrcp14");
                        let other = contiguous && !divides && dtype == F64;
                        assert!(asm.iter().any(iterates) || !other, "{op} {dtype}");
                        assert!(asm.len() > 20 && asks == (far.is_some() && class == Class::Contiguous));
                    }
                }
                let plain = Code::compile(&kernel, Backend::Interp, target).unwrap();
                let size = dtype.size() as isize;
                for width in [1, 3, 4, 5, 15, 16, 17, 31, 32, 33, 63, 100, 255, 256, 257, 511, 512, 513, 1100] {
                    for rows in [1, 3] {
                        for from in [0, width.min(2) - 1] {
                            let step = if class == Class::Strided { 2 } else { 1 };
                            let len = step as usize * width * rows + 8;
                            let mut bytes = |n: usize| -> Vec<u8> {
                                let mut element = |_| {
                                    let x = match random() % 20 {
                                        0..2 => special[random() as usize % 8],
                                        _ => random() as f64 / (1u64 << 27) as f64 - 8.0,
                                    };
                                    let bits = match dtype {
                                        F64 => x.to_bits(),
                                        F32 => (x as f32).to_bits().into(),
                                        F16 => crate::half::f32_to_f16(x as f32).into(),
                                        BF16 => crate::half::f32_to_bf16(x as f32).into(),
                                        _ => random() << 40 | random() << 20 ^ random(),
                                    };
                                    bits.to_le_bytes().into_iter().take(dtype.size())
                                };
                                (0..n).flat_map(&mut element).collect()
                            };
                            let (x, y) = (bytes(len), bytes(len));
                            let moving = |class: Class, step: isize| match class {
                                Class::Broadcast => [size, 0],
                                _ => [size * step * width as isize, size * step],
                            };
                            let access = |strides: [isize; 2], home| Accessed {
                                home,
                                offset: 0,
                                strides: SmallVec::from_slice(&strides),
                            };
                            let accesses = [
                                access(moving(class, step), Home::Memory),
                                access(moving(other, 1), Home::Memory),
                                access([size * width as isize, size], Home::Scratch),
                            ];
                            let layout = Layout::new(&kernel.operands, &[rows, width], accesses).unwrap();
                            let memory = || [Memory::Read(&x, 0), Memory::Read(&y, 0), Memory::Nothing];
                            let columns = from..width;
                            let block = reduction.block();
                            let blocks = columns.len().div_ceil(block);
                            let state = reduction.state_size();
                            let mut got = vec![0u64; (rows * blocks * state).div_ceil(8)];
                            let mut launch = layout.bind(&folding, memory()).unwrap();
                            launch.fold(1, 0..rows, columns.clone(), &mut [cast_slice_mut(&mut got)]);
                            let mut far = vec![0u64; got.len()];
                            launch.ahead();
                            launch.fold(1, 0..rows, columns.clone(), &mut [cast_slice_mut(&mut far)]);
                            assert!(got == far, "{op} {dtype}");
                            let mut tile = vec![0u64; (rows * columns.len() * dtype.size()).div_ceil(8)];
                            let tile: &mut [u8] = cast_slice_mut(&mut tile);
                            layout.bind(&plain, memory()).unwrap().fill(1, 0..rows, columns.clone(), &mut [tile]);
                            let mut expected = vec![0u64; (rows * blocks * state).div_ceil(8)];
                            let states: &mut [u8] = cast_slice_mut(&mut expected);
                            for row in 0..rows {
                                for (i, start) in (0..columns.len()).step_by(block).enumerate() {
                                    let n = block.min(columns.len() - start);
                                    let at = row * columns.len() + start;
                                    let data: Vec<u64> = {
                                        let mut copy = vec![0u64; (n * dtype.size()).div_ceil(8)];
                                        let bytes: &mut [u8] = cast_slice_mut(&mut copy);
                                        bytes[..n * dtype.size()]
                                            .copy_from_slice(&tile[at * dtype.size()..(at + n) * dtype.size()]);
                                        copy
                                    };
                                    let data = &cast_slice::<u64, u8>(&data)[..n * dtype.size()];
                                    let to = (row * blocks + i) * state;
                                    reduction.inner(data, start as u64, &mut states[to..to + state]);
                                }
                            }
                            let (got, expected) = (cast_slice::<u64, u8>(&got), cast_slice::<u64, u8>(&expected));
                            let what = format!("{op} {dtype} {class:?} {rows} x {width} from {from}");
                            same_states(got, expected, reduction.state_size(), op, dtype, &what);
                        }
                    }
                }
            }
        }
    }
}

/// Equal bits, where NaN is NaN.
fn same_states(got: &[u8], expected: &[u8], size: usize, op: lazuli_graph::ReduceOp, dtype: DType, what: &str) {
    let float = dtype.is_float() && matches!(op, lazuli_graph::ReduceOp::Sum | lazuli_graph::ReduceOp::Prod);
    let nan = |bytes: &[u8]| match bytes.try_into() {
        Ok(eight) => f64::from_le_bytes(eight).is_nan(),
        Err(_) => bytes.try_into().is_ok_and(|four| f32::from_le_bytes(four).is_nan()),
    };
    for (i, (g, e)) in got.chunks(size).zip(expected.chunks(size)).enumerate() {
        assert!(g == e || (float && nan(g) && nan(e)), "{what}, state {i}: {g:x?} is not {e:x?}");
    }
}

/// A program that is one chain has rounds of six vectors; the input may begin anywhere.
#[test]
fn chains_at_every_alignment() {
    let target = Target::detect();
    if Backend::Wide.why_not(target).is_some() {
        return;
    }
    for dtype in [DType::F64, DType::F32] {
        let mut b = Builder::new();
        let x = b.operand(Role::Input, dtype, Class::Contiguous);
        let out = b.operand(Role::Output, dtype, Class::Contiguous);
        let x = b.load(x);
        let mut sum = b.float(b.ty(x), 0.1);
        for i in 2..10 {
            let product = b.fmul(sum, x);
            let constant = b.float(b.ty(x), f64::from(i) * 0.1);
            sum = b.fadd(product, constant);
        }
        b.store(out, sum);
        let kernel = b.finish();
        let codes = [Backend::Interp, Backend::Wide].map(|k| Code::compile(&kernel, k, target).unwrap());
        // Each of eight multiplications stands there for six vectors, for a whole one and for the tail.
        let asm = codes[1].asm().unwrap();
        assert_eq!(asm.lines().filter(|l| l.contains("vmulp")).count(), 8 * (6 + 1 + 1), "{asm}");
        let size = dtype.size();
        let bytes: Vec<u8> = match dtype {
            DType::F64 => (0..1000).flat_map(|i| (f64::from(i) * 0.003 - 1.0).to_le_bytes()).collect(),
            _ => (0..1000).flat_map(|i| (i as f32 * 0.003 - 1.0).to_le_bytes()).collect(),
        };
        let mut memory = vec![0u8; bytes.len() + 64];
        let begin = memory.as_ptr().align_offset(64);
        memory[begin..begin + bytes.len()].copy_from_slice(&bytes);
        for start in 0..9 {
            for n in [1, 31, 64, 100, 511, 512, 513, 700, 900] {
                let mut outs = [0, 1].map(|_| vec![0u64; 1000]);
                for (code, out) in codes.iter().zip(&mut outs) {
                    let layout =
                        Layout::new(&kernel.operands, &[n], [0, 1].map(|_| access(0, &[size as isize]))).unwrap();
                    let read = Memory::Read(&memory[begin..], start * size);
                    layout.bind(code, [read, Memory::Write(cast_slice_mut(out))]).unwrap().run();
                }
                assert!(outs[0] == outs[1], "{dtype}: {n} from {start}");
            }
        }
    }
}

/// Rows that are added to states in one kernel give what rows give that were stored first.
#[test]
fn accumulating_is_adding_rows() {
    use crate::reduce::Reduction;
    use lazuli_graph::ReduceOp::*;
    let target = &Target::detect().clone().tuned_to(Tuning::Zen4);
    for backend in Backend::ALL.into_iter().filter(|b| b.why_not(target).is_none()) {
        for (op, dtype) in [(Sum, DType::F64), (Prod, DType::F32), (Max, DType::F64), (Min, DType::I32)] {
            for fixed in [false, true] {
                let (code, reduction) = (subtract(dtype), Reduction::new(op, dtype, false));
                let mut kernel = code.kernel().clone();
                kernel.operands[1..].iter_mut().for_each(|o| o.class = Class::Contiguous);
                let fixed_operands = [false, fixed, false];
                let adding = Code::accumulating(&kernel, &[reduction], &fixed_operands, backend, target).unwrap();
                let plain = Code::compile(&kernel, Backend::Interp, target).unwrap();
                let (size, state) = (dtype.size(), reduction.state_size());
                let values: Vec<u64> = (0..8000).map(|i: u64| (i as f64 * 0.7).sin().to_bits()).collect();
                let floats: Vec<f32> = (0..16000).map(|i| (i as f32 * 0.7).sin() + 1.1).collect();
                let bytes: &[u8] = if dtype == DType::F64 { cast_slice(&values) } else { cast_slice(&floats) };
                let mut far_rows = false;
                for rows in [1, 2, 3, 4, 5, 11] {
                    for columns in [0..1, 1..7, 0..33, 5..90] {
                        let width = 90;
                        let pitch = (width * size) as isize;
                        // Two runs of rows, of which the second is read; x in the other order of columns.
                        let strides = |s: isize| [pitch * rows as isize, s, size as isize];
                        let mut x = access(pitch - size as isize, &strides(pitch));
                        x.strides[2] = -(size as isize);
                        let y = access(8, &strides(if fixed { 0 } else { pitch }));
                        let out = Accessed { home: Home::Scratch, ..access(0, &strides(pitch)) };
                        let layout = Layout::new(&kernel.operands, &[2, rows, width], [x, y, out]).unwrap();
                        let memory = || [Memory::Read(bytes, 0), Memory::Read(bytes, 0), Memory::Nothing];
                        let (all, n) = (rows..2 * rows, columns.len());
                        let mut buffers = [0; 3].map(|_| vec![0u64; (n * state).div_ceil(8)]);
                        let [got, far, expected] = buffers.each_mut().map(|v| {
                            let bytes = &mut cast_slice_mut::<u64, u8>(v)[..n * state];
                            reduction.identity(bytes);
                            bytes
                        });
                        let mut launch = layout.bind(&adding, memory()).unwrap();
                        launch.accumulate(2, all.clone(), columns.clone(), &mut [&mut *got]);
                        launch.ahead();
                        launch.accumulate(2, all.clone(), columns.clone(), &mut [&mut *far]);
                        let mut tile = vec![0u64; (rows * n * size).div_ceil(8)];
                        let tile = &mut cast_slice_mut::<u64, u8>(&mut tile)[..rows * n * size];
                        layout.bind(&plain, memory()).unwrap().fill(2, all, columns.clone(), &mut [&mut *tile]);
                        reduction.outer(tile, rows, n, 0, expected);
                        assert!(got == expected, "{backend}: {op} {dtype} of {rows} rows, {columns:?}, {fixed}");
                        let asm = adding.columns_far().unwrap_or_default();
                        let asks = asm.contains("prefetcht1");
                        // A row that is the same for all, and what goes backwards, are not asked for, nor are short rows.
                        far_rows |= rows >= 4 && n >= 64;
                        assert_eq!(asks, backend == Backend::Wide && !fixed && far_rows, "{backend}: {asm}");
                        assert!(far == expected, "{backend}, far: {op} {dtype} of {rows} rows, {columns:?}, {fixed}");
                    }
                }
            }
        }
    }
}

/// On Zen 4, short programs of floats that read the same memory at three places or more have vectors of 256 bits.
#[test]
#[cfg(target_arch = "x86_64")]
fn programs_that_read_neighbours_have_narrower_vectors() {
    let target = |name: &str, tuning| -> Option<&'static Target> {
        Target::by_name(name).ok().map(|t| &*Box::leak(Box::new(t.tuned_to(tuning))))
    };
    let Some(zen4) = target("x86-64-v4", Tuning::Zen4) else { return };
    // The sum of inputs, of which the first may be divided.
    let sum = |dtype: DType, inputs: usize, divides: bool| {
        let mut b = Builder::new();
        let operands: Vec<u32> = (0..inputs).map(|_| b.operand(Role::Input, dtype, Class::Contiguous)).collect();
        let values: Vec<_> = operands.into_iter().map(|x| b.load(x)).collect();
        let first = if divides { b.fdiv(values[0], values[1]) } else { values[0] };
        let total = values[1..]
            .iter()
            .fold(first, |total, &x| if dtype.is_float() { b.fadd(total, x) } else { b.iadd(total, x) });
        let out = b.operand(Role::Output, dtype, Class::Contiguous);
        b.store(out, total);
        b.finish()
    };
    let vectors = |kernel: &crate::Kernel, target: &'static Target, columns: usize, memories: &[u32], apart: usize| {
        let size = kernel.operands[0].dtype.size() as isize;
        let row = (columns + 100) as isize * size;
        let accesses = (0..memories.len()).map(|k| access((k * apart) as isize * size, &[row, size]));
        let accesses = accesses.chain([access(0, &[columns as isize * size, size])]);
        let layout = Layout::new(&kernel.operands, &[5, columns], accesses).unwrap();
        let memories: Vec<Option<u32>> = memories.iter().map(|&m| Some(m)).chain([Some(100)]).collect();
        layout.target(kernel, &memories, target).vector_bits()
    };
    let kernel = sum(DType::F64, 3, false);
    assert_eq!(vectors(&kernel, zen4, 32, &[1, 1, 1], 1), 256);
    // Several memories, or places far from one another; short rows; other CPUs.
    assert_eq!(vectors(&kernel, zen4, 32, &[1, 2, 1], 1), 512);
    assert_eq!(vectors(&kernel, zen4, 32, &[1, 1, 1], 40), 512);
    assert_eq!(vectors(&kernel, zen4, 31, &[1, 1, 1], 1), 512);
    for tuning in [Tuning::Intel, Tuning::Other] {
        assert_eq!(vectors(&kernel, target("x86-64-v4", tuning).unwrap(), 32, &[1, 1, 1], 1), 512);
    }
    assert_eq!(vectors(&sum(DType::F32, 4, false), zen4, 64, &[1, 2, 1, 1], 1), 256);
    // Few places; what is not as fast; integers.
    assert_eq!(vectors(&sum(DType::F64, 2, false), zen4, 100, &[1, 1], 1), 512);
    assert_eq!(vectors(&sum(DType::F64, 3, true), zen4, 100, &[1, 1, 1], 1), 512);
    assert_eq!(vectors(&sum(DType::I64, 3, false), zen4, 100, &[1, 1, 1], 1), 512);
    assert_eq!(vectors(&sum(DType::F64, 30, false), zen4, 100, &[1; 30], 1), 512);
}

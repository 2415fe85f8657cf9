//! What cannot be bound, and a run over several chunks; bits are compared with untiled execution in `lazuli-tests`.

use super::*;
use crate::launch::Streams;
use crate::{Backend, Builder, Target};
use lazuli_graph::DType;

#[cfg(target_arch = "x86_64")]
mod columns;
#[cfg(target_arch = "x86_64")]
mod whole;

/// `out = x + y` with these stride classes.
fn add(y: Class) -> Code {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
    let y = b.operand(Role::Input, DType::F64, y);
    let out = b.operand(Role::Output, DType::F64, Class::Contiguous);
    let (x, y) = (b.load(x), b.load(y));
    let sum = b.fadd(x, y);
    b.store(out, sum);
    Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap()
}

/// A tile that is a copy of the input.
fn copy() -> Code {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
    let out = b.operand(Role::Output, DType::F64, Class::Contiguous);
    let x = b.load(x);
    b.store(out, x);
    Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap()
}

fn binding(source: RowSource, strides: &[isize]) -> RowBinding {
    RowBinding { source, offset: 0, strides: SmallVec::from_slice(strides) }
}

fn stage<'k>(code: &'k Code, extents: &[usize], bindings: &[RowBinding], sinks: &[RowSink]) -> RowStage<'k> {
    RowStage {
        kernel: code.kernel(),
        extents: SmallVec::from_slice(extents),
        bindings: bindings.iter().cloned().collect(),
        sinks: SmallVec::from_slice(sinks),
    }
}

fn sum(memory: usize) -> RowSink {
    RowSink { reduction: Reduction::new(lazuli_graph::ReduceOp::Sum, DType::F64, false), tile: 0, memory }
}

#[test]
fn chunks_of_rows_go_through_all_stages() {
    const ROWS: usize = 7;
    const WIDTH: usize = 3;
    let x: Vec<f64> = (0..ROWS * WIDTH).map(|i| i as f64).collect();
    let (copy, add) = (copy(), add(Class::Broadcast));
    for chunk in [1, 2, 3, 7, 100] {
        for parts in [1, 2, 5, 100] {
            let mut out = vec![0f64; ROWS * WIDTH];
            let places = [RowPlace::Read, RowPlace::Temporary { row: 8 }, RowPlace::Write { row: 8 * WIDTH }];
            let memories = [
                RowMemory::Read(bytemuck::cast_slice(&x), 0),
                RowMemory::Nothing,
                RowMemory::Write(bytemuck::cast_slice_mut(&mut out)),
            ];
            let m = RowSource::Memory;
            let stages = [
                stage(&copy, &[ROWS, WIDTH], &[binding(m(0), &[24, 8]), binding(RowSource::Tile, &[24, 8])], &[sum(1)]),
                stage(
                    &add,
                    &[ROWS, WIDTH],
                    &[binding(m(0), &[24, 8]), binding(m(1), &[8, 0]), binding(m(2), &[24, 8])],
                    &[],
                ),
            ];
            let layout = RowLayout::new(ROWS, chunk, places, stages).unwrap();
            let mut rows = layout.bind([&copy, &add], memories).unwrap();
            let mut scratch = vec![[0u64; 8]; rows.scratch() / 64 + 2];
            let skip = scratch.as_ptr().cast::<u8>().align_offset(64);
            let scratch = &mut bytemuck::cast_slice_mut::<_, u8>(&mut scratch)[skip..];
            let mut told = 0;
            for part in rows.parts(parts) {
                part.run(scratch, |rows| {
                    told += rows;
                    Ok::<(), ()>(())
                })
                .unwrap();
            }
            assert_eq!(told, ROWS);
            let expected: Vec<f64> =
                x.chunks(WIDTH).flat_map(|r| r.iter().map(|v| v + r.iter().sum::<f64>())).collect();
            assert_eq!(out, expected, "chunk {chunk}, {parts} parts");
        }
    }
}

/// What no stage reads is written around the caches, rows that begin anywhere in a line too; the bits are the same.
#[cfg(target_arch = "x86_64")]
#[test]
fn rows_around_the_caches() {
    let target = Target::detect();
    if Backend::Wide.why_not(target).is_some() {
        return;
    }
    let kernel = add(Class::Broadcast).kernel().clone();
    let codes = [Backend::Interp, Backend::Wide].map(|b| Code::compile(&kernel, b, target).unwrap());
    let copy = copy();
    let folding = Code::folding(copy.kernel(), &[sum(1).reduction], target).unwrap();
    // Both stages interpreted, or both compiled, or the second alone.
    let ways = [(&copy, &codes[0]), (&folding, &codes[1]), (&copy, &codes[1])];
    for (rows, width) in [(1, 1), (5, 3), (7, 9), (4, 16), (3, 100), (6, 333)] {
        let x: Vec<f64> = (0..rows * width).map(|i| i as f64 - 7.5).collect();
        for skip in [0, 1, 3, 7] {
            for chunk in [1, 2, 5] {
                let run = |(first, code): (&Code, &Code), around: bool| {
                    let mut memory = vec![[-1f64; 8]; (rows * width + skip) / 8 + 3];
                    let line = memory.as_ptr().cast::<f64>().align_offset(64);
                    let out = &mut memory.as_flattened_mut()[line + skip..][..rows * width];
                    let row = 8 * width as isize;
                    let places = [RowPlace::Read, RowPlace::Temporary { row: 8 }, RowPlace::Write { row: 8 * width }];
                    let memories = [
                        RowMemory::Read(bytemuck::cast_slice(&x), 0),
                        RowMemory::Nothing,
                        RowMemory::Write(bytemuck::cast_slice_mut(out)),
                    ];
                    let m = RowSource::Memory;
                    let tile = [binding(m(0), &[row, 8]), binding(RowSource::Tile, &[row, 8])];
                    let all = [binding(m(0), &[row, 8]), binding(m(1), &[8, 0]), binding(m(2), &[row, 8])];
                    let extents = [rows, width];
                    let stages = [stage(first, &extents, &tile, &[sum(1)]), stage(code, &extents, &all, &[])];
                    let layout = RowLayout::new(rows, chunk, places, stages).unwrap();
                    let mut bound = layout.bind([first, code], memories).unwrap();
                    if around {
                        bound.around_caches();
                        // A tile stays in the cache; what is reduced in registers is asked for ahead.
                        let far = bound.launches.iter().map(|l| l.far).collect::<Vec<_>>();
                        assert_eq!(far, [first.folds().then_some(Streams::One), Some(Streams::One)]);
                    }
                    let mut scratch = vec![[0u64; 8]; bound.scratch() / 64 + 2];
                    let start = scratch.as_ptr().cast::<u8>().align_offset(64);
                    let scratch = &mut bytemuck::cast_slice_mut::<_, u8>(&mut scratch)[start..];
                    for part in bound.parts(2) {
                        part.run(scratch, |_| Ok::<(), ()>(())).unwrap();
                    }
                    drop(bound);
                    // With what lies around it, which nothing may touch.
                    memory.as_flattened()[line..][..rows * width + skip + 8].to_vec()
                };
                let expected = run(ways[0], false);
                assert!(expected[..skip].iter().chain(&expected[skip + rows * width..]).all(|v| *v == -1.0));
                for (way, around) in ways.into_iter().flat_map(|way| [(way, false), (way, true)]) {
                    assert_eq!(run(way, around), expected, "{rows} x {width}, {skip}, {chunk}, {around}");
                }
            }
        }
    }
    assert!(codes[1].asm_far(Streams::One).unwrap().contains("vmovntpd"));
    assert!(folding.asm_far(Streams::One).unwrap().contains(crate::testing::asking(target)));
}

#[test]
fn a_stop_stops() {
    let x = [1f64; 8];
    let mut out = [0f64; 8];
    let add = add(Class::Contiguous);
    let memories = [RowMemory::Read(bytemuck::cast_slice(&x), 0), RowMemory::Write(bytemuck::cast_slice_mut(&mut out))];
    let m = RowSource::Memory;
    let stages = [stage(&add, &[8], &[binding(m(0), &[8]), binding(m(0), &[8]), binding(m(1), &[8])], &[])];
    let layout = RowLayout::new(8, 2, [RowPlace::Read, RowPlace::Write { row: 8 }], stages).unwrap();
    let mut rows = layout.bind([&add], memories).unwrap();
    let mut parts = rows.parts(1);
    assert_eq!(parts.pop().unwrap().run(&mut [], Err), Err(2));
    drop(parts);
    assert_eq!(out, [2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn rows_keep_to_themselves() {
    let x = [0f64; 12];
    let (plain, wide) = (add(Class::Contiguous), add(Class::Broadcast));
    let m = RowSource::Memory;
    let binds = |code: &Code, extents: &[usize], second: RowBinding, out: RowBinding, row: usize| {
        let mut bytes = [0f64; 12];
        let places = [RowPlace::Read, RowPlace::Temporary { row: 24 }, RowPlace::Write { row }];
        let memories = [
            RowMemory::Read(bytemuck::cast_slice(&x), 0),
            RowMemory::Nothing,
            RowMemory::Write(bytemuck::cast_slice_mut(&mut bytes)),
        ];
        let stages = [stage(code, extents, &[binding(m(0), &[24, 8]), second, out], &[])];
        RowLayout::new(4, 1, places, stages).is_ok_and(|l| l.bind([code], memories).is_ok())
    };
    let fails = |code: &Code, extents: &[usize], second: RowBinding, out: RowBinding, row: usize| {
        !binds(code, extents, second, out, row)
    };
    let good = || binding(m(1), &[24, 8]);
    let out = || binding(m(2), &[24, 8]);
    assert!(!fails(&plain, &[4, 3], good(), out(), 24));
    // The next row; a row of another; beyond the end of a row; the same row of all.
    assert!(fails(&plain, &[4, 3], RowBinding { offset: 24, ..good() }, out(), 24));
    assert!(fails(&plain, &[4, 3], RowBinding { offset: -8, ..good() }, out(), 24));
    assert!(fails(&plain, &[4, 3], binding(m(1), &[8, 8]), out(), 24));
    assert!(fails(&wide, &[4, 3], binding(m(1), &[0, 0]), out(), 24));
    // An output whose elements coincide, that is too small, that is read, that is only read.
    assert!(fails(&plain, &[4, 3], good(), binding(m(2), &[24, 0]), 24));
    assert!(fails(&plain, &[4, 3], good(), out(), 48));
    assert!(fails(&plain, &[4, 3], binding(m(2), &[24, 8]), out(), 24));
    assert!(fails(&plain, &[4, 3], good(), binding(m(0), &[24, 8]), 24));
    // Rows that the loops do not have, and memory that there is not.
    assert!(fails(&plain, &[3, 3], good(), out(), 24));
    assert!(fails(&plain, &[4, 3], binding(m(9), &[24, 8]), out(), 24));
}

#[test]
fn sinks_fit_their_tiles() {
    let copy = copy();
    let m = RowSource::Memory;
    let fails = |sinks: &[RowSink], row: usize, out: RowSource| {
        let places = [RowPlace::Read, RowPlace::Temporary { row }];
        let stages = [stage(&copy, &[4, 3], &[binding(m(0), &[24, 8]), binding(out, &[24, 8])], sinks)];
        RowLayout::new(4, 1, places, stages).is_err()
    };
    assert!(!fails(&[sum(1)], 8, RowSource::Tile));
    assert!(fails(&[sum(1)], 16, RowSource::Tile));
    assert!(fails(&[sum(0)], 8, RowSource::Tile));
    assert!(fails(&[RowSink { tile: 1, ..sum(1) }], 8, RowSource::Tile));
    assert!(fails(&[], 8, RowSource::Tile));
    assert!(fails(&[sum(1)], 24, m(1)));
    let other = Reduction::new(lazuli_graph::ReduceOp::Sum, DType::F32, false);
    assert!(fails(&[RowSink { reduction: other, ..sum(1) }], 4, RowSource::Tile));
}

#[test]
fn every_call_is_held_against_its_memory() {
    let (x, mut out) = ([1f64; 8], [0f64; 8]);
    let (add, copy) = (add(Class::Contiguous), copy());
    let m = RowSource::Memory;
    let second = RowBinding { offset: 8, ..binding(m(0), &[8]) };
    let stages = [stage(&add, &[7], &[binding(m(0), &[8]), second, binding(m(1), &[8])], &[])];
    let layout = RowLayout::new(7, 2, [RowPlace::Read, RowPlace::Write { row: 8 }], stages).unwrap();
    let mut fails = |code: &Code, start: usize, elements: usize| {
        let x = &bytemuck::cast_slice::<f64, u8>(&x)[..8 * elements];
        let memories = [RowMemory::Read(x, start), RowMemory::Write(bytemuck::cast_slice_mut(&mut out))];
        layout.bind([code], memories).is_err()
    };
    assert!(!fails(&add, 0, 8));
    // Beyond the end, by where offsets count from, or by its length; another kernel.
    assert!(fails(&add, 8, 8) && fails(&add, usize::MAX, 8) && fails(&add, 0, 7) && fails(&copy, 0, 8));
    let memories = [RowMemory::Read(&[], 0), RowMemory::Nothing];
    assert!(layout.bind([&add], memories).is_err());
    assert!(layout.bind([&add], [RowMemory::Read(bytemuck::cast_slice(&x), 0)]).is_err());
    let memories =
        [RowMemory::Read(bytemuck::cast_slice(&x), 0), RowMemory::Write(bytemuck::cast_slice_mut(&mut out[..6]))];
    assert!(layout.bind([&add], memories).is_err());
}

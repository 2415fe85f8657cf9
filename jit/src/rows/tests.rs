//! What cannot be bound, and a run over several chunks; bits are compared with untiled execution in `lazuli-tests`.

use super::*;
use crate::{Backend, Builder, Target};
use lazuli_graph::DType;

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

fn stage<'m>(code: &'m Code, extents: &[usize], bindings: &[RowBinding], sinks: &[RowSink]) -> RowStage<'m> {
    RowStage {
        kernel: code.kernel(),
        extents: SmallVec::from_slice(extents),
        bindings: bindings.to_vec(),
        sinks: sinks.to_vec(),
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
            let uses = [RowUse::Read, RowUse::Temporary { row: 8 }, RowUse::Write { row: 8 * WIDTH }];
            let memories = [
                RowMemory::Read(bytemuck::cast_slice(&x), 0),
                RowMemory::Temporary,
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
            let plan = RowPlan::new(ROWS, chunk, &uses, stages).unwrap();
            let mut rows = plan.bind([&copy, &add], memories).unwrap();
            let mut scratch = vec![[0u64; 8]; plan.scratch() / 64 + 2];
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
            drop(rows);
            assert_eq!(told, ROWS);
            let expected: Vec<f64> =
                x.chunks(WIDTH).flat_map(|r| r.iter().map(|v| v + r.iter().sum::<f64>())).collect();
            assert_eq!(out, expected, "chunk {chunk}, {parts} parts");
        }
    }
}

#[test]
fn a_stop_stops() {
    let x = [1f64; 8];
    let mut out = [0f64; 8];
    let add = add(Class::Contiguous);
    let memories = [RowMemory::Read(bytemuck::cast_slice(&x), 0), RowMemory::Write(bytemuck::cast_slice_mut(&mut out))];
    let m = RowSource::Memory;
    let stages = [stage(&add, &[8], &[binding(m(0), &[8]), binding(m(0), &[8]), binding(m(1), &[8])], &[])];
    let plan = RowPlan::new(8, 2, &[RowUse::Read, RowUse::Write { row: 8 }], stages).unwrap();
    let mut rows = plan.bind([&add], memories).unwrap();
    let mut parts = rows.parts(1);
    assert_eq!(parts.pop().unwrap().run(&mut [], |rows| Err(rows)), Err(2));
    drop(parts);
    drop(rows);
    assert_eq!(out, [2.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn rows_keep_to_themselves() {
    let (plain, wide) = (add(Class::Contiguous), add(Class::Broadcast));
    let m = RowSource::Memory;
    let fails = |code: &Code, extents: &[usize], second: RowBinding, out: RowBinding, row: usize| {
        let uses = [RowUse::Read, RowUse::Temporary { row: 24 }, RowUse::Write { row }];
        let stages = [stage(code, extents, &[binding(m(0), &[24, 8]), second, out], &[])];
        RowPlan::new(4, 1, &uses, stages).is_err()
    };
    let good = || binding(m(1), &[24, 8]);
    let out = || binding(m(2), &[24, 8]);
    assert!(!fails(&plain, &[4, 3], good(), out(), 24));
    // The next row; a row of another; beyond the end of a row; the same row of all.
    assert!(fails(&plain, &[4, 3], RowBinding { offset: 24, ..good() }, out(), 24));
    assert!(fails(&plain, &[4, 3], RowBinding { offset: -8, ..good() }, out(), 24));
    assert!(fails(&plain, &[4, 3], binding(m(1), &[8, 8]), out(), 24));
    assert!(fails(&wide, &[4, 3], binding(m(1), &[0, 0]), out(), 24));
    // An output whose elements coincide, whose rows are longer, that is read, that is only read.
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
        let stages = [stage(&copy, &[4, 3], &[binding(m(0), &[24, 8]), binding(out, &[24, 8])], sinks)];
        RowPlan::new(4, 1, &[RowUse::Read, RowUse::Temporary { row }], stages).is_err()
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
fn memory_is_what_was_planned() {
    let (x, mut out) = ([0f64; 12], [0f64; 12]);
    let add = add(Class::Contiguous);
    let m = RowSource::Memory;
    let b = |k: usize| binding(m(k), &[24, 8]);
    let stages = [stage(&add, &[4, 3], &[b(0), RowBinding { offset: -24, ..b(0) }, b(1)], &[])];
    let plan = RowPlan::new(4, 2, &[RowUse::Read, RowUse::Write { row: 24 }], stages).unwrap();
    let x = bytemuck::cast_slice::<f64, u8>(&x);
    let mut fails = |read: RowMemory<'_>, bytes: usize, codes: &[&Code]| {
        let out = &mut bytemuck::cast_slice_mut(&mut out)[..bytes];
        plan.bind(codes.iter().copied(), [read, RowMemory::Write(out)]).is_err()
    };
    // Twelve elements from the start, and three before it.
    assert!(fails(RowMemory::Read(x, 24), 96, &[&add]));
    assert!(fails(RowMemory::Read(x, 0), 96, &[&add]));
    let long = [0f64; 15];
    let long = bytemuck::cast_slice::<f64, u8>(&long);
    assert!(!fails(RowMemory::Read(long, 24), 96, &[&add]));
    assert!(fails(RowMemory::Read(long, 32), 96, &[&add]));
    assert!(fails(RowMemory::Read(long, 24), 95, &[&add]));
    assert!(fails(RowMemory::Temporary, 96, &[&add]));
    assert!(fails(RowMemory::Read(long, 24), 96, &[]));
    assert!(fails(RowMemory::Read(long, 24), 96, &[&copy()]));
}

//! One code for all stages over the same columns: the bits of the stages one by one, interpreted.

use super::whole::{self, Aligned, copies, divide, elements};
use super::*;
use crate::kernel::Slab;
use crate::testing::wide_targets;
use lazuli_graph::ReduceOp;

/// Two reductions of the columns, one of them with a step of one row; a matrix of what they, the input and a number add up to;
/// its reductions; the quotient of both. Memory: the input, a number for each matrix, then what is made.
struct Program {
    dtype: DType,
    ops: [ReduceOp; 2],
    codes: [Code; 6],
}

/// Matrices, and rows and columns of each.
type Shape = (usize, usize, usize);

impl Program {
    fn new(dtype: DType, ops: [ReduceOp; 2]) -> Program {
        use Class::{Broadcast, Contiguous};
        let map = || whole::add(dtype, [Contiguous; 2]);
        let number = whole::add(dtype, [Contiguous, Broadcast]);
        let codes = [copies(dtype), map(), map(), number, copies(dtype), divide(dtype, [Contiguous; 2])];
        Program { dtype, ops, codes }
    }

    fn reduction(&self, n: usize) -> Reduction {
        Reduction::new(self.ops[n], self.dtype, false)
    }

    fn layout(&self, (matrices, height, width): Shape) -> ColumnLayout {
        let size = self.dtype.size();
        let one = size as isize;
        let (row, matrix) = (one * width as isize, one * (height * width) as isize);
        let m = RowSource::Memory;
        let (temporary, write) = (|row| RowPlace::Temporary { row }, |row| RowPlace::Write { row });
        let (line, all) = (width * size, height * width * size);
        let places = [
            RowPlace::Read,
            RowPlace::Read,
            temporary(line),
            write(line),
            temporary(line),
            temporary(all),
            temporary(all),
            temporary(line),
            write(line),
            write(all),
        ];
        let sink = |n: usize, tile, memory| RowSink { reduction: self.reduction(n), tile, memory };
        let wide = |m| binding(m, &[matrix, row, one]);
        let each = |m| binding(m, &[row, 0, one]);
        let tile = || wide(RowSource::Tile);
        let extents = [matrices, height, width];
        let [first, once, middle, number, second, last] = &self.codes;
        let stages = [
            stage(first, &extents, &[wide(m(0)), tile(), tile()], &[sink(0, 0, 2), sink(1, 1, 3)]),
            stage(once, &[matrices * width], &[2, 3, 4].map(|k| binding(m(k), &[one])), &[]),
            stage(middle, &extents, &[wide(m(0)), each(m(4)), wide(m(5))], &[]),
            stage(number, &extents, &[wide(m(5)), binding(m(1), &[one, 0, 0]), wide(m(6))], &[]),
            stage(second, &extents, &[wide(m(6)), tile(), tile()], &[sink(1, 0, 7), sink(0, 1, 8)]),
            stage(last, &extents, &[wide(m(6)), each(m(7)), wide(m(9))], &[]),
        ];
        ColumnLayout::new(matrices, [height, width], places, stages).unwrap()
    }

    /// What is written, stage by stage.
    fn expected(&self, shape: Shape, x: &[u8], numbers: &[u8]) -> [Vec<u8>; 3] {
        let (matrices, height, width) = shape;
        let size = self.dtype.size();
        let (line, all) = (width * size, height * width * size);
        let mut outs = [Vec::new(), Vec::new(), Vec::new()];
        for matrix in 0..matrices {
            let x = &x[matrix * all..][..all];
            // Results of a kernel over rows of the matrix; what has one row is the same for all.
            let run = |code: &Code, rows: usize, inputs: &[&[u8]]| {
                let outputs = code.kernel().operands.len() - inputs.len();
                let mut made = vec![vec![0u8; rows * line]; outputs];
                let mut slab = Slab::new(code.kernel().operands.len());
                slab.set_extents(width, rows);
                for (i, input) in inputs.iter().enumerate() {
                    let s1 = if input.len() == rows * line { line } else { 0 };
                    let s0 = if input.len() == size { 0 } else { size };
                    slab.set_operand(i, input.as_ptr() as u64, s0 as isize, s1 as isize);
                }
                for (i, out) in made.iter_mut().enumerate() {
                    slab.set_operand(inputs.len() + i, out.as_mut_ptr() as u64, size as isize, line as isize);
                }
                // SAFETY: every operand has the elements that its strides say.
                unsafe { code.run(&slab) };
                made
            };
            let reduced = |n: usize, elements: &[u8]| {
                let reduction = self.reduction(n);
                let mut states = vec![0u64; width * reduction.state_size() / 8 + 1];
                let states = &mut bytemuck::cast_slice_mut(&mut states)[..width * reduction.state_size()];
                reduction.identity(states);
                reduction.outer(elements, height, width, 0, states);
                let mut out = vec![0u8; line];
                reduction.finish(states, height as u64, &mut out);
                out
            };
            let [first, once, middle, number, second, last] = &self.codes;
            let tiles = run(first, height, &[x]);
            let (a, b) = (reduced(0, &tiles[0]), reduced(1, &tiles[1]));
            let both = run(once, 1, &[&a, &b]).remove(0);
            let sum = run(middle, height, &[x, &both]).remove(0);
            let sum = run(number, height, &[&sum, &numbers[matrix * size..][..size]]).remove(0);
            let tiles = run(second, height, &[&sum]);
            let (c, d) = (reduced(1, &tiles[0]), reduced(0, &tiles[1]));
            outs[0].extend(b);
            outs[1].extend(d);
            outs[2].extend(run(last, height, &[&sum, &c]).remove(0));
        }
        outs
    }

    fn found(
        &self,
        (layout, height): (&ColumnLayout, usize),
        x: &[u8],
        numbers: &[u8],
        code: &RowCode,
        parts: usize,
    ) -> [Vec<u8>; 3] {
        let size = self.dtype.size();
        let (line, all) = (layout.width * size, height * layout.width * size);
        // With room behind them, which nothing is to touch.
        let mut outs = [line, line, all].map(|n| vec![0xaau8; layout.matrices * n + 64]);
        let [a, b, c] = &mut outs;
        let memories = [
            RowMemory::Read(x, 0),
            RowMemory::Read(numbers, 0),
            RowMemory::Nothing,
            RowMemory::Write(a),
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Write(b),
            RowMemory::Write(c),
        ];
        let mut words = RowWords::default();
        let mut bound = layout.bind(code, &mut words, memories).unwrap();
        let needed = bound.scratch();
        let mut scratch = Aligned::new(needed);
        scratch.bytes()[needed..].fill(0xaa);
        let mut told = 0;
        let parts: Vec<_> = bound.parts(parts).collect();
        for part in parts {
            let done = |n| {
                told += n;
                Ok::<(), ()>(())
            };
            part.run(&mut scratch.bytes()[..needed], done).unwrap();
        }
        assert!(scratch.bytes()[needed..].iter().all(|b| *b == 0xaa));
        assert_eq!(told, layout.matrices * layout.width);
        for out in &mut outs {
            assert!(out.split_off(out.len() - 64).iter().all(|b| *b == 0xaa));
        }
        outs
    }

    /// Elements, one NaN as good as another.
    fn plain(&self, bytes: &[u8]) -> Vec<u64> {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |bits, b| bits << 8 | u64::from(*b));
        let plain = |bits: u64| match self.dtype {
            DType::F64 if f64::from_bits(bits).is_nan() => f64::NAN.to_bits(),
            DType::F32 if f32::from_bits(bits as u32).is_nan() => f32::NAN.to_bits().into(),
            _ => bits,
        };
        bytes.chunks(self.dtype.size()).map(|bytes| plain(word(bytes))).collect()
    }
}

#[test]
fn one_code_does_all_stages_of_columns() {
    use ReduceOp::{Max, Min, Prod, Sum};
    let shapes = [
        (1, 2, 2),
        (1, 10, 100),
        (3, 3, 5),
        (2, 64, 33),
        (5, 7, 16),
        (1, 63, 8),
        (1, 4, 1000),
        (4, 2, 257),
        (9, 17, 31),
    ];
    for dtype in [DType::F64, DType::F32, DType::I64, DType::U64] {
        for ops in [[Sum, Max], [Min, Sum], [Prod, Prod]] {
            let program = Program::new(dtype, ops);
            for target in wide_targets() {
                // The same code for all shapes.
                let key = program.layout(shapes[0]);
                let codes =
                    [RowCode::compile(key.program(), &target), Ok(RowCode::draft(key.program(), &target).unwrap())];
                let codes = codes.map(Result::unwrap);
                for (n, shape) in shapes.into_iter().enumerate() {
                    let layout = program.layout(shape);
                    let (matrices, height, width) = shape;
                    let x = elements(dtype, matrices * height * width, n % 2 == 1);
                    let numbers = elements(dtype, matrices, false);
                    let expected = program.expected(shape, &x, &numbers).map(|out| program.plain(&out));
                    for (code, parts) in codes.iter().flat_map(|code| [1, 2, 7].map(|parts| (code, parts))) {
                        let found = program.found((&layout, height), &x, &numbers, code, parts);
                        let found = found.map(|out| program.plain(&out));
                        assert!(found == expected, "{dtype}, {ops:?}, {}, {shape:?}, {parts}", target.name());
                    }
                }
            }
        }
    }
}

/// Narrow elements that are the same in each row, beside wide ones that are not: `x + bytes`, summed, and taken from it.
#[test]
fn narrow_elements_stay_from_row_to_row() {
    use crate::lower;
    let kernel = |subtracts: bool| {
        let mut b = Builder::new();
        let [x, bytes] = [DType::F32, DType::U8].map(|dtype| b.operand(Role::Input, dtype, Class::Contiguous));
        let sum = subtracts.then(|| b.operand(Role::Input, DType::F32, Class::Contiguous));
        let out = b.operand(Role::Output, DType::F32, Class::Contiguous);
        let (x, bytes) = (b.load(x), b.load(bytes));
        let bytes = lower::cast(&mut b, DType::U8, DType::F32, bytes);
        let mut value = b.fadd(x, bytes);
        if let Some(sum) = sum {
            let sum = b.load(sum);
            value = b.fsub(value, sum);
        }
        b.store(out, value);
        Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap()
    };
    let (added, taken) = (kernel(false), kernel(true));
    let m = RowSource::Memory;
    for (height, width) in [(3, 5), (10, 77), (20, 200)] {
        let row = 4 * width as isize;
        let places = [
            RowPlace::Read,
            RowPlace::Read,
            RowPlace::Temporary { row: 4 * width },
            RowPlace::Write { row: 4 * width * height },
        ];
        let (all, bytes, sums) = (|source| binding(source, &[row, 4]), binding(m(1), &[0, 1]), binding(m(2), &[0, 4]));
        let sink = RowSink { reduction: Reduction::new(ReduceOp::Sum, DType::F32, false), tile: 0, memory: 2 };
        let extents = [height, width];
        let stages = [
            stage(&added, &extents, &[all(m(0)), bytes.clone(), all(RowSource::Tile)], &[sink]),
            stage(&taken, &extents, &[all(m(0)), bytes, sums, all(m(3))], &[]),
        ];
        let layout = ColumnLayout::new(1, [height, width], places, stages).unwrap();
        // Whole numbers, whose sums are exact.
        let x: Vec<f32> = (0..height * width).map(|i| (i * 7 % 31) as f32).collect();
        let bytes: Vec<u8> = (0..width).map(|i| (i * 5 % 251) as u8).collect();
        let each = |r: usize, c: usize| x[r * width + c] + f32::from(bytes[c]);
        let sum = |c: usize| (0..height).map(|r| each(r, c)).sum::<f32>();
        let expected: Vec<f32> = (0..height * width).map(|i| each(i / width, i % width) - sum(i % width)).collect();
        for target in wide_targets() {
            for code in [RowCode::compile(layout.program(), &target).ok(), RowCode::draft(layout.program(), &target)] {
                let mut out = vec![0f32; height * width];
                let memories = [
                    RowMemory::Read(bytemuck::cast_slice(&x), 0),
                    RowMemory::Read(&bytes, 0),
                    RowMemory::Nothing,
                    RowMemory::Write(bytemuck::cast_slice_mut(&mut out)),
                ];
                let code = code.unwrap();
                let mut words = RowWords::default();
                let mut bound = layout.bind(&code, &mut words, memories).unwrap();
                let mut scratch = Aligned::new(bound.scratch());
                bound.parts(2).for_each(|part| part.run(scratch.bytes(), |_| Ok::<(), ()>(())).unwrap());
                assert!(out == expected, "{}, {height} x {width}", target.name());
            }
        }
    }
}

/// Stages over a matrix of 4 rows and 6 columns: the sum of its columns, and the sum of an input with something.
fn two_stages(second: &Code, places: [RowPlace; 3], strides: [[isize; 2]; 3], offset: isize) -> Option<ColumnLayout> {
    let m = RowSource::Memory;
    let copy = copy();
    let along = |source| binding(source, &[48, 8]);
    let bindings =
        [0, 1, 2].map(|k| RowBinding { offset: if k == 1 { offset } else { 0 }, ..binding(m(k), &strides[k]) });
    let stages = [
        stage(&copy, &[4, 6], &[along(m(0)), along(RowSource::Tile)], &[sum(1)]),
        stage(second, &[4, 6], &bindings, &[]),
    ];
    ColumnLayout::new(1, [4, 6], places, stages)
}

#[test]
fn columns_keep_to_themselves() {
    let wide = add(Class::Contiguous);
    let write = |row| RowPlace::Write { row };
    let places = [RowPlace::Read, write(48), write(192)];
    let strides = [[48, 8], [0, 8], [48, 8]];
    assert!(two_stages(&wide, places, strides, 0).is_some());
    // What is only read may be read anyhow.
    assert!(two_stages(&wide, places, [[-48, 8], [0, 8], [48, 8]], 0).is_some());
    // Another column; another row of results; a place of another size.
    assert!(two_stages(&wide, places, strides, 8).is_none());
    assert!(two_stages(&wide, places, [[48, 8], [48, 8], [48, 8]], 0).is_none());
    assert!(two_stages(&wide, [RowPlace::Read, write(56), write(192)], strides, 0).is_none());
    assert!(two_stages(&wide, [RowPlace::Read, write(48), write(184)], strides, 0).is_none());
    assert!(two_stages(&wide, places, [[48, 8], [0, 8], [0, 8]], 0).is_none());
    assert!(two_stages(&wide, places, [[48, 8], [0, 8], [56, 8]], 0).is_none());
    // Memory that is written is not for reading alone.
    assert!(two_stages(&wide, [RowPlace::Read, RowPlace::Read, write(192)], strides, 0).is_none());
    // The same column as a broadcast, and elements that do not lie side by side.
    let classes = [[Class::Contiguous, Class::Broadcast], [Class::Strided, Class::Contiguous]];
    for classes in classes {
        assert!(two_stages(&whole::add(DType::F64, classes), places, strides, 0).is_none());
    }
    // No binding; a stride too few; read before it is written; written twice; an index.
    let stages = |change: &dyn Fn(&mut [RowStage<'_>; 2])| {
        let (m, copy) = (RowSource::Memory, copy());
        let along = |source| binding(source, &[48, 8]);
        let mut stages = [
            stage(&copy, &[4, 6], &[along(m(0)), along(RowSource::Tile)], &[sum(1)]),
            stage(&wide, &[4, 6], &[along(m(0)), binding(m(1), &[0, 8]), along(m(2))], &[]),
        ];
        change(&mut stages);
        ColumnLayout::new(1, [4, 6], places, stages).is_some()
    };
    assert!(stages(&|_| ()));
    assert!(!stages(&|s| s[1].bindings.truncate(2)));
    assert!(!stages(&|s| s[1].bindings[0].strides.truncate(1)));
    assert!(!stages(&|s| s.swap(0, 1)));
    assert!(!stages(&|s| s[0].sinks[0].memory = 2));
    assert!(!stages(&|s| s[1].bindings[0].source = RowSource::Memory(2)));
    assert!(!stages(&|s| s[1].bindings[0].source = RowSource::Index));
    assert!(!stages(&|s| s[0].sinks.clear()) && !stages(&|s| s[0].extents[0] = 2));
    let operand = wide.kernel().operands[0];
    let local = |extents: &[usize], row, offset, strides: &[isize]| {
        column_local(&operand, extents, [2, 4, 6], strides, Some((offset, row)))
    };
    let all = |offset, strides: [isize; 3]| local(&[2, 4, 6], 192, offset, &strides);
    assert!(all(0, [192, 48, 8]) && !all(8, [192, 48, 8]) && !all(0, [192, 48, 0]) && !all(0, [96, 48, 8]));
    // Loops that are one.
    assert!(local(&[48], 192, 0, &[8]) && local(&[12], 48, 0, &[8]));
    assert!(!local(&[48], 48, 0, &[8]) && !local(&[24, 2], 192, 0, &[8, 192]) && !local(&[2, 24], 192, 0, &[192]));
    // Elsewhere, rows may lie anyhow.
    assert!(column_local(&operand, &[2, 4, 6], [2, 4, 6], &[0, -56, 8], None));
    assert!(!column_local(&operand, &[2, 4, 6], [2, 4, 6], &[192, 48, 16], None));
}

#[test]
fn memory_of_columns_is_looked_at() {
    if Backend::Wide.why_not(Target::detect()).is_some() {
        return;
    }
    let wide = add(Class::Contiguous);
    let write = |row| RowPlace::Write { row };
    let mut layout =
        two_stages(&wide, [RowPlace::Read, write(48), write(192)], [[-48, 8], [0, 8], [48, 8]], 0).unwrap();
    let code = RowCode::compile(layout.program(), Target::detect()).unwrap();
    layout.adopt(code.program());
    let other = Program::new(DType::F64, [ReduceOp::Sum; 2]);
    let other = RowCode::compile(other.layout((1, 4, 6)).program(), Target::detect()).unwrap();
    let x = [0u8; 400];
    let binds = |code: &RowCode, start: usize, length: usize, [a, b]: [usize; 2]| {
        let (mut a, mut b) = (vec![0; a], vec![0; b]);
        let memories = [RowMemory::Read(&x[..length], start), RowMemory::Write(&mut a), RowMemory::Write(&mut b)];
        layout.bind(code, &mut RowWords::default(), memories).is_ok()
    };
    // Rows are read from the first backwards, and forwards.
    assert!(binds(&code, 144, 336, [48, 192]));
    assert!(
        !binds(&other, 144, 336, [48, 192]) && !binds(&code, 136, 400, [48, 192]) && !binds(&code, 144, 335, [48, 192])
    );
    assert!(
        !binds(&code, usize::MAX, 400, [48, 192])
            && !binds(&code, 144, 336, [47, 192])
            && !binds(&code, 144, 336, [48, 191])
    );
    assert!(
        layout
            .bind(&code, &mut RowWords::default(), [RowMemory::Read(&x, 144), RowMemory::Nothing, RowMemory::Nothing])
            .is_err()
    );
    assert!(layout.bind(&code, &mut RowWords::default(), [RowMemory::Read(&x, 144)]).is_err());
}

/// Columns whose lines share a few sets of the first-level cache, rows being a power of two apart, go through stages one by one.
#[test]
fn rows_that_drive_each_other_out_are_not_taken() {
    let copy = copy();
    let m = RowSource::Memory;
    let wide = add(Class::Contiguous);
    let has = |height: usize, width: usize, pitch: usize| {
        let along = |source, pitch: usize| binding(source, &[pitch as isize, 8]);
        let places =
            [RowPlace::Read, RowPlace::Temporary { row: 8 * width }, RowPlace::Write { row: 8 * width * height }];
        let stages = [
            stage(&copy, &[height, width], &[along(m(0), pitch), along(RowSource::Tile, pitch)], &[sum(1)]),
            stage(&wide, &[height, width], &[along(m(0), pitch), along(m(1), 0), along(m(2), 8 * width)], &[]),
        ];
        ColumnLayout::new(1, [height, width], places, stages).is_some()
    };
    assert!(has(8, 512, 4096) && !has(9, 512, 4096) && !has(9, 100, 4096));
    assert!(has(16, 256, 2048) && !has(17, 256, 2048) && !has(40, 1 << 16, 1 << 19));
    // A few bytes more are not enough, a line is.
    assert!(!has(40, 513, 8 * 513) && has(40, 520, 8 * 520) && has(64, 1000, 8000));
}

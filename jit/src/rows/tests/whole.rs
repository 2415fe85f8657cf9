//! One code for all stages: the bits of the stages one by one, interpreted.

use super::*;
use crate::kernel::{Prim, Ty};
use crate::target::Tuning;
use crate::testing::wide_targets;
use lazuli_graph::{ReduceOp, Scalar};
use std::collections::HashMap;

/// `out = x + y` in `dtype`.
pub(super) fn add(dtype: DType, classes: [Class; 2]) -> Code {
    let float = matches!(Ty::of(dtype), Ty::F32 | Ty::F64);
    combined(dtype, if float { Prim::FAdd } else { Prim::IAdd }, classes)
}

/// `out = x / y` of floats, else `x + y`.
pub(super) fn divide(dtype: DType, classes: [Class; 2]) -> Code {
    if dtype.is_float() { combined(dtype, Prim::FDiv, classes) } else { add(dtype, classes) }
}

pub(super) fn combined(dtype: DType, prim: Prim, [x, y]: [Class; 2]) -> Code {
    let mut b = Builder::new();
    let [x, y] = [x, y].map(|class| b.operand(Role::Input, dtype, class));
    let out = b.operand(Role::Output, dtype, Class::Contiguous);
    let (x, y) = (b.load(x), b.load(y));
    let result = b.inst(prim, Ty::of(dtype), [x, y, x], 0);
    b.store(out, result);
    Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap()
}

/// Tiles that are a copy of the input, and twice the input.
pub(super) fn copies(dtype: DType) -> Code {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, dtype, Class::Contiguous);
    let outs = [0; 2].map(|_| b.operand(Role::Output, dtype, Class::Contiguous));
    let x = b.load(x);
    let prim = if matches!(Ty::of(dtype), Ty::F32 | Ty::F64) { Prim::FAdd } else { Prim::IAdd };
    let twice = b.inst(prim, Ty::of(dtype), [x, x, x], 0);
    // Stores in another order than operands.
    b.store(outs[1], twice);
    b.store(outs[0], x);
    Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap()
}

pub(super) fn elements(dtype: DType, n: usize, special: bool) -> Vec<u8> {
    let value = |i: usize| match i % 61 {
        3 if special => f64::NAN,
        9 if special => f64::INFINITY,
        14 if special => f64::NEG_INFINITY,
        _ if special && (i / 61).is_multiple_of(2) => -0.0,
        _ => ((i * 7919 + 13) % 10_007) as f64 / 1000.0 - 5.0,
    };
    let scalar = |i: usize| Scalar::from_f64(DType::F64, value(i)).cast(dtype);
    (0..n).flat_map(|i| scalar(i).bits().to_le_bytes()[..dtype.size()].to_vec()).collect()
}

/// Bytes that begin with a line.
pub(super) struct Aligned(Vec<[u64; 8]>);

impl Aligned {
    pub(super) fn new(bytes: usize) -> Aligned {
        Aligned(vec![[u64::MAX; 8]; bytes / 64 + 3])
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        let start = self.0.as_ptr().cast::<u8>().align_offset(64);
        let bytes = (self.0.len() - 1) * 64;
        &mut bytemuck::cast_slice_mut(&mut self.0)[start..][..bytes]
    }
}

/// Two reductions of the input, one of them with a step of one element a row; a row of what they and the input add up to; its
/// reduction; the quotient of both.
struct Program {
    dtype: DType,
    ops: [ReduceOp; 2],
    codes: [Code; 5],
}

impl Program {
    fn new(dtype: DType, ops: [ReduceOp; 2]) -> Program {
        use Class::{Broadcast, Contiguous};
        let map = || add(dtype, [Contiguous, Broadcast]);
        let last = divide(dtype, [Contiguous, Broadcast]);
        let codes = [copies(dtype), add(dtype, [Contiguous; 2]), map(), copies(dtype), last];
        Program { dtype, ops, codes }
    }

    fn layout(&self, rows: usize, width: usize, chunk: usize) -> RowLayout {
        let size = self.dtype.size();
        let (row, one) = ((width * size) as isize, size as isize);
        let m = RowSource::Memory;
        let (temporary, write) = (|row| RowPlace::Temporary { row }, |row| RowPlace::Write { row });
        let places = [
            RowPlace::Read,
            temporary(size),
            write(size),
            temporary(size),
            temporary(width * size),
            temporary(size),
            write(size),
            write(width * size),
        ];
        let sink = |op, tile, memory| RowSink { reduction: Reduction::new(op, self.dtype, false), tile, memory };
        let wide = |m| binding(m, &[row, one]);
        let each = |m| binding(m, &[one, 0]);
        let tile = || wide(RowSource::Tile);
        let [a, b] = self.ops;
        let extents = [rows, width];
        let [first, once, middle, second, last] = &self.codes;
        let stages = [
            stage(first, &extents, &[wide(m(0)), tile(), tile()], &[sink(a, 0, 1), sink(b, 1, 2)]),
            stage(once, &[rows], &[1, 2, 3].map(|k| binding(m(k), &[one])), &[]),
            stage(middle, &extents, &[wide(m(0)), each(m(3)), wide(m(4))], &[]),
            stage(second, &extents, &[wide(m(4)), tile(), tile()], &[sink(b, 0, 5), sink(a, 1, 6)]),
            stage(last, &extents, &[wide(m(4)), each(m(5)), wide(m(7))], &[]),
        ];
        RowLayout::new(rows, chunk, places, stages).unwrap()
    }

    /// What is written, the last `skip` elements from the beginning of a line, with what lies around it.
    fn run(
        &self,
        layout: &RowLayout,
        (rows, width): (usize, usize),
        skip: usize,
        code: Option<(&RowCode, bool)>,
        parts: usize,
    ) -> Vec<u64> {
        let size = self.dtype.size();
        let x = elements(self.dtype, rows * width, rows % 2 == 1);
        let mut outs = [rows, rows, rows * width + skip].map(|n| Aligned::new(n * size));
        let [a, b, c] = &mut outs;
        let memories = [
            RowMemory::Read(&x, 0),
            RowMemory::Nothing,
            RowMemory::Write(&mut a.bytes()[..rows * size]),
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Write(&mut b.bytes()[..rows * size]),
            RowMemory::Write(&mut c.bytes()[skip * size..][..rows * width * size]),
        ];
        let mut words = RowWords::default();
        let never = |_| Ok::<(), ()>(());
        match code {
            Some((code, around)) => {
                let mut bound = layout.bind_whole(code, &mut words, memories).unwrap();
                if around {
                    bound.around_caches();
                }
                let mut scratch = Aligned::new(bound.scratch());
                // At once, and chunk by chunk.
                let parts = bound.parts(parts).enumerate();
                parts.for_each(|(i, part)| part.run(scratch.bytes(), i % 2 == 1, never).unwrap());
            }
            None => {
                let mut bound = layout.bind(&self.codes, memories).unwrap();
                let mut scratch = Aligned::new(bound.scratch());
                bound.parts(parts).into_iter().for_each(|part| part.run(scratch.bytes(), never).unwrap());
            }
        }
        // One NaN is as good as another.
        let all = outs.iter_mut().flat_map(|o| o.bytes().to_vec()).collect::<Vec<u8>>();
        let plain = |bits: u64| match self.dtype {
            DType::F64 if f64::from_bits(bits).is_nan() => f64::NAN.to_bits(),
            DType::F32 if f32::from_bits(bits as u32).is_nan() => f32::NAN.to_bits().into(),
            _ => bits,
        };
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |bits, b| bits << 8 | u64::from(*b));
        all.chunks(size).map(|bytes| plain(word(bytes))).collect()
    }
}

#[test]
fn one_code_does_all_stages() {
    use ReduceOp::{Max, Min, Prod, Sum};
    let shapes = [
        (1, 2),
        (2, 7),
        (5, 16),
        (40, 33),
        (100, 20),
        (90, 100),
        (3, 100),
        (17, 100),
        (16, 255),
        (4, 256),
        (7, 257),
        (3, 511),
        (2, 513),
        (19, 1000),
        (3, 5000),
    ];
    for dtype in [DType::F64, DType::F32, DType::I64, DType::U64] {
        for ops in [[Sum, Max], [Min, Sum], [Prod, Prod]] {
            let program = Program::new(dtype, ops);
            for target in wide_targets() {
                // The same for all shapes, but for whether rows are short beside each other and beside a cache.
                let mut codes: HashMap<RowProgram, [RowCode; 2]> = HashMap::new();
                for (n, shape) in shapes.into_iter().enumerate() {
                    for (chunk, cache) in [(1, 0), (3, 1 << 15), (18, 1 << 30), (100, 0), (100, 1 << 30)] {
                        let mut layout = program.layout(shape.0, shape.1, chunk);
                        layout.suit(&target, cache);
                        let of = layout.program().unwrap();
                        let [code, draft] = codes.entry(of.clone()).or_insert_with(|| {
                            [RowCode::compile(of, &target).unwrap(), RowCode::draft(of, &target).unwrap()]
                        });
                        let skip = n % 9;
                        let expected = program.run(&layout, shape, skip, None, 3);
                        let ways = [(false, 3), (true, 3), (false, 1), (false, 2)].map(|way| (&*code, way));
                        for (code, (around, parts)) in
                            ways.into_iter().chain([(&*draft, (true, 3)), (&*draft, (false, 2))])
                        {
                            let found = program.run(&layout, shape, skip, Some((code, around)), parts);
                            let drafted = std::ptr::eq(code, &*draft);
                            let what = format!(
                                "{dtype}, {ops:?}, {}, {drafted}, {shape:?}, {chunk}, {cache}, {skip}, {around}, {parts}",
                                target.name()
                            );
                            assert!(found == expected, "{what}");
                        }
                    }
                }
                // What comes from memory is asked for by the first step, twice or in several pages; near code asks for nothing.
                let asks = |asm: &str, at: &str| {
                    asm.lines().any(|l| l.contains(crate::testing::asking(&target)) && l.contains(at))
                };
                // Each pace, of short rows and others.
                let forms = match (target.is_zen4(), dtype.is_float()) {
                    (false, _) => 1,
                    (true, false) => 3,
                    (true, true) => 6,
                };
                assert_eq!(codes.len(), forms);
                // What divides by the elements of rows, goes without the divider.
                for (program, [code, _]) in &codes {
                    let evex = target.vector_bits() == 512;
                    let without = match target.tuning() {
                        Tuning::Intel => evex && dtype.is_float(),
                        Tuning::Zen4 => evex && dtype == DType::F64 && !program.short,
                        Tuning::Other => false,
                    };
                    assert_eq!(code.asm().contains("vfnmadd"), without, "{dtype}, {:?}", target.tuning());
                }
                let near = codes.values().map(|[code, _]| code.asm()).collect::<String>();
                let far = codes.values().map(|[code, _]| code.asm_far().unwrap()).collect::<String>();
                let places = if target.tuning() == Tuning::Intel { ["+2000h", "+3000h"] } else { ["+1000h", "+2000h"] };
                let all = places.iter().all(|at| asks(&far, at));
                assert!(
                    all && !near.contains("prefetch"),
                    "{dtype}, {ops:?}, {}, {:?}",
                    target.name(),
                    target.tuning()
                );
            }
        }
    }
}

/// How far stages are behind the first: what is one element a row is made later if rows are short and many, and at once used if
/// those of all stages do not fit the cache.
#[test]
fn stages_follow_one_another_as_suits_the_cache() {
    use ReduceOp::{Max, Sum};
    let program = Program::new(DType::F64, [Sum, Max]);
    let target = |tuning| Target::by_name("x86-64-v4").map(|target| target.clone().tuned_to(tuning));
    let Ok(zen4) = target(Tuning::Zen4) else { return };
    let behind_for = |target: &Target, rows, width, cache| {
        let mut layout = program.layout(rows, width, 100);
        layout.suit(target, cache);
        layout.program().unwrap().behind().to_vec()
    };
    let behind = |rows, width, cache| behind_for(&zen4, rows, width, cache);
    let (wide, even, close) = ([0, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 1, 1, 2, 3]);
    // Six rows of 100 take 4,800 bytes, five 4,000.
    assert_eq!(behind(48, 100, 9600), wide);
    assert_eq!(behind(47, 100, 9600), even);
    assert_eq!(behind(48, 100, 9599), even);
    assert_eq!(behind(48, 100, 4000), even);
    assert_eq!(behind(48, 100, 3999), close);
    for tuning in [Tuning::Intel, Tuning::Other] {
        assert_eq!(behind_for(&target(tuning).unwrap(), 48, 100, 9600), even);
    }
}

/// Rows that all stages have are reduced and mapped in one loop.
#[test]
fn stages_take_rows_together() {
    let (m, dtype) = (RowSource::Memory, DType::F64);
    let mut b = Builder::new();
    let [x, out] = [Role::Input, Role::Output].map(|role| b.operand(role, dtype, Class::Contiguous));
    let x = b.load(x);
    b.store(out, x);
    let copy = Code::compile(&b.finish(), Backend::Interp, Target::detect()).unwrap();
    let quotient = divide(dtype, [Class::Contiguous, Class::Broadcast]);
    let sum = || RowSink { reduction: Reduction::new(ReduceOp::Sum, dtype, false), tile: 0, memory: 1 };
    for target in wide_targets() {
        let mut code = None;
        for (n, (rows, width)) in
            [(1, 9), (2, 64), (3, 70), (40, 16), (17, 129), (20, 256), (5, 700)].into_iter().enumerate()
        {
            let row = 8 * width as isize;
            let places = [RowPlace::Read, RowPlace::Temporary { row: 8 }, RowPlace::Write { row: 8 * width }];
            let along = |source| binding(source, &[row, 8]);
            let stages = [
                stage(&copy, &[rows, width], &[along(m(0)), along(RowSource::Tile)], &[sum()]),
                stage(&quotient, &[rows, width], &[along(m(0)), binding(m(1), &[8, 0]), along(m(2))], &[]),
            ];
            let layout = RowLayout::new(rows, 7, places, stages).unwrap();
            let code = &*code.get_or_insert_with(|| RowCode::compile(layout.program().unwrap(), &target).unwrap());
            let x = elements(dtype, rows * width, n % 2 == 1);
            let skip = n % 3;
            let outs = [None, Some(false), Some(true)].map(|whole| {
                let mut out = Aligned::new((rows * width + skip) * 8);
                let memories = [
                    RowMemory::Read(&x, 0),
                    RowMemory::Nothing,
                    RowMemory::Write(&mut out.bytes()[8 * skip..][..8 * rows * width]),
                ];
                let mut words = RowWords::default();
                let never = |_| Ok::<(), ()>(());
                if let Some(around) = whole {
                    let mut bound = layout.bind_whole(code, &mut words, memories).unwrap();
                    if around {
                        bound.around_caches();
                    }
                    let mut scratch = Aligned::new(bound.scratch());
                    bound.parts(2).for_each(|part| part.run(scratch.bytes(), false, never).unwrap());
                } else {
                    let mut bound = layout.bind([&copy, &quotient], memories).unwrap();
                    let mut scratch = Aligned::new(bound.scratch());
                    bound.parts(2).into_iter().for_each(|part| part.run(scratch.bytes(), never).unwrap());
                }
                let all: Vec<f64> = bytemuck::pod_collect_to_vec(out.bytes());
                all.into_iter().map(|x| if x.is_nan() { f64::NAN.to_bits() } else { x.to_bits() }).collect::<Vec<_>>()
            });
            assert!(outs[0] == outs[1] && outs[0] == outs[2], "{}, {rows} x {width}", target.name());
        }
        // The first jump back ends a loop that adds and divides.
        let code = code.unwrap();
        for asm in [code.asm(), code.asm_far().unwrap()] {
            let address = |l: &str| u64::from_str_radix(l.split_whitespace().next()?, 16).ok();
            let target = |l: &str| u64::from_str_radix(l.split_once("jbe near ")?.1.trim_end_matches('h'), 16).ok();
            let back =
                asm.lines().find_map(|l| Some((target(l)?, address(l)?)).filter(|(to, from)| to < from)).unwrap();
            let main: Vec<&str> =
                asm.lines().filter(|l| address(l).is_some_and(|a| (back.0..back.1).contains(&a))).collect();
            for what in ["vaddpd", "vdivpd"] {
                let multiplied = what == "vdivpd" && main.iter().any(|l| l.contains("vfnmadd"));
                assert!(multiplied || main.iter().any(|l| l.contains(what)), "{what}: {main:?}");
            }
        }
    }
}

/// What the code of all stages cannot do is left to the stages.
#[test]
fn not_all_stages_are_one_code() {
    use ReduceOp::{Argmax, Max, Sum};
    let m = RowSource::Memory;
    let one = |dtype: DType, op: ReduceOp, second: bool| {
        let (size, copy) = (dtype.size(), copies(dtype));
        let row = 3 * size as isize;
        let x = || binding(m(0), &[row, size as isize]);
        let tile = || binding(RowSource::Tile, &[row, size as isize]);
        let reduction = Reduction::new(op, dtype, false);
        let sink = |tile, memory| RowSink { reduction, tile, memory };
        let places = [RowPlace::Read]
            .into_iter()
            .chain((0..4).map(|_| RowPlace::Write { row: reduction.result_dtype().size() }));
        let given = |n| stage(&copy, &[5, 3], &[x(), tile(), tile()], &[sink(0, n), sink(1, n + 1)]);
        let layout = RowLayout::new(5, 2, places, std::iter::once(given(1)).chain(second.then(|| given(3)))).unwrap();
        layout.program().map(|program| RowCode::compile(program, Target::detect()).is_ok())
    };
    let wide = Backend::Wide.why_not(Target::detect()).is_none();
    assert_eq!(one(DType::F64, Sum, true), Some(wide));
    // A single stage; states of another size than results, or none that lanes hold.
    assert_eq!(one(DType::F64, Sum, false), None);
    assert_eq!(one(DType::F16, Sum, true), None);
    assert_ne!(one(DType::F64, Argmax, true), Some(true));
    assert_eq!(one(DType::F16, Max, true), Some(false));
}

#[test]
fn code_is_held_against_its_program_and_memory() {
    if Backend::Wide.why_not(Target::detect()).is_some() {
        return;
    }
    let [sums, products] = [ReduceOp::Sum, ReduceOp::Prod].map(|op| Program::new(DType::F64, [op; 2]));
    let mut layout = sums.layout(4, 3, 2);
    let code = RowCode::compile(layout.program().unwrap(), Target::detect()).unwrap();
    let other = RowCode::compile(products.layout(4, 3, 2).program().unwrap(), Target::detect()).unwrap();
    layout.adopt(code.program());
    layout.adopt(other.program());
    let x = elements(DType::F64, 12, false);
    let binds = |code: &RowCode, (x, start): (&[u8], usize), out: usize| {
        let (mut a, mut b, mut c) = (vec![0; 32], vec![0; 32], vec![0; out]);
        let mut words = RowWords::default();
        let memories = [
            RowMemory::Read(x, start),
            RowMemory::Nothing,
            RowMemory::Write(&mut a),
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Nothing,
            RowMemory::Write(&mut b),
            RowMemory::Write(&mut c),
        ];
        let all = layout.bind_whole(code, &mut words, memories).is_ok();
        let mut words = RowWords::default();
        assert!(layout.bind_whole(code, &mut words, [RowMemory::Read(x, start)]).is_err());
        all
    };
    assert!(binds(&code, (&x, 0), 96));
    assert!(!binds(&other, (&x, 0), 96) && !binds(&code, (&x, 8), 96) && !binds(&code, (&x[..95], 0), 96));
    assert!(!binds(&code, (&x, usize::MAX), 96) && !binds(&code, (&x, 0), 95));
}

/// Steps of an element a row stand anywhere: first, after rows of elements, after one another, last.
#[test]
fn elements_of_rows_stand_anywhere() {
    let dtype = DType::F32;
    let [first, once, wide, strided] = [
        [Class::Strided; 2],
        [Class::Contiguous; 2],
        [Class::Contiguous, Class::Broadcast],
        [Class::Strided, Class::Broadcast],
    ]
    .map(|classes| add(dtype, classes));
    let copy = copies(dtype);
    let m = RowSource::Memory;
    for (rows, width) in [(1, 2), (3, 15), (21, 100), (18, 16), (5, 700)] {
        let row = 4 * width as isize;
        let (each, along) = (|k| binding(m(k), &[4]), |k| binding(m(k), &[row, 4]));
        let (same, tile) = (|k| binding(m(k), &[4, 0]), || binding(RowSource::Tile, &[row, 4]));
        let backwards = |k| RowBinding { offset: row - 4, ..binding(m(k), &[row, -4]) };
        let sink = |tile, memory| RowSink { reduction: Reduction::new(ReduceOp::Sum, dtype, false), tile, memory };
        let temporary = |row| RowPlace::Temporary { row };
        let places = [
            RowPlace::Read,
            temporary(4),
            temporary(4 * width),
            temporary(4),
            temporary(4),
            temporary(4),
            temporary(4),
            RowPlace::Write { row: 4 * width },
            RowPlace::Write { row: 4 },
        ];
        let extents = [rows, width];
        let stages = || {
            [
                // The first and second element of each row.
                stage(
                    &first,
                    &[rows],
                    &[binding(m(0), &[row]), RowBinding { offset: 4, ..binding(m(0), &[row]) }, each(1)],
                    &[],
                ),
                stage(&strided, &extents, &[backwards(0), same(1), along(2)], &[]),
                stage(&once, &[rows], &[each(1), each(1), each(3)], &[]),
                stage(&once, &[rows], &[each(3), each(1), each(4)], &[]),
                stage(&copy, &extents, &[along(2), tile(), tile()], &[sink(0, 5), sink(1, 6)]),
                stage(&wide, &extents, &[along(2), same(5), along(7)], &[]),
                stage(&once, &[rows], &[each(4), each(6), each(8)], &[]),
            ]
        };
        let x = elements(dtype, rows * width, false);
        for chunk in [1, 17, 100] {
            let layout = RowLayout::new(rows, chunk, places, stages()).unwrap();
            let run = |code: Option<&RowCode>| {
                let (mut a, mut b) = (vec![0xff; rows * width * 4 + 64], vec![0xff; rows * 4 + 64]);
                let outs = [&mut a[..rows * width * 4], &mut b[..rows * 4]];
                let mut memories: Vec<RowMemory<'_>> = vec![RowMemory::Read(&x, 0)];
                memories.extend((0..6).map(|_| RowMemory::Nothing));
                memories.extend(outs.map(RowMemory::Write));
                let mut scratch = Aligned::new(1 << 20);
                let mut words = RowWords::default();
                let never = |_| Ok::<(), ()>(());
                match code {
                    Some(code) => {
                        let mut bound = layout.bind_whole(code, &mut words, memories).unwrap();
                        // At once, and chunk by chunk.
                        let parts = bound.parts(2).enumerate();
                        parts.for_each(|(i, part)| part.run(scratch.bytes(), i % 2 == 1, never).unwrap());
                    }
                    None => {
                        let codes = [&first, &strided, &once, &once, &copy, &wide, &once];
                        let mut bound = layout.bind(codes, memories).unwrap();
                        bound.parts(2).into_iter().for_each(|part| part.run(scratch.bytes(), never).unwrap());
                    }
                }
                (a, b)
            };
            let expected = run(None);
            for target in wide_targets() {
                let code = RowCode::compile(layout.program().unwrap(), &target).unwrap();
                assert!(run(Some(&code)) == expected, "{rows} x {width}, {chunk}, {}", target.name());
            }
        }
    }
}

/// A loop of one turn inside another allows any stride, which code that knows one loop does not look at.
#[test]
fn loops_of_one_turn_are_looked_through() {
    let (copy, wide) = (copies(DType::F64), add(DType::F64, [Class::Contiguous, Class::Broadcast]));
    let m = RowSource::Memory;
    let has = |strides: [isize; 3]| {
        let places =
            [RowPlace::Read, RowPlace::Write { row: 8 }, RowPlace::Write { row: 8 }, RowPlace::Write { row: 24 }];
        let reduction = Reduction::new(ReduceOp::Sum, DType::F64, false);
        let sinks = [0, 1].map(|tile| RowSink { reduction, tile, memory: tile + 1 });
        let tile = || binding(RowSource::Tile, &[24, 8, 8]);
        let stages = [
            stage(&copy, &[4, 3, 1], &[binding(m(0), &strides), tile(), tile()], &sinks),
            stage(
                &wide,
                &[4, 3, 1],
                &[binding(m(0), &[24, 8, 8]), binding(m(1), &[8, 0, 0]), binding(m(3), &[24, 8, 8])],
                &[],
            ),
        ];
        RowLayout::new(4, 2, places, stages).unwrap().program().is_some()
    };
    assert!(has([24, 8, 8]));
    assert!(!has([24, 0, 8]) && !has([24, -8, 8]));
}

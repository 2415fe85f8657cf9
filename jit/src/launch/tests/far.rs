//! Memory that the caches do not hold: stores around them, and inputs that are asked for ahead of their use.

use super::*;
#[cfg(target_arch = "x86_64")]
use crate::testing::asking;

/// What is written around the caches is what is written through them, at every alignment, and nothing beside it.
#[test]
fn outputs_around_the_caches() {
    // y = x + x as f64, z = x: outputs of two sizes.
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::F32, Class::Contiguous);
    let (y, z) = (
        b.operand(Role::Output, DType::F64, Class::Contiguous),
        b.operand(Role::Output, DType::F32, Class::Contiguous),
    );
    let x = b.load(x);
    let wide = crate::lower::cast(&mut b, DType::F32, DType::F64, x);
    let sum = b.fadd(wide, wide);
    b.store(y, sum);
    b.store(z, x);
    let kernel = b.finish();
    let x: Vec<f32> = (0..300).map(|i| i as f32 * 0.5).collect();
    for backend in Backend::ALL.into_iter().filter(|b| b.why_not(Target::detect()).is_none()) {
        let code = Code::compile(&kernel, backend, Target::detect()).unwrap();
        for (start, [rows, columns]) in [(0, [1, 200]), (1, [1, 199]), (8, [1, 7]), (0, [4, 48]), (0, [4, 45])] {
            let outs = [false, true].map(|around| {
                let mut memory = vec![255u8; 64 + 12 * 400];
                let begin = memory.as_ptr().align_offset(64);
                let (y, z) = memory[begin..][..12 * 400].split_at_mut(8 * 400);
                let access = |size: isize| access(size * start, &[size * columns as isize, size]);
                let layout =
                    Layout::new(&kernel.operands, &[rows, columns], [access(4), access(8), access(4)]).unwrap();
                let memory3 = [Memory::Read(cast_slice(&x), 0), Memory::Write(y), Memory::Write(z)];
                let mut launch = layout.bind(&code, memory3).unwrap();
                if around {
                    launch.around_caches();
                }
                launch.run();
                drop(launch);
                memory[begin..][..12 * 400].to_vec()
            });
            let n = rows * columns;
            let y: Vec<f64> = bytemuck::pod_collect_to_vec(&outs[1][8 * start as usize..][..8 * n]);
            assert!((0..n).all(|i| y[i] == 2.0 * f64::from(x[start as usize + i])));
            assert!(outs[0] == outs[1], "{backend}, {start}, {rows} x {columns}");
        }
        #[cfg(target_arch = "x86_64")]
        if backend == Backend::Wide {
            assert!(!code.asm().unwrap().contains("vmovnt"));
            assert!(code.asm_far(Streams::One).unwrap().contains("vmovntpd"));
        }
    }
}

/// Rows that begin anywhere are written around the caches from the first whole vector on, with the same result.
#[test]
fn outputs_around_the_caches_at_any_alignment() {
    const ROOM: usize = 12_000;
    let targets = Target::available().into_iter().filter(|t| t.supported()).map(|t| Target::by_name(t.name).unwrap());
    let targets: Vec<Target> = targets.filter(|t| Backend::Wide.why_not(t).is_none()).collect();
    for dtype in [DType::U8, DType::I16, DType::F32, DType::F64] {
        // y = x, z = x + row: twice the same layout.
        let size = dtype.size() as isize;
        let mut b = Builder::new();
        let x = b.operand(Role::Input, dtype, Class::Contiguous);
        let row = b.operand(Role::Input, dtype, Class::Broadcast);
        let [y, z] = [0, 1].map(|_| b.operand(Role::Output, dtype, Class::Contiguous));
        let (x, row) = (b.load(x), b.load(row));
        let sum = if dtype.is_float() { b.fadd(x, row) } else { b.iadd(x, row) };
        b.store(y, x);
        b.store(z, sum);
        let kernel = b.finish();
        let x: Vec<u8> = (0..ROOM).map(|i| if dtype.is_float() { i as u8 % 60 } else { i as u8 }).collect();
        for target in &targets {
            let [plain, code] =
                [Backend::Interp, Backend::Wide].map(|backend| Code::compile(&kernel, backend, target).unwrap());
            for start in [0, 1, 5, 16, 31] {
                for [rows, columns] in [[1, 1], [1, 15], [3, 17], [4, 64], [3, 100], [2, 333]] {
                    let outs = [&plain, &code].map(|code| {
                        let mut memory = vec![[255u8; 64]; 2 * ROOM / 64 + 2];
                        let (y, z) = memory.as_flattened_mut().split_at_mut((ROOM / 64 + 1) * 64);
                        let access = |s1: isize, s0: isize| access(size * start, &[s1, s0]);
                        let all = || access(size * columns as isize, size);
                        let accesses = [all(), access(size, 0), all(), all()];
                        let layout = Layout::new(&kernel.operands, &[rows, columns], accesses).unwrap();
                        let input = || Memory::Read(&x, 0);
                        let memories = [input(), input(), Memory::Write(y), Memory::Write(z)];
                        let mut launch = layout.bind(code, memories).unwrap();
                        launch.around_caches();
                        launch.run();
                        drop(launch);
                        memory
                    });
                    assert!(outs[0] == outs[1], "{dtype} for {}: {start}, {rows} x {columns}", target.name());
                }
            }
            let [around, plain] = [code.asm_far(Streams::One), code.asm()].map(Option::unwrap);
            assert!(around.contains("vmovnt") && !plain.contains("vmovnt"));
            // It is for more than the caches hold: inputs are asked for in time.
            assert!(around.contains(asking(target)) && !plain.contains("prefetch"), "{around}");
        }
    }
}

/// Where the inputs of a program are, beside the first.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, PartialEq)]
enum Others {
    /// In memory of their own.
    Apart,
    /// An element further on each.
    Neighbours,
}

/// The machine code for memory of a program that divides so often, by each of its inputs in turn and then by a constant. Its
/// results, which begin anywhere, are compared with the interpreter's.
#[cfg(target_arch = "x86_64")]
fn far_code(operations: usize, inputs: usize, others: Others, target: &Target) -> String {
    let mut b = Builder::new();
    let sources: Vec<u32> = (0..inputs).map(|_| b.operand(Role::Input, DType::F64, Class::Contiguous)).collect();
    let y = b.operand(Role::Output, DType::F64, Class::Contiguous);
    let values: Vec<_> = sources.iter().map(|&x| b.load(x)).collect();
    let last = (1..operations).fold(values[0], |last, n| b.fdiv(last, values[n % inputs]));
    let three = b.float(crate::kernel::Ty::F64, 3.0);
    let last = b.fdiv(last, three);
    b.store(y, last);
    let kernel = b.finish();
    let [plain, code] = [Backend::Interp, Backend::Wide].map(|b| Code::compile(&kernel, b, target).unwrap());
    let x: Vec<Vec<f64>> =
        (0..inputs).map(|k| (0..250).map(|i| 1.0 + ((i * 7 + k * 3) % 97) as f64).collect()).collect();
    let mut streams = Streams::One;
    for [rows, columns] in [[5, 20], [3, 37], [1, 100]] {
        for skip in [0, 1, 5] {
            let of = |n: usize| if others == Others::Neighbours { (0, n) } else { (n, 0) };
            let read = |n: usize| access(8 * of(n).1 as isize, &[8 * columns as isize, 8]);
            let write = access(8 * skip, &[8 * columns as isize, 8]);
            let layout = Layout::new(&kernel.operands, &[rows, columns], (0..inputs).map(read).chain([write])).unwrap();
            let outs = [&plain, &code].map(|code| {
                let mut memory = vec![[u64::MAX; 8]; 20];
                let y = Memory::Write(cast_slice_mut(&mut memory));
                let reads = (0..inputs).map(|n| Memory::Read(cast_slice(&x[of(n).0]), 0));
                let mut launch = layout.bind(code, reads.chain([y])).unwrap();
                launch.around_caches();
                streams = launch.far.unwrap();
                launch.run();
                drop(launch);
                memory
            });
            assert!(
                outs[0] == outs[1],
                "{operations} operations, {inputs} inputs, {rows} x {columns}, {skip}, {:?}",
                target.tuning()
            );
        }
    }
    code.asm_far(streams).unwrap()
}

/// Only programs that wait for memory ask for it, and those that have one stream of it: others would do so in vain. On Intel's
/// CPUs all do.
#[test]
#[cfg(target_arch = "x86_64")]
fn programs_ask_for_memory_where_it_pays() {
    for target in crate::testing::wide_targets() {
        // Of many such inputs most vectors would cross lines, so they are shorter, unless something else takes the time.
        let zmm = |operations, inputs, others| far_code(operations, inputs, others, &target).contains("zmm");
        if target.vector_bits() == 512 {
            assert_eq!(zmm(4, 4, Others::Neighbours), target.tuning() == Tuning::Intel);
            assert!(zmm(4, 3, Others::Neighbours) && zmm(4, 4, Others::Apart) && zmm(40, 4, Others::Neighbours));
        }
        // How far ahead it asks.
        let distances = |operations: usize, inputs: usize, others: Others| {
            let asm = far_code(operations, inputs, others, &target);
            let asks =
                |l: &str| Some(l.split_once(asking(&target))?.1.rsplit_once('+')?.1.trim_end_matches("h]").to_owned());
            let mut all: Vec<String> =
                asm.lines().filter_map(asks).filter(|a| a == "400" || a.ends_with("000")).collect();
            all.sort();
            all.dedup();
            all
        };
        if target.tuning() == Tuning::Intel {
            // `wide::ahead` has the rest.
            let pages = [["2000", "3000"].as_slice(), &["4000", "5000", "6000", "7000"]];
            for (operations, others) in [(3, Others::Apart), (3, Others::Neighbours)] {
                let all = distances(operations, 1 + usize::from(others == Others::Neighbours), others);
                assert!(pages.contains(&all.iter().map(String::as_str).collect::<Vec<_>>().as_slice()), "{all:?}");
            }
            continue;
        }
        if target.tuning() == Tuning::Zen4 {
            // Less far ahead, and for several inputs, too.
            assert_eq!([1, 2].map(|inputs| distances(3, inputs, Others::Apart)), [["400"]; 2]);
        } else {
            assert_eq!(distances(3, 1, Others::Apart), ["2000"]);
            assert!(distances(3, 2, Others::Apart).is_empty());
        }
        assert!(distances(40, 1, Others::Apart).is_empty());
        // Those in between ask twice, and those of which several inputs read the same memory.
        assert_eq!(distances(12, 1, Others::Apart), ["1000", "2000"]);
        assert_eq!(distances(12, 2, Others::Apart), ["1000", "2000"]);
        assert_eq!(distances(3, 2, Others::Neighbours), ["1000", "2000"]);
        assert!(distances(40, 2, Others::Neighbours).is_empty());
    }
}

#[test]
fn streams_are_counted_by_what_they_read() {
    let mut b = Builder::new();
    let [x, y] = [0; 2].map(|_| b.operand(Role::Input, DType::F64, Class::Contiguous));
    let z = b.operand(Role::Output, DType::F64, Class::Contiguous);
    let [x, y] = [x, y].map(|k| b.load(k));
    let sum = b.fadd(x, y);
    b.store(z, sum);
    let kernel = b.finish();
    let code = |tuning| Code::compile(&kernel, Backend::Interp, &Target::detect().clone().tuned_to(tuning)).unwrap();
    let [other, zen4, intel] = [Tuning::Other, Tuning::Zen4, Tuning::Intel].map(code);
    let memory = vec![0.0f64; 1000];
    // Rows and columns; where the second input begins, its pitch and the first one's.
    let streams_of = |code: &Code, [rows, columns]: [usize; 2], begin: isize, [first, second]: [isize; 2]| {
        let accesses = [access(0, &[first, 8]), access(begin, &[second, 8]), access(0, &[8 * columns as isize, 8])];
        let layout = Layout::new(&code.kernel().operands, &[rows, columns], accesses).unwrap();
        let mut out = vec![0.0f64; rows * columns];
        let read = || Memory::Read(cast_slice(&memory), 0);
        let mut launch = layout.bind(code, [read(), read(), Memory::Write(cast_slice_mut(&mut out))]).unwrap();
        launch.around_caches();
        launch.far.unwrap()
    };
    let streams = |extents, begin, pitches| streams_of(&other, extents, begin, pitches);
    // No rows that move.
    assert_eq!(streams([9, 10], 0, [0, 0]), Streams::None);
    // The next element, the next row; the other half of each row, and of all rows; a row that stays; another pitch.
    assert_eq!(streams([1, 100], 8, [800, 800]), Streams::Same);
    assert_eq!(streams([9, 10], 80, [80, 80]), Streams::Same);
    assert_eq!(streams([9, 10], 72, [80, 80]), Streams::Same);
    assert_eq!(streams([9, 10], 80, [160, 160]), Streams::Several);
    assert_eq!(streams([5, 10], 400, [80, 80]), Streams::Several);
    assert_eq!(streams([9, 10], 0, [80, 0]), Streams::One);
    assert_eq!(streams([9, 10], 0, [80, 88]), Streams::Several);
    // A long row that stays.
    assert_eq!(streams_of(&zen4, [2, 255], 0, [2040, 0]), Streams::Beside);
    assert_eq!(streams_of(&zen4, [2, 256], 0, [2048, 2048]), Streams::Same);
    assert_eq!(streams_of(&zen4, [2, 256], 0, [2048, 0]), Streams::Rows);
    assert_eq!(streams_of(&zen4, [2, 256], 0, [0, 0]), Streams::None);
    assert_eq!([&other, &intel].map(|code| streams_of(code, [2, 256], 0, [2048, 0])), [Streams::One; 2]);
    // Where they do not follow one another, Intel's CPUs are not asked.
    assert_eq!(streams_of(&intel, [9, 10], 80, [80, 80]), Streams::Same);
    assert_eq!(streams_of(&intel, [9, 10], 0, [80, 88]), Streams::Several);
    assert_eq!(streams_of(&intel, [9, 10], 0, [80, 0]), Streams::One);
    assert_eq!(streams_of(&intel, [9, 10], 0, [80, 96]), Streams::None);
    assert_eq!(streams_of(&intel, [9, 10], 640, [80, -80]), Streams::None);
}

use super::*;
use crate::{Backend, Builder, Target};
use bytemuck::{cast_slice, cast_slice_mut};
use lazuli_graph::DType;
use smallvec::smallvec;

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
        let mut launch = layout.bind(&code, memory).unwrap();
        let parts = launch.parts(5, 1);
        let mut left: Vec<Part> = std::iter::from_fn(|| parts.next()).collect();
        assert_eq!(left.len(), parts.count());
        assert!(parts.next().is_none());
        assert_eq!(left.iter().map(Part::elements).sum::<usize>(), n);
        // In any order.
        left.reverse();
        left.into_iter().for_each(Part::run);
        assert!(z.iter().enumerate().all(|(i, &z)| z == i as f64 - 1.0));
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
            assert!(code.asm_around().unwrap().contains("vmovntpd"));
        }
    }
}

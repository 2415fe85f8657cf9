//! Random kernels over random layouts, against the model element by element.

use super::model::eval;
use super::*;
use crate::kernel::Operand;
use crate::testing::kernels;
use crate::{Kernel, eval_scalar};
use lazuli_graph::Scalar;
use proptest::prelude::*;

/// One operand's memory: offset of the first element, and strides.
struct Layout {
    bytes: Vec<u8>,
    start: isize,
    s0: isize,
    s1: isize,
}

impl Layout {
    fn at(&self, i: usize, j: usize) -> usize {
        (self.start + i as isize * self.s0 + j as isize * self.s1) as usize
    }
}

fn layout(o: Operand, n0: usize, n1: usize, random: &mut Random) -> Layout {
    let size = o.dtype.size() as isize;
    let word = random.next();
    let s0 = match o.class {
        Class::Contiguous => size,
        Class::Broadcast => 0,
        Class::Strided => [2 * size, -size, -3 * size, size][word as usize % 4],
    };
    let row = s0 * n0 as isize;
    let s1 = match (o.role, word >> 8 & 3) {
        (Role::Output, 0 | 1) | (_, 0) => row,
        (Role::Output, _) => row + size * s0.signum(),
        (_, 1) => 0,
        (_, 2) => row + size,
        (..) => -row - 3 * size,
    };
    let (last0, last1) = (s0 * (n0 as isize - 1), s1 * (n1 as isize - 1));
    // An odd start, so that nothing is aligned.
    let start = 1 - last0.min(0) - last1.min(0);
    let room = (start + last0.max(0) + last1.max(0) + size) as usize;
    let edges = edges(Ty::of(o.dtype));
    let mut bytes = vec![0xa5; room + 16];
    if o.role == Role::Input {
        for at in (1..room).step_by(size as usize) {
            let bits = match (o.dtype, random.next()) {
                (DType::Bool, word) => word & 1,
                (_, word) if word & 3 == 0 => random.next(),
                (_, word) => edges[(word >> 2) as usize % edges.len()],
            };
            bytes[at..at + size as usize].copy_from_slice(&bits.to_le_bytes()[..size as usize]);
        }
    }
    Layout { bytes, start, s0, s1 }
}

/// How far the bits of a value are fixed: those of a NaN that arises are not, nor is what is made of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Known {
    Bits,
    /// A NaN, whose bits are free.
    Nan,
    Nothing,
}

/// What the bits of a result say, given the arguments.
fn known(prim: Prim, from: Ty, ty: Ty, args: &[(u64, Known)], result: u64) -> Known {
    let worst = args.iter().map(|a| a.1).max().unwrap_or(Known::Bits);
    let nan = |ty: Ty, bits: u64| match ty {
        Ty::F32 => f32::from_bits(bits as u32).is_nan(),
        _ => f64::from_bits(bits).is_nan(),
    };
    match prim {
        _ if worst == Known::Nothing && prim != Prim::Select => Known::Nothing,
        // These move bits.
        Prim::FNeg | Prim::FAbs => worst,
        Prim::FCopysign if args[1].1 == Known::Nan => Known::Nothing,
        Prim::FCopysign => args[0].1,
        Prim::FMin => {
            let [a, b] = [0, 1].map(|k| {
                if from == Ty::F32 { f32::from_bits(args[k].0 as u32) as f64 } else { f64::from_bits(args[k].0) }
            });
            if a < b { args[0].1 } else { args[1].1 }
        }
        Prim::FMax => {
            let [a, b] = [0, 1].map(|k| {
                if from == Ty::F32 { f32::from_bits(args[k].0 as u32) as f64 } else { f64::from_bits(args[k].0) }
            });
            if a > b { args[0].1 } else { args[1].1 }
        }
        Prim::Select if args[0].1 != Known::Bits => Known::Nothing,
        Prim::Select => args[2 - args[0].0 as usize].1,
        Prim::Bitcast if worst == Known::Nan => Known::Nothing,
        Prim::Bitcast => worst,
        Prim::F32To16 | Prim::F64To16 | Prim::F32ToBf16 | Prim::F64ToBf16 if nan(from, args[0].0) => Known::Nothing,
        // All others take a NaN for a NaN, and give one with any bits.
        _ if ty.is_float() && nan(ty, result) => Known::Nan,
        _ => Known::Bits,
    }
}

/// The outputs of one element.
fn model(kernel: &Kernel, source: impl Fn(usize) -> u64) -> Vec<(u64, Known)> {
    let mut values: Vec<(u64, Known)> = Vec::new();
    for inst in &kernel.insts {
        let args: Vec<(u64, Known)> = inst.args().iter().map(|a| values[a.0 as usize]).collect();
        let bits: Vec<u64> = args.iter().map(|a| a.0).collect();
        let from = match (inst.prim, inst.args()) {
            (Prim::Select | Prim::CallIf, _) | (_, []) => inst.ty,
            (_, [first, ..]) => kernel.ty(*first),
        };
        values.push(match inst.prim {
            Prim::Load | Prim::Index => (source(inst.imm as usize), Known::Bits),
            Prim::Const => (inst.imm, Known::Bits),
            prim => {
                let result = eval(prim, from, inst.ty, inst.imm, &bits);
                (result, known(prim, from, inst.ty, &args, result))
            }
        });
    }
    let mut stores = kernel.stores.clone();
    stores.sort_unstable_by_key(|s| s.operand);
    stores.into_iter().map(|s| values[s.value.0 as usize]).collect()
}

/// Whether an output is what the model says.
fn agrees(ty: Ty, got: u64, (bits, known): (u64, Known)) -> bool {
    match known {
        Known::Bits => got == bits,
        Known::Nan => canonical(ty, got) == canonical(ty, bits),
        Known::Nothing => true,
    }
}

fn check(kernel: &Kernel, n0: usize, n1: usize, seed: u64) {
    let mut random = Random(seed | 1);
    let mut layouts: Vec<Layout> = kernel.operands.iter().map(|&o| layout(o, n0, n1, &mut random)).collect();
    let mut slab = Slab::new(kernel.operands.len());
    slab.set_extents(n0, n1);
    for (i, (l, o)) in layouts.iter_mut().zip(&kernel.operands).enumerate() {
        let base = match o.role {
            Role::Index => l.start as u64,
            Role::Input | Role::Output => l.bytes.as_mut_ptr().expose_provenance() as u64 + l.start as u64,
        };
        slab.set_operand(i, base, l.s0, l.s1);
    }
    #[allow(unsafe_code)]
    // SAFETY: the layouts hold every element.
    unsafe {
        Interp::new(kernel).run(&slab);
    }
    let outputs: Vec<usize> = (0..kernel.operands.len()).filter(|&o| kernel.operands[o].role == Role::Output).collect();
    let mut written: Vec<Vec<bool>> = layouts.iter().map(|l| vec![false; l.bytes.len()]).collect();
    for (i, j) in (0..n1).flat_map(|j| (0..n0).map(move |i| (i, j))) {
        let source = |o: usize| match kernel.operands[o].role {
            Role::Index => layouts[o].at(i, j) as u64,
            Role::Input | Role::Output => element(kernel.operands[o].dtype, &layouts[o].bytes, layouts[o].at(i, j)),
        };
        for (&o, expected) in outputs.iter().zip(model(kernel, source)) {
            let dtype = kernel.operands[o].dtype;
            let at = layouts[o].at(i, j);
            written[o][at..at + dtype.size()].fill(true);
            let got = element(dtype, &layouts[o].bytes, at);
            let wrong = || format!("operand {o} at ({i}, {j}) of {n0}x{n1}: {got:#x}, not {:#x}\n{kernel}", expected.0);
            assert!(agrees(Ty::of(dtype), got, expected), "{}", wrong());
        }
    }
    for &o in &outputs {
        let untouched = layouts[o].bytes.iter().zip(&written[o]).all(|(&b, &w)| w || b == 0xa5);
        assert!(untouched, "operand {o} written outside its elements\n{kernel}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn kernels_follow_the_model(
        kernel in kernels(60),
        (n0, n1) in prop_oneof![
            Just((1, 1)), Just((0, 4)), Just((3, 50)), Just((1, 300)), Just((130, 3)), Just((300, 2)), Just((600, 1)),
            (1usize..40, 1usize..20),
        ],
        seed in any::<u64>(),
    ) {
        check(&kernel, n0, n1, seed);
    }

    #[test]
    fn one_element_is_enough(kernel in kernels(60), seed in any::<u64>()) {
        let mut random = Random(seed | 1);
        let inputs: Vec<Scalar> = (kernel.operands.iter().filter(|o| o.role != Role::Output))
            .map(|o| {
                let edges = edges(Ty::of(o.dtype));
                Scalar::from_bits(o.dtype, edges[random.next() as usize % edges.len()])
            })
            .collect();
        let got = eval_scalar(&kernel, &inputs);
        let number = |o: usize| kernel.operands[..o].iter().filter(|o| o.role != Role::Output).count();
        let source = |o: usize| inputs[number(o)].bits();
        let expected = model(&kernel, source);
        prop_assert_eq!(got.len(), expected.len());
        for (got, expected) in got.into_iter().zip(expected) {
            prop_assert!(agrees(Ty::of(got.dtype()), got.bits(), expected), "{:?}, not {:#x}\n{}", got, expected.0, &kernel);
        }
    }
}

//! Tests of the interpreter against an element-wise model that shares no code with it.

mod halves;
mod layouts;
mod model;
mod prims;
mod programs;

use crate::{Builder, Class, Interp, Prim, Role, Slab, Ty};
use lazuli_graph::DType;

/// A dtype that is held in lanes of `ty`.
fn dtype(ty: Ty) -> DType {
    match ty {
        Ty::M => DType::Bool,
        Ty::I8 => DType::I8,
        Ty::I16 => DType::I16,
        Ty::I32 => DType::I32,
        Ty::I64 => DType::I64,
        Ty::F32 => DType::F32,
        Ty::F64 => DType::F64,
    }
}

/// A source of numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bits of a lane worth testing with.
fn edges(ty: Ty) -> Vec<u64> {
    let halves =
        [0.5, 1.5, 2.5, 0.49999999999999994, 0.1, 1.0, 3.0, 1e10, 1e-7, 6e-8, 3e-8, 65504.0, 65519.99, 65520.0];
    let big = [31, 32, 63, 64].map(|e| 2f64.powi(e));
    let near = big.into_iter().flat_map(|x| [x, x - 1.0, x - 0.5, x + 1.0, x.next_down(), x.next_up()]);
    let odd = [4503599627370495.5, 9007199254740993.0, f64::INFINITY, f64::NAN, 3.4e38, 3.4028236e38, 1e-45, 7e-46];
    let floats: Vec<f64> = (halves.into_iter().chain(near).chain(odd).chain([0.0])).flat_map(|x| [x, -x]).collect();
    match ty {
        Ty::M => vec![0, 1],
        Ty::F32 => {
            let more = [f32::MAX, f32::MIN_POSITIVE, f32::MIN_POSITIVE.next_down(), f32::from_bits(1), 8388607.5];
            let more = more.into_iter().flat_map(|x| [x, -x]).chain(floats.into_iter().map(|x| x as f32));
            more.map(|x| x.to_bits() as u64).collect()
        }
        Ty::F64 => {
            let more = [f64::MAX, f64::MIN_POSITIVE, f64::MIN_POSITIVE.next_down(), f64::from_bits(1)];
            more.into_iter().flat_map(|x| [x, -x]).chain(floats).map(f64::to_bits).collect()
        }
        Ty::I8 | Ty::I16 | Ty::I32 | Ty::I64 => {
            let mask = u64::MAX >> (64 - 8 * ty.size());
            let small = [0i64, 1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 200, 255, 256];
            let mut all: Vec<u64> = small.into_iter().flat_map(|x| [x, -x]).map(|x| x as u64 & mask).collect();
            all.extend([mask >> 1, (mask >> 1) + 1, mask - 1, mask >> 2, 0x123456789abcdef0 & mask]);
            all.sort_unstable();
            all.dedup();
            all
        }
    }
}

/// Memory of elements given by their bits.
fn elements(dtype: DType, bits: impl IntoIterator<Item = u64>) -> Vec<u8> {
    bits.into_iter().flat_map(|b| b.to_le_bytes()[..dtype.size()].to_vec()).collect()
}

fn element(dtype: DType, bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + dtype.size()].iter().rev().fold(0, |x, b| x << 8 | *b as u64)
}

/// All NaNs alike.
fn canonical(ty: Ty, bits: u64) -> u64 {
    match ty {
        Ty::F32 if f32::from_bits(bits as u32).is_nan() => f32::NAN.to_bits() as u64,
        Ty::F64 if f64::from_bits(bits).is_nan() => f64::NAN.to_bits(),
        _ => bits,
    }
}

/// Runs one primitive on columns of arguments in memory.
fn run_prim(prim: Prim, args: &[Ty], ty: Ty, imm: u64, columns: &[Vec<u64>]) -> Vec<u64> {
    let n = columns.first().map_or(1, Vec::len);
    let mut b = Builder::new();
    let mut values = [crate::ValueId(0); 3];
    for (k, &arg) in args.iter().enumerate() {
        let operand = b.operand(Role::Input, dtype(arg), Class::Contiguous);
        values[k] = b.load(operand);
        if arg == Ty::M {
            let zero = b.int(Ty::I8, 0);
            values[k] = b.ine(values[k], zero);
        }
    }
    let mut v = b.inst(prim, ty, values, imm);
    if ty == Ty::M {
        v = b.mask_to_int(Ty::I8, v);
    }
    let out = b.operand(Role::Output, dtype(ty), Class::Contiguous);
    b.store(out, v);
    let kernel = b.finish();
    assert_eq!(kernel.verify(), Ok(()), "\n{kernel}");

    let inputs: Vec<Vec<u8>> = columns.iter().zip(args).map(|(c, &t)| elements(dtype(t), c.iter().copied())).collect();
    let mut output = vec![0u8; n * dtype(ty).size()];
    let mut slab = Slab::new(args.len() + 1);
    slab.set_extents(n, 1);
    for (i, input) in inputs.iter().enumerate() {
        slab.set_operand(i, input.as_ptr().expose_provenance() as u64, 0, 0);
    }
    slab.set_operand(args.len(), output.as_mut_ptr().expose_provenance() as u64, 0, 0);
    #[allow(unsafe_code)]
    // SAFETY: every buffer holds `n` elements, and all are contiguous.
    unsafe {
        Interp::new(&kernel).run(&slab);
    }
    (0..n).map(|i| element(dtype(ty), &output, i * dtype(ty).size())).collect()
}

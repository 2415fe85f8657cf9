//! Machine code against the interpreter, on every target that this machine can run: the same bits, and no byte written
//! that is not an output's.

mod harness;
mod random;

use crate::kernel::{Class, Inst, Kernel, Prim, Role, Sig, Ty, ValueId};
use crate::launch::Streams;
use crate::testing::accepted;
use crate::wide::Mode;
use crate::{Backend, Builder, Code, CodeError, Routine, Target};
use harness::{Shape, check, compile_all, hide_nans};
use lazuli_graph::DType;

const LENGTHS: [usize; 8] = [0, 1, 2, 3, 7, 8, 17, 100];
const STEPS: &[&[isize]] = &[&[2, 3], &[-1, 2, -3]];

/// The shapes that every kernel of the tables below runs over.
fn shapes() -> impl Iterator<Item = Shape> {
    let each = LENGTHS.into_iter().enumerate();
    each.map(|(i, n0)| Shape { n0, n1: 1 + i % 3, steps: STEPS[i / 3 % 2], in_place: i % 4 == 3, seed: n0 as u64 })
}

/// A dtype whose elements load as `ty`.
fn dtype_of(ty: Ty) -> DType {
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

/// A new input of type `ty`; for a mask, a test of an integer of type `via`.
fn input(b: &mut Builder, ty: Ty, via: Ty, class: Class) -> ValueId {
    let loaded = if ty == Ty::M { via } else { ty };
    let operand = b.operand(Role::Input, dtype_of(loaded), class);
    let v = b.load(operand);
    if ty != Ty::M {
        return v;
    }
    let one = b.int(via, 1);
    let low = b.and(v, one);
    b.ieq(low, one)
}

/// A new output of `v`; a mask is stored as a bool.
fn output(b: &mut Builder, v: ValueId, class: Class) {
    let v = if b.ty(v) == Ty::M { b.mask_to_int(Ty::I8, v) } else { v };
    let dtype = dtype_of(b.ty(v));
    let operand = b.operand(Role::Output, dtype, class);
    b.store(operand, v);
}

/// A kernel of one primitive, whose operands are of one class.
fn lone(prim: Prim, args: &[Ty], ty: Ty, imm: u64, class: Class, out: Class) -> Kernel {
    let mut b = Builder::new();
    let mut values = [ValueId(0); 3];
    for (value, &arg) in values.iter_mut().zip(args) {
        *value = input(&mut b, arg, Ty::I32, class);
    }
    let values = accepted(&mut b, prim, ty, values);
    let v = b.inst(prim, ty, values, imm);
    output(&mut b, v, out);
    b.finish()
}

/// Every signature of a primitive: the types of its arguments, its type, its immediate.
fn signatures(prim: Prim) -> Vec<(Vec<Ty>, Ty, u64)> {
    let ints = [Ty::I8, Ty::I16, Ty::I32, Ty::I64];
    let floats = [Ty::F32, Ty::F64];
    let arity = prim.row().arity as usize;
    let same = |ty: Ty| (vec![ty; arity], ty, 0);
    match prim.row().sig {
        Sig::Source => Vec::new(),
        Sig::Float if matches!(prim, Prim::Call1 | Prim::Call2) => {
            let routines = Routine::ALL.iter().filter(|r| usize::from(r.arity()) == arity);
            routines.flat_map(|r| floats.map(|t| (vec![t; arity], t, r.imm()))).collect()
        }
        Sig::Float => floats.map(same).to_vec(),
        Sig::Int => ints.map(same).to_vec(),
        Sig::FloatCompare => floats.map(|t| (vec![t; 2], Ty::M, 0)).to_vec(),
        Sig::IntCompare => ints.map(|t| (vec![t; 2], Ty::M, 0)).to_vec(),
        Sig::Mask => vec![same(Ty::M)],
        Sig::Select if prim == Prim::CallIf => {
            let routines = Routine::ALL.iter().filter(|r| r.arity() == 1);
            routines.flat_map(|r| floats.map(|t| (vec![Ty::M, t, t], t, r.imm()))).collect()
        }
        Sig::Select => Ty::ALL[1..].iter().map(|&t| (vec![Ty::M, t, t], t, 0)).collect(),
        Sig::Convert => {
            let pairs = Ty::ALL.into_iter().flat_map(|f| Ty::ALL.map(|t| (f, t)));
            let pairs = pairs.filter(|&(f, t)| crate::verify::converts(prim, f, t));
            pairs.map(|(f, t)| (vec![f], t, 0)).collect()
        }
    }
}

/// Every primitive in every type and class, over the shapes.
#[test]
fn primitives() {
    const C: Class = Class::Contiguous;
    const B: Class = Class::Broadcast;
    const S: Class = Class::Strided;
    // The classes of the arguments, then that of the result.
    let classes = [[C, C, C, C], [C, B, S, S], [B, C, B, C], [S, S, C, S], [B, B, B, C], [S, B, B, S], [C, S, S, C]];
    for &prim in Prim::ALL {
        for (args, ty, imm) in signatures(prim) {
            for (n, class) in classes.iter().enumerate() {
                if matches!(prim, Prim::Call1 | Prim::Call2 | Prim::CallIf) && n % 3 != 0 {
                    continue;
                }
                let mut b = Builder::new();
                let mut values = [ValueId(0); 3];
                for (k, &arg) in args.iter().enumerate() {
                    let via = [Ty::I8, Ty::I64, Ty::I16, Ty::I32][(n + k) % 4];
                    values[k] = input(&mut b, arg, via, class[k]);
                }
                let values = accepted(&mut b, prim, ty, values);
                let v = b.inst(prim, ty, values, imm);
                output(&mut b, v, class[3]);
                let kernel = hide_nans(&b.finish());
                let codes = compile_all(&kernel);
                for shape in shapes() {
                    check(&kernel, &codes, shape);
                }
            }
        }
    }
}

/// Every primitive compiles for AArch64, where Cranelift is built for that: on such machines, and elsewhere with
/// `cargo test -p lazuli-jit --features cranelift-codegen/arm64`.
#[test]
fn primitives_compile_for_aarch64() {
    let triple: target_lexicon::Triple = "aarch64-unknown-linux-gnu".parse().unwrap();
    let Ok(isa) = cranelift_codegen::isa::lookup(triple) else {
        return;
    };
    let flags = cranelift_codegen::settings::Flags::new(cranelift_codegen::settings::builder());
    let isa = isa.finish(flags).unwrap();
    for &prim in Prim::ALL {
        for (args, ty, imm) in signatures(prim) {
            for class in [Class::Contiguous, Class::Broadcast, Class::Strided] {
                let kernel = lone(prim, &args, ty, imm, class, Class::Contiguous);
                let lowered = super::lower(&kernel, Target::detect(), &isa);
                let mut context = cranelift_codegen::Context::for_function(lowered.function);
                if let Err(e) = context.compile(isa.as_ref(), &mut Default::default()) {
                    panic!("{:?}\n{kernel}", e.inner);
                }
            }
        }
    }
}

/// Every primitive can be encoded with 512 bits, also where the CPU cannot run that.
#[test]
#[cfg(target_arch = "x86_64")]
fn primitives_encode_for_512_bits() {
    for &prim in Prim::ALL {
        for (args, ty, imm) in signatures(prim) {
            for class in [Class::Contiguous, Class::Broadcast, Class::Strided] {
                let out = if class == Class::Strided { class } else { Class::Contiguous };
                let kernel = lone(prim, &args, ty, imm, class, out);
                for mode in [Mode::Plain, Mode::Around(Streams::One), Mode::Around(Streams::Same), Mode::Draft] {
                    match crate::wide::encode_512(&kernel, mode) {
                        Ok(code) => assert!(code.len() > 20),
                        Err(e) => panic!("{e}\n{kernel}"),
                    }
                }
            }
        }
    }
}

/// Shifts by constants, all the way past the width.
#[test]
fn constant_shifts() {
    for prim in [Prim::Shl, Prim::ShrU, Prim::ShrS] {
        for ty in [Ty::I8, Ty::I16, Ty::I32, Ty::I64] {
            let bits = 8 * ty.size() as i64;
            let mut b = Builder::new();
            let v = input(&mut b, ty, ty, Class::Contiguous);
            for amount in [0, 1, 3, bits / 2 - 1, bits / 2, bits / 2 + 1, bits - 1, bits, bits + 1, -1] {
                let amount = b.int(ty, amount);
                let shifted = b.inst(prim, ty, [v, amount, ValueId(0)], 0);
                output(&mut b, shifted, Class::Contiguous);
            }
            let kernel = b.finish();
            let codes = compile_all(&kernel);
            shapes().for_each(|shape| check(&kernel, &codes, shape));
        }
    }
}

/// Every pair of bytes divided, and pairs of wider integers at and next to a multiple of the divisor.
#[test]
fn divisions() {
    let prims = [Prim::SDiv, Prim::UDiv, Prim::SRem, Prim::URem];
    let mut b = Builder::new();
    let pair = b.operand(Role::Index, DType::I64, Class::Strided);
    let pair = b.index(pair);
    let eight = b.int(Ty::I64, 8);
    let high = b.shr_u(pair, eight);
    let (low, high) = (b.trunc(Ty::I8, pair), b.trunc(Ty::I8, high));
    for prim in prims {
        let v = b.inst(prim, Ty::I8, [high, low, ValueId(0)], 0);
        output(&mut b, v, Class::Contiguous);
    }
    let kernel = b.finish();
    check(&kernel, &compile_all(&kernel), Shape { n0: 65536, n1: 1, steps: &[1], in_place: false, seed: 0 });

    for ty in [Ty::I16, Ty::I32, Ty::I64] {
        let mut b = Builder::new();
        let [quotient, divisor, shift] = [(); 3].map(|()| input(&mut b, ty, ty, Class::Contiguous));
        // Divisors of all magnitudes.
        let mask = b.int(ty, 8 * ty.size() as i64 - 1);
        let shift = b.and(shift, mask);
        let divisor = b.shr_s(divisor, shift);
        let multiple = b.imul(quotient, divisor);
        let one = b.int(ty, 1);
        let (below, above) = (b.isub(multiple, one), b.iadd(multiple, one));
        for (prim, a) in prims.into_iter().flat_map(|p| [multiple, below, above, quotient].map(|a| (p, a))) {
            let v = b.inst(prim, ty, [a, divisor, ValueId(0)], 0);
            output(&mut b, v, Class::Contiguous);
        }
        let kernel = b.finish();
        let codes = compile_all(&kernel);
        for seed in 0..4 {
            check(&kernel, &codes, Shape { n0: 5000, n1: 1, steps: &[1], in_place: false, seed });
        }
    }
}

/// Conversions to halves at every value, the midpoints between them, and both neighbours of those.
#[test]
fn halves_round_once() {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
    let x = b.load(x);
    let y = b.f64_to_32(Ty::F32, x);
    for v in [b.f64_to_16(Ty::I16, x), b.f64_to_bf16(Ty::I16, x), b.f32_to_16(Ty::I16, y), b.f32_to_bf16(Ty::I16, y)] {
        output(&mut b, v, Class::Contiguous);
    }
    let kernel = b.finish();
    let mut input = Vec::new();
    for h in 0..0x7f80u16 {
        for (value, next) in [
            (half::f16::from_bits(h).to_f64(), half::f16::from_bits(h + 1).to_f64()),
            (half::bf16::from_bits(h).to_f64(), half::bf16::from_bits(h + 1).to_f64()),
        ] {
            let middle = (value + next) / 2.0;
            input.extend([value, middle, middle.next_up(), middle.next_down(), -middle.next_up()]);
            input.extend([f64::from((middle as f32).next_up()), f64::from((middle as f32).next_down())]);
        }
    }
    let n = input.len();
    let mut slab = crate::Slab::new(5);
    slab.set_extents(n, 1);
    slab.set_operand(0, input.as_ptr().expose_provenance() as u64, 8, 0);
    for (backend, target) in harness::ways() {
        let code = Code::compile(&kernel, backend, &target).unwrap();
        let mut outputs: [Vec<u16>; 4] = std::array::from_fn(|_| vec![0; n]);
        for (k, output) in outputs.iter_mut().enumerate() {
            slab.set_operand(k + 1, output.as_mut_ptr().expose_provenance() as u64, 2, 0);
        }
        // SAFETY: all buffers have `n` elements.
        #[allow(unsafe_code)]
        unsafe {
            code.run(&slab)
        };
        for (i, &x) in input.iter().enumerate().filter(|(_, x)| !x.is_nan()) {
            // The crate `half` rounds an f64 twice in places; an exact sum of an f32 and a rest does not.
            let once = [nearest_half(x, 11, -24, 0x7c00), nearest_half(x, 8, -133, 0x7f80)];
            let y = x as f32;
            let expected = [once[0], once[1], half::f16::from_f32(y).to_bits(), half::bf16::from_f32(y).to_bits()];
            let got = [0, 1, 2, 3].map(|k| outputs[k][i]);
            assert_eq!(got, expected, "{x:e} on {target:?}");
        }
    }
}

/// `x` rounded to nearest even among numbers of `digits` binary digits that are multiples of 2^`least`, as the bits of
/// a 16-bit format whose infinity is `infinity`. By integers, unlike what is tested.
fn nearest_half(x: f64, digits: i32, least: i32, infinity: u16) -> u16 {
    let bits = x.abs().to_bits();
    let sign = if x.is_sign_negative() { 0x8000 } else { 0 };
    if x.is_infinite() {
        return sign | infinity;
    }
    // |x| = fraction * 2^exponent
    let (fraction, exponent) = match bits >> 52 {
        0 => (bits, -1074),
        e => (bits & ((1 << 52) - 1) | 1 << 52, e as i32 - 1075),
    };
    let top = exponent + 63 - fraction.leading_zeros() as i32;
    let unit = (top - digits + 1).max(least);
    let drop = unit - exponent;
    let units = match drop {
        ..=0 => fraction << -drop,
        1..=63 => {
            let (whole, rest, middle) = (fraction >> drop, fraction & ((1 << drop) - 1), 1 << (drop - 1));
            whole + u64::from(rest > middle || (rest == middle && whole % 2 == 1))
        }
        _ => 0,
    };
    // Above the subnormals, each binade takes 2^(digits - 1) numbers.
    let binade = (unit - least) as u64;
    let encoded = (binade << (digits - 1)) + units;
    sign | (encoded.min(infinity.into()) as u16)
}

#[test]
fn half_values_widen() {
    let mut b = Builder::new();
    let x = b.operand(Role::Index, DType::I64, Class::Strided);
    let x = b.index(x);
    let x = b.trunc(Ty::I16, x);
    let (wide, bwide) = (b.f16_to_32(Ty::F32, x), b.bf16_to_32(Ty::F32, x));
    output(&mut b, wide, Class::Contiguous);
    output(&mut b, bwide, Class::Contiguous);
    let kernel = b.finish();
    for (backend, target) in harness::ways() {
        let code = Code::compile(&kernel, backend, &target).unwrap();
        let (mut f16, mut bf16) = (vec![0f32; 65536], vec![0f32; 65536]);
        let mut slab = crate::Slab::new(3);
        slab.set_extents(65536, 1);
        slab.set_operand(0, 0, 1, 0);
        slab.set_operand(1, f16.as_mut_ptr().expose_provenance() as u64, 4, 0);
        slab.set_operand(2, bf16.as_mut_ptr().expose_provenance() as u64, 4, 0);
        // SAFETY: both outputs have 65536 elements.
        #[allow(unsafe_code)]
        unsafe {
            code.run(&slab)
        };
        for h in 0..=u16::MAX {
            let expected = [half::f16::from_bits(h).to_f32(), half::bf16::from_bits(h).to_f32()];
            for (got, expected) in [f16[h as usize], bf16[h as usize]].into_iter().zip(expected) {
                let same = got.to_bits() == expected.to_bits() || (got.is_nan() && expected.is_nan());
                assert!(same, "{h:#x}: {got} is not {expected}, on {target:?}");
            }
        }
    }
}

/// Outputs that swap places with the inputs.
#[test]
fn swap_in_place() {
    let mut b = Builder::new();
    let x = b.operand(Role::Input, DType::I32, Class::Contiguous);
    let y = b.operand(Role::Input, DType::I32, Class::Contiguous);
    let (x, y) = (b.load(x), b.load(y));
    output(&mut b, y, Class::Contiguous);
    output(&mut b, x, Class::Contiguous);
    let kernel = b.finish();
    let codes = compile_all(&kernel);
    for n0 in [1, 5, 40] {
        check(&kernel, &codes, Shape { n0, n1: 2, steps: &[1], in_place: true, seed: 3 });
    }
}

/// More constants than registers: a polynomial of degree 40, in three places.
#[test]
fn constants_beyond_the_registers() {
    for ty in [Ty::F32, Ty::F64] {
        let kernel = polynomial(ty, 40);
        let codes = compile_all(&kernel);
        shapes().for_each(|shape| check(&kernel, &codes, shape));
    }
}

/// `((c0 * x + c1) * x + c2) …`, by fma.
fn polynomial(ty: Ty, degree: usize) -> Kernel {
    let mut b = Builder::new();
    let x = input(&mut b, ty, ty, Class::Contiguous);
    let mut sum = b.float(ty, 1.0);
    for i in 0..degree {
        let c = b.float(ty, 1.0 / (i + 2) as f64);
        sum = b.fma(sum, x, c);
    }
    output(&mut b, sum, Class::Contiguous);
    b.finish()
}

/// Results that are the same for a whole row have as many lanes as a round, whatever number of vectors that is and however
/// narrow they are: beside a short program, a chain, a deep one.
#[test]
fn constant_results_of_every_size() {
    for ty in [Ty::F32, Ty::F64] {
        for (operations, fused) in [(1, true), (8, false), (40, true)] {
            for narrow in [Ty::I8, Ty::I16, Ty::F32, Ty::I64] {
                let mut b = Builder::new();
                let x = input(&mut b, ty, ty, Class::Contiguous);
                let mut sum = b.float(ty, 1.0);
                for i in 0..operations {
                    let c = b.float(ty, 1.0 / (i + 2) as f64);
                    sum = if fused {
                        b.fma(sum, x, c)
                    } else {
                        let product = b.fmul(sum, x);
                        b.fadd(product, c)
                    };
                }
                output(&mut b, sum, Class::Contiguous);
                let row = input(&mut b, narrow, narrow, Class::Broadcast);
                output(&mut b, row, Class::Contiguous);
                let constant = if narrow.is_float() { b.float(narrow, 1.5) } else { b.int(narrow, 77) };
                output(&mut b, constant, Class::Contiguous);
                let kernel = b.finish();
                let codes = compile_all(&kernel);
                shapes().for_each(|shape| check(&kernel, &codes, shape));
            }
        }
    }
}

/// Dead instructions, and masks that are constant, cost nothing and break nothing.
#[test]
fn dead_code_and_constant_masks() {
    let mut b = Builder::new();
    let x = input(&mut b, Ty::F64, Ty::F64, Class::Contiguous);
    b.fsqrt(x);
    let yes = b.bits(Ty::M, 1);
    let no = b.bits(Ty::M, 0);
    let zero = b.float(Ty::F64, 0.0);
    let less = b.flt(x, zero);
    let both = b.mand(less, yes);
    let either = b.mxor(both, no);
    let v = b.select(either, zero, x);
    output(&mut b, v, Class::Strided);
    let constant = b.select(yes, x, zero);
    output(&mut b, constant, Class::Contiguous);
    output(&mut b, no, Class::Contiguous);
    let kernel = b.finish();
    let codes = compile_all(&kernel);
    shapes().for_each(|shape| check(&kernel, &codes, shape));
}

/// A constant mask has as many lanes as any other, of whatever size they are.
#[test]
fn constant_masks_as_integers() {
    for other in [Ty::I8, Ty::I16, Ty::F32, Ty::F64] {
        let mut b = Builder::new();
        let x = input(&mut b, other, other, Class::Contiguous);
        output(&mut b, x, Class::Contiguous);
        for (bit, class) in [(0, Class::Strided), (1, Class::Strided), (1, Class::Contiguous)] {
            let mask = b.bits(Ty::M, bit);
            for ty in [Ty::I8, Ty::I16, Ty::I32, Ty::I64] {
                let v = b.mask_to_int(ty, mask);
                output(&mut b, v, class);
            }
        }
        let kernel = b.finish();
        let codes = compile_all(&kernel);
        shapes().for_each(|shape| check(&kernel, &codes, shape));
    }
}

#[test]
fn large_kernels_compile() {
    let mut b = Builder::new();
    let x = input(&mut b, Ty::F64, Ty::F64, Class::Contiguous);
    let y = input(&mut b, Ty::F64, Ty::F64, Class::Contiguous);
    let mut v = x;
    for i in 0..5000 {
        let c = b.float(Ty::F64, f64::from(i) * 0.001);
        let t = b.fmul(v, c);
        v = if i % 3 == 0 { b.fsub(y, t) } else { b.fadd(t, y) };
    }
    output(&mut b, v, Class::Contiguous);
    let kernel = b.finish();
    let code = Code::compile(&kernel, Backend::Clif, Target::detect()).unwrap();
    let codes = [(Target::detect().clone(), code)];
    check(&kernel, &codes, Shape { n0: 9, n1: 2, steps: &[1], in_place: false, seed: 5 });
}

#[test]
fn text_and_disassembly_show_the_kernel() {
    let kernel = polynomial(Ty::F64, 30);
    let code = Code::compile(&kernel, Backend::Clif, Target::detect()).unwrap();
    let clif = code.clif().unwrap();
    assert!(clif.contains("fma") && clif.contains("f64x2"), "{clif}");
    let asm = code.asm().unwrap();
    assert!(code.code_size() > 100);
    if Target::detect().has("fma") {
        assert!(asm.contains("vfmadd") && asm.contains("ret"), "{asm}");
    }
    let interp = Code::compile(&kernel, Backend::Interp, Target::detect()).unwrap();
    assert!(interp.clif().is_none() && interp.asm().is_none() && interp.code_size() == 0);
}

#[test]
fn errors() {
    let mut kernel = polynomial(Ty::F64, 3);
    let target = Target::by_name("interp").unwrap();
    let error = Code::compile(&kernel, Backend::Clif, &target).unwrap_err();
    assert!(matches!(error, CodeError::NoCompiler { target: "interp" }), "{error}");
    kernel.insts.push(Inst { prim: Prim::FAdd, ty: Ty::F32, args: [ValueId(0); 3], imm: 0 });
    let error = Code::compile(&kernel, Backend::Clif, Target::detect()).unwrap_err();
    assert!(matches!(error, CodeError::Malformed(_)), "{error}");
}

//! Runs a kernel on the interpreter and on machine code, over the same memory, and compares all of it.

use crate::kernel::{Class, Inst, Kernel, Prim, Role, Slab, Ty, ValueId};
use crate::target::Tuning;
use crate::{Backend, Code, Target};
use lazuli_graph::DType;

/// Bytes before and after each buffer that nothing may touch.
const GUARD: usize = 64;

/// A small generator of numbers; the tests name the seed.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The extents of a run, and how its operands with open strides lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) n0: usize,
    pub(super) n1: usize,
    /// Strides of strided operands in elements; operand `k` takes entry `k` modulo their number.
    pub(super) steps: &'static [isize],
    /// Whether outputs are written over an input of the same dtype and class, where there is one.
    pub(super) in_place: bool,
    pub(super) seed: u64,
}

/// An operand's memory and how the slab describes it.
#[derive(Clone, PartialEq)]
struct Buffer {
    bytes: Vec<u8>,
    /// The offset of element (0, 0).
    origin: usize,
    s0: isize,
    s1: isize,
    /// The operand whose memory this one uses.
    shares: Option<usize>,
}

/// The targets that this machine can run machine code for, the named ones tuned to other CPUs than this.
pub(super) fn targets() -> Vec<Target> {
    let usable = Target::available().into_iter().filter(|t| t.supported());
    let named = usable.map(|t| Target::by_name(t.name).unwrap()).filter(Target::compiles);
    let other = |t: Target| match (t.name(), t.tuning()) {
        ("native", _) => t,
        (_, Tuning::Intel) => t.tuned_to(Tuning::Zen4),
        (_, Tuning::Zen4 | Tuning::Other) => t.tuned_to(Tuning::Intel),
    };
    named.map(other).collect()
}

/// Every way to run machine code on this machine: the compiling backends, each for the targets that it makes code for.
pub(super) fn ways() -> Vec<(Backend, Target)> {
    let backends = Backend::ALL.into_iter().filter(|&b| b != Backend::Interp);
    backends.flat_map(|b| targets().into_iter().map(move |t| (b, t))).filter(|(b, t)| b.why_not(t).is_none()).collect()
}

/// The kernel compiled in every way, drafts included.
pub(super) fn compile_all(kernel: &Kernel) -> Vec<(Target, Code)> {
    let compile = |b: Backend, t: &Target| match Code::compile(kernel, b, t) {
        Ok(code) => code,
        Err(e) => panic!("{b}, {t:?}: {e}\n{kernel}"),
    };
    let mut codes: Vec<_> = ways().into_iter().map(|(b, t)| (t.clone(), compile(b, &t))).collect();
    let wide = ways().into_iter().filter(|(b, _)| *b == Backend::Wide);
    codes.extend(wide.map(|(_, t)| {
        let draft = Code::drafted(kernel, &t).unwrap_or_else(|| panic!("no draft for {t:?}\n{kernel}"));
        (t, draft)
    }));
    codes
}

/// Runs every code of a kernel, and fails with a report if any differs from the interpreter.
pub(super) fn check(kernel: &Kernel, codes: &[(Target, Code)], shape: Shape) {
    let oracle = Code::compile(kernel, Backend::Interp, Target::detect()).unwrap();
    let expected = run(&oracle, shape);
    for (target, code) in codes {
        let got = run(code, shape);
        if let Some(report) = compare(kernel, shape, &expected, &got) {
            panic!("{} for {target:?}: {report}", code.backend());
        }
    }
}

/// What differs, with the kernel's text; `None` if nothing does.
fn compare(kernel: &Kernel, shape: Shape, expected: &[Buffer], got: &[Buffer]) -> Option<String> {
    for (k, (e, g)) in expected.iter().zip(got).enumerate() {
        let size = kernel.operands[k].dtype.size();
        let dtype = kernel.operands[k].dtype;
        if e.bytes == g.bytes {
            continue;
        }
        // Elements first: a NaN equals any other.
        let (mut e_bytes, mut g_bytes) = (e.bytes.clone(), g.bytes.clone());
        if kernel.operands[k].role == Role::Output {
            for j in 0..shape.n1 {
                for i in 0..shape.n0 {
                    let at = (e.origin as isize + i as isize * e.s0 + j as isize * e.s1) as usize;
                    let (a, b) = (bits(&e.bytes[at..at + size]), bits(&g.bytes[at..at + size]));
                    if a != b && !(is_nan(dtype, a) && is_nan(dtype, b)) {
                        return Some(format!(
                            "operand {k} ({dtype}), element {i} of row {j}: expected {a:#x}, got {b:#x}\n{shape:?}\n{kernel}"
                        ));
                    }
                    e_bytes[at..at + size].fill(0);
                    g_bytes[at..at + size].fill(0);
                }
            }
        }
        if let Some(at) = e_bytes.iter().zip(&g_bytes).position(|(a, b)| a != b) {
            return Some(format!("operand {k}: byte {at} outside its elements was written\n{shape:?}\n{kernel}"));
        }
    }
    None
}

fn bits(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |bits, &b| bits << 8 | u64::from(b))
}

fn is_nan(dtype: DType, bits: u64) -> bool {
    match dtype {
        DType::F16 => bits & 0x7fff > 0x7c00,
        DType::BF16 => bits & 0x7fff > 0x7f80,
        DType::F32 => f32::from_bits(bits as u32).is_nan(),
        DType::F64 => f64::from_bits(bits).is_nan(),
        _ => false,
    }
}

/// Runs `code` on fresh memory that depends on the shape only.
fn run(code: &Code, shape: Shape) -> Vec<Buffer> {
    let kernel = code.kernel();
    let mut buffers: Vec<Buffer> = Vec::new();
    let mut shared = vec![false; kernel.operands.len()];
    for (k, operand) in kernel.operands.iter().enumerate() {
        let mut random = Random(shape.seed ^ (k as u64) << 32);
        let mut buffer = lay_out(operand.class, operand.dtype.size(), shape, k);
        match operand.role {
            Role::Input => {
                let size = operand.dtype.size();
                for chunk in buffer.bytes[GUARD..].chunks_exact_mut(size) {
                    chunk.copy_from_slice(&element(operand.dtype, &mut random).to_le_bytes()[..size]);
                }
            }
            Role::Output if shape.in_place => {
                let like = |i: &usize| {
                    let o = &kernel.operands[*i];
                    o.role == Role::Input && o.dtype == operand.dtype && o.class == operand.class && !shared[*i]
                };
                buffer.shares = (0..k).find(like);
                if let Some(i) = buffer.shares {
                    shared[i] = true;
                    let input = &buffers[i];
                    (buffer.origin, buffer.s0, buffer.s1) = (input.origin, input.s0, input.s1);
                }
            }
            _ => {}
        }
        buffers.push(buffer);
    }
    let mut slab = Slab::new(buffers.len());
    slab.set_extents(shape.n0, shape.n1);
    let addresses: Vec<usize> = buffers.iter_mut().map(|b| b.bytes.as_mut_ptr().expose_provenance()).collect();
    for (k, operand) in kernel.operands.iter().enumerate() {
        let b = &buffers[k];
        if operand.role == Role::Index {
            let mut random = Random(shape.seed ^ k as u64);
            slab.set_operand(k, random.next() >> 40, shape.steps[k % shape.steps.len()], 1000);
        } else {
            let address = addresses[b.shares.unwrap_or(k)] + b.origin;
            slab.set_operand(k, address as u64, b.s0, b.s1);
        }
    }
    // SAFETY: `lay_out` made each buffer large enough for its strides, and only outputs in place share one.
    #[allow(unsafe_code)]
    unsafe {
        code.run(&slab)
    };
    for k in 0..buffers.len() {
        if let Some(i) = buffers[k].shares {
            buffers[k].bytes = buffers[i].bytes.clone();
        }
    }
    // Inputs that were written over are compared as outputs.
    for k in 0..buffers.len() {
        if shared[k] {
            buffers[k].bytes.clear();
        }
    }
    buffers
}

/// A buffer for an operand of elements of `size` bytes, filled with a pattern. Addresses are odd on purpose.
fn lay_out(class: Class, size: usize, shape: Shape, k: usize) -> Buffer {
    let size = size as isize;
    let (n0, n1) = (shape.n0 as isize, shape.n1 as isize);
    let s0 = match class {
        Class::Contiguous => size,
        Class::Broadcast => 0,
        Class::Strided => shape.steps[k % shape.steps.len()] * size,
    };
    let s1 = s0.abs() * n0 + 2 * size;
    let span = (n0 - 1).max(0) * s0;
    let bytes = s1 * n1.max(1) + size + 2 * GUARD as isize + 1;
    let origin = GUARD as isize + 1 - span.min(0);
    Buffer { bytes: vec![0xa5; bytes as usize], origin: origin as usize, s0, s1, shares: None }
}

/// An element of a dtype: often one of its edges.
fn element(dtype: DType, random: &mut Random) -> u64 {
    let pick = random.next();
    let edge = !pick.is_multiple_of(3);
    let n = (pick >> 8) as usize;
    match dtype {
        DType::Bool => pick >> 8 & 1,
        DType::F64 if edge => FLOATS[n % FLOATS.len()].to_bits(),
        DType::F32 if edge => (FLOATS[n % FLOATS.len()] as f32).to_bits().into(),
        DType::F64 if pick >> 40 & 1 == 0 => ((random.next() >> 40) as f64 * 0.001 - 8000.0).to_bits(),
        DType::F32 if pick >> 40 & 1 == 0 => ((random.next() >> 48) as f32 * 0.01 - 300.0).to_bits().into(),
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => random.next(),
        _ if edge => INTS[n % INTS.len()],
        _ => random.next() >> (random.next() % 64),
    }
}

const INTS: &[u64] = &[
    0,
    1,
    2,
    3,
    5,
    7,
    8,
    15,
    16,
    31,
    32,
    63,
    64,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    (1 << 53) + 1,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_fbff,
    u64::MAX,
    u64::MAX - 1,
    0x8080_8080_8080_8080,
];

const FLOATS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    0.49999999999999994,
    1e-3,
    3.7,
    -3.7,
    1e10,
    -1e10,
    65504.0,
    65519.99,
    65520.0,
    65536.0,
    -65536.0,
    6.1e-5,
    5.96e-8,
    2.98e-8,
    2.9802322387695313e-8,
    1e-40,
    -1e-45,
    5e-324,
    -2.2250738585072014e-308,
    8388607.5,
    -8388608.5,
    4503599627370495.5,
    4503599627370497.0,
    2147483647.0,
    2147483648.0,
    -2147483649.0,
    4294967295.5,
    4294967296.0,
    9223372036854775807.0,
    -9223372036854775808.0,
    18446744073709551615.0,
    1e300,
    f64::MAX,
    f64::MIN,
    3.4028235e38,
    3.4028235677973366e38,
    3.3895313892515355e38,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    -f64::NAN,
];

/// The kernel with every NaN made the same before its bits can be seen as a number: what a NaN's bits are is left open.
pub(super) fn hide_nans(kernel: &Kernel) -> Kernel {
    let mut out = Kernel { operands: kernel.operands.clone(), insts: Vec::new(), stores: kernel.stores.clone() };
    let mut map: Vec<ValueId> = Vec::new();
    let push = |out: &mut Kernel, inst: Inst| {
        out.insts.push(inst);
        ValueId(out.insts.len() as u32 - 1)
    };
    for inst in &kernel.insts {
        let mut inst = *inst;
        let shown = match inst.prim {
            Prim::Bitcast | Prim::F32To16 | Prim::F64To16 | Prim::F32ToBf16 | Prim::F64ToBf16 => Some(0),
            Prim::FCopysign => Some(1),
            _ => None,
        };
        for k in 0..inst.args().len() {
            let arg = inst.args[k];
            inst.args[k] = map[arg.0 as usize];
            let ty = kernel.ty(arg);
            if shown == Some(k) && ty.is_float() {
                let x = inst.args[k];
                let none = ValueId(0);
                let bits = if ty == Ty::F32 { f32::NAN.to_bits().into() } else { f64::NAN.to_bits() };
                let nan = push(&mut out, Inst { prim: Prim::Const, ty, args: [none; 3], imm: bits });
                let is_nan = push(&mut out, Inst { prim: Prim::FNe, ty: Ty::M, args: [x, x, none], imm: 0 });
                inst.args[k] = push(&mut out, Inst { prim: Prim::Select, ty, args: [is_nan, nan, x], imm: 0 });
            }
        }
        map.push(push(&mut out, inst));
    }
    for store in &mut out.stores {
        store.value = map[store.value.0 as usize];
    }
    out
}

#[test]
fn a_difference_is_reported_with_the_kernel() {
    let mut b = crate::Builder::new();
    let x = b.operand(Role::Input, DType::F32, Class::Contiguous);
    let y = b.operand(Role::Output, DType::F32, Class::Contiguous);
    let v = b.load(x);
    let v = b.fadd(v, v);
    b.store(y, v);
    let kernel = b.finish();
    let code = Code::compile(&kernel, Backend::Interp, Target::detect()).unwrap();
    let shape = Shape { n0: 5, n1: 2, steps: &[1], in_place: false, seed: 1 };
    let good = run(&code, shape);
    assert!(compare(&kernel, shape, &good, &good.clone()).is_none());

    let mut wrong = good.clone();
    let at = wrong[1].origin + 3 * 4;
    wrong[1].bytes[at] ^= 1;
    let report = compare(&kernel, shape, &good, &wrong).unwrap();
    assert!(report.contains("operand 1 (float32), element 3 of row 0"), "{report}");
    assert!(report.contains("fadd.f32 v0, v0"), "{report}");

    let mut outside = good.clone();
    outside[1].bytes[3] ^= 1;
    let report = compare(&kernel, shape, &good, &outside).unwrap();
    assert!(report.contains("byte 3 outside its elements"), "{report}");
}

//! Contraction: a lane-level rewrite for `Fast`.

use crate::kernel::{Inst, Kernel, Prim, ValueId};

/// Rewrites each product that only one sum or difference uses into a fused multiply-add: `a * b + c` becomes
/// `fma(a, b, c)`, `a * b - c` becomes `fma(a, b, -c)`, and `c - a * b` becomes `fma(-a, b, c)`, rounded once instead of
/// twice. Where it is one instruction, so are these with their negations. A difference of two products stays: it is zero if
/// they are equal, which a square root of it may depend on.
///
/// It changes bits, so it is for `Precision::Fast` alone. The result is at least as accurate, bar cancellation that the
/// two roundings happened to share; a product with another use, such as the head of an error-free transformation, stays.
/// The product's instruction goes, and values are numbered anew.
///
/// ```
/// use lazuli_graph::DType;
/// use lazuli_jit::{Builder, Class, Prim, Role, lower};
///
/// let mut b = Builder::new();
/// let input = b.operand(Role::Input, DType::F64, Class::Contiguous);
/// let output = b.operand(Role::Output, DType::F64, Class::Contiguous);
/// let x = b.load(input);
/// let square = b.fmul(x, x);
/// let sum = b.fadd(square, x);
/// b.store(output, sum);
/// let mut kernel = b.finish();
/// lower::contract(&mut kernel);
/// let prims: Vec<Prim> = kernel.insts.iter().map(|i| i.prim).collect();
/// assert_eq!(prims, [Prim::Load, Prim::Fma]);
/// ```
pub fn contract(kernel: &mut Kernel) {
    let mut uses = vec![0u32; kernel.insts.len()];
    for value in kernel.insts.iter().flat_map(Inst::args).chain(kernel.stores.iter().map(|s| &s.value)) {
        uses[value.0 as usize] += 1;
    }
    let insts = &mut kernel.insts;
    let mut gone = vec![false; insts.len()];
    // The argument of a fused one that is negated before.
    let mut negated: Vec<Option<usize>> = vec![None; insts.len()];
    for i in 0..insts.len() {
        let difference = insts[i].prim == Prim::FSub;
        if !difference && insts[i].prim != Prim::FAdd {
            continue;
        }
        let [x, y, _] = insts[i].args;
        let product = |v: ValueId| insts[v.0 as usize].prim == Prim::FMul && uses[v.0 as usize] == 1;
        // The later of two products: the other one is more likely to be ready when it is needed.
        let candidates = if x > y { [(x, y), (y, x)] } else { [(y, x), (x, y)] };
        if difference && [x, y].iter().all(|v| insts[v.0 as usize].prim == Prim::FMul) {
            continue;
        }
        if let Some((product, addend)) = candidates.into_iter().find(|&(p, _)| product(p)) {
            let [a, b, _] = insts[product.0 as usize].args;
            insts[i] = Inst { prim: Prim::Fma, args: [a, b, addend], ..insts[i] };
            negated[i] = difference.then_some(if product == y { 0 } else { 2 });
            gone[product.0 as usize] = true;
        }
    }
    let mut number = vec![ValueId(0); insts.len()];
    let mut kept: Vec<Inst> = Vec::with_capacity(insts.len());
    for (i, mut inst) in insts.drain(..).enumerate() {
        if gone[i] {
            continue;
        }
        let arity = inst.prim.row().arity as usize;
        for arg in &mut inst.args[..arity] {
            *arg = number[arg.0 as usize];
        }
        if let Some(at) = negated[i] {
            let of = inst.args[at];
            inst.args[at] = ValueId(kept.len() as u32);
            let before: Inst = kept[of.0 as usize];
            kept.push(if before.prim == Prim::Const {
                Inst { imm: before.imm ^ 1 << (8 * before.ty.size() - 1), ..before }
            } else {
                Inst { prim: Prim::FNeg, args: [of, ValueId(0), ValueId(0)], ..inst }
            });
        }
        number[i] = ValueId(kept.len() as u32);
        kept.push(inst);
    }
    *insts = kept;
    for store in &mut kernel.stores {
        store.value = number[store.value.0 as usize];
    }
}

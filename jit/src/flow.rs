//! How values flow through a lane program: what the emitters look at before they make code.

use crate::kernel::{Class, Kernel, Prim, Ty};

/// How often live instructions and stores use each value; 0 is dead.
pub(crate) fn uses(kernel: &Kernel) -> Vec<u32> {
    let mut uses = vec![0u32; kernel.insts.len()];
    for store in &kernel.stores {
        uses[store.value.0 as usize] += 1;
    }
    for (v, inst) in kernel.insts.iter().enumerate().rev() {
        if uses[v] > 0 {
            for arg in inst.args() {
                uses[arg.0 as usize] += 1;
            }
        }
    }
    uses
}

/// Whether each value is the same for a whole row.
pub(crate) fn invariant(kernel: &Kernel) -> Vec<bool> {
    let mut invariant: Vec<bool> = Vec::with_capacity(kernel.insts.len());
    for inst in &kernel.insts {
        invariant.push(match inst.prim {
            Prim::Const => true,
            Prim::Load => kernel.operands[inst.imm as usize].class == Class::Broadcast,
            Prim::Index => false,
            _ => inst.args().iter().all(|a| invariant[a.0 as usize]),
        });
    }
    invariant
}

/// Bytes of a lane of each value; for a mask, those of the compare that makes it.
pub(crate) fn sizes(kernel: &Kernel) -> Vec<u8> {
    let mut sizes: Vec<u8> = Vec::with_capacity(kernel.insts.len());
    for inst in &kernel.insts {
        sizes.push(match inst.ty {
            Ty::M => inst.args().iter().map(|a| sizes[a.0 as usize]).max().unwrap_or(1),
            ty => ty.size() as u8,
        });
    }
    sizes
}

/// Where each value begins and ends to live. Loads are emitted at their first use; what is stored lives to the end.
pub(crate) fn spans(kernel: &Kernel, uses: &[u32]) -> Vec<(usize, usize)> {
    let end = kernel.insts.len();
    let mut spans: Vec<_> = (0..end).map(|v| (v, v)).collect();
    let mut seen = vec![false; end];
    for (at, inst) in kernel.insts.iter().enumerate().filter(|(at, _)| uses[*at] > 0) {
        for arg in inst.args() {
            let arg = arg.0 as usize;
            if !seen[arg] && kernel.insts[arg].prim == Prim::Load {
                spans[arg].0 = at;
            }
            seen[arg] = true;
            spans[arg].1 = at;
        }
    }
    for store in &kernel.stores {
        spans[store.value.0 as usize].1 = end;
    }
    spans
}

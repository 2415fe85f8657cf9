//! The interpreter: the definition of what a kernel means, and the backend that is there everywhere.
//!
//! It runs the lane program over tiles that fit the first-level cache: every instruction is a loop over a few hundred
//! lanes, so decoding costs little and the loops vectorize. Invariants:
//! - a tile is loaded whole before any of it is stored, so an output may be exactly an input's memory;
//! - the result of no instruction shares a register with one of its arguments;
//! - values that depend on constants alone are computed once a kernel, on `Broadcast` operands once a row.

mod exec;
mod memory;
mod plan;
#[cfg(test)]
mod tests;

use crate::kernel::{Class, Kernel, Operand, Role, Slab, Ty};
use crate::math::composed::expand;
use exec::{Frame, Reg};
use lazuli_graph::Scalar;
use memory::{Access, Rect};
use plan::{Line, Plan, Step};
use smallvec::SmallVec;
use std::cell::Cell;

/// A kernel prepared for interpretation. It may be run by many threads at once.
///
/// ```
/// use lazuli_graph::DType;
/// use lazuli_jit::{Builder, Class, Interp, Role, Slab, Ty};
/// let mut b = Builder::new();
/// let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
/// let y = b.operand(Role::Output, DType::F64, Class::Contiguous);
/// let (v, two) = (b.load(x), b.float(Ty::F64, 2.0));
/// let product = b.fmul(v, two);
/// b.store(y, product);
/// let interp = Interp::new(&b.finish());
///
/// let input = [1.0f64, 2.0, 3.0];
/// let mut output = [0.0f64; 3];
/// let mut slab = Slab::new(2);
/// slab.set_extents(3, 1);
/// slab.set_operand(0, input.as_ptr().expose_provenance() as u64, 8, 24);
/// slab.set_operand(1, output.as_mut_ptr().expose_provenance() as u64, 8, 24);
/// // SAFETY: both arrays have three elements, and they do not overlap.
/// unsafe { interp.run(&slab) };
/// assert_eq!(output, [2.0, 4.0, 6.0]);
/// ```
#[derive(Debug)]
pub struct Interp {
    operands: Vec<Operand>,
    consts: Vec<Line>,
    /// For tiles within one row: `Broadcast` operands are uniform.
    row: Plan,
    /// For tiles of several rows: nothing but constants is uniform.
    gather: Plan,
}

thread_local! {
    /// The registers of this thread, kept from call to call so that small calls do not allocate.
    static SCRATCH: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

/// How the iteration space is cut into tiles.
struct Walk<'a> {
    interp: &'a Interp,
    plan: &'a Plan,
    access: SmallVec<[Access; 8]>,
}

impl Interp {
    /// Prepares a kernel. It must be well-formed ([`Kernel::verify`]).
    ///
    /// # Panics
    /// Of a malformed kernel: at once in debug builds, else here or in [`Interp::run`].
    pub fn new(kernel: &Kernel) -> Interp {
        debug_assert!(kernel.verify().is_ok(), "{:?}", kernel.verify());
        let kernel = &*expand(kernel);
        let consts = plan::Consts::new(kernel);
        let row = Plan::new(kernel, &consts, true);
        let gather = Plan::new(kernel, &consts, false);
        Interp { operands: kernel.operands.clone(), consts: consts.lines, row, gather }
    }

    /// Runs the kernel over `slab`.
    ///
    /// # Safety
    /// Every address that the slab gives is valid for its operand, extents and strides: inputs for reads, outputs for
    /// writes that nothing else reads or writes meanwhile. Alignment is not needed. An output overlaps no other operand
    /// but an input of the same address, strides and element size (in place). The provenance of the addresses is
    /// exposed.
    #[allow(unsafe_code)]
    pub unsafe fn run(&self, slab: &Slab) {
        let (mut n0, mut n1) = (slab.n0(), slab.n1());
        if n0 == 0 || n1 == 0 {
            return;
        }
        let mut access: SmallVec<[Access; 8]> = (self.operands.iter().enumerate())
            .map(|(i, o)| {
                let (base, s0, s1) = slab.operand(i);
                // The class is a promise, so the stride need not be looked at.
                let s0 = match o.class {
                    Class::Contiguous => o.dtype.size() as isize,
                    Class::Broadcast => 0,
                    Class::Strided => s0,
                };
                Access { base, s0, s1 }
            })
            .collect();

        let mut plan = &self.row;
        if n1 > 1 && access.iter().all(|a| a.s1 == a.s0.wrapping_mul(n0 as isize)) {
            // Rows that follow one another evenly are one row; a broadcast stays one.
            (n0, n1) = (n0 * n1, 1);
        } else if n0 == 1 && n1 > 1 {
            // A column is a row of other strides, but then `Broadcast` says nothing about it.
            for a in &mut access {
                (a.s0, a.s1) = (a.s1, 0);
            }
            (n0, n1) = (n1, 1);
            plan = &self.gather;
        } else if n1 > 1 && n0 <= self.gather.lanes / 2 {
            plan = &self.gather;
        }

        let mut scratch = SCRATCH.take();
        if scratch.len() < plan.scratch_lines {
            scratch.resize(plan.scratch_lines, Line::default());
        }
        let walk = Walk { interp: self, plan, access };
        // SAFETY: by the contract of this function; the registers are memory of our own.
        unsafe {
            if n1 > 1 && std::ptr::eq(plan, &self.gather) {
                let rows = plan.lanes / n0;
                for j in (0..n1).step_by(rows) {
                    walk.tile(&mut scratch, (0, n0), (j, rows.min(n1 - j)));
                }
            } else {
                for j in 0..n1 {
                    walk.uniform(&mut scratch, j);
                    for i in (0..n0).step_by(plan.lanes) {
                        walk.tile(&mut scratch, (i, plan.lanes.min(n0 - i)), (j, 1));
                    }
                }
            }
        }
        SCRATCH.set(scratch);
    }
}

impl Walk<'_> {
    fn frame<'f>(&'f self, scratch: &'f mut [Line], lanes: usize) -> Frame<'f> {
        Frame {
            arch: self.plan.arch,
            consts: bytemuck::cast_slice(&self.interp.consts),
            scratch: bytemuck::cast_slice_mut(scratch),
            lanes,
        }
    }

    /// Computes the values that are the same all along row `j`.
    ///
    /// # Safety
    /// As [`Interp::run`]; the row exists.
    #[allow(unsafe_code)]
    unsafe fn uniform(&self, scratch: &mut [Line], j: usize) {
        let mut frame = self.frame(scratch, 1);
        // SAFETY: uniform loads are of broadcast operands, whose one element is there as the row has an element.
        unsafe { self.steps(&mut frame, &self.plan.uniform, (0, 1), (j, 1)) };
    }

    /// Runs the program on columns `i.0 .. i.0 + i.1` of rows `j.0 .. j.0 + j.1`, at most a tile of elements.
    ///
    /// # Safety
    /// As [`Interp::run`]; the elements exist.
    #[allow(unsafe_code)]
    unsafe fn tile(&self, scratch: &mut [Line], i: (usize, usize), j: (usize, usize)) {
        let mut frame = self.frame(scratch, i.1 * j.1);
        // SAFETY: by the contract of this function.
        unsafe { self.steps(&mut frame, &self.plan.tile, i, j) };
        for s in &self.plan.stores {
            let rect = self.rect(s.operand, i, j);
            let bytes = if s.src.constant { frame.consts } else { &*frame.scratch };
            // SAFETY: by the contract of this function; registers are memory of our own.
            unsafe {
                match s.ty.size() {
                    1 => rect.store::<u8>(used(bytes, s.src, frame.lanes)),
                    2 => rect.store::<u16>(used(bytes, s.src, frame.lanes)),
                    4 => rect.store::<u32>(used(bytes, s.src, frame.lanes)),
                    _ => rect.store::<u64>(used(bytes, s.src, frame.lanes)),
                }
            }
        }
    }

    fn rect(&self, operand: u32, i: (usize, usize), j: (usize, usize)) -> Rect {
        let a = &self.access[operand as usize];
        Rect { at: a.at(i.0, j.0), s0: a.s0, s1: a.s1, cols: i.1, rows: j.1 }
    }

    /// # Safety
    /// As [`Walk::tile`].
    #[allow(unsafe_code)]
    unsafe fn steps(&self, frame: &mut Frame<'_>, steps: &[Step], i: (usize, usize), j: (usize, usize)) {
        for step in steps {
            match step {
                Step::Compute(op) => frame.exec(op),
                Step::Index { operand, dst } => {
                    let bytes = &mut frame.scratch[dst.offset..][..i.1 * j.1 * 8];
                    self.rect(*operand, i, j).index(bytemuck::cast_slice_mut(bytes));
                }
                Step::Load { operand, dst, ty } => {
                    let rect = self.rect(*operand, i, j);
                    let bytes = &mut frame.scratch[dst.offset..][..i.1 * j.1 * ty.size()];
                    // SAFETY: by the contract of this function; registers are memory of our own.
                    unsafe {
                        match ty.size() {
                            1 => rect.load::<u8>(bytes),
                            2 => rect.load::<u16>(bytemuck::cast_slice_mut(bytes)),
                            4 => rect.load::<u32>(bytemuck::cast_slice_mut(bytes)),
                            _ => rect.load::<u64>(bytemuck::cast_slice_mut(bytes)),
                        }
                    }
                }
            }
        }
    }
}

/// The lanes of a register in use; of a uniform one, a single lane.
fn used<T: bytemuck::Pod>(bytes: &[u8], reg: Reg, lanes: usize) -> &[T] {
    let lanes = if reg.uniform { 1 } else { lanes };
    bytemuck::cast_slice(&bytes[reg.offset..][..lanes * size_of::<T>()])
}

/// Runs a kernel on one element. `inputs` has a scalar for each operand that is not an output, in their order: the
/// element of an input, the `int64` coordinate of an index. The result has one for each output, in their order.
///
/// # Panics
/// Where the number or the lane types of `inputs` do not fit the kernel, or the kernel is malformed.
///
/// ```
/// use lazuli_graph::{DType, Scalar};
/// use lazuli_jit::{Builder, Class, Role, eval_scalar};
/// let mut b = Builder::new();
/// let (x, y) = (b.operand(Role::Input, DType::I32, Class::Broadcast), b.operand(Role::Output, DType::I32, Class::Contiguous));
/// let v = b.load(x);
/// let negated = b.ineg(v);
/// b.store(y, negated);
/// let result = eval_scalar(&b.finish(), &[Scalar::from_i64(DType::I32, 7)]);
/// assert_eq!(result, [Scalar::from_i64(DType::I32, -7)]);
/// ```
#[allow(unsafe_code)]
pub fn eval_scalar(kernel: &Kernel, inputs: &[Scalar]) -> Vec<Scalar> {
    // Little or big endian, an element starts at the first byte of its cell.
    let mut cells: SmallVec<[[u8; 8]; 8]> = SmallVec::from_elem([0; 8], kernel.operands.len());
    let mut slab = Slab::new(kernel.operands.len());
    slab.set_extents(1, 1);
    let mut given = inputs.iter();
    let base = cells.as_mut_ptr();
    for (i, o) in kernel.operands.iter().enumerate() {
        let cell = base.wrapping_add(i);
        slab.set_operand(i, cell.expose_provenance() as u64, 0, 0);
        if o.role == Role::Output {
            continue;
        }
        let scalar = given.next().expect("a scalar for each operand that is read");
        assert!(Ty::of(scalar.dtype()) == Ty::of(o.dtype), "operand {i} is {}, got {scalar:?}", o.dtype);
        if o.role == Role::Index {
            slab.set_base(i, scalar.bits());
            continue;
        }
        let bytes = encode(scalar.bits(), o.dtype.size());
        // SAFETY: the cell is one of `cells`.
        unsafe { cell.write(bytes) };
    }
    assert!(given.next().is_none(), "more scalars than operands");
    // SAFETY: every operand has a cell of its own, larger than an element, and there is one element.
    unsafe { Interp::new(kernel).run(&slab) };
    (kernel.operands.iter().zip(&cells))
        .filter(|(o, _)| o.role == Role::Output)
        .map(|(o, cell)| Scalar::from_bits(o.dtype, decode(*cell, o.dtype.size())))
        .collect()
}

fn encode(bits: u64, size: usize) -> [u8; 8] {
    let mut cell = [0; 8];
    match size {
        1 => cell[..1].copy_from_slice(&(bits as u8).to_ne_bytes()),
        2 => cell[..2].copy_from_slice(&(bits as u16).to_ne_bytes()),
        4 => cell[..4].copy_from_slice(&(bits as u32).to_ne_bytes()),
        _ => cell.copy_from_slice(&bits.to_ne_bytes()),
    }
    cell
}

fn decode(cell: [u8; 8], size: usize) -> u64 {
    match size {
        1 => cell[0] as u64,
        2 => u16::from_ne_bytes([cell[0], cell[1]]) as u64,
        4 => u32::from_ne_bytes([cell[0], cell[1], cell[2], cell[3]]) as u64,
        _ => u64::from_ne_bytes(cell),
    }
}

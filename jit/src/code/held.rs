//! Code for rows that are divided by what is the same in each: a few rows at a time, column by column.

use super::{Backend, Code, Form};
use crate::kernel::Slab;
use smallvec::SmallVec;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Code that computes of a few rows a few columns after others: what is the same in each of them is made once.
#[derive(Default)]
struct Held {
    /// The operands whose rows are all the same.
    fixed: SmallVec<[bool; 8]>,
    /// `None` where it wins nothing.
    form: Option<Form>,
}

/// The least number of rows for that.
pub(crate) const HELD_ROWS: usize = 4;

/// Elements from which on the code is made: by then, it would have won as much as that takes.
const HELD_AFTER: usize = 1 << 19;

/// What there is of such code.
#[derive(Default)]
pub(super) struct HeldCode {
    slots: [OnceLock<Held>; 2],
    /// Elements that could have been computed so before.
    elements: AtomicUsize,
}

impl HeldCode {
    /// None, whatever is asked for.
    pub(super) fn never() -> HeldCode {
        HeldCode { slots: std::array::from_fn(|_| OnceLock::from(Held::default())), elements: AtomicUsize::new(0) }
    }
}

impl Code {
    /// As [`Code::run`], about so many rows at a time, of which these operands are the same in each, if there is code that wins by
    /// it: where that has been asked for [often enough](HELD_AFTER).
    ///
    /// # Safety
    /// As for [`Code::run`]; and operands that are `fixed` have no stride from row to row, if there are several.
    #[allow(unsafe_code)]
    pub(crate) unsafe fn run_held(&self, slab: &Slab, fixed: &[bool], rows: usize) {
        debug_assert_eq!(slab.words().len(), 2 + 3 * self.kernel.operands.len(), "slab of another kernel");
        assert!(!self.folds(), "code that reduces rows stores no elements");
        let n1 = slab.n1();
        let held = if n1 < HELD_ROWS { None } else { self.held(slab.n0() * n1, fixed) };
        let Some(form) = held else {
            // SAFETY: the caller's promise.
            return unsafe { self.run(slab) };
        };
        // None of them few.
        let rows = n1.div_ceil(n1.div_ceil(rows.max(1)));
        let mut part = slab.clone();
        for first in (0..n1).step_by(rows) {
            part.set_extents(slab.n0(), rows.min(n1 - first));
            for i in 0..self.kernel.operands.len() {
                let (base, _, step) = slab.operand(i);
                part.set_base(i, base.wrapping_add_signed(step as i64 * first as i64));
            }
            // SAFETY: these are rows of the slab; the code was made for these fixed operands, and is one stage without states,
            // so its words are those of a slab.
            unsafe { form.run(&part) };
        }
    }

    /// The code for these fixed operands; a call has so many elements.
    fn held(&self, elements: usize, fixed: &[bool]) -> Option<&Form> {
        for slot in &self.held.slots {
            match slot.get() {
                Some(held) if held.fixed.as_slice() == fixed => return held.form.as_ref(),
                Some(_) => {}
                None => {
                    let before = self.held.elements.fetch_add(elements, Ordering::Relaxed);
                    if before < HELD_AFTER {
                        return None;
                    }
                    let held = slot.get_or_init(|| Held { fixed: fixed.into(), form: self.compile_held(fixed) });
                    return held.form.as_ref().filter(|_| held.fixed.as_slice() == fixed);
                }
            }
        }
        None
    }

    /// Whether code has been made that takes a few rows at a time.
    #[cfg(test)]
    pub(crate) fn holds(&self) -> bool {
        self.held.slots.iter().any(|slot| slot.get().is_some_and(|held| held.form.is_some()))
    }

    #[cfg(target_arch = "x86_64")]
    fn compile_held(&self, fixed: &[bool]) -> Option<Form> {
        if self.backend() != Backend::Wide || !self.target.is_zen4() {
            return None;
        }
        let form = crate::wide::Compiled::held(&self.kernel, fixed, &self.target).ok()?;
        Some(Form::Wide(Box::new(form)))
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn compile_held(&self, _: &[bool]) -> Option<Form> {
        None
    }
}

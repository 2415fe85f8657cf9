//! Launches of code that reduces what it computes: rows to states, or rows added to states.

#![allow(unsafe_code)]

use super::{Launch, Role};
use crate::code::{Backend, Code};
use crate::kernel::Slab;
use crate::reduce::Columns;
use smallvec::SmallVec;
use std::ops::Range;

/// Columns from which on the rows that are added next are far enough away to be asked for.
const WIDE: usize = 64;

impl Launch<'_> {
    /// Whether rows are reduced, by [`Launch::fold`], and no elements stored.
    pub fn folds(&self) -> bool {
        self.code.folds()
    }

    /// The elements of a row that [`Launch::fold`] makes one state of.
    pub fn block(&self) -> usize {
        self.code.block()
    }

    /// Whether rows are added to states, by [`Launch::accumulate`], and no elements stored.
    pub fn accumulates(&self) -> bool {
        self.code.accumulates()
    }

    /// Reduces a rectangle of the iteration space by code that [`Code::folding`] made: `rows` and `columns` as for
    /// [`Launch::fill`], with one loop for the columns. Each row is cut into blocks of [`Launch::block`] elements, from its
    /// first column on; `states` holds one buffer for each output, to which the states of the blocks go, row after row.
    ///
    /// # Panics
    /// If the code stores elements, there is another number of loops for the columns, the rectangle lies outside the
    /// iteration space, or a buffer is too small.
    pub fn fold(&self, split: usize, rows: Range<usize>, columns: Range<usize>, states: &mut [&mut [u8]]) {
        let layout = self.layout;
        assert!(
            self.code.folds() && layout.extents.len() == split + 1,
            "one loop for the columns, and code that folds"
        );
        let (outer, width) = (&layout.extents[..split], layout.row());
        let height: usize = outer.iter().product();
        assert!(rows.end <= height && columns.end <= width, "rectangle outside the iteration space");
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let blocks = columns.len().div_ceil(self.block());
        let sizes = self.code.states();
        assert_eq!(states.len(), sizes.len(), "a buffer for each output");
        let room = |(state, &size): (&&mut [u8], &u8)| state.len() >= rows.len() * blocks * usize::from(size);
        assert!(states.iter().zip(sizes).all(room), "buffer of states too small");
        // Rows along the last outer dimension are one slab.
        let n = outer.last().copied().unwrap_or(1);
        let mut row = rows.start;
        while row < rows.end {
            let count = (n - row % n).min(rows.end - row);
            let mut slab = layout.slab(columns.len(), count);
            let position = layout.position(row * width + columns.start);
            let done = (row - rows.start) * blocks;
            let mut outputs = states.iter_mut().zip(sizes);
            for (i, o) in layout.operands.iter().enumerate() {
                if o.operand.role == Role::Output
                    && let Some((state, &size)) = outputs.next()
                {
                    let address = state.as_mut_ptr() as u64 + (done * usize::from(size)) as u64;
                    slab.set_operand(i, address, 0, 0);
                } else {
                    slab.set_base(i, self.bases[i].wrapping_add(position.offset(o) as u64));
                }
            }
            // SAFETY: the rows lie inside the rectangle, so inside the bounds that `new` and `bind` checked; there is room
            // for the states of their blocks, which are borrowed exclusively.
            unsafe { self.code.run_folding(&slab, self.far) };
            row += count;
        }
    }

    /// Adds rows of a rectangle of the iteration space to states, one after another, by code that
    /// [`Code::accumulating`] made: `rows` and `columns` as for [`Launch::fill`], with one loop for the columns, and rows
    /// along the last loop before it. `states` holds one buffer for each output, of a state for each column.
    ///
    /// # Panics
    /// If the code does something else, there are other loops, the rectangle lies outside the iteration space, or a
    /// buffer is too small or not aligned to its states.
    pub fn accumulate(&self, split: usize, rows: Range<usize>, columns: Range<usize>, states: &mut [&mut [u8]]) {
        let layout = self.layout;
        let Some(code) = self.code.columns() else { panic!("the code adds no rows to states") };
        assert!(split > 0 && layout.extents.len() == split + 1, "a loop of rows and one for the columns");
        let (run, width) = (layout.extents[split - 1], layout.row());
        let height: usize = layout.extents[..split].iter().product();
        assert!(rows.end <= height && columns.end <= width, "rectangle outside the iteration space");
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        assert!(rows.start / run == (rows.end - 1) / run, "rows of several runs");
        assert_eq!(states.len(), code.0.states.len(), "a buffer for each output");
        let room = |(state, &size): (&&mut [u8], &u8)| {
            state.len() >= columns.len() * usize::from(size) && (state.as_ptr() as usize).is_multiple_of(size.into())
        };
        assert!(states.iter().zip(&code.0.states).all(room), "buffer of states too small");
        let addresses: SmallVec<[u64; 2]> = states.iter_mut().map(|s| s.as_mut_ptr() as u64).collect();
        let slab = |(made, code): (&Columns, &Code), ahead: bool, first: usize, times: usize| {
            let position = layout.position(first * width + columns.start);
            let mut slab = Slab::new(made.operands.len());
            slab.set_extents(columns.len(), times);
            let mut outputs = (0..addresses.len()).cycle();
            for (i, &(k, row)) in made.operands.iter().enumerate() {
                let o = &layout.operands[k];
                if o.operand.role == Role::Output
                    && let Some(n) = outputs.next()
                {
                    slab.set_operand(i, addresses[n], made.states[n].into(), 0);
                    continue;
                }
                let (s0, s1) = (o.strides[split], o.strides[split - 1]);
                let base = self.bases[k].wrapping_add(position.offset(o) as u64);
                let base = base.wrapping_add((s1 * row.unwrap_or(0) as isize) as u64);
                slab.set_operand(i, base, s0, if row.is_some() { s1 * made.rows as isize } else { 0 });
            }
            // SAFETY: the rows lie inside the rectangle, so inside the bounds that `new` and `bind` checked, an operand that
            // is the same for each row at the first; states are read and written in one place, which is borrowed
            // exclusively.
            unsafe { if ahead { self.code.run_columns_ahead(&slab) } else { code.run(&slab) } };
        };
        let run = |code: (&Columns, &Code), ahead: bool, first: usize, times: usize| {
            // Compiled code goes row after row, and reads what it has written; the interpreter takes several at once.
            let together = if code.1.backend() == Backend::Interp { 1 } else { times };
            (0..times)
                .step_by(together.max(1))
                .for_each(|done| slab(code, ahead, first + done * code.0.rows, together));
        };
        let times = rows.len() / code.0.rows;
        if times > 0 {
            run(code, self.far.is_some() && columns.len() >= WIDE, rows.start, times);
        }
        let done = times * code.0.rows;
        if done < rows.len()
            && let Some(single) = self.code.single_columns()
        {
            run(single, false, rows.start + done, rows.len() - done);
        }
    }
}

//! The loops around a lane program.
//!
//! ```text
//! row:   base + r * s1 of each operand; what is the same for the row
//! main:  a round of `lanes` lanes, while so many are left
//! whole: rounds of one vector that is all there, if a round of the main loop has four or more
//! tail:  a round of one vector, masked to what is left
//! ```
//! Where drafts of 512 bits store elements, they have the tail alone, for all rounds.
//! Code that stores around the caches runs its tail before the main loop, too: for the lanes before the first whole vector
//! of memory. Code that reduces rows has a loop of *blocks* between row and main loop, with a state each.
//!
//! Blocks of code are numbered so that no edge leads from one with two successors to one with two predecessors, and in
//! the order in which loops nest, which the register allocator goes by.

use super::mach::Kind;
use super::plan::Rounds;
use super::select::Selector;

pub(super) const ROW: usize = 1;

/// Vectors of a round of the main loop from which on what is left over is worth a loop of whole vectors.
const WHOLE: usize = 4;

/// Selects instructions for the whole of a kernel.
pub(super) fn build(s: &mut Selector<'_>) {
    s.body.end_block(Kind::Jump, &[ROW]);
    s.row(0);
    let next = map(s, ROW);
    end(s, next, 0);
}

/// The rounds of a row, whose preparation is in block `row`. Gives the block after them, which is open.
pub(super) fn map(s: &mut Selector<'_>, row: usize) -> usize {
    let Rounds { lanes, single, .. } = s.plan.rounds;
    s.body.rounds = s.plan.rounds;
    if s.plan.masked {
        s.body.end_block(Kind::BeginRow { first: false }, &[row + 1]);
        return tail(s, row + 1, None);
    }
    let many = lanes / single >= WHOLE;
    // Where the main loop begins, and where the tail begins or is passed over.
    let [head, no_head, resume] = [1, 2, 3].map(|n| row + n);
    let first = if s.around { resume } else { row } + 1;
    let rest = rest(first) + if many { 6 } else { 0 };
    if s.around {
        s.enter_head(head, no_head);
        s.body.end_aside(tail_round(rest));
        s.body.end_block(Kind::Jump, &[resume]);
        s.body.end_block(Kind::Resume, &[first, no_main(first)]);
    } else {
        s.body.end_block(Kind::EnterMain, &[first, no_main(first)]);
    }
    main(s, first, &mut |s, part| match part {
        Part::Main => s.going_on(lanes, |s| match s.plan.staggered {
            Some(apart) => s.staggered(apart),
            None => s.round(lanes, false),
        }),
        part => s.outside_main(part),
    });
    if many {
        let whole_rest = rest - 6;
        let [entry, whole, again, done, none] = [1, 2, 3, 4, 5].map(|n| whole_rest + n);
        s.body.end_block(Kind::EnterWhole, &[entry, none]);
        s.body.end_block(Kind::Jump, &[whole]);
        s.round(single, false);
        s.body.end_block(Kind::NextWhole, &[again, done]);
        s.body.end_aside(whole);
        s.body.end_block(Kind::Jump, &[rest]);
        s.body.end_aside(rest);
    }
    let resume = s.around.then_some(resume);
    tail(s, rest, resume)
}

/// The block of a tail's rounds, if the tail begins with block `rest`.
fn tail_round(rest: usize) -> usize {
    rest + 2
}

/// The tail of a row, in block `rest` and those behind; where it comes first, too, it then goes on at block `resume`. Gives the block
/// after it, which is open.
fn tail(s: &mut Selector<'_>, rest: usize, resume: Option<usize>) -> usize {
    let (entry, round) = (rest + 1, tail_round(rest));
    let [again, done, head_done] = [1, 2, 3].map(|n| round + n);
    let [none, next] = [1, 2].map(|n| done + n + usize::from(resume.is_some()));
    s.body.end_block(Kind::EnterTail, &[entry, none]);
    s.body.end_block(Kind::Jump, &[round]);
    s.round(s.plan.rounds.single, true);
    s.body.end_block(Kind::NextTail, &[again, done, head_done][..if resume.is_some() { 3 } else { 2 }]);
    s.body.end_aside(round);
    s.body.end_block(Kind::Jump, &[next]);
    if let Some(resume) = resume {
        s.body.end_block(Kind::HeadDone, &[resume]);
    }
    s.body.end_aside(next);
    next
}

/// The block where rounds cannot begin, if the main loop begins with block `first`.
fn no_main(first: usize) -> usize {
    first + 4
}

/// The block behind the main loop.
fn rest(first: usize) -> usize {
    first + 5
}

/// A part of a row's code.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The beginning of a block that is reduced.
    Begin,
    /// What comes before the main loop.
    Before,
    /// A round of the main loop.
    Main,
    /// What comes after it.
    After,
    /// The tail of a block for the accumulators of one vector.
    Tail(usize),
    /// The end of a block.
    End,
}

/// Selects instructions for a part.
type Each<'e, 'a> = &'e mut dyn FnMut(&mut Selector<'a>, Part);

/// The main loop, from block `first` on.
fn main<'a>(s: &mut Selector<'a>, first: usize, each: Each<'_, 'a>) {
    let [main, again, done] = [1, 2, 3].map(|n| first + n);
    each(s, Part::Before);
    s.body.end_block(Kind::Jump, &[main]);
    each(s, Part::Main);
    each(s, Part::After);
    s.body.end_block(Kind::NextMain, &[again, done]);
    s.body.end_aside(main);
    s.body.end_block(Kind::Jump, &[rest(first)]);
    s.body.end_aside(rest(first));
}

/// The row's end, which is block `next`; `more` rows than there are.
pub(super) fn end(s: &mut Selector<'_>, next: usize, more: usize) {
    s.body.end_block(Kind::NextRow { more: more as u8 }, &[next + 1, next + 2]);
    s.body.end_aside(ROW);
    s.body.end_block(Kind::Return, &[]);
    s.body.seal();
}

/// Selects instructions for the whole of a kernel whose rows are reduced. A state is made of `length` elements, which are
/// whole rounds.
pub(super) fn build_fold(s: &mut Selector<'_>, length: usize) {
    s.body.end_block(Kind::Jump, &[ROW]);
    s.row(0);
    let next = fold(s, ROW, length, false, &mut |s, part| s.fold_part(part));
    end(s, next, 0);
}

/// The reduction of a row, whose preparation is in block `row`: the tail has a block of code for each accumulator. Gives the
/// block after it, which is open. `anew`: the states of each row take the same place.
pub(super) fn fold<'a>(s: &mut Selector<'a>, row: usize, length: usize, anew: bool, each: Each<'_, 'a>) -> usize {
    let block = row + 1;
    let first = block + 1;
    let Rounds { lanes, single, .. } = s.plan.rounds;
    s.body.rounds = s.plan.rounds;
    let vectors = lanes / single;
    let rest = rest(first);
    // Each block of the tail but the last has one beside it, from where it goes on if the row ends there.
    let tail = |t: usize| rest + 1 + 2 * t;
    let no_tail = tail(vectors - 1) + 1;
    let next = no_tail + 1;
    s.body.end_block(Kind::BeginRow { first: anew }, &[block]);
    each(s, Part::Begin);
    s.body.end_block(Kind::EnterBlock { length: length as u32 }, &[first, no_main(first)]);
    main(s, first, each);
    s.body.end_block(Kind::EnterBlockTail, &[tail(0), no_tail]);
    for t in 0..vectors {
        each(s, Part::Tail(t));
        if t + 1 < vectors {
            s.body.end_block(Kind::NextTail, &[tail(t + 1), tail(t) + 1]);
            s.body.end_aside(next);
        } else {
            s.body.end_block(Kind::Jump, &[next]);
        }
    }
    s.body.end_aside(next);
    each(s, Part::End);
    s.body.end_block(Kind::NextBlock, &[next + 1, next + 2]);
    s.body.end_aside(block);
    next + 2
}

impl Selector<'_> {
    /// The parts of a reduction of rows.
    pub(super) fn fold_part(&mut self, part: Part) {
        let Rounds { lanes, single, last } = self.plan.rounds;
        match part {
            Part::Begin => self.fold_begin(),
            Part::Main => self.going_on(last, |s| {
                // A vector at a time: the CPU finds what is independent, and values take few registers.
                for t in 0..lanes / single {
                    if t > 0 && last == single {
                        s.body.push(Kind::Step, &[]);
                    } else {
                        s.from_lane = t * single;
                    }
                    s.fold_from = t;
                    s.round(single, false);
                }
                s.from_lane = 0;
            }),
            Part::Tail(t) => {
                self.fold_from = t;
                self.round(single, true);
            }
            Part::End => self.fold_end(),
            part => self.outside_main(part),
        }
    }

    /// A round, or several, of a main loop, which goes on by so many lanes at a time.
    pub(super) fn going_on(&mut self, lanes: usize, rounds: impl FnOnce(&mut Self)) {
        self.goes_on = lanes;
        rounds(self);
        self.goes_on = 0;
    }

    /// What comes before and after the main loop.
    pub(super) fn outside_main(&mut self, part: Part) {
        match part {
            Part::Before => self.reciprocals(),
            Part::After => self.parts.clear(),
            _ => {}
        }
    }
}

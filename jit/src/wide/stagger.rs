//! Rounds whose vectors are at different places of the program.
//!
//! Where all vectors of a round take the same step one after the other, the whole round waits where the program does: for
//! the first operands, and for the last results. Here pairs of vectors follow one another, each a third of the program behind
//! the one before: what one waits for, another fills. So there are never as many values alive as if all had most of them at
//! once, and a round may have more vectors. Of long programs, which are in another order and have more values alive, pairs are
//! only a little apart, and there are no more vectors.
//!
//! ```text
//! pair 0: first | middle | last
//! pair 1:       | first  | middle | last
//! pair 2:                | first  | middle | last
//! ```

use super::plan::Rounds;
use super::select::Selector;

/// Vectors that take each step together.
const PAIR: usize = 2;

/// Pairs at different places of the program.
pub(super) const PLACES: usize = 3;

/// Instructions that one is behind the other of programs that have another order: there, what waits has been taken apart, and the
/// more places there are, the more values are alive.
const LITTLE: usize = 32;

/// How far pairs are apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Apart {
    /// A third of the program.
    Third,
    /// [`LITTLE`].
    Little,
}

impl Selector<'_> {
    /// A round of the main loop in which all operands are contiguous, or the same for a row.
    pub(super) fn staggered(&mut self, by: Apart) {
        let Rounds { lanes, single, .. } = self.plan.rounds;
        let mut steps: Vec<(usize, usize)> = Vec::new();
        let (begin, mut apart) = (self.body.insts.len(), 0);
        for (pair, lane) in (0..lanes).step_by(PAIR * single).enumerate() {
            let start = self.body.insts.len();
            self.from_lane = lane;
            self.round(PAIR * single, false);
            let length = self.body.insts.len() - start;
            if pair == 0 {
                apart = if by == Apart::Third { length / PLACES } else { LITTLE };
            }
            // Each step's time, and the instruction.
            steps.extend((0..length).map(|step| (step + pair * apart, start + step)));
        }
        self.from_lane = 0;
        steps.sort_unstable();
        let insts: Vec<_> = steps.into_iter().map(|(_, at)| self.body.insts[at]).collect();
        self.body.insts[begin..].copy_from_slice(&insts);
    }
}

#[cfg(test)]
mod tests {
    use super::Apart;
    use crate::kernel::{Class, Role, Slab};
    use crate::target::Divider;
    use crate::testing::wide_targets;
    use crate::wide::{Mode, encode_512, main_loop, plan};
    use crate::{Backend, Builder, Code, Kernel, Precision, Target, lower, math};
    use lazuli_graph::DType;

    /// `exp(x + y)`, of `f32` as `f64`, and its half.
    fn exponential() -> Kernel {
        let mut b = Builder::new();
        let x = b.operand(Role::Input, DType::F32, Class::Contiguous);
        let y = b.operand(Role::Input, DType::F64, Class::Broadcast);
        let outs = [DType::F32, DType::F64].map(|d| b.operand(Role::Output, d, Class::Contiguous));
        let (x, y) = (b.load(x), b.load(y));
        let x = lower::cast(&mut b, DType::F32, DType::F64, x);
        let sum = b.fadd(x, y);
        let exp = math::exp(&mut b, sum, Precision::Standard);
        let narrow = lower::cast(&mut b, DType::F64, DType::F32, exp);
        let half = b.fadd(exp, exp);
        b.store(outs[0], narrow);
        b.store(outs[1], half);
        b.finish()
    }

    #[test]
    fn pairs_follow_one_another() {
        let code = encode_512(&exponential(), Mode::Plain).unwrap();
        let main = main_loop(&code).0;
        let places = |what: &str| {
            let is = |i: &iced_x86::Instruction| format!("{:?}", i.code()).contains(what);
            main.iter().enumerate().filter(|(_, i)| is(i)).map(|(at, _)| at).collect::<Vec<_>>()
        };
        // Half a vector each: what is loaded, and what is stored.
        let (loads, stores) = (places("Vcvtps2pd"), places("Vcvtpd2ps"));
        assert!(loads.len() == stores.len() && [6, 8].contains(&loads.len()), "{loads:?} {stores:?}");
        for (place, pair) in loads.chunks(2).enumerate().skip(super::PLACES) {
            assert!(pair[0] > stores[2 * (place - super::PLACES)], "{loads:?} {stores:?}");
        }
        assert!(*loads.last().unwrap() > stores[0] && loads[3] < stores[0], "{loads:?} {stores:?}");
    }

    /// `f(x + x) + x`: what is read is used first and last. `f` is an exponential; or, in a `long` program, logarithms of
    /// exponentials.
    fn first_and_last(long: bool) -> Kernel {
        let mut b = Builder::new();
        let x = b.operand(Role::Input, DType::F64, Class::Contiguous);
        let y = b.operand(Role::Output, DType::F64, Class::Contiguous);
        let x = b.load(x);
        let mut z = b.fadd(x, x);
        for _ in 0..if long { 4 } else { 1 } {
            z = math::exp(&mut b, z, Precision::Standard);
            z = if long { math::log(&mut b, z, Precision::Standard) } else { z };
        }
        let sum = b.fadd(z, x);
        b.store(y, sum);
        b.finish()
    }

    #[test]
    fn long_programs_are_a_little_apart() {
        let plan = |long: bool| {
            let kernel = first_and_last(long);
            let ordered = plan::ordered(&kernel, 64, 32, Divider::Fast);
            let mut plan = plan::Plan::new(&ordered, 64, 32, Divider::Fast);
            plan.stagger(&ordered, 64, 32);
            plan.staggered
        };
        assert_eq!([false, true].map(plan), [Some(Apart::Third), Some(Apart::Little)]);
    }

    #[test]
    fn an_input_is_read_again_where_it_was_used_long_ago() {
        let code = encode_512(&first_and_last(false), Mode::Plain).unwrap();
        let (main, stack) = (main_loop(&code).0, iced_x86::Register::RSP);
        let count = |f: &dyn Fn(&iced_x86::Instruction) -> bool| main.iter().filter(|i| f(i)).count();
        let reads = |i: &iced_x86::Instruction| i.op0_kind() != iced_x86::OpKind::Memory;
        // As part of the last addition, for each vector.
        let again = |i: &iced_x86::Instruction| {
            i.code() == iced_x86::Code::EVEX_Vaddpd_zmm_k1z_zmm_zmmm512b64_er
                && reads(i)
                && i.memory_base() != iced_x86::Register::None
                && i.memory_base() != stack
                && !i.is_broadcast()
        };
        let stores = |i: &iced_x86::Instruction| !reads(i) && i.memory_base() != stack;
        assert_eq!(count(&again), count(&|i| stores(i) && format!("{:?}", i.code()).contains("Vmovupd")));
    }

    /// Where it lies is written at the end, so in place it must not be read after.
    #[test]
    fn what_is_read_again_has_not_been_written() {
        for kernel in [false, true].map(first_and_last) {
            let interp = Code::compile(&kernel, Backend::Interp, Target::detect()).unwrap();
            for target in wide_targets() {
                let code = Code::compile(&kernel, Backend::Wide, &target).unwrap();
                let draft = Code::draft(&kernel, &target).unwrap();
                for n in 1..200usize {
                    let x: Vec<f64> = (0..n).map(|i| (i % 37) as f64 * 0.37 - 5.0).collect();
                    let run = |code: &Code, in_place: bool| {
                        let (mut data, mut apart) = (x.clone(), vec![0f64; n]);
                        let mut slab = Slab::new(2);
                        slab.set_extents(n, 1);
                        slab.set_operand(0, data.as_mut_ptr() as u64, 8, 0);
                        let to = if in_place { &mut data } else { &mut apart };
                        slab.set_operand(1, to.as_mut_ptr() as u64, 8, 0);
                        // SAFETY: both operands have `n` elements; the output is apart, or where the input is.
                        unsafe { code.run(&slab) };
                        let out = if in_place { data } else { apart };
                        out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                    };
                    let expected = run(&interp, false);
                    for (code, in_place) in [(&code, false), (&code, true), (&draft, true)] {
                        assert!(run(code, in_place) == expected, "{n}, {in_place}, {}", target.name());
                    }
                }
            }
        }
    }

    /// Any number of elements, in place and not, has the interpreter's bits.
    #[test]
    fn bits_are_those_of_the_interpreter() {
        let kernel = &exponential();
        let interp = Code::compile(kernel, Backend::Interp, Target::detect()).unwrap();
        for target in wide_targets() {
            let code = Code::compile(kernel, Backend::Wide, &target).unwrap();
            for n in 1..300usize {
                let x: Vec<f32> = (0..n).map(|i| (i % 37) as f32 * 0.37 - 5.0).collect();
                let run = |code: &Code, in_place: bool| {
                    let (mut data, mut apart, mut wide) = (x.clone(), vec![0f32; n], vec![0f64; n]);
                    let y = [0.25f64];
                    let mut slab = Slab::new(4);
                    slab.set_extents(n, 1);
                    slab.set_operand(0, data.as_mut_ptr() as u64, 4, 0);
                    slab.set_operand(1, y.as_ptr() as u64, 0, 0);
                    let to = if in_place { &mut data } else { &mut apart };
                    slab.set_operand(2, to.as_mut_ptr() as u64, 4, 0);
                    slab.set_operand(3, wide.as_mut_ptr() as u64, 8, 0);
                    // SAFETY: all operands have `n` elements, or one; outputs are apart, or the first where the input is.
                    unsafe { code.run(&slab) };
                    let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                    (bits(if in_place { &data } else { &apart }), wide.iter().map(|x| x.to_bits()).collect::<Vec<_>>())
                };
                assert!(run(&code, true) == run(&interp, false), "{n}, {}", target.name());
            }
        }
    }
}

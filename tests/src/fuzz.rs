//! What the fuzz targets run, and a bounded, seeded run of the same for the tests.
//!
//! `fuzz/` has one target for each entry of [`TARGETS`]. A target takes any bytes; an error is an answer, a panic (also
//! an overflow or an allocation beyond measure) is a bug.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

mod files;
mod graph;
mod lang;

/// One target.
#[derive(Debug)]
pub struct Target {
    /// Its name, also of its file in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// Valid inputs, which a bounded run changes a little.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words of the format, to put in now and then.
    pub words: &'static [&'static str],
}

/// Every target.
pub const TARGETS: &[Target] = &[lang::TARGET, graph::TARGET, files::NPY, files::NPZ];

impl Target {
    /// The target with this name.
    pub fn named(name: &str) -> Option<&'static Target> {
        TARGETS.iter().find(|t| t.name == name)
    }

    /// Runs the seeds, then `rounds` inputs made of them; `seed` decides which, so that a run can be repeated.
    ///
    /// # Panics
    /// With what the target panics with, after the input was printed.
    pub fn bounded(&self, rounds: u32, seed: u64) {
        let mut random = Random(seed);
        let seeds = (self.seeds)();
        for input in &seeds {
            self.checked(input);
        }
        for _ in 0..rounds {
            let mut input = seeds[random.below(seeds.len())].clone();
            for _ in 0..=random.below(4) {
                self.mutate(&mut input, &seeds, &mut random);
            }
            self.checked(&input);
        }
    }

    fn checked(&self, input: &[u8]) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| (self.run)(input))) {
            eprintln!("{} panics on b\"{}\"", self.name, input.escape_ascii());
            resume_unwind(panic);
        }
    }

    fn mutate(&self, input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
        let at = random.below(input.len() + 1);
        let end = (at + random.below(16)).min(input.len());
        match random.below(8) {
            0 if at < input.len() => input[at] ^= 1 << random.below(8),
            1 if at < input.len() => input[at] = [0, 1, 9, b' ', b'0', b'-', 0x7f, 0x80, 0xff][random.below(9)],
            2 => drop(input.drain(at..end)),
            3 => {
                let part = input[at..end].to_vec();
                let times = 1 + random.below(40);
                input.splice(at..at, part.repeat(times));
            }
            4 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            5 => input.truncate(at),
            6 => {
                let number = [0, 1, -1, 2, 255, 65536, i64::MAX, i64::MIN][random.below(8)];
                input.splice(at..end, number.to_string().into_bytes());
            }
            _ if !self.words.is_empty() => {
                let word = self.words[random.below(self.words.len())];
                input.splice(at..at, word.bytes());
            }
            _ => {}
        }
        // A run is many small inputs; growth by repetition would make it few large ones.
        input.truncate(1 << 14);
    }
}

/// A generator of numbers by splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

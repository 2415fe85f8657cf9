#![no_main]

use lazuli_tests::fuzz::Target;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    (Target::named("read_npz").expect("the target is in the table").run)(data);
});

#![no_main]

use chronik_fuzz::batches;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| chronik_fuzz::within_bounds(bytes, batches::LIMITS, batches::run));
fuzz_mutator!(|bytes: &mut [u8], size: usize, size_max: usize, seed: u32| {
    batches::mutate(bytes, size, size_max, seed, fuzzer_mutate)
});

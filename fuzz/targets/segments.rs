#![no_main]

use chronik_fuzz::segments;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| chronik_fuzz::within_bounds(bytes, segments::LIMITS, segments::run));
fuzz_mutator!(|bytes: &mut [u8], size: usize, size_max: usize, seed: u32| {
    segments::mutate(bytes, size, size_max, seed, fuzzer_mutate)
});

//! The fuzz target: checks the [`invariants`] of each input as an application.
//!
//! Changed bytes are rarely still JSON, and an input that fails at the first brace never reaches the rules.
//! So three of four inputs are mutated as JSON ([`mutation`]), the others as bytes.

#![no_main]

mod invariants;
mod mutation;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|payload: &[u8]| {
    invariants::hold(payload);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    if !seed.is_multiple_of(4)
        && let Some(changed) = mutation::change(&data[..size], seed)
        && changed.len() <= max_size.min(data.len())
    {
        data[..changed.len()].copy_from_slice(&changed);
        return changed.len();
    }
    fuzzer_mutate(data, size, max_size)
});

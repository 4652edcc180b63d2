//! A server that is PostgreSQL, and a client that does not wait for its answers.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::pipeline::fuzz_changes(data);
});

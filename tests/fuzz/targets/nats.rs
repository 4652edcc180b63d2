//! What a NATS server says.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::share::fuzz_nats(data);
});

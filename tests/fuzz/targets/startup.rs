//! What a client's first packet may say.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::wire::startup::fuzz_startup(data);
});

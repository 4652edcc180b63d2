//! Every message of a client that is read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::wire::frontend::fuzz_frontend(data);
});

//! Every message of a server that is read.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::wire::backend::fuzz_backend(data);
});

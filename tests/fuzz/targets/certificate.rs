//! A certificate, for its channel binding and for the user whom it names.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::login::binding::fuzz_binding(data);
    sealgate::login::certificate::fuzz_certificate(data);
});

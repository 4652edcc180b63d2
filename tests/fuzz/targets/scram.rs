//! A login by SCRAM, from either side.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::login::scram::fuzz_scram(data);
});

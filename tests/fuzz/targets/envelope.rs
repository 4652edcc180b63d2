//! A sealed value and a keyring file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::seal::fuzz_open(data);
});

//! A text of SQL, judged in every reading.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::statement::fuzz_analyse(data);
});

//! Frames cut out of a stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::wire::frame::fuzz_frames(data);
});

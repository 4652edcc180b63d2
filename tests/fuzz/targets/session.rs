//! Both peers of a session, neither of which keeps to the protocol.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sealgate::pipeline::fuzz_session(data);
});

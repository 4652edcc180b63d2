//! What ciphers leave behind on the stack: which they do depends on the processor, since each kind of
//! it has code of its own, whose blocks and registers end up where the next deep call may overwrite
//! them, or not for long.

/// Deeper than any call that seals or opens goes, in builds without optimisation too.
const WIPED_BYTES: usize = 64 << 10;

/// Overwrites the stack below the caller, where what has returned may have left values.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is to be overwritten")]
pub fn wipe_stack() {
    let mut below = [0_u8; WIPED_BYTES];
    std::hint::black_box(&mut below);
}

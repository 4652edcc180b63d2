//! What ciphers leave behind on the stack: which they do depends on the processor, since each kind of
//! it has code of its own, whose blocks and registers end up where the next deep call may overwrite
//! them, or not for long.

use std::cell::Cell;

/// Deeper than any call that seals or opens goes, in builds without optimisation too.
const WIPED_BYTES: usize = 64 << 10;

thread_local! {
    static SOILED: Cell<bool> = const { Cell::new(false) };
}

/// Values may lie below the caller, on the stack of a thread that has other things to do first.
pub fn soil_stack() {
    SOILED.set(true);
}

/// Called where a thread is about to rest: wipes what it was told of since it did last. Once for all
/// that it has done meanwhile, since what is wiped has to be fetched again, too.
pub fn wipe_soiled_stack() {
    if SOILED.replace(false) {
        wipe_stack();
    }
}

/// Overwrites the stack below the caller, where what has returned may have left values.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "it is the stack that is to be overwritten")]
pub fn wipe_stack() {
    let mut below = [0_u8; WIPED_BYTES];
    std::hint::black_box(&mut below);
}

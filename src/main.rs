//! The `sealgate` binary: hands the command line to [`sealgate::cli`], and wipes every piece of
//! memory that it gives back.

use std::alloc::System;
use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Much that is not ours holds values for a while: the records of a TLS session, the words of a
/// statement, the queue of a channel. Whoever frees them, nothing stays (P5).
#[global_allocator]
static WIPING: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    sealgate::cli::main()
}

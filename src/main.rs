//! The `sealgate` binary: hands the command line to [`sealgate::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    sealgate::cli::main()
}

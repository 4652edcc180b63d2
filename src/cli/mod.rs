//! One file a verb.

pub mod keys;

use std::process::ExitCode;

/// Parses the command line and runs the verb.
#[must_use]
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}

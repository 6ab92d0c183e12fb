//! The `callward` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    callward::cli::main()
}

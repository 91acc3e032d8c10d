//! The agent and the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    mkubelet::cli::main()
}

//! The shim, and in copies of it container init and pause. Started by the agent alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    mkubelet::shim::main()
}

//! `mkubelet-shim` with points at which it dies (src/failpoint.rs), for `tests/e2e/failpoints`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let _points = mkubelet::failpoint::set_up();
    mkubelet::shim::main()
}

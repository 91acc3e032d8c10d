//! The shim, and in copies of it container init and pause. Started by the agent alone.

use std::process::ExitCode;

use mkubelet::shim::{self, diagnostics::say, options::Options};

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let result = match words.next() {
        Some(mode) if mode == "shim" => Options::parse(words).and_then(|options| shim::run(&options)),
        _ => Err("this program is started by mkubelet, not by hand".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            say(format_args!("mkubelet-shim: {text}"));
            ExitCode::FAILURE
        }
    }
}

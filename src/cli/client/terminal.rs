//! The terminal that a person sits at: raw while a remote program has it, and as it was afterwards.

use std::io::{self, Stdin};

use kube::api::TerminalSize;
use nix::sys::termios::{self, SetArg, Termios};

use crate::sys::terminal;

/// Raw mode, until dropped.
#[derive(Debug)]
pub(in crate::cli) struct Raw {
    stdin: Stdin,
    before: Termios,
}

impl Raw {
    /// Makes the terminal on standard input raw. Fails when there is none.
    pub(in crate::cli) fn enter() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin)?;
        let mut raw = before.clone();
        termios::cfmakeraw(&mut raw);
        termios::tcsetattr(&stdin, SetArg::TCSADRAIN, &raw)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = termios::tcsetattr(&self.stdin, SetArg::TCSADRAIN, &self.before);
    }
}

/// The size of the window, when standard output is one.
pub(in crate::cli) fn size() -> Option<TerminalSize> {
    use std::os::fd::AsFd;
    let (height, width) = terminal::size(io::stdout().as_fd()).ok()?;
    Some(TerminalSize { width, height })
}

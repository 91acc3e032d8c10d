//! A program at a pseudo terminal (pty(7)), and somebody who reads and types there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::pty::{Winsize, openpty};

use super::until;

/// A running program and its terminal.
pub(crate) struct Terminal {
    keyboard: File,
    child: Child,
    shown: Arc<Mutex<String>>,
    /// Bytes of it that were waited for.
    read: usize,
}

impl Terminal {
    /// Starts a program with a terminal of 40 rows and 132 columns of its own.
    pub(crate) fn start(command: &Command) -> Self {
        Self::start_with(command, 132)
    }

    /// Likewise with another number of columns.
    pub(crate) fn start_with(command: &Command, columns: u16) -> Self {
        let size = Winsize { ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(Some(&size), None).unwrap();
        // setsid(1) makes it the terminal that controls the program.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        session.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        session.stdin(pair.slave.try_clone().unwrap()).stdout(pair.slave.try_clone().unwrap());
        let child = session.stderr(pair.slave).spawn().unwrap();
        // It holds the other end as long as it lives.
        drop(session);
        let keyboard = File::from(pair.master);
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut screen, writer) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // EIO: the program has closed its end.
            while let Ok(length @ 1..) = screen.read(&mut bytes) {
                writer.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        Self { keyboard, child, shown, read: 0 }
    }

    /// Waits for a text on the screen, after those that were waited for before.
    pub(crate) fn expect(&mut self, text: &str) {
        let shown = Arc::clone(&self.shown);
        let find = || shown.lock().unwrap()[self.read..].find(text);
        self.read += until(&format!("{text:?} on the screen"), find) + text.len();
    }

    /// Makes the window another size.
    pub(crate) fn resize(&self, columns: u16) {
        mkubelet::sys::terminal::set_size(self.keyboard.as_fd(), 40, columns).unwrap();
    }

    /// Types a line.
    pub(crate) fn enter(&mut self, line: &str) {
        self.press(&format!("{line}\n"));
    }

    /// Types keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// All that has been on the screen, with what moved its cursor.
    pub(crate) fn shown(&self) -> String {
        self.shown.lock().unwrap().clone()
    }

    /// Waits for the program's end, and returns its exit code.
    pub(crate) fn end(mut self) -> i32 {
        let what = format!("the program's end; it showed {:?}", self.shown());
        let status = until(&what, || self.child.try_wait().unwrap());
        status.code().unwrap_or(-1)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

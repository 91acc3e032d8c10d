//! A `mkubelet` in the foreground: what it prints, signals to it, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use super::ledger::Ledger;
use super::{HANG, patient, until};

/// A running `mkubelet`. Killed when dropped, so that a failing test does not leave it behind.
pub(crate) struct Run {
    child: Child,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
    ledger: PathBuf,
}

/// What is left of a `mkubelet` that ended.
pub(crate) struct Ended {
    status: ExitStatus,
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Run {
    pub(super) fn start(command: Command, ledger: PathBuf) -> Self {
        Self::start_with(command, Stdio::null(), ledger)
    }

    pub(super) fn start_with(mut command: Command, stdin: Stdio, ledger: PathBuf) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = Output::collect(child.stdout.take().unwrap());
        let stderr = Output::collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr, ledger }
    }

    pub(super) fn start_unread(mut command: Command, ledger: PathBuf) -> (Self, ChildStdout) {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let stderr = Output::collect(child.stderr.take().unwrap());
        (Self { child, stdout: Output::collect(std::io::empty()), stderr, ledger }, stdout)
    }

    /// Waits until this line has been printed, now or earlier.
    pub(crate) fn expect(&self, line: &str) {
        self.expect_where(line, |printed| printed == line);
    }

    /// Waits until a line that starts so has been printed, now or earlier, and returns it.
    pub(crate) fn expect_prefix(&self, prefix: &str) -> String {
        self.expect_where(prefix, |printed| printed.starts_with(prefix))
    }

    /// The pod's address, as printed.
    pub(crate) fn ip(&self, pod: &str) -> Ipv4Addr {
        let prefix = format!("pod default/{pod}: IP ");
        self.expect_prefix(&prefix)[prefix.len()..].parse().unwrap()
    }

    /// Waits for a container of a pod to run, after so many restarts, by mkubelet's word and then by its own: it is
    /// Running as soon as the program is executed, and has its hands on its signals a moment later.
    pub(crate) fn expect_running(&self, pod: &str, container: &str, restarts: u32) {
        let suffix = if restarts == 0 { String::new() } else { format!(" (restart {restarts})") };
        self.expect(&format!("container default/{pod}/{container}: Running{suffix}"));
        let starts = restarts as usize + 1;
        until(&format!("start {starts} of {container}"), || {
            (Ledger::of(&self.ledger).starts(container) >= starts).then_some(())
        });
    }

    /// Waits until a container of a pod has been in a state that is as described, now or earlier.
    pub(crate) fn expect_state(&self, pod: &str, container: &str, matches: impl Fn(&str) -> bool) -> String {
        let prefix = format!("container default/{pod}/{container}: ");
        self.expect_where(&prefix, |line| line.strip_prefix(&prefix).is_some_and(&matches))
    }

    /// Waits until a line with that in it has been printed to standard error, now or earlier.
    pub(crate) fn expect_error(&self, part: &str) {
        let found = self.stderr.find(|line| line.contains(part));
        found.unwrap_or_else(|why| panic!("{why} \"{part}\"\n{}", self.transcript()));
    }

    /// Waits until a line that matches has been printed, now or earlier, and returns it.
    pub(crate) fn expect_where(&self, what: &str, matches: impl Fn(&str) -> bool) -> String {
        self.stdout.find(matches).unwrap_or_else(|why| panic!("{why} \"{what}\"\n{}", self.transcript()))
    }

    /// What was printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.stdout.lines()
    }

    /// What was printed to standard error so far.
    pub(crate) fn errors(&self) -> Vec<String> {
        self.stderr.lines()
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal::kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// Asks it to end gracefully, waits, and demands success.
    pub(crate) fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.wait().success()
    }

    /// SIGKILL, and reaps it. Returns what it printed.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.transcript()
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> Ended {
        let deadline = Instant::now() + *HANG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "still running after {:?}\n{}", *HANG, self.transcript());
            thread::sleep(Duration::from_millis(10));
        };
        let ended = Ended { status, stdout: self.stdout.whole(), stderr: self.stderr.whole() };
        // Colours are for terminals, which this is not.
        assert!(!ended.stderr.iter().any(|line| line.contains('\x1b')), "{}", ended.transcript());
        ended
    }

    fn transcript(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout.lines().join("\n"), self.stderr.lines().join("\n"))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
            if thread::panicking() {
                println!("killed while it ran\n{}", self.transcript());
            }
        }
    }
}

impl Ended {
    /// Demands that SIGKILL has ended it.
    pub(crate) fn killed(self) -> Self {
        assert_eq!(self.status.signal(), Some(libc::SIGKILL), "{}\n{}", self.status, self.transcript());
        self
    }

    pub(crate) fn success(self) -> Self {
        self.code(0)
    }

    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(
            self.status.code(),
            Some(code),
            "exit code (signal {:?})\n{}",
            self.status.signal(),
            self.transcript()
        );
        self
    }

    /// Demands that a line was printed.
    pub(crate) fn printed(self, line: &str) -> Self {
        assert!(
            self.stdout.iter().any(|printed| printed == line),
            "not printed: \"{line}\"\n{}",
            self.transcript()
        );
        self
    }

    /// Demands that what was printed about a container is what it wrote down itself: as many starts, the same codes.
    pub(crate) fn agrees_with(self, ledger: &Ledger, pod: &str, container: &str) -> Self {
        let prefix = format!("container default/{pod}/{container}: ");
        let states: Vec<&str> = self.stdout.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
        let codes: Vec<i64> = states.iter().filter_map(|state| exit_code(state)).collect();
        let ends = ledger.ends(container);
        assert_eq!(codes.len(), ends.len(), "exits printed, ends written {ends:?}\n{}", self.transcript());
        for (code, end) in codes.iter().zip(&ends) {
            assert!(
                end.map_or(*code > 128, |end| end == *code),
                "{codes:?}, written {ends:?}\n{}",
                self.transcript()
            );
        }
        self
    }

    pub(crate) fn transcript(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout.join("\n"), self.stderr.join("\n"))
    }
}

/// The code in `Terminated (Completed)` or `Terminated (Error, exit code 137)`.
fn exit_code(state: &str) -> Option<i64> {
    let detail = state.strip_prefix("Terminated (")?;
    match detail.split_once("exit code ") {
        Some((_, code)) => code.trim_end_matches(')').parse().ok(),
        None => Some(0),
    }
}

/// Lines of a stream, collected by a thread of their own.
struct Output {
    collected: Mutex<Collected>,
    news: Condvar,
}

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Output {
    fn collect(stream: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self { collected: Mutex::default(), news: Condvar::new() });
        let writer = Arc::clone(&output);
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                writer.collected.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                writer.news.notify_all();
            }
            writer.collected.lock().unwrap().ended = true;
            writer.news.notify_all();
        });
        output
    }

    fn lines(&self) -> Vec<String> {
        self.collected.lock().unwrap().lines.clone()
    }

    /// All lines, once the stream has ended.
    fn whole(&self) -> Vec<String> {
        let guard = self.collected.lock().unwrap();
        let (guard, _) = self
            .news
            .wait_timeout_while(guard, patient(Duration::from_secs(5)), |collected| !collected.ended)
            .unwrap();
        guard.lines.clone()
    }

    /// The first line that matches, or why there is none.
    fn find(&self, matches: impl Fn(&str) -> bool) -> Result<String, String> {
        let deadline = Instant::now() + *HANG;
        let mut guard = self.collected.lock().unwrap();
        loop {
            if let Some(line) = guard.lines.iter().find(|line| matches(line)) {
                return Ok(line.clone());
            }
            if guard.ended {
                return Err("ended without printing".to_owned());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(format!("waited {:?} for", *HANG));
            }
            guard = self.news.wait_timeout(guard, left).unwrap().0;
        }
    }
}

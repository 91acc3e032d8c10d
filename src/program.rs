//! Runs a program of the node to its end: its answer within bounds of time and size, and nothing of it left behind.
//!
//! A program leads a process group of its own. The group is killed when its leader has ended, when time or room is up, and when nobody
//! waits any more; only what has left the group can live on.
//!
//! An agent's reaper waits for whatever child ends, and would take the ends of programs away from here. So a program is known from before
//! it can end until its end has been seen ([`Spared`]): the reaper asks [`running`], and is woken by [`released`].

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::sys::process::open_pidfd;

/// As much of what a program writes to its standard error is kept, bytes.
const MAX_ERRORS: usize = 4096;

/// What a program has written is there when it has ended, unless something of it that left its group keeps the pipe open.
const LINGER: Duration = Duration::from_secs(1);

/// As much is read at once, bytes.
const PIECE: usize = 16 * 1024;

/// The programs that run, by their process ids.
static RUNNING: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Told when one of them is not to be spared any more.
static RELEASED: Notify = Notify::const_new();

/// What a program may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From its start to its end.
    pub time: Duration,
    /// Of its standard output, bytes.
    pub output: usize,
}

/// What has become of a program.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub output: Vec<u8>,
    /// The beginning of its standard error, on one line.
    pub errors: String,
}

/// Why a program has not come to an end of its own.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be started.
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    /// It took too long, and was killed.
    #[error("no end after {after:?}{}", told(.errors))]
    TooSlow {
        /// The time that it had.
        after: Duration,
        /// The beginning of its standard error, on one line.
        errors: String,
    },
    /// It wrote too much, and was killed.
    #[error("its answer has more than {0} bytes")]
    TooMuch(usize),
    /// It has ended, and something that it left behind keeps its output open.
    #[error("it ended, and left a process behind that keeps its output open")]
    LeftOpen,
    /// What it wrote cannot be read.
    #[error("its answer cannot be read")]
    Read(#[source] io::Error),
}

impl Ran {
    /// Why it is no success, as a kubelet says it: its exit status and what it had to say.
    pub fn failure(&self) -> Option<String> {
        use std::os::unix::process::ExitStatusExt;
        let how = match (self.status.code(), self.status.signal()) {
            (Some(0), _) => return None,
            (Some(code), _) => format!("exit status {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        Some(format!("{how}{}", told(&self.errors)))
    }
}

/// Runs a program that is given this on its standard input.
pub async fn run(mut command: Command, input: &[u8], limits: Limits) -> Result<Ran, Error> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut leader = Leader::start(command)?;
    let mut errors = Vec::new();
    let ran = timeout(limits.time, leader.answer(input, limits.output, &mut errors)).await;
    let errors = one_line(&errors);
    match ran {
        Ok(answer) => {
            let (status, output) = answer?;
            Ok(Ran { status, output, errors })
        }
        Err(_) => Err(Error::TooSlow { after: limits.time, errors }),
    }
}

/// The programs that run, whose ends are not the reaper's. None can begin or be forgotten while this is held.
pub fn running() -> MutexGuard<'static, BTreeSet<i32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until a program is not spared any more.
pub async fn released() {
    RELEASED.notified().await;
}

/// A child that is left to whoever started it, for as long as they keep this. Without it the reaper may be faster, and the child's number
/// is anybody's then.
#[derive(Debug)]
pub struct Spared {
    pid: i32,
}

impl Spared {
    /// Starts a child. `start` gives it with its process id.
    pub fn start<C>(start: impl FnOnce() -> io::Result<(C, Option<u32>)>) -> io::Result<(C, Self)> {
        let mut running = running();
        let (child, pid) = start()?;
        let pid = pid.and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        running.insert(pid);
        Ok((child, Self { pid }))
    }
}

impl Drop for Spared {
    fn drop(&mut self) {
        running().remove(&self.pid);
        RELEASED.notify_one();
    }
}

/// The first process of a program; its group is killed when this goes.
struct Leader {
    child: Child,
    exited: AsyncFd<OwnedFd>,
    is_reaped: bool,
    /// Last, as what is above is dropped before.
    spared: Spared,
}

impl Leader {
    fn start(mut command: Command) -> Result<Self, Error> {
        let started = Spared::start(|| {
            let child = command.spawn()?;
            let pid = child.id();
            Ok((child, pid))
        });
        let (child, spared) = started.map_err(Error::Start)?;
        match open_pidfd(spared.pid).and_then(watch) {
            Ok(exited) => Ok(Self { child, exited, is_reaped: false, spared }),
            Err(error) => {
                kill(spared.pid);
                Err(Error::Start(error))
            }
        }
    }

    /// Waits until it has ended; it is a zombie then.
    async fn exited(&self) -> Result<(), Error> {
        self.exited.readable().await.map(drop).map_err(Error::Read)
    }

    async fn answer(
        &mut self,
        input: &[u8],
        most: usize,
        errors: &mut Vec<u8>,
    ) -> Result<(ExitStatus, Vec<u8>), Error> {
        let (stdin, stdout, stderr) =
            (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let output = {
            let exchange = async {
                let answer = tokio::try_join!(feed(stdin, input), take(stdout, most), keep(stderr, errors));
                answer.map(|((), output, ())| output)
            };
            tokio::pin!(exchange);
            let early = tokio::select! {
                answer = &mut exchange => Some(answer?),
                ended = self.exited() => { ended?; None }
            };
            match early {
                Some(output) => {
                    self.exited().await?;
                    kill(self.spared.pid);
                    output
                }
                None => {
                    kill(self.spared.pid);
                    timeout(LINGER, exchange).await.map_err(|_| Error::LeftOpen)??
                }
            }
        };
        // The group's id is its leader's, and nobody else's before this.
        let status = self.child.wait().await.map_err(Error::Read)?;
        self.is_reaped = true;
        Ok((status, output))
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        if !self.is_reaped {
            kill(self.spared.pid);
        }
    }
}

/// Has the runtime tell when a process has ended.
#[expect(
    deprecated,
    reason = "what replaces it is unsafe, for types whose descriptor may change: this owns the one that it has"
)]
fn watch(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(pidfd, Interest::READABLE)
}

/// Kills a group, of which there may be nobody left.
fn kill(group: i32) {
    if group > 1 {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

/// Gives the program what it is to read; one that does not care has closed its end.
async fn feed(stdin: Option<ChildStdin>, input: &[u8]) -> Result<(), Error> {
    if let Some(mut stdin) = stdin {
        let _ = stdin.write_all(input).await;
    }
    Ok(())
}

/// All that is written, unless that is too much.
async fn take(from: Option<impl AsyncRead + Unpin>, most: usize) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    if let Some(from) = from {
        from.take(most as u64 + 1).read_to_end(&mut all).await.map_err(Error::Read)?;
    }
    if all.len() > most { Err(Error::TooMuch(most)) } else { Ok(all) }
}

/// The beginning of what is written; all of it is read, so that nobody waits for room.
async fn keep(from: Option<impl AsyncRead + Unpin>, kept: &mut Vec<u8>) -> Result<(), Error> {
    let Some(mut from) = from else { return Ok(()) };
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece).await.map_err(Error::Read)? {
            0 => return Ok(()),
            count => kept.extend_from_slice(&piece[..count.min(MAX_ERRORS - kept.len())]),
        }
    }
}

fn one_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn told(errors: &str) -> String {
    if errors.is_empty() { String::new() } else { format!(": {errors}") }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    const LIMITS: Limits = Limits { time: Duration::from_secs(20), output: 100 };

    async fn shell(script: &str, input: &[u8], limits: Limits) -> Result<Ran, Error> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        run(command, input, limits).await
    }

    /// Waits until the process whose number is in the file has ended; who reaps it is its new parent's affair.
    fn expect_ended(file: &Path) {
        let pid = fs::read_to_string(file).unwrap();
        let began = Instant::now();
        loop {
            let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z ") {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{stat}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[tokio::test]
    async fn a_program_is_asked_and_its_answer_and_end_are_told() {
        let ran =
            shell("read line; echo \"<$line>\"; echo why >&2; exit 3", b"hello\n", LIMITS).await.unwrap();
        assert_eq!((ran.output.as_slice(), ran.errors.as_str()), (&b"<hello>\n"[..], "why"));
        assert_eq!(ran.failure().unwrap(), "exit status 3: why");
        let ran = shell("exec 0<&-; kill -9 $$", &vec![0; 1 << 20], LIMITS).await.unwrap();
        assert_eq!(ran.failure().unwrap(), "signal 9");
        assert_eq!(shell("true", b"", LIMITS).await.unwrap().failure(), None);
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}; echo so far >&2; wait", pid.display());
        let limits = Limits { time: Duration::from_secs(1), ..LIMITS };
        let error = shell(&script, b"", limits).await.unwrap_err();
        assert_eq!(error.to_string(), "no end after 1s: so far");
        expect_ended(&pid);
    }

    #[tokio::test]
    async fn a_program_that_nobody_waits_for_any_more_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000", pid.display());
        let begun = async {
            while !pid.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            ran = shell(&script, b"", LIMITS) => panic!("{ran:?}"),
            () = begun => {}
        }
        expect_ended(&pid);
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        // One that keeps the output open does not hold it up either.
        let script = format!("sleep 1000 & echo $! > {}; echo done", pid.display());
        let ran = shell(&script, b"", LIMITS).await.unwrap();
        assert_eq!(ran.output, b"done\n");
        expect_ended(&pid);
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut_off() {
        let error = shell("yes", b"", LIMITS).await.unwrap_err();
        assert_eq!(error.to_string(), "its answer has more than 100 bytes");
        let ran = shell("yes why | head -c 1000000 >&2", b"", LIMITS).await.unwrap();
        assert!(ran.errors.starts_with("why why ") && ran.errors.len() <= MAX_ERRORS, "{}", ran.errors.len());
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_told() {
        let error = run(Command::new("/nowhere/at/all"), b"", LIMITS).await.unwrap_err();
        assert!(matches!(&error, Error::Start(why) if why.kind() == io::ErrorKind::NotFound), "{error:?}");
    }
}

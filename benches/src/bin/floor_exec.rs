//! The kernel floor of an exec: `floor_exec PID PROGRAM ARGUMENT`.
//!
//! For each line on standard input it runs the program once in the namespaces of a container's first process, and prints the
//! nanoseconds from the first system call to the program's end: setns (PID), clone3, setns (the others), execve, waitpid. It sets no
//! cgroup, identity, capability, limit or filter, and passes no descriptor: those are an agent's to pay for.

use std::ffi::CString;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use mkubelet_bench::clone::{Clone, clone};
use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::execve;

fn main() -> Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [pid, program, argument] = args.as_slice() else { bail!("usage: floor_exec PID PROGRAM ARGUMENT") };
    let target = pidfd_open(pid.parse()?)?;
    let own = File::open("/proc/self/ns/pid")?;
    let program = CString::new(program.as_str())?;
    let words = [program.clone(), CString::new(argument.as_str())?];
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        line?;
        let begin = Instant::now();
        setns(&target, CloneFlags::CLONE_NEWPID).context("setns of the children")?;
        let child = clone(CloneFlags::empty()).context("clone3")?;
        let Clone::Parent(child, _) = child else {
            let failed = become_program(&target, &program, &words);
            eprintln!("floor_exec: {failed:#}");
            std::process::exit(1);
        };
        setns(&own, CloneFlags::CLONE_NEWPID).context("setns back")?;
        let ended = waitpid(child, None)?;
        let took = begin.elapsed();
        ensure!(ended == WaitStatus::Exited(child, 0), "the program: {ended:?}");
        writeln!(out, "{}", took.as_nanos())?;
    }
    Ok(())
}

fn become_program(target: &OwnedFd, program: &CString, words: &[CString]) -> anyhow::Error {
    let namespaces = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWCGROUP;
    if let Err(errno) = setns(target.as_fd(), namespaces) {
        return anyhow::Error::new(errno).context("setns");
    }
    match execve(program, words, &[] as &[CString]) {
        Err(errno) => anyhow::Error::new(errno).context("execve"),
    }
}

#[allow(unsafe_code)]
fn pidfd_open(pid: libc::pid_t) -> Result<OwnedFd> {
    // JUSTIFICATION: nix has no pidfd_open.
    // SAFETY: it takes two numbers, and touches no memory of ours.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => Err(Errno::last()).with_context(|| format!("pidfd_open({pid})")),
        // SAFETY: the kernel has just made this descriptor, for us alone.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd)?) }),
    }
}

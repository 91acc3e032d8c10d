//! The last steps to a program: the same code for a container's first process and for each that is executed in it later,
//! so that neither can have more than the other (CVE-2022-29162).

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, SFlag, fstat, umask};
use nix::unistd::{Gid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, fchown, setsid};
use pathrs::Root;

use super::apparmor::OnExec;
use super::failure::{Failure, Step};
use super::spec::Process;
use super::user::Identity;
use super::{capabilities, exec, seccomp};
use crate::sys::process;

/// Leaves behind what a child has of its shim by birth: session, session keyring, signal actions.
pub fn leave_shim() -> Result<(), Failure> {
    setsid().step(|| "setsid")?;
    process::new_session_keyring().step(|| "join a new session keyring")?;
    process::reset_signals().step(|| "reset the signals")
}

/// The working directory inside the root. Magic links such as /proc/self/fd/3 are not followed (CVE-2024-21626).
pub fn working_directory(root: &Root, process: &Process) -> Result<OwnedFd, Failure> {
    let step = || format!("working directory {}", process.cwd.display());
    let found: OwnedFd = root.resolve(&process.cwd).step(step)?.into();
    if is(&found, SFlag::S_IFDIR).step(step)? {
        Ok(found)
    } else {
        Err(Failure::new(step(), "not a directory"))
    }
}

/// Makes these the standard streams. Pipes become the user's, who may want to open them again as /dev/stdout; `owner` is who
/// that is to the host.
pub fn standard_streams(streams: [BorrowedFd<'_>; 3], owner: (Uid, Gid)) -> Result<(), Failure> {
    for stream in streams {
        if is(&stream, SFlag::S_IFIFO).step(|| "fstat a standard stream")? {
            fchown(stream, Some(owner.0), Some(owner.1)).step(|| "chown a standard stream")?;
        }
    }
    set_standard_streams(streams)
}

/// Makes these the standard streams, as they are.
pub fn set_standard_streams([stdin, stdout, stderr]: [BorrowedFd<'_>; 3]) -> Result<(), Failure> {
    dup2_stdin(stdin).step(|| "set standard input")?;
    dup2_stdout(stdout).step(|| "set standard output")?;
    dup2_stderr(stderr).step(|| "set standard error")
}

/// Takes on identity and capabilities, gives up what would grant more, and executes the program; returns only when that
/// fails. The AppArmor profile comes with it.
pub fn become_program(
    process: &Process,
    identity: &Identity,
    _profile: OnExec,
) -> Result<Infallible, Failure> {
    let env = environment(process, identity);
    capabilities::change_identity(identity.uid, identity.gid, &identity.groups, &process.capabilities)?;
    // Again, for a change of identity sets it to what fs.suid_dumpable says: not even a process of the same user may look
    // into what is still a copy of the shim (CVE-2016-9962).
    prctl::set_dumpable(false).step(|| "PR_SET_DUMPABLE")?;
    // A shim that is killed takes its containers along; a change of identity would have cleared this.
    prctl::set_pdeathsig(Signal::SIGKILL).step(|| "PR_SET_PDEATHSIG")?;
    umask(Mode::from_bits_truncate(0o022));
    process::close_on_exec_from(3).step(|| "close_range")?;
    seccomp::restrict(process)?;
    exec::execute(&process.args, &env)
}

/// The environment as configured, with HOME from /etc/passwd when it names none.
fn environment(process: &Process, identity: &Identity) -> Vec<String> {
    let mut env = process.env.clone();
    if !env.iter().any(|entry| entry.starts_with("HOME=")) {
        env.push(format!("HOME={}", identity.home.as_deref().unwrap_or("/")));
    }
    env
}

fn is(fd: &impl AsFd, kind: SFlag) -> nix::Result<bool> {
    fstat(fd.as_fd()).map(|found| found.st_mode & SFlag::S_IFMT.bits() == kind.bits())
}

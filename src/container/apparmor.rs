//! The AppArmor profile that a process takes on with its program (aa_change_onexec(2)).

use std::io::Write;

use pathrs::flags::OpenFlags;
use pathrs::procfs::{ProcfsBase, ProcfsHandle};

use super::failure::{Failure, Step};
use super::spec::Process;

/// The next execve changes to the process's profile, if it has one. There is no other way to a program
/// ([`super::process::become_program`]).
#[derive(Debug)]
pub struct OnExec(());

/// Tells the kernel which profile comes with the next execve.
///
/// To be called while the process has no_new_privs and the filter of neither, and before it joins a user namespace: a kernel
/// may ask for CAP_MAC_OVERRIDE over the host before it lets go of `unconfined`.
pub fn change_on_exec(process: &Process) -> Result<OnExec, Failure> {
    let Some(profile) = &process.apparmor_profile else { return Ok(OnExec(())) };
    let step = || format!("change to the AppArmor profile {profile:?}");
    // A private procfs: nothing can stand in for the file, and swallow what is written (CVE-2019-16884, CVE-2019-19921).
    let procfs = ProcfsHandle::new().step(step)?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC | OpenFlags::O_NOFOLLOW;
    let mut file = procfs.open(ProcfsBase::ProcThreadSelf, "attr/apparmor/exec", flags).step(step)?;
    let command = format!("exec {profile}");
    // The kernel takes a page at most, as a command of its own: the beginning of a name is another name.
    let taken = file.write(command.as_bytes()).step(step)?;
    if taken == command.len() { Ok(OnExec(())) } else { Err(Failure::new(step(), "the name is too long")) }
}

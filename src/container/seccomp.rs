//! The filter of system calls that a process gets on its way to execve (seccomp(2)).

use libc::sock_filter;
use serde::{Deserialize, Serialize};

use super::capabilities;
use super::failure::{Failure, Step};
use super::spec::Process;
use crate::sys::seccomp;

/// A program for the kernel's classic BPF machine, which decides about each system call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Flags of seccomp(2).
    flags: u64,
    /// Instructions as the kernel's eight bytes each, read as a little-endian number: short as JSON.
    program: Vec<u64>,
}

impl Filter {
    /// A filter of these instructions.
    pub fn new(flags: u64, program: &[sock_filter]) -> Self {
        let pack = |i: &sock_filter| {
            u64::from(i.code) | u64::from(i.jt) << 16 | u64::from(i.jf) << 24 | u64::from(i.k) << 32
        };
        Self { flags, program: program.iter().map(pack).collect() }
    }

    /// A filter that allows these system calls, by their numbers on this machine, and denies all others with EPERM.
    pub fn allowing(calls: &[i64]) -> Self {
        const NATIVE: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
        let instruction = |code: u32, k, jt, jf| sock_filter { code: code as u16, jt, jf, k };
        let load = |offset| instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0);
        let answer = |value| instruction(libc::BPF_RET | libc::BPF_K, value, 0, 0);
        let equal = |value, when, unless| {
            instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, value, when, unless)
        };

        let deny = answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32);
        let mut program = vec![load(4), equal(NATIVE, 1, 0), deny, load(0)];
        for call in calls {
            program.extend([equal(*call as u32, 0, 1), answer(libc::SECCOMP_RET_ALLOW)]);
        }
        program.push(deny);
        Self::new(0, &program)
    }

    fn instructions(&self) -> Vec<sock_filter> {
        let unpack = |i: &u64| sock_filter {
            code: *i as u16,
            jt: (i >> 16) as u8,
            jf: (i >> 24) as u8,
            k: (i >> 32) as u32,
        };
        self.program.iter().map(unpack).collect()
    }
}

/// The last step before execve: capabilities, no_new_privs and filter, after an identity was taken on
/// ([`capabilities::change_identity`]).
///
/// The filter comes as late as it can, so that a profile needs to allow little but what the program itself does: with
/// no_new_privs last of all; without, while CAP_SYS_ADMIN is still there, so that capget(2) and capset(2) come after it.
pub fn restrict(process: &Process) -> Result<(), Failure> {
    if process.no_new_privileges {
        capabilities::limit(&process.capabilities)?;
        capabilities::no_new_privileges()?;
        return process.seccomp.as_ref().map_or(Ok(()), load);
    }
    if let Some(filter) = &process.seccomp {
        capabilities::raise_sys_admin()?;
        load(filter)?;
    }
    capabilities::limit(&process.capabilities)
}

/// Loads a filter, for this process and all that it will execute or clone. There is no way back.
///
/// Takes no_new_privs, or CAP_SYS_ADMIN in effect. From here on every step of the process needs the filter's permission.
pub fn load(filter: &Filter) -> Result<(), Failure> {
    seccomp::set_filter(filter.flags, &filter.instructions()).step(|| "load the seccomp filter")
}

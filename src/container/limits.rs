//! Resource limits of the process, and how likely the kernel is to pick it when memory runs out.

use std::io::Write;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use oci_spec::runtime::{PosixRlimit, PosixRlimitType};
use pathrs::flags::OpenFlags;
use pathrs::procfs::{ProcfsBase, ProcfsHandle};

use super::failure::{Failure, Step};

/// Sets rlimits. A hard limit above the caller's own takes CAP_SYS_RESOURCE, which some hosts withhold even from root:
/// then the limit is as high as the host allows.
pub fn set_rlimits(limits: &[PosixRlimit]) -> Result<(), Failure> {
    for limit in limits {
        let resource = resource(limit.typ())?;
        let name = limit.typ();
        let (soft, hard) = (limit.soft(), limit.hard());
        match setrlimit(resource, soft, hard) {
            Err(Errno::EPERM) => {
                let (_, ceiling) = getrlimit(resource).step(|| format!("getrlimit {name}"))?;
                setrlimit(resource, soft.min(ceiling), hard.min(ceiling))
            }
            result => result,
        }
        .step(|| format!("setrlimit {name}"))?;
    }
    Ok(())
}

/// Sets oom_score_adj of the calling process, through a private procfs, so that nothing can stand in for the file
/// (CVE-2019-16884). Lowering it takes CAP_SYS_RESOURCE: where the host withholds that, it stays as it was.
pub fn set_oom_score_adj(value: i32) -> Result<(), Failure> {
    let step = || format!("set oom_score_adj to {value}");
    let procfs = ProcfsHandle::new().step(step)?;
    let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC;
    let mut file = procfs.open(ProcfsBase::ProcSelf, "oom_score_adj", flags).step(step)?;
    match file.write_all(value.to_string().as_bytes()) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EACCES | libc::EPERM)) => Ok(()),
        result => result.step(step),
    }
}

fn resource(kind: PosixRlimitType) -> Result<Resource, Failure> {
    Ok(match kind {
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitData => Resource::RLIMIT_DATA,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        other => return Err(Failure::new("set the rlimits", format!("{other} is not supported"))),
    })
}

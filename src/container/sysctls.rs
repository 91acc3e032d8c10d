//! Kernel parameters of the namespaces that the calling process is in, sysctl(8).

use std::io::Write;

use pathrs::flags::OpenFlags;
use pathrs::procfs::{ProcfsBase, ProcfsHandle};

use super::failure::{Failure, Step};

/// Sets each of `(name, value)` in turn. In a name dots stand between words, and a slash for a dot inside a word.
///
/// Through a private procfs, so that nothing can stand in for the files (CVE-2019-16884).
pub fn set(sysctls: &[(String, String)]) -> Result<(), Failure> {
    if sysctls.is_empty() {
        return Ok(());
    }
    let procfs = ProcfsHandle::new().step(|| "open procfs")?;
    for (name, value) in sysctls {
        let step = || format!("set the sysctl {name} to {value:?}");
        let path = path(name).ok_or_else(|| Failure::new(step(), "not the name of a sysctl"))?;
        // The kernel reads one line: what would follow is not for it.
        if value.contains(['\n', '\0']) {
            return Err(Failure::new(step(), "the value is not one line"));
        }
        let flags = OpenFlags::O_WRONLY | OpenFlags::O_CLOEXEC | OpenFlags::O_NOFOLLOW;
        let mut file = procfs.open(ProcfsBase::ProcRoot, path, flags).step(step)?;
        file.write_all(value.as_bytes()).step(step)?;
    }
    Ok(())
}

/// The file below /proc. None of its parts leads up or aside.
fn path(name: &str) -> Option<String> {
    let parts: Vec<String> = name.split('.').map(|part| part.replace('/', ".")).collect();
    let is_fine = |part: &String| !part.trim_matches('.').is_empty() && !part.contains('\0');
    parts.iter().all(is_fine).then(|| format!("sys/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_file_below_proc_sys() {
        for (name, expected) in [
            ("net.ipv4.tcp_syncookies", Some("sys/net/ipv4/tcp_syncookies")),
            ("net.ipv4.conf.eth0/1.forwarding", Some("sys/net/ipv4/conf/eth0.1/forwarding")),
            ("", None),
            ("net..core", None),
            ("net.//.core", None),
            (".net", None),
        ] {
            assert_eq!(path(name).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn a_sysctl_that_cannot_be_set_is_named() {
        let set = |name: &str, value: &str| set(&[(name.to_owned(), value.to_owned())]).unwrap_err().step;
        assert_eq!(set("net.ipv4.no_such", "1"), r#"set the sysctl net.ipv4.no_such to "1""#);
        assert_eq!(
            set("kernel.shm_rmid_forced", "1\n2"),
            r#"set the sysctl kernel.shm_rmid_forced to "1\n2""#
        );
    }
}

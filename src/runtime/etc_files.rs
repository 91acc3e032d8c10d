//! The three files of /etc that the pod's containers share: hosts, hostname, resolv.conf.

mod hosts;
mod resolv_conf;

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use resolv_conf::{Cluster, Resolver};

use super::host_name;
use super::oci::NodeFacts;
use crate::config::Layout;
use crate::failpoint;
use crate::pod::Pod;

/// Where the node's resolvers may be found; the first that a pod can use is taken.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// systemd-resolved listens there, on the node alone.
const STUB: &str = "127.0.0.53";

/// Read of a file of the host at most, bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Why the files could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call failed.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host's resolv.conf does not say what it should.
    #[error("read the host's resolv.conf: {0}")]
    Resolvers(String),
}

/// Writes the files; `hostname` is what the kernel tells in the pod. The pod's directory exists.
pub fn write(
    pod: &Pod,
    hostname: &str,
    address: Option<Ipv4Addr>,
    layout: &Layout,
    node: &NodeFacts,
) -> Result<(), Error> {
    let aliases = &pod.spec.host_aliases;
    let hosts = match address {
        Some(ip) => {
            let domain = host_name::domain(pod, node);
            hosts::of_pod(ip.into(), &pod.spec.hostname, domain.as_deref(), aliases)
        }
        None => hosts::of_host(&read(Path::new("/etc/hosts")).unwrap_or_default(), aliases),
    };
    write_file(&layout.etc_hosts(&pod.uid), &hosts)?;
    write_file(&layout.etc_hostname(&pod.uid), format!("{hostname}\n").as_bytes())?;
    write_file(&layout.resolv_conf(&pod.uid), resolver(pod, node)?.to_text().as_bytes())
}

/// The pod's resolver. Tells what was left out of it.
fn resolver(pod: &Pod, node: &NodeFacts) -> Result<Resolver, Error> {
    let host = resolv_conf(&RESOLVERS.map(PathBuf::from));
    let host = Resolver::parse(&String::from_utf8_lossy(&host));
    let host = host.map_err(|error| Error::Resolvers(error.to_string()))?;
    let cluster = Cluster { dns: &node.cluster_dns, domain: &node.cluster_domain };
    if resolv_conf::wants_cluster(pod) && node.cluster_dns.is_empty() {
        // As common here as it is odd in a cluster, where a kubelet warns.
        tracing::info!(pod = %pod.key, podUID = %pod.uid, "MissingClusterDNS: falling back to the Default policy");
    }
    let (resolver, warnings) = resolv_conf::of_pod(pod, host, cluster);
    for warning in warnings {
        tracing::warn!(pod = %pod.key, podUID = %pod.uid, "DNSConfigForming: {warning}");
    }
    Ok(resolver)
}

/// The first of the files that does not send the pod to the node's loopback; nothing if there is none.
fn resolv_conf(candidates: &[PathBuf]) -> Vec<u8> {
    let usable = |text: &Vec<u8>| {
        let text = String::from_utf8_lossy(text);
        let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
        !servers.any(|server| server.trim() == STUB)
    };
    candidates.iter().filter_map(|path| read(path).ok()).find(usable).unwrap_or_default()
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Writes in place: the file is bind-mounted into containers, so it must stay the same file.
fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    if is_same(path, bytes) {
        return Ok(());
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o644).custom_flags(libc::O_NOFOLLOW);
    let mut file = options.open(path).map_err(failed)?;
    failpoint::reached("etc.created");
    file.write_all(bytes).map_err(failed)
}

/// True if the file has exactly these bytes. A container may have written to it: no more is read than makes the difference.
fn is_same(path: &Path, bytes: &[u8]) -> bool {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else { return false };
    let mut old = Vec::new();
    file.take(bytes.len() as u64 + 1).read_to_end(&mut old).is_ok() && old == bytes
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    #[test]
    fn a_pod_knows_its_own_name_and_address() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "/run", "/log");
        let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
        fs::create_dir_all(layout.pod(&pod.uid)).unwrap();
        let node = NodeFacts { cluster_domain: "local".into(), ..NodeFacts::default() };
        pod.spec.subdomain = Some("db".into());
        write(&pod, "web.db.default.svc.local", Some([10, 85, 0, 2].into()), &layout, &node).unwrap();
        let hosts = fs::read_to_string(layout.etc_hosts(&pod.uid)).unwrap();
        assert!(hosts.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"), "{hosts}");
        assert!(hosts.ends_with("\n10.85.0.2\tweb.db.default.svc.local\tweb\n"), "{hosts}");
        let hostname = fs::read_to_string(layout.etc_hostname(&pod.uid)).unwrap();
        assert_eq!(hostname, "web.db.default.svc.local\n");
        assert!(layout.resolv_conf(&pod.uid).exists());
    }

    #[test]
    fn what_a_container_wrote_into_a_file_of_the_pods_is_replaced_however_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        for old in [&b""[..], b"new\n", b"new", b"new\nand more"] {
            fs::write(&path, old).unwrap();
            write_file(&path, b"new\n").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"new\n");
        }
        // More than any memory holds.
        fs::File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        write_file(&path, b"new\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
    }

    #[test]
    fn a_stub_resolver_is_passed_over_and_none_at_all_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let (stub, real) = (dir.path().join("stub"), dir.path().join("real"));
        fs::write(&stub, "nameserver 127.0.0.53\noptions edns0\n").unwrap();
        assert_eq!(resolv_conf(&[stub.clone(), real.clone()]), b"");
        fs::write(&real, "nameserver 192.0.2.1\n").unwrap();
        assert_eq!(resolv_conf(&[stub, real]), b"nameserver 192.0.2.1\n");
    }
}

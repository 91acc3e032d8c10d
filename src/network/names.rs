//! Names and hardware addresses: all derived, so that any agent finds what another one made.

use std::net::Ipv4Addr;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::Error;
use crate::pod::PodUid;

/// Longest name of an interface, without the NUL (IFNAMSIZ - 1).
const NAME_MAX: usize = 15;

/// Longest alias of an interface, without the NUL (IFALIASZ - 1).
const ALIAS_MAX: usize = 255;

/// What all our nftables tables start with.
pub(super) const TABLE_PREFIX: &str = "mkubelet_";

/// Checks a bridge's name as the kernel would (dev_valid_name), so that the error comes before anything is made.
pub(super) fn check_bridge(name: &str) -> Result<(), Error> {
    let fits = (1..=NAME_MAX).contains(&name.len()) && name != "." && name != "..";
    // The kernel takes '%' for a template of a name to be numbered.
    let refused = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':' | '%');
    if fits && !name.contains(refused) { Ok(()) } else { Err(Error::BridgeName(name.to_owned())) }
}

/// The host's end of a pod's veth pair: `mk` and 13 hexadecimal digits of a SHA-256.
///
/// The bridge is part of it: two agents on one host may run pods of the same uid, made from the same manifest.
pub(super) fn veth(bridge: &str, uid: &PodUid) -> String {
    let mut name = String::with_capacity(NAME_MAX + 1);
    name.push_str("mk");
    for byte in Sha256::digest(format!("{bridge}/{uid}")).iter().take(7) {
        name.push_str(&format!("{byte:02x}"));
    }
    name.truncate(NAME_MAX);
    name
}

/// The nftables table of a bridge's pods.
pub(super) fn table(bridge: &str) -> String {
    format!("{TABLE_PREFIX}{bridge}")
}

/// The mark on a bridge that says who made it: `mkubelet <run directory>`.
pub(super) fn alias(run: &Path) -> String {
    let run = std::path::absolute(run).unwrap_or_else(|_| run.to_owned());
    let mut alias = format!("mkubelet {}", run.display());
    let mut end = alias.len().min(ALIAS_MAX);
    while !alias.is_char_boundary(end) {
        end -= 1;
    }
    alias.truncate(end);
    alias
}

/// A locally administered address that follows from the IP: a pod whose sandbox restarts, and a bridge that is made
/// anew, keep theirs, so nobody's neighbour cache goes stale.
pub(super) fn mac(ip: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = ip.octets();
    [0x02, 0x6b, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_name_is_refused_where_the_kernel_would_refuse_it() {
        for good in ["mkubelet0", "a", "br-1.2", "fifteen-bytes-x"] {
            assert!(check_bridge(good).is_ok(), "{good:?}");
        }
        for bad in ["", ".", "..", "sixteen-bytes-xx", "a/b", "a:b", "a b", "a\n", "br%d", "a\0"] {
            assert!(check_bridge(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_veth_name_is_the_pods_own_and_fits() {
        let name = |bridge: &str, uid: &str| veth(bridge, &uid.parse().unwrap());
        assert_eq!(name("mkubelet0", "a"), "mkaa660c04bb03a");
        assert_ne!(name("mkubelet0", "a"), name("mkubelet0", "b"));
        assert_ne!(name("mkubelet0", "a"), name("mkubelet1", "a"));
        assert_eq!(name("b", &"x".repeat(63)).len(), NAME_MAX);
    }

    #[test]
    fn an_alias_names_the_run_directory_and_fits() {
        assert_eq!(alias(Path::new("/run/mkubelet")), "mkubelet /run/mkubelet");
        assert!(alias(Path::new(&format!("/{}", "ä".repeat(300)))).len() <= ALIAS_MAX);
    }

    #[test]
    fn a_hardware_address_is_unicast_local_and_follows_the_ip() {
        let mac = mac(Ipv4Addr::new(10, 85, 0, 2));
        assert_eq!(mac, [0x02, 0x6b, 10, 85, 0, 2]);
        assert_eq!(mac[0] & 0b11, 0b10);
    }
}

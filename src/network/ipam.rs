//! Addresses in use: one file each, named after the address and holding the pod's uid.
//!
//! Everything here happens under the network lock. A crash leaves at worst a file without a uid, or of a pod whose run
//! directory is gone; both are taken back by the next reader. Nothing else needs to be remembered but the address that
//! was given last: the next search starts behind it, so an address that was just freed is not given to a stranger at
//! once, while others still talk to the one before.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use ipnet::Ipv4Net;

use super::Error;
use crate::config::Layout;
use crate::failpoint;
use crate::pod::PodUid;

/// Holds the address that was given last. Not an address itself, so no address file can have this name.
const LAST: &str = "last";

/// The directory of addresses.
#[derive(Debug)]
pub(super) struct Leases {
    layout: Layout,
}

/// What the directory says.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    /// Addresses of pods that exist.
    pub(super) held: BTreeMap<Ipv4Addr, PodUid>,
    /// Pods that were gone, and whose addresses were taken back just now.
    pub(super) reclaimed: Vec<PodUid>,
}

/// The bridge's address: the first of a host in the CIDR.
pub(super) fn gateway(cidr: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(cidr.network().to_bits().wrapping_add(1))
}

/// How many pods have room: all but network, bridge and broadcast.
pub(super) fn capacity(cidr: Ipv4Net) -> u32 {
    let addresses = 1u64 << (32 - u32::from(cidr.prefix_len()));
    u32::try_from(addresses.saturating_sub(3)).unwrap_or(u32::MAX)
}

/// True if the address may be a pod's.
pub(super) fn is_pods(cidr: Ipv4Net, address: Ipv4Addr) -> bool {
    address > gateway(cidr) && address < cidr.broadcast()
}

/// The first free address behind `last`, going round.
pub(super) fn choose(
    cidr: Ipv4Net,
    last: Option<Ipv4Addr>,
    taken: impl Fn(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let first = gateway(cidr).to_bits().wrapping_add(1);
    let capacity = capacity(cidr);
    let start = match last {
        Some(last) if is_pods(cidr, last) => last.to_bits() - first + 1,
        _ => 0,
    };
    (0..capacity)
        .map(|step| {
            Ipv4Addr::from_bits(first + ((u64::from(start) + u64::from(step)) % u64::from(capacity)) as u32)
        })
        .find(|address| !taken(*address))
}

impl Leases {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// Reads all, and takes back what belongs to nobody any more.
    pub(super) fn read(&self) -> Result<Inventory, Error> {
        let mut inventory = Inventory::default();
        let dir = self.layout.ipam();
        let entries = match fs::read_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(inventory),
            entries => entries.map_err(Error::file("list", &dir))?,
        };
        for entry in entries {
            let path = entry.map_err(Error::file("list", &dir))?.path();
            let Some(address) = path.file_name().and_then(|name| name.to_str()?.parse().ok()) else {
                continue;
            };
            let content = fs::read(&path).map_err(Error::file("read", &path))?;
            // What is no text is no uid either.
            match String::from_utf8_lossy(&content).trim_end().parse::<PodUid>() {
                Ok(uid) if self.exists(&uid) => {
                    inventory.held.insert(address, uid);
                }
                uid => {
                    fs::remove_file(&path).map_err(Error::file("remove", &path))?;
                    inventory.reclaimed.extend(uid);
                }
            }
        }
        Ok(inventory)
    }

    /// True if the address is the pod's.
    pub(super) fn is_holder(&self, address: Ipv4Addr, uid: &PodUid) -> bool {
        let content = fs::read_to_string(self.layout.ipam().join(address.to_string()));
        content.is_ok_and(|content| content.trim_end() == uid.as_str())
    }

    /// Gives the pod an address that is not in `inventory`.
    pub(super) fn take(&self, cidr: Ipv4Net, uid: &PodUid, inventory: &Inventory) -> Result<Ipv4Addr, Error> {
        let dir = self.layout.ipam();
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => made.map_err(Error::file("mkdir", &dir))?,
        }
        let last = dir.join(LAST);
        let previous = fs::read_to_string(&last).ok().and_then(|text| text.trim_end().parse().ok());
        let address = choose(cidr, previous, |address| inventory.held.contains_key(&address))
            .ok_or(Error::Exhausted { cidr, size: capacity(cidr) })?;

        let path = dir.join(address.to_string());
        let mut file = File::create_new(&path).map_err(Error::file("create", &path))?;
        failpoint::reached("ipam.created");
        writeln!(file, "{uid}").map_err(Error::file("write", &path))?;
        failpoint::reached("ipam.written");
        fs::write(&last, format!("{address}\n")).map_err(Error::file("write", &last))?;
        failpoint::reached("ipam.noted");
        Ok(address)
    }

    /// Gives an address back.
    pub(super) fn give_back(&self, address: Ipv4Addr) -> Result<(), Error> {
        self.remove(self.layout.ipam().join(address.to_string()))
    }

    /// Removes the directory, once no address is in use.
    pub(super) fn close(&self) -> Result<(), Error> {
        let dir = self.layout.ipam();
        self.remove(dir.join(LAST))?;
        match fs::remove_dir(&dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::file("rmdir", &dir)),
        }
    }

    /// A pod is there as long as its run directory is. When in doubt (EACCES, EIO), its address is kept.
    fn exists(&self, uid: &PodUid) -> bool {
        !matches!(fs::symlink_metadata(self.layout.run_pod(uid)), Err(e) if e.kind() == ErrorKind::NotFound)
    }

    fn remove(&self, path: PathBuf) -> Result<(), Error> {
        match fs::remove_file(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(Error::file("remove", path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    /// CIDR, given last, taken, and what is chosen.
    type Case = (&'static str, Option<&'static str>, &'static [&'static str], Option<&'static str>);

    #[test]
    fn the_next_address_is_the_first_free_one_behind_the_last() {
        let cases: &[Case] = &[
            ("10.85.0.0/16", None, &[], Some("10.85.0.2")),
            ("10.85.0.0/16", Some("10.85.0.2"), &[], Some("10.85.0.3")),
            ("10.85.0.0/16", Some("10.85.0.2"), &["10.85.0.3", "10.85.0.4"], Some("10.85.0.5")),
            ("10.85.0.0/16", Some("10.85.0.255"), &[], Some("10.85.1.0")),
            // round
            ("10.85.0.0/16", Some("10.85.255.254"), &[], Some("10.85.0.2")),
            ("10.85.0.0/29", Some("10.85.0.5"), &["10.85.0.6", "10.85.0.2"], Some("10.85.0.3")),
            // never network, bridge or broadcast
            ("10.85.0.0/29", Some("10.85.0.6"), &["10.85.0.2", "10.85.0.3", "10.85.0.4"], Some("10.85.0.5")),
            ("10.85.0.0/30", None, &[], Some("10.85.0.2")),
            ("10.85.0.0/30", Some("10.85.0.2"), &[], Some("10.85.0.2")),
            // a last one of another CIDR, or nonsense
            ("10.85.0.0/24", Some("10.86.0.9"), &[], Some("10.85.0.2")),
            ("10.85.0.0/24", Some("10.85.0.1"), &[], Some("10.85.0.2")),
            ("10.85.0.0/24", Some("10.85.0.255"), &[], Some("10.85.0.2")),
            // a CIDR that was written with a host's address in it
            ("10.85.0.77/24", None, &[], Some("10.85.0.2")),
            // the ends of the address space
            ("255.255.255.248/29", Some("255.255.255.254"), &[], Some("255.255.255.250")),
            ("0.0.0.0/0", Some("255.255.255.254"), &[], Some("0.0.0.2")),
            // full
            ("10.85.0.0/30", None, &["10.85.0.2"], None),
        ];
        for (range, last, taken, expected) in cases {
            let taken: Vec<Ipv4Addr> = taken.iter().map(|text| text.parse().unwrap()).collect();
            let last = last.map(|text| text.parse().unwrap());
            let chosen = choose(cidr(range), last, |address| taken.contains(&address));
            assert_eq!(chosen, expected.map(|text| text.parse().unwrap()), "{range} {last:?} {taken:?}");
        }
    }

    #[test]
    fn capacity_counts_what_is_left_for_pods() {
        for (range, pods) in [("10.0.0.0/30", 1), ("10.0.0.0/24", 253), ("10.0.0.0/16", 65533)] {
            assert_eq!(capacity(cidr(range)), pods, "{range}");
        }
    }

    struct World {
        _dir: tempfile::TempDir,
        layout: Layout,
        leases: Leases,
    }

    fn world(pods: &[&str]) -> World {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path().join("root"), dir.path().join("run"), dir.path().join("log"));
        for pod in pods {
            fs::create_dir_all(layout.run_pod(&pod.parse().unwrap())).unwrap();
        }
        World { _dir: dir, leases: Leases::new(layout.clone()), layout }
    }

    #[test]
    fn a_freed_address_is_not_given_to_the_next_pod() {
        let world = world(&["a", "b"]);
        let range = cidr("10.85.0.0/24");
        let take = |uid: &str| {
            let inventory = world.leases.read().unwrap();
            world.leases.take(range, &uid.parse().unwrap(), &inventory).unwrap().to_string()
        };
        assert_eq!(take("a"), "10.85.0.2");
        world.leases.give_back("10.85.0.2".parse().unwrap()).unwrap();
        assert_eq!(take("b"), "10.85.0.3");
        world.leases.give_back("10.85.0.3".parse().unwrap()).unwrap();
        world.leases.close().unwrap();
        assert!(!world.layout.ipam().exists());
    }

    #[test]
    fn addresses_of_nobody_are_taken_back() {
        let world = world(&["alive"]);
        fs::create_dir_all(world.layout.ipam()).unwrap();
        for (name, content) in [
            ("10.85.0.2", "alive\n"),
            ("10.85.0.3", "dead\n"),
            ("10.85.0.4", ""),
            ("10.85.0.5", "../x"),
            ("note", ""),
        ] {
            fs::write(world.layout.ipam().join(name), content).unwrap();
        }
        fs::write(world.layout.ipam().join("10.85.0.6"), b"\xff\xfe").unwrap();
        let inventory = world.leases.read().unwrap();
        assert_eq!(inventory.held.len(), 1);
        assert_eq!(inventory.reclaimed, ["dead".parse().unwrap()]);
        let mut left: Vec<_> =
            fs::read_dir(world.layout.ipam()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["10.85.0.2", "note"]);
    }

    #[test]
    fn exhaustion_says_how_many_there_are() {
        let world = world(&["a", "b"]);
        let range = cidr("10.85.0.0/30");
        world.leases.take(range, &"a".parse().unwrap(), &Inventory::default()).unwrap();
        let inventory = world.leases.read().unwrap();
        let error = world.leases.take(range, &"b".parse().unwrap(), &inventory).unwrap_err();
        assert_eq!(error.to_string(), "no address is left in pod CIDR 10.85.0.0/30: all 1 are in use");
    }
}

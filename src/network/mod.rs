//! The pod network: one bridge, a veth pair per pod, addresses from the pod CIDR, masquerade.
//!
//! ```text
//!    pod's namespace            host                                     world
//!   ┌───────────────┐
//!   │ eth0 10.85.0.2├──veth──┐
//!   └───────────────┘   ┌────┴─────────────┐   forward, masquerade    ┌──────┐
//!                       │ bridge 10.85.0.1 ├──────────────────────────┤ eth0 ├──
//!   ┌───────────────┐   └────┬─────────────┘                          └──────┘
//!   │ eth0 10.85.0.3├──veth──┘
//!   └───────────────┘
//! ```
//!
//! All by netlink, from this process: no program is run. Names are derived (`names`), so every agent finds what another
//! one made, and what is there is asked of the kernel. The only thing on disk is who holds which address (`ipam`).
//!
//! Agents of one run directory share bridge, table and addresses, and change them under its network lock. A pod that
//! holds an address keeps the bridge in place, and the last address given back takes bridge and table with it. Pairs of
//! veth interfaces are each pod's own, and need no lock.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::Ipv4Net;

use crate::config::{Config, Layout};
use crate::failpoint;
use crate::pod::PodUid;

mod address;
mod bridge;
mod conflict;
mod error;
mod forwarding;
mod ipam;
mod link;
mod lock;
pub mod loopback;
mod names;
mod netlink;
mod nft;
mod veth;
mod visit;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use loopback::LoopbackError;

use bridge::Bridge;
use ipam::{Inventory, Leases};
use lock::Lock;
use netlink::Socket;
use nft::Table;
use veth::Pair;

/// A pod's place in the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PodAddress {
    /// The pod's own address, for the life of the pod.
    pub ip: Ipv4Addr,
    /// Length of the pod CIDR's prefix, in bits.
    pub prefix_len: u8,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
}

/// The pods' network as one agent sees it. Clones are cheap, and may be used from any number of tasks at once.
#[derive(Debug, Clone)]
pub struct Network {
    host: Arc<Host>,
}

impl Network {
    /// The network that `config` describes. Makes nothing yet.
    ///
    /// # Errors
    /// A bridge name that the kernel would refuse, or a CIDR without room for a pod.
    pub fn new(config: &Config) -> Result<Self, Error> {
        Ok(Self { host: Arc::new(Host::new(config)?) })
    }

    /// Gives the pod an address, or tells the one that it holds: it is the pod's until [`detach`](Self::detach), whatever
    /// restarts in between, for as long as the pod's run directory exists.
    ///
    /// # Errors
    /// No address left; no run directory; one held under another CIDR; input and output.
    pub async fn allocate(&self, uid: &PodUid) -> Result<PodAddress, Error> {
        let uid = uid.clone();
        self.blocking(move |host| host.allocate(&uid)).await
    }

    /// Connects a pod's network namespace: `lo` and `eth0` up, with address and default route; packets pass when this
    /// returns. `sysctls` are kernel parameters of `eth0` (see [`is_of_interface`](Self::is_of_interface)), name and value, set
    /// before packets pass. Allocates the address if that has not happened, makes bridge and table if they are not there, and leaves
    /// an intact connection as it is.
    ///
    /// # Errors
    /// Whatever keeps the pod from being connected: an interface of the bridge's name that is not ours, a pod CIDR that
    /// is in use, a request that the kernel refuses.
    pub async fn attach(
        &self,
        uid: &PodUid,
        netns: OwnedFd,
        sysctls: Vec<(String, String)>,
    ) -> Result<(), Error> {
        let uid = uid.clone();
        self.blocking(move |host| host.attach(&uid, &netns, &sysctls)).await
    }

    /// True for a kernel parameter of the pod's interface, which [`attach`](Self::attach) makes: nobody can set it before. Its
    /// name has dots between words.
    pub fn is_of_interface(sysctl: &str) -> bool {
        veth::is_of_interface(sysctl)
    }

    /// Disconnects a pod and takes its address back; with the last address go bridge and table. Fine when there is
    /// nothing (left) to do.
    ///
    /// # Errors
    /// A request that the kernel refuses; input and output. Calling again continues where it ended.
    pub async fn detach(&self, uid: &PodUid) -> Result<(), Error> {
        let uid = uid.clone();
        self.blocking(move |host| host.detach(&uid)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Host) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let host = self.host.clone();
        let done = tokio::task::spawn_blocking(move || work(&host)).await;
        done.unwrap_or_else(|e| Err(Error::Thread { source: e.into() }))
    }
}

/// The same, on a thread that may block, in whose network namespace the bridge is.
#[derive(Debug)]
struct Host {
    layout: Layout,
    cidr: Ipv4Net,
    bridge: Bridge,
    table: Table,
    leases: Leases,
    /// Addresses that this agent gave or looked up, so that it need not read all files again.
    known: Mutex<HashMap<PodUid, PodAddress>>,
}

impl Host {
    fn new(config: &Config) -> Result<Self, Error> {
        let cidr = config.pod_cidr.trunc();
        names::check_bridge(&config.bridge)?;
        if cidr.prefix_len() > 30 {
            return Err(Error::CidrTooSmall(cidr));
        }
        let layout = config.layout.clone();
        let bridge = Bridge {
            name: config.bridge.clone(),
            alias: names::alias(layout.run()),
            gateway: ipam::gateway(cidr),
            cidr,
        };
        let table = Table::new(names::table(&bridge.name), bridge.name.clone(), cidr, layout.run());
        Ok(Self { leases: Leases::new(layout.clone()), layout, cidr, bridge, table, known: Mutex::default() })
    }

    fn allocate(&self, uid: &PodUid) -> Result<PodAddress, Error> {
        let known = self.known().get(uid).copied();
        if let Some(address) = known
            && self.leases.is_holder(address.ip, uid)
        {
            return Ok(address);
        }
        let path = self.layout.run_pod(uid);
        if !path.is_dir() {
            return Err(Error::NoRunDirectory { uid: uid.clone(), path });
        }
        let _lock = self.lock()?;
        let inventory = self.inventory()?;
        let ip = match inventory.held.iter().find(|(_, holder)| *holder == uid) {
            Some((address, _)) if ipam::is_pods(self.cidr, *address) => *address,
            Some((address, _)) => {
                return Err(Error::LeaseOutside { uid: uid.clone(), address: *address, cidr: self.cidr });
            }
            None => self.leases.take(self.cidr, uid, &inventory)?,
        };
        let address = PodAddress { ip, prefix_len: self.cidr.prefix_len(), gateway: self.bridge.gateway };
        self.known().insert(uid.clone(), address);
        Ok(address)
    }

    fn attach(&self, uid: &PodUid, netns: &OwnedFd, sysctls: &[(String, String)]) -> Result<(), Error> {
        let address = self.allocate(uid)?;
        let mut route = Socket::route()?;
        let bridge = self.ensure(&mut route)?;
        Pair { host: &self.veth(uid), bridge, address, sysctls }.connect(&mut route, netns)
    }

    fn detach(&self, uid: &PodUid) -> Result<(), Error> {
        let mut route = Socket::route()?;
        link::delete(&mut route, &self.veth(uid))?;
        failpoint::reached("removal.cable_removed");
        self.known().remove(uid);
        let Some(lock) = Lock::acquire(&self.layout.network_lock())? else { return Ok(()) };
        let mut inventory = self.inventory()?;
        let own: Vec<_> =
            inventory.held.iter().filter(|(_, holder)| *holder == uid).map(|(ip, _)| *ip).collect();
        for ip in own {
            self.leases.give_back(ip)?;
            failpoint::reached("removal.address_released");
            inventory.held.remove(&ip);
        }
        if inventory.held.is_empty() { self.tear_down(&mut route, lock) } else { Ok(()) }
    }

    /// Index of the bridge; makes bridge and table unless they are there.
    fn ensure(&self, route: &mut Socket) -> Result<i32, Error> {
        let mut netfilter = Socket::netfilter()?;
        // Without the lock something half made or half removed may be found: only what is whole counts.
        if let Ok(Some(index)) = self.bridge.find(route)
            && self.table.exists(&mut netfilter)?
        {
            return Ok(index);
        }
        let _lock = self.lock()?;
        let existing = self.bridge.find(route)?;
        if existing.is_none() {
            let links = link::all(route)?;
            let addresses = address::addresses(route)?;
            conflict::check(self.cidr, &self.bridge.name, &links, &addresses, &address::routes(route)?)?;
        }
        if !self.table.exists(&mut netfilter)? || existing.is_none() {
            self.table.install(&mut netfilter)?;
            failpoint::reached("network.table_made");
        }
        match existing {
            Some(index) => Ok(index),
            None => self.bridge.create(route),
        }
    }

    /// Takes away all that pods share. The reverse of making it: whoever finds the bridge finds the table.
    fn tear_down(&self, route: &mut Socket, lock: Lock) -> Result<(), Error> {
        self.leases.close()?;
        failpoint::reached("removal.leases_removed");
        if self.bridge.remove(route)? {
            failpoint::reached("removal.bridge_removed");
            self.table.remove(&mut Socket::netfilter()?)?;
            failpoint::reached("removal.table_removed");
        }
        lock.remove()
    }

    /// Who holds what. Pods that are gone without having said so lose their address, and their cable.
    fn inventory(&self) -> Result<Inventory, Error> {
        let inventory = self.leases.read()?;
        for gone in &inventory.reclaimed {
            tracing::info!(pod = %gone, "took back the address of a pod that is gone");
            link::delete(&mut Socket::route()?, &self.veth(gone))?;
        }
        Ok(inventory)
    }

    fn veth(&self, uid: &PodUid) -> String {
        names::veth(&self.bridge.name, uid)
    }

    fn lock(&self) -> Result<Lock, Error> {
        let path = self.layout.network_lock();
        let gone = || std::io::Error::from(std::io::ErrorKind::NotFound);
        Lock::acquire(&path)?.ok_or_else(|| Error::file("open", path)(gone()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<PodUid, PodAddress>> {
        // A map of plain values is whole after every call; a panic elsewhere does not spoil it.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

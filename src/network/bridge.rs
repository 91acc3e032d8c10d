//! The bridge: the pods' switch, and their gateway.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netlink_bindings::rt_link::{Ifinfomsg, Request};
use nix::errno::Errno;

use super::link::{self, Link};
use super::netlink::{Batch, Socket};
use super::{Error, address, names};
use crate::failpoint;

/// The bridge as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridge {
    pub(super) name: String,
    /// Says whose it is.
    pub(super) alias: String,
    pub(super) gateway: Ipv4Addr,
    pub(super) cidr: Ipv4Net,
}

impl Bridge {
    /// The index of the bridge if it is there, ours and complete; an error if something else has its name.
    pub(super) fn find(&self, socket: &mut Socket) -> Result<Option<i32>, Error> {
        let Some(link) = link::by_name(socket, &self.name)? else { return Ok(None) };
        if let Some(reason) = self.is_foreign(&link) {
            return Err(Error::ForeignBridge { name: self.name.clone(), reason });
        }
        let mut found = None;
        for it in address::addresses(socket)?.iter().filter(|it| it.interface == link.index) {
            if (it.address, it.network.prefix_len()) == (self.gateway, self.cidr.prefix_len()) {
                return Ok(Some(link.index));
            }
            found = Some(format!("{}/{}", it.address, it.network.prefix_len()));
        }
        match found {
            // Its maker died halfway.
            None => Ok(None),
            Some(found) => {
                let expected = format!("{}/{}", self.gateway, self.cidr.prefix_len());
                let reason = format!("has address {found}, where {expected} is expected");
                Err(Error::ForeignBridge { name: self.name.clone(), reason })
            }
        }
    }

    /// Makes the bridge, or completes it. A bridge that has its address is complete.
    pub(super) fn create(&self, socket: &mut Socket) -> Result<i32, Error> {
        let mut batch = Batch::default();
        let mut request = Request::new().set_create().op_newlink_do(&Ifinfomsg::default());
        request
            .encode()
            .push_ifname_bytes(self.name.as_bytes())
            // A bridge without an address of its own takes that of a port, and changes it as ports come and go, under
            // the feet of every pod that has the gateway in its neighbour cache.
            .push_address(&names::mac(self.gateway))
            .nested_linkinfo()
            .nested_data_bridge()
            // A port forwards at once: there are no loops to look for.
            .push_forward_delay(0)
            .push_stp_state(0);
        batch.add(format!("create bridge {}", self.name), &request);
        // In the same system call: an agent that is killed leaves no bridge without a mark. Others may see one, though, for
        // the instant between the two: whoever does not hold the lock must not judge by it.
        let mut request = Request::new().op_setlink_do(&Ifinfomsg::default());
        request.encode().push_ifname_bytes(self.name.as_bytes()).push_ifalias_bytes(self.alias.as_bytes());
        batch.add(format!("set alias of {}", self.name), &request);
        socket.execute(batch)?;
        failpoint::reached("network.bridge_made");

        let created = link::by_name(socket, &self.name)?;
        let index = created.map(|link| link.index);
        let index =
            index.ok_or_else(|| Error::kernel(format!("get interface {}", self.name))(Errno::ENODEV))?;
        let mut batch = Batch::default();
        batch.add(format!("set {} up", self.name), &Request::new().op_setlink_do(&link::up(index)));
        address::assign(&mut batch, index, self.gateway, self.cidr.prefix_len());
        socket.execute(batch)?;
        failpoint::reached("network.bridge_ready");
        Ok(index)
    }

    /// Deletes the bridge if it is ours and nothing is plugged in any more. True if there is none now.
    pub(super) fn remove(&self, socket: &mut Socket) -> Result<bool, Error> {
        let Some(bridge) = link::by_name(socket, &self.name)? else { return Ok(true) };
        if let Some(reason) = self.is_foreign(&bridge) {
            tracing::warn!(bridge = self.name, reason, "left alone");
            return Ok(false);
        }
        let links = link::all(socket)?;
        if let Some(port) = links.iter().find(|it| it.master == Some(bridge.index)) {
            tracing::warn!(bridge = self.name, port = port.name, "kept: something is plugged in");
            return Ok(false);
        }
        link::delete(socket, &self.name)?;
        Ok(true)
    }

    fn is_foreign(&self, link: &Link) -> Option<String> {
        match (&link.kind, &link.alias) {
            (Some(kind), Some(alias)) if kind == "bridge" && *alias == self.alias => None,
            (Some(kind), Some(alias)) if kind == "bridge" => {
                Some(format!("is marked as {alias:?}, not as {:?}", self.alias))
            }
            (Some(kind), None) if kind == "bridge" => Some("was not made by mkubelet".to_owned()),
            (Some(kind), _) => Some(format!("is a {kind}, not a bridge")),
            (None, _) => Some("is not a bridge".to_owned()),
        }
    }
}

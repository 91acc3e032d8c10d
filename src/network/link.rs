//! Interfaces: find, list, delete.

use std::fmt::Display;

use netlink_bindings::rt_link::{Ifinfomsg, IterableLinkAttrs, OpGetlinkDo, Request};
use nix::errno::Errno;

use super::Error;
use super::netlink::Socket;

/// Leaves the statistics out of the kernel's answer (RTEXT_FILTER_SKIP_STATS, linux/rtnetlink.h).
const SKIP_STATS: u32 = 1 << 3;

/// What we want to know of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: i32,
    pub(super) name: String,
    pub(super) alias: Option<String>,
    /// `bridge`, `veth`...; nothing for hardware.
    pub(super) kind: Option<String>,
    /// The interface at the other end of a veth pair, by its index there.
    pub(super) peer: Option<i32>,
    /// The bridge it is a port of.
    pub(super) master: Option<i32>,
    /// Asked to be up.
    pub(super) up: bool,
    /// Up, and the kernel is ready to send: not merely asked to be.
    pub(super) running: bool,
}

/// The interface of this name, if there is one.
pub(super) fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, Error> {
    let mut request = Request::new().op_getlink_do(&Ifinfomsg::default());
    request.encode().push_ifname_bytes(name.as_bytes()).push_ext_mask(SKIP_STATS);
    get(socket, &request, name)
}

/// The interface of this index, if there is one.
pub(super) fn by_index(socket: &mut Socket, index: i32) -> Result<Option<Link>, Error> {
    let mut request = Request::new().op_getlink_do(&Ifinfomsg { ifi_index: index, ..Ifinfomsg::default() });
    request.encode().push_ext_mask(SKIP_STATS);
    get(socket, &request, index)
}

/// All interfaces.
pub(super) fn all(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    let mut request = Request::new().op_getlink_dump(&Ifinfomsg::default());
    request.encode().push_ext_mask(SKIP_STATS);
    let mut links = Vec::new();
    socket
        .ask(&request, |(header, attributes)| links.push(decode(&header, &attributes)))
        .map_err(Error::kernel("list interfaces"))?;
    Ok(links)
}

/// Deletes an interface; fine when there is none.
pub(super) fn delete(socket: &mut Socket, name: &str) -> Result<(), Error> {
    let mut request = Request::new().op_dellink_do(&Ifinfomsg::default());
    request.encode().push_ifname_bytes(name.as_bytes());
    match socket.ask(&request, |_| ()) {
        Err(Errno::ENODEV) | Ok(()) => Ok(()),
        Err(errno) => Err(Error::kernel(format!("delete interface {name}"))(errno)),
    }
}

/// The header of a request that brings an interface up.
pub(super) fn up(index: i32) -> Ifinfomsg {
    let up = libc::IFF_UP as u32;
    Ifinfomsg { ifi_index: index, ifi_flags: up, ifi_change: up, ..Ifinfomsg::default() }
}

fn get(socket: &mut Socket, request: &OpGetlinkDo<'_>, which: impl Display) -> Result<Option<Link>, Error> {
    let mut found = None;
    match socket.ask(request, |(header, attributes)| found = Some(decode(&header, &attributes))) {
        Err(Errno::ENODEV) => Ok(None),
        Err(errno) => Err(Error::kernel(format!("get interface {which}"))(errno)),
        Ok(()) => Ok(found),
    }
}

fn decode(header: &Ifinfomsg, attributes: &IterableLinkAttrs<'_>) -> Link {
    let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let kind = attributes.get_linkinfo().ok().and_then(|info| info.get_kind().ok().map(text));
    Link {
        index: header.ifi_index,
        name: attributes.get_ifname().map(text).unwrap_or_default(),
        alias: attributes.get_ifalias().ok().map(text),
        kind,
        peer: attributes.get_link().ok().map(|index| index as i32),
        master: attributes.get_master().ok().map(|index| index as i32),
        up: header.ifi_flags & libc::IFF_UP as u32 != 0,
        running: header.ifi_flags & libc::IFF_RUNNING as u32 != 0,
    }
}

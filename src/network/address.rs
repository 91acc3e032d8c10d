//! Addresses and routes of IPv4: list and set.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::Ipv4Net;
use netlink_bindings::{rt_addr, rt_route};

use super::Error;
use super::netlink::{Batch, Socket};

const AF_INET: u8 = 2;
// linux/rtnetlink.h
const RT_TABLE_MAIN: u8 = 254;
const RTN_UNICAST: u8 = 1;
const RTPROT_BOOT: u8 = 3;
const RT_SCOPE_UNIVERSE: u8 = 0;

/// An address, with the network that it makes reachable, on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assigned {
    pub(super) interface: i32,
    pub(super) address: Ipv4Addr,
    pub(super) network: Ipv4Net,
}

/// A route to a network. Some lead nowhere (blackhole), or to several interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) interface: Option<i32>,
    pub(super) network: Ipv4Net,
}

/// All addresses in this namespace.
pub(super) fn addresses(socket: &mut Socket) -> Result<Vec<Assigned>, Error> {
    let header = rt_addr::Ifaddrmsg { ifa_family: AF_INET, ..rt_addr::Ifaddrmsg::default() };
    let mut found = Vec::new();
    let request = rt_addr::Request::new().op_getaddr_dump(&header);
    socket
        .ask(&request, |(header, attributes)| {
            // On a point-to-point link `local` is the own address, and `address` that of the other end.
            let local = attributes.get_local().or_else(|_| attributes.get_address());
            let reached = attributes.get_address().or_else(|_| attributes.get_local());
            if let (Ok(IpAddr::V4(address)), Ok(IpAddr::V4(reached))) = (local, reached)
                && let Ok(network) = Ipv4Net::new(reached, header.ifa_prefixlen)
            {
                found.push(Assigned { interface: header.ifa_index as i32, address, network });
            }
        })
        .map_err(Error::kernel("list addresses"))?;
    Ok(found)
}

/// All unicast and discarding routes in this namespace but the default one.
pub(super) fn routes(socket: &mut Socket) -> Result<Vec<Route>, Error> {
    let header = rt_route::Rtmsg { rtm_family: AF_INET, ..rt_route::Rtmsg::default() };
    let mut found = Vec::new();
    let request = rt_route::Request::new().op_getroute_dump(&header);
    socket
        .ask(&request, |(header, attributes)| {
            // Local and broadcast routes (types 2 and 3) come with addresses, which are looked at for themselves.
            if matches!(header.rtm_type, 2 | 3) {
                return;
            }
            if let Ok(IpAddr::V4(destination)) = attributes.get_dst()
                && let Ok(network) = Ipv4Net::new(destination, header.rtm_dst_len)
            {
                found.push(Route { interface: attributes.get_oif().ok().map(|it| it as i32), network });
            }
        })
        .map_err(Error::kernel("list routes"))?;
    Ok(found)
}

/// Adds to `batch`: gives an interface an address (and so a route to its network).
pub(super) fn assign(batch: &mut Batch, interface: i32, address: Ipv4Addr, prefix_len: u8) {
    let header = rt_addr::Ifaddrmsg {
        ifa_family: AF_INET,
        ifa_prefixlen: prefix_len,
        ifa_index: interface as u32,
        ..rt_addr::Ifaddrmsg::default()
    };
    let mut request = rt_addr::Request::new().set_change().op_newaddr_do(&header);
    let broadcast =
        Ipv4Net::new(address, prefix_len).map_or(Ipv4Addr::BROADCAST, |network| network.broadcast());
    request.encode().push_local(address.into()).push_address(address.into()).push_broadcast(broadcast);
    batch.add(format!("add address {address}/{prefix_len}"), &request);
}

/// Adds to `batch`: a default route.
pub(super) fn route_default(batch: &mut Batch, interface: i32, gateway: Ipv4Addr) {
    let header = rt_route::Rtmsg {
        rtm_family: AF_INET,
        rtm_table: RT_TABLE_MAIN,
        rtm_protocol: RTPROT_BOOT,
        rtm_scope: RT_SCOPE_UNIVERSE,
        rtm_type: RTN_UNICAST,
        ..rt_route::Rtmsg::default()
    };
    let mut request = rt_route::Request::new().set_change().op_newroute_do(&header);
    request.encode().push_gateway(gateway.into()).push_oif(interface as u32);
    batch.add(format!("add default route via {gateway}"), &request);
}

//! Under which addresses clients may reach a port.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Those of a port that is bound to this address: when that is all of them, those that the node has now.
pub(super) fn of(bound: IpAddr) -> BTreeSet<IpAddr> {
    let mut addresses = BTreeSet::from([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]);
    if bound.is_unspecified() {
        let links = getifaddrs().into_iter().flatten();
        addresses.extend(links.filter_map(|link| link.address.as_ref().and_then(ip)));
    } else {
        addresses.insert(bound);
    }
    addresses
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_on_every_address_is_reached_by_each() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        let other: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
        assert!(of(other).contains(&other) && of(other).contains(&loopback));
        assert!(of(Ipv4Addr::UNSPECIFIED.into()).contains(&loopback));
        assert!(!of(Ipv4Addr::UNSPECIFIED.into()).contains(&Ipv4Addr::UNSPECIFIED.into()));
    }
}

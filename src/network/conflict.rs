//! Is the pod CIDR free on this host? Pure: addresses, routes and names of interfaces come in as data.

use ipnet::Ipv4Net;

use super::Error;
use super::address::{Assigned, Route};
use super::link::Link;

/// An error that names what is in the way: a network of another interface that contains the CIDR or is contained in it.
pub(super) fn check(
    cidr: Ipv4Net,
    bridge: &str,
    links: &[Link],
    addresses: &[Assigned],
    routes: &[Route],
) -> Result<(), Error> {
    let name =
        |index: i32| links.iter().find(|link| link.index == index).map_or("?", |link| link.name.as_str());
    let overlaps =
        |other: &Ipv4Net| other.prefix_len() > 0 && (cidr.contains(other) || other.contains(&cidr));
    let conflict = |other: String| Err(Error::Overlap { cidr, other });

    for assigned in addresses {
        let interface = name(assigned.interface);
        if interface != bridge && overlaps(&assigned.network) {
            let prefix_len = assigned.network.prefix_len();
            return conflict(format!("address {}/{prefix_len} of {interface}", assigned.address));
        }
    }
    for route in routes {
        let interface = route.interface.map(name);
        if interface != Some(bridge) && overlaps(&route.network) {
            let through = interface.map(|name| format!(" through {name}")).unwrap_or_default();
            return conflict(format!("the route to {}{through}", route.network));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: i32, name: &str) -> Link {
        Link {
            index,
            name: name.to_owned(),
            alias: None,
            kind: None,
            peer: None,
            master: None,
            up: true,
            running: true,
        }
    }

    fn assigned(interface: i32, text: &str) -> Assigned {
        let network: Ipv4Net = text.parse().unwrap();
        Assigned { interface, address: network.addr(), network }
    }

    fn route(interface: Option<i32>, text: &str) -> Route {
        Route { interface, network: text.parse().unwrap() }
    }

    #[test]
    fn what_is_in_the_way_is_named() {
        let links = [link(1, "lo"), link(2, "eth0"), link(3, "mkubelet0")];
        let cases: &[(&[Assigned], &[Route], Option<&str>)] = &[
            (
                &[assigned(1, "127.0.0.1/8"), assigned(2, "192.0.2.2/24")],
                &[route(Some(2), "192.0.2.0/24")],
                None,
            ),
            // a default route is everybody's
            (&[], &[route(Some(2), "0.0.0.0/0")], None),
            // our own
            (&[assigned(3, "10.85.0.1/16")], &[route(Some(3), "10.85.0.0/16")], None),
            // neighbours
            (&[assigned(2, "10.84.255.255/16"), assigned(2, "10.86.0.1/16")], &[], None),
            (&[assigned(2, "10.85.3.4/24")], &[], Some("address 10.85.3.4/24 of eth0")),
            (&[assigned(2, "10.1.2.3/8")], &[], Some("address 10.1.2.3/8 of eth0")),
            (&[], &[route(Some(2), "10.0.0.0/8")], Some("the route to 10.0.0.0/8 through eth0")),
            (&[], &[route(Some(9), "10.85.1.0/24")], Some("the route to 10.85.1.0/24 through ?")),
            (&[], &[route(None, "10.85.0.0/16")], Some("the route to 10.85.0.0/16")),
        ];
        for (addresses, routes, expected) in cases {
            let verdict = check("10.85.0.0/16".parse().unwrap(), "mkubelet0", &links, addresses, routes);
            let text = verdict.err().map(|error| error.to_string());
            let expected = expected.map(|other| {
                format!("pod CIDR 10.85.0.0/16 overlaps {other}; choose another with --pod-cidr")
            });
            assert_eq!(text, expected);
        }
    }
}

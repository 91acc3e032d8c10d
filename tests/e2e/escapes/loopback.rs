//! A pod that sends to 127.0.0.1 of its node, where services trust whoever they hear (CVE-2020-8558).

use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use super::attack;
use crate::world::World;

/// A service of the node that means to talk to the node alone.
fn service(address: Ipv4Addr) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket
}

fn hears(socket: &UdpSocket) -> bool {
    match socket.recv(&mut [0; 16]) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("{error}"),
    }
}

/// A shell in the pod's network namespace, with all rights: more than any container has.
fn in_the_pod(world: &World, script: &str) {
    let namespace = format!("--net=/proc/{}/ns/net", world.pause_pid());
    let output = Command::new("nsenter").args([&namespace, "bash", "-ec", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {output:?}");
}

fn route_localnet(interface: &str) -> String {
    let path = format!("/proc/sys/net/ipv4/conf/{interface}/route_localnet");
    fs::read_to_string(path).unwrap().trim().to_owned()
}

#[test]
fn packets_of_a_pod_to_the_loopback_of_the_node_are_dropped() {
    attack(|world, _| {
        let [a, b, c] = world.network();
        let (gateway, bridge) = (Ipv4Addr::new(a, b, c, 1), format!("mkt{c}"));
        let run = world.run(&world.pod("forger", [world.container("a", &["report", "wait"])]));
        run.expect_running("forger", "a", 0);
        assert_eq!([route_localnet("all"), route_localnet(&bridge)], ["0", "0"]);

        // Addresses of the loopback leave the pod by its cable.
        in_the_pod(
            world,
            &format!(
                "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet
                 ip route del local 127.0.0.0/8 table local || true
                 ip route del local 127.0.0.1 table local || true
                 ip route add 127.0.0.0/8 via {gateway} dev eth0"
            ),
        );
        let send = |to: Ipv4Addr, port: u16| {
            in_the_pod(world, &format!("echo forged > /dev/udp/{to}/{port}"));
        };

        // To show that it sends at all.
        let open = service(gateway);
        send(gateway, open.local_addr().unwrap().port());
        assert!(hears(&open), "the gateway hears the pod");

        let closed = service(Ipv4Addr::LOCALHOST);
        let port = closed.local_addr().unwrap().port();
        send(Ipv4Addr::LOCALHOST, port);
        assert!(!hears(&closed), "route_localnet is 0");

        // Somebody turned it on, as some port forwarders do: our own rule is the second wall.
        fs::write(format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet"), "1").unwrap();
        send(Ipv4Addr::LOCALHOST, port);
        assert!(!hears(&closed), "the rule of our table drops it");

        // Without that wall it would have arrived: the packets are what they should be.
        let table = format!("mkubelet_{bridge}");
        let flushed =
            Command::new("nft").args(["flush", "chain", "ip", &table, "prerouting"]).status().unwrap();
        assert!(flushed.success());
        send(Ipv4Addr::LOCALHOST, port);
        assert!(hears(&closed), "a forged packet arrives when nothing is in its way");
        run.stop();
    });
}

//! Clients that connect to an agent's API and say nothing, or half of something: they keep nobody else from an answer, and are left in time.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use super::operation;
use crate::kubectl::clients;
use crate::kubectl::said::Said;
use crate::world::{World, patient, until, world};

/// More than there are places.
const CLIENTS: usize = 1000;

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The port answers every kubectl that there is.
fn expect_answers(world: &World) {
    for client in clients::all() {
        let mut command = Command::new(&client.path);
        command.args(["get", "nodes", "--output=name"]).env("KUBECONFIG", world.path("kubeconfig"));
        assert!(Said::of(command.env("HOME", world.path("")).output().unwrap()).fine().starts_with("node/"));
    }
}

#[test]
fn a_thousand_half_open_connections_to_the_port_keep_nobody_from_an_answer_and_are_closed() {
    world(|world| {
        // The world's own number, so that nobody else takes it.
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 21_000 + u16::from(world.network()[2])));
        let agent = world.agent_with(&["--api-bind", &address.to_string()], None);
        until("the API's port", || TcpStream::connect(address).ok());
        let kubeconfig = world.output(&["kubeconfig", "--server", &format!("https://{address}")]);
        world.write("kubeconfig", &Said::of(kubeconfig).fine());
        until("the node", || world.output(&["get", "nodes"]).stdout.len().gt(&1).then_some(()));
        expect_answers(world);
        let before = descriptors(agent.pid());

        // Nothing; half of the first message of TLS; no TLS at all; nonsense.
        let starts: [&[u8]; 4] =
            [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"GET / HTTP/1.1\r\n", b"\xff\xff"];
        let mut silent = Vec::new();
        for start in starts.iter().cycle().take(CLIENTS) {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(patient(Duration::from_secs(30)))).unwrap();
            // It may have been left already.
            let _ = stream.write_all(start);
            silent.push(stream);
            if silent.len() % 250 == 0 {
                expect_answers(world);
            }
        }
        assert!(descriptors(agent.pid()) <= before + 256 + 16);
        for mut stream in silent {
            // A word of TLS about what is wrong may come first.
            if let Err(error) = stream.read_to_end(&mut Vec::new()) {
                assert!(!matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "still open");
            }
        }
        until("the descriptors to be closed", || (descriptors(agent.pid()) <= before + 4).then_some(()));
        expect_answers(world);
        agent.stop();
    });
}

#[test]
fn a_thousand_half_requests_on_the_socket_keep_nobody_from_an_answer() {
    const BODY: &str = "POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{\"half\":";
    world(|world| {
        let agent = world.agent();
        let socket = world.run_dir().join("api.sock");
        until("the API", || UnixStream::connect(&socket).ok());
        let before = descriptors(agent.pid());
        let mut silent = Vec::new();
        for number in 0..CLIENTS {
            let mut stream = UnixStream::connect(&socket).unwrap();
            // Whoever has begun a body is being answered, and has a minute for it.
            let start = match number % 10 {
                0 => BODY,
                1..5 => "GET /api HTTP/1.1\r\nhost: x\r\n",
                _ => "",
            };
            let _ = stream.write_all(start.as_bytes());
            silent.push(stream);
            if silent.len() % 250 == 0 {
                assert_eq!(operation::get(world, "/healthz"), (200, "ok".to_owned()));
            }
        }
        assert!(descriptors(agent.pid()) <= before + 512 + 16);
        drop(silent);
        until("the descriptors to be closed", || (descriptors(agent.pid()) <= before + 4).then_some(()));
        agent.stop();
    });
}

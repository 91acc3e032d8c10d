//! A shim lives as long as its pod, and so it may be of an older mkubelet than the agent: it is served until the pod ends.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use mkubelet::shim::protocol::VERSION;
use mkubelet::sys::fd_passing;
use serde_json::Value;

use crate::world::{World, http_get, until, world};

/// Stands before the world's one shim and says that it is of the version before this one; passes on everything else. It goes with the test.
fn make_older(world: &World) {
    let socket = world.shim_socket();
    let aside = socket.with_extension("aside");
    fs::rename(&socket, &aside).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for agent in listener.incoming().map_while(Result::ok) {
            // Nobody there: the pod has ended.
            let Ok(shim) = UnixStream::connect(&aside) else { return };
            introduce(agent, shim);
        }
    });
}

fn introduce(agent: UnixStream, mut shim: UnixStream) {
    let (from, to) = (agent.try_clone().unwrap(), shim.try_clone().unwrap());
    thread::spawn(move || pass_on(&from, &to));
    thread::spawn(move || {
        let mut length = [0; 4];
        shim.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_le_bytes(length) as usize];
        shim.read_exact(&mut answer).unwrap();
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        let version = &mut answer["reply"]["result"]["Ok"]["subscribed"]["version"];
        assert_eq!(*version, VERSION, "the first answer is that to Subscribe");
        *version = (VERSION - 1).into();
        let answer = answer.to_string();
        let mut agent = agent;
        agent.write_all(&u32::try_from(answer.len()).unwrap().to_le_bytes()).unwrap();
        agent.write_all(answer.as_bytes()).unwrap();
        pass_on(&shim, &agent);
    });
}

/// Bytes and descriptors, until one side hangs up; then the other is hung up on.
fn pass_on(from: &UnixStream, to: &UnixStream) {
    let (mut buffer, mut fds) = (vec![0; 64 << 10], Vec::new());
    while let Ok(count @ 1..) = fd_passing::receive(from.as_fd(), &mut buffer, &mut fds) {
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            let Ok(sent) = fd_passing::send(to.as_fd(), rest, &borrowed) else { break };
            rest = &rest[sent..];
            fds.clear();
        }
    }
    for end in [from, to] {
        drop(end.shutdown(std::net::Shutdown::Both));
    }
}

#[test]
fn an_older_shim_is_served_until_its_pod_ends() {
    world(|world| {
        let pod = world.pod(
            "old",
            [
                world.container("a", &["term=0", "serve=80", "wait"]),
                world.container("b", &["until=/ledger/go", "exit=5"]),
            ],
        );
        world.manifests().put(&pod);
        let agent = world.agent();
        agent.expect_running("old", "a", 0);
        agent.expect_running("old", "b", 0);
        let (ip, a, shim) = (agent.ip("old"), world.pid_of("a"), world.shim_pid());
        agent.kill();
        make_older(world);

        let agent = world.agent();
        agent.expect("pod default/old: Running");
        assert_eq!((agent.ip("old"), world.pid_of("a"), world.shim_pid()), (ip, a, shim));
        // It is followed ...
        world.touch("go");
        agent.expect_state("old", "b", |state| state == "Terminated (Error, exit code 5)");
        // ... starts nothing, since it would pass over a field that it does not know ...
        agent.expect_state("old", "b", |state| state.contains("of an older mkubelet"));
        assert_eq!(http_get(ip, 80, "/").1, "a");
        assert_eq!((world.ledger().starts("a"), world.ledger().starts("b")), (1, 1));
        // ... and ends what it runs, gracefully; the pod that comes after it has a shim of today.
        world.manifests().clear();
        agent.expect("pod default/old: deleted");
        assert_eq!(world.ledger().ends("a"), [Some(0)]);
        until("the old shim to be gone", || (!is_alive(shim)).then_some(()));
        world.manifests().put(&pod);
        until("a second life", || (world.ledger().starts("a") == 2).then_some(()));
        agent.clear(world);
    });
}

fn is_alive(pid: i32) -> bool {
    Path::new("/proc").join(PathBuf::from(pid.to_string())).join("exe").read_link().is_ok()
}

//! With real interfaces: each test is a host of its own, in a network namespace that dies with it.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns, unshare};

use super::netlink::Batch;
use super::*;

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// A host: the test's thread is in its network namespace.
struct World {
    dir: tempfile::TempDir,
    netns: OwnedFd,
}

/// A pod: a network namespace and a run directory.
struct Pod {
    uid: PodUid,
    netns: OwnedFd,
}

/// What a pod leaves on a host, if anything.
#[derive(Debug, PartialEq, Eq)]
struct Snapshot {
    links: Vec<String>,
    tables: Vec<String>,
    files: Vec<String>,
    forwarding: String,
}

/// Runs a test on a host of its own.
fn host(test: impl FnOnce(&World) + Send) {
    if !nix::unistd::geteuid().is_root() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "needs root, and CI=true");
        writeln!(std::io::stderr(), "SKIPPED: needs root").unwrap();
        return;
    }
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            let netns = enter_new_namespace();
            fs::write(FORWARD, "0").unwrap();
            test(&World { dir: tempfile::tempdir().unwrap(), netns });
        });
        if let Err(panic) = done.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn enter_new_namespace() -> OwnedFd {
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let mut socket = Socket::route().unwrap();
    let mut batch = Batch::default();
    batch.add("lo", &netlink_bindings::rt_link::Request::new().op_setlink_do(&link::up(1)));
    socket.execute(batch).unwrap();
    File::open("/proc/thread-self/ns/net").unwrap().into()
}

impl World {
    fn layout(&self, agent: &str) -> Layout {
        let at = |kind: &str| self.dir.path().join(agent).join(kind);
        Layout::new(at("root"), at("run"), at("log"))
    }

    fn config(&self, agent: &str, bridge: &str, cidr: &str) -> Config {
        let layout = self.layout(agent);
        fs::create_dir_all(layout.run()).unwrap();
        Config {
            layout,
            pod_cidr: cidr.parse().unwrap(),
            bridge: bridge.to_owned(),
            cgroup_root: None,
            sysctls: Default::default(),
            pod_max_pids: -1,
            user_ids: Default::default(),
            cluster_domain: "cluster.local".to_owned(),
            cluster_dns: Vec::new(),
            log_limits: None,
            registry_hosts: "/nowhere".into(),
            credential_providers: None,
            pulls: Default::default(),
            max_pods: 110,
            max_images: None,
            node: Default::default(),
        }
    }

    fn agent(&self) -> Host {
        Host::new(&self.config("one", "mkt0", "10.201.0.0/24")).unwrap()
    }

    fn snapshot(&self) -> Snapshot {
        let mut links: Vec<_> =
            link::all(&mut Socket::route().unwrap()).unwrap().into_iter().map(|link| link.name).collect();
        links.sort();
        let tables = nft::names(&mut Socket::netfilter().unwrap());
        let mut files = Vec::new();
        list(self.dir.path(), &mut files);
        files.sort();
        Snapshot { links, tables, files, forwarding: fs::read_to_string(FORWARD).unwrap() }
    }
}

fn list(dir: &Path, into: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        into.push(entry.path().display().to_string());
        if entry.file_type().unwrap().is_dir() {
            list(&entry.path(), into);
        }
    }
}

impl Pod {
    fn new(layout: &Layout, uid: &str) -> Self {
        let uid = uid.parse().unwrap();
        fs::create_dir_all(layout.run_pod(&uid)).unwrap();
        Self { uid, netns: thread::spawn(enter_new_namespace).join().unwrap() }
    }

    /// The sandbox died, and there is a new one.
    fn restart(&mut self) {
        self.netns = thread::spawn(enter_new_namespace).join().unwrap();
    }

    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        within(&self.netns, work)
    }

    /// Answers one connection with the address that it came from.
    fn serve(&self) -> thread::JoinHandle<()> {
        serve(&self.netns)
    }
}

fn within<T: Send>(netns: &OwnedFd, work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            setns(netns, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        visitor.join().unwrap()
    })
}

fn serve(netns: &OwnedFd) -> thread::JoinHandle<()> {
    let listener = within(netns, || TcpListener::bind("0.0.0.0:80").unwrap());
    thread::spawn(move || {
        let (mut stream, peer) = listener.accept().unwrap();
        stream.write_all(peer.ip().to_string().as_bytes()).unwrap();
    })
}

/// Who the other side says we are.
fn ask(ip: Ipv4Addr) -> String {
    let mut stream =
        TcpStream::connect_timeout(&SocketAddr::new(IpAddr::V4(ip), 80), Duration::from_secs(5)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn host_and_pods_reach_each_other_at_once() {
    host(|world| {
        let agent = world.agent();
        let [a, b] = ["a", "b"].map(|uid| Pod::new(&agent.layout, uid));
        for pod in [&a, &b] {
            agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        }
        let ip = agent.allocate(&a.uid).unwrap().ip;
        for (client, expected) in
            [(&world.netns, "10.201.0.1"), (&b.netns, "10.201.0.3"), (&a.netns, "10.201.0.2")]
        {
            let server = a.serve();
            let start = Instant::now();
            assert_eq!(within(client, || ask(ip)), expected);
            // A lost ARP request or SYN would have cost a second.
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            server.join().unwrap();
        }
    });
}

#[test]
fn what_listens_on_a_pods_loopback_is_reached_by_its_namespace() {
    host(|world| {
        let agent = world.agent();
        let pod = Pod::new(&agent.layout, "a");
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect = |port| {
            let namespace = pod.netns.try_clone().unwrap();
            runtime.block_on(super::loopback::connect(Some(namespace), port))
        };
        for (address, port) in [("127.0.0.1:80", 80), ("[::1]:81", 81)] {
            let listener = pod.inside(|| TcpListener::bind(address).unwrap());
            let connected = connect(port).unwrap();
            let (_, peer) = listener.accept().unwrap();
            assert_eq!(peer, connected.local_addr().unwrap(), "{address}");
        }
        let refused = connect(82).unwrap_err();
        assert!(!refused.is_gone());
        assert_eq!(
            refused.to_string(),
            "connect to port 82 of the loopback interface: Connection refused (os error 111); \
             Connection refused (os error 111)"
        );
        // The namespace of this thread has another loopback.
        let outside = runtime.block_on(super::loopback::connect(None, 80));
        assert!(matches!(outside, Err(LoopbackError::Refused { port: 80, .. })), "{outside:?}");
    });
}

#[test]
fn a_network_is_gone_with_the_process_that_had_it() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let pidfd = crate::sys::process::open_pidfd(child.id() as i32).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let gone = runtime.block_on(super::loopback::connect(Some(pidfd), 80)).unwrap_err();
    assert!(gone.is_gone(), "{gone}");
}

#[test]
fn the_world_sees_the_hosts_address() {
    host(|world| {
        let agent = world.agent();
        let pod = Pod::new(&agent.layout, "a");
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();

        // The world is one cable away, and knows nothing of pods.
        let outside = Pod::new(&agent.layout, "world");
        let mut route = Socket::route().unwrap();
        let address = |ip: [u8; 4], gateway: [u8; 4]| PodAddress {
            ip: ip.into(),
            prefix_len: 24,
            gateway: gateway.into(),
        };
        let uplink = Bridge {
            name: "uplink".to_owned(),
            alias: "the world".to_owned(),
            gateway: [198, 51, 100, 1].into(),
            cidr: "198.51.100.0/24".parse().unwrap(),
        };
        let bridge = uplink.create(&mut route).unwrap();
        Pair { host: "cable", bridge, address: address([198, 51, 100, 2], [198, 51, 100, 99]), sysctls: &[] }
            .connect(&mut route, &outside.netns)
            .unwrap();

        let server = outside.serve();
        assert_eq!(pod.inside(|| ask([198, 51, 100, 2].into())), "198.51.100.1");
        server.join().unwrap();
    });
}

#[test]
fn a_new_sandbox_keeps_address_and_neighbours() {
    host(|world| {
        let agent = world.agent();
        let mut pod = Pod::new(&agent.layout, "a");
        let mut seen = Vec::new();
        for _ in 0..3 {
            agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
            let address = agent.allocate(&pod.uid).unwrap();
            let server = pod.serve();
            let start = Instant::now();
            assert_eq!(ask(address.ip), "10.201.0.1");
            assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
            server.join().unwrap();
            seen.push(address);
            pod.restart();
        }
        assert!(seen.iter().all(|address| *address == seen[0]), "{seen:?}");
        // Nor does another agent forget it.
        assert_eq!(world.agent().allocate(&pod.uid).unwrap(), seen[0]);
    });
}

#[test]
fn attaching_again_does_not_cut_the_line() {
    host(|world| {
        let agent = world.agent();
        let pod = Pod::new(&agent.layout, "a");
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        let before = link::by_name(&mut Socket::route().unwrap(), &agent.veth(&pod.uid)).unwrap();
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        world.agent().attach(&pod.uid, &pod.netns, &[]).unwrap();
        let after = link::by_name(&mut Socket::route().unwrap(), &agent.veth(&pod.uid)).unwrap();
        assert_eq!(before, after);
    });
}

#[test]
fn kernel_parameters_of_the_interface_are_set_once() {
    host(|world| {
        let agent = world.agent();
        let pod = Pod::new(&agent.layout, "a");
        let file = "/proc/sys/net/ipv4/conf/eth0/arp_announce";
        let read = || pod.inside(|| fs::read_to_string(file).unwrap());
        let set = |value: &str| [("net.ipv4.conf.eth0.arp_announce".to_owned(), value.to_owned())];
        let error = agent.attach(&pod.uid, &pod.netns, &set("many")).unwrap_err().to_string();
        assert!(
            error.starts_with("set the sysctl net.ipv4.conf.eth0.arp_announce to \"many\": EINVAL"),
            "{error}"
        );
        // The next attempt goes on where that one ended.
        agent.attach(&pod.uid, &pod.netns, &set("2")).unwrap();
        assert_eq!(read(), "2\n");
        // Somebody in the pod who may changes it.
        pod.inside(|| fs::write(file, "1").unwrap());
        agent.attach(&pod.uid, &pod.netns, &set("2")).unwrap();
        assert_eq!(read(), "1\n");
    });
}

#[test]
fn fifty_at_once_leave_nothing() {
    host(|world| {
        let before = world.snapshot();
        let config = world.config("one", "mkt0", "10.201.0.0/24");
        let netns = world.netns.try_clone().unwrap();
        // The runtime's threads belong to this host.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .on_thread_start(move || setns(&netns, CloneFlags::CLONE_NEWNET).unwrap())
            .build()
            .unwrap();
        let network = Network::new(&config).unwrap();
        let pods: Vec<_> = (0..50).map(|number| Pod::new(&config.layout, &format!("pod-{number}"))).collect();
        runtime.block_on(async {
            let all = |work: &dyn Fn(&Pod) -> tokio::task::JoinHandle<Result<(), Error>>| {
                futures::future::join_all(pods.iter().map(work).collect::<Vec<_>>())
            };
            let attached = all(&|pod| {
                let (network, uid, netns) =
                    (network.clone(), pod.uid.clone(), pod.netns.try_clone().unwrap());
                tokio::spawn(async move { network.attach(&uid, netns, Vec::new()).await })
            });
            for result in attached.await {
                result.unwrap().unwrap();
            }
            let mut addresses = Vec::new();
            for pod in &pods {
                addresses.push(network.allocate(&pod.uid).await.unwrap().ip);
            }
            addresses.sort();
            addresses.dedup();
            assert_eq!(addresses.len(), 50);
            let detached = all(&|pod| {
                let (network, uid) = (network.clone(), pod.uid.clone());
                tokio::spawn(async move { network.detach(&uid).await })
            });
            for result in detached.await {
                result.unwrap().unwrap();
            }
            network.detach(&pods[0].uid).await.unwrap();
        });
        fs::remove_dir_all(config.layout.run()).unwrap();
        fs::remove_dir_all(world.dir.path().join("one")).unwrap();
        assert_eq!(world.snapshot(), before);
    });
}

#[test]
fn agents_live_side_by_side_and_the_last_one_turns_forwarding_off() {
    host(|world| {
        let forwarding = || fs::read_to_string(FORWARD).unwrap();
        let one = world.agent();
        let two = Host::new(&world.config("two", "mkt1", "10.202.0.0/24")).unwrap();
        let pods = [&one, &two].map(|agent| Pod::new(&agent.layout, "a"));
        for round in 0..2 {
            one.attach(&pods[0].uid, &pods[0].netns, &[]).unwrap();
            two.attach(&pods[1].uid, &pods[1].netns, &[]).unwrap();
            assert_eq!(forwarding(), "1\n");
            let (first, last) = if round == 0 {
                ((&one, &pods[0]), (&two, &pods[1]))
            } else {
                ((&two, &pods[1]), (&one, &pods[0]))
            };
            first.0.detach(&first.1.uid).unwrap();
            assert_eq!(forwarding(), "1\n");
            let server = last.1.serve();
            ask(last.0.allocate(&last.1.uid).unwrap().ip);
            server.join().unwrap();
            last.0.detach(&last.1.uid).unwrap();
            assert_eq!(forwarding(), "0\n");
        }
        // Where it was on, it stays on.
        fs::write(FORWARD, "1").unwrap();
        one.attach(&pods[0].uid, &pods[0].netns, &[]).unwrap();
        one.detach(&pods[0].uid).unwrap();
        assert_eq!(forwarding(), "1\n");
    });
}

#[test]
fn what_is_not_ours_is_an_error_and_stays_as_it_is() {
    host(|world| {
        let mut route = Socket::route().unwrap();
        let mut agent = world.agent();
        let pod = Pod::new(&agent.layout, "a");
        let cases = [
            ("mkt0", "10.201.0.1/24", "other", "is marked as \"other\", not as"),
            (
                "mkt0",
                "10.201.0.2/24",
                &agent.bridge.alias.clone(),
                "has address 10.201.0.2/24, where 10.201.0.1/24 is",
            ),
            (
                "other",
                "10.201.0.129/25",
                "other",
                "pod CIDR 10.201.0.0/24 overlaps address 10.201.0.129/25 of other",
            ),
        ];
        for (name, address, alias, expected) in cases {
            let address: Ipv4Net = address.parse().unwrap();
            let other = Bridge {
                name: name.to_owned(),
                alias: alias.to_owned(),
                gateway: address.addr(),
                cidr: address,
            };
            other.create(&mut route).unwrap();
            let before = (world.snapshot().links, world.snapshot().tables, world.snapshot().forwarding);
            let error = agent.attach(&pod.uid, &pod.netns, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(
                (world.snapshot().links, world.snapshot().tables, world.snapshot().forwarding),
                before
            );
            link::delete(&mut route, name).unwrap();
        }
        // Nothing of that is remembered.
        agent = world.agent();
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
    });
}

#[test]
fn what_a_crash_left_half_made_is_completed() {
    host(|world| {
        let agent = world.agent();
        let mut netfilter = Socket::netfilter().unwrap();
        let pod = Pod::new(&agent.layout, "a");
        // Between table and bridge: the note on forwarding is kept.
        agent.table.install(&mut netfilter).unwrap();
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        // Somebody flushed all rules.
        agent.table.remove(&mut netfilter).unwrap();
        assert_eq!(fs::read_to_string(FORWARD).unwrap(), "0\n");
        agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        assert_eq!(fs::read_to_string(FORWARD).unwrap(), "1\n");
        agent.detach(&pod.uid).unwrap();
        assert_eq!(fs::read_to_string(FORWARD).unwrap(), "0\n");
        assert_eq!(world.snapshot().links, ["lo"]);
    });
}

#[test]
fn the_last_pod_takes_what_dead_pods_left() {
    host(|world| {
        let agent = world.agent();
        let [dead, alive] = ["dead", "alive"].map(|uid| Pod::new(&agent.layout, uid));
        for pod in [&dead, &alive] {
            agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
        }
        fs::remove_dir_all(agent.layout.run_pod(&dead.uid)).unwrap();
        agent.detach(&alive.uid).unwrap();
        assert_eq!(world.snapshot().links, ["lo"]);
        assert_eq!(world.snapshot().tables, Vec::<String>::new());
    });
}

#[test]
fn a_pod_without_a_run_directory_gets_no_address() {
    host(|world| {
        let error = world.agent().allocate(&"nobody".parse().unwrap()).unwrap_err();
        assert!(matches!(error, Error::NoRunDirectory { .. }), "{error}");
    });
}

#[test]
#[ignore = "a measurement, not a test: run it in release mode with --nocapture"]
fn attach_is_fast() {
    host(|world| {
        let agent = world.agent();
        let holder = Pod::new(&agent.layout, "holder");
        agent.attach(&holder.uid, &holder.netns, &[]).unwrap();
        let mut times = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for number in 0..100 {
            let pod = Pod::new(&agent.layout, &format!("pod-{number}"));
            let server = pod.serve();
            let start = Instant::now();
            let ip = agent.allocate(&pod.uid).unwrap().ip;
            times[0].push(start.elapsed());
            agent.attach(&pod.uid, &pod.netns, &[]).unwrap();
            times[1].push(start.elapsed());
            ask(ip);
            times[2].push(start.elapsed());
            server.join().unwrap();
            let start = Instant::now();
            agent.detach(&pod.uid).unwrap();
            times[3].push(start.elapsed());
        }
        for (what, times) in ["allocated", "attached", "answered", "detached"].iter().zip(&mut times) {
            times.sort();
            writeln!(std::io::stderr(), "{what}: median {:?}, p95 {:?}", times[50], times[95]).unwrap();
        }
    });
}

//! A terminal session of somebody who knows kubectl: the real program, each one that is installed, and a running agent.

mod change;
pub(crate) mod clients;
mod errors;
mod newer;
mod remove;
pub(crate) mod said;
mod same;
mod shell;
mod show;
mod streams;
mod turns;
mod yaml;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use clients::Client;
use said::{Said, words};
use serde_json::Value;

use crate::world::{Container, Pod, Run, World, until, world};

/// An agent, and a kubectl that talks to it.
struct Session<'a> {
    world: &'a World,
    client: &'a Client,
}

/// Runs a test with every kubectl, side by side, each with a world and an agent of its own. Whatever the test leaves of objects is deleted in the
/// end, as it would be at a terminal.
fn each(test: impl Fn(&Session<'_>) + Sync) {
    each_of(|_| true, test);
}

/// Likewise, with the newer ones only: for what 1.20 does not know.
fn each_newer(test: impl Fn(&Session<'_>) + Sync) {
    each_of(Client::is_newer, test);
}

fn each_of(wanted: impl Fn(&Client) -> bool, test: impl Fn(&Session<'_>) + Sync) {
    thread::scope(|scope| {
        for client in clients::all().iter().filter(|client| wanted(client)) {
            let test = &test;
            let name = format!("{} with 1.{}", thread::current().name().unwrap_or("a test"), client.minor);
            thread::Builder::new()
                .name(name)
                .spawn_scoped(scope, move || world(|world| run(world, client, test)))
                .unwrap();
        }
    });
}

fn run(world: &World, client: &Client, test: impl Fn(&Session<'_>)) {
    // The world's own number, so that nobody else takes it.
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 21_000 + u16::from(world.network()[2])));
    let manifests = world.manifests().path("");
    for directory in ["home", "tmp"] {
        fs::create_dir_all(world.path(directory)).unwrap();
    }
    let flags = ["--manifests", manifests.to_str().unwrap(), "--api-bind", &address.to_string()];
    let agent = world.agent_with(&flags, None);
    until("the API's port", || TcpStream::connect(address).ok());
    let kubeconfig = world.output(&["kubeconfig", "--server", &format!("https://{address}")]);
    world.write("kubeconfig", &Said::of(kubeconfig).fine());
    let session = Session { world, client };
    until("the node", || (!session.kubectl("get nodes -o name").out.is_empty()).then_some(()));
    test(&session);
    session.kubectl("delete pods --all --all-namespaces --force --grace-period=0").done();
    until("all pods to be gone", || world.pod_uids().is_empty().then_some(()));
    agent.stop();
}

impl Session<'_> {
    /// kubectl with these arguments, to be started.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.client.path);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBECONFIG", self.world.path("kubeconfig")).env("HOME", self.world.path("home"));
        command.env("TMPDIR", self.world.path("tmp")).env("TERM", "xterm");
        command
    }

    /// Runs kubectl with this on its standard input.
    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Said {
        let file = self.world.write("input", input);
        let stdin = Stdio::from(fs::File::open(file).unwrap());
        Said::of(self.command(arguments).stdin(stdin).output().unwrap())
    }

    fn kubectl_of(&self, arguments: &[&str]) -> Said {
        self.kubectl_with(arguments, "")
    }

    /// Of words with a space between them.
    fn kubectl(&self, line: &str) -> Said {
        self.kubectl_of(&line.split(' ').collect::<Vec<_>>())
    }

    /// One that goes on.
    fn start(&self, line: &str) -> Run {
        self.world.start(self.command(&line.split(' ').collect::<Vec<_>>()))
    }

    /// Creates a pod from standard input.
    #[track_caller]
    fn create(&self, pod: &Pod) {
        let created = self.kubectl_with(&["create", "-f", "-"], &pod.to_json()).fine();
        assert_eq!(created, format!("pod/{} created\n", pod.name()));
    }

    /// Likewise, and waits until it is ready.
    #[track_caller]
    fn run_pod(&self, pod: &Pod) {
        self.create(pod);
        let ready = format!("wait --for=condition=Ready pod/{} --timeout=60s", pod.name());
        assert_eq!(self.kubectl(&ready).fine(), format!("pod/{} condition met\n", pod.name()));
    }

    /// An object, as JSON.
    #[track_caller]
    fn object(&self, which: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {which} -o json")).fine()).unwrap()
    }

    /// The words of the one line of a table.
    #[track_caller]
    fn row(&self, what: &str) -> Vec<String> {
        let table = self.kubectl(&format!("get {what} --no-headers")).fine();
        words(&table)[0].iter().map(|&word| word.to_owned()).collect()
    }

    fn ip(&self, pod: &str) -> Ipv4Addr {
        self.object(&format!("pod {pod}"))["status"]["podIP"].as_str().unwrap().parse().unwrap()
    }

    /// The world's own image, with the shell and the programs of a busybox in it.
    fn image(&self) -> String {
        self.add_busybox(&self.world.path("image"));
        self.world.image()
    }

    fn add_busybox(&self, image: &std::path::Path) {
        let busybox = image.join("bin/busybox");
        if !busybox.exists() {
            fs::copy("/bin/busybox", busybox).unwrap();
        }
        for program in [
            "sh", "cat", "tar", "sleep", "stty", "kill", "echo", "ls", "true", "test", "mkdir", "find",
            "tail",
        ] {
            let link = image.join("bin").join(program);
            if link.symlink_metadata().is_err() {
                symlink("busybox", link).unwrap();
            }
        }
    }

    /// A container with a shell, that runs the ledger program.
    fn container(&self, name: &str, steps: &[&str]) -> Container {
        self.image();
        self.world.container(name, steps)
    }

    /// A pod of one container of its name, with the ledger.
    fn pod(&self, name: &str, steps: &[&str]) -> Pod {
        self.world.pod(name, [self.container(name, steps)])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }
}

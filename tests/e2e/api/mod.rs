//! The API as kubectl sees it: the server with a store of its own, behind its port with TLS, and the real program as its client.
//!
//! Nothing runs the pods here: what is shown is what the API makes of objects.

mod bad_input;
mod full_disk;
mod kubectl;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use jiff::Timestamp;
use mkubelet::api::Api;
use mkubelet::api::auth::{Tokens, gate};
use mkubelet::api::pki::Authority;
use mkubelet::api::store::Store;
use mkubelet::api::tls::Port;
use mkubelet::pod::sysctl::Allowed;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::kubectl::clients::{self, Client};
use crate::kubectl::said::Said;

/// A server, and a kubeconfig for it.
struct Served {
    client: &'static Client,
    directory: TempDir,
    // It serves as long as this lives.
    _runtime: Runtime,
}

impl Served {
    /// Runs a test with every kubectl of this machine, each with a server of its own.
    fn each(test: impl Fn(&Self)) {
        clients::all().iter().for_each(|client| test(&Self::start(client)));
    }

    fn start(client: &'static Client) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let sysctls = Allowed::with_unsafe(["net.core.somaxconn"]).unwrap();
        let (store, lost) = Store::open(&directory.path().join("store")).unwrap();
        assert!(lost.is_none());
        let router = Arc::new(Api::new(Arc::new(store), "node", &sysctls).unwrap()).into_router();
        let authority = Authority::open(&directory.path().join("pki"), Timestamp::now()).unwrap();
        let bound = "127.0.0.1:0".parse().unwrap();
        let port = runtime.block_on(Port::open(bound, "node", authority)).unwrap();
        let server = format!("https://{}", port.address().unwrap());
        runtime.spawn(port.serve(gate::guard(router, Arc::new(Tokens::default()))));
        let mut make = Command::new(env!("CARGO_BIN_EXE_mkubelet"));
        make.args(["kubeconfig", "--server", &server, "--root-dir"]).arg(directory.path());
        let kubeconfig = Said::of(make.output().unwrap()).fine();
        std::fs::write(directory.path().join("kubeconfig"), kubeconfig).unwrap();
        Self { client, directory, _runtime: runtime }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.client.path);
        command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBECONFIG", self.path("kubeconfig")).env("HOME", self.directory.path());
        command
    }

    /// Runs kubectl with this on its standard input.
    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Said {
        let file = self.path("input");
        std::fs::write(&file, input).unwrap();
        let stdin = Stdio::from(std::fs::File::open(&file).unwrap());
        Said::of(self.command(arguments).stdin(stdin).output().unwrap())
    }

    fn kubectl(&self, line: &str) -> Said {
        self.kubectl_with(&line.split(' ').collect::<Vec<_>>(), "")
    }
}

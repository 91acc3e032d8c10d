//! Every kubectl of this machine: Debian's, which speaks SPDY, and a newer one on PATH, which speaks WebSocket.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// An installed kubectl.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) path: PathBuf,
    /// The number in 1.MINOR.
    pub(crate) minor: u32,
}

/// All of them. One that is missing is told aloud; with `CI=true` there must be Debian's.
pub(crate) fn all() -> &'static [Client] {
    static FOUND: OnceLock<Vec<Client>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let (debian, newer) = (debian(), on_path());
        if debian.is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "kubernetes-client is not installed");
            say("SKIPPED Debian's kubectl: kubernetes-client is not installed (scripts/install-packages test)");
        }
        if newer.is_none() {
            say("SKIPPED a newer kubectl: none is on PATH");
        }
        debian.into_iter().chain(newer).collect()
    })
}

impl Client {
    /// True of one that was made after Debian's: it has `events`, `debug` of today's API, and WebSocket.
    pub(crate) fn is_newer(&self) -> bool {
        self.minor >= 30
    }

    fn at(path: PathBuf) -> Option<Self> {
        let said = Command::new(&path).args(["version", "--client", "--output=json"]).output().ok()?;
        let said: Value = serde_json::from_slice(&said.stdout).ok()?;
        // Some builds write `32+`.
        let minor = said["clientVersion"]["minor"].as_str()?.trim_end_matches('+').parse().ok()?;
        Some(Self { path, minor })
    }
}

/// Where dpkg has put the one of kubernetes-client.
fn debian() -> Option<Client> {
    let listed = Command::new("dpkg").args(["--listfiles", "kubernetes-client"]).output().ok()?;
    Client::at(place(&String::from_utf8(listed.stdout).ok()?)?)
}

/// kubectl in a list of files of dpkg. The line below a file says where it was put instead (dpkg-divert(1)).
fn place(listed: &str) -> Option<PathBuf> {
    let mut lines = listed.lines().skip_while(|line| !line.ends_with("/bin/kubectl"));
    let own = lines.next()?;
    let elsewhere = lines.next().and_then(|line| line.split_once("diverted")?.1.split_once("to: "));
    Some(elsewhere.map_or(own, |(_, path)| path).into())
}

/// The first on PATH that is of today.
fn on_path() -> Option<Client> {
    let path = std::env::var_os("PATH")?;
    let programs = std::env::split_paths(&path).map(|directory| directory.join("kubectl"));
    programs.filter(|program| Path::exists(program)).filter_map(Client::at).find(Client::is_newer)
}

/// Not by `eprintln`, which is captured as long as the test passes.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[test]
fn debians_is_found_where_dpkg_has_put_it() {
    for (listed, expected) in [
        ("/usr/bin\n/usr/bin/kubectl\n/usr/share\n", Some("/usr/bin/kubectl")),
        (
            "/usr/bin/kubectl\ndiverted by kubectl to: /usr/bin/kubectl.debian\n",
            Some("/usr/bin/kubectl.debian"),
        ),
        ("/usr/bin/kubectl\nlocally diverted to: /usr/bin/kubectl.debian\n", Some("/usr/bin/kubectl.debian")),
        ("", None),
    ] {
        assert_eq!(place(listed), expected.map(PathBuf::from), "{listed}");
    }
}

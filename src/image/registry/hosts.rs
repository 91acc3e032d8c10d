//! Where a node's operator says that a registry's images are to be had: `DIR/HOST/hosts.toml`, as containerd has it.
//!
//! ```toml
//! server = "https://registry-1.docker.io"     # the registry itself, when it is not where its name says
//!
//! [host."https://mirror.example"]             # asked before it, in the order of the file
//!   capabilities = ["pull", "resolve"]        # without "resolve" it is asked for digests alone
//!   ca = "mirror.pem"                         # or a list; beside the file when it is no absolute path
//!   skip_verify = false
//!   override_path = false                     # true: the address has all of the path, `/v2` too
//! ```
//!
//! Source: <https://github.com/containerd/containerd/blob/main/docs/hosts.md>. `HOST` is as in an image's name, a port as `HOST:PORT` or
//! `HOST_PORT_`; `_default` is for all that have none of their own. Read anew for each pull. What is not understood is an error, for it may
//! be what keeps a secret.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::endpoint::Endpoint;
use super::error::Error;
use crate::image::Reference;

/// The file of a host.
const FILE: &str = "hosts.toml";

/// For hosts without a directory of their own.
const DEFAULT: &str = "_default";

/// What operators say of registries.
#[derive(Debug, Clone)]
pub struct Hosts {
    directory: PathBuf,
}

/// What is said of one address.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Host {
    capabilities: Option<Vec<Capability>>,
    #[serde(default)]
    ca: Paths,
    #[serde(default)]
    skip_verify: bool,
    #[serde(default)]
    override_path: bool,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Capability {
    Pull,
    Resolve,
    Push,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Paths {
    #[default]
    None,
    One(PathBuf),
    Many(Vec<PathBuf>),
}

impl Hosts {
    /// What is said in this directory, which need not be there.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Where an image is to be had, the place to be asked first first. Blocks.
    pub fn endpoints(&self, reference: &Reference) -> Result<Vec<Endpoint>, Error> {
        for name in names(reference.registry()) {
            let path = self.directory.join(name).join(FILE);
            let told = |reason: String| Error::Refused(format!("{}: {reason}", path.display()));
            match fs::read_to_string(&path) {
                Ok(text) => {
                    return endpoints(&text, &path, reference).map_err(|error| told(error.to_string()));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(told(error.to_string())),
            }
        }
        Ok(vec![Endpoint::of(reference)?])
    }
}

/// The directories that may say something of a host, the most specific first.
fn names(host: &str) -> Vec<String> {
    let with_port = host.rsplit_once(':').map(|(name, port)| format!("{name}_{port}_"));
    [Some(host.to_owned()), with_port, Some(DEFAULT.to_owned())].into_iter().flatten().collect()
}

fn endpoints(text: &str, path: &Path, reference: &Reference) -> Result<Vec<Endpoint>, Error> {
    let refused =
        |error: &dyn Display| Error::Refused(error.to_string().replace('\n', " ").trim().to_owned());
    let mut file: Map<String, Value> = toml::from_str(text).map_err(|error| refused(&error.message()))?;
    // Beside these two the file says of the server what it says of a host.
    let (server, hosts) = (file.remove("server"), file.remove("host"));
    let server: Option<String> =
        server.map(serde_json::from_value).transpose().map_err(|error| refused(&error))?;
    let hosts: Option<Map<String, Value>> =
        hosts.map(serde_json::from_value).transpose().map_err(|error| refused(&error))?;
    let mut all = Vec::new();
    for (address, host) in hosts.unwrap_or_default() {
        let host: Host =
            serde_json::from_value(host).map_err(|error| refused(&format!("host {address:?}: {error}")))?;
        all.extend(host.set_up(Endpoint { is_mirror: true, ..host.at(&address)? }, path)?);
    }
    let own: Host = serde_json::from_value(Value::Object(file)).map_err(|error| refused(&error))?;
    let server = match &server {
        Some(server) => own.at(server)?,
        None => Endpoint::of(reference)?,
    };
    all.extend(own.set_up(server, path)?);
    Ok(all)
}

impl Host {
    /// The endpoint at an address, which is reached by https unless it says otherwise.
    fn at(&self, address: &str) -> Result<Endpoint, Error> {
        let address = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        if self.override_path { Endpoint::with_path(&address) } else { Endpoint::at(&address) }
    }

    /// The endpoint as it is set up in `file`, if anything may be pulled from it.
    fn set_up(&self, endpoint: Endpoint, file: &Path) -> Result<Option<Endpoint>, Error> {
        let can = |capability| self.capabilities.as_ref().is_none_or(|all| all.contains(&capability));
        let paths = match &self.ca {
            Paths::None => &[],
            Paths::One(path) => std::slice::from_ref(path),
            Paths::Many(paths) => paths.as_slice(),
        };
        let mut authorities = Vec::new();
        for path in paths {
            let path = file.with_file_name(path);
            let bytes = fs::read(&path);
            authorities
                .push(bytes.map_err(|error| Error::Refused(format!("ca {}: {error}", path.display())))?);
        }
        let (skip_verify, resolves) = (self.skip_verify, can(Capability::Resolve));
        Ok(can(Capability::Pull).then_some(Endpoint { authorities, skip_verify, resolves, ..endpoint }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
    }

    impl Fixture {
        fn of(files: &[(&str, &str)]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            for (name, text) in files {
                let path = dir.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self { dir }
        }

        fn endpoints(&self, image: &str) -> Result<Vec<Endpoint>, Error> {
            Hosts::new(self.dir.path()).endpoints(&image.parse().unwrap())
        }

        /// Addresses, with what is said of them.
        fn told(&self, image: &str) -> Vec<String> {
            let tell = |endpoint: Endpoint| {
                let marks = [
                    (endpoint.is_mirror, " mirror"),
                    (!endpoint.resolves, " digests"),
                    (endpoint.skip_verify, " unverified"),
                    (!endpoint.authorities.is_empty(), " ca"),
                ];
                let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect();
                format!("{}{marks}", endpoint.base)
            };
            self.endpoints(image).unwrap().into_iter().map(tell).collect()
        }
    }

    #[test]
    fn mirrors_come_first_in_the_order_of_the_file_and_the_registry_itself_last() {
        let hub = r#"
            server = "https://hub.example"
            skip_verify = true

            [host."https://z.example"]
            capabilities = ["pull"]
            ca = "ca.pem"

            [host."http://a.example:8080/cache"]

            [host."b.example/v2"]
            ca = ["/dev/null"]

            [host."https://c.example/all/of/it"]
            override_path = true

            [host."https://no.example"]
            capabilities = ["push"]
        "#;
        let fixture = Fixture::of(&[
            ("docker.io/hosts.toml", hub),
            ("docker.io/ca.pem", "PEM"),
            ("own.example_5000_/hosts.toml", "server = \"http://own.example:5000\""),
            ("_default/hosts.toml", "[host.\"https://all.example\"]"),
        ]);
        assert_eq!(
            fixture.told("nginx"),
            [
                "https://z.example/v2/ mirror digests ca",
                "http://a.example:8080/cache/v2/ mirror",
                "https://b.example/v2/ mirror ca",
                "https://c.example/all/of/it/ mirror",
                "https://hub.example/v2/ unverified",
            ]
        );
        assert_eq!(fixture.told("own.example:5000/a"), ["http://own.example:5000/v2/"]);
        assert_eq!(fixture.told("quay.io/a"), ["https://all.example/v2/ mirror", "https://quay.io/v2/"]);
        assert_eq!(Fixture::of(&[]).told("quay.io/a"), ["https://quay.io/v2/"]);
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_file() {
        for (text, reason) in [
            ("server = 5", "invalid type: integer `5`, expected a string"),
            ("[host.\"https://a\"]\nclient = \"x.pem\"", "host \"https://a\": unknown field `client`"),
            ("sever = \"https://a\"", "unknown field `sever`"),
            ("[host.\"ftp://a\"]", "neither http nor https"),
            ("[host.\"https://a\"]\nca = \"gone.pem\"", "gone.pem: No such file"),
            ("[host.\"https://a\"]\ncapabilities = [\"sing\"]", "unknown variant `sing`"),
            ("[", "keys cannot be empty"),
        ] {
            let fixture = Fixture::of(&[("quay.io/hosts.toml", text)]);
            let error = fixture.endpoints("quay.io/a").unwrap_err().to_string();
            let path = fixture.dir.path().join("quay.io/hosts.toml");
            assert!(error.starts_with(&format!("{}: ", path.display())), "{error}");
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}

//! Debian's registry on the loopback interface, filled by Debian's skopeo: neither is ours.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use serde_json::Value;

use crate::world::{World, until};

/// The password of `me`, who alone may ask a private registry, is `secret`; bcrypt is all that it knows.
const PASSWORDS: &str = "me:$2y$05$CDW3PBvGMIlR4aJDYeuoYukCptX5SrGAbXnJAFdNhiB0N70ZdalQS\n";

/// Runs a test with a registry that anybody may ask, by http; says SKIPPED aloud where there is none, or fails under `CI=true`.
pub(crate) fn with_registry(world: &World, test: impl FnOnce(&Registry)) {
    with(world, false, test);
}

/// Likewise with one that only `me` may ask, by https.
pub(super) fn with_private_registry(world: &World, test: impl FnOnce(&Registry)) {
    with(world, true, test);
}

fn with(world: &World, is_private: bool, test: impl FnOnce(&Registry)) {
    let missing = ["docker-registry", "skopeo"].into_iter().find(|program| !is_installed(program));
    match missing {
        None => test(&Registry::start(world, is_private)),
        Some(program) => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{program} is not installed");
            drop(writeln!(std::io::stderr(), "SKIPPED: {program} is not installed"));
        }
    }
}

fn is_installed(program: &str) -> bool {
    Path::new("/usr/bin").join(program).exists()
}

/// A registry that runs as long as this lives.
pub(crate) struct Registry {
    server: Child,
    address: SocketAddr,
    /// The certificate of a private one, which is its own authority.
    certificate: Option<PathBuf>,
}

impl Registry {
    fn start(world: &World, is_private: bool) -> Self {
        let directory = world.path("registry");
        fs::create_dir_all(&directory).unwrap();
        // Nobody else of this test has it; somebody of another may have been faster.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {}}}\nhttp:\n  addr: {address}\n",
            directory.display()
        );
        let mut certificate = None;
        if is_private {
            let issued = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            let path = world.write("registry.pem", &pem("CERTIFICATE", issued.cert.der()));
            let key = world.write("registry.key", &pem("PRIVATE KEY", &issued.signing_key.serialize_der()));
            let passwords = world.write("registry.passwords", PASSWORDS);
            config.push_str(&format!(
                "  tls:\n    certificate: {}\n    key: {}\nauth:\n  htpasswd:\n    realm: registry\n    path: {}\n",
                path.display(),
                key.display(),
                passwords.display()
            ));
            certificate = Some(path);
        }
        let config = world.write("registry.yaml", &config);
        let log = File::create(world.path("registry.log")).unwrap();
        let mut command = Command::new("/usr/bin/docker-registry");
        command.arg("serve").arg(config).stdin(Stdio::null());
        let server = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let registry = Self { server, address, certificate };
        until("the registry answers", || TcpStream::connect(address).ok());
        registry
    }

    /// Host and port.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The file of the authority that vouches for it.
    pub(super) fn authority(&self) -> &Path {
        self.certificate.as_deref().unwrap()
    }

    /// The name of an image in it: `app:1` is `127.0.0.1:PORT/app:1`.
    pub(crate) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Copies an OCI image layout into it, in the format of OCI or of Docker (`v2s2`).
    pub(crate) fn push(&self, layout: &Path, image: &str, format: &str) {
        let mut command = Command::new("/usr/bin/skopeo");
        command.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", "--format", format]);
        if self.certificate.is_some() {
            command.args(["--dest-creds", "me:secret"]);
        }
        command.arg(format!("oci:{}", layout.display())).arg(format!("docker://{}", self.name(image)));
        let output = command.output().unwrap();
        assert!(output.status.success(), "skopeo: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The manifest of an image, and its digest.
    pub(super) fn manifest(&self, repository: &str, tag: &str) -> (Value, String) {
        let accept = "application/vnd.oci.image.manifest.v1+json";
        let (head, body) =
            self.ask("GET", &format!("{repository}/manifests/{tag}"), &format!("Accept: {accept}\r\n"), "");
        let digest = head.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: ")).unwrap();
        (serde_json::from_str(&body).unwrap(), digest.to_owned())
    }

    /// Puts an index, which skopeo does not make; gives its digest.
    pub(super) fn put_index(&self, repository: &str, tag: &str, index: &Value) -> String {
        let kind = format!("Content-Type: {}\r\n", index["mediaType"].as_str().unwrap());
        let (head, _) = self.ask("PUT", &format!("{repository}/manifests/{tag}"), &kind, &index.to_string());
        let digest = head.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
        digest.unwrap_or_else(|| panic!("{head}")).to_owned()
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let (host, length) = (self.address, body.len());
        let request = format!(
            "{method} /v2/{path} HTTP/1.0\r\nHost: {host}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!(
        "-----BEGIN {label}-----
{text}
-----END {label}-----
"
    )
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

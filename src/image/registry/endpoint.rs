//! Where the images of a registry are to be had.

use reqwest::Url;

use super::error::Error;
use crate::image::Reference;

/// What `docker.io` is, as an address.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// One place that has a registry's images: itself, or a mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What the paths of the protocol follow, such as `https://registry.example:5000/v2/`.
    pub base: Url,
    /// Certificates of authorities that are trusted beside the host's, PEM.
    pub authorities: Vec<Vec<u8>>,
    /// Any certificate will do.
    pub skip_verify: bool,
    /// It may say what a tag means; else it is asked for digests only.
    pub resolves: bool,
    /// It is a mirror, and is told whose images are asked for.
    pub is_mirror: bool,
}

impl Endpoint {
    /// The registry itself, as it is reached when nobody says otherwise: by https, but on the loopback interface by http,
    /// unless that is at the port of https.
    pub fn of(reference: &Reference) -> Result<Self, Error> {
        let host = address(reference.registry());
        let (name, port) = host.rsplit_once(':').map_or((host, ""), |(name, port)| (name, port));
        let is_plain = is_loopback(name) && !matches!(port, "" | "443");
        Self::at(&format!("{}://{host}", if is_plain { "http" } else { "https" }))
    }

    /// The endpoint at an address, such as `https://mirror.example`.
    pub fn at(address: &str) -> Result<Self, Error> {
        let mut endpoint = Self::with_path(address)?;
        if !endpoint.base.path().ends_with("/v2/") {
            endpoint.base.set_path(&format!("{}v2/", endpoint.base.path()));
        }
        Ok(endpoint)
    }

    /// The endpoint at an address that has all of the path, the protocol's `/v2` too where that is wanted.
    pub fn with_path(address: &str) -> Result<Self, Error> {
        let refuse = |reason: &str| Error::Refused(format!("invalid address {address:?}: {reason}"));
        let mut base: Url = address.parse().map_err(|error| refuse(&format!("{error}")))?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(refuse("neither http nor https"));
        }
        base.set_path(&format!("{}/", base.path().trim_end_matches('/')));
        Ok(Self { base, authorities: Vec::new(), skip_verify: false, resolves: true, is_mirror: false })
    }

    /// Host and port, as a person writes them.
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or_default();
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

/// The host of a registry's name.
pub(super) fn address(registry: &str) -> &str {
    if registry == "docker.io" { DOCKER_HUB } else { registry }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_reached_by_https_and_those_of_this_machine_by_http() {
        for (image, base) in [
            ("nginx", "https://registry-1.docker.io/v2/"),
            ("ghcr.io/a/b:1", "https://ghcr.io/v2/"),
            ("registry.example:5000/a", "https://registry.example:5000/v2/"),
            ("localhost:5000/a", "http://localhost:5000/v2/"),
            ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/"),
            ("[::1]:5000/a", "http://[::1]:5000/v2/"),
            ("localhost/a", "https://localhost/v2/"),
            ("localhost:443/a", "https://localhost/v2/"),
            ("10.0.0.1:80/a", "https://10.0.0.1:80/v2/"),
        ] {
            let endpoint = Endpoint::of(&image.parse().unwrap()).unwrap();
            assert_eq!(endpoint.base.as_str(), base, "{image}");
        }
        for bad in ["", "mirror.example", "ftp://a", "https://"] {
            assert!(Endpoint::at(bad).is_err(), "{bad:?}");
        }
    }
}

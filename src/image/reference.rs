//! Names of images, normalised as Docker and the kubelet do: `nginx` is `docker.io/library/nginx:latest`.
//!
//! The grammar is that of the `distribution` project's reference format:
//! `[host[:port]/]path[:tag][@digest]`, where the first component is a host when it has a `.` or `:`, or is `localhost`.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;

/// The registry of names that give none.
const DEFAULT_REGISTRY: &str = "docker.io";

/// Longest repository name, registry included.
const MAX_REPOSITORY: usize = 255;

/// A normalised image name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is not the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid image name {text:?}: {reason}")]
pub struct InvalidReference {
    text: String,
    reason: &'static str,
}

impl Reference {
    /// The registry, such as `docker.io` or `registry.example:5000`.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path within the registry, such as `library/nginx`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Registry and path, such as `docker.io/library/nginx`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The tag; `latest` when the name gave neither tag nor digest.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, as `sha256:<hex>`.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl FromStr for Reference {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        parse(text).map_err(|reason| InvalidReference { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) if digest.parse::<Digest>().is_ok() => (name, Some(digest)),
        Some(_) => return Err("its digest is not sha256: and 64 lower-case hexadecimal digits"),
        None => (text, None),
    };
    // A colon after the last slash starts the tag; one before it belongs to the registry's port.
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Err("its tag is not 1 to 128 letters, digits, '_', '.' and '-'");
    }
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => (DEFAULT_REGISTRY, name),
    };
    let registry = if registry == "index.docker.io" { DEFAULT_REGISTRY } else { registry };
    if !is_host(registry) {
        return Err("its registry is not a host name with an optional port");
    }
    let path = if registry == DEFAULT_REGISTRY && !path.contains('/') {
        format!("library/{path}")
    } else {
        path.to_owned()
    };
    if !path.split('/').all(is_component) {
        return Err("its path is not lower-case letters and digits, separated by '/', '.', '_', '__' or '-'");
    }
    if registry.len() + 1 + path.len() > MAX_REPOSITORY {
        return Err("it is longer than 255 characters");
    }
    let tag = match (tag, digest) {
        (None, None) => Some("latest"),
        (tag, _) => tag,
    };
    Ok(Reference {
        registry: registry.to_owned(),
        path,
        tag: tag.map(str::to_owned),
        digest: digest.map(str::to_owned),
    })
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    (1..=128).contains(&tag.len())
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_host(registry: &str) -> bool {
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (registry, None),
    };
    let is_v6 = |host: &str| {
        host.strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok())
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (is_v6(host) || host.split('.').all(is_label)) && port.is_none_or(is_port)
}

/// Letters and digits in runs, separated by one `.`, one or two `_`, or any number of `-`.
fn is_component(component: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = component.as_bytes();
    let ends_in_words =
        bytes.first().copied().is_some_and(is_word) && bytes.last().copied().is_some_and(is_word);
    ends_in_words
        && component
            .split(|c: char| c.is_ascii() && is_word(c as u8))
            .all(|gap| matches!(gap, "" | "." | "_" | "__") || gap.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_long_names_are_the_same_image() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let cases = [
            ("nginx", "docker.io/library/nginx:latest".to_owned()),
            ("nginx:1.14", "docker.io/library/nginx:1.14".to_owned()),
            ("library/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("index.docker.io/nginx", "docker.io/library/nginx:latest".to_owned()),
            ("docker.io/library/nginx:1.14", "docker.io/library/nginx:1.14".to_owned()),
            ("me/app", "docker.io/me/app:latest".to_owned()),
            ("localhost/app", "localhost/app:latest".to_owned()),
            ("localhost:5000/app", "localhost:5000/app:latest".to_owned()),
            ("registry.example:5000/a/b:v1", "registry.example:5000/a/b:v1".to_owned()),
            ("[::1]:5000/app:v1", "[::1]:5000/app:v1".to_owned()),
            ("10.0.0.1/a__b/c-d.e:T_1.x-y", "10.0.0.1/a__b/c-d.e:T_1.x-y".to_owned()),
            (&format!("nginx@{digest}"), format!("docker.io/library/nginx@{digest}")),
            (&format!("nginx:1@{digest}"), format!("docker.io/library/nginx:1@{digest}")),
        ];
        for (text, normal) in cases {
            let reference: Reference = text.parse().unwrap();
            assert_eq!(reference.to_string(), normal, "{text}");
            assert_eq!(
                normal.parse::<Reference>().unwrap(),
                reference,
                "{text}: normal form parses to itself"
            );
        }
    }

    #[test]
    fn names_that_docker_refuses_are_refused() {
        let long = "a".repeat(250);
        let bad_digest = format!("nginx@sha256:{}", "A".repeat(64));
        for text in [
            "",
            ":",
            "@",
            "nginx:",
            "nginx@",
            "nginx:a b",
            "Nginx",
            "a//b",
            "/a",
            "a/",
            "../etc",
            "a/../b",
            "a_.b",
            "a___b",
            "-a",
            "a-",
            "nginx:-x",
            "nginx@sha256:00",
            "host.example:x/a",
            ".example/a",
            "[::g]:1/a",
            "a\0b",
            "a\nb",
            "ä",
            "nginx:ä",
            &bad_digest,
            &long,
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}

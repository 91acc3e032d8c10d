//! Which credentials are for which images, as Docker's configuration has it: `config.json`, or `.dockercfg` of older days.
//!
//! Looked up as the kubelet does it (`pkg/credentialprovider/keyring.go`): a key is a host with an optional port and path, in which `*`
//! stands for part of a label; the most specific key comes first.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;

use super::credential::Credential;

/// What Docker itself calls its registry.
const DOCKER_HUB: &str = "index.docker.io";

/// Credentials by what they are for, the most specific first.
#[derive(Debug, Clone, Default)]
pub struct Keyring {
    /// Descending.
    keys: Vec<(String, Credential)>,
}

/// Why a text is no configuration of Docker's. What is in it is not told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a configuration of registry credentials: {0}")]
pub struct BadConfig(String);

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    auths: BTreeMap<String, Auth>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    #[serde(rename = "identitytoken")]
    identity: String,
    #[serde(rename = "registrytoken")]
    token: String,
}

impl Keyring {
    /// Reads a `config.json`, which is what Secrets of type `kubernetes.io/dockerconfigjson` hold.
    pub fn of_config(bytes: &[u8]) -> Result<Self, BadConfig> {
        let config: Config = serde_json::from_slice(bytes).map_err(bad)?;
        Self::of(config.auths)
    }

    /// Reads a `.dockercfg`, which is what Secrets of type `kubernetes.io/dockercfg` hold.
    pub fn of_legacy(bytes: &[u8]) -> Result<Self, BadConfig> {
        Self::of(serde_json::from_slice(bytes).map_err(bad)?)
    }

    fn of(auths: BTreeMap<String, Auth>) -> Result<Self, BadConfig> {
        let mut pairs = Vec::new();
        for (location, auth) in auths {
            let credential = auth.credential().map_err(|why| BadConfig(format!("{location}: {why}")))?;
            pairs.extend(credential.map(|credential| (location, credential)));
        }
        Ok(Self::of_pairs(pairs))
    }

    /// Credentials by what they are for, which is written as in Docker's configuration.
    pub fn of_pairs(pairs: impl IntoIterator<Item = (String, Credential)>) -> Self {
        let pairs = pairs.into_iter().map(|(location, credential)| (key(&location), credential));
        let mut keys: Vec<_> = pairs.collect();
        keys.sort_by(|(a, _), (b, _)| b.cmp(a));
        Self { keys }
    }

    /// What both have; what is as specific of the other comes after one's own.
    #[must_use]
    pub fn and(mut self, other: Keyring) -> Self {
        self.keys.extend(other.keys);
        self.keys.sort_by(|(a, _), (b, _)| b.cmp(a));
        self
    }

    /// The credentials for a repository (`registry.example:5000/team/app`), to be tried in turn.
    pub fn find(&self, repository: &str) -> Vec<Credential> {
        let of = |matches: &dyn Fn(&str) -> bool| {
            let found = self.keys.iter().filter(|(key, _)| matches(key));
            found.map(|(_, credential)| credential.clone()).collect::<Vec<_>>()
        };
        let found = of(&|key| is_for(key, repository));
        if found.is_empty() && repository.split('/').next().is_some_and(is_hub) {
            of(&|key| key == DOCKER_HUB)
        } else {
            found
        }
    }
}

impl Auth {
    fn credential(self) -> Result<Option<Credential>, &'static str> {
        if !self.token.is_empty() {
            return Ok(Some(Credential::Token(self.token)));
        }
        if !self.identity.is_empty() {
            return Ok(Some(Credential::Identity(self.identity)));
        }
        if self.auth.is_empty() {
            let is_empty = self.username.is_empty() && self.password.is_empty();
            let basic = Credential::Basic { username: self.username, password: self.password };
            return Ok((!is_empty).then_some(basic));
        }
        let text = self.auth.trim();
        let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        let decoded =
            decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok()).ok_or("auth is not base64")?;
        let (username, password) = decoded.split_once(':').ok_or("auth is not a name and a password")?;
        let (username, password) = (username.to_owned(), password.trim_end_matches('\0').to_owned());
        Ok(Some(Credential::Basic { username, password }))
    }
}

/// Where an error of JSON is, without what is there.
pub(super) fn bad(error: serde_json::Error) -> BadConfig {
    BadConfig(format!("line {}, column {}", error.line(), error.column()))
}

/// Host and path of a key; `/v1/` and `/v2/` are no paths.
pub(super) fn key(location: &str) -> String {
    let bare =
        location.strip_prefix("https://").or_else(|| location.strip_prefix("http://")).unwrap_or(location);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let path = match path {
        "v1" | "v2" => "",
        path => path.strip_prefix("v1/").or_else(|| path.strip_prefix("v2/")).unwrap_or(path),
    };
    let path = path.trim_end_matches('/');
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

/// True for the names that Docker's own registry goes by.
pub(super) fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | DOCKER_HUB)
}

/// True if credentials of that key are for that repository (`registry.example:5000/team/app`).
pub fn is_for(key: &str, repository: &str) -> bool {
    let split = |text: &str| -> (Vec<String>, String, String) {
        let (authority, path) = text.split_once('/').unwrap_or((text, ""));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (authority, ""),
        };
        (host.split('.').map(str::to_owned).collect(), port.to_owned(), path.to_owned())
    };
    let (labels, port, path) = split(key);
    let (of_repository, of_port, of_path) = split(repository);
    labels.len() == of_repository.len()
        && port == of_port
        && of_path.starts_with(&path)
        && labels.iter().zip(&of_repository).all(|(glob, label)| is_like(glob.as_bytes(), label.as_bytes()))
}

/// `*` is any number of characters, `?` is one.
fn is_like(glob: &[u8], text: &[u8]) -> bool {
    match (glob, text) {
        ([], []) => true,
        ([b'*', glob_rest @ ..], _) => (0..=text.len()).any(|skipped| is_like(glob_rest, &text[skipped..])),
        ([b'?', glob_rest @ ..], [_, rest @ ..]) => is_like(glob_rest, rest),
        ([a, glob_rest @ ..], [b, rest @ ..]) if a == b => is_like(glob_rest, rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn named(username: &str) -> Credential {
        Credential::Basic { username: username.to_owned(), password: "p".to_owned() }
    }

    fn keyring(keys: &[&str]) -> Keyring {
        let auths: BTreeMap<&str, _> =
            keys.iter().map(|key| (*key, json!({"auth": STANDARD.encode(format!("{key}:p"))}))).collect();
        // A name ends at the first colon, so what tells them apart is compared below by the whole.
        Keyring::of_config(json!({"auths": auths}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn the_most_specific_credentials_come_first() {
        let all = [
            "example.org",
            "example.org/team",
            "*.example.org",
            "example.org:5000",
            "index.docker.io",
            "ex*le.org/team/app",
        ];
        let ring = keyring(&all);
        for (repository, expected) in [
            ("example.org/app", vec!["example.org"]),
            ("example.org/team/app", vec!["example.org/team", "example.org", "ex*le.org/team/app"]),
            ("a.example.org/app", vec!["*.example.org"]),
            ("a.b.example.org/app", vec![]),
            ("example.org.evil.com/app", vec![]),
            ("docker.io/library/nginx", vec!["index.docker.io"]),
            ("quay.io/app", vec![]),
        ] {
            let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            expected.sort_by(|a, b| b.cmp(a));
            let found: Vec<String> = ring
                .find(repository)
                .into_iter()
                .map(|credential| match credential {
                    Credential::Basic { username, .. } => username,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(found, expected, "{repository}");
        }
        assert_eq!(ring.find("example.org:5000/app").len(), 1);
        assert_eq!(ring.find("example.org:443/app"), []);
    }

    #[test]
    fn keys_are_hosts_however_they_are_written() {
        for (location, expected) in [
            ("https://index.docker.io/v1/", "index.docker.io"),
            ("http://a.example:80/v2/team/", "a.example:80/team"),
            ("a.example/v1", "a.example"),
            ("a.example/v10", "a.example/v10"),
            ("a.example/team", "a.example/team"),
        ] {
            assert_eq!(key(location), expected, "{location}");
        }
    }

    #[test]
    fn credentials_are_read_in_every_form_and_what_is_none_is_refused_without_telling_it() {
        let read = |auth: serde_json::Value| {
            Keyring::of_legacy(json!({"a.example": auth}).to_string().as_bytes())
                .map(|ring| ring.find("a.example/x"))
        };
        let me = || vec![named("me")];
        for (auth, expected) in [
            (json!({"auth": "bWU6cA=="}), Ok(me())),
            (json!({"auth": "bWU6cA"}), Ok(me())),
            (json!({"username": "me", "password": "p", "email": "x"}), Ok(me())),
            (json!({"auth": "bWU6cA==", "identitytoken": "i"}), Ok(vec![Credential::Identity("i".into())])),
            (json!({"registrytoken": "t"}), Ok(vec![Credential::Token("t".into())])),
            (json!({}), Ok(vec![])),
            (json!({"auth": "secret!"}), Err("a.example: auth is not base64")),
            (json!({"auth": "c2VjcmV0"}), Err("a.example: auth is not a name and a password")),
        ] {
            let expected = expected.map_err(|why: &str| BadConfig(why.to_owned()));
            assert_eq!(read(auth.clone()), expected, "{auth}");
        }
        let error = Keyring::of_config(b"{\"auths\": \"secret\"}").unwrap_err().to_string();
        assert_eq!(error, "not a configuration of registry credentials: line 1, column 18");
        assert_eq!(Keyring::of_config(b"{\"credsStore\": \"x\"}").unwrap().find("a/x"), []);
    }

    #[test]
    fn what_was_added_first_is_tried_first_where_both_are_as_specific() {
        let of = |name: &str| {
            Keyring::of_legacy(
                json!({"a.example": {"username": name, "password": "p"}}).to_string().as_bytes(),
            )
            .unwrap()
        };
        assert_eq!(of("one").and(of("two")).find("a.example/x"), [named("one"), named("two")]);
    }
}

//! Docker's credential helpers: programs `docker-credential-NAME`, which a `config.json` names for registries.
//!
//! The protocol is that of <https://github.com/docker/docker-credential-helpers>: `get`, a registry on standard input, and its
//! credentials in JSON on standard output, or the reason why there are none.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tokio::process::Command;

use super::client::causes;
use super::credential::Credential;
use super::keyring::{BadConfig, bad, is_hub, key};
use crate::program::{self, Limits};

/// What a helper may take.
const LIMITS: Limits = Limits { time: Duration::from_secs(60), output: 1 << 20 };

/// What Docker asks its helpers for when it means its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The name by which a secret is an identity token.
const IDENTITY: &str = "<token>";

/// What a helper says when it knows nothing.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The helpers of a configuration.
#[derive(Debug, Clone, Default)]
pub struct Helpers {
    /// Of all registries that have none of their own.
    store: Option<String>,
    /// By the registry's host; an empty name is for none at all.
    by_host: BTreeMap<String, String>,
}

/// Why a helper is of no help.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It has no name that a program could have.
    #[error("{0:?} is no name of a credential helper")]
    Name(String),
    /// Its program did not run to an end.
    #[error("docker-credential-{name}: {reason}")]
    Failed {
        /// Its name.
        name: String,
        /// What happened, or what it said.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Config {
    #[serde(default, rename = "credsStore")]
    store: String,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Told {
    #[serde(default)]
    username: String,
    #[serde(default)]
    secret: String,
}

impl Helpers {
    /// Those of a `config.json`.
    pub fn of_config(bytes: &[u8]) -> Result<Self, BadConfig> {
        let Config { store, helpers } = serde_json::from_slice(bytes).map_err(bad)?;
        let by_host = helpers.into_iter().map(|(location, name)| (key(&location), name)).collect();
        Ok(Self { store: Some(store).filter(|name| !name.is_empty()), by_host })
    }

    /// What the registry's helper knows for it, if it has one and that knows something.
    pub async fn credential(&self, registry: &str) -> Result<Option<Credential>, HelperError> {
        let Some(name) = self.of(registry) else { return Ok(None) };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if !name.chars().all(is_plain) {
            return Err(HelperError::Name(name.to_owned()));
        }
        let failed = |reason: String| HelperError::Failed { name: name.to_owned(), reason };
        let mut command = Command::new(format!("docker-credential-{name}"));
        command.arg("get");
        let server = if is_hub(registry) { DOCKER_HUB } else { registry };
        let ran = program::run(command, server.as_bytes(), LIMITS).await;
        let ran = ran.map_err(|error| failed(causes(&error)))?;
        let Some(failure) = ran.failure() else {
            return told(&ran.output).ok_or_else(|| failed("its answer is no credential".to_owned()));
        };
        let said = String::from_utf8_lossy(&ran.output);
        match said.trim() {
            NOT_FOUND => Ok(None),
            "" => Err(failed(failure)),
            said => {
                Err(failed(said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(256).collect()))
            }
        }
    }

    /// The name of a registry's helper.
    fn of(&self, registry: &str) -> Option<&str> {
        let names: &[&str] = if is_hub(registry) { &["index.docker.io", "docker.io"] } else { &[registry] };
        let own = names.iter().find_map(|host| self.by_host.get(*host)).or(self.store.as_ref());
        own.map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// Reads an answer; the outer `None` is for what is none.
fn told(bytes: &[u8]) -> Option<Option<Credential>> {
    let Told { username, secret } = serde_json::from_slice(bytes).ok()?;
    Some(match (username.as_str(), secret.is_empty()) {
        ("", true) => None,
        (IDENTITY, _) => Some(Credential::Identity(secret)),
        _ => Some(Credential::Basic { username, password: secret }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registrys_own_helper_goes_before_the_one_for_all() {
        let config = br#"{"credsStore": "all", "credHelpers": {
            "gcr.io": "gcr", "https://a.example:5000/v2/": "a", "docker.io": "hub", "none.example": ""
        }}"#;
        let helpers = Helpers::of_config(config).unwrap();
        for (registry, name) in [
            ("gcr.io", Some("gcr")),
            ("a.example:5000", Some("a")),
            ("a.example", Some("all")),
            ("docker.io", Some("hub")),
            ("none.example", None),
        ] {
            assert_eq!(helpers.of(registry), name, "{registry}");
        }
        let hub = br#"{"credHelpers": {"https://index.docker.io/v1/": "desktop"}, "credsStore": ""}"#;
        let helpers = Helpers::of_config(hub).unwrap();
        assert_eq!((helpers.of("docker.io"), helpers.of("gcr.io")), (Some("desktop"), None));
        assert!(Helpers::of_config(b"{\"credsStore\": 1}").is_err());
    }

    #[test]
    fn an_answer_is_a_password_an_identity_token_or_nothing() {
        for (answer, expected) in [
            (r#"{"ServerURL":"a","Username":"me","Secret":"p"}"#, Some(Some(("me", "p")))),
            (r#"{"Username":"<token>","Secret":"t"}"#, Some(Some(("<token>", "t")))),
            (r#"{"Username":"","Secret":""}"#, Some(None)),
            ("secret", None),
        ] {
            let credential = |(name, secret): (&str, &str)| match name {
                IDENTITY => Credential::Identity(secret.to_owned()),
                name => Credential::Basic { username: name.to_owned(), password: secret.to_owned() },
            };
            assert!(told(answer.as_bytes()) == expected.map(|told| told.map(credential)), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_helper_that_is_missing_or_has_no_name_is_told() {
        for (name, reason) in [
            (
                "is-not-there",
                "docker-credential-is-not-there: it cannot be started: No such file or directory",
            ),
            ("../../bin/sh", "\"../../bin/sh\" is no name of a credential helper"),
        ] {
            let helpers = Helpers { store: Some(name.to_owned()), by_host: BTreeMap::new() };
            let error = helpers.credential("a.example").await.unwrap_err().to_string();
            assert!(error.starts_with(reason), "{error}");
        }
    }
}

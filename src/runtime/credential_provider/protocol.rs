//! What a plugin is asked and what it answers (`credentialprovider.kubelet.k8s.io`). Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::image::registry::{Credential, Keyring};

/// The versions that a kubelet speaks; they differ in what is not used here.
pub(super) const API_VERSIONS: [&str; 3] = [
    "credentialprovider.kubelet.k8s.io/v1",
    "credentialprovider.kubelet.k8s.io/v1alpha1",
    "credentialprovider.kubelet.k8s.io/v1beta1",
];

/// What an answer holds for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// This repository.
    Image,
    /// All of its registry's.
    Registry,
    /// Everything that the plugin is asked for.
    Global,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Response {
    /// What it holds for.
    pub(super) scope: Scope,
    /// How long it holds, when it says so; 0 is for this once.
    pub(super) cache_duration: Option<Duration>,
    /// What it tells.
    pub(super) keyring: Keyring,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    kind: &'a str,
    api_version: &'a str,
    image: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(default)]
    cache_key_type: String,
    cache_duration: Option<String>,
    auth: Option<BTreeMap<String, Auth>>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Auth {
    username: String,
    password: String,
}

/// Asks for a repository.
pub(super) fn request(api_version: &str, image: &str) -> Vec<u8> {
    let request = Request { kind: "CredentialProviderRequest", api_version, image };
    let mut text = serde_json::json!(request).to_string();
    text.push('\n');
    text.into_bytes()
}

/// Reads an answer. The reason why it cannot be used tells nothing of what is in it.
pub(super) fn response(bytes: &[u8], api_version: &str) -> Result<Response, String> {
    #[derive(Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Head {
        api_version: String,
        kind: String,
    }
    let undecodable = || "error decoding credential provider plugin response from stdout".to_owned();
    let head: Head = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        format!("error reading GVK from response: no JSON at line {line}, column {column}")
    })?;
    if head.api_version != api_version {
        let actual = head.api_version;
        return Err(format!(
            "apiVersion from credential plugin response did not match expected apiVersion:{api_version}, actual apiVersion:{actual}"
        ));
    }
    if head.kind != "CredentialProviderResponse" {
        return Err(undecodable());
    }
    let Written { cache_key_type, cache_duration, auth, .. } =
        serde_json::from_slice(bytes).map_err(|_| undecodable())?;
    let scope = match cache_key_type.as_str() {
        "Image" => Scope::Image,
        "Registry" => Scope::Registry,
        "Global" => Scope::Global,
        other => {
            return Err(format!("credential provider plugin did not return a valid cacheKeyType: {other:?}"));
        }
    };
    let cache_duration = cache_duration.map(|text| duration(&text).ok_or_else(undecodable)).transpose()?;
    let credentials = auth.unwrap_or_default().into_iter().filter_map(|(location, auth)| {
        let Auth { username, password } = auth;
        let is_empty = username.is_empty() && password.is_empty();
        (!is_empty).then_some((location, Credential::Basic { username, password }))
    });
    Ok(Response { scope, cache_duration, keyring: Keyring::of_pairs(credentials) })
}

/// A time as Go writes it; one below 0 is over before it begins.
fn duration(text: &str) -> Option<Duration> {
    let span = if text == "0" { SignedDuration::ZERO } else { text.parse().ok()? };
    Some(Duration::try_from(span).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn answer(change: Value) -> Result<Response, String> {
        let mut whole = json!({
            "kind": "CredentialProviderResponse",
            "apiVersion": API_VERSIONS[0],
            "cacheKeyType": "Registry",
            "cacheDuration": "1h30m0s",
            "auth": {"*.a.example": {"username": "me", "password": "p"}, "b.example": {}},
        });
        for (key, value) in change.as_object().unwrap() {
            whole[key] = value.clone();
        }
        response(whole.to_string().as_bytes(), API_VERSIONS[0])
    }

    #[test]
    fn a_request_is_a_line_of_json() {
        assert_eq!(
            String::from_utf8(request(API_VERSIONS[2], "docker.io/library/nginx")).unwrap(),
            "{\"kind\":\"CredentialProviderRequest\",\"apiVersion\":\"credentialprovider.kubelet.k8s.io/v1beta1\",\"image\":\"docker.io/library/nginx\"}\n"
        );
    }

    #[test]
    fn an_answer_says_what_it_holds_for_and_how_long() {
        let read = answer(json!({})).unwrap();
        assert_eq!((read.scope, read.cache_duration), (Scope::Registry, Some(Duration::from_secs(5400))));
        let me = Credential::Basic { username: "me".into(), password: "p".into() };
        assert!(read.keyring.find("x.a.example/app") == [me]);
        assert!(read.keyring.find("b.example/app").is_empty(), "nothing is no credential");
        for (change, scope, duration) in [
            (json!({"cacheKeyType": "Image", "cacheDuration": null}), Scope::Image, None),
            (json!({"cacheKeyType": "Global", "cacheDuration": "0s"}), Scope::Global, Some(0)),
            (json!({"cacheDuration": "-5m", "auth": null}), Scope::Registry, Some(0)),
        ] {
            let read = answer(change).unwrap();
            assert_eq!((read.scope, read.cache_duration), (scope, duration.map(Duration::from_secs)));
        }
    }

    #[test]
    fn an_answer_that_cannot_be_used_is_told_in_the_kubelets_words_without_what_is_in_it() {
        let undecodable = "error decoding credential provider plugin response from stdout";
        for (change, reason) in [
            (
                json!({"apiVersion": API_VERSIONS[1]}),
                "apiVersion from credential plugin response did not match expected apiVersion:credentialprovider.kubelet.k8s.io/v1, actual apiVersion:credentialprovider.kubelet.k8s.io/v1alpha1",
            ),
            (json!({"kind": "Secret"}), undecodable),
            (json!({"auth": {"a": "secret"}}), undecodable),
            (json!({"auth": {"a": {"password": "p", "passwd": "secret"}}}), undecodable),
            (json!({"secret": 1}), undecodable),
            (json!({"cacheDuration": "soon"}), undecodable),
            (
                json!({"cacheKeyType": "Node"}),
                "credential provider plugin did not return a valid cacheKeyType: \"Node\"",
            ),
            (
                json!({"cacheKeyType": ""}),
                "credential provider plugin did not return a valid cacheKeyType: \"\"",
            ),
        ] {
            assert_eq!(answer(change).unwrap_err(), reason);
        }
        let error = response(b"secret", API_VERSIONS[0]).unwrap_err();
        assert_eq!(error, "error reading GVK from response: no JSON at line 1, column 1");
    }
}

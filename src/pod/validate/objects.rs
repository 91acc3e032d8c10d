//! ConfigMaps and Secrets.

use std::collections::BTreeMap;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{all_invalid, metadata, names};
use crate::pod::objects::{ConfigMap, ObjectKey, Secret};
use crate::pod::path::Path;
use crate::pod::report::Document;

/// Bytes of all values of an object together.
const MAX_SIZE: usize = 1024 * 1024;

/// As Go reads it: padded, and strict about the last character's spare bits no more than Go is.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

/// Values as they are written; a null is an empty one.
pub(in crate::pod) type Texts = BTreeMap<String, Option<String>>;

/// Checks the ConfigMap at `path`.
pub(in crate::pod) fn config_map(
    metadata: &ObjectMeta,
    data: &Texts,
    binary_data: &Texts,
    immutable: bool,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<(ObjectKey, ConfigMap)> {
    let key = metadata::check_object(metadata, &path.field("metadata"), document);
    let data_path = path.field("data");
    check_keys(data, &data_path, document);
    check_keys(binary_data, &path.field("binaryData"), document);
    for key in data.keys().filter(|key| binary_data.contains_key(*key)) {
        document.invalid(&data_path.key(key), key, "duplicate of key present in binaryData");
    }
    let config_map = ConfigMap {
        data: data.iter().map(|(key, text)| (key.clone(), text.clone().unwrap_or_default())).collect(),
        binary_data: decoded(binary_data, &path.field("binaryData"), document),
        immutable,
    };
    let size = config_map.data.values().map(String::len).sum::<usize>() + size(&config_map.binary_data);
    if size > MAX_SIZE {
        too_long(path, document);
    }
    Some((key?, config_map))
}

/// Checks the Secret at `path`.
pub(in crate::pod) fn secret(
    metadata: &ObjectMeta,
    data: &Texts,
    string_data: &Texts,
    (kind, immutable): (&str, bool),
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<(ObjectKey, Secret)> {
    let key = metadata::check_object(metadata, &path.field("metadata"), document);
    let data_path = path.field("data");
    check_keys(data, &data_path, document);
    check_keys(string_data, &path.field("stringData"), document);
    let mut secret = Secret {
        data: decoded(data, &data_path, document),
        kind: if kind.is_empty() { "Opaque".to_owned() } else { kind.to_owned() },
        immutable,
    };
    let texts = string_data.iter().map(|(key, text)| (key.clone(), text.clone().unwrap_or_default()));
    secret.data.extend(texts.map(|(key, text)| (key, text.into_bytes())));
    if size(&secret.data) > MAX_SIZE {
        too_long(&data_path, document);
    }
    check_type(&secret, metadata, path, document);
    Some((key?, secret))
}

/// The types that Kubernetes knows have keys that must be there.
fn check_type(secret: &Secret, metadata: &ObjectMeta, path: &Path<'_>, document: &mut Document<'_, '_>) {
    const ACCOUNT: &str = "kubernetes.io/service-account.name";
    let data_path = path.field("data");
    let has = |key: &str| secret.data.contains_key(key);
    match secret.kind.as_str() {
        "kubernetes.io/service-account-token" => {
            let annotations = metadata.annotations.as_ref();
            if annotations.and_then(|all| all.get(ACCOUNT)).is_none_or(String::is_empty) {
                document.required(&path.field("metadata").field("annotations").key(ACCOUNT));
            }
        }
        "kubernetes.io/dockercfg" => check_json(secret, ".dockercfg", &data_path, document),
        "kubernetes.io/dockerconfigjson" => check_json(secret, ".dockerconfigjson", &data_path, document),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            document.required(&data_path.key("username"));
            document.required(&data_path.key("password"));
        }
        "kubernetes.io/ssh-auth" if secret.data.get("ssh-privatekey").is_none_or(Vec::is_empty) => {
            document.required(&data_path.key("ssh-privatekey"));
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"].into_iter().filter(|key| !has(key)) {
                document.required(&data_path.key(key));
            }
        }
        _ => {}
    }
}

fn check_json(secret: &Secret, key: &str, path: &Path<'_>, document: &mut Document<'_, '_>) {
    let path = path.key(key);
    match secret.data.get(key).map(|text| serde_json::from_slice::<serde_json::Map<_, _>>(text)) {
        None => document.required(&path),
        Some(Ok(_)) => {}
        // What the parser says could quote it.
        Some(Err(_)) => document.invalid(&path, "<secret contents redacted>", "must be a JSON object"),
    }
}

fn check_keys(values: &Texts, path: &Path<'_>, document: &mut Document<'_, '_>) {
    for key in values.keys() {
        all_invalid(&path.key(key), key, names::config_key(key), document);
    }
}

fn decoded(values: &Texts, path: &Path<'_>, document: &mut Document<'_, '_>) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for (key, text) in values {
        // Lines may be broken anywhere.
        let text: String =
            text.iter().flat_map(|text| text.chars()).filter(|c| !"\r\n".contains(*c)).collect();
        match BASE64.decode(&text) {
            Ok(bytes) => drop(all.insert(key.clone(), bytes)),
            Err(error) => {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _)
                    | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                    _ => text.len(),
                };
                document.problem(&path.key(key), format!("illegal base64 data at input byte {at}"));
            }
        }
    }
    all
}

fn size(values: &BTreeMap<String, Vec<u8>>) -> usize {
    values.values().map(Vec::len).sum()
}

fn too_long(path: &Path<'_>, document: &mut Document<'_, '_>) {
    document.problem(path, format!("Too long: may not be more than {MAX_SIZE} bytes"));
}

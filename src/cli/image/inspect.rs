//! `mkubelet image inspect`: an image in the fields that `docker image inspect` and `podman image inspect` have.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::list::time;
use crate::cli::client::output;
use crate::cli::say;
use crate::image::{Details, Store};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Names of images, or their ids.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// How they are printed.
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Json)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> anyhow::Result<()> {
    let inspect = |name: &String| Ok(document(store.inspect(name)?));
    let all = Value::from(arguments.names.iter().map(inspect).collect::<anyhow::Result<Vec<_>>>()?);
    match arguments.output {
        Format::Json => say(&output::json(&all)?),
        Format::Yaml => say(&output::yaml(&all)),
    }
}

/// What of an image's configuration stands beside what the store knows, under the names that docker has for it.
const FIELDS: [(&str, &str); 7] = [
    ("created", "Created"),
    ("author", "Author"),
    ("architecture", "Architecture"),
    ("variant", "Variant"),
    ("os", "Os"),
    ("config", "Config"),
    ("history", "History"),
];

fn document(details: Details) -> Value {
    let layers = details
        .layers
        .iter()
        .map(|layer| json!({"Digest": layer.digest, "Size": layer.size, "DiffId": layer.diff_id}));
    let mut document = Map::new();
    let own = [
        ("Id", json!(details.id)),
        ("Digest", json!(details.manifest)),
        ("RepoTags", json!(details.names)),
        ("RepoDigests", json!(details.digests)),
        ("Size", json!(details.size)),
        ("Imported", json!(time(details.imported))),
        ("Pinned", json!(details.is_local)),
        ("LayersData", Value::from(layers.collect::<Vec<_>>())),
    ];
    document.extend(own.map(|(key, value)| (key.to_owned(), value)));
    for (field, name) in FIELDS {
        if let Some(value) = details.configuration.get(field).filter(|value| !value.is_null()) {
            document.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(labels) = details.configuration.pointer("/config/Labels").filter(|labels| !labels.is_null()) {
        document.insert("Labels".to_owned(), labels.clone());
    }
    let diff_ids: Vec<&str> = details.layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    document.insert("RootFS".to_owned(), json!({"Type": "layers", "Layers": diff_ids}));
    Value::Object(document)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::image::Layer;

    #[test]
    fn scripts_for_docker_and_podman_find_their_fields() {
        let layer = Layer { digest: "sha256:b".into(), size: 7, diff_id: "sha256:d".into() };
        let details = Details {
            id: "sha256:c".into(),
            manifest: "sha256:m".into(),
            names: vec!["docker.io/library/a:1".into()],
            digests: vec!["docker.io/library/a@sha256:m".into()],
            size: 9,
            imported: Timestamp::UNIX_EPOCH,
            is_local: true,
            layers: vec![layer],
            configuration: json!({
                "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z", "author": null,
                "config": {"Env": ["A=b"], "Labels": {"l": "v"}}, "rootfs": {"diff_ids": ["sha256:d"]},
            }),
        };
        let expected = json!({
            "Id": "sha256:c", "Digest": "sha256:m", "RepoTags": ["docker.io/library/a:1"],
            "RepoDigests": ["docker.io/library/a@sha256:m"], "Size": 9, "Imported": "1970-01-01T00:00:00Z",
            "Pinned": true, "LayersData": [{"Digest": "sha256:b", "Size": 7, "DiffId": "sha256:d"}],
            "Created": "2026-01-01T00:00:00Z", "Architecture": "amd64", "Os": "linux",
            "Config": {"Env": ["A=b"], "Labels": {"l": "v"}}, "Labels": {"l": "v"},
            "RootFS": {"Type": "layers", "Layers": ["sha256:d"]},
        });
        assert_eq!(document(details), expected);
    }
}

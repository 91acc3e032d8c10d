//! Manifests, configurations and indexes: read strictly, checked once, and turned into what the store needs.

use jiff::Timestamp;
use oci_spec::image::{Arch, Config, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, Os};

use super::digest::Digest;
use super::error::Error;

/// Layers that one overlay can have, with room for the writable one.
const MAX_LAYERS: usize = 127;

/// How a layer's archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// The media type of a layer that is packed so.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// By the first bytes of the blob.
    pub(crate) fn detect(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }
}

/// A layer by its manifest and its image's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerInfo {
    /// Digest of the blob.
    pub(crate) blob: Digest,
    /// Size of the blob.
    pub(crate) size: u64,
    /// How it is packed.
    pub(crate) compression: Compression,
    /// Digest of the archive in it.
    pub(crate) diff_id: Digest,
    /// Names this layer on top of all layers below it.
    pub(crate) chain_id: Digest,
}

/// A manifest and its configuration, checked against each other.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    /// Digest of the manifest.
    pub(crate) manifest: Digest,
    /// Digest of the configuration.
    pub(crate) id: Digest,
    /// The lowest first; at least one.
    pub(crate) layers: Vec<LayerInfo>,
    /// How to start a container.
    pub(crate) config: Config,
    /// When the image was made, if it says so.
    pub(crate) created: Option<Timestamp>,
}

/// The manifests that an index lists: images and further indexes.
pub(crate) fn index(bytes: &[u8], what: &str) -> Result<Vec<Descriptor>, Error> {
    let index: ImageIndex = serde_json::from_slice(bytes).map_err(Error::invalid(what))?;
    Ok(index.manifests().clone())
}

/// Digest of the configuration of an image manifest.
pub(crate) fn config_digest(bytes: &[u8], what: &str) -> Result<Digest, Error> {
    digest(parse(bytes, what)?.config())
}

/// The digest that a descriptor points to.
pub(crate) fn digest(descriptor: &Descriptor) -> Result<Digest, Error> {
    descriptor.digest().to_string().parse()
}

/// True for a descriptor of an index.
pub(crate) fn is_index(descriptor: &Descriptor) -> bool {
    matches!(
        descriptor.media_type().to_string().as_str(),
        "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}

/// True for a descriptor of an image.
pub(crate) fn is_image(descriptor: &Descriptor) -> bool {
    matches!(
        descriptor.media_type().to_string().as_str(),
        "application/vnd.oci.image.manifest.v1+json" | "application/vnd.docker.distribution.manifest.v2+json"
    )
}

/// True if an index does not say that this is for another system than ours.
pub(crate) fn may_run_here(descriptor: &Descriptor) -> bool {
    descriptor.platform().as_ref().is_none_or(|platform| {
        *platform.os() == Os::Linux
            && *platform.architecture() == Arch::default()
            && platform.variant().as_deref().is_none_or(is_every_machines)
    })
}

/// True for the variant of our architecture that all of its machines have.
fn is_every_machines(variant: &str) -> bool {
    let expected = match Arch::default() {
        Arch::Amd64 => "v1",
        Arch::ARM64 => "v8",
        _ => "",
    };
    variant.is_empty() || variant == expected
}

/// The first of an index that is for this machine; one that says so is meant rather than one that says nothing.
pub(crate) fn choose(all: &[Descriptor]) -> Option<&Descriptor> {
    let usable = |one: &&Descriptor| (is_image(one) || is_index(one)) && may_run_here(one);
    let mut said = all.iter().filter(usable).filter(|one| one.platform().is_some());
    said.next().or_else(|| all.iter().find(usable))
}

/// What a document is that a registry calls a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Lists further manifests.
    Index,
    /// Is an image's.
    Image,
}

/// Tells by what is in it. One that could be read either way is refused (CVE-2021-41190).
pub(crate) fn kind(bytes: &[u8], what: &str) -> Result<Kind, Error> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Either {
        schema_version: Option<u64>,
        manifests: Option<serde::de::IgnoredAny>,
        layers: Option<serde::de::IgnoredAny>,
    }
    let either: Either = serde_json::from_slice(bytes).map_err(Error::invalid(what))?;
    let refuse = |reason: &str| Err(Error::Invalid { what: what.to_owned(), reason: reason.to_owned() });
    match (either.schema_version, either.manifests.is_some(), either.layers.is_some()) {
        (Some(1), ..) => refuse("its schemaVersion is 1, and only 2 is supported"),
        (_, true, true) => refuse("it is both an index and a manifest"),
        (_, true, false) => Ok(Kind::Index),
        (_, false, true) => Ok(Kind::Image),
        (_, false, false) => refuse("it is neither an index nor a manifest"),
    }
}

/// The configuration of an image manifest: its digest, and its size in bytes.
pub(crate) fn config(bytes: &[u8], what: &str) -> Result<(Digest, u64), Error> {
    let manifest = parse(bytes, what)?;
    Ok((digest(manifest.config())?, manifest.config().size()))
}

/// What kind of image manifest this is: OCI's need not say so.
pub(crate) fn media_type(bytes: &[u8]) -> Result<String, Error> {
    let said = parse(bytes, "manifest")?.media_type().as_ref().map(ToString::to_string);
    Ok(said.unwrap_or_else(|| "application/vnd.oci.image.manifest.v1+json".to_owned()))
}

/// Checks an image: its manifest, its configuration, and that it is for this machine.
pub(crate) fn check(manifest: &[u8], config: &[u8]) -> Result<Checked, Error> {
    let manifest_digest = Digest::of(manifest);
    let manifest = parse(manifest, &format!("manifest {manifest_digest}"))?;
    let id = Digest::of(config);
    let what = format!("image configuration {id}");
    let fail = |reason: String| Error::Invalid { what: what.clone(), reason };
    let config = configuration(config)?;

    if *config.os() != Os::Linux || *config.architecture() != Arch::default() {
        return Err(fail(format!(
            "it is for {}/{}, and this machine is linux/{}",
            config.os(),
            config.architecture(),
            Arch::default()
        )));
    }
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != manifest.layers().len() {
        let (diff_ids, layers) = (diff_ids.len(), manifest.layers().len());
        return Err(fail(format!("it names {diff_ids} layers, and the manifest {layers}")));
    }
    if diff_ids.is_empty() || diff_ids.len() > MAX_LAYERS {
        return Err(fail(format!("it has {} layers, which should be 1 to {MAX_LAYERS}", diff_ids.len())));
    }
    let mut layers: Vec<LayerInfo> = Vec::new();
    for (descriptor, diff_id) in manifest.layers().iter().zip(diff_ids) {
        let diff_id: Digest = diff_id.parse()?;
        // https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid
        let chain_id = match layers.last() {
            None => diff_id.clone(),
            Some(below) => Digest::of(format!("{} {diff_id}", below.chain_id).as_bytes()),
        };
        layers.push(LayerInfo {
            blob: digest(descriptor)?,
            size: descriptor.size(),
            compression: compression(descriptor)?,
            diff_id,
            chain_id,
        });
    }
    let created = config.created().as_ref().and_then(|text| text.parse().ok());
    let config = config.config().clone().unwrap_or_default();
    check_strings(&config).map_err(fail)?;
    Ok(Checked { manifest: manifest_digest, id, layers, config, created })
}

/// Parses an image configuration.
pub(crate) fn configuration(bytes: &[u8]) -> Result<ImageConfiguration, Error> {
    serde_json::from_slice(bytes)
        .map_err(Error::invalid(format!("image configuration {}", Digest::of(bytes))))
}

fn parse(bytes: &[u8], what: &str) -> Result<ImageManifest, Error> {
    let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(Error::invalid(what))?;
    if manifest.schema_version() != 2 {
        let reason = format!("its schemaVersion is {}, and only 2 is supported", manifest.schema_version());
        return Err(Error::Invalid { what: what.to_owned(), reason });
    }
    Ok(manifest)
}

fn compression(descriptor: &Descriptor) -> Result<Compression, Error> {
    match descriptor.media_type().to_string().as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Ok(Compression::None),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip"
        | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Ok(Compression::Gzip),
        "application/vnd.oci.image.layer.v1.tar+zstd"
        | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
        | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Ok(Compression::Zstd),
        other => Err(Error::Invalid {
            what: format!("layer {}", descriptor.digest()),
            reason: format!("its media type {other:?} is not supported"),
        }),
    }
}

/// What goes to the kernel as a string has no NUL.
fn check_strings(config: &Config) -> Result<(), String> {
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let one = |text: &Option<String>| text.clone().into_iter().collect();
    let fields: [(&str, Vec<String>); 6] = [
        ("Env", list(config.env())),
        ("Entrypoint", list(config.entrypoint())),
        ("Cmd", list(config.cmd())),
        ("User", one(config.user())),
        ("WorkingDir", one(config.working_dir())),
        ("StopSignal", one(config.stop_signal())),
    ];
    match fields.iter().find(|(_, texts)| texts.iter().any(|text| text.contains('\0'))) {
        Some((field, _)) => Err(format!("there is a NUL in its {field}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn arch() -> String {
        Arch::default().to_string()
    }

    fn layer(digest: char, media_type: &str) -> Value {
        json!({"mediaType": media_type, "size": 3, "digest": format!("sha256:{}", digest.to_string().repeat(64))})
    }

    fn manifest(layers: Vec<Value>) -> Value {
        json!({"schemaVersion": 2, "config": layer('c', "application/vnd.oci.image.config.v1+json"), "layers": layers})
    }

    fn config(diff_ids: Vec<String>) -> Value {
        json!({"os": "linux", "architecture": arch(), "rootfs": {"type": "layers", "diff_ids": diff_ids}})
    }

    fn problem(manifest: &Value, config: &Value) -> String {
        check(manifest.to_string().as_bytes(), config.to_string().as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_image_is_checked_before_anything_of_it_is_used() {
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        let good = manifest(vec![layer('1', gzip)]);
        let diff_id = format!("sha256:{}", "d".repeat(64));
        let mut foreign = config(vec![diff_id.clone()]);
        foreign["architecture"] = "s390x".into();
        let mut nul = config(vec![diff_id.clone()]);
        nul["config"] = json!({"Env": ["A=\0"]});
        let mut old = good.clone();
        old["schemaVersion"] = 1.into();
        let mut escape = good.clone();
        escape["layers"][0]["digest"] = "sha256:../../../etc/passwd".into();

        let cases = [
            (&good, &config(vec![]), "it names 0 layers, and the manifest 1"),
            (&manifest(vec![]), &config(vec![]), "it has 0 layers, which should be 1 to 127"),
            (
                &good,
                &config(vec!["sha256:../x".into()]),
                "it is not sha256: and 64 lower-case hexadecimal digits",
            ),
            (&good, &foreign, "it is for linux/s390x, and this machine is linux/"),
            (&good, &nul, "there is a NUL in its Env"),
            (&old, &config(vec![diff_id.clone()]), "its schemaVersion is 1, and only 2 is supported"),
            (&escape, &config(vec![diff_id.clone()]), "invalid manifest"),
            (
                &manifest(vec![layer('1', "text/plain")]),
                &config(vec![diff_id.clone()]),
                "\"text/plain\" is not supported",
            ),
        ];
        for (manifest, config, reason) in cases {
            let problem = problem(manifest, config);
            assert!(problem.contains(reason), "{problem}\nshould contain: {reason}");
        }
    }

    #[test]
    fn docker_and_oci_manifests_are_understood_alike() {
        let media_types = [
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Compression::Gzip),
            ("application/vnd.oci.image.layer.v1.tar", Compression::None),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Compression::Zstd),
        ];
        let manifest = manifest(media_types.iter().map(|(media_type, _)| layer('1', media_type)).collect());
        // As docker writes it, with nulls for what is not set.
        let mut config = config(["a", "b", "c"].map(|digit| format!("sha256:{}", digit.repeat(64))).to_vec());
        config["config"] =
            json!({"Env": ["PATH=/bin"], "Cmd": null, "Volumes": null, "ExposedPorts": null, "Labels": null});
        config["container_config"] = json!({"Hostname": "x"});

        let checked = check(manifest.to_string().as_bytes(), config.to_string().as_bytes()).unwrap();
        let found: Vec<_> = checked.layers.iter().map(|layer| layer.compression).collect();
        assert_eq!(found, media_types.map(|(_, compression)| compression));
        assert_eq!(checked.config.env().as_deref(), Some(&["PATH=/bin".to_owned()][..]));
        assert_eq!(checked.config.cmd(), &None);
    }

    #[test]
    fn a_layer_is_named_after_all_that_is_below_it() {
        let gzip = "application/vnd.oci.image.layer.v1.tar+gzip";
        let diff_ids = ["a", "b"].map(|digit| format!("sha256:{}", digit.repeat(64)));
        let manifest = manifest(vec![layer('1', gzip), layer('2', gzip)]);
        let config = config(diff_ids.to_vec());
        let checked = check(manifest.to_string().as_bytes(), config.to_string().as_bytes()).unwrap();
        assert_eq!(checked.layers[0].chain_id.to_string(), diff_ids[0]);
        assert_eq!(
            checked.layers[1].chain_id,
            Digest::of(format!("{} {}", diff_ids[0], diff_ids[1]).as_bytes())
        );
    }
}

//! From the bytes of a manifest to pods: parse, read into Kubernetes' types, fill in defaults, validate.

use std::collections::{BTreeMap, HashSet};

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::objects::Objects;
use super::path::Path;
use super::problem::Position;
use super::report::{Document, Report};
use super::sysctl::Allowed;
use super::update::Written;
use super::yaml::{self, Node, Value};
use super::{Pod, PodKey, Problems, defaults, supported, typed, validate};

mod objects;

/// What a manifest says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// In their order; no two with the same namespace and name.
    pub pods: Vec<Pod>,
    /// What they may refer to.
    pub objects: Objects,
    /// The pods' fields, by namespace and name.
    pub written: BTreeMap<PodKey, Written>,
}

/// Decodes a manifest, YAML or JSON, or says everything that is wrong with it.
///
/// A manifest has one or several documents, each a Pod, a ConfigMap, a Secret or a List of these; empty documents are
/// skipped. `file` is the name that the problems give. Any bytes are answered in bounded time and memory.
pub fn decode(bytes: &[u8], file: &str) -> Result<Manifest, Problems> {
    decode_allowing(bytes, file, &Allowed::default())
}

/// Likewise, on a node that allows more kernel parameters than the safe ones.
pub fn decode_allowing(bytes: &[u8], file: &str, sysctls: &Allowed) -> Result<Manifest, Problems> {
    let mut report = Report::new(file);
    let mut manifest = Manifest::default();
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let (documents, flaws) = yaml::parse(text);
            flaws.into_iter().for_each(|flaw| report.add_flaw(flaw));
            let mut names = HashSet::new();
            for tree in &documents {
                let document = Document::new(tree, &mut report);
                Reading::new(document, &mut names, sysctls, &mut manifest).object(tree, &Path::ROOT);
            }
        }
        Err(error) => {
            let place = end_of(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
            report.add(place, String::new(), "the file is not UTF-8".to_owned());
        }
    }
    report.finish()?;
    if manifest == Manifest::default() {
        return Err(Problems::of_file(file, "no Pod in the file"));
    }
    Ok(manifest)
}

/// The kinds that are known.
const KINDS: [&str; 3] = ["ConfigMap", "Pod", "Secret"];

/// These, and lists of them.
const ALL_KINDS: [&str; 7] = ["ConfigMap", "ConfigMapList", "List", "Pod", "PodList", "Secret", "SecretList"];

/// Lists, and the kind of their items; `None`: any of these.
const LISTS: [(&str, Option<&str>); 4] = [
    ("ConfigMapList", Some("ConfigMap")),
    ("List", None),
    ("PodList", Some("Pod")),
    ("SecretList", Some("Secret")),
];

/// A Pod as it is written. The status is of the cluster that it came from.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Whole {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Option<ObjectMeta>,
    spec: Option<k8s::PodSpec>,
    #[serde(rename = "status")]
    _status: IgnoredAny,
}

/// The shell of a list.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Shell {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    #[serde(rename = "metadata")]
    _metadata: IgnoredAny,
    items: Option<Vec<IgnoredAny>>,
}

/// The reading of one document.
pub(super) struct Reading<'a, 'r, 'f> {
    document: Document<'r, 'f>,
    names: &'a mut Names,
    /// Kernel parameters that pods may set.
    sysctls: &'a Allowed,
    /// Where what is read goes.
    pub(super) manifest: &'a mut Manifest,
}

/// Kind, namespace and name of every object so far, in all documents.
type Names = HashSet<(&'static str, String, String)>;

impl<'a, 'r, 'f> Reading<'a, 'r, 'f> {
    pub(super) fn new(
        document: Document<'r, 'f>,
        names: &'a mut Names,
        sysctls: &'a Allowed,
        manifest: &'a mut Manifest,
    ) -> Self {
        Self { document, names, sysctls, manifest }
    }
}

impl Reading<'_, '_, '_> {
    /// An object, or a list of objects.
    fn object(&mut self, node: &Node, path: &Path<'_>) {
        match self.kind(node, path, &ALL_KINDS) {
            Some(list) if LISTS.iter().any(|(kind, _)| *kind == list) => self.list(node, list, path),
            Some(kind) => self.single(node, kind, path),
            None => {}
        }
    }

    fn single(&mut self, node: &Node, kind: &str, path: &Path<'_>) {
        match kind {
            "ConfigMap" => self.config_map(node, path),
            "Secret" => self.secret(node, path),
            _ => {
                let pod = self.pod(node, path);
                self.manifest.pods.extend(pod);
            }
        }
    }

    fn list(&mut self, node: &Node, list: &str, path: &Path<'_>) {
        let _: Shell = typed::read(Some(node), path, &mut self.document);
        let items_path = path.field("items");
        let items = node.get("items").map(Node::elements).unwrap_or_default();
        let of = LISTS.iter().find(|(kind, _)| *kind == list).and_then(|(_, of)| *of);
        for (index, item) in items.iter().enumerate() {
            let path = items_path.index(index);
            // The items of a PodList and its like need not repeat what they are.
            let is_plain = item.get("kind").is_none() && item.get("apiVersion").is_none();
            let kind = match of {
                Some(kind) if is_plain => Some(kind),
                Some(kind) => self.kind(item, &path, &[kind]),
                None => self.kind(item, &path, &KINDS),
            };
            if let Some(kind) = kind {
                self.single(item, kind, &path);
            }
        }
    }

    /// The kind of an object, if it is one of `supported` in version v1.
    fn kind(&mut self, node: &Node, path: &Path<'_>, supported: &[&'static str]) -> Option<&'static str> {
        if !matches!(node.value, Value::Mapping(_)) {
            let reason = format!("cannot unmarshal {} into object", node.value.kind());
            self.document.problem(path, reason);
            return None;
        }
        let version = self.word(node, path, "apiVersion", &["v1"]);
        let kind = self.word(node, path, "kind", supported);
        version.and(kind)
    }

    /// The field's value, which has to be one of `supported`.
    fn word(
        &mut self,
        node: &Node,
        path: &Path<'_>,
        field: &str,
        supported: &[&'static str],
    ) -> Option<&'static str> {
        let path = path.field(field);
        let written: Option<String> = typed::read(node.get(field), &path, &mut self.document);
        let Some(written) = written else {
            let words: Vec<String> = supported.iter().map(|word| format!("{word:?}")).collect();
            let why = format!("supported values: {}", words.join(", "));
            self.document.required_for(&path, &why);
            return None;
        };
        let known = supported.iter().copied().find(|word| *word == written);
        if known.is_none() {
            self.document.unsupported(&path, &written, supported);
        }
        known
    }

    pub(super) fn pod(&mut self, node: &Node, path: &Path<'_>) -> Option<Pod> {
        let Whole { metadata, spec, .. } = typed::read(Some(node), path, &mut self.document);
        supported::check(node, path, &mut self.document);
        let (mut metadata, mut spec) = (metadata.unwrap_or_default(), spec.unwrap_or_default());
        defaults::apply(&mut metadata, &mut spec);
        self.check_unique("Pod", &metadata, path);
        let pod = validate::pod(&metadata, &spec, self.sysctls, path, &mut self.document)?;
        let ObjectMeta { labels, annotations, uid, .. } = metadata;
        let metadata = json!({"labels": labels, "annotations": annotations, "uid": uid});
        let fields = json!({"metadata": metadata, "spec": spec});
        self.manifest.written.insert(pod.key.clone(), Written::new(fields));
        Some(pod)
    }

    fn check_unique(&mut self, kind: &'static str, metadata: &ObjectMeta, path: &Path<'_>) {
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        if !name.is_empty() && !self.names.insert((kind, namespace.clone(), name.clone())) {
            let metadata = path.field("metadata");
            self.document.duplicate(&metadata.field("name"), &format!("{namespace}/{name}"));
        }
    }
}

/// Where a text ends.
fn end_of(text: &str) -> Position {
    let line = text.matches('\n').count() + 1;
    let column = text.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    Position { line, column }
}

#[cfg(test)]
mod tests;

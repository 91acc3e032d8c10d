//! From the bytes of a manifest to pods: parse, read into Kubernetes' types, fill in defaults, validate.

use std::collections::HashSet;

use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::path::Path;
use super::problem::Position;
use super::report::{Document, Report};
use super::sysctl::Allowed;
use super::yaml::{self, Node, Value};
use super::{Pod, Problems, defaults, supported, typed, validate};

/// Decodes the Pods of a manifest, YAML or JSON, or says everything that is wrong with it.
///
/// A manifest has one or several documents, each a Pod or a List of Pods; empty documents are skipped. `file` is the name
/// that the problems give. Any bytes are answered in bounded time and memory.
pub fn decode(bytes: &[u8], file: &str) -> Result<Vec<Pod>, Problems> {
    decode_allowing(bytes, file, &Allowed::default())
}

/// Likewise, on a node that allows more kernel parameters than the safe ones.
pub fn decode_allowing(bytes: &[u8], file: &str, sysctls: &Allowed) -> Result<Vec<Pod>, Problems> {
    let mut report = Report::new(file);
    let mut pods = Vec::new();
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let (documents, flaws) = yaml::parse(text);
            flaws.into_iter().for_each(|flaw| report.add_flaw(flaw));
            let mut names = HashSet::new();
            for tree in &documents {
                let document = Document::new(tree, &mut report);
                let mut reading = Reading { document, names: &mut names, sysctls };
                pods.extend(reading.object(tree, &Path::ROOT));
            }
        }
        Err(error) => {
            let place = end_of(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
            report.add(place, String::new(), "the file is not UTF-8".to_owned());
        }
    }
    report.finish()?;
    if pods.is_empty() {
        return Err(Problems::of_file(file, "no Pod in the file"));
    }
    Ok(pods)
}

/// A Pod as it is written. The status is of the cluster that it came from.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Manifest {
    #[serde(rename = "apiVersion")]
    _api_version: IgnoredAny,
    #[serde(rename = "kind")]
    _kind: IgnoredAny,
    metadata: Option<ObjectMeta>,
    spec: Option<k8s::PodSpec>,
    #[serde(rename = "status")]
    _status: IgnoredAny,
}

/// The shell of a List or a PodList.
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
struct Reading<'a, 'r, 'f> {
    document: Document<'r, 'f>,
    /// Namespace and name of every Pod so far, in all documents.
    names: &'a mut HashSet<(String, String)>,
    /// Kernel parameters that pods may set.
    sysctls: &'a Allowed,
}

impl Reading<'_, '_, '_> {
    /// A Pod, or a list of Pods.
    fn object(&mut self, node: &Node, path: &Path<'_>) -> Vec<Pod> {
        match self.kind(node, path, &["List", "Pod", "PodList"]) {
            Some("Pod") => self.pod(node, path).into_iter().collect(),
            Some(list) => self.list(node, list, path),
            None => Vec::new(),
        }
    }

    fn list(&mut self, node: &Node, kind: &str, path: &Path<'_>) -> Vec<Pod> {
        let _: Shell = typed::read(Some(node), path, &mut self.document);
        let items_path = path.field("items");
        let items = node.get("items").map(Node::elements).unwrap_or_default();
        let mut pods = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let path = items_path.index(index);
            // The items of a PodList need not repeat what they are.
            let is_plain =
                kind == "PodList" && item.get("kind").is_none() && item.get("apiVersion").is_none();
            if is_plain || self.kind(item, &path, &["Pod"]).is_some() {
                pods.extend(self.pod(item, &path));
            }
        }
        pods
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

    fn pod(&mut self, node: &Node, path: &Path<'_>) -> Option<Pod> {
        let Manifest { metadata, spec, .. } = typed::read(Some(node), path, &mut self.document);
        supported::check(node, path, &mut self.document);
        let (mut metadata, mut spec) = (metadata.unwrap_or_default(), spec.unwrap_or_default());
        defaults::apply(&mut metadata, &mut spec);
        self.check_unique(&metadata, path);
        validate::pod(&metadata, &spec, self.sysctls, path, &mut self.document)
    }

    fn check_unique(&mut self, metadata: &ObjectMeta, path: &Path<'_>) {
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        if !name.is_empty() && !self.names.insert((namespace.clone(), name.clone())) {
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

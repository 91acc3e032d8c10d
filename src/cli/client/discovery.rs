//! Which types of objects the server has, and by which names people call them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResource;
use kube::Client;
use serde_json::Value;

use super::files::Document;
use super::query::segment;

/// A type of objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Type {
    /// `v1`, or with its group: `apps/v1`.
    pub(in crate::cli) version: String,
    /// `pods`.
    pub(in crate::cli) plural: String,
    /// `pod`.
    pub(in crate::cli) singular: String,
    /// `Pod`.
    pub(in crate::cli) kind: String,
    /// Its objects are in namespaces.
    pub(in crate::cli) namespaced: bool,
    /// They can be listed.
    listed: bool,
    short: Vec<String>,
    categories: Vec<String>,
}

impl Type {
    fn new(version: &str, resource: APIResource) -> Self {
        let APIResource {
            name: plural, singular_name, kind, namespaced, short_names, verbs, categories, ..
        } = resource;
        let singular = if singular_name.is_empty() { kind.to_lowercase() } else { singular_name };
        let short = short_names.unwrap_or_default();
        let listed = verbs.iter().any(|verb| verb == "list");
        let categories = categories.unwrap_or_default();
        Self { version: version.to_owned(), plural, singular, kind, namespaced, listed, short, categories }
    }

    /// The path of all its objects, or of those in a namespace.
    pub(in crate::cli) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.version.contains('/') { "apis" } else { "api" };
        let within = namespace.filter(|_| self.namespaced).map(|name| format!("/namespaces/{name}"));
        format!("/{root}/{}{}/{}", self.version, within.unwrap_or_default(), self.plural)
    }

    /// An object of a list, which does not say what it is, as one that does.
    pub(in crate::cli) fn typed(&self, mut object: Value) -> Value {
        object["apiVersion"] = self.version.clone().into();
        object["kind"] = self.kind.clone().into();
        object
    }

    /// The path of one object.
    pub(in crate::cli) fn object_path(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(Some(namespace)), segment(name))
    }

    /// An object of this type as kubectl names it: `pod/web`, `deployment.apps/web`.
    pub(in crate::cli) fn named(&self, name: &str) -> String {
        format!("{}/{name}", self.qualified(&self.singular))
    }

    /// The type as people call it, with its group: `pod`, `deployment.apps`.
    pub(in crate::cli) fn qualified(&self, name: &str) -> String {
        if self.group().is_empty() { name.to_owned() } else { format!("{name}.{}", self.group()) }
    }

    pub(in crate::cli) fn group(&self) -> &str {
        self.version.split_once('/').map_or("", |(group, _)| group)
    }

    /// Whether a person means this type: by plural, singular, kind or a short name, whatever its case, or with its group.
    fn is_called(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let (name, group) =
            name.split_once('.').map_or((name.as_str(), None), |(name, rest)| (name, Some(rest)));
        let is_name = name == self.plural
            || name == self.singular
            || name == self.kind.to_lowercase()
            || self.short.iter().any(|short| short == name);
        // `pods.v1.` and `events.v1.events.k8s.io` name the version, too.
        let is_group = |rest: &str| {
            let (version, group) = rest.split_once('.').unwrap_or(("", rest));
            rest == self.group() || (self.version.ends_with(version) && group == self.group())
        };
        is_name && group.is_none_or(is_group)
    }
}

/// The types of a server.
#[derive(Debug)]
pub(in crate::cli) struct Types(Vec<Type>);

impl Types {
    /// Asks the server.
    pub(in crate::cli) async fn of(client: &Client) -> Result<Self, kube::Error> {
        let mut versions = client.list_core_api_versions().await?.versions;
        let mut types = Vec::new();
        for version in versions.drain(..) {
            let list = client.list_core_api_resources(&version).await?.resources;
            types.extend(list.into_iter().map(|resource| Type::new(&version, resource)));
        }
        for group in client.list_api_groups().await?.groups {
            let preferred = group.preferred_version.or_else(|| group.versions.into_iter().next());
            if let Some(version) = preferred {
                let list = client.list_api_group_resources(&version.group_version).await?.resources;
                types.extend(list.into_iter().map(|resource| Type::new(&version.group_version, resource)));
            }
        }
        types.retain(|of| !of.plural.contains('/'));
        Ok(Self(types))
    }

    /// What those are called whose objects can be listed; with its group where another one comes first by that name.
    pub(in crate::cli) fn names(&self) -> impl Iterator<Item = String> {
        let is_first = |of: &Type| self.0.iter().find(|other| other.plural == of.plural) == Some(of);
        let listed = self.0.iter().filter(|of| of.listed);
        listed.map(move |of| if is_first(of) { of.plural.clone() } else { of.qualified(&of.plural) })
    }

    /// The type of an object.
    pub(in crate::cli) fn of_object(&self, document: &Document) -> anyhow::Result<&Type> {
        let text =
            |pointer: &str| document.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (version, kind) = (text("/apiVersion"), text("/kind"));
        let found = self.0.iter().find(|of| of.version == version && of.kind == kind);
        found.ok_or_else(|| {
            anyhow::anyhow!(
                "resource mapping not found for name: {:?} namespace: {:?} from {:?}: no matches for kind {kind:?} in \
                 version {version:?}\nensure CRDs are installed first",
                text("/metadata/name"),
                text("/metadata/namespace"),
                document.source,
            )
        })
    }

    /// The type that a person means, or those of a category: `all`.
    pub(in crate::cli) fn of_name(&self, name: &str) -> anyhow::Result<Vec<&Type>> {
        let found = self.find(name);
        let is_listed = |of: &&Type| of.listed && of.categories.iter().any(|category| category == name);
        let of_category: Vec<&Type> = self.0.iter().filter(is_listed).collect();
        if of_category.is_empty() || found.is_ok() { found.map(|of| vec![of]) } else { Ok(of_category) }
    }

    /// The type that a person means.
    pub(in crate::cli) fn find(&self, name: &str) -> anyhow::Result<&Type> {
        let found = self.0.iter().find(|of| of.is_called(name));
        found.ok_or_else(|| anyhow::anyhow!("the server doesn't have a resource type {name:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types() -> Types {
        let of = |version: &str, plural: &str, kind: &str, short: &[&str], namespaced| {
            let short_names = Some(short.iter().map(|name| (*name).to_owned()).collect());
            let (name, kind, verbs) = (plural.to_owned(), kind.to_owned(), vec!["list".to_owned()]);
            let categories = (plural == "pods").then(|| vec!["all".to_owned()]);
            let resource = APIResource {
                name,
                kind,
                short_names,
                namespaced,
                verbs,
                categories,
                ..APIResource::default()
            };
            Type::new(version, resource)
        };
        Types(vec![
            of("v1", "pods", "Pod", &["po"], true),
            of("v1", "events", "Event", &["ev"], true),
            of("v1", "nodes", "Node", &["no"], false),
            of("events.k8s.io/v1", "events", "Event", &["ev"], true),
        ])
    }

    #[test]
    fn a_name_that_two_have_is_the_first_ones() {
        let mut types = types();
        types.0[2].listed = false;
        assert_eq!(types.names().collect::<Vec<_>>(), ["pods", "events", "events.events.k8s.io"]);
    }

    #[test]
    fn a_category_is_all_types_that_are_in_it() {
        let types = types();
        let names = |name: &str| {
            types.of_name(name).map(|found| found.iter().map(|of| of.plural.clone()).collect::<Vec<_>>())
        };
        assert_eq!(names("all").unwrap(), ["pods"]);
        assert_eq!(names("node").unwrap(), ["nodes"]);
        let error = names("some").unwrap_err().to_string();
        assert_eq!(error, "the server doesn't have a resource type \"some\"");
    }

    #[test]
    fn a_type_is_found_by_every_name_that_it_has() {
        let types = types();
        for (name, path) in [
            ("pods", "/api/v1/namespaces/n/pods"),
            ("pod", "/api/v1/namespaces/n/pods"),
            ("Pod", "/api/v1/namespaces/n/pods"),
            ("PO", "/api/v1/namespaces/n/pods"),
            ("pods.v1.", "/api/v1/namespaces/n/pods"),
            ("nodes", "/api/v1/nodes"),
            ("ev", "/api/v1/namespaces/n/events"),
            ("events.events.k8s.io", "/apis/events.k8s.io/v1/namespaces/n/events"),
            ("events.v1.events.k8s.io", "/apis/events.k8s.io/v1/namespaces/n/events"),
        ] {
            assert_eq!(types.find(name).unwrap().path(Some("n")), path, "{name}");
        }
        for name in ["", "podz", "pods.apps", "services"] {
            let error = types.find(name).unwrap_err().to_string();
            assert_eq!(error, format!("the server doesn't have a resource type {name:?}"));
        }
    }
}

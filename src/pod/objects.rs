//! ConfigMaps and Secrets that stand beside the pods: valid by construction, found by namespace and name.

use std::collections::BTreeMap;
use std::fmt;

/// Namespace and name of an object, printed as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// A DNS label.
    pub namespace: String,
    /// A DNS subdomain.
    pub name: String,
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A ConfigMap. No key is in both maps; all values together have at most a MiB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigMap {
    /// `data`.
    pub data: BTreeMap<String, String>,
    /// `binaryData`, which is no text: volumes have it, environments do not.
    pub binary_data: BTreeMap<String, Vec<u8>>,
    /// It must not change.
    pub immutable: bool,
}

/// A Secret. All values together have at most a MiB.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    /// `data`, and in its place what `stringData` says.
    pub data: BTreeMap<String, Vec<u8>>,
    /// `type`, such as `Opaque`.
    pub kind: String,
    /// It must not change.
    pub immutable: bool,
}

/// Keys alone: what a Secret holds is never printed.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.data.keys().collect();
        f.debug_struct("Secret")
            .field("keys", &keys)
            .field("kind", &self.kind)
            .field("immutable", &self.immutable)
            .finish()
    }
}

/// The objects that pods may refer to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Objects {
    /// By namespace and name.
    pub config_maps: BTreeMap<ObjectKey, ConfigMap>,
    /// Likewise.
    pub secrets: BTreeMap<ObjectKey, Secret>,
}

impl Objects {
    /// The ConfigMap of that name.
    pub fn config_map(&self, namespace: &str, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(&key(namespace, name))
    }

    /// The Secret of that name.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<&Secret> {
        self.secrets.get(&key(namespace, name))
    }
}

fn key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { namespace: namespace.to_owned(), name: name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let data = [("password".to_owned(), b"hunter2".to_vec())].into();
        let text = format!("{:?}", Secret { data, ..Secret::default() });
        assert!(text.contains("password") && !text.contains("hunter2") && !text.contains("104"), "{text}");
    }
}

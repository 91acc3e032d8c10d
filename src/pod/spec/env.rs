//! Environment variables of a container, and where their values come from.

use serde::{Deserialize, Serialize};

use crate::pod::downward::{FieldSelector, ResourceSelector};

/// An environment variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Not empty, without `=` and NUL.
    pub name: String,
    /// Without NUL; `$(NAME)` not yet expanded. Empty where the value comes from elsewhere.
    pub value: String,
    /// `valueFrom`. What it says is not expanded.
    #[serde(default)]
    pub value_from: Option<ValueSource>,
}

/// `valueFrom`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ValueSource {
    /// A field of the pod.
    Field(FieldSelector),
    /// A resource of a container of the pod.
    Resource(ResourceSelector),
    /// A text of a ConfigMap.
    ConfigMapKey(KeySelector),
    /// A value of a Secret.
    SecretKey(KeySelector),
    /// A variable of a file in a volume.
    FileKey(FileKeySelector),
}

/// One key of an object in the pod's namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySelector {
    /// The object's name.
    pub name: String,
    /// Not empty.
    pub key: String,
    /// Without object or key there is no variable; otherwise the container waits for them.
    pub optional: bool,
}

/// A file of variables in an emptyDir volume of the pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnvFile {
    /// The volume's name. The container need not mount it.
    pub volume: String,
    /// Below the volume's root, without `..`.
    pub path: String,
}

/// `fileKeyRef`: one variable of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileKeySelector {
    /// The file.
    pub file: EnvFile,
    /// The variable's name in the file; not empty.
    pub key: String,
    /// Without file or key there is no variable; otherwise the container waits for them.
    pub optional: bool,
}

/// An entry of `envFrom`: a variable for each key of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFrom {
    /// Stands before each key.
    pub prefix: String,
    /// What kind of object.
    pub kind: ObjectKind,
    /// The object's name, in the pod's namespace.
    pub name: String,
    /// Without the object there are no variables; otherwise the container waits for it.
    pub optional: bool,
}

/// Kinds of objects that a pod can refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ObjectKind {
    ConfigMap,
    Secret,
}

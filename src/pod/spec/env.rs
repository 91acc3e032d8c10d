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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ObjectKind {
    ConfigMap,
    Secret,
}

//! Where a pod that is wanted comes from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of source. What two of them want under the same name is the pod of the one that had it first, else of the one
/// that comes first here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// Manifests in files and directories.
    File,
    /// A manifest behind a URL.
    Http,
    /// Standard input.
    Stdin,
    /// The Kubernetes API that the agent serves.
    Api,
}

/// The source of a pod, and where in it the pod stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Which kind of source.
    pub source: SourceKind,
    /// The path of the file or the URL; empty where there is only one place.
    pub place: String,
}

/// As the kubelet names them (`kubernetes.io/config.source`).
impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SourceKind::File => "file",
            SourceKind::Http => "http",
            SourceKind::Stdin => "stdin",
            SourceKind::Api => "api",
        })
    }
}

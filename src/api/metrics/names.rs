//! What the kinds of the group are called.

use crate::api::resource::Names;

/// `NodeMetrics`, whose name in paths is that of the nodes.
pub const NODE_METRICS: Names = Names {
    group: "metrics.k8s.io",
    version: "v1beta1",
    plural: "nodes",
    singular: "",
    kind: "NodeMetrics",
    short_names: &[],
    categories: &[],
    namespaced: false,
    subresources: &[],
};

/// `PodMetrics`, likewise.
pub const POD_METRICS: Names = Names { plural: "pods", kind: "PodMetrics", namespaced: true, ..NODE_METRICS };

/// What can be done with either.
pub const VERBS: [&str; 2] = ["get", "list"];

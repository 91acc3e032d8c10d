//! `resizePolicy` of a container (KEP-1287).

use std::collections::HashSet;

use k8s_openapi::api::core::v1 as k8s;

use super::one_of;
use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::ResizePolicy;

/// Whether a change restarts the container.
const POLICIES: [(&str, bool); 2] = [("NotRequired", false), ("RestartContainer", true)];

/// The policy of the container at `path`, whose pod has this `restartPolicy`. What it does not name needs no restart.
pub(super) fn check(
    container: &k8s::Container,
    pod_restart_policy: &str,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> ResizePolicy {
    let path = path.field("resizePolicy");
    let (mut policy, mut seen) = (ResizePolicy::default(), HashSet::new());
    for (index, entry) in container.resize_policy.iter().flatten().enumerate() {
        if !seen.insert(&entry.resource_name) {
            document.duplicate(&path.index(index), &entry.resource_name);
        }
        let restarts = word(&entry.restart_policy, &POLICIES, &path, document) == Some(true);
        // In the order in which the API server names them.
        match word(&entry.resource_name, &[("cpu", true), ("memory", false)], &path, document) {
            Some(true) => policy.cpu_restarts = restarts,
            Some(false) => policy.memory_restarts = restarts,
            None => {}
        }
        if pod_restart_policy == "Never" && entry.restart_policy != "NotRequired" {
            let why = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            document.invalid(&path, &entry.restart_policy, why);
        }
    }
    policy
}

/// An init container that is no sidecar has none.
pub(super) fn check_init(container: &k8s::Container, path: &Path<'_>, document: &mut Document<'_, '_>) {
    let policy = container.resize_policy.as_deref().unwrap_or_default();
    if !policy.is_empty() {
        let shown = serde_json::to_string(policy).unwrap_or_default();
        let why = "must not be set for init containers";
        document.invalid(&path.field("resizePolicy"), format_args!("{shown}"), why);
    }
}

fn word(
    word: &str,
    words: &[(&str, bool)],
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Option<bool> {
    if word.is_empty() {
        document.required(path);
        return None;
    }
    one_of(word, words, path, document)
}

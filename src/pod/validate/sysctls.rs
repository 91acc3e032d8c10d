//! Kernel parameters that the pod's securityContext sets.

use std::collections::HashSet;

use k8s_openapi::api::core::v1 as k8s;

use crate::pod::path::Path;
use crate::pod::report::Document;
use crate::pod::spec::Sysctl;
use crate::pod::sysctl::{self, Allowed, MAX_NAME, Namespace, SYNTAX};

/// What decides which kernel parameters may be set.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    pub(super) host_network: bool,
    pub(super) host_ipc: bool,
    pub(super) allowed: &'a Allowed,
}

/// Names come out with dots between their words.
pub(super) fn check(
    sysctls: &[k8s::Sysctl],
    pod: Surroundings<'_>,
    path: &Path<'_>,
    document: &mut Document<'_, '_>,
) -> Vec<Sysctl> {
    let mut seen = HashSet::new();
    let mut checked = Vec::with_capacity(sysctls.len());
    for (index, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(index);
        let name_path = path.field("name");
        let written = sysctl.name.as_str();
        let name = sysctl::with_dots(written);
        if written.is_empty() {
            document.required(&name_path);
        } else if !sysctl::is_name(written) {
            let why = format!("must have at most {MAX_NAME} characters and match regex {SYNTAX}");
            document.invalid(&name_path, written, why);
        } else if !seen.insert(name.clone()) {
            document.duplicate(&name_path, written);
        } else if let Some(host) = host_namespace(&name, pod) {
            document.invalid(&name_path, written, format!("may not be specified when '{host}' is true"));
        } else if !pod.allowed.allows(&name) {
            // The kubelet's words (SysctlForbidden), and what could be done.
            let why = match sysctl::namespace(&name) {
                Some(_) => "it is unsafe, and --allowed-unsafe-sysctls does not name it",
                None => "it is not known to be namespaced",
            };
            document.forbidden(&name_path, &format!("forbidden sysctl: {written:?} not allowlisted: {why}"));
        }
        // No parameter of a namespace needs these, and tools that join several in one text split there (CVE-2022-0811).
        let is_odd = |c: char| (c.is_control() && c != '\t') || c == '+' || c == '=';
        if sysctl.value.contains(is_odd) {
            let why = "must be one line without '+' and '='";
            document.invalid(&path.field("value"), &sysctl.value, why);
        }
        checked.push(Sysctl { name, value: sysctl.value.clone() });
    }
    checked
}

/// The field that gives the pod the node's own namespace, in which the parameter would be set for all.
fn host_namespace(name: &str, pod: Surroundings<'_>) -> Option<&'static str> {
    match sysctl::namespace(name)? {
        Namespace::Network => pod.host_network.then_some("hostNetwork"),
        Namespace::Ipc => pod.host_ipc.then_some("hostIPC"),
    }
}

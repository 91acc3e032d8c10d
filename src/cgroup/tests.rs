//! The room as a whole: on fixture trees, and (as root) on the host's own hierarchies.

mod fixture;
mod host;
mod stats;

use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use super::controller::Controller;

/// What a controller writes for these limits, as `file=value file=value?`; `?` marks an optional one.
pub(super) fn written(controller: &Controller, limits: &Value) -> String {
    let limits: LinuxResources = serde_json::from_value(limits.clone()).unwrap();
    let settings = (controller.settings)(&limits);
    let line = |s: &super::controller::Setting| {
        format!("{}={}{}", s.file, s.value, if s.optional { "?" } else { "" })
    };
    settings.iter().map(line).collect::<Vec<_>>().join(" ")
}

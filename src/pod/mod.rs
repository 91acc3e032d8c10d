//! The model of a Pod: what was asked, parsed once and valid from then on. No I/O, no clock.
//!
//! Past this room nothing asks whether a port is in range or a name may become a path: the types say so. The way in:
//!
//! ```text
//! bytes -> yaml (tree with positions) -> typed (Kubernetes' types) -> supported -> defaults -> validate -> Manifest
//!                                    every problem on the way -> report -> Problems
//! ```

mod decode;
mod defaults;
pub mod downward;
#[cfg(test)]
mod effort;
pub mod env;
pub mod env_file;
pub mod id;
pub mod object;
pub mod objects;
pub mod origin;
mod path;
pub mod priority;
mod probe;
pub mod problem;
pub mod quantity;
pub mod references;
pub(crate) mod report;
pub mod resources;
pub mod spec;
pub mod sub_path;
mod supported;
pub mod sysctl;
mod typed;
mod uid;
pub mod update;
mod validate;
pub(crate) mod yaml;

pub use decode::{Manifest, decode, decode_allowing};
pub use id::{ContainerName, PodKey, PodUid};
pub use origin::{Origin, SourceKind};
pub use problem::{Problem, Problems};
pub use spec::{ContainerSpec, Pod, PodSpec};

pub(crate) use typed::similar;
pub(crate) use validate::names;
pub(crate) use yaml::yaml_to_json;

/// Whether a container dies as a whole when one of its processes is killed for want of memory: `"true"` or `"false"`.
pub const OOM_GROUP_ANNOTATION: &str = "mkubelet.dev/memory-oom-group";

/// Replaces `periodSeconds` of probes: milliseconds for all the pod's containers, or `CONTAINER=MILLISECONDS,...`.
pub const PROBE_PERIOD_ANNOTATION: &str = "mkubelet.dev/probe-period-ms";

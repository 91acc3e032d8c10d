//! The model of a Pod: what was asked, parsed once and valid from then on. No I/O, no clock.
//!
//! Past this room nothing asks whether a port is in range or a name may become a path: the types say so.

mod decode;
pub mod env;
pub mod id;
pub mod problem;
pub mod spec;

pub use decode::decode;
pub use id::{ContainerName, PodKey, PodUid};
pub use problem::{Problem, Problems};
pub use spec::{ContainerSpec, Pod, PodSpec};

//! The kinds that are served, one file each: names, defaults, rules and columns. Nothing here does I/O or reads a clock.

mod columns;
pub mod config_map;
mod decode;
mod event;
mod event_v1;
mod immutable;
pub mod namespace;
mod node;
mod pod;
mod secret;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::object::Object;
use super::resource::Resource;
use crate::pod::sysctl::Allowed;

pub use config_map::ConfigMaps;
pub use event::Events;
pub use event_v1::EventsV1;
pub use namespace::Namespaces;
pub use node::Nodes;
pub use pod::Pods;
pub use secret::Secrets;

/// All of them, on a node that allows these kernel parameters beyond the safe ones.
pub fn all(sysctls: &Allowed) -> Vec<Arc<dyn Resource>> {
    vec![
        Arc::new(ConfigMaps),
        Arc::new(Events),
        Arc::new(EventsV1),
        Arc::new(Namespaces),
        Arc::new(Nodes),
        Arc::new(Pods::allowing(sysctls.clone())),
        Arc::new(Secrets),
    ]
}

/// How many keys a map has.
fn entries(object: &Object, field: &str) -> usize {
    object.get(field).and_then(Value::as_object).map_or(0, Map::len)
}

//! The kinds that are served, one file each.

use std::sync::Arc;

use super::resource::Resource;

pub mod config_map;
pub mod namespace;

/// All of them.
pub fn all() -> Vec<Arc<dyn Resource>> {
    vec![Arc::new(config_map::ConfigMaps), Arc::new(namespace::Namespaces)]
}

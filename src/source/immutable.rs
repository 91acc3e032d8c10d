//! Objects that say of themselves that they never change, and have been changed all the same. Pure.

use crate::pod::objects::{ObjectKey, Objects};

/// Makes the objects of `new` that were immutable in `old` what they were; returns a line for each that was not.
pub(super) fn keep(old: &Objects, new: &mut Objects) -> Vec<String> {
    let mut refused = Vec::new();
    let mut refuse = |kind: &str, key: &ObjectKey| {
        refused.push(format!("{kind} {key}: field is immutable when `immutable` is set"));
    };
    for (key, old) in old.config_maps.iter().filter(|(_, old)| old.immutable) {
        if let Some(new) = new.config_maps.get_mut(key).filter(|new| *new != old) {
            refuse("ConfigMap", key);
            new.clone_from(old);
        }
    }
    for (key, old) in old.secrets.iter().filter(|(_, old)| old.immutable) {
        if let Some(new) = new.secrets.get_mut(key).filter(|new| *new != old) {
            refuse("Secret", key);
            new.clone_from(old);
        }
    }
    refused
}

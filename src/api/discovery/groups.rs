//! `APIGroup` and `APIGroupList`: the groups and their versions.

use serde_json::{Value, json};

use crate::api::resource::Names;

/// The names of kinds by version and group, in the order in which they come.
pub(super) type Groups<'a> = Vec<(&'static str, Vec<(&'static str, Vec<&'a Names>)>)>;

/// Sorts them so.
pub(super) fn by_group<'a>(names: impl Iterator<Item = &'a Names>) -> Groups<'a> {
    let mut groups = Groups::new();
    for names in names {
        let versions = entry(&mut groups, names.group);
        entry(versions, names.version).push(names);
    }
    groups
}

/// The value of the key, which is made when it is missing.
fn entry<'l, T: Default>(list: &'l mut Vec<(&'static str, T)>, key: &'static str) -> &'l mut T {
    let index = list.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        list.push((key, T::default()));
        list.len() - 1
    });
    &mut list[index].1
}

/// All groups of these kinds.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a Names>) -> Value {
    let groups: Vec<Value> = by_group(names)
        .iter()
        .map(|(group, versions)| document(group, versions.iter().map(|(version, _)| *version)))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// One of them; `None` when no kind is in it.
pub(super) fn one<'a>(group: &str, names: impl Iterator<Item = &'a Names>) -> Option<Value> {
    let groups = by_group(names.filter(|names| names.group == group && !group.is_empty()));
    let (name, versions) = groups.first()?;
    let mut document = document(name, versions.iter().map(|(version, _)| *version));
    document["kind"] = "APIGroup".into();
    document["apiVersion"] = "v1".into();
    Some(document)
}

fn document(group: &str, versions: impl Iterator<Item = &'static str>) -> Value {
    let versions: Vec<Value> = versions
        .map(|version| json!({"groupVersion": format!("{group}/{version}"), "version": version}))
        .collect();
    json!({"name": group, "preferredVersion": versions.first(), "versions": versions})
}

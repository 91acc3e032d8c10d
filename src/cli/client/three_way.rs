//! The patch of `apply`: what the manifest says now and the object does not, and what an earlier manifest said and this one no longer does. Pure.
//!
//! A strategic merge patch (sig-api-machinery's strategic-merge-patch.md): lists whose items have a key are merged by it. All else that
//! an object has, such as defaults and what others have written, stays.

use serde_json::{Map, Value, json};

use super::output;

/// The annotation in which an object keeps the manifest that it was made of.
pub(in crate::cli) const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Writes the object itself into its annotation, as compact JSON with sorted fields.
pub(in crate::cli) fn keep_configuration(object: &mut Value) {
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    if let Some(annotations) = object["metadata"]["annotations"].as_object_mut() {
        annotations.shift_remove(LAST_APPLIED);
    }
    let text = format!("{}\n", output::compact(object));
    object["metadata"]["annotations"][LAST_APPLIED] = text.into();
}

/// The manifest that an object was last made of, if it was.
pub(in crate::cli) fn last_configuration(object: &Value) -> Option<Value> {
    serde_json::from_str(object["metadata"]["annotations"][LAST_APPLIED].as_str()?).ok()
}

/// What makes `current` of `modified`; an empty object when nothing does. The last manifest is without the annotation about itself.
pub(in crate::cli) fn patch(kind: &str, last: Option<&Value>, modified: &Value, current: &Value) -> Value {
    let nothing = Map::new();
    let fields = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let last = last.map_or(nothing, fields);
    Value::Object(Difference { kind }.of_maps(&last, &fields(modified), &fields(current)))
}

/// The field by which items of a list are told apart (`patchMergeKey` of the Go types), if its items are merged.
fn merge_key(kind: &str, field: &str) -> Option<&'static str> {
    Some(match (kind, field) {
        ("Service", "ports") => "port",
        (
            _,
            "containers" | "initContainers" | "ephemeralContainers" | "volumes" | "env" | "imagePullSecrets",
        ) => "name",
        (_, "resourceClaims" | "secrets") => "name",
        (_, "ports") => "containerPort",
        (_, "volumeMounts") => "mountPath",
        (_, "volumeDevices") => "devicePath",
        (_, "hostAliases") => "ip",
        (_, "topologySpreadConstraints") => "topologyKey",
        (_, "conditions" | "addresses") => "type",
        (_, "ownerReferences") => "uid",
        _ => return None,
    })
}

struct Difference<'a> {
    kind: &'a str,
}

impl Difference<'_> {
    fn of_maps(
        &self,
        last: &Map<String, Value>,
        modified: &Map<String, Value>,
        current: &Map<String, Value>,
    ) -> Map<String, Value> {
        let mut patch = Map::new();
        for (field, value) in modified {
            // A null in a manifest takes a field away, or keeps it away.
            if value.is_null() {
                if current.contains_key(field) {
                    patch.insert(field.clone(), Value::Null);
                }
                continue;
            }
            match (value, current.get(field)) {
                (Value::Object(value), Some(Value::Object(now))) => {
                    let before = last.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
                    let inner = self.of_maps(&before, value, now);
                    if !inner.is_empty() {
                        patch.insert(field.clone(), inner.into());
                    }
                }
                (Value::Array(value), Some(Value::Array(now))) => {
                    let before = last.get(field).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
                    self.of_lists(field, before, value, now, &mut patch);
                }
                (value, Some(now)) if value == now => {}
                (value, _) => {
                    patch.insert(field.clone(), value.clone());
                }
            }
        }
        for field in
            last.keys().filter(|field| !modified.contains_key(*field) && current.contains_key(*field))
        {
            patch.insert(field.clone(), Value::Null);
        }
        patch
    }

    fn of_lists(
        &self,
        field: &str,
        last: &[Value],
        modified: &[Value],
        current: &[Value],
        patch: &mut Map<String, Value>,
    ) {
        let Some(key) =
            merge_key(self.kind, field).filter(|key| modified.iter().all(|item| item.get(*key).is_some()))
        else {
            if modified != current {
                patch.insert(field.to_owned(), modified.into());
            }
            return;
        };
        let find = |items: &[Value], wanted: &Value| {
            items.iter().find(|item| item.get(key) == wanted.get(key)).cloned()
        };
        let mut items = Vec::new();
        for item in modified {
            let Some(now) = find(current, item) else {
                items.push(item.clone());
                continue;
            };
            let before = find(last, item).unwrap_or(Value::Null);
            let fields = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
            let mut inner = self.of_maps(&fields(&before), &fields(item), &fields(&now));
            if !inner.is_empty() {
                inner.insert(key.to_owned(), item[key].clone());
                items.push(inner.into());
            }
        }
        for item in last {
            if find(modified, item).is_none() && find(current, item).is_some() {
                items.push(json!({"$patch": "delete", key: item[key]}));
            }
        }
        if !items.is_empty() {
            let order: Vec<Value> = modified.iter().map(|item| json!({key: item[key]})).collect();
            patch.insert(format!("$setElementOrder/{field}"), order.into());
            patch.insert(field.to_owned(), items.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_manifest_changed_is_in_the_patch() {
        let order =
            |names: &[&str]| -> Vec<Value> { names.iter().map(|name| json!({"name": name})).collect() };
        for (name, last, modified, current, expected) in [
            ("nothing", json!({"a": 1}), json!({"a": 1}), json!({"a": 1, "default": 2}), json!({})),
            ("a value", json!({"a": 1}), json!({"a": 2}), json!({"a": 1}), json!({"a": 2})),
            (
                "what somebody else changed is changed back",
                json!({"a": 1}),
                json!({"a": 1}),
                json!({"a": 3}),
                json!({"a": 1}),
            ),
            ("what somebody else added stays", json!({}), json!({}), json!({"a": 3}), json!({})),
            (
                "what is no longer in the manifest goes",
                json!({"a": 1, "m": {"x": 1, "y": 1}}),
                json!({"m": {"x": 1}}),
                json!({"a": 1, "m": {"x": 1, "y": 1, "z": 1}}),
                json!({"m": {"y": null}, "a": null}),
            ),
            ("and is not taken away twice", json!({"a": 1}), json!({}), json!({}), json!({})),
            ("a null", json!({}), json!({"a": null, "b": null}), json!({"a": 1}), json!({"a": null})),
            (
                "a list without a key is replaced",
                json!({}),
                json!({"args": ["x"]}),
                json!({"args": ["x", "y"]}),
                json!({"args": ["x"]}),
            ),
            (
                "an item of a list",
                json!({}),
                json!({"containers": [{"name": "a", "image": "2"}]}),
                json!({"containers": [{"name": "a", "image": "1", "default": true}, {"name": "other"}]}),
                json!({"$setElementOrder/containers": order(&["a"]), "containers": [{"image": "2", "name": "a"}]}),
            ),
            (
                "items added and taken away",
                json!({"env": [{"name": "a"}, {"name": "gone"}]}),
                json!({"env": [{"name": "a", "value": "1"}, {"name": "b"}]}),
                json!({"env": [{"name": "a", "value": "1"}]}),
                json!({"$setElementOrder/env": order(&["a", "b"]), "env": [{"name": "b"}]}),
            ),
            (
                "an item taken away",
                json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
                json!({"volumes": [{"name": "a"}]}),
                json!({"volumes": [{"name": "a"}, {"name": "b", "emptyDir": {}}]}),
                json!({"$setElementOrder/volumes": order(&["a"]), "volumes": [{"$patch": "delete", "name": "b"}]}),
            ),
        ] {
            assert_eq!(patch("Pod", Some(&last), &modified, &current), expected, "{name}");
        }
    }

    #[test]
    fn the_manifest_is_kept_without_what_is_kept_of_it() {
        let mut object = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}});
        keep_configuration(&mut object);
        let first = object.clone();
        keep_configuration(&mut object);
        assert_eq!(object, first);
        assert_eq!(
            last_configuration(&object),
            Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": {}, "name": "a"}}))
        );
        assert_eq!(last_configuration(&json!({})), None);
    }
}

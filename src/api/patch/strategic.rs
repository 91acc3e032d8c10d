//! Strategic merge patch: a merge patch that knows which lists are sets of things, and has directives for what merging cannot say.
//!
//! | directive | what it does |
//! |---|---|
//! | `$patch: replace` | the map, or the list that it is an element of, becomes what the patch says |
//! | `$patch: delete` | the map is emptied; the element of that key goes |
//! | `$deleteFromPrimitiveList/LIST` | these values go from the list |
//! | `$setElementOrder/LIST` | the elements are in this order, those that it does not name near their old neighbours |
//! | `$retainKeys` | members of the map that it does not name go |
//!
//! Source: `k8s.io/apimachinery/pkg/util/strategicpatch`, and the design proposals that it names.

use serde_json::{Map, Value};

use super::merge_keys::{Strategy, strategy};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

type Object = Map<String, Value>;

/// What the patch makes of an object, or why it is no patch.
pub(super) fn apply(patch: &Value, object: Value) -> Result<Value, String> {
    match (object, patch) {
        (Value::Object(object), Value::Object(patch)) => merge_maps(object, patch, &[]).map(Value::Object),
        _ => Err("a patch and what it is for must be objects".to_owned()),
    }
}

fn merge_maps(mut original: Object, patch: &Object, path: &[&str]) -> Result<Object, String> {
    match patch.get(PATCH) {
        None => {}
        Some(Value::String(what)) if what == "replace" => return Ok(without_directives(patch)),
        Some(Value::String(what)) if what == "delete" => return Ok(Object::new()),
        Some(other) => return Err(format!("unknown patch type found: {other}")),
    }
    if let Some(retained) = patch.get(RETAIN_KEYS) {
        retain(&mut original, patch, retained)?;
    }
    for (field, values) in
        patch.iter().filter_map(|(key, values)| Some((key.strip_prefix(DELETE_FROM)?, values)))
    {
        let values = values.as_array().ok_or_else(|| format!("{DELETE_FROM}{field} is not a list"))?;
        if let Some(Value::Array(elements)) = original.get_mut(field) {
            elements.retain(|element| !values.contains(element));
        }
    }
    // The order that orders are about is the one from before.
    let before: Vec<(&str, &Value, Value)> = patch
        .iter()
        .filter_map(|(key, order)| {
            let field = key.strip_prefix(SET_ORDER)?;
            Some((field, order, original.get(field).cloned().unwrap_or_default()))
        })
        .collect();
    for (field, new) in patch.iter().filter(|(field, _)| !field.starts_with('$')) {
        let path = [path, &[field.as_str()]].concat();
        merge_field(&mut original, field, new, &path)?;
    }
    for (field, order, before) in before {
        let path = [path, &[field]].concat();
        set_order(&mut original, field, order, &before, &path)?;
    }
    Ok(original)
}

fn merge_field(original: &mut Object, field: &str, new: &Value, path: &[&str]) -> Result<(), String> {
    let old = original.get_mut(field).map(Value::take);
    let merged = match (old, new) {
        (_, Value::Null) => {
            original.shift_remove(field);
            return Ok(());
        }
        // Merged into nothing, so that directives and nulls do not stay in it.
        (old, Value::Object(new)) => {
            let old = old.and_then(|old| if let Value::Object(old) = old { Some(old) } else { None });
            Value::Object(merge_maps(old.unwrap_or_default(), new, path)?)
        }
        (old, Value::Array(new)) => match strategy(path) {
            None => Value::Array(new.clone()),
            Some(strategy) => {
                let old = old.and_then(|old| if let Value::Array(old) = old { Some(old) } else { None });
                Value::Array(merge_lists(old.unwrap_or_default(), new, strategy, path)?)
            }
        },
        (_, plain) => plain.clone(),
    };
    original.insert(field.to_owned(), merged);
    Ok(())
}

fn merge_lists(
    mut original: Vec<Value>,
    patch: &[Value],
    strategy: Strategy,
    path: &[&str],
) -> Result<Vec<Value>, String> {
    let Strategy::ByKey(key) = strategy else {
        for element in patch {
            if !original.contains(element) {
                original.push(element.clone());
            }
        }
        return Ok(original);
    };
    let elements = patch.iter().map(|element| {
        element.as_object().ok_or_else(|| format!("{}: an element of the patch is no object", path.join(".")))
    });
    let elements = elements.collect::<Result<Vec<_>, _>>()?;
    let directive =
        |element: &&Object| element.get(PATCH).and_then(Value::as_str).unwrap_or_default().to_owned();
    if elements.iter().any(|element| directive(element) == "replace") {
        let rest = elements.iter().filter(|element| directive(element) != "replace");
        return Ok(rest.map(|element| Value::Object(without_directives(element))).collect());
    }
    for element in elements {
        let id = element.get(key).ok_or_else(|| {
            format!("map: {} does not contain declared merge key: {key}", Value::Object(element.clone()))
        })?;
        match directive(&element).as_str() {
            "delete" => original.retain(|old| old.get(key) != Some(id)),
            "" => {
                let old = original.iter_mut().find(|old| old.get(key) == Some(id));
                let (old, slot) = match old {
                    Some(old) => (old.take(), Some(old)),
                    None => (Value::Null, None),
                };
                let old = if let Value::Object(old) = old { old } else { Object::new() };
                let merged = Value::Object(merge_maps(old, element, path)?);
                match slot {
                    Some(slot) => *slot = merged,
                    None => original.push(merged),
                }
            }
            other => return Err(format!("unknown patch type found: {other:?}")),
        }
    }
    Ok(original)
}

fn retain(original: &mut Object, patch: &Object, retained: &Value) -> Result<(), String> {
    let retained = retained.as_array().ok_or_else(|| format!("{RETAIN_KEYS} is not a list"))?;
    let is_retained = |key: &str| retained.iter().any(|name| name == key);
    let set = patch.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    if let Some((key, _)) = set.into_iter().find(|(key, _)| !is_retained(key)) {
        return Err(format!("{RETAIN_KEYS} does not name {key:?}, which the patch sets"));
    }
    original.retain(|key, _| is_retained(key));
    Ok(())
}

/// Puts the elements that `order` names into its order. Each of the others goes before the first of those that came after it before.
fn set_order(
    original: &mut Object,
    field: &str,
    order: &Value,
    before: &Value,
    path: &[&str],
) -> Result<(), String> {
    let order = order.as_array().ok_or_else(|| format!("{SET_ORDER}{field} is not a list"))?;
    let Some(Value::Array(elements)) = original.get_mut(field) else { return Ok(()) };
    let key = match strategy(path) {
        Some(Strategy::ByKey(key)) => Some(key),
        Some(Strategy::Set) => None,
        None => return Ok(()),
    };
    let id = |element: &Value| match key {
        Some(key) => element.get(key).cloned().unwrap_or_default(),
        None => element.clone(),
    };
    let place = |list: &[Value], element: &Value| list.iter().position(|other| id(other) == id(element));
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        std::mem::take(elements).into_iter().partition(|element| place(order, element).is_some());
    named.sort_by_key(|element| place(order, element));
    let before = before.as_array().map(Vec::as_slice).unwrap_or_default();
    let mut others = others.into_iter().peekable();
    for element in named {
        let at = place(before, &element);
        while let Some(other) =
            others.next_if(|other| at.is_some_and(|at| place(before, other).is_some_and(|other| other < at)))
        {
            elements.push(other);
        }
        elements.push(element);
    }
    elements.extend(others);
    Ok(())
}

fn without_directives(patch: &Object) -> Object {
    let members = patch.iter().filter(|(key, value)| !key.starts_with('$') && !value.is_null());
    members.map(|(key, value)| (key.clone(), value.clone())).collect()
}

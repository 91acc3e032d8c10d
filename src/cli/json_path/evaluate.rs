//! Following paths through an object.

use serde_json::Value;

use super::compare::is_true;
use super::print::{go_type, plain};
use super::{Filter, Missing, Part, Step};

/// What each path leads to.
pub(super) fn parts<'a>(
    parts: &'a [Part],
    object: &'a Value,
    missing: Missing,
) -> Result<Vec<Vec<&'a Value>>, String> {
    let mut results = Vec::new();
    for part in parts {
        match part {
            Part::Path(path) => results.push(follow(path, vec![object], missing)?),
            Part::Range { of, body } => {
                for value in follow(of, vec![object], missing)? {
                    results.extend(self::parts(body, value, missing)?);
                }
            }
        }
    }
    Ok(results)
}

fn follow<'a>(path: &'a [Step], from: Vec<&'a Value>, missing: Missing) -> Result<Vec<&'a Value>, String> {
    path.iter().try_fold(from, |values, step| take(step, &values, missing))
}

fn take<'a>(step: &'a Step, from: &[&'a Value], missing: Missing) -> Result<Vec<&'a Value>, String> {
    let mut found = Vec::new();
    match step {
        Step::Text(text) => found.push(text),
        Step::Literal(value) => found.extend(from.iter().map(|_| value)),
        Step::Field(name) => {
            found.extend(from.iter().filter_map(|value| value.as_object()?.get(name)));
            if found.is_empty() && !from.is_empty() && missing == Missing::Error {
                return Err(format!("{name} is not found"));
            }
        }
        Step::Every => found.extend(from.iter().flat_map(|value| children(value))),
        Step::Descend => from.iter().for_each(|value| descend(value, &mut found)),
        Step::Index(index) => {
            for items in lists(from) {
                found.push(item(items?, *index)?);
            }
        }
        Step::Slice { start, end, step } => {
            for items in lists(from) {
                found.extend(slice(items?, *start, *end, *step)?);
            }
        }
        Step::Filter(filter) => {
            for value in from {
                let items = value.as_array().ok_or_else(|| {
                    format!("{} is not array or slice and cannot be filtered", plain(value))
                })?;
                for item in items {
                    if stays(filter, item, missing)? {
                        found.push(item);
                    }
                }
            }
        }
        Step::Union(paths) => {
            for path in paths {
                found.extend(follow(path, from.to_vec(), missing)?);
            }
        }
    }
    Ok(found)
}

/// What is in a value, fields in the order of their names.
fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            fields.into_iter().map(|(_, value)| value).collect()
        }
        _ => Vec::new(),
    }
}

/// The value and all that is in it, but what has nothing in it.
fn descend<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    let children = children(value);
    if !children.is_empty() || value.as_str().is_some_and(|text| !text.is_empty()) {
        found.push(value);
    }
    children.into_iter().for_each(|child| descend(child, found));
}

/// The lists among values; null is none, and anything else an error.
fn lists<'a>(from: &[&'a Value]) -> impl Iterator<Item = Result<&'a [Value], String>> {
    from.iter().filter(|value| !value.is_null()).map(|value| match value {
        Value::Array(items) => Ok(items.as_slice()),
        other => Err(format!("{} is not array or slice", go_type(other))),
    })
}

fn out_of_bounds(index: i64, length: i64) -> String {
    format!("array index out of bounds: index {index}, length {length}")
}

fn length(items: &[Value]) -> i64 {
    i64::try_from(items.len()).unwrap_or(i64::MAX)
}

fn item(items: &[Value], index: i64) -> Result<&Value, String> {
    let length = length(items);
    let index = if index < 0 { index.saturating_add(length) } else { index };
    let found = usize::try_from(index).ok().and_then(|index| items.get(index));
    found.ok_or_else(|| out_of_bounds(index, length))
}

fn slice(
    items: &[Value],
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
) -> Result<impl Iterator<Item = &Value>, String> {
    let length = length(items);
    let from_the_end = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let start = from_the_end(start.unwrap_or(0));
    let end = from_the_end(end.unwrap_or(length));
    // Nothing is asked for, wherever it would be.
    let (first, last) = if start == end { (0, 0) } else { (start, end) };
    if start != end && !(0..length).contains(&start) {
        return Err(out_of_bounds(start, length));
    }
    if start != end && !(0..=length).contains(&end) {
        return Err(out_of_bounds(end - 1, length));
    }
    if start > end {
        return Err(format!("starting index {start} is greater than ending index {end}"));
    }
    let step = usize::try_from(step.unwrap_or(1)).ok().filter(|step| *step > 0).ok_or("step must be > 0")?;
    let index = |index: i64| usize::try_from(index).unwrap_or(0);
    Ok(items[index(first)..index(last)].iter().step_by(step))
}

fn stays(filter: &Filter, item: &Value, missing: Missing) -> Result<bool, String> {
    match filter {
        // What cannot even be looked for is not there.
        Filter::Exists(path) => Ok(follow(path, vec![item], missing).is_ok_and(|found| !found.is_empty())),
        Filter::Compare(left, operator, right) => {
            let (left, right) = (follow(left, vec![item], missing)?, follow(right, vec![item], missing)?);
            match (left.as_slice(), right.as_slice()) {
                ([], _) | (_, []) => Ok(false),
                ([left], [right]) => is_true(left, *operator, right),
                _ => Err("can only compare one element at a time".to_owned()),
            }
        }
    }
}

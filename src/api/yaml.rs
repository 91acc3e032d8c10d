//! Values as YAML, their fields in the order of the alphabet, as Kubernetes writes them.

use serde_json::{Map, Value};

/// The text of a value.
///
/// # Errors
/// A value that YAML cannot write, in words.
pub fn of(value: &Value) -> Result<String, String> {
    let options = serde_saphyr::ser_options! {
        indent_step: 2,
        compact_list_indent: true,
        prefer_block_scalars: true,
        min_fold_chars: usize::MAX,
    };
    let text = serde_saphyr::to_string_with_options(&sorted(value), options);
    let mut text = text.map_err(|error| error.to_string())?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

/// The same value with the fields of all its objects in order.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            Value::Object(
                fields.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect::<Map<_, _>>(),
            )
        }
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        other => other.clone(),
    }
}

//! `--sort-by`: the order of objects by what a JSON path leads to in each.

use std::cmp::Ordering;

use serde_json::Value;

use crate::cli::json_path::{self, Missing, Template};
use crate::pod::quantity::Quantity;

/// By what objects are sorted.
#[derive(Debug, Clone)]
pub(super) struct Order {
    path: Template,
    written: String,
}

/// What is compared.
#[derive(Debug, Clone, Copy)]
enum Key<'a> {
    /// Nothing is there: first.
    None,
    Number(f64),
    Quantity(Quantity),
    Text(&'a str),
}

impl Order {
    /// Reads the path. Errors are kubectl's.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        let written = json_path::relaxed(text).map_err(anyhow::Error::msg)?;
        let path = Template::parse(&written).map_err(anyhow::Error::msg)?;
        Ok(Self { path, written })
    }

    /// Sorts what has an object each. What is equal stays in its order.
    pub(super) fn sort<T>(&self, items: &mut Vec<T>, object: impl Fn(&T) -> &Value) -> anyhow::Result<()> {
        let values = items.iter().map(|item| self.value(object(item))).collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(
            values.is_empty() || values.iter().any(Option::is_some),
            "couldn't find any field with path {:?} in the list of objects",
            self.written
        );
        let keys = self.keys(&values)?;
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by(|left, right| compare(keys[*left], keys[*right]));
        let mut taken: Vec<Option<T>> = items.drain(..).map(Some).collect();
        items.extend(order.into_iter().filter_map(|index| taken[index].take()));
        Ok(())
    }

    fn value(&self, object: &Value) -> anyhow::Result<Option<Value>> {
        let results = self.path.results(object, Missing::Nothing).map_err(anyhow::Error::msg)?;
        Ok(results.first().and_then(|values| values.first()).map(|value| (*value).clone()))
    }

    /// Text is compared as quantities where all of it is such.
    fn keys<'a>(&self, values: &'a [Option<Value>]) -> anyhow::Result<Vec<Key<'a>>> {
        let texts = || values.iter().flatten().filter_map(Value::as_str);
        let are_quantities = texts().all(|text| Quantity::parse(text).is_ok());
        let key = |value: &'a Option<Value>| {
            Ok(match value {
                None | Some(Value::Null) => Key::None,
                Some(Value::Number(number)) if texts().next().is_none() => {
                    Key::Number(number.as_f64().unwrap_or_default())
                }
                Some(Value::String(text)) => match Quantity::parse(text) {
                    Ok(quantity) if are_quantities => Key::Quantity(quantity),
                    _ => Key::Text(text),
                },
                Some(other) => {
                    anyhow::bail!(
                        "field {} is an unsortable type: {}",
                        self.written,
                        json_path::go_type(other)
                    )
                }
            })
        };
        values.iter().map(key).collect()
    }
}

fn compare(left: Key<'_>, right: Key<'_>) -> Ordering {
    match (left, right) {
        (Key::None, Key::None) => Ordering::Equal,
        (Key::None, _) => Ordering::Less,
        (_, Key::None) => Ordering::Greater,
        (Key::Number(left), Key::Number(right)) => left.total_cmp(&right),
        (Key::Quantity(left), Key::Quantity(right)) => left.cmp(&right),
        (Key::Text(left), Key::Text(right)) => left.cmp(right),
        // Keys of one list are of one kind.
        _ => Ordering::Equal,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sorted(path: &str, values: Vec<Value>) -> anyhow::Result<Vec<Value>> {
        let mut objects: Vec<Value> = values.into_iter().map(|value| json!({"a": {"b": value}})).collect();
        Order::parse(path)?.sort(&mut objects, |object| object)?;
        Ok(objects.into_iter().map(|object| object["a"]["b"].clone()).collect())
    }

    #[test]
    fn numbers_quantities_and_text_are_sorted_as_what_they_are() {
        for (values, expected) in [
            (json!([10, 9, null, 1.5]), json!([null, 1.5, 9, 10])),
            (json!(["1Gi", "900Mi", "1k"]), json!(["1k", "900Mi", "1Gi"])),
            (json!(["10", "9", "x"]), json!(["10", "9", "x"])),
            (json!(["b", "a"]), json!(["a", "b"])),
            (json!([]), json!([])),
        ] {
            let list = |value: &Value| value.as_array().unwrap().clone();
            for path in [".a.b", "a.b", "{.a.b}"] {
                assert_eq!(sorted(path, list(&values)).unwrap(), list(&expected), "{path}");
            }
        }
    }

    #[test]
    fn what_cannot_be_sorted_is_told() {
        for (path, values, error) in [
            (".x", vec![json!(1)], "couldn't find any field with path \"{.x}\" in the list of objects"),
            (".a", vec![json!(1)], "field {.a} is an unsortable type: map[string]interface {}"),
            (".a.b", vec![json!(1), json!("x")], "field {.a.b} is an unsortable type: int64"),
            ("{.a", vec![], "unexpected path string, expected a 'name1.name2' or"),
        ] {
            let told = sorted(path, values).unwrap_err().to_string();
            assert!(told.starts_with(error), "{path}: {told}");
        }
    }
}

//! JSON of which nothing is lost: `serde_json` alone keeps the last of two members of the same name and does not say so.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Parsed;

/// So many duplicates are reported.
const MAX_REPORTED: usize = 100;

/// Reads one value and nothing behind it. As deep as `serde_json` goes, which is 128 levels.
pub(super) fn parse(bytes: &[u8]) -> serde_json::Result<Parsed> {
    let duplicates = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Place { path: String::new(), duplicates: &duplicates }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(Parsed { value, duplicates: duplicates.into_inner() })
}

/// Where in the document the next value stands.
struct Place<'a> {
    path: String,
    duplicates: &'a RefCell<Vec<String>>,
}

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut elements = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, elements.len());
            match access.next_element_seed(Place { path, duplicates: self.duplicates })? {
                Some(element) => elements.push(element),
                None => return Ok(Value::Array(elements)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = access.next_key::<String>()? {
            let path = if self.path.is_empty() { key.clone() } else { format!("{}.{key}", self.path) };
            if map.contains_key(&key) && self.duplicates.borrow().len() < MAX_REPORTED {
                self.duplicates.borrow_mut().push(path.clone());
            }
            let value = access.next_value_seed(Place { path, duplicates: self.duplicates })?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_those_of_serde_json_and_duplicates_are_named() {
        for (text, duplicates) in [
            (r#"{"a":1,"b":[-1,1.5,null,true,"x",18446744073709551615]}"#, vec![]),
            (r#"{"a":1,"a":2}"#, vec!["a"]),
            (r#"{"a":[{"b":{"c":1,"c":2,"d":{}}}],"a":[]}"#, vec!["a[0].b.c", "a"]),
        ] {
            let parsed = parse(text.as_bytes()).unwrap();
            assert_eq!(parsed.value, serde_json::from_str::<Value>(text).unwrap(), "{text}");
            assert_eq!(parsed.duplicates, duplicates, "{text}");
        }
        assert_eq!(parse(b"{\"a\":1,\"a\":2}").unwrap().value, json!({"a": 2}));
    }

    #[test]
    fn what_is_no_json_is_refused_at_any_depth() {
        for text in ["", "{", "{}}", "nope", "{\"a\":}", &"[".repeat(100_000)] {
            assert!(parse(text.as_bytes()).is_err(), "{:.20}", text);
        }
    }
}

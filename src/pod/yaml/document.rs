//! A tree as a plain JSON value, for those who need no places.

use serde_json::{Map, Number, Value as Json};

use super::{Node, Value, parse};

/// The one document of `text`, and the fields that are there twice; or what is wrong with it.
pub(crate) fn yaml_to_json(text: &str) -> Result<(Json, Vec<String>), String> {
    let (documents, flaws) = parse(text);
    let (duplicates, wrong): (Vec<_>, Vec<_>) = flaws.into_iter().partition(|flaw| !flaw.field.is_empty());
    if let Some(flaw) = wrong.into_iter().next() {
        return Err(format!("line {}: {}", flaw.position.line, flaw.reason));
    }
    match documents.as_slice() {
        [] => Ok((Json::Null, Vec::new())),
        [document] => Ok((json(document), duplicates.into_iter().map(|flaw| flaw.field).collect())),
        _ => Err("more than one document".to_owned()),
    }
}

fn json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => Number::from_f64(*value).map_or(Json::Null, Json::Number),
        Value::String(text) => text.as_str().into(),
        Value::Sequence(nodes) => nodes.iter().map(json).collect(),
        Value::Mapping(entries) => Json::Object(
            entries.iter().map(|entry| (entry.key.clone(), json(&entry.value))).collect::<Map<_, _>>(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_becomes_what_it_would_be_as_json() {
        let text = "a: [1, 1.5, yes, null, \"1\"]\nb:\n  c: text\n";
        assert_eq!(
            yaml_to_json(text),
            Ok((json!({"a": [1, 1.5, true, null, "1"], "b": {"c": "text"}}), vec![]))
        );
        assert_eq!(yaml_to_json("# nothing"), Ok((Json::Null, vec![])));
        assert!(yaml_to_json("a: 1\n---\na: 2\n").is_err());
        assert!(yaml_to_json("a: [").unwrap_err().starts_with("line "));
    }

    #[test]
    fn what_is_there_twice_is_named() {
        assert_eq!(yaml_to_json("a:\n  b: 1\n  b: 2\n").unwrap().1, ["a.b"]);
    }
}

//! From text to trees, one per document: the parser's events put together on a stack of our own, within limits.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::{Entry, Node, Value, json, scalar};
use crate::pod::problem::Position;

/// Levels of nesting. A Pod needs about 12.
const MAX_DEPTH: usize = 100;
/// Values in all documents together, with what aliases repeat.
const MAX_NODES: usize = 300_000;
/// Keys of one mapping, so that looking one up can be simple.
const MAX_KEYS: usize = 10_000;
/// Bytes of text in all documents together, with what aliases repeat.
const MAX_TEXT: usize = 16 * 1024 * 1024;

/// Why text is not a tree, or only with something left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Flaw {
    pub(crate) position: Position,
    /// The field's path, where one is concerned.
    pub(crate) field: String,
    pub(crate) reason: String,
}

/// The documents of `text`, empty ones left out, and what was wrong. After an error of syntax the rest of the text is lost;
/// after a duplicate key only its second value is.
pub(crate) fn parse(text: &str) -> (Vec<Node>, Vec<Flaw>) {
    let text = json::join_surrogates(text);
    let mut parser = Parser::new_from_str(&text);
    let mut builder = Builder::default();
    if let Err(flaw) = builder.run(&mut parser) {
        builder.flaws.push(flaw);
    }
    (builder.documents, builder.flaws)
}

#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    flaws: Vec<Flaw>,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Anchored>,
    spent: Size,
}

/// A collection that is not complete yet.
struct Frame {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, seen: HashSet<String>, merged: Vec<Entry>, key: Option<Key> },
}

struct Key {
    text: String,
    position: Position,
    /// It is the `<<` of a merge.
    merge: bool,
}

/// What an alias puts into the tree.
struct Anchored {
    node: Node,
    size: Size,
    height: usize,
}

#[derive(Default, Clone, Copy)]
struct Size {
    nodes: usize,
    text: usize,
}

impl Builder {
    fn run(&mut self, parser: &mut Parser<'_, StrInput<'_>>) -> Result<(), Flaw> {
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| Flaw {
                position: position(*error.marker()),
                field: String::new(),
                reason: format!("invalid YAML: {}", error.info()),
            })?;
            self.take(event, span)?;
        }
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Flaw> {
        let at = position(span.start);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let merge = style == ScalarStyle::Plain && tag.is_none() && text == "<<" && self.wants_key();
                let value = scalar_value(&text, style, tag.as_deref()).map_err(|reason| flaw(at, reason))?;
                self.spend(at, Size { nodes: 1, text: text.len() })?;
                self.put(Node { position: at, value }, anchor, merge)
            }
            Event::Alias(anchor) => {
                let Some(anchored) = self.anchors.get(&anchor) else {
                    return Err(flaw(at, "invalid YAML: an alias stands inside of what it names"));
                };
                if self.stack.len() + anchored.height > MAX_DEPTH {
                    return Err(too_deep(at));
                }
                let (node, size) = (anchored.node.clone(), anchored.size);
                self.spend(at, size)?;
                self.put(node, 0, false)
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(at, anchor, tag.as_deref(), Content::Sequence(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Mapping {
                    entries: Vec::new(),
                    seen: HashSet::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.open(at, anchor, tag.as_deref(), content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => Ok(()),
        }
    }

    fn open(&mut self, at: Position, anchor: usize, tag: Option<&Tag>, content: Content) -> Result<(), Flaw> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            return Err(flaw(at, format!("the tag {tag} is not supported")));
        }
        self.spend(at, Size { nodes: 1, text: 0 })?;
        self.stack.push(Frame { position: at, anchor, content });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Flaw> {
        let Some(Frame { position, anchor, content }) = self.stack.pop() else {
            return Ok(());
        };
        let value = match content {
            Content::Sequence(nodes) => Value::Sequence(nodes),
            Content::Mapping { mut entries, mut seen, merged, .. } => {
                entries.extend(merged.into_iter().filter(|entry| seen.insert(entry.key.clone())));
                if entries.len() > MAX_KEYS {
                    return Err(flaw(position, format!("more than {MAX_KEYS} keys in one mapping")));
                }
                Value::Mapping(entries)
            }
        };
        self.put(Node { position, value }, anchor, false)
    }

    /// Gives a complete node to the collection it belongs to, as key, value or element.
    fn put(&mut self, node: Node, anchor: usize, merge: bool) -> Result<(), Flaw> {
        if anchor != 0 {
            let (size, height) = measure(&node);
            self.spend(node.position, size)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), size, height });
        }
        let Some(frame) = self.stack.last_mut() else {
            if node.value != Value::Null {
                self.documents.push(node);
            }
            return Ok(());
        };
        match &mut frame.content {
            Content::Sequence(nodes) => nodes.push(node),
            Content::Mapping { key: key @ None, .. } => {
                *key = Some(Key { text: key_text(&node)?, position: node.position, merge });
            }
            Content::Mapping { entries, seen, merged, key: key @ Some(_) } => {
                let Some(Key { text, position, merge }) = key.take() else { return Ok(()) };
                if merge {
                    merged.extend(merge_entries(node)?);
                } else if seen.insert(text.clone()) {
                    entries.push(Entry { key: text, position, value: node });
                } else {
                    let reason = format!("duplicate key {text:?}");
                    let field = self.path(&text);
                    self.flaws.push(Flaw { position, field, reason });
                }
            }
        }
        Ok(())
    }

    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Frame { content: Content::Mapping { key: None, .. }, .. }))
    }

    /// The path of `last` in the collection that is being filled.
    fn path(&self, last: &str) -> String {
        let mut path = String::new();
        let outer = self.stack.len().saturating_sub(1);
        for frame in &self.stack[..outer] {
            match &frame.content {
                Content::Sequence(nodes) => path += &format!("[{}]", nodes.len()),
                Content::Mapping { key, .. } => {
                    let separator = if path.is_empty() { "" } else { "." };
                    path += separator;
                    path += key.as_ref().map_or("", |key| &key.text);
                }
            }
        }
        if path.is_empty() { last.to_owned() } else { format!("{path}.{last}") }
    }

    fn spend(&mut self, at: Position, size: Size) -> Result<(), Flaw> {
        self.spent.nodes = self.spent.nodes.saturating_add(size.nodes);
        self.spent.text = self.spent.text.saturating_add(size.text);
        if self.spent.nodes > MAX_NODES {
            return Err(flaw(at, format!("more than {MAX_NODES} values, those of aliases included")));
        }
        if self.spent.text > MAX_TEXT {
            return Err(flaw(at, format!("more than {MAX_TEXT} bytes of text, that of aliases included")));
        }
        Ok(())
    }
}

fn scalar_value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let string = || Value::String(text.to_owned());
    match tag {
        None if style == ScalarStyle::Plain => Ok(scalar::resolve(text)),
        None => Ok(string()),
        // "!" alone says: not to be resolved.
        Some(tag) if tag.handle.is_empty() && tag.suffix == "!" => Ok(string()),
        Some(tag) if tag.is_yaml_core_schema() && tag.suffix == "str" => Ok(string()),
        Some(tag) if tag.is_yaml_core_schema() => {
            let value = scalar::resolve(text);
            let fits = matches!(
                (tag.suffix.as_str(), &value),
                ("null", Value::Null)
                    | ("bool", Value::Bool(_))
                    | ("int", Value::Int(_))
                    | ("float", Value::Int(_) | Value::Float(_))
            );
            if fits { Ok(value) } else { Err(format!("{text:?} is no !!{}", tag.suffix)) }
        }
        Some(tag) => Err(format!("the tag {tag} is not supported")),
    }
}

/// Keys are text in JSON; Kubernetes turns numbers and booleans into text, and refuses the rest.
fn key_text(node: &Node) -> Result<String, Flaw> {
    match &node.value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Int(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other @ (Value::Null | Value::Sequence(_) | Value::Mapping(_)) => {
            Err(flaw(node.position, format!("a key must be text, this is {}", other.kind())))
        }
    }
}

/// What `<<` brings in: the entries of a mapping, or of a list of mappings of which the first has the first word.
fn merge_entries(node: Node) -> Result<Vec<Entry>, Flaw> {
    let at = node.position;
    let refused = || flaw(at, "a merge (<<) needs a mapping or a list of mappings");
    match node.value {
        Value::Mapping(entries) => Ok(entries),
        Value::Sequence(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                let Value::Mapping(entries) = node.value else { return Err(refused()) };
                all.extend(entries);
            }
            Ok(all)
        }
        _ => Err(refused()),
    }
}

/// Size and height of a subtree; a scalar has the height 0. Trees here are at most [`MAX_DEPTH`] high.
fn measure(node: &Node) -> (Size, usize) {
    let text = if let Value::String(text) = &node.value { text.len() } else { 0 };
    let elements = node.elements().iter().map(|node| (0, node));
    let entries = node.entries().iter().map(|entry| (entry.key.len(), &entry.value));
    let is_collection = matches!(node.value, Value::Sequence(_) | Value::Mapping(_));
    let start = (Size { nodes: 1, text }, usize::from(is_collection));
    elements.chain(entries).fold(start, |(size, height), (key, child)| {
        let (child_size, child_height) = measure(child);
        let size = Size { nodes: size.nodes + child_size.nodes, text: size.text + key + child_size.text };
        (size, height.max(child_height + 1))
    })
}

fn flaw(position: Position, reason: impl Into<String>) -> Flaw {
    Flaw { position, field: String::new(), reason: reason.into() }
}

fn too_deep(at: Position) -> Flaw {
    flaw(at, format!("nested deeper than {MAX_DEPTH} levels"))
}

fn position(marker: saphyr_parser::Marker) -> Position {
    Position { line: marker.line(), column: marker.col() + 1 }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pod::effort::effort;

    /// The tree without its positions, as JSON would write it.
    fn plain(node: &Node) -> String {
        let list = |parts: Vec<String>| parts.join(",");
        match &node.value {
            Value::Null => "null".to_owned(),
            Value::Bool(truth) => truth.to_string(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::String(text) => format!("{text:?}"),
            Value::Sequence(nodes) => format!("[{}]", list(nodes.iter().map(plain).collect())),
            Value::Mapping(entries) => {
                let entry = |entry: &Entry| format!("{:?}:{}", entry.key, plain(&entry.value));
                format!("{{{}}}", list(entries.iter().map(entry).collect()))
            }
        }
    }

    /// Each document on a line, then each flaw.
    fn check(text: &str, expected: &str) {
        let ((documents, flaws), effort) = effort(|| parse(text));
        let flaws = flaws.iter().map(|Flaw { position: Position { line, column }, field, reason }| {
            format!("{line}:{column}: {field}: {reason}")
        });
        let lines: Vec<String> = documents.iter().map(plain).chain(flaws).collect();
        let start: String = text.chars().take(80).collect();
        assert_eq!(lines.join("\n"), expected, "{start:?}");
        assert!(effort < Duration::from_secs(5), "{start:?} took {effort:?}");
    }

    #[test]
    fn yaml_becomes_a_tree() {
        check("", "");
        check("# nothing\n---\n---\n...\n", "");
        check("a: 1\nb: [x, 'y', \"z\", ~]\n", r#"{"a":1,"b":["x","y","z",null]}"#);
        check("a: 1\n---\nb: 2\n", "{\"a\":1}\n{\"b\":2}");
        check("a: '1'\nb: !!str 1\nc: \"yes\"\n", r#"{"a":"1","b":"1","c":"yes"}"#);
        check("1: a\ntrue: b\n", r#"{"1":"a","true":"b"}"#);
        check("a: |\n  x\n  y\n", r#"{"a":"x\ny\n"}"#);
        check("a: &x [1, 2]\nb: *x\n", r#"{"a":[1,2],"b":[1,2]}"#);
        check("x: &x {a: 1, b: 2}\nz:\n  <<: *x\n  b: 3\n", r#"{"x":{"a":1,"b":2},"z":{"b":3,"a":1}}"#);
        check("a: {<<: [{x: 1}, {x: 2, z: 3}]}\n", r#"{"a":{"x":1,"z":3}}"#);
    }

    #[test]
    fn all_of_json_is_read() {
        check("{}", "{}");
        check("{\"a\":1,\"b\":[true,null,-1.5e3]}", r#"{"a":1,"b":[true,null,-1500]}"#);
        check("{\n\t\"a\":\t\"x\",\n\t\"b\" : [\n\t\t1\n\t]\n}\n", r#"{"a":"x","b":[1]}"#);
        check(r#"{"a":"\/\"\\\b\f\n\r\tA"}"#, "{\"a\":\"/\\\"\\\\\\u{8}\\u{c}\\n\\r\\tA\"}");
        check(r#"{"a":"\ud83d\ude00"}"#, "{\"a\":\"😀\"}");
        check("{\"a\"\n:\n1}", r#"{"a":1}"#);
        check("{\"a\":{\"b\":{}},\"c\":[]}", r#"{"a":{"b":{}},"c":[]}"#);
        let key = "k".repeat(3000);
        check(&format!("{{\"{key}\":1}}"), &format!("{{\"{key}\":1}}"));
    }

    #[test]
    fn errors_have_a_place() {
        check("a: 1\na: 2\n", "{\"a\":1}\n2:1: a: duplicate key \"a\"");
        check("s:\n  - x: 1\n    x: 2\n", "{\"s\":[{\"x\":1}]}\n3:5: s[0].x: duplicate key \"x\"");
        check("a: [1\n", "2:1: : invalid YAML: while parsing a flow sequence, expected ',' or ']'");
        check("? [a]\n: 1\n", "1:3: : a key must be text, this is array");
        check("a: !mine 1\n", "1:4: : the tag !mine is not supported");
        check("a: !!int x\n", "1:4: : \"x\" is no !!int");
        check("a: &a [*a]\n", "1:8: : invalid YAML: an alias stands inside of what it names");
        check("a: {<<: 1}\n", "1:9: : a merge (<<) needs a mapping or a list of mappings");
    }

    #[test]
    fn bombs_are_refused_fast() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..30 {
            let below = format!("*a{}, ", level - 1).repeat(9);
            bomb += &format!("a{level}: &a{level} [{below}]\n");
        }
        check(&bomb, "6:20: : more than 300000 values, those of aliases included");

        let text = "x".repeat(1 << 20);
        let aliases = "- *a\n".repeat(10_000);
        check(
            &format!("- &a {text}\n{aliases}"),
            "16:3: : more than 16777216 bytes of text, that of aliases included",
        );

        let mut ladder = "a0: &a0 [x]\n".to_owned();
        for level in 1..1000 {
            ladder += &format!("a{level}: &a{level} [[[[[[[[[[*a{}]]]]]]]]]]\n", level - 1);
        }
        check(&ladder, "11:21: : nested deeper than 100 levels");

        for deep in ["[".repeat(100_000), "{a: ".repeat(100_000), "- ".repeat(100_000), "? ".repeat(100_000)]
        {
            let (documents, flaws) = parse(&deep);
            assert_eq!((documents.len(), flaws.len()), (0, 1));
        }
    }
}

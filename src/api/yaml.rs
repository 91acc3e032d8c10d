//! Values as YAML, byte for byte as kubectl and the API server write them.
//!
//! Source: `sigs.k8s.io/yaml`, whose `goyaml.v2` is go-yaml 2.4, which is libyaml in Go.

mod key;
mod plain;
mod scalar;

use serde_json::{Map, Value};

use self::scalar::{Style, Traits};

/// Columns after which a long text is broken at its next space.
const WIDTH: usize = 80;
/// What a level is indented by.
const STEP: usize = 2;
/// Bytes that a key may have to be followed by a colon; a longer one has a question mark before it.
const MAX_KEY: usize = 128;

/// The text of a value, its fields in their order.
pub fn of(value: &Value) -> String {
    let mut writer = Writer::default();
    match value {
        Value::Object(fields) if !fields.is_empty() => writer.fields(fields, 0, true),
        Value::Array(items) if !items.is_empty() => writer.items(items, 0, true),
        value => writer.value(value, STEP),
    }
    writer.break_line();
    writer.text
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

#[derive(Default)]
struct Writer {
    text: String,
    /// Characters of the line.
    column: usize,
}

impl Writer {
    fn push(&mut self, character: char) {
        self.text.push(character);
        self.column = if character == '\n' { 0 } else { self.column + 1 };
    }

    fn write(&mut self, text: &str) {
        text.chars().for_each(|character| self.push(character));
    }

    /// Ends the line, unless it is a new one.
    fn break_line(&mut self) {
        if self.column > 0 {
            self.push('\n');
        }
    }

    fn begin_line(&mut self, indent: usize) {
        self.break_line();
        (0..indent).for_each(|_| self.push(' '));
    }

    /// The fields of an object that has some, a line each; the first goes on in this line if it is `inline`.
    fn fields(&mut self, fields: &Map<String, Value>, indent: usize, mut inline: bool) {
        let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
        fields.sort_by(|(a, _), (b, _)| key::compare(a, b));
        for (name, value) in fields {
            if !inline {
                self.begin_line(indent);
            }
            inline = false;
            if name.len() <= MAX_KEY && !name.contains('\n') {
                self.scalar(name, None);
                self.push(':');
                match value {
                    Value::Object(below) if !below.is_empty() => self.fields(below, indent + STEP, false),
                    Value::Array(items) if !items.is_empty() => self.items(items, indent, false),
                    value => {
                        self.push(' ');
                        self.value(value, indent + STEP);
                    }
                }
            } else {
                self.write("? ");
                self.scalar(name, Some(indent + STEP));
                self.begin_line(indent);
                self.write(": ");
                self.inline(value, indent + STEP);
            }
        }
    }

    /// Likewise, of a list.
    fn items(&mut self, items: &[Value], indent: usize, mut inline: bool) {
        for item in items {
            if !inline {
                self.begin_line(indent);
            }
            inline = false;
            self.write("- ");
            self.inline(item, indent + STEP);
        }
    }

    /// A value that begins in this line.
    fn inline(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Object(fields) if !fields.is_empty() => self.fields(fields, indent, true),
            Value::Array(items) if !items.is_empty() => self.items(items, indent, true),
            value => self.value(value, indent),
        }
    }

    /// A value with nothing below it; further lines of it are indented by so much.
    fn value(&mut self, value: &Value, indent: usize) {
        match value {
            Value::Null => self.write("null"),
            Value::Bool(truth) => self.write(if *truth { "true" } else { "false" }),
            Value::Number(number) => self.write(&number.to_string()),
            Value::String(text) => self.scalar(text, Some(indent)),
            Value::Array(_) => self.write("[]"),
            Value::Object(_) => self.write("{}"),
        }
    }

    /// A text; one without an indent is a key, and stays in its line.
    fn scalar(&mut self, text: &str, indent: Option<usize>) {
        match Traits::of(text).style(indent.is_none()) {
            Style::Plain => self.folded(text, indent, ""),
            Style::Single => self.folded(text, indent, "'"),
            Style::Double => self.escaped(text, indent),
            Style::Literal => self.literal(text, indent.unwrap_or_default()),
        }
    }

    /// A text that is broken at spaces, between these quotes.
    fn folded(&mut self, text: &str, indent: Option<usize>, quote: &str) {
        self.write(quote);
        let mut characters = text.chars().peekable();
        let (mut after_space, mut is_first) = (false, true);
        while let Some(character) = characters.next() {
            let next = characters.peek().copied();
            match indent {
                // A quoted text neither begins nor ends with a break; a plain one has no space there.
                Some(indent) if character == ' ' && self.column > WIDTH => {
                    let is_inside = !is_first && next.is_some();
                    if !after_space && is_inside && next != Some(' ') {
                        self.begin_line(indent);
                    } else {
                        self.push(' ');
                    }
                }
                _ if character == '\'' && !quote.is_empty() => self.write("''"),
                _ => self.push(character),
            }
            (after_space, is_first) = (character == ' ', false);
        }
        self.write(quote);
    }

    /// A text with escapes, broken at spaces.
    fn escaped(&mut self, text: &str, indent: Option<usize>) {
        self.push('"');
        let mut characters = text.chars().peekable();
        let (mut after_space, mut is_first) = (false, true);
        while let Some(character) = characters.next() {
            let next = characters.peek().copied();
            match (character, indent) {
                (' ', Some(indent)) if self.column > WIDTH && !after_space && !is_first && next.is_some() => {
                    self.begin_line(indent);
                    if next == Some(' ') {
                        self.push('\\');
                    }
                }
                _ => match scalar::escape(character) {
                    Some(escape) => self.write(&escape),
                    None => self.push(character),
                },
            }
            (after_space, is_first) = (character == ' ', false);
        }
        self.push('"');
    }

    /// A text of several lines, as it is.
    fn literal(&mut self, text: &str, indent: usize) {
        self.push('|');
        if text.starts_with([' ', '\n']) {
            self.write(&STEP.to_string());
        }
        if !text.ends_with('\n') {
            self.push('-');
        } else if text.ends_with("\n\n") || text == "\n" {
            self.push('+');
        }
        self.push('\n');
        for line in text.split_inclusive('\n') {
            if line != "\n" {
                self.begin_line(indent);
            }
            self.write(line);
        }
    }
}

#[cfg(test)]
mod tests;

//! Selectors over labels: `app=web,tier in (a, b),!canary`.
//!
//! Source: `k8s.io/apimachinery/pkg/labels/selector.go`, whose grammar this is.

use std::str::FromStr;

use super::super::object::Object;
use crate::pod::names;

/// All of these must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelSelector(Vec<Requirement>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Exists,
    Absent,
    In(Vec<String>),
    /// Or absent.
    NotIn(Vec<String>),
    GreaterThan(i64),
    LessThan(i64),
}

/// What is no selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SyntaxError(String);

impl LabelSelector {
    /// Everything passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object passes.
    pub fn matches(&self, object: &Object) -> bool {
        self.0.iter().all(|requirement| requirement.test.holds(object.label(&requirement.key)))
    }
}

impl Test {
    fn holds(&self, label: Option<&str>) -> bool {
        let number = || label.and_then(|label| label.parse::<i64>().ok());
        let is_one_of =
            |values: &[String]| label.is_some_and(|label| values.iter().any(|value| value == label));
        match self {
            Self::Exists => label.is_some(),
            Self::Absent => label.is_none(),
            Self::In(values) => is_one_of(values),
            Self::NotIn(values) => !is_one_of(values),
            Self::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Self::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl FromStr for LabelSelector {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        Parser { tokens: tokens(text), at: 0 }.selector().map(Self)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// `=`, `!`, `(`, ...
    Sign(&'a str),
    Word(&'a str),
    End,
}

/// Words are whatever stands between signs and white space.
fn tokens(text: &str) -> Vec<Token<'_>> {
    const SIGNS: [&str; 9] = ["==", "!=", "=", "!", "<", ">", "(", ")", ","];
    let is_special = |c: char| c.is_ascii_whitespace() || SIGNS.iter().any(|sign| sign.starts_with(c));
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (token, length) = match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => (Token::Sign(sign), sign.len()),
            None => {
                let length = rest.find(is_special).unwrap_or(rest.len());
                (Token::Word(&rest[..length]), length)
            }
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    tokens
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn selector(mut self) -> Result<Vec<Requirement>, SyntaxError> {
        let mut requirements = Vec::new();
        if self.peek() == Token::End {
            return Ok(requirements);
        }
        loop {
            requirements.push(self.requirement()?);
            match self.next() {
                Token::End => return Ok(requirements),
                Token::Sign(",") if matches!(self.peek(), Token::Word(_) | Token::Sign("!")) => {}
                Token::Sign(",") => return Err(self.expected("identifier after ','")),
                other => return Err(unexpected(other, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SyntaxError> {
        let absent = self.peek() == Token::Sign("!");
        if absent {
            self.next();
        }
        let Token::Word(key) = self.next() else {
            self.at -= 1;
            return Err(self.expected("identifier"));
        };
        if let Some(why) = names::qualified_name(key).into_iter().next() {
            return Err(SyntaxError(format!("key: Invalid value: {key:?}: {why}")));
        }
        let key = key.to_owned();
        if absent {
            return Ok(Requirement { key, test: Test::Absent });
        }
        let test = match self.peek() {
            Token::End | Token::Sign(",") => Test::Exists,
            _ => self.test(&key)?,
        };
        Ok(Requirement { key, test })
    }

    fn test(&mut self, key: &str) -> Result<Test, SyntaxError> {
        let operator = self.next();
        let values = match operator {
            Token::Sign("=" | "==" | "!=" | "<" | ">") => vec![self.value()],
            Token::Word("in" | "notin") => self.list()?,
            other => {
                return Err(unexpected(other, "in, notin, =, ==, !=, gt, lt"));
            }
        };
        for value in &values {
            if let Some(why) = names::label_value(value).into_iter().next() {
                return Err(SyntaxError(format!("values[0][{key}]: Invalid value: {value:?}: {why}")));
            }
        }
        let number = || {
            values[0].parse().map_err(|_| {
                SyntaxError(format!(
                    "values[0]: Invalid value: {:?}: for 'Gt', 'Lt' operators, the value must be an integer",
                    values[0]
                ))
            })
        };
        Ok(match operator {
            Token::Sign(">") => Test::GreaterThan(number()?),
            Token::Sign("<") => Test::LessThan(number()?),
            Token::Sign("!=") | Token::Word("notin") => Test::NotIn(values),
            _ => Test::In(values),
        })
    }

    /// What stands behind an operator; nothing is the empty value.
    fn value(&mut self) -> String {
        match self.peek() {
            Token::Word(word) => {
                self.next();
                word.to_owned()
            }
            _ => String::new(),
        }
    }

    fn list(&mut self) -> Result<Vec<String>, SyntaxError> {
        match self.next() {
            Token::Sign("(") => {}
            other => return Err(unexpected(other, "'('")),
        }
        if self.peek() == Token::Sign(")") {
            return Err(SyntaxError(
                "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty"
                    .to_owned(),
            ));
        }
        let mut values = Vec::new();
        loop {
            values.push(self.value());
            match self.next() {
                Token::Sign(")") => return Ok(values),
                Token::Sign(",") => {}
                other => return Err(unexpected(other, "',' or ')'")),
            }
        }
    }

    fn peek(&self) -> Token<'a> {
        self.tokens.get(self.at).copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn expected(&self, what: &str) -> SyntaxError {
        unexpected(self.peek(), what)
    }
}

fn unexpected(found: Token<'_>, expected: &str) -> SyntaxError {
    let found = match found {
        Token::Sign(text) | Token::Word(text) => text,
        Token::End => "",
    };
    SyntaxError(format!("found '{found}', expected: {expected}"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::*;

    fn labelled(labels: &str) -> Object {
        let pairs = labels.split(',').filter_map(|pair| pair.split_once('='));
        let labels: Map<String, Value> = pairs.map(|(key, value)| (key.to_owned(), value.into())).collect();
        Object::from_value(json!({"metadata": {"labels": labels}})).unwrap()
    }

    #[test]
    fn selectors_choose_as_kubernetes_does() {
        for (selector, labels, expected) in [
            ("", "x=y", true),
            ("x=y", "x=y", true),
            ("x=y,z=w", "x=y,z=w", true),
            ("x!=y,z!=w", "x=z,z=a", true),
            ("x!=y", "", true),
            ("x=", "x=", true),
            ("x=", "y=z", false),
            ("x= ", "x=", true),
            ("x=,z= ", "x=,z=", true),
            ("x=y", "x=z", false),
            ("x==y", "x=y", true),
            ("x", "x=", true),
            ("x", "y=", false),
            ("!x", "y=z", true),
            ("!x", "x=z", false),
            ("!x,y", "y=z", true),
            ("x in (a,b)", "x=b", true),
            ("x in (a,b)", "x=c", false),
            ("x in (a,b)", "", false),
            ("x in (,b)", "x=", true),
            ("x notin (a,b)", "x=c", true),
            ("x notin (a,b)", "x=a", false),
            ("x notin (a)", "", true),
            ("x in (in,notin),y", "x=in,y=", true),
            ("in=1", "in=1", true),
            ("x>1", "x=2", true),
            ("x>1", "x=1", false),
            ("x>1,x<5", "x=4", true),
            ("x<2", "x=a", false),
            ("a.b/c-d=e_f.G", "a.b/c-d=e_f.G", true),
        ] {
            let parsed: LabelSelector = selector.parse().unwrap();
            assert_eq!(parsed.matches(&labelled(labels)), expected, "{selector:?} on {labels:?}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in [
            "x=a||y=b", "x==a==b", "!x=a", "x<a", ",", "x,", "x,,y", "x in", "x in a", "x in (a", "x in ()",
            "x a", "=a", "!", "_x=a", "x=-", "x y", "(x)",
        ] {
            assert!(text.parse::<LabelSelector>().is_err(), "{text:?}");
        }
    }
}

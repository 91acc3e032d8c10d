//! The messages of the kinds that are read, from `messages.txt`, which `tools/messages` writes.

use std::collections::HashMap;
use std::sync::LazyLock;

/// All of them; read when the first body of protobuf comes, for most clients send none.
pub(super) static MESSAGES: LazyLock<Messages> = LazyLock::new(|| Messages::of(include_str!("messages.txt")));

pub(super) struct Messages {
    /// API version (`*` is any), kind, and which message it is.
    kinds: Vec<(&'static str, &'static str, &'static str)>,
    fields: HashMap<&'static str, Vec<Field>>,
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) number: u64,
    /// In JSON. `None`: its own fields stand in its place.
    pub(super) name: Option<&'static str>,
    pub(super) many: Many,
    pub(super) holds: Holds,
}

/// How many of what it holds a field has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Many {
    /// One. What is empty, false or 0 is as good as none.
    One,
    /// One or none, which are different things.
    Optional,
    List,
    /// Each below a text.
    Map,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Text,
    Number,
    Truth,
    /// Which JSON writes in base64.
    Bytes,
    /// A message that JSON writes as a list of texts.
    Texts,
    /// With whole seconds in JSON.
    Time,
    /// With microseconds in JSON.
    MicroTime,
    Quantity,
    IntOrString,
    /// A message with JSON in it.
    Json,
    /// Another message, by its name.
    Message(&'static str),
}

impl Messages {
    fn of(table: &'static str) -> Self {
        let (mut kinds, mut fields) = (Vec::new(), HashMap::<_, Vec<Field>>::new());
        let mut message = "";
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["kind", version, kind, message] => kinds.push((version, kind, message)),
                ["message", name] => {
                    message = name;
                    fields.insert(message, Vec::new());
                }
                [number, name, holds] => {
                    fields.entry(message).or_default().push(Field::of(number, name, holds))
                }
                _ => {}
            }
        }
        Self { kinds, fields }
    }

    /// The message of a kind, if it is read.
    pub(super) fn of_kind(&self, api_version: &str, kind: &str) -> Option<&'static str> {
        let found = self
            .kinds
            .iter()
            .find(|(version, name, _)| *name == kind && ["*", api_version].contains(version));
        found.map(|(.., message)| *message)
    }

    /// A field of a message, if it is known.
    pub(super) fn field(&self, message: &str, number: u64) -> Option<Field> {
        self.fields.get(message)?.iter().find(|field| field.number == number).copied()
    }
}

impl Field {
    fn of(number: &str, name: &'static str, holds: &'static str) -> Self {
        let forms = [("?", Many::Optional), ("[]", Many::List), ("{}", Many::Map)];
        let form = forms.into_iter().find_map(|(end, many)| Some((holds.strip_suffix(end)?, many)));
        let (holds, many) = form.unwrap_or((holds, Many::One));
        let holds = match holds {
            "text" => Holds::Text,
            "number" => Holds::Number,
            "truth" => Holds::Truth,
            "bytes" => Holds::Bytes,
            "texts" => Holds::Texts,
            "time" => Holds::Time,
            "microtime" => Holds::MicroTime,
            "quantity" => Holds::Quantity,
            "int-or-string" => Holds::IntOrString,
            "json" => Holds::Json,
            message => Holds::Message(message),
        };
        // 0 is the number of no field: a line that is none would never be found, and a test looks for such.
        Self { number: number.parse().unwrap_or_default(), name: (name != "-").then_some(name), many, holds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::auth::reviews::{CAN_I, MY_RULES, WHO_AM_I};
    use crate::api::{kinds, rest};
    use crate::pod::sysctl::Allowed;

    #[test]
    fn every_kind_that_is_served_can_be_read() {
        let kinds = kinds::all(&Allowed::default());
        let names =
            kinds.iter().map(|kind| kind.names()).chain([&rest::BINDINGS, &CAN_I, &MY_RULES, &WHO_AM_I]);
        for names in names {
            let version = names.api_version();
            assert!(MESSAGES.of_kind(&version, names.kind).is_some(), "{version} {}", names.kind);
        }
        for version in ["v1", "policy/v1", "meta.k8s.io/v1"] {
            assert!(MESSAGES.of_kind(version, "DeleteOptions").is_some(), "{version}");
        }
        assert_eq!(MESSAGES.of_kind("v2", "Pod"), None);
    }

    /// Bytes of a client can so never nest deeper than the table.
    #[test]
    fn every_message_is_there_and_none_is_in_itself() {
        fn depth(message: &str, above: usize) -> usize {
            assert!(above < 16, "{message}: in itself");
            let fields = MESSAGES.fields.get(message).unwrap_or_else(|| panic!("no message {message}"));
            let below = fields.iter().map(|field| match field.holds {
                Holds::Message(inner) => depth(inner, above + 1),
                _ => above,
            });
            below.max().unwrap_or(above)
        }
        let deepest = MESSAGES.kinds.iter().map(|(.., message)| depth(message, 0)).max();
        assert!(deepest > Some(5), "{deepest:?}");
    }

    #[test]
    fn no_message_has_a_number_or_a_name_twice() {
        for (message, fields) in &MESSAGES.fields {
            for (at, field) in fields.iter().enumerate() {
                assert_ne!(field.number, 0, "{message}");
                let twice = fields[..at].iter().any(|other| {
                    other.number == field.number || (other.name.is_some() && other.name == field.name)
                });
                assert!(!twice, "{message} {}", field.number);
            }
        }
    }

    #[test]
    fn what_stands_in_its_owners_place_is_one_message() {
        let inline = MESSAGES.fields.values().flatten().filter(|field| field.name.is_none());
        for field in inline {
            assert!(matches!((field.holds, field.many), (Holds::Message(_), Many::One)), "{field:?}");
        }
    }
}

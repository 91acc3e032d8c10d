//! How a registry says who it wants to hear from: the header WWW-Authenticate (RFC 9110, section 11.6.1).

/// One way to be let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    /// With a name and a password.
    Basic,
    /// With a token of this service.
    Bearer {
        /// Address of the token service.
        realm: String,
        /// What the service knows the registry by.
        service: Option<String>,
        /// What the token is to be good for.
        scope: Option<String>,
    },
}

/// The ways of a header that are understood, in its order.
pub(super) fn parse(header: &str) -> Vec<Challenge> {
    let mut found = Vec::new();
    let mut rest = header;
    // A scheme is a word that no `=` follows; its parameters are those up to the next scheme.
    while let Some((scheme, after)) = word(rest) {
        let (parameters, next) = parameters(after);
        let value = |name: &str| {
            parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if scheme.eq_ignore_ascii_case("bearer")
            && let Some(realm) = value("realm")
        {
            found.push(Challenge::Bearer { realm, service: value("service"), scope: value("scope") });
        }
        rest = next;
    }
    found
}

/// The word at the beginning, after commas and blanks, and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches([' ', '\t', ',']);
    let end = text.find(|c: char| !is_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// `name=value` and `name="value"` as long as there are any, and what follows them.
fn parameters(mut text: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    while let Some((name, after)) = word(text) {
        let Some(value) = after.trim_start().strip_prefix('=') else { break };
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => unquote(quoted),
            None => {
                let end = value.find(|c: char| !is_token(c)).unwrap_or(value.len());
                (value[..end].to_owned(), &value[end..])
            }
        };
        found.push((name.to_owned(), value));
        text = after;
    }
    (found, text)
}

/// What is before the closing quote, and what follows it.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c => value.push(c),
        }
    }
    (value, "")
}

fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: text(service), scope: text(scope) }
    }

    #[test]
    fn challenges_of_real_registries_and_of_hostile_ones() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/nginx:pull""#;
        let harbor = r#"Basic realm="harbor", Bearer realm="https://h/t" , service=s"#;
        for (header, expected) in [
            (
                hub,
                vec![bearer(
                    "https://auth.docker.io/token",
                    Some("registry.docker.io"),
                    Some("repository:library/nginx:pull"),
                )],
            ),
            (harbor, vec![Challenge::Basic, bearer("https://h/t", Some("s"), None)]),
            (r#"bearer REALM = "https://h""#, vec![bearer("https://h", None, None)]),
            (r#"Basic realm="a, Bearer realm=b""#, vec![Challenge::Basic]),
            (r#"Bearer realm="a\"b""#, vec![bearer("a\"b", None, None)]),
            ("Negotiate, Basic", vec![Challenge::Basic]),
            (r#"Digest realm="x", nonce="y""#, vec![]),
            ("Bearer service=s", vec![]),
            (r#"Bearer realm="https://h"#, vec![bearer("https://h", None, None)]),
            ("", vec![]),
            (",,, =", vec![]),
            ("ä", vec![]),
        ] {
            assert_eq!(parse(header), expected, "{header}");
        }
    }
}

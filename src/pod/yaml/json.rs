//! JSON is YAML, but for one thing: JSON writes a character beyond U+FFFF as two escapes, which YAML forbids.

use std::borrow::Cow;

/// JSON with each pair of surrogate escapes replaced by the character that it means, and a lone one by U+FFFD, as Go does.
/// Text that does not begin as a JSON object comes back as it was.
pub(super) fn join_surrogates(text: &str) -> Cow<'_, str> {
    if !text.trim_start_matches('\u{feff}').trim_start().starts_with('{') {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(backslash) = text[at..].find('\\') {
        let start = at + backslash;
        let Some(high @ 0xd800..=0xdfff) = unit(text, start) else {
            // Over the escaped character too: it may be a backslash.
            at = start + 1 + text[start + 1..].chars().next().map_or(0, char::len_utf8);
            continue;
        };
        let pair = unit(text, start + 6).and_then(|low| char::decode_utf16([high, low]).next()?.ok());
        let (meant, end) = match pair {
            Some(meant) => (meant, start + 12),
            None => (char::REPLACEMENT_CHARACTER, start + 6),
        };
        out.push_str(&text[copied..start]);
        out.push(meant);
        (copied, at) = (end, end);
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The code unit of an escape `\uXXXX` that starts at `at`.
fn unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrogate_escapes_become_the_character_they_mean() {
        for (text, expected) in [
            (r#"{"a":"\ud83d\ude00!"}"#, "{\"a\":\"😀!\"}"),
            (r#" {"a":"\uD83D\uDE00\uD83D\uDE00"}"#, " {\"a\":\"😀😀\"}"),
            (r#"{"a":"\ud83d"}"#, "{\"a\":\"\u{fffd}\"}"),
            (r#"{"a":"\ud83dA"}"#, "{\"a\":\"\u{fffd}A\"}"),
            (r#"{"a":"\\ud83d\\ude00"}"#, r#"{"a":"\\ud83d\\ude00"}"#),
            (r#"{"a":"\u00e9"}"#, r#"{"a":"\u00e9"}"#),
            (r#"a: "\ud83d\ude00""#, r#"a: "\ud83d\ude00""#),
            ("{\\", "{\\"),
            ("{\\ü\\u\\ud83", "{\\ü\\u\\ud83"),
        ] {
            assert_eq!(join_surrogates(text), expected, "{text:?}");
        }
    }
}

//! In which style a text is written: as it is, in quotes, or line by line.
//!
//! Source: `emitterc.go`, `yaml_emitter_analyze_scalar` and `yaml_emitter_select_scalar_style`.

use super::plain;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// What of a text decides that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Traits {
    /// It has several lines.
    lines: bool,
    /// Without quotes it would be read as something else than a text.
    something_else: bool,
    /// It begins or ends with a space, or has what means something between other values.
    indicators: bool,
    trailing_space: bool,
    /// A space before the end of a line, or a character that only an escape can tell.
    special: bool,
}

impl Traits {
    pub(super) fn of(text: &str) -> Self {
        let mut traits = Self {
            lines: text.contains('\n'),
            something_else: plain::means_something(text),
            indicators: text.starts_with("---")
                || text.starts_with("...")
                || text.starts_with(' ')
                || text.ends_with(' '),
            trailing_space: text.ends_with(' '),
            special: text.contains(" \n"),
        };
        let mut before = None;
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let is_followed_by_blank = characters.peek().is_none_or(|next| [' ', '\t', '\n'].contains(next));
            traits.indicators |= match (before, character) {
                (
                    None,
                    '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
                    | '`',
                ) => true,
                (None, '?' | '-') | (_, ':') => is_followed_by_blank,
                (Some(' ' | '\t' | '\n'), '#') => true,
                _ => false,
            };
            traits.special |= escape(character).is_some() && !['"', '\\', '\n'].contains(&character);
            before = Some(character);
        }
        traits
    }

    /// The style; a key is written in one line.
    pub(super) fn style(self, is_key: bool) -> Style {
        let is_literal = self.lines && !self.trailing_space && !self.special && !is_key;
        match self {
            _ if is_literal => Style::Literal,
            Self { lines: true, .. } | Self { special: true, .. } | Self { something_else: true, .. } => {
                Style::Double
            }
            Self { indicators: true, .. } => Style::Single,
            _ => Style::Plain,
        }
    }
}

/// How a character is told between double quotes, if it cannot stand there.
pub(super) fn escape(character: char) -> Option<String> {
    let short = match character {
        '\0' => '0',
        '\x07' => 'a',
        '\x08' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\x0b' => 'v',
        '\x0c' => 'f',
        '\r' => 'r',
        '\x1b' => 'e',
        '"' => '"',
        '\\' => '\\',
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' => return None,
        '\0'..='\u{ff}' => return Some(format!("\\x{:02X}", u32::from(character))),
        '\0'..='\u{ffff}' => return Some(format!("\\u{:04X}", u32::from(character))),
        _ => return Some(format!("\\U{:08X}", u32::from(character))),
    };
    Some(format!("\\{short}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_is_go_yamls() {
        for (text, value, key) in [
            ("plain", Style::Plain, Style::Plain),
            ("10.85.0.2", Style::Plain, Style::Plain),
            ("a b#c d:e", Style::Plain, Style::Plain),
            ("\\d \"x\"", Style::Plain, Style::Plain),
            ("-x", Style::Plain, Style::Plain),
            ("", Style::Double, Style::Double),
            ("yes", Style::Double, Style::Double),
            ("a: b", Style::Single, Style::Single),
            ("a:", Style::Single, Style::Single),
            ("a #b", Style::Single, Style::Single),
            ("#", Style::Single, Style::Single),
            ("- a", Style::Single, Style::Single),
            ("? a", Style::Single, Style::Single),
            ("{}", Style::Single, Style::Single),
            ("---", Style::Single, Style::Single),
            (" a", Style::Single, Style::Single),
            ("a ", Style::Single, Style::Single),
            ("a\tb", Style::Double, Style::Double),
            ("\u{1f600}", Style::Double, Style::Double),
            ("\u{feff}", Style::Double, Style::Double),
            ("grün", Style::Plain, Style::Plain),
            ("a\nb", Style::Literal, Style::Double),
            ("a\n b\n", Style::Literal, Style::Double),
            ("a \nb", Style::Double, Style::Double),
            ("a\nb ", Style::Double, Style::Double),
            ("a\r\nb", Style::Double, Style::Double),
        ] {
            let traits = Traits::of(text);
            assert_eq!((traits.style(false), traits.style(true)), (value, key), "{text:?}");
        }
    }
}

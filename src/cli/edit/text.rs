//! The text that is edited: comments that tell what to do and what was wrong, and the objects.

/// What kubectl writes above the objects.
const HEAD: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n\
                    # and an empty file will abort the edit. If an error occurs while saving this file will be\n\
                    # reopened with the relevant failures.\n#\n";

/// Why the text has to be edited again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) head: String,
    pub(super) causes: Vec<String>,
}

impl Reason {
    /// One without further causes.
    pub(super) fn new(head: String) -> Self {
        Self { head, causes: Vec::new() }
    }
}

/// The comments above the objects.
pub(super) fn header(reasons: &[Reason]) -> String {
    let comment = |text: &str| text.replace('\n', "\n# ");
    let mut header = HEAD.to_owned();
    for Reason { head, causes } in reasons {
        let end = if causes.is_empty() { "" } else { ":" };
        header += &format!("# {}{end}\n", comment(head));
        for cause in causes {
            header += &format!("# * {}\n", comment(cause));
        }
        header += "#\n";
    }
    header
}

/// The text without its lines that begin with a `#`.
pub(super) fn without_comments(text: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_comments_and_comments_are_taken_away_again() {
        let causes = vec!["spec.x: Invalid\nvalue".to_owned()];
        let reasons = [
            Reason::new("a\nb".to_owned()),
            Reason { head: "pods \"web\" was not valid".to_owned(), causes },
        ];
        let header = header(&reasons);
        let expected = "# a\n# b\n#\n# pods \"web\" was not valid:\n# * spec.x: Invalid\n# value\n#\n";
        assert_eq!(header, format!("{HEAD}{expected}"));
        assert_eq!(
            without_comments(&format!("{header}a: 1\n  # kept: it is indented\n")),
            "a: 1\n  # kept: it is indented\n"
        );
    }
}

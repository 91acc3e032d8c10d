//! A strict reader of the exposition format, for tests: what Prometheus would refuse, or take for something else.

use std::collections::HashSet;

/// Panics with the line that is wrong.
pub(crate) fn check(text: &str) {
    let (mut families, mut series) = (HashSet::new(), HashSet::new());
    let mut current: Option<(&str, &str)> = None;
    let mut helped = None;
    assert!(text.is_empty() || text.ends_with('\n'), "the last line has no end");
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap_or_else(|| panic!("no help: {line}"));
            assert!(!help.trim().is_empty(), "no help: {line}");
            assert!(families.insert(name), "a family is begun twice: {line}");
            helped = Some(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
            assert_eq!(helped, Some(name), "help comes first, and of the same family: {line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(is_name(name), "{line}");
            current = Some((name, kind));
        } else {
            let (name, rest) =
                line.split_at(line.find(['{', ' ']).unwrap_or_else(|| panic!("no value: {line}")));
            let (family, kind) = current.unwrap_or_else(|| panic!("a sample of no family: {line}"));
            let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
            assert!(suffixes.contains(&suffix), "{line}");
            let (labels, value) = rest.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
            assert!(kind == "gauge" || value >= 0.0, "a negative count: {line}");
            let mut labels = parse(labels, line);
            labels.sort();
            let names: HashSet<_> = labels.iter().map(|(name, _)| name).collect();
            assert_eq!(names.len(), labels.len(), "a label is there twice: {line}");
            assert!(series.insert((name, labels)), "a series is there twice: {line}");
        }
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The labels between braces, unescaped.
fn parse(text: &str, line: &str) -> Vec<(String, String)> {
    let Some(inner) = text.strip_prefix('{') else {
        assert_eq!(text, "", "{line}");
        return Vec::new();
    };
    let (mut labels, mut rest) = (Vec::new(), inner);
    loop {
        let (name, quoted) = rest.split_once("=\"").unwrap_or_else(|| panic!("no label: {line}"));
        assert!(is_name(name), "{line}");
        let (mut value, mut end, mut escaped) = (String::new(), None, false);
        for (at, c) in quoted.char_indices() {
            match (escaped, c) {
                (true, 'n') => value.push('\n'),
                (true, '\\' | '"') => value.push(c),
                (true, _) => panic!("an unknown escape: {line}"),
                (false, '\\') => {}
                (false, '"') => {
                    end = Some(at);
                    break;
                }
                (false, _) => value.push(c),
            }
            escaped = !escaped && c == '\\';
        }
        let end = end.unwrap_or_else(|| panic!("a label without an end: {line}"));
        labels.push((name.to_owned(), value));
        match &quoted[end + 1..] {
            "}" => return labels,
            more => rest = more.strip_prefix(',').unwrap_or_else(|| panic!("after a label: {line}")),
        }
    }
}

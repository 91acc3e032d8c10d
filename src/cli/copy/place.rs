//! Where files are: `PATH` here, or `[NAMESPACE/]POD:PATH` in a container; and what paths there come to.

use std::path::{Component, Path, PathBuf};

/// One side of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Local(PathBuf),
    Remote(Remote),
}

/// A path in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) namespace: Option<String>,
    pub(super) pod: String,
    pub(super) path: String,
}

/// Reads one side. Errors are kubectl's.
pub(super) fn parse(text: &str) -> Result<Place, String> {
    let bad = || "filespec must match the canonical format: [[namespace/]pod:]file/path".to_owned();
    let (pod, path) = match text.split_once(':') {
        None => (None, text),
        Some(("", _)) => return Err(bad()),
        Some((pod, path)) => (Some(pod), path),
    };
    if path.is_empty() {
        return Err("filepath can not be empty".to_owned());
    }
    let Some(pod) = pod else { return Ok(Place::Local(path.into())) };
    let (namespace, pod) = match pod.split_once('/') {
        None => (None, pod),
        Some((namespace, pod)) if !namespace.is_empty() && !pod.is_empty() && !pod.contains('/') => {
            (Some(namespace.to_owned()), pod)
        }
        Some(_) => return Err(bad()),
    };
    Ok(Place::Remote(Remote { namespace, pod: pod.to_owned(), path: path.to_owned() }))
}

/// The path without `.`, `..` and slashes that say nothing, as far as its words alone tell.
pub(super) fn clean(path: &str) -> String {
    let root = if path.starts_with('/') { "/" } else { "" };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    match (root, parts.as_slice()) {
        ("", []) => ".".to_owned(),
        _ => format!("{root}{}", parts.join("/")),
    }
}

/// The directory that a clean path is in, and its name there.
pub(super) fn split(path: &str) -> (String, String) {
    match path.rsplit_once('/') {
        None => (".".to_owned(), path.to_owned()),
        Some((directory, "")) => (format!("{directory}/"), ".".to_owned()),
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((directory, name)) => (directory.to_owned(), name.to_owned()),
    }
}

/// The name of a file here; none for `.`, `..` and `/`, which stand for what is in them.
pub(super) fn base(path: &Path) -> Option<String> {
    match path.components().next_back()? {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    }
}

/// What the names of members begin with when `tar` packs this path: it leaves out what leads to the root, or above it.
pub(super) fn prefix(path: &str) -> String {
    let path = clean(path.trim_start_matches('/'));
    let mut rest = path.as_str();
    while let Some(below) = rest.strip_prefix("../") {
        rest = below;
    }
    if rest == "." || rest == ".." { String::new() } else { rest.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_written_as_for_kubectl() {
        let remote = |namespace: Option<&str>, pod: &str, path: &str| {
            let namespace = namespace.map(str::to_owned);
            Ok(Place::Remote(Remote { namespace, pod: pod.to_owned(), path: path.to_owned() }))
        };
        for (text, expected) in [
            ("/tmp/a", Ok(Place::Local("/tmp/a".into()))),
            ("web:/tmp/a", remote(None, "web", "/tmp/a")),
            ("n/web:a", remote(Some("n"), "web", "a")),
            ("web:a:b", remote(None, "web", "a:b")),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in [":a", "a/b/c:d", "/web:a", "n/:a"] {
            assert!(parse(text).unwrap_err().starts_with("filespec must match"), "{text}");
        }
        for text in ["", "web:"] {
            assert_eq!(parse(text).unwrap_err(), "filepath can not be empty", "{text}");
        }
    }

    #[test]
    fn paths_are_cleaned_and_split() {
        for (path, cleaned, directory, name) in [
            ("/a//b/./c/", "/a/b/c", "/a/b", "c"),
            ("/a/../..", "/", "/", "."),
            ("a", "a", ".", "a"),
            ("./a/..", ".", ".", "."),
            ("../../a", "../../a", "../..", "a"),
            ("/a", "/a", "/", "a"),
        ] {
            assert_eq!(clean(path), cleaned, "{path}");
            assert_eq!(split(cleaned), (directory.to_owned(), name.to_owned()), "{path}");
        }
    }

    #[test]
    fn members_begin_with_what_tar_makes_of_the_path() {
        for (path, expected) in [
            ("/tmp/a", "tmp/a"),
            ("/tmp/a/", "tmp/a"),
            ("tmp/../a", "a"),
            ("../../a", "a"),
            ("/../../a/..", ""),
            ("..", ""),
            (".", ""),
            ("/", ""),
        ] {
            assert_eq!(prefix(path), expected, "{path}");
        }
    }
}

//! The objects of `-f`: files, directories, standard input and URLs, each with one document or many.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::pod::yaml_to_json;

/// Bytes that one file may have.
const MAX_SIZE: usize = 32 << 20;

/// Time that a URL has to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Directories deeper than this are not looked into.
const MAX_DEPTH: usize = 32;

/// What a manifest's name ends in, in a directory.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

#[derive(Debug, Default, Args)]
pub(in crate::cli) struct Files {
    /// Files, directories or URLs of manifests; `-` is standard input.
    #[arg(short, long, value_name = "FILE", value_delimiter = ',')]
    pub(in crate::cli) filename: Vec<String>,
    /// Manifests in the directories below, too.
    #[arg(short = 'R', long)]
    pub(in crate::cli) recursive: bool,
}

/// An object of a manifest.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) struct Document {
    /// Where it was read.
    pub(in crate::cli) source: String,
    /// The object, which has a kind and an apiVersion.
    pub(in crate::cli) object: Value,
}

impl Files {
    /// Whether there are none.
    pub(in crate::cli) fn is_empty(&self) -> bool {
        self.filename.is_empty()
    }

    /// Reads all of them. Lists come as what they hold.
    pub(in crate::cli) async fn read(&self) -> anyhow::Result<Vec<Document>> {
        let mut documents = Vec::new();
        for name in &self.filename {
            if name == "-" {
                documents.extend(parse("STDIN", &bounded(io::stdin().lock(), "STDIN")?)?);
            } else if name.starts_with("http://") || name.starts_with("https://") {
                documents.extend(parse(name, &download(name).await?)?);
            } else {
                for path in self.paths(Path::new(name))? {
                    let name = path.display().to_string();
                    let file =
                        fs::File::open(&path).map_err(|error| anyhow::anyhow!("open {name}: {error}"))?;
                    documents.extend(parse(&name, &bounded(file, &name)?)?);
                }
            }
        }
        Ok(documents)
    }

    /// The bytes of the one file; none if there is none.
    pub(in crate::cli) fn bytes(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let text = match self.filename.as_slice() {
            [] => return Ok(None),
            [name] if name == "-" => bounded(io::stdin().lock(), "STDIN")?,
            [name] => {
                let file = fs::File::open(name).map_err(|error| anyhow::anyhow!("open {name}: {error}"))?;
                bounded(file, name)?
            }
            _ => anyhow::bail!("only one file can be sent as it is"),
        };
        Ok(Some(text.into_bytes()))
    }

    /// The first object as `KIND/NAME`; none if there is no object.
    pub(in crate::cli) async fn first_named(&self) -> anyhow::Result<Option<String>> {
        let documents = self.read().await?;
        let first = documents.first().map(|document| &document.object);
        let named = |object: &Value| {
            let kind = object["kind"].as_str().unwrap_or_default();
            format!("{kind}/{}", object["metadata"]["name"].as_str().unwrap_or_default())
        };
        Ok(first.map(named))
    }

    fn paths(&self, path: &Path) -> anyhow::Result<Vec<PathBuf>> {
        if !path.exists() {
            anyhow::bail!("the path {:?} does not exist", path.display().to_string());
        }
        if !path.is_dir() {
            return Ok(vec![path.to_owned()]);
        }
        let mut found = Vec::new();
        walk(path, if self.recursive { MAX_DEPTH } else { 0 }, &mut found)?;
        if found.is_empty() {
            anyhow::bail!(
                "error reading [{}]: recognized file extensions are [.json .yaml .yml]",
                path.display()
            );
        }
        Ok(found)
    }
}

/// The manifests of a directory in the order of their names. Links to directories are not followed.
fn walk(directory: &Path, depth: usize, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| anyhow::anyhow!("read {}: {error}", directory.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if depth > 0 {
                walk(&path, depth - 1, found)?;
            }
        } else if path.is_file() && EXTENSIONS.iter().any(|end| path.extension().is_some_and(|e| e == *end)) {
            found.push(path);
        }
    }
    Ok(())
}

fn bounded(reader: impl Read, name: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    reader
        .take(MAX_SIZE as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| anyhow::anyhow!("read {name}: {error}"))?;
    text(bytes, name)
}

async fn download(url: &str) -> anyhow::Result<String> {
    // Installed once; a second time is no failure.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    let mut answer = client.get(url).send().await?;
    if !answer.status().is_success() {
        anyhow::bail!(
            "unable to read URL {url:?}, server reported {}, status code={}",
            answer.status(),
            answer.status().as_u16()
        );
    }
    let mut bytes = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_SIZE {
            break;
        }
    }
    text(bytes, url)
}

fn text(bytes: Vec<u8>, name: &str) -> anyhow::Result<String> {
    anyhow::ensure!(bytes.len() <= MAX_SIZE, "read {name}: more than {} MiB", MAX_SIZE >> 20);
    String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("error parsing {name}: invalid UTF-8"))
}

/// The objects of one file.
pub(in crate::cli) fn parse(source: &str, text: &str) -> anyhow::Result<Vec<Document>> {
    let mut documents = Vec::new();
    for part in split(text) {
        let (object, duplicates) = yaml_to_json(&part).map_err(|why| {
            anyhow::anyhow!("error parsing {source}: error converting YAML to JSON: yaml: {why}")
        })?;
        if let Some(field) = duplicates.first() {
            anyhow::bail!("error parsing {source}: field {field:?} is there twice");
        }
        if !object.is_null() {
            flatten(source, object, &mut documents)?;
        }
    }
    Ok(documents)
}

/// A document for each part between lines that begin with `---`; the lines before a part stay as empty ones, so that errors name the
/// right line.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for (index, line) in text.lines().enumerate() {
        let is_separator = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r']));
        if is_separator {
            parts.push("\n".repeat(index + 1));
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts
}

fn flatten(source: &str, object: Value, documents: &mut Vec<Document>) -> anyhow::Result<()> {
    let missing = |field: &str| {
        anyhow::anyhow!("unable to decode {source:?}: Object '{field}' is missing in '{object}'")
    };
    let kind = object["kind"].as_str().filter(|kind| !kind.is_empty()).ok_or_else(|| missing("Kind"))?;
    object["apiVersion"]
        .as_str()
        .filter(|version| !version.is_empty())
        .ok_or_else(|| missing("apiVersion"))?;
    match object["items"].as_array() {
        Some(items) if kind.ends_with("List") => {
            let items = items.clone();
            items.into_iter().try_for_each(|item| flatten(source, item, documents))
        }
        _ => {
            documents.push(Document { source: source.to_owned(), object });
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(documents: &[Document]) -> Vec<&str> {
        documents.iter().filter_map(|document| document.object["metadata"]["name"].as_str()).collect()
    }

    fn pod(name: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n")
    }

    #[test]
    fn a_file_has_any_number_of_objects() {
        let list = r#"{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}]}"#;
        for (text, expected) in [
            (String::new(), vec![]),
            ("# nothing\n---\n".to_owned(), vec![]),
            (format!("---\n{}---\n\n--- # two\n{}", pod("a"), pod("b")), vec!["a", "b"]),
            (list.to_owned(), vec!["x"]),
        ] {
            assert_eq!(names(&parse("f", &text).unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (text, error) in [
            ("a: 1\n", "unable to decode \"f\": Object 'Kind' is missing in '{\"a\":1}'"),
            ("kind: Pod\n", "unable to decode \"f\": Object 'apiVersion' is missing"),
            (
                "apiVersion: v1\nkind: Pod\n---\na: [\n",
                "error parsing f: error converting YAML to JSON: yaml: line",
            ),
            ("kind: Pod\nkind: Pod\napiVersion: v1\n", "field \"kind\" is there twice"),
        ] {
            let refused = parse("f", text).unwrap_err().to_string();
            assert!(refused.contains(error), "{refused}");
        }
        let refused = parse("f", &format!("{}---\na: [\n", pod("a"))).unwrap_err().to_string();
        assert!(refused.contains("yaml: line 6") || refused.contains("yaml: line 7"), "{refused}");
    }

    #[tokio::test]
    async fn a_directory_is_read_in_order_and_below_only_when_asked() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for (name, text) in
            [("b.yaml", pod("b")), ("a.json", pod("a")), ("sub/c.yml", pod("c")), ("x.txt", "x".into())]
        {
            fs::write(at(name), text).unwrap();
        }
        let read = async |filename: &str, recursive| {
            let filename = vec![directory.path().join(filename).display().to_string()];
            Files { filename, recursive }.read().await
        };
        assert_eq!(names(&read("", false).await.unwrap()), ["a", "b"]);
        assert_eq!(names(&read("", true).await.unwrap()), ["a", "b", "c"]);
        let error = read("none.yaml", false).await.unwrap_err().to_string();
        assert!(error.starts_with("the path ") && error.ends_with(" does not exist"), "{error}");
        fs::remove_file(at("sub/c.yml")).unwrap();
        assert!(read("sub", false).await.unwrap_err().to_string().contains("recognized file extensions"));
    }
}

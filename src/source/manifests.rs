//! The manifests of a command line, files and directories, read together as one.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::file::{self, Error};
use crate::pod::Manifest;
use crate::pod::sysctl::Allowed;

/// What a manifest's name ends in, in a directory.
const EXTENSIONS: [&str; 3] = ["json", "yaml", "yml"];

/// Paths as a person gave them; `-` is standard input, a directory all manifests in it (`.yaml`, `.yml`, `.json`; not
/// those below it, nor those whose name begins with a dot).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifests {
    paths: Vec<String>,
    sysctls: Allowed,
}

/// What tells one state of the files from another: nothing of it is ever shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint(Vec<(String, Option<[i64; 7]>)>);

impl Manifests {
    /// The manifests at these paths; pods in them may set the kernel parameters that are allowed.
    pub fn new(paths: Vec<String>, sysctls: Allowed) -> Self {
        Self { paths, sysctls }
    }

    /// Reads and decodes all of them. Nothing may be in them twice.
    pub fn read(&self) -> Result<Manifest, Error> {
        let mut whole = Manifest::default();
        for path in self.files()? {
            let Manifest { pods, objects, written } = file::read(&path, &self.sysctls)?;
            let twice = |kind: &'static str, key: String| Error::Twice { path: path.clone(), kind, key };
            for pod in pods {
                if whole.pods.iter().any(|other| other.key == pod.key) {
                    return Err(twice("Pod", pod.key.to_string()));
                }
                whole.pods.push(pod);
            }
            whole.written.extend(written);
            for (key, object) in objects.config_maps {
                let text = key.to_string();
                if whole.objects.config_maps.insert(key, object).is_some() {
                    return Err(twice("ConfigMap", text));
                }
            }
            for (key, object) in objects.secrets {
                let text = key.to_string();
                if whole.objects.secrets.insert(key, object).is_some() {
                    return Err(twice("Secret", text));
                }
            }
        }
        Ok(whole)
    }

    /// The paths as they were given.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// The directories in which a change of a manifest shows: those of the files, and those that links lead to.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        let mut directories = Vec::new();
        let mut add = |path: &Path| {
            let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            if !directories.contains(&path.to_owned()) {
                directories.push(path.to_owned());
            }
        };
        for path in self.paths.iter().filter(|path| *path != "-") {
            let path = Path::new(path);
            if path.is_dir() {
                add(path);
                continue;
            }
            path.parent().into_iter().for_each(&mut add);
            if let Ok(target) = path.canonicalize() {
                target.parent().into_iter().for_each(&mut add);
            }
        }
        directories
    }

    /// What the files look like from outside.
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let look = |path: String| {
            let found = fs::metadata(&path).ok().map(|found| {
                let number = |number: u64| i64::from_ne_bytes(number.to_ne_bytes());
                [
                    number(found.dev()),
                    number(found.ino()),
                    number(found.size()),
                    found.mtime(),
                    found.mtime_nsec(),
                    found.ctime(),
                    found.ctime_nsec(),
                ]
            });
            (path, found)
        };
        Fingerprint(self.files().unwrap_or_default().into_iter().map(look).collect())
    }

    /// Every file, those of a directory in the order of their names.
    fn files(&self) -> Result<Vec<String>, Error> {
        let mut files = Vec::new();
        for path in &self.paths {
            if path == "-" || !Path::new(path).is_dir() {
                files.push(path.clone());
                continue;
            }
            let failed = |source| Error::Read { path: path.clone(), source };
            let mut inside = Vec::new();
            for entry in fs::read_dir(path).map_err(failed)? {
                let entry = entry.map_err(failed)?.path();
                let extension = entry.extension().and_then(|extension| extension.to_str());
                let is_hidden =
                    entry.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                if !is_hidden
                    && extension.is_some_and(|extension| EXTENSIONS.contains(&extension))
                    && !entry.is_dir()
                {
                    inside.push(entry.display().to_string());
                }
            }
            inside.sort();
            files.extend(inside);
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str =
        "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}";

    fn object(kind: &str) -> String {
        format!("{{apiVersion: v1, kind: {kind}, metadata: {{name: a}}}}")
    }

    fn read(paths: &[&Path]) -> Result<Manifest, Error> {
        let paths = paths.iter().map(|path| path.display().to_string()).collect();
        Manifests::new(paths, Allowed::default()).read()
    }

    #[test]
    fn files_and_directories_are_read_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("d/below.yaml")).unwrap();
        for (name, text) in [
            ("pod.yaml", POD.to_owned()),
            ("d/b.json", r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"}}"#.to_owned()),
            ("d/a.yml", object("ConfigMap")),
            ("d/.hidden.yaml", "{".to_owned()),
            ("d/notes.txt", "{".to_owned()),
            ("d/below.yaml/c.yaml", "{".to_owned()),
        ] {
            fs::write(at(name), text).unwrap();
        }
        let whole = read(&[&at("pod.yaml"), &at("d")]).unwrap();
        assert_eq!(whole.pods.len(), 1);
        assert!(whole.objects.config_map("default", "a").is_some());
        assert!(whole.objects.secret("default", "a").is_some());
    }

    #[test]
    fn nothing_may_be_in_two_files() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for (kind, text) in
            [("Pod", POD.to_owned()), ("ConfigMap", object("ConfigMap")), ("Secret", object("Secret"))]
        {
            fs::write(at("one.yaml"), &text).unwrap();
            fs::write(at("two.yaml"), &text).unwrap();
            let error = read(&[&at("one.yaml"), &at("two.yaml")]).unwrap_err().to_string();
            let wanted =
                format!("{}: {kind} default/a is in another manifest, too", at("two.yaml").display());
            assert_eq!(error, wanted);
        }
    }
}

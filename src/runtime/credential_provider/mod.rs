//! Plugins that know credentials for registries: programs of the node, which are asked as a kubelet asks them
//! ([KEP-2133](https://github.com/kubernetes/enhancements/issues/2133)).
//!
//! ```text
//!   CredentialProviderConfig ──> Providers ──> Plugin ──> cache, or the program: request on stdin, response from stdout
//!   (config)                                  (plugin)    (cache)                (protocol)
//! ```
//!
//! What they tell is the node's own: whatever is pulled with it is everybody's on the node.

mod cache;
mod config;
mod plugin;
mod protocol;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::future::join_all;

use self::config::Provider;
use self::plugin::Plugin;
use crate::config::CredentialProviders;
use crate::image::registry::Keyring;
use crate::pod::problem::Problems;

/// Of more bytes no file is read.
const MAX_BYTES: u64 = 1 << 20;

/// Why the node's plugins cannot be used, in the kubelet's words where it has some.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no directory of programs.
    #[error("plugin binary directory {} did not exist", .0.display())]
    NoDirectory(PathBuf),
    /// There is no such program.
    #[error("plugin binary executable {} did not exist", .0.display())]
    NoProgram(PathBuf),
    /// It is no program.
    #[error("error inspecting binary executable {}", path.display())]
    Program {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file or directory of configuration cannot be read.
    #[error("credential provider config: unable to access path {path:?}")]
    Access {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A directory that says nothing.
    #[error("credential provider config: no configuration files found in directory {0:?}")]
    Empty(PathBuf),
    /// Two files, or one twice, speak of the same plugin.
    #[error("credential provider config: duplicate provider name {0:?} found in configuration file(s)")]
    Duplicate(String),
    /// What is written there cannot be.
    #[error("failed to validate credential provider config: {0}")]
    Invalid(Problems),
}

/// All plugins of a node.
#[derive(Debug, Default)]
pub struct Providers {
    /// In the order of their configuration.
    plugins: Vec<Arc<Plugin>>,
}

impl Providers {
    /// Reads the configuration, and looks whether the programs are there.
    pub fn read(places: &CredentialProviders) -> Result<Self, Error> {
        let bin_dir = &places.bin_dir;
        if !bin_dir.is_dir() {
            return Err(Error::NoDirectory(bin_dir.clone()));
        }
        let mut seen = HashSet::new();
        let mut plugins = Vec::new();
        for path in files(&places.config)? {
            for provider in read(&path)? {
                if !seen.insert(provider.name.clone()) {
                    return Err(Error::Duplicate(provider.name));
                }
                let program = program(&bin_dir.join(&provider.name))?;
                let plugin = Plugin::new(provider, program);
                tracing::debug!("Registered credential provider {:?}", plugin.name());
                plugins.push(Arc::new(plugin));
            }
        }
        Ok(Self { plugins })
    }

    /// What the plugins know for a repository such as `registry.example:5000/team/app`: of those that are for it, all are asked. Which of
    /// two that are as specific comes first is by the order of the plugins.
    pub async fn keyring(&self, repository: &str) -> Keyring {
        let asked = self.plugins.iter().filter(|plugin| plugin.is_for(repository));
        let told = join_all(asked.map(|plugin| plugin.keyring(repository))).await;
        told.into_iter().fold(Keyring::default(), Keyring::and)
    }
}

/// The files of a configuration: itself, or those of the directory that are named so, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Access { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(failed)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = fs::read_dir(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut files: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    let is_named = |file: &PathBuf| {
        file.extension().is_some_and(|ending| ["json", "yaml", "yml"].iter().any(|known| ending == *known))
    };
    files.retain(|file| is_named(file) && !file.is_dir());
    files.sort();
    if files.is_empty() { Err(Error::Empty(path.to_owned())) } else { Ok(files) }
}

fn read(path: &Path) -> Result<Vec<Provider>, Error> {
    let failed = |source| Error::Access { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(failed(io::Error::other(format!("it has more than {MAX_BYTES} bytes"))));
    }
    config::read(&bytes, &path.display().to_string()).map_err(Error::Invalid)
}

/// The absolute path of a file that may be executed.
fn program(path: &Path) -> Result<PathBuf, Error> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::NoProgram(path.to_owned()),
        _ => Error::Program { path: path.to_owned(), source },
    };
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(failed(io::ErrorKind::PermissionDenied.into()));
    }
    std::path::absolute(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n";

    fn provider(name: &str) -> String {
        format!(
            "- name: {name}\n  matchImages: [a.example]\n  defaultCacheDuration: 1m\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n"
        )
    }

    /// The names of the plugins, or what is wrong, of a configuration in these files beside these programs.
    fn names(files: &[(&str, String)], programs: &[(&str, u32)]) -> Result<Vec<String>, String> {
        let dir = tempfile::tempdir().unwrap();
        let (config, bin_dir) = (dir.path().join("config"), dir.path().join("bin"));
        fs::create_dir(&config).unwrap();
        fs::create_dir(&bin_dir).unwrap();
        for (name, text) in files {
            fs::write(config.join(name), text).unwrap();
        }
        for (name, mode) in programs {
            fs::write(bin_dir.join(name), "").unwrap();
            fs::set_permissions(bin_dir.join(name), fs::Permissions::from_mode(*mode)).unwrap();
        }
        let read = Providers::read(&CredentialProviders { config, bin_dir });
        let told = |error: Error| {
            crate::runtime::Error::chain(&error).0.replace(&format!("{}/", dir.path().display()), "")
        };
        read.map(|all| all.plugins.iter().map(|plugin| plugin.name().to_owned()).collect()).map_err(told)
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names_and_other_files_are_left_alone() {
        let files = [
            ("20.yaml", format!("{HEAD}{}", provider("b"))),
            ("10.yml", format!("{HEAD}{}{}", provider("z"), provider("a"))),
            ("30.conf", "nonsense".to_owned()),
        ];
        let programs = [("a", 0o755), ("b", 0o700), ("z", 0o555)];
        assert_eq!(names(&files, &programs).unwrap(), ["z", "a", "b"]);
        let twice = [files[0].clone(), ("x.json", files[0].1.clone())];
        assert_eq!(
            names(&twice, &programs).unwrap_err(),
            "credential provider config: duplicate provider name \"b\" found in configuration file(s)"
        );
        let none = names(&[files[2].clone()], &programs).unwrap_err();
        assert!(none.contains("no configuration files found in directory"), "{none}");
    }

    #[test]
    fn a_program_that_is_missing_or_may_not_be_executed_is_told() {
        let files = [("a.yaml", format!("{HEAD}{}", provider("a")))];
        assert_eq!(names(&files, &[]).unwrap_err(), "plugin binary executable bin/a did not exist");
        assert_eq!(
            names(&files, &[("a", 0o644)]).unwrap_err(),
            "error inspecting binary executable bin/a: permission denied"
        );
        let nowhere = CredentialProviders { config: "/nowhere".into(), bin_dir: "/nowhere".into() };
        let error = Providers::read(&nowhere).unwrap_err();
        assert_eq!(error.to_string(), "plugin binary directory /nowhere did not exist");
        let nowhere = CredentialProviders { bin_dir: "/".into(), ..nowhere };
        let error = Providers::read(&nowhere).unwrap_err();
        assert_eq!(error.to_string(), "credential provider config: unable to access path \"/nowhere\"");
    }
}

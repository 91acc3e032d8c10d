//! The node's own credentials for registries, in Docker's configuration of whoever runs the agent.

use std::fs;
use std::path::{Path, PathBuf};

use crate::image::registry::{BadConfig, Credential, Helpers, Keyring};

/// What is in the first file that can be read, where the kubelet looks for them (`pkg/credentialprovider/config.go`).
#[derive(Debug, Default)]
pub(super) struct NodeCredentials {
    keyring: Keyring,
    /// Programs that are asked; only the node's own configuration can name some.
    helpers: Helpers,
}

impl NodeCredentials {
    /// As they are now: `config.json`, then `.dockercfg`, in the root directory, the working directory, `$HOME` and `/`.
    pub(super) fn read(root: &Path) -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let working = std::env::current_dir().ok();
        type Read = fn(&[u8]) -> Result<NodeCredentials, BadConfig>;
        let kinds: [(&str, &str, Read); 2] = [
            ("config.json", ".docker/config.json", Self::of_config),
            (".dockercfg", ".dockercfg", Self::of_legacy),
        ];
        for (name, below_home, read) in kinds {
            let of_home =
                [home.as_deref(), Some(Path::new("/"))].into_iter().flatten().map(|dir| dir.join(below_home));
            let own = [Some(root), working.as_deref()].into_iter().flatten().map(|dir| dir.join(name));
            for path in own.chain(of_home) {
                let Ok(bytes) = fs::read(&path) else { continue };
                match read(&bytes) {
                    Ok(credentials) => return credentials,
                    Err(error) => {
                        tracing::warn!(path = %path.display(), %error, "the node's registry credentials are passed over")
                    }
                }
            }
        }
        Self::default()
    }

    fn of_config(bytes: &[u8]) -> Result<Self, BadConfig> {
        Ok(Self { keyring: Keyring::of_config(bytes)?, helpers: Helpers::of_config(bytes)? })
    }

    fn of_legacy(bytes: &[u8]) -> Result<Self, BadConfig> {
        Ok(Self { keyring: Keyring::of_legacy(bytes)?, helpers: Helpers::default() })
    }

    /// Those for a repository, to be tried in turn: what the registry's helper knows, then what is written.
    pub(super) async fn find(&self, repository: &str) -> Vec<Credential> {
        let registry = repository.split('/').next().unwrap_or_default();
        let told = self.helpers.credential(registry).await.unwrap_or_else(|error| {
            tracing::warn!(registry, %error, "the registry's credential helper is passed over");
            None
        });
        told.into_iter().chain(self.keyring.find(repository)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_nodes_credentials_are_in_the_first_file_that_can_be_read() {
        let root = tempfile::tempdir().unwrap();
        let of = async |repository: &str| NodeCredentials::read(root.path()).find(repository).await.len();
        let config = r#"{"auths": {"a.example": {"username": "n", "password": "p"}}}"#;
        fs::write(root.path().join("config.json"), config).unwrap();
        assert_eq!(of("a.example/x").await, 1);
        fs::write(root.path().join("config.json"), "{").unwrap();
        let legacy = r#"{"b.example": {"username": "n", "password": "p"}}"#;
        fs::write(root.path().join(".dockercfg"), legacy).unwrap();
        assert_eq!(of("b.example/x").await, 1);
    }
}

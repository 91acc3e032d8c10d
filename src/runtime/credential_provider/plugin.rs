//! One plugin: what it is for, what it has told, and its program.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared, WeakShared};
use tokio::process::Command;

use super::cache::Cache;
use super::config::Provider;
use super::protocol::{self, Response};
use crate::image::registry::{Keyring, is_for};
use crate::program::{self, Limits};
use crate::runtime::Error;

/// What a plugin's program may take: the kubelet's minute, and more than any answer has.
const LIMITS: Limits = Limits { time: Duration::from_secs(60), output: 1 << 20 };

/// A question that is being asked, for all who want to know.
type Asking = BoxFuture<'static, Keyring>;

/// A plugin of the node.
#[derive(Debug)]
pub(super) struct Plugin {
    provider: Provider,
    program: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    cache: Cache,
    /// By repository.
    asking: HashMap<String, WeakShared<Asking>>,
}

impl Plugin {
    /// A plugin whose program is at this absolute path.
    pub(super) fn new(provider: Provider, program: PathBuf) -> Self {
        Self { provider, program, state: Mutex::default() }
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.provider.name
    }

    /// True if it is to be asked for a repository.
    pub(super) fn is_for(&self, repository: &str) -> bool {
        self.provider.match_images.iter().any(|pattern| is_for(pattern, repository))
    }

    /// What it knows for a repository. Its program runs once for all who ask for the same at the same time. When it fails that is logged,
    /// and it knows nothing: somebody else's credentials may do.
    pub(super) async fn keyring(self: &Arc<Self>, repository: &str) -> Keyring {
        let asking = {
            let mut state = self.state();
            if let Some(known) = state.cache.find(repository, Instant::now()) {
                return known.clone();
            }
            match state.asking.get(repository).and_then(WeakShared::upgrade) {
                Some(asking) => asking,
                None => {
                    let asking: Shared<Asking> = Arc::clone(self).ask(repository.to_owned()).boxed().shared();
                    state.asking.retain(|_, asking| asking.upgrade().is_some());
                    state.asking.extend(asking.downgrade().map(|weak| (repository.to_owned(), weak)));
                    asking
                }
            }
        };
        asking.await
    }

    async fn ask(self: Arc<Self>, repository: String) -> Keyring {
        let answer = self.run(&repository).await;
        let mut state = self.state();
        state.asking.remove(&repository);
        match answer {
            Ok(Response { scope, cache_duration, keyring }) => {
                let holds = cache_duration.unwrap_or(self.provider.default_cache_duration);
                let now = Instant::now();
                if let Some(until) = now.checked_add(holds).filter(|_| !holds.is_zero()) {
                    state.cache.keep(scope, &repository, keyring.clone(), until, now);
                }
                keyring
            }
            Err(error) => {
                tracing::warn!(
                    "Failed getting credential from external registry credential provider: {error}"
                );
                Keyring::default()
            }
        }
    }

    /// Runs the program, with the agent's environment and the plugin's own over it.
    async fn run(&self, repository: &str) -> Result<Response, String> {
        let Provider { name, api_version, args, env, .. } = &self.provider;
        tracing::debug!(plugin = name, image = repository, "asking a credential provider");
        let mut command = Command::new(&self.program);
        command.args(args).envs(env.iter().map(|(name, value)| (name, value)));
        let failed = |why: &str| {
            format!("error execing credential provider plugin {name} for image {repository}: {why}")
        };
        let ran = program::run(command, &protocol::request(api_version, repository), LIMITS).await;
        let ran = ran.map_err(|error| failed(&Error::chain(&error).0))?;
        match ran.failure() {
            Some(why) => Err(failed(&why)),
            None => protocol::response(&ran.output, api_version),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;
    use crate::image::registry::Credential;

    /// A plugin whose program is this script; each run of it is a line in a file.
    fn plugin(script: &str) -> (TempDir, Arc<Plugin>) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugin");
        let log = dir.path().join("log");
        fs::write(&path, format!("#!/bin/sh\ncat >> {}\n{script}\n", log.display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let provider = Provider {
            name: "plugin".into(),
            match_images: vec!["*.example".into()],
            default_cache_duration: Duration::from_secs(60),
            api_version: protocol::API_VERSIONS[0].into(),
            args: vec!["one".into()],
            env: vec![("WHO".into(), "me".into())],
        };
        (dir, Arc::new(Plugin::new(provider, path)))
    }

    fn answer(rest: &str) -> String {
        format!(
            "echo \"{{\\\"kind\\\":\\\"CredentialProviderResponse\\\",\\\"apiVersion\\\":\\\"{}\\\",{}\\\"auth\\\":{{\\\"a.example\\\":{{\\\"username\\\":\\\"$WHO\\\",\\\"password\\\":\\\"$1\\\"}}}}}}\"",
            protocol::API_VERSIONS[0],
            rest.replace('"', "\\\"")
        )
    }

    fn runs(dir: &TempDir) -> usize {
        fs::read_to_string(dir.path().join("log")).unwrap_or_default().lines().count()
    }

    fn me() -> Vec<Credential> {
        vec![Credential::Basic { username: "me".into(), password: "one".into() }]
    }

    #[tokio::test]
    async fn a_plugin_is_asked_once_as_long_as_its_answer_holds() {
        for (rest, repositories, expected) in [
            (r#""cacheKeyType":"Image","#, ["a.example/x", "a.example/x", "a.example/y"], [1, 1, 2]),
            (r#""cacheKeyType":"Registry","#, ["a.example/x", "a.example/y", "b.example/x"], [1, 1, 2]),
            (
                r#""cacheKeyType":"Global","cacheDuration":"1h","#,
                ["a.example/x", "b.example/x", "a.example/y"],
                [1, 1, 1],
            ),
            (
                r#""cacheKeyType":"Global","cacheDuration":"0","#,
                ["a.example/x", "a.example/x", "a.example/x"],
                [1, 2, 3],
            ),
        ] {
            let (dir, plugin) = plugin(&answer(rest));
            for (repository, count) in repositories.into_iter().zip(expected) {
                assert_eq!(plugin.keyring(repository).await.find("a.example/x"), me());
                assert_eq!(runs(&dir), count, "{rest} {repository}");
            }
        }
    }

    #[tokio::test]
    async fn all_who_ask_for_the_same_at_once_have_one_answer() {
        let (dir, plugin) =
            plugin(&format!("sleep 0.2; {}", answer(r#""cacheKeyType":"Image","cacheDuration":"0","#)));
        let both = tokio::join!(plugin.keyring("a.example/x"), plugin.keyring("a.example/x"));
        assert_eq!((both.0.find("a.example/x"), both.1.find("a.example/x")), (me(), me()));
        assert_eq!(runs(&dir), 1);
        // One of them goes, and the other has its answer still.
        let (one, other) = (plugin.keyring("a.example/x"), plugin.keyring("a.example/x"));
        let impatient = tokio::time::timeout(Duration::from_millis(50), one);
        let (gone, told) = tokio::join!(impatient, other);
        assert!(gone.is_err());
        assert_eq!((told.find("a.example/x"), runs(&dir)), (me(), 2));
    }

    #[tokio::test]
    async fn a_plugin_that_fails_knows_nothing_and_is_asked_again() {
        let (dir, plugin) = plugin("echo why >&2; exit 7");
        for count in [1, 2] {
            assert!(plugin.keyring("a.example/x").await.find("a.example/x").is_empty());
            assert_eq!(runs(&dir), count);
        }
        assert_eq!(
            plugin.run("a.example/x").await.unwrap_err(),
            "error execing credential provider plugin plugin for image a.example/x: exit status 7: why"
        );
    }

    #[test]
    fn a_plugin_is_for_what_its_patterns_are_like() {
        let (_dir, plugin) = plugin("");
        for (repository, expected) in [
            ("a.example/x", true),
            ("a.b.example/x", false),
            ("a.example:5000/x", false),
            ("docker.io/library/x", false),
        ] {
            assert_eq!(plugin.is_for(repository), expected, "{repository}");
        }
    }
}

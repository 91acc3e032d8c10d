//! Follows manifests while their pods run: changes of ConfigMaps and Secrets reach the pods, and so does what may be changed of a
//! Pod that runs; its other changes are told.
//!
//! Directories are watched, since editors replace files. What is wrong with a new state of the files is told, and the last
//! good one stays.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use inotify::{Inotify, WatchMask};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::immutable;
use super::manifests::Manifests;
use crate::pod::objects::Objects;
use crate::pod::update::{self, Refusal, Written};
use crate::pod::{Manifest, Pod, PodKey};

/// A file is read when nothing has happened to it for so long: who saves one does several things to it.
const QUIET: Duration = Duration::from_millis(100);

/// Room for inotify's events; more wait in the kernel.
const EVENTS: usize = 4 << 10;

/// What a write or a replacement ends with.
const CHANGES: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::ONLYDIR);

/// The manifests of pods that run.
#[derive(Debug)]
pub struct Live {
    manifests: Manifests,
    /// As they are wanted.
    pods: Vec<Pod>,
    /// Their fields.
    written: BTreeMap<PodKey, Written>,
    objects: watch::Sender<Arc<Objects>>,
}

impl Live {
    /// Manifests in this state.
    pub fn new(manifests: Manifests, state: Manifest) -> Self {
        let objects = watch::Sender::new(Arc::new(state.objects));
        Self { manifests, pods: state.pods, written: state.written, objects }
    }

    /// The objects as they are at any time.
    pub fn objects(&self) -> watch::Receiver<Arc<Objects>> {
        self.objects.subscribe()
    }

    /// Follows the files for ever, or until they cannot be watched; `say` gets a line for each thing a person should know,
    /// `update` each pod that should go on as another than before.
    ///
    /// Standard input is read once: with it among the manifests nothing is followed.
    pub async fn follow(mut self, say: impl Fn(&str) + Send, update: impl Fn(Pod) + Send) -> io::Result<()> {
        if self.manifests.paths().iter().any(|path| path == "-") {
            return Ok(());
        }
        let inotify = Inotify::init()?;
        for directory in self.manifests.directories() {
            inotify.watches().add(directory, CHANGES)?;
        }
        let mut events = inotify.into_event_stream(vec![0; EVENTS])?;
        let mut seen = self.manifests.fingerprint();
        // What was read before the watch began may be old already.
        self.read_again(&say, &update).await;
        while let Some(event) = events.next().await {
            event?;
            while let Ok(Some(event)) = tokio::time::timeout(QUIET, events.next()).await {
                event?;
            }
            let now = self.manifests.fingerprint();
            if now != seen {
                seen = now;
                self.read_again(&say, &update).await;
            }
        }
        Ok(())
    }

    async fn read_again(&mut self, say: &(impl Fn(&str) + Send), update: &(impl Fn(Pod) + Send)) {
        let manifests = self.manifests.clone();
        match spawn_blocking(move || manifests.read()).await {
            Ok(Ok(state)) => self.take(state, say, update),
            Ok(Err(error)) => {
                let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                say(&format!("{error}{}", cause.unwrap_or_default()));
            }
            Err(panic) => say(&format!("read the manifests: {panic}")),
        }
    }

    /// Takes a new state of the files in.
    fn take(&mut self, state: Manifest, say: &impl Fn(&str), update: &impl Fn(Pod)) {
        let Manifest { pods, mut objects, written } = state;
        self.take_pods(&pods, &written, say, update);
        let before = Arc::clone(&self.objects.borrow());
        immutable::keep(&before, &mut objects).iter().for_each(|line| say(line));
        if objects != *before {
            self.objects.send_replace(Arc::new(objects));
        }
    }

    /// Takes the pods of a new state in. One whose edit cannot be carried out stays as it was.
    fn take_pods(
        &mut self,
        pods: &[Pod],
        written: &BTreeMap<PodKey, Written>,
        say: &impl Fn(&str),
        tell: &impl Fn(Pod),
    ) {
        for old in &mut self.pods {
            let key = old.key.clone();
            let (Some(new), Some(fields)) = (pods.iter().find(|new| new.key == key), written.get(&key))
            else {
                say(&format!("pod {key}: it is no longer in the manifest, and runs on"));
                continue;
            };
            let before = self.written.entry(key.clone()).or_default();
            if before != fields {
                for why in update::removed_ephemeral_containers(old, new) {
                    say(&format!("pod {key}: {why}"));
                }
            }
            match update::updated(old, new) {
                // What has no effect need not be told of.
                Ok(None) => before.clone_from(fields),
                Ok(Some(updated)) => {
                    before.clone_from(fields);
                    *old = updated.clone();
                    tell(updated);
                }
                Err(Refusal::Forbidden(why)) => {
                    for why in why {
                        say(&format!("pod {key}: {why}"));
                    }
                }
                Err(Refusal::Replaces) => {
                    let fields = before.changes(fields).join(", ");
                    say(&format!(
                        "pod {key}: its manifest has changed ({fields}); run it again to replace the pod"
                    ));
                }
            }
        }
        for new in pods.iter().filter(|new| !self.pods.iter().any(|old| old.key == new.key)) {
            say(&format!("pod {}: it is new in the manifest; run it again to start the pod", new.key));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Mutex, PoisonError};

    use super::*;
    use crate::pod::sysctl::Allowed;

    const WAIT: Duration = Duration::from_secs(60);

    fn text(value: &str, image: &str, immutable: bool) -> String {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{k: {value}}}\nimmutable: {immutable}\n---\n\
             {{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}\n"
        )
    }

    /// Follows `path`; gives the objects and what was said.
    fn follow(path: &Path) -> (watch::Receiver<Arc<Objects>>, Arc<Mutex<Vec<String>>>) {
        let manifests = Manifests::new(vec![path.display().to_string()], Allowed::default());
        let state = manifests.read().unwrap();
        let live = Live::new(manifests, state);
        let said = Arc::new(Mutex::new(Vec::new()));
        let (objects, lines) = (live.objects(), Arc::clone(&said));
        let say = move |line: &str| {
            lines.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
        };
        let updated = Arc::clone(&said);
        let update = move |pod: Pod| {
            let millis = pod.spec.containers[0].resources.cpu_request_millis;
            updated.lock().unwrap_or_else(PoisonError::into_inner).push(format!("cpu {millis:?}"));
        };
        tokio::spawn(live.follow(say, update));
        (objects, said)
    }

    async fn becomes(objects: &mut watch::Receiver<Arc<Objects>>, value: &str) {
        let is_new = |objects: &Arc<Objects>| {
            objects.config_map("default", "a").is_some_and(|map| map.data["k"] == value)
        };
        tokio::time::timeout(WAIT, objects.wait_for(is_new)).await.unwrap().unwrap();
    }

    async fn says(said: &Mutex<Vec<String>>, end: &str) {
        let is_said = || said.lock().unwrap().iter().any(|line| line.ends_with(end));
        tokio::time::timeout(WAIT, async {
            while !is_said() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap_or_else(|_| panic!("{end:?} is not said: {said:?}"));
    }

    #[tokio::test]
    async fn a_file_that_is_written_or_replaced_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.yaml");
        std::fs::write(&path, text("one", "i", false)).unwrap();
        let (mut objects, said) = follow(&path);
        std::fs::write(&path, text("two", "i", false)).unwrap();
        becomes(&mut objects, "two").await;
        std::fs::write(dir.path().join("new"), text("three", "i", false)).unwrap();
        std::fs::rename(dir.path().join("new"), &path).unwrap();
        becomes(&mut objects, "three").await;
        assert_eq!(*said.lock().unwrap(), [""; 0]);

        std::fs::write(&path, "{").unwrap();
        says(&said, "invalid YAML: while parsing a node, did not find expected node content").await;
        assert_eq!(objects.borrow().config_map("default", "a").unwrap().data["k"], "three");
        std::fs::write(&path, text("three", "i, args: [x]", false)).unwrap();
        let replaces = "pod default/p: its manifest has changed (spec.containers[0].args); run it again to replace the pod";
        says(&said, replaces).await;
    }

    #[tokio::test]
    async fn a_pod_follows_its_manifest_as_far_as_it_may() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.yaml");
        let save = |image: &str, requests: &str| {
            let resources = format!("resources: {{requests: {{{requests}}}}}");
            std::fs::write(&path, text("one", &format!("{image}, {resources}"), false)).unwrap();
        };
        save("i", "cpu: 1");
        let (_objects, said) = follow(&path);
        save("i", "cpu: 2");
        says(&said, "cpu Some(2000)").await;
        // It is still the pod that is compared with.
        save("i", "memory: 1Mi");
        let why = "pod default/p: spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed";
        says(&said, why).await;
        save("i, args: [x]", "cpu: 2");
        let replaces = "pod default/p: its manifest has changed (spec.containers[0].args); run it again to replace the pod";
        says(&said, replaces).await;
        save("i", "cpu: 3");
        says(&said, "cpu Some(3000)").await;
        assert_eq!(said.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_link_that_is_turned_shows_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for value in ["one", "two"] {
            std::fs::create_dir(at(value)).unwrap();
            std::fs::write(at(value).join("m.yaml"), text(value, "i", false)).unwrap();
        }
        std::os::unix::fs::symlink("one", at("..data")).unwrap();
        std::os::unix::fs::symlink("..data/m.yaml", at("m.yaml")).unwrap();
        let (mut objects, _said) = follow(&at("m.yaml"));
        std::os::unix::fs::symlink("two", at("next")).unwrap();
        std::fs::rename(at("next"), at("..data")).unwrap();
        becomes(&mut objects, "two").await;
    }

    #[tokio::test]
    async fn an_immutable_object_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.yaml");
        std::fs::write(&path, text("one", "i", true)).unwrap();
        let (objects, said) = follow(&path);
        std::fs::write(&path, text("two", "i", true)).unwrap();
        says(&said, "ConfigMap default/a: field is immutable when `immutable` is set").await;
        assert_eq!(objects.borrow().config_map("default", "a").unwrap().data["k"], "one");
    }
}

//! Follows files and directories of manifests for an agent: what changes is read within 50 ms of the end of the write.
//!
//! Directories are watched, since editors replace files. A file that somebody has begun to write is left alone until it is
//! closed, so that half a manifest is never taken for a whole one.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::SourceEvent;
use super::files::{Files, Look};

/// The files are looked at when nothing has happened to them for so long,
const QUIET: Duration = Duration::from_millis(8);

/// and at the latest so long after something did.
const PATIENCE: Duration = Duration::from_millis(25);

/// A file that is open for writing, and has not been written to for so long, is read all the same.
const WRITER_TIME: Duration = Duration::from_secs(2);

/// Without news the files are looked at all the same, in this time (the kubelet's fileCheckFrequency).
pub const CHECK: Duration = Duration::from_secs(20);

/// Room for inotify's events; more wait in the kernel.
const EVENTS: usize = 4 << 10;

const CHANGES: WatchMask = WatchMask::CREATE
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::DELETE)
    .union(WatchMask::ONLYDIR);

/// Follows files for ever: `send` gets each new set of what is wanted, `say` a line for each thing that a person should know.
/// Returns when `send` says that nobody listens any more.
pub async fn follow(
    mut files: Files,
    check: Duration,
    send: impl Fn(SourceEvent) -> bool,
    say: impl Fn(&str),
) {
    let mut watch = match Watch::new() {
        Ok(watch) => Some(watch),
        Err(error) => {
            say(&format!("changes of the manifests will be noticed after {} s: {error}", check.as_secs()));
            None
        }
    };
    let mut last: Option<SourceEvent> = None;
    let mut complaint = None;
    loop {
        if let Some(watch) = &mut watch {
            watch.cover(files.directories());
        }
        let busy = watch.as_mut().map(Watch::busy).unwrap_or_default();
        let (back, looked) = match spawn_blocking(move || {
            let looked = files.look(&busy);
            (files, looked)
        })
        .await
        {
            Ok(both) => both,
            Err(panic) => return say(&format!("read the manifests: {panic}")),
        };
        files = back;
        match looked {
            Ok(Look { event, lines }) => {
                complaint = None;
                lines.iter().for_each(|line| say(line));
                if last.as_ref() != Some(&event) {
                    if !send(event.clone()) {
                        return;
                    }
                    last = Some(event);
                }
            }
            Err(error) => {
                let text = error.to_string();
                if complaint.as_ref() != Some(&text) {
                    say(&text);
                }
                complaint = Some(text);
            }
        }
        // A directory that was made meanwhile may have been filled before it was watched.
        let is_covered = watch.as_ref().is_none_or(|watch| watch.covers(&files.directories()));
        if is_covered {
            match &mut watch {
                Some(watch) => watch.wait(Instant::now() + check).await,
                None => tokio::time::sleep(check).await,
            }
        }
    }
}

/// What is watched.
struct Watch {
    events: EventStream<Vec<u8>>,
    directories: HashMap<WatchDescriptor, PathBuf>,
    /// All that should be watched, whether or not the kernel can.
    covered: BTreeSet<PathBuf>,
    /// Files that somebody writes, since when nothing more came.
    writers: HashMap<PathBuf, Instant>,
}

impl Watch {
    fn new() -> io::Result<Self> {
        let events = Inotify::init()?.into_event_stream(vec![0; EVENTS])?;
        let (directories, covered) = Default::default();
        Ok(Self { events, directories, covered, writers: HashMap::new() })
    }

    /// Watches these directories; one that is there no more is looked for again by the next look.
    fn cover(&mut self, directories: BTreeSet<PathBuf>) {
        let mut watches = self.events.watches();
        for directory in &directories {
            // The same one again is the same watch.
            if let Ok(descriptor) = watches.add(directory, CHANGES) {
                self.directories.insert(descriptor, directory.clone());
            }
        }
        self.covered = directories;
    }

    fn covers(&self, directories: &BTreeSet<PathBuf>) -> bool {
        directories.is_subset(&self.covered)
    }

    /// The files that are being written.
    fn busy(&mut self) -> HashSet<PathBuf> {
        let now = Instant::now();
        self.writers.retain(|_, since| *since + WRITER_TIME > now);
        self.writers.keys().cloned().collect()
    }

    /// Waits until something has happened and is over, or until the time has come.
    async fn wait(&mut self, check: Instant) {
        let stuck = self.writers.values().min().map(|since| *since + WRITER_TIME);
        let until = stuck.map_or(check, |stuck| stuck.min(check));
        let mut deadline: Option<Instant> = None;
        loop {
            let quiet = deadline.map_or(until, |deadline| deadline.min(Instant::now() + QUIET));
            match timeout_at(quiet, self.events.next()).await {
                Ok(Some(Ok(event))) => {
                    if self.take(event) {
                        deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
                    }
                }
                // Never ends by itself; what it cannot tell is found by looking.
                Ok(Some(Err(_)) | None) => return tokio::time::sleep(QUIET).await,
                Err(_) => return,
            }
        }
    }

    /// Takes an event in. True: there may be something to read.
    fn take(&mut self, event: Event<OsString>) -> bool {
        let path =
            event.name.zip(self.directories.get(&event.wd)).map(|(name, directory)| directory.join(name));
        let Some(path) = path else {
            if event.mask.contains(EventMask::IGNORED) {
                self.directories.remove(&event.wd);
            }
            return true;
        };
        let is_begun = match () {
            () if event.mask.contains(EventMask::MODIFY) => true,
            // A link is whole as soon as it is there.
            () if event.mask.contains(EventMask::CREATE) => {
                let found = std::fs::symlink_metadata(&path);
                found.is_ok_and(|found| found.is_file() && found.nlink() == 1)
            }
            () => false,
        };
        if is_begun {
            self.writers.insert(path, Instant::now());
        } else {
            self.writers.remove(&path);
        }
        !is_begun
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;
    use std::path::Path;
    use std::sync::{Arc, Mutex};

    use tokio::sync::mpsc;

    use super::*;
    use crate::pod::sysctl::Allowed;

    const WAIT: Duration = Duration::from_secs(60);

    fn pod(name: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: i}}]}}}}"
        )
    }

    struct Followed {
        sets: mpsc::UnboundedReceiver<SourceEvent>,
        said: Arc<Mutex<Vec<String>>>,
    }

    impl Followed {
        fn new(path: &Path) -> Self {
            let (sender, sets) = mpsc::unbounded_channel();
            let said = Arc::new(Mutex::new(Vec::new()));
            let lines = Arc::clone(&said);
            let files = Files::new(vec![path.to_owned()], Allowed::default());
            let send = move |event| sender.send(event).is_ok();
            tokio::spawn(follow(files, WAIT, send, move |line| lines.lock().unwrap().push(line.to_owned())));
            Self { sets, said }
        }

        /// Waits for a set of just these pods.
        async fn until(&mut self, names: &[&str]) {
            let set = async {
                loop {
                    let set = self.sets.recv().await.unwrap();
                    if set.pods.iter().map(|wanted| wanted.pod.key.name.as_str()).eq(names.iter().copied()) {
                        return;
                    }
                }
            };
            tokio::time::timeout(WAIT, set).await.unwrap_or_else(|_| panic!("no set of {names:?}"));
        }
    }

    #[tokio::test]
    async fn what_is_written_moved_or_removed_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut followed = Followed::new(dir.path());
        followed.until(&[]).await;
        fs::write(at("a.yaml"), pod("a")).unwrap();
        followed.until(&["a"]).await;
        fs::write(at(".new"), pod("b")).unwrap();
        fs::rename(at(".new"), at("b.yaml")).unwrap();
        followed.until(&["a", "b"]).await;
        fs::remove_file(at("a.yaml")).unwrap();
        followed.until(&["b"]).await;
        fs::hard_link(at("b.yaml"), at(".other")).unwrap();
        fs::write(at(".other"), pod("c")).unwrap();
        followed.until(&["c"]).await;
        assert_eq!(*followed.said.lock().unwrap(), [""; 0]);
    }

    #[tokio::test]
    async fn half_a_manifest_is_not_read_while_it_is_being_written() {
        let dir = tempfile::tempdir().unwrap();
        let mut followed = Followed::new(dir.path());
        followed.until(&[]).await;
        let mut file = File::create(dir.path().join("a.yaml")).unwrap();
        let text = format!("{}\n---\n", pod("a"));
        file.write_all(text.as_bytes()).unwrap();
        // Another file is read meanwhile.
        fs::write(dir.path().join("b.yaml"), pod("b")).unwrap();
        followed.until(&["b"]).await;
        file.write_all(pod("c").as_bytes()).unwrap();
        drop(file);
        followed.until(&["a", "c", "b"]).await;
    }

    #[tokio::test]
    async fn a_directory_may_come_later_and_go_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("etc/manifests");
        let mut followed = Followed::new(&path);
        followed.until(&[]).await;
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("a.yaml"), pod("a")).unwrap();
        followed.until(&["a"]).await;
        fs::remove_dir_all(&path).unwrap();
        followed.until(&[]).await;
    }

    #[tokio::test]
    async fn a_link_that_is_turned_shows_what_it_leads_to() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["one", "two"] {
            fs::create_dir_all(at("m").join(format!("..{name}"))).unwrap();
            fs::write(at("m").join(format!("..{name}/p.yaml")), pod(name)).unwrap();
        }
        std::os::unix::fs::symlink("..one", at("m/..data")).unwrap();
        std::os::unix::fs::symlink("..data/p.yaml", at("m/p.yaml")).unwrap();
        let mut followed = Followed::new(&at("m"));
        followed.until(&["one"]).await;
        std::os::unix::fs::symlink("..two", at("m/..next")).unwrap();
        fs::rename(at("m/..next"), at("m/..data")).unwrap();
        followed.until(&["two"]).await;
    }
}

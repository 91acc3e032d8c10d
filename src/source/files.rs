//! The manifests that an agent runs: files, and directories of them, each file by itself, so that none keeps the others from
//! being understood.
//!
//! As the kubelet, a directory is all that is in it and not below it, whatever it is called, but for names that begin with a
//! dot; what an editor keeps beside a file (`NAME~`) is left out, too. A file that cannot be understood stays what it was.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{SourceEvent, Wanted, file, immutable};
use crate::pod::objects::Objects;
use crate::pod::sysctl::Allowed;
use crate::pod::{Manifest, PodKey, SourceKind};

/// More files of a directory are not looked at.
const MAX_FILES: usize = 10_000;

/// More pods are not taken from all files together: ten times what a node runs (the kubelet's maxPods).
const MAX_PODS: usize = 1100;

/// What is wrong is told in so many lines at a time.
const MAX_LINES: usize = 20;

/// Files and directories, and what was last understood of each file.
#[derive(Debug)]
pub struct Files {
    paths: Vec<PathBuf>,
    sysctls: Allowed,
    known: BTreeMap<PathBuf, Known>,
    /// Which file a pod is from, where several have one of that name.
    owners: BTreeMap<PodKey, PathBuf>,
    /// What was told of whole directories, and of what is in two files, as long as it is so.
    told: BTreeSet<String>,
    objects: Arc<Objects>,
}

/// What is known of a file.
#[derive(Debug, Default)]
struct Known {
    seen: Option<Fingerprint>,
    /// The last state of it that was understood.
    good: Option<Manifest>,
    /// What was wrong with the newest one.
    problem: Option<String>,
}

/// What tells one state of a file from another; `None` for one that leads nowhere.
type Fingerprint = Option<[i64; 7]>;

/// What came of a look at the files.
#[derive(Debug)]
pub struct Look {
    /// All that is wanted.
    pub event: SourceEvent,
    /// What a person should know, a line each, that has not been told before.
    pub lines: Vec<String>,
}

impl Files {
    /// Files and directories at these paths, of which none needs to be there; pods may set the kernel parameters that are allowed.
    pub fn new(paths: Vec<PathBuf>, sysctls: Allowed) -> Self {
        Self {
            paths,
            sysctls,
            known: BTreeMap::new(),
            owners: BTreeMap::new(),
            told: BTreeSet::new(),
            objects: Arc::default(),
        }
    }

    /// Reads what has changed, but for files that are `being_written`. Blocks. An error is a directory that cannot be read.
    pub fn look(&mut self, being_written: &HashSet<PathBuf>) -> io::Result<Look> {
        let mut standing = BTreeSet::new();
        let paths = self.list(&mut standing)?;
        let mut lines = Vec::new();
        let mut known = std::mem::take(&mut self.known);
        for path in paths {
            let mut file = known.remove(&path).unwrap_or_default();
            if !being_written.contains(&path) && !self.read(&path, &mut file, &mut lines) {
                continue;
            }
            self.known.insert(path, file);
        }
        let event = self.put_together(&mut standing, &mut lines);
        lines.extend(standing.difference(&self.told).cloned());
        self.told = standing;
        if lines.len() > MAX_LINES {
            let more = lines.len() - MAX_LINES;
            lines.truncate(MAX_LINES);
            lines.push(format!("and so on, {more} lines more"));
        }
        Ok(Look { event, lines })
    }

    /// The directories in which a change of a manifest shows: those of the files, those that links lead to, and of what is not
    /// there the nearest one above it that is.
    pub fn directories(&self) -> BTreeSet<PathBuf> {
        let mut directories = BTreeSet::new();
        for path in &self.paths {
            let is_directory = path.is_dir();
            let above = path.ancestors().skip(usize::from(!is_directory));
            directories.extend(above.map(not_empty).find(|path| path.is_dir()).map(Path::to_owned));
            if is_directory {
                // Its own end shows above it.
                directories.extend(path.parent().map(|path| not_empty(path).to_owned()));
            }
        }
        for (path, file) in &self.known {
            let is_link = file.seen.is_some() && fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink());
            if let Some(target) = is_link.then(|| path.canonicalize().ok()).flatten() {
                directories.extend(target.parent().map(Path::to_owned));
            }
        }
        directories
    }

    /// Every file, those of a directory in the order of their names.
    fn list(&self, told: &mut BTreeSet<String>) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for path in &self.paths {
            let entries = match fs::read_dir(path) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    told.insert(format!("{}: not there (yet)", path.display()));
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                    files.push(path.clone());
                    continue;
                }
                Err(error) => return Err(named(path, &error)),
            };
            let mut inside = Vec::new();
            for entry in entries {
                let entry = entry.map_err(|error| named(path, &error))?;
                let name = entry.file_name();
                let name = name.as_encoded_bytes();
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if name.starts_with(b".") || name.ends_with(b"~") || is_directory {
                    continue;
                }
                if inside.len() == MAX_FILES {
                    told.insert(format!(
                        "{}: it has more than {MAX_FILES} files, the rest is left out",
                        path.display()
                    ));
                    break;
                }
                inside.push(entry.path());
            }
            inside.sort();
            files.extend(inside);
        }
        Ok(files)
    }

    /// Reads a file if it has changed. False: it is gone, or a directory.
    fn read(&self, path: &Path, file: &mut Known, lines: &mut Vec<String>) -> bool {
        let found = fs::metadata(path);
        if found.as_ref().is_ok_and(fs::Metadata::is_dir) {
            return false;
        }
        let seen = found.ok().map(|found| fingerprint(&found));
        if file.seen == Some(seen) {
            return true;
        }
        file.seen = Some(seen);
        let problem = match file::read_file(path, &self.sysctls) {
            Ok(manifest) => {
                file.good = Some(manifest);
                None
            }
            Err(file::Error::Open { source, .. })
                if source.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() =>
            {
                return false;
            }
            Err(error) => Some(on_one_line(&error)),
        };
        if problem != file.problem {
            lines.extend(problem.clone());
        }
        file.problem = problem;
        true
    }

    fn put_together(&mut self, told: &mut BTreeSet<String>, lines: &mut Vec<String>) -> SourceEvent {
        let before = std::mem::take(&mut self.owners);
        let good = || self.known.iter().filter_map(|(path, file)| Some((path, file.good.as_ref()?)));
        let has = |path: &PathBuf, key: &PodKey| {
            let good = self.known.get(path).and_then(|file| file.good.as_ref());
            good.is_some_and(|manifest| manifest.pods.iter().any(|pod| pod.key == *key))
        };
        let (mut pods, mut objects) = (Vec::new(), Objects::default());
        let mut owners: BTreeMap<PodKey, PathBuf> = BTreeMap::new();
        for (path, manifest) in good() {
            for pod in &manifest.pods {
                // Who had it before keeps it, as long as it has it.
                let first = before.get(&pod.key).filter(|first| has(first, &pod.key)).unwrap_or(path);
                if owners.len() == MAX_PODS && !owners.contains_key(&pod.key) {
                    told.insert(format!("there are more than {MAX_PODS} pods, the rest is left out"));
                    continue;
                }
                let owner = owners.entry(pod.key.clone()).or_insert_with(|| first.clone());
                if owner == path {
                    let place = path.display().to_string();
                    pods.push(Wanted::of(pod.clone(), place, &manifest.written));
                } else {
                    told.insert(twice(path, "Pod", &pod.key, owner));
                }
            }
            for (key, object) in &manifest.objects.config_maps {
                if objects.config_maps.contains_key(key) {
                    told.insert(format!("{}: ConfigMap {key} is in another manifest, too", path.display()));
                }
                objects.config_maps.entry(key.clone()).or_insert_with(|| object.clone());
            }
            for (key, object) in &manifest.objects.secrets {
                if objects.secrets.contains_key(key) {
                    told.insert(format!("{}: Secret {key} is in another manifest, too", path.display()));
                }
                objects.secrets.entry(key.clone()).or_insert_with(|| object.clone());
            }
        }
        let is_unread = |(path, file): (&PathBuf, &Known)| {
            (file.good.is_none() && file.problem.is_some()).then(|| path.display().to_string())
        };
        let unread = self.known.iter().filter_map(is_unread).collect();
        self.owners = owners;
        let refused = immutable::keep(&self.objects, &mut objects);
        if objects != *self.objects {
            self.objects = Arc::new(objects);
        }
        told.extend(refused);
        lines.dedup();
        SourceEvent { source: SourceKind::File, pods, objects: Arc::clone(&self.objects), unread }
    }
}

fn twice(path: &Path, kind: &str, key: &PodKey, owner: &Path) -> String {
    format!("{}: {kind} {key} is in {}, too, which has it already", path.display(), owner.display())
}

/// The empty path is where the agent is.
fn not_empty(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("read {}: {error}", path.display()))
}

/// All problems of a manifest, and the causes of an error, in one line.
pub(super) fn on_one_line(error: &file::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    let text = format!("{error}{}", cause.unwrap_or_default());
    text.lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

fn fingerprint(found: &fs::Metadata) -> [i64; 7] {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, image: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: {image}}}]}}}}"
        )
    }

    /// A directory, and the agent's view of it.
    struct Seen {
        dir: tempfile::TempDir,
        files: Files,
    }

    impl Seen {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let files = Files::new(vec![dir.path().to_owned()], Allowed::default());
            Self { dir, files }
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.dir.path().join(name), text).unwrap();
        }

        /// The pods with their images and files, and what was told, without the directory.
        fn look(&mut self) -> (String, Vec<String>) {
            let look = self.files.look(&HashSet::new()).unwrap();
            let one = |wanted: &Wanted| {
                let file = Path::new(&wanted.place).file_name().unwrap().display().to_string();
                format!("{}={}@{file}", wanted.pod.key.name, wanted.pod.spec.containers[0].image)
            };
            let pods = look.event.pods.iter().map(one).collect::<Vec<_>>().join(" ");
            let dir = format!("{}/", self.dir.path().display());
            (pods, look.lines.iter().map(|line| line.replace(&dir, "")).collect())
        }
    }

    #[test]
    fn every_file_of_a_directory_is_a_manifest_but_hidden_ones_and_what_editors_leave() {
        let mut seen = Seen::new();
        for name in ["b.yaml", "a", "c.manifest"] {
            seen.write(name, &pod(name.split('.').next().unwrap(), "i"));
        }
        for name in [".hidden.yaml", "b.yaml~"] {
            seen.write(name, &pod("no", "i"));
        }
        fs::create_dir(seen.dir.path().join("below")).unwrap();
        fs::write(seen.dir.path().join("below/d.yaml"), pod("no", "i")).unwrap();
        assert_eq!(seen.look(), ("a=i@a b=i@b.yaml c=i@c.manifest".into(), vec![]));
        seen.write("two", &format!("{}\n---\n{}", pod("u", "i"), pod("v", "i")));
        assert_eq!(seen.look().0, "a=i@a b=i@b.yaml c=i@c.manifest u=i@two v=i@two");
    }

    #[test]
    fn a_broken_manifest_is_told_once_and_its_pod_stays_as_it_was() {
        let mut seen = Seen::new();
        seen.write("a.yaml", &pod("a", "i"));
        assert_eq!(seen.look().0, "a=i@a.yaml");
        seen.write("a.yaml", "{");
        let (pods, lines) = seen.look();
        assert_eq!(pods, "a=i@a.yaml");
        assert_eq!(lines.len(), 1);
        assert!(lines[0].starts_with("a.yaml") && lines[0].contains("invalid YAML"), "{lines:?}");
        assert_eq!(seen.look(), ("a=i@a.yaml".into(), vec![]));
        seen.write("a.yaml", &pod("a", "j"));
        assert_eq!(seen.look(), ("a=j@a.yaml".into(), vec![]));
        fs::remove_file(seen.dir.path().join("a.yaml")).unwrap();
        assert_eq!(seen.look(), (String::new(), vec![]));
    }

    #[test]
    fn of_two_files_with_the_same_pod_the_one_that_had_it_first_keeps_it() {
        let mut seen = Seen::new();
        seen.write("b.yaml", &pod("p", "first"));
        seen.look();
        seen.write("a.yaml", &pod("p", "second"));
        let told = "a.yaml: Pod default/p is in b.yaml, too, which has it already".to_owned();
        assert_eq!(seen.look(), ("p=first@b.yaml".into(), vec![told]));
        assert_eq!(seen.look(), ("p=first@b.yaml".into(), vec![]), "told once");
        fs::remove_file(seen.dir.path().join("b.yaml")).unwrap();
        assert_eq!(seen.look(), ("p=second@a.yaml".into(), vec![]));
    }

    #[test]
    fn what_is_no_manifest_is_told_and_nothing_waits_for_it() {
        let mut seen = Seen::new();
        let at = |name: &str| seen.dir.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("loop", at("loop")).unwrap();
        fs::File::create(at("huge")).unwrap().set_len(1 << 40).unwrap();
        fs::write(at("garbage"), [0xff, 0xfe, 0, 1]).unwrap();
        fs::write(at("good.yaml"), pod("a", "i")).unwrap();
        let (pods, lines) = seen.look();
        assert_eq!(pods, "a=i@good.yaml");
        let said = lines.join("\n");
        for part in ["fifo: it is a FIFO", "loop: Too many levels", "huge: it has more than", "garbage"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        let unread = seen.files.look(&HashSet::new()).unwrap().event.unread;
        assert_eq!(unread.len(), 4);
        assert_eq!(seen.look().1, [""; 0]);
    }

    #[test]
    fn ten_thousand_bad_files_are_a_few_lines() {
        let mut seen = Seen::new();
        for number in 0..MAX_FILES + 1 {
            seen.write(&format!("{number:05}"), "{");
        }
        let (_, lines) = seen.look();
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES], format!("and so on, {} lines more", MAX_FILES + 1 - MAX_LINES));
    }

    #[test]
    fn a_file_that_is_being_written_is_not_read() {
        let mut seen = Seen::new();
        seen.write("a.yaml", &pod("a", "i"));
        seen.look();
        seen.write("a.yaml", "");
        seen.write("b.yaml", "");
        let busy = HashSet::from(["a.yaml", "b.yaml"].map(|name| seen.dir.path().join(name)));
        let look = seen.files.look(&busy).unwrap();
        assert_eq!((look.event.pods.len(), look.lines.len()), (1, 0));
    }

    #[test]
    fn a_directory_that_is_not_there_is_empty_until_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x/manifests");
        let mut files = Files::new(vec![path.clone()], Allowed::default());
        assert_eq!(
            files.look(&HashSet::new()).unwrap().lines,
            [format!("{}: not there (yet)", path.display())]
        );
        assert!(files.directories().contains(dir.path()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("a"), pod("a", "i")).unwrap();
        assert_eq!(files.look(&HashSet::new()).unwrap().event.pods.len(), 1);
        assert!(files.directories().contains(&path));
    }
}

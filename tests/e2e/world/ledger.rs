//! The second oracle: what the containers wrote down about their own lives. See tests/programs/ledger.rs.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What the ledger holds at one moment.
pub(crate) struct Ledger {
    dir: PathBuf,
    records: Vec<Value>,
}

impl Ledger {
    /// Makes an empty ledger that containers of any user may write to.
    pub(super) fn create(dir: &Path) {
        fs::create_dir_all(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o1777)).unwrap();
        let records = dir.join("records");
        fs::write(&records, "").unwrap();
        fs::set_permissions(&records, fs::Permissions::from_mode(0o666)).unwrap();
    }

    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), records: lines(&dir.join("records")) }
    }

    /// How often a container started.
    pub(crate) fn starts(&self, container: &str) -> usize {
        self.of_container(container).filter(|record| record["event"] == "start").count()
    }

    /// The exit codes that a container chose, in order; `None` where it was killed, or lives.
    pub(crate) fn ends(&self, container: &str) -> Vec<Option<i64>> {
        let mut ends: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for record in self.of_container(container) {
            let instance = record["instance"].as_str().unwrap_or_default();
            match record["event"].as_str() {
                Some("start") => drop(ends.entry(instance).or_default()),
                Some("end") => drop(ends.insert(instance, record["code"].as_i64())),
                _ => {}
            }
        }
        ends.into_values().collect()
    }

    /// The signals that a container got, in order.
    pub(crate) fn signals(&self, container: &str) -> Vec<String> {
        let signals = self.of_container(container).filter_map(|record| record["signal"].as_str());
        signals.map(str::to_owned).collect()
    }

    /// When a container started and ended, each time, nanoseconds since 1970.
    pub(crate) fn times(&self, container: &str, event: &str) -> Vec<u64> {
        let records = self.of_container(container).filter(|record| record["event"] == event);
        records.filter_map(|record| record["at"].as_u64()).collect()
    }

    /// When a container's first `start` or `end` was written, nanoseconds since 1970.
    pub(crate) fn time(&self, container: &str, event: &str) -> u64 {
        let at = self
            .of_container(container)
            .find(|record| record["event"] == event)
            .and_then(|record| record["at"].as_u64());
        at.unwrap_or_else(|| panic!("{container} has no {event} in the ledger"))
    }

    /// The last answer to a step, if there is one.
    pub(super) fn answer(&self, container: &str, step: &str) -> Option<Result<Value, String>> {
        let answers = lines(&self.dir.join(format!("{container}.answers")));
        let answer = answers.into_iter().rfind(|answer| answer["step"] == step)?;
        Some(match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(answer["ok"].clone()),
        })
    }

    /// How often a container answered a step.
    pub(crate) fn answers(&self, container: &str, step: &str) -> usize {
        lines(&self.dir.join(format!("{container}.answers")))
            .iter()
            .filter(|answer| answer["step"] == step)
            .count()
    }

    /// What can never be right: two living copies of a container, two ends of one start, an end without a start.
    pub(crate) fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut lives: BTreeMap<[&str; 2], (usize, usize)> = BTreeMap::new();
        for record in &self.records {
            let key = ["name", "instance"].map(|field| record[field].as_str().unwrap_or_default());
            let life = lives.entry(key).or_default();
            match record["event"].as_str() {
                Some("start") => life.0 += 1,
                Some("end") => life.1 += 1,
                Some("duplicate" | "nonsense") => found.push(record.to_string()),
                _ => {}
            }
        }
        let wrong = lives.into_iter().filter(|(_, (starts, ends))| *starts > 1 || ends > starts);
        found.extend(wrong.map(|([name, instance], (starts, ends))| {
            format!("{name} {instance} has {starts} starts and {ends} ends")
        }));
        found
    }

    fn of_container(&self, name: &str) -> impl Iterator<Item = &Value> {
        self.records.iter().filter(move |record| record["name"] == name)
    }
}

/// Whole lines only: one that is being written does not count yet.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

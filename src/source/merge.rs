//! What all sources want, put together. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::{SourceEvent, Wanted};
use crate::pod::{Origin, PodKey, SourceKind};

/// The newest sets of all sources.
#[derive(Debug, Default)]
pub struct Merge {
    /// `None`: it has not told its first set.
    sets: BTreeMap<SourceKind, Option<Set>>,
    /// Whose pod it is, where several want one of that name.
    owners: BTreeMap<PodKey, SourceKind>,
}

#[derive(Debug, Default)]
struct Set {
    pods: BTreeMap<PodKey, Wanted>,
    unread: BTreeSet<String>,
}

impl Merge {
    /// Nothing yet of any of these.
    pub fn expecting(sources: impl IntoIterator<Item = SourceKind>) -> Self {
        Self { sets: sources.into_iter().map(|source| (source, None)).collect(), owners: BTreeMap::new() }
    }

    /// Takes a new set in. Returns a line for each of its pods that another source has had before, and it had not.
    pub fn take(&mut self, event: SourceEvent) -> Vec<String> {
        let source = event.source;
        let pods = event.pods.into_iter().map(|wanted| (wanted.pod.key.clone(), wanted)).collect();
        let set = Set { pods, unread: event.unread };
        let before = self.sets.insert(source, Some(set)).flatten().unwrap_or_default();
        self.choose_owners();
        let lost = |key: &&PodKey| self.owners.get(*key) != Some(&source) && !before.pods.contains_key(*key);
        let Some(Some(set)) = self.sets.get(&source) else { return Vec::new() };
        let lost = set.pods.keys().filter(lost);
        lost.filter_map(|key| {
            let owner = self.owners.get(key)?;
            Some(format!("pod {key}: {source} wants it, and {owner} has it already"))
        })
        .collect()
    }

    /// The pod of that name that is wanted, and by whom.
    pub fn get(&self, key: &PodKey) -> Option<(&Wanted, SourceKind)> {
        let source = *self.owners.get(key)?;
        Some((self.sets.get(&source)?.as_ref()?.pods.get(key)?, source))
    }

    /// The names of all pods that are wanted.
    pub fn keys(&self) -> impl Iterator<Item = &PodKey> {
        self.owners.keys()
    }

    /// True once every source has told its first set.
    pub fn is_ready(&self) -> bool {
        self.sets.values().all(Option::is_some)
    }

    /// True if a pod that came from there, and is in no set, may be wanted all the same: the source cannot tell.
    pub fn cannot_tell(&self, origin: &Origin) -> bool {
        match self.sets.get(&origin.source) {
            Some(Some(set)) => set.unread.contains(&origin.place),
            Some(None) => true,
            None => false,
        }
    }

    fn choose_owners(&mut self) {
        let before = std::mem::take(&mut self.owners);
        let has = |source: &SourceKind, key: &PodKey| {
            self.sets
                .get(source)
                .is_some_and(|set| set.as_ref().is_some_and(|set| set.pods.contains_key(key)))
        };
        for (source, set) in &self.sets {
            for key in set.iter().flat_map(|set| set.pods.keys()) {
                let kept = before.get(key).filter(|owner| has(owner, key));
                self.owners.entry(key.clone()).or_insert_with(|| kept.copied().unwrap_or(*source));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture;

    fn event(source: SourceKind, names: &[&str]) -> SourceEvent {
        let wanted = |name: &&str| {
            let mut pod = fixture::pod(RestartPolicy::Always, &[], &["a"]);
            pod.key.name = (*name).to_owned();
            Wanted { pod, place: source.to_string(), deletion: None, is_over: false, written: None }
        };
        let pods = names.iter().map(wanted).collect();
        SourceEvent { source, pods, objects: Default::default(), unread: BTreeSet::new() }
    }

    fn owners(merge: &Merge) -> String {
        let one = |key: &PodKey| format!("{}={}", key.name, merge.get(key).unwrap().1);
        merge.keys().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_had_a_pod_first_keeps_it_until_it_drops_it() {
        use SourceKind::{Api, File};
        let mut merge = Merge::expecting([File, Api]);
        for (event, expected, told) in [
            (event(Api, &["a", "b"]), "a=api b=api", &[][..]),
            (
                event(File, &["b", "c"]),
                "a=api b=api c=file",
                &["pod default/b: file wants it, and api has it already"],
            ),
            (event(File, &["b", "c"]), "a=api b=api c=file", &[]),
            (event(Api, &["a"]), "a=api b=file c=file", &[]),
            (
                event(Api, &["a", "b"]),
                "a=api b=file c=file",
                &["pod default/b: api wants it, and file has it already"],
            ),
            (event(File, &[]), "a=api b=api", &[]),
        ] {
            assert_eq!(merge.take(event), told);
            assert_eq!(owners(&merge), expected);
        }
    }

    #[test]
    fn what_a_source_could_not_read_may_still_be_wanted() {
        use SourceKind::{Api, File, Http};
        let origin = |source, place: &str| Origin { source, place: place.to_owned() };
        let mut merge = Merge::expecting([File, Http]);
        assert!(!merge.is_ready() && merge.cannot_tell(&origin(File, "/m/a.yaml")));
        let unread = BTreeSet::from(["/m/a.yaml".to_owned()]);
        merge.take(SourceEvent { unread, ..event(File, &[]) });
        assert!(!merge.is_ready());
        let cases =
            [(File, "/m/a.yaml", true), (File, "/m/b.yaml", false), (Http, "u", true), (Api, "", false)];
        for (source, place, cannot_tell) in cases {
            assert_eq!(merge.cannot_tell(&origin(source, place)), cannot_tell, "{source} {place}");
        }
        merge.take(event(Http, &["a"]));
        assert!(merge.is_ready());
    }
}

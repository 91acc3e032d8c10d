//! The pods that are assigned to this node, by what a watch says of them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1 as k8s;
use kube::runtime::watcher::Event;

use super::Node;
use super::objects::Reference;
use crate::cluster::mirror;
use crate::pod::objects::{ObjectKey, Objects};
use crate::pod::{self, PodKey, SourceKind, references};
use crate::source::{Deletion, SourceEvent, Wanted};

/// The pods, as far as the watch has told of them.
pub(super) struct Assigned {
    node: Node,
    /// By namespace and name; with the version that was last understood.
    pods: BTreeMap<PodKey, Pod>,
    /// What a watch that begins anew has told so far.
    anew: Option<BTreeMap<PodKey, k8s::Pod>>,
    is_known: bool,
}

/// One object.
struct Pod {
    uid: Option<String>,
    /// `None`: it cannot be understood, or is somebody's likeness.
    wanted: Option<Wanted>,
}

/// What an event of the watch has brought, beside another set.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// Mirrors that were made, changed or deleted.
    pub(super) mirrors: Vec<PodKey>,
    /// Lines for a person.
    pub(super) problems: Vec<String>,
}

impl Assigned {
    /// Nothing is known yet.
    pub(super) fn new(node: Node) -> Self {
        Self { node, pods: BTreeMap::new(), anew: None, is_known: false }
    }

    /// Takes an event of the watch in.
    pub(super) fn take(&mut self, event: Event<k8s::Pod>) -> Change {
        let mut change = Change::default();
        match event {
            Event::Init => self.anew = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                if let (Some(anew), Some(key)) = (&mut self.anew, key(&object)) {
                    anew.insert(key, object);
                }
            }
            Event::InitDone => {
                let anew = self.anew.take().unwrap_or_default();
                let gone: Vec<PodKey> =
                    self.pods.keys().filter(|key| !anew.contains_key(*key)).cloned().collect();
                gone.into_iter().for_each(|key| self.forget(key, &mut change));
                for (key, object) in anew {
                    self.apply(key, &object, &mut change);
                }
                self.is_known = true;
            }
            Event::Apply(object) => {
                if let Some(key) = key(&object) {
                    self.apply(key, &object, &mut change);
                }
            }
            Event::Delete(object) => {
                if let Some(key) = key(&object) {
                    self.forget(key, &mut change);
                }
            }
        }
        change
    }

    fn forget(&mut self, key: PodKey, change: &mut Change) {
        if self.pods.remove(&key).is_some_and(|pod| pod.wanted.is_none()) {
            change.mirrors.push(key);
        }
    }

    fn apply(&mut self, key: PodKey, object: &k8s::Pod, change: &mut Change) {
        let uid = object.metadata.uid.clone();
        if mirror::is_mirror(object) {
            self.pods.insert(key.clone(), Pod { uid, wanted: None });
            change.mirrors.push(key);
            return;
        }
        let before =
            self.pods.remove(&key).filter(|before| before.uid == uid).and_then(|before| before.wanted);
        let wanted = match understand(object, &self.node) {
            Ok(pod) => Some(Wanted {
                pod,
                place: String::new(),
                deletion: deletion(object),
                is_over: is_over(object),
                written: None,
            }),
            Err(problem) => {
                change.problems.push(problem);
                before
            }
        };
        self.pods.insert(key, Pod { uid, wanted });
    }

    /// True once the watch has told all that there is.
    pub(super) fn is_known(&self) -> bool {
        self.is_known
    }

    /// The objects that the pods refer to.
    pub(super) fn references(&self) -> BTreeSet<Reference> {
        let wanted = self.pods.values().filter_map(|pod| pod.wanted.as_ref());
        let of = |wanted: &Wanted| {
            let namespace = wanted.pod.key.namespace.clone();
            let found = references::of(&wanted.pod.spec).into_iter();
            let key = move |name: &str| ObjectKey { namespace: namespace.clone(), name: name.to_owned() };
            found.map(move |(kind, name)| (kind, key(name))).collect::<Vec<_>>()
        };
        wanted.flat_map(of).collect()
    }

    /// The set, with what its pods refer to.
    pub(super) fn event(&self, objects: Arc<Objects>) -> SourceEvent {
        let pods = self.pods.values().filter_map(|pod| pod.wanted.clone()).collect();
        SourceEvent { source: SourceKind::Api, pods, objects, unread: BTreeSet::new() }
    }
}

fn key(object: &k8s::Pod) -> Option<PodKey> {
    let (namespace, name) = (object.metadata.namespace.as_ref()?, object.metadata.name.as_ref()?);
    Some(PodKey { namespace: namespace.clone(), name: name.clone() })
}

/// The API's times have whole seconds: a grace period ends within the one that `deletionTimestamp` names.
fn deletion(object: &k8s::Pod) -> Option<Deletion> {
    let named = object.metadata.deletion_timestamp.as_ref()?.0;
    let deadline = named.checked_add(SignedDuration::from_secs(1)).unwrap_or(named);
    let seconds = object.metadata.deletion_grace_period_seconds.unwrap_or(0);
    Some(Deletion { grace: Duration::from_secs(seconds.try_into().unwrap_or(0)), deadline })
}

/// The pod has ended for good, by what was told of it. Only its status can tell once the node has forgotten it.
fn is_over(object: &k8s::Pod) -> bool {
    let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The pod that an object is; or why this node cannot run it, in one line.
fn understand(object: &k8s::Pod, node: &Node) -> Result<pod::Pod, String> {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    let place = format!("pods/{name}");
    let bytes = serde_json::to_vec(object).map_err(|error| format!("{place}: {error}"))?;
    let manifest = pod::decode_allowing(&bytes, &place, &node.sysctls)
        .map_err(|why| why.to_string().replace('\n', "; "))?;
    manifest.pods.into_iter().next().ok_or_else(|| format!("{place}: no pod in the object"))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::pod::spec::ObjectKind;
    use crate::pod::sysctl::Allowed;

    fn assigned() -> Assigned {
        Assigned::new(Node { name: "n".to_owned(), sysctls: Allowed::default() })
    }

    fn object(name: &str, uid: &str, more: &serde_json::Value) -> k8s::Pod {
        let mut object = json!({
            "metadata": {"name": name, "namespace": "default", "uid": uid, "resourceVersion": "7"},
            "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
        });
        json_patch::merge(&mut object, more);
        serde_json::from_value(object).unwrap()
    }

    fn names(assigned: &Assigned) -> Vec<String> {
        let event = assigned.event(Arc::default());
        event.pods.iter().map(|wanted| format!("{} {}", wanted.pod.key.name, wanted.pod.uid)).collect()
    }

    #[test]
    fn a_watch_that_begins_anew_brings_the_whole_set() {
        let mut assigned = assigned();
        let nothing = json!({});
        assigned.take(Event::Init);
        assigned.take(Event::InitApply(object("a", "1", &nothing)));
        assigned.take(Event::InitApply(object("b", "2", &nothing)));
        assert!(!assigned.is_known());
        assigned.take(Event::InitDone);
        assert!(assigned.is_known());
        assert_eq!(names(&assigned), ["a 1", "b 2"]);
        assigned.take(Event::Apply(object("c", "3", &nothing)));
        assigned.take(Event::Delete(object("a", "1", &nothing)));
        assert_eq!(names(&assigned), ["b 2", "c 3"]);
        assigned.take(Event::Init);
        assigned.take(Event::InitApply(object("c", "4", &nothing)));
        assert_eq!(names(&assigned), ["b 2", "c 3"]);
        assigned.take(Event::InitDone);
        assert_eq!(names(&assigned), ["c 4"]);
    }

    #[test]
    fn mirrors_are_no_pods_of_the_api_and_their_changes_are_told() {
        let mut assigned = assigned();
        let marked = json!({"metadata": {"annotations": {mirror::MIRROR: "h"}}});
        let key = PodKey { namespace: "default".to_owned(), name: "m".to_owned() };
        assert_eq!(
            assigned.take(Event::Apply(object("m", "1", &marked))).mirrors,
            std::slice::from_ref(&key)
        );
        assert!(names(&assigned).is_empty());
        assert_eq!(assigned.take(Event::Delete(object("m", "1", &marked))).mirrors, [key]);
    }

    #[test]
    fn a_pod_that_cannot_be_understood_stays_what_it_was_and_is_told() {
        let mut assigned = assigned();
        assigned.take(Event::Apply(object("a", "1", &json!({}))));
        let bad = json!({"spec": {"restartPolicy": "Sometimes"}});
        let change = assigned.take(Event::Apply(object("a", "1", &bad)));
        assert!(change.problems[0].contains("restartPolicy"), "{:?}", change.problems);
        assert_eq!(names(&assigned), ["a 1"]);
        // One of another uid is another pod.
        assigned.take(Event::Apply(object("a", "2", &bad)));
        assert!(names(&assigned).is_empty());
    }

    #[test]
    fn deletion_and_the_end_are_taken_from_the_object() {
        let mut assigned = assigned();
        let deleted = json!({
            "metadata": {"deletionTimestamp": "1970-01-01T00:00:07Z", "deletionGracePeriodSeconds": 3},
            "status": {"phase": "Failed"},
        });
        assigned.take(Event::Apply(object("a", "1", &deleted)));
        let event = assigned.event(Arc::default());
        // Whenever in the second that the object names it is.
        let deletion =
            Deletion { grace: Duration::from_secs(3), deadline: Timestamp::from_second(8).unwrap() };
        assert_eq!(event.pods[0].deletion, Some(deletion));
        assert!(event.pods[0].is_over);
    }

    #[test]
    fn what_pods_refer_to_is_asked_for_in_their_namespace() {
        let mut assigned = assigned();
        let of = json!({"spec": {"containers": [{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": "s"}}]}]}});
        assigned.take(Event::Apply(object("a", "1", &of)));
        let key = ObjectKey { namespace: "default".to_owned(), name: "s".to_owned() };
        assert_eq!(assigned.references(), [(ObjectKind::Secret, key)].into());
    }
}

//! What an edit of a manifest means for the pod that runs: what the API server lets be changed, in its words. Pure.
//!
//! Labels, annotations, requests and limits of cpu and memory (KEP-1287, KEP-5419), images and `activeDeadlineSeconds` are changed in the running pod, and
//! ephemeral containers are added to it (KEP-277). All else makes another pod, which takes this one's place when it is run.

use serde_json::{Map, Value};

use super::Pod;
use super::spec::{ContainerSpec, QosClass, Resources};

/// Why the running pod does not follow an edit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is another pod.
    Replaces,
    /// It asks for a change that is not allowed; each reason is `FIELD: why`.
    Forbidden(Vec<String>),
}

/// What `old`, which runs, becomes by the edit that made `new` of its manifest. `None`: it stays as it is.
///
/// A pod whose uid was made from its manifest keeps the one that it has, and every pod its ephemeral containers: see
/// [`removed_ephemeral_containers`].
pub fn updated(old: &Pod, new: &Pod) -> Result<Option<Pod>, Refusal> {
    let is_same_pod = old.uid == new.uid || old.uid.is_made() && new.uid.is_made();
    if old.key != new.key || !is_same_pod {
        return Err(Refusal::Replaces);
    }
    let mut updated = Pod { uid: old.uid.clone(), ..new.clone() };
    updated.spec.ephemeral_containers = with_those_that_are_there(old, new);
    if updated == *old {
        return Ok(None);
    }
    if with_changes_of(old, &updated) != updated {
        return Err(Refusal::Replaces);
    }
    let why = forbidden(old, &updated);
    if why.is_empty() { Ok(Some(updated)) } else { Err(Refusal::Forbidden(why)) }
}

/// What is said of the ephemeral containers of `old` that are not in `new`: they stay as long as their pod.
pub fn removed_ephemeral_containers(old: &Pod, new: &Pod) -> Vec<String> {
    let gone = old.spec.ephemeral_containers.iter().filter(|c| new.spec.container(&c.name).is_none());
    gone.map(|container| {
        let name = &container.name;
        format!(
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"{name}\" may not be removed"
        )
    })
    .collect()
}

/// The ephemeral containers of `old`, as `new` has them where it does, then those that are new.
fn with_those_that_are_there(old: &Pod, new: &Pod) -> Vec<ContainerSpec> {
    let find =
        |list: &[ContainerSpec], one: &ContainerSpec| list.iter().find(|c| c.name == one.name).cloned();
    let (before, now) = (&old.spec.ephemeral_containers, &new.spec.ephemeral_containers);
    let known = before.iter().map(|one| find(now, one).unwrap_or_else(|| one.clone()));
    known.chain(now.iter().filter(|one| find(before, one).is_none()).cloned()).collect()
}

/// `old` with everything of `new` that may be another.
fn with_changes_of(old: &Pod, new: &Pod) -> Pod {
    let (labels, annotations) = (new.labels.clone(), new.annotations.clone());
    let mut changed = Pod { generation: new.generation, labels, annotations, ..old.clone() };
    let (spec, wanted) = (&mut changed.spec, &new.spec);
    spec.active_deadline = wanted.active_deadline;
    spec.ephemeral_containers.clone_from(&wanted.ephemeral_containers);
    spec.resources = wanted.resources.clone();
    spec.qos_class = wanted.qos_class;
    // Nothing that runs is another by these.
    spec.priority = wanted.priority;
    spec.tolerates_memory_pressure = wanted.tolerates_memory_pressure;
    let lists =
        [(&mut spec.init_containers, &wanted.init_containers), (&mut spec.containers, &wanted.containers)];
    for (container, wanted) in lists.into_iter().flat_map(|(list, wanted)| list.iter_mut().zip(wanted)) {
        container.resources = wanted.resources.clone();
        if container.image != wanted.image {
            container.image.clone_from(&wanted.image);
            // Where the manifest is silent it follows from the image.
            container.image_pull_policy = wanted.image_pull_policy;
        }
    }
    changed
}

/// What is wrong with a change of resources and deadlines, as the API server sees it.
fn forbidden(old: &Pod, new: &Pod) -> Vec<String> {
    let (old, new) = (&old.spec, &new.spec);
    let mut why = Vec::new();
    match (old.active_deadline, new.active_deadline) {
        (Some(before), Some(now)) if now > before => why.push(format!(
            "spec.activeDeadlineSeconds: Invalid value: {}: must be less than or equal to previous value",
            now.as_secs()
        )),
        (Some(_), None) => why.push(
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"
                .to_owned(),
        ),
        _ => {}
    }
    if old.qos_class != new.qos_class {
        let class = match old.qos_class {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        };
        why.push(format!(
            "spec: Invalid value: \"{class}\": Pod QOS Class may not change as a result of resizing"
        ));
    }
    if old.resources != Resources::default() && new.resources == Resources::default() {
        why.push("spec.resources: Forbidden: pod-level resources cannot be removed".to_owned());
    } else {
        removed("spec.resources", "pod-level resource", &old.resources, &new.resources, &mut why);
    }
    if !is_same_beside_cpu_and_memory(&old.resources, &new.resources) {
        why.push("spec: Forbidden: only cpu and memory resources are mutable at pod-level".to_owned());
    }
    for (old, _) in
        old.ephemeral_containers.iter().zip(&new.ephemeral_containers).filter(|(old, new)| old != new)
    {
        let name = &old.name;
        why.push(format!(
            "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"{name}\" may not be changed"
        ));
    }
    let lists = [
        ("initContainers", &old.init_containers, &new.init_containers),
        ("containers", &old.containers, &new.containers),
    ];
    for (list, old, new) in lists {
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            let is_init = list == "initContainers";
            container(&format!("spec.{list}[{index}]"), is_init, old, new, &mut why);
        }
    }
    why
}

fn container(path: &str, is_init: bool, old: &ContainerSpec, new: &ContainerSpec, why: &mut Vec<String>) {
    if is_init && !old.is_sidecar() {
        if old.resources != new.resources {
            let text = "spec: Forbidden: resources for non-sidecar init containers are immutable";
            why.push(text.to_owned());
        }
        return;
    }
    removed(&format!("{path}.resources"), "resource", &old.resources, &new.resources, why);
    if !is_same_beside_cpu_and_memory(&old.resources, &new.resources) {
        why.push(if is_init {
            format!("{path}: Forbidden: only cpu and memory resources for sidecar containers are mutable")
        } else {
            "spec: Forbidden: only cpu and memory resources are mutable".to_owned()
        });
    }
}

/// Requests or limits that were there and are not any more.
fn removed(path: &str, what: &str, old: &Resources, new: &Resources, why: &mut Vec<String>) {
    let gone = |pairs: [(Option<u64>, Option<u64>); 2]| {
        pairs.iter().any(|(before, now)| before.is_some() && now.is_none())
    };
    if gone([(old.cpu_request_millis, new.cpu_request_millis), (old.memory_request, new.memory_request)]) {
        why.push(format!("{path}.requests: Forbidden: {what} requests cannot be removed"));
    }
    if gone([(old.cpu_limit_millis, new.cpu_limit_millis), (old.memory_limit, new.memory_limit)]) {
        why.push(format!("{path}.limits: Forbidden: {what} limits cannot be removed"));
    }
}

fn is_same_beside_cpu_and_memory(old: &Resources, new: &Resources) -> bool {
    let Resources { cpu_request_millis, cpu_limit_millis, memory_request, memory_limit, .. } = *old;
    let other =
        Resources { cpu_request_millis, cpu_limit_millis, memory_request, memory_limit, ..new.clone() };
    *old == other
}

/// The fields of a pod as its manifest has them, defaults filled in: only to tell which of them an edit has changed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Written(Value);

impl Written {
    /// Those of an object of the API.
    pub fn of_object(fields: &Value) -> Self {
        Self(fields.clone())
    }

    /// Of these fields of the whole object.
    pub(super) fn new(fields: Value) -> Self {
        Self(fields)
    }

    /// `metadata` without the name, and `spec`, with all defaults.
    pub fn fields(&self) -> &Value {
        &self.0
    }

    /// The paths of the fields that are another in `new`, in the manifest's order of names: `spec.containers[0].image`.
    pub fn changes(&self, new: &Self) -> Vec<String> {
        let mut paths = Vec::new();
        differences("", &self.0, &new.0, &mut paths);
        paths
    }
}

fn differences(path: &str, old: &Value, new: &Value, paths: &mut Vec<String>) {
    match (old, new) {
        _ if old == new => {}
        (Value::Object(old), Value::Object(new)) => {
            let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                let empty = Value::Object(Map::new());
                // What is missing is as good as empty: the field below it is the one that was written.
                let of = |map: &Map<String, Value>, other: &Map<String, Value>| match map.get(name) {
                    Some(value) => value.clone(),
                    None if other.get(name).is_some_and(Value::is_object) => empty.clone(),
                    None => Value::Null,
                };
                differences(&path, &of(old, new), &of(new, old), paths);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                differences(&format!("{path}[{index}]"), old, new, paths);
            }
        }
        _ => paths.push(path.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::decode;
    use crate::pod::spec::PullPolicy;

    /// The pod of a manifest with these fields of its spec beside the container `c`, which has these.
    fn pod(spec: &str, container: &str) -> (Pod, Written) {
        let sidecar = "{name: s, image: i, restartPolicy: Always, resources: {limits: {memory: 1Mi}}}";
        let init = format!("{{name: i, image: i}}, {sidecar}");
        let text = format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {{{spec} initContainers: [{init}], \
             containers: [{{name: c, image: i, {container}}}]}}}}"
        );
        let mut manifest =
            decode(text.as_bytes(), "f").unwrap_or_else(|problems| panic!("{problems}: {text}"));
        let pod = manifest.pods.remove(0);
        let written = manifest.written.remove(&pod.key).unwrap();
        (pod, written)
    }

    const LIMITS: &str = "resources: {limits: {cpu: 1, memory: 64Mi}, requests: {cpu: 500m, memory: 32Mi}}";

    #[test]
    fn an_edit_is_taken_in_refused_or_makes_another_pod() {
        let resources = |text: &str| format!("resources: {{{text}}}");
        let forbidden =
            |why: &[&str]| Err(Refusal::Forbidden(why.iter().map(|why| (*why).to_owned()).collect()));
        let pod_level = "resources: {limits: {cpu: 2, memory: 1Gi}},";
        for (old, new, expected) in [
            (("", LIMITS), ("", LIMITS.to_owned()), Ok(false)),
            // The same amounts in other words.
            (
                ("", LIMITS),
                ("", resources("limits: {cpu: 1000m, memory: 65536Ki}, requests: {cpu: 0.5, memory: 32Mi}")),
                Ok(false),
            ),
            // For a scheduler alone.
            (("", LIMITS), ("nodeSelector: {a: b},", LIMITS.to_owned()), Ok(false)),
            // For the node, and not for what runs.
            (("", LIMITS), ("tolerations: [{operator: Exists}],", LIMITS.to_owned()), Ok(true)),
            (("", LIMITS), ("priority: 7,", LIMITS.to_owned()), Ok(true)),
            (
                ("", LIMITS),
                ("", resources("limits: {cpu: 2, memory: 64Mi}, requests: {cpu: 1, memory: 1Mi}")),
                Ok(true),
            ),
            (("", LIMITS), ("", format!("{LIMITS}, args: [other]")), Err(Refusal::Replaces)),
            (("", LIMITS), ("", format!("{LIMITS}, imagePullPolicy: Never")), Err(Refusal::Replaces)),
            (("", LIMITS), ("", format!("{LIMITS}, env: [{{name: A, value: b}}]")), Err(Refusal::Replaces)),
            (
                ("", LIMITS),
                (
                    "",
                    format!(
                        "{LIMITS}, resizePolicy: [{{resourceName: cpu, restartPolicy: RestartContainer}}]"
                    ),
                ),
                Err(Refusal::Replaces),
            ),
            (
                ("", LIMITS),
                ("", resources("limits: {cpu: 1}, requests: {cpu: 500m}")),
                forbidden(&[
                    "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed",
                    "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
                ]),
            ),
            (
                ("", LIMITS),
                (
                    "",
                    resources(
                        "limits: {cpu: 1, memory: 64Mi, hugepages-2Mi: 2Mi}, requests: {cpu: 500m, memory: 32Mi}",
                    ),
                ),
                forbidden(&["spec: Forbidden: only cpu and memory resources are mutable"]),
            ),
            (
                (pod_level, LIMITS),
                ("", LIMITS.to_owned()),
                forbidden(&["spec.resources: Forbidden: pod-level resources cannot be removed"]),
            ),
            (
                ("resources: {limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 1}},", LIMITS),
                ("resources: {limits: {cpu: 2}, requests: {cpu: 1}},", LIMITS.to_owned()),
                forbidden(&["spec.resources.limits: Forbidden: pod-level resource limits cannot be removed"]),
            ),
            (
                ("resources: {limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 1, memory: 1Gi}},", LIMITS),
                (
                    "resources: {limits: {cpu: 2, memory: 1Gi}, requests: {cpu: 2, memory: 1Gi}},",
                    LIMITS.to_owned(),
                ),
                forbidden(&[
                    "spec: Invalid value: \"Burstable\": Pod QOS Class may not change as a result of resizing",
                ]),
            ),
            (
                (pod_level, LIMITS),
                ("resources: {limits: {cpu: 3, memory: 1Gi}},", LIMITS.to_owned()),
                Ok(true),
            ),
            (("", LIMITS), ("activeDeadlineSeconds: 60,", LIMITS.to_owned()), Ok(true)),
            (
                ("activeDeadlineSeconds: 60,", LIMITS),
                ("activeDeadlineSeconds: 30,", LIMITS.to_owned()),
                Ok(true),
            ),
            (
                ("activeDeadlineSeconds: 60,", LIMITS),
                ("activeDeadlineSeconds: 61,", LIMITS.to_owned()),
                forbidden(&[
                    "spec.activeDeadlineSeconds: Invalid value: 61: must be less than or equal to previous value",
                ]),
            ),
            (
                ("activeDeadlineSeconds: 60,", LIMITS),
                ("", LIMITS.to_owned()),
                forbidden(&[
                    "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value",
                ]),
            ),
        ] {
            let ((old, _), (new, _)) = (pod(old.0, old.1), pod(new.0, &new.1));
            let found = updated(&old, &new);
            let updated = Pod { uid: old.uid.clone(), ..new.clone() };
            let expected = expected.map(|is_updated| is_updated.then_some(updated));
            assert_eq!(found, expected, "{:?}", new.spec.containers[0]);
        }
    }

    #[test]
    fn labels_and_annotations_are_changed_in_the_running_pod() {
        let (old, _) = pod("", LIMITS);
        let mut new = old.clone();
        new.labels.insert("tier".to_owned(), "web".to_owned());
        new.annotations.insert("note".to_owned(), "seen".to_owned());
        assert_eq!(updated(&old, &new), Ok(Some(new.clone())));
        assert_eq!(updated(&new, &old), Ok(Some(old)), "they are taken away, too");
    }

    #[test]
    fn init_containers_keep_their_resources_and_sidecars_need_not() {
        let (old, _) = pod("", LIMITS);
        let mut new = old.clone();
        new.spec.init_containers[1].resources.memory_limit = Some(2 << 20);
        assert_eq!(updated(&old, &new), Ok(Some(new.clone())));
        new.spec.init_containers[0].resources.memory_limit = Some(2 << 20);
        let why = "spec: Forbidden: resources for non-sidecar init containers are immutable";
        assert_eq!(updated(&old, &new), Err(Refusal::Forbidden(vec![why.to_owned()])));
    }

    #[test]
    fn an_image_is_changed_with_the_pull_policy_that_follows_from_it() {
        let (old, _) = pod("", LIMITS);
        let mut new = old.clone();
        new.spec.containers[0].image = "i:1".to_owned();
        new.spec.containers[0].image_pull_policy = PullPolicy::IfNotPresent;
        assert_eq!(updated(&old, &new), Ok(Some(new)));
    }

    #[test]
    fn a_uid_that_somebody_gave_is_another_pod_when_it_changes() {
        let (old, _) = pod("", LIMITS);
        let with_uid = |uid: &str| Pod { uid: uid.parse().unwrap(), ..old.clone() };
        let (one, two) = ("2f3cda70-0b4e-4b52-9a3e-2c1b7e0d8a11", "2f3cda70-0b4e-4b52-9a3e-2c1b7e0d8a12");
        assert_eq!(updated(&with_uid(one), &with_uid(one)), Ok(None));
        assert_eq!(updated(&with_uid(one), &with_uid(two)), Err(Refusal::Replaces));
        assert_eq!(updated(&old, &with_uid(one)), Err(Refusal::Replaces));
        assert!(old.uid.is_made());
    }

    #[test]
    fn ephemeral_containers_are_added_and_stay_as_they_are() {
        let with = |containers: &str| pod(&format!("ephemeralContainers: [{containers}],"), LIMITS).0;
        let (none, one) = (with(""), with("{name: x, image: i}"));
        let (two, other) = (with("{name: z, image: i}, {name: x, image: i}"), with("{name: x, image: j}"));
        let names = |pod: &Pod| -> String {
            pod.spec.ephemeral_containers.iter().map(|container| container.name.as_str()).collect()
        };
        let to = |old: &Pod, new: &Pod| updated(old, new).map(|updated| updated.map(|pod| names(&pod)));
        let why = "spec.ephemeralContainers: Forbidden: existing ephemeral containers \"x\" may not be";
        assert_eq!(to(&none, &one), Ok(Some("x".to_owned())));
        assert_eq!(to(&one, &two), Ok(Some("xz".to_owned())));
        assert_eq!(to(&one, &other), Err(Refusal::Forbidden(vec![format!("{why} changed")])));
        assert_eq!(to(&one, &none), Ok(None));
        assert_eq!(removed_ephemeral_containers(&one, &none), [format!("{why} removed")]);
        assert_eq!(removed_ephemeral_containers(&one, &two), [""; 0]);
    }

    #[test]
    fn the_fields_that_an_edit_changed_are_named() {
        let of = |spec: &str, container: &str| pod(spec, container).1;
        let old = of("", LIMITS);
        for (spec, container, expected) in [
            ("", LIMITS.to_owned(), [""; 0].as_slice()),
            ("hostPID: true,", LIMITS.to_owned(), &["spec.hostPID"]),
            ("", format!("{LIMITS}, command: [a]"), &["spec.containers[0].command"]),
            (
                "",
                "resources: {limits: {cpu: 2, memory: 64Mi}}".to_owned(),
                &[
                    "spec.containers[0].resources.limits.cpu",
                    "spec.containers[0].resources.requests.cpu",
                    "spec.containers[0].resources.requests.memory",
                ],
            ),
            (
                "",
                format!("{LIMITS}, lifecycle: {{preStop: {{sleep: {{seconds: 1}}}}}}"),
                &["spec.containers[0].lifecycle.preStop.sleep.seconds"],
            ),
        ] {
            assert_eq!(old.changes(&of(spec, &container)), expected, "{spec} {container}");
        }
    }
}

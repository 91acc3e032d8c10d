//! `mkubelet debug POD --copy-to NAME`: a pod like another one, with a container more or with one that is changed.

use clap::Args;
use http::Method;
use kube::Client;
use serde_json::{Map, Value, json};

use super::Arguments;
use super::profile::Profile;
use crate::cli::client::discovery::Type;
use crate::cli::client::failure::told;
use crate::cli::client::pod;
use crate::cli::client::query::Query;
use crate::cli::client::request::{JSON, ask};

/// What the copy is to be like.
#[derive(Debug, Default, Args)]
pub(super) struct Flags {
    /// Debug a copy of the pod, of this name: with one more container, or with the one of -c changed.
    #[arg(long, value_name = "NAME")]
    pub(super) copy_to: Option<String>,
    /// In the copy, other images: `CONTAINER=IMAGE`; `*` is every container that is not named.
    #[arg(long, value_name = "CONTAINER=IMAGE,...", value_delimiter = ',', value_parser = pair)]
    set_image: Vec<(String, String)>,
    /// The copy is for the node of the pod.
    #[arg(long)]
    same_node: bool,
    /// The containers of the copy see each other's processes. Without it that is as the profile says.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    share_processes: Option<bool>,
    /// Delete the pod that was copied, at once.
    #[arg(long)]
    replace: bool,
    /// The copy has the pod's labels, so that whoever looks for them finds it, too.
    #[arg(long)]
    keep_labels: bool,
    /// The copy has the pod's annotations.
    #[arg(long)]
    keep_annotations: bool,
    /// The copy has the pod's liveness probes.
    #[arg(long)]
    keep_liveness: bool,
    /// The copy has the pod's readiness probes.
    #[arg(long)]
    keep_readiness: bool,
    /// The copy has the pod's startup probes.
    #[arg(long)]
    keep_startup: bool,
    /// The copy has the pod's init containers.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true")]
    keep_init_containers: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').ok_or_else(|| format!("{text} must be formatted as key=value"))?;
    Ok((pair.0.to_owned(), pair.1.to_owned()))
}

impl Flags {
    /// What is wrong with these flags, in kubectl's words.
    pub(super) fn check(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let Arguments { image, words, container, target, .. } = arguments;
        if self.copy_to.is_none() {
            for (is_given, flag) in [
                (self.replace, "--replace"),
                (self.same_node, "--same-node"),
                (!self.set_image.is_empty(), "--set-image"),
            ] {
                anyhow::ensure!(!is_given, "{flag} may only be used with --copy-to.");
            }
            anyhow::ensure!(image.is_some(), "you must specify --image when not using --copy-to.");
            return Ok(());
        }
        anyhow::ensure!(
            image.is_some() || !self.set_image.is_empty() || !words.is_empty(),
            "you must specify --image, --set-image or command arguments."
        );
        anyhow::ensure!(
            words.is_empty() || container.is_some() || image.is_some(),
            "you must specify an existing container or a new image when specifying args."
        );
        anyhow::ensure!(
            target.is_none(),
            "--target is incompatible with --copy-to. Use --share-processes instead."
        );
        Ok(())
    }
}

/// Makes the copy, and with `--replace` deletes the original. Returns the container to look at, unless only images are others.
pub(super) async fn create(
    client: &Client,
    pods: &Type,
    arguments: &Arguments,
    original: &Value,
) -> anyhow::Result<Option<String>> {
    let (copy, container) = copy(arguments, original)?;
    arguments.warn(&copy, container.as_deref());
    let namespace = original["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut query = Query::default();
    query.add("fieldManager", "kubectl-debug");
    let path = query.below(&pods.path(Some(namespace)));
    ask(client, Method::POST, &path, JSON, Some(&copy)).await.map_err(told)?;
    if arguments.copy.replace {
        let path = pods.object_path(namespace, pod::name(original));
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        ask(client, Method::DELETE, &path, JSON, Some(&options)).await.map_err(told)?;
    }
    Ok(container)
}

fn copy(arguments: &Arguments, original: &Value) -> anyhow::Result<(Value, Option<String>)> {
    let (flags, profile) = (&arguments.copy, arguments.profile);
    let mut spec = original["spec"].as_object().cloned().unwrap_or_default();
    spec.shift_remove("ephemeralContainers");
    if let Some(share) = flags.share_processes {
        spec.insert("shareProcessNamespace".to_owned(), share.into());
    }
    if !flags.same_node {
        spec.shift_remove("nodeName");
    }
    set_images(&mut spec, &flags.set_image);
    let existing = arguments.container.as_ref().filter(|name| place(&spec, name).is_some());
    let only_images = existing.is_none() && arguments.image.is_none() && !flags.set_image.is_empty();
    // Legacy copies annotations and probes, and never labels. Where nothing but images is other, no profile is asked.
    let is_legacy = profile == Profile::Legacy;
    let mut metadata = json!({"name": flags.copy_to, "namespace": original["metadata"]["namespace"]});
    for (field, is_kept) in [
        ("labels", only_images || flags.keep_labels && !is_legacy),
        ("annotations", only_images || flags.keep_annotations || is_legacy),
    ] {
        if is_kept && let Some(kept) = original["metadata"].get(field) {
            metadata[field] = kept.clone();
        }
    }
    let mut made = json!({"apiVersion": "v1", "kind": "Pod", "metadata": &metadata});
    if only_images {
        made["spec"] = spec.into();
        return Ok((made, None));
    }
    let name = match existing {
        Some(name) => name.clone(),
        None => {
            anyhow::ensure!(arguments.image.is_some(), "you must specify image when creating new container");
            arguments.name()?
        }
    };
    if !is_legacy {
        simplify(&mut spec, flags);
    }
    if existing.is_none()
        && let Some(containers) = spec.get_mut("containers").and_then(Value::as_array_mut)
    {
        containers.push(json!({"name": name, "resources": {}, "terminationMessagePolicy": "File"}));
    }
    let (field, index) = place(&spec, &name).ok_or_else(|| {
        anyhow::anyhow!("unable to find the {name} container in the pod {}", metadata["name"])
    })?;
    let container = &mut spec[field][index];
    arguments.change(container)?;
    profile.secure(container, false);
    arguments.customize(container)?;
    made["spec"] = spec.into();
    Ok((made, Some(name)))
}

/// The list that has a container of this name, and where in it.
fn place(spec: &Map<String, Value>, name: &str) -> Option<(&'static str, usize)> {
    ["containers", "initContainers"].into_iter().find_map(|field| {
        let mut all = spec.get(field)?.as_array()?.iter();
        all.position(|container| container["name"] == name).map(|index| (field, index))
    })
}

/// `--set-image`.
fn set_images(spec: &mut Map<String, Value>, images: &[(String, String)]) {
    let image = |wanted: &str| images.iter().rev().find(|(name, _)| name == wanted).map(|(_, image)| image);
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        let name = container["name"].as_str().unwrap_or_default();
        if let Some(image) = image(name).or_else(|| image("*")).filter(|image| !image.is_empty()) {
            container["image"] = image.as_str().into();
        }
    }
}

/// Takes away what would get into the way of somebody who looks around, and lets the processes be seen.
fn simplify(spec: &mut Map<String, Value>, flags: &Flags) {
    for container in spec.get_mut("containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for (field, is_kept) in [
            ("livenessProbe", flags.keep_liveness),
            ("readinessProbe", flags.keep_readiness),
            ("startupProbe", flags.keep_startup),
        ] {
            if !is_kept && let Some(fields) = container.as_object_mut() {
                fields.shift_remove(field);
            }
        }
    }
    if !flags.keep_init_containers {
        spec.shift_remove("initContainers");
    }
    spec.entry("shareProcessNamespace").or_insert_with(|| true.into());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::client::fake::{parsed, server};
    use crate::cli::debug::run;

    fn original() -> Value {
        json!({
            "metadata": {"name": "web", "namespace": "n", "labels": {"app": "web"}, "annotations": {"note": "1"},
                "uid": "u", "resourceVersion": "7"},
            "spec": {
                "nodeName": "vm", "restartPolicy": "Never",
                "containers": [
                    {"name": "a", "image": "one", "command": ["serve"], "args": ["x"], "readinessProbe": {"exec": {}}},
                    {"name": "b", "image": "two", "livenessProbe": {"exec": {}}},
                ],
                "initContainers": [{"name": "i", "image": "three"}],
                "ephemeralContainers": [{"name": "old", "image": "four"}],
            },
            "status": {"phase": "Running"},
        })
    }

    fn copied(line: &str) -> (Value, Option<String>) {
        let line = format!("debug web --quiet {line}");
        copy(&parsed::<Arguments>(line.split(' ')).unwrap(), &original()).unwrap()
    }

    #[test]
    fn a_copy_has_a_container_more_and_nothing_that_is_the_pods_own() {
        let (pod, name) =
            copied("--copy-to=c --image=busybox -c look --profile=general --env=A=b -i -- sh -c ls");
        assert_eq!(name.as_deref(), Some("look"));
        assert_eq!(pod["metadata"], json!({"name": "c", "namespace": "n"}));
        assert_eq!(
            pod["spec"],
            json!({
                "restartPolicy": "Never",
                "shareProcessNamespace": true,
                "containers": [
                    {"name": "a", "image": "one", "command": ["serve"], "args": ["x"]},
                    {"name": "b", "image": "two"},
                    {"name": "look", "image": "busybox", "command": ["sh", "-c", "ls"], "stdin": true, "resources": {},
                        "env": [{"name": "A", "value": "b"}], "terminationMessagePolicy": "File",
                        "securityContext": {"capabilities": {"add": ["SYS_PTRACE"]}}},
                ],
                "initContainers": [{"name": "i", "image": "three"}],
            })
        );
    }

    #[test]
    fn what_is_kept_is_said_by_flags_and_by_the_profile() {
        let general = "--copy-to=c --image=i --profile=general";
        for (line, pointer, expected) in [
            ("--keep-labels", "/metadata/labels", json!({"app": "web"})),
            ("--keep-annotations", "/metadata/annotations", json!({"note": "1"})),
            ("--keep-readiness", "/spec/containers/0/readinessProbe", json!({"exec": {}})),
            ("--keep-liveness", "/spec/containers/1/livenessProbe", json!({"exec": {}})),
            ("--keep-liveness", "/spec/containers/0/readinessProbe", Value::Null),
            ("--keep-init-containers=false", "/spec/initContainers", Value::Null),
            ("--same-node", "/spec/nodeName", json!("vm")),
            ("--share-processes=false", "/spec/shareProcessNamespace", json!(false)),
        ] {
            let (pod, _) = copied(&format!("{general} {line}"));
            assert_eq!(pod.pointer(pointer).cloned().unwrap_or_default(), expected, "{line}: {pod}");
        }
        let (pod, _) = copied("--copy-to=c --image=i --keep-labels --profile=legacy");
        assert_eq!(pod["metadata"], json!({"name": "c", "namespace": "n", "annotations": {"note": "1"}}));
        assert_eq!(pod["spec"]["shareProcessNamespace"], Value::Null);
        assert_eq!(pod["spec"]["containers"][1]["livenessProbe"], json!({"exec": {}}));
    }

    #[test]
    fn a_container_that_is_there_is_changed() {
        let (pod, name) = copied("--copy-to=c -c a --profile=general -- sleep 1");
        assert_eq!(name.as_deref(), Some("a"));
        let changed = &pod["spec"]["containers"][0];
        assert_eq!(
            (&changed["command"], &changed["args"], &changed["image"]),
            (&json!(["sleep", "1"]), &Value::Null, &json!("one"))
        );
        let (pod, _) = copied("--copy-to=c -c a --arguments-only -- y");
        let changed = &pod["spec"]["containers"][0];
        assert_eq!((&changed["command"], &changed["args"]), (&json!(["serve"]), &json!(["y"])));
    }

    #[test]
    fn images_alone_are_set_by_name_or_all_at_once() {
        for (images, expected) in
            [("a=1", ["1", "two"]), ("*=3", ["3", "3"]), ("*=3,b=4", ["3", "4"]), ("none=5", ["one", "two"])]
        {
            let (pod, name) = copied(&format!("--copy-to=c --set-image={images}"));
            let found = [0, 1].map(|index| pod["spec"]["containers"][index]["image"].clone());
            assert_eq!((found, name), (expected.map(Value::from), None), "{images}");
            // kubectl changes nothing else then, whatever the profile.
            assert_eq!(pod["spec"]["containers"][0]["readinessProbe"], json!({"exec": {}}));
        }
    }

    #[tokio::test]
    async fn the_original_goes_at_once_when_it_is_replaced() {
        let (client, requests) = server(|_| (200, original()));
        let line = "debug web -n n --copy-to=c --set-image=a=1 --replace --quiet";
        run(&client, &parsed::<Arguments>(line.split(' ')).unwrap()).await.unwrap();
        let all = requests.all();
        let lines: Vec<&str> = all.iter().map(|asked| asked.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "GET /api/v1/namespaces/n/pods/web",
                "POST /api/v1/namespaces/n/pods?fieldManager=kubectl-debug",
                "DELETE /api/v1/namespaces/n/pods/web",
            ]
        );
        assert_eq!(all[2].body["gracePeriodSeconds"], 0);
    }
}

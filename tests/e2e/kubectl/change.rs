//! label, annotate, patch, edit, apply, diff, replace, set.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::said::Said;
use super::{Session, each};
use crate::world::until;

#[test]
fn labels_and_annotations_are_added_changed_and_taken_away() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let label = |name: &str| {
            session.kubectl(&format!("get pod web -o jsonpath={{.metadata.labels.{name}}}")).fine()
        };
        assert_eq!(session.kubectl("label pod web tier=front").fine(), "pod/web labeled\n");
        assert_eq!(label("tier"), "front");
        let refused = session.kubectl("label pod web tier=back").refused();
        assert_eq!(refused, "error: 'tier' already has a value (front), and --overwrite is false\n");
        session.kubectl("label pod web tier=back --overwrite").fine();
        assert_eq!(label("tier"), "back");
        let gone = if session.client.is_newer() { "pod/web unlabeled\n" } else { "pod/web labeled\n" };
        assert_eq!(session.kubectl("label pod web tier-").fine(), gone);
        assert_eq!(label("tier"), "");
        let refused = session.kubectl("label pod web tier=not/good").refused();
        assert!(refused.contains("a valid label must be an empty string or consist of"), "{refused}");
        assert_eq!(session.kubectl("annotate pods --all note=read").fine(), "pod/web annotated\n");
        let notes = "get pod web -o jsonpath={.metadata.annotations.note}";
        assert_eq!(session.kubectl(notes).fine(), "read");
        assert_eq!(session.world.ledger().starts("web"), 1, "nothing is restarted for it");
    });
}

#[test]
fn a_patch_is_a_strategic_one_a_merge_or_a_list_of_operations() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]).label("app", "web"));
        let patch = |kind: &str, patch: &str| {
            session.kubectl_of(&["patch", "pod", "web", "--type", kind, "-p", patch])
        };
        let by = |name: &str| json!({"metadata": {"labels": {name: "1"}}}).to_string();
        assert_eq!(patch("strategic", &by("strategic")).fine(), "pod/web patched\n");
        assert_eq!(patch("merge", &by("merge")).fine(), "pod/web patched\n");
        let add = json!([{"op": "add", "path": "/metadata/labels/json", "value": "1"}]).to_string();
        assert_eq!(patch("json", &add).fine(), "pod/web patched\n");
        assert_eq!(patch("merge", &by("merge")).fine(), "pod/web patched (no change)\n");
        let labels = &session.object("pod web")["metadata"]["labels"];
        assert_eq!(labels, &json!({"app": "web", "strategic": "1", "merge": "1", "json": "1"}));

        let test = json!([{"op": "test", "path": "/metadata/labels/json", "value": "2"}]).to_string();
        assert!(patch("json", &test).refused().starts_with("The request is invalid: "));
        let policy = json!({"spec": {"restartPolicy": "Never"}}).to_string();
        let refused = patch("strategic", &policy).refused();
        let told =
            "The Pod \"web\" is invalid: spec: Forbidden: pod updates may not change fields other than";
        assert!(refused.starts_with(told), "{refused}");
        let refused = patch("merge", "{\"metadata\": 1").refused();
        assert!(refused.starts_with("Error from server (BadRequest): "), "{refused}");
    });
}

#[test]
fn another_image_restarts_its_container_alone() {
    each(|session| {
        let containers =
            [session.container("a", &["term=0", "wait"]), session.container("b", &["term=0", "wait"])];
        session.run_pod(&session.world.pod("web", containers));
        let (ip, uid) = (session.ip("web"), session.object("pod web")["metadata"]["uid"].clone());
        // The same files by another name.
        let set = format!("set image pod/web a=dir:{}/", session.path("image").display());
        assert_eq!(session.kubectl(&set).fine(), "pod/web image updated\n");
        until("the restart", || (session.world.ledger().starts("a") == 2).then_some(()));
        assert_eq!(session.world.ledger().starts("b"), 1);
        assert_eq!((session.ip("web"), session.object("pod web")["metadata"]["uid"].clone()), (ip, uid));
    });
}

/// `kubectl edit` with an editor that runs this of sed(1).
fn edit(session: &Session<'_>, script: &str) -> Said {
    let seen = session.path("seen");
    let text = format!("#!/bin/sh\nsed -i '{script}' \"$1\"\ncp \"$1\" {}\n", seen.display());
    let editor = session.world.write("editor", &text);
    fs::set_permissions(&editor, Permissions::from_mode(0o755)).unwrap();
    let mut command = session.command(&["edit", "pod", "web"]);
    Said::of(command.env("KUBE_EDITOR", editor).output().unwrap())
}

#[test]
fn a_pod_is_edited_and_what_is_wrong_is_shown_in_the_editor() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]).label("app", "web"));
        assert_eq!(edit(session, "s/app: web/app: edited/").fine(), "pod/web edited\n");
        assert_eq!(session.object("pod web")["metadata"]["labels"]["app"], "edited");
        let said = edit(session, "s/nothing/else/");
        assert_eq!(format!("{}{}", said.out, said.err), "Edit cancelled, no changes made.\n");
        let refused = edit(session, "s/restartPolicy: Always/restartPolicy: Never/").refused();
        assert!(refused.starts_with("error: pods \"web\" is invalid\n"), "{refused}");
        let seen = fs::read_to_string(session.path("seen")).unwrap();
        assert!(seen.contains("# pods \"web\" was not valid:\n# * spec: Forbidden: pod updates"), "{seen}");
        assert_eq!(session.world.ledger().starts("web"), 1);
    });
}

#[test]
fn apply_creates_leaves_and_changes_what_a_manifest_says() {
    each(|session| {
        let pod = session.pod("web", &["term=0", "wait"]);
        let apply = |pod: &crate::world::Pod| session.kubectl_with(&["apply", "-f", "-"], &pod.to_json());
        let of_app = |value: &str| pod.clone().label("app", value).annotation("note", "kept");
        assert_eq!(apply(&of_app("one")).fine(), "pod/web created\n");
        assert_eq!(apply(&of_app("one")).fine(), "pod/web unchanged\n");
        assert_eq!(apply(&of_app("two")).fine(), "pod/web configured\n");
        session.kubectl("label pod web other=mine").fine();
        // What the last manifest had and this one has not goes; what others have added stays.
        assert_eq!(apply(&pod.clone().label("app", "three")).fine(), "pod/web configured\n");
        let metadata = session.object("pod web")["metadata"].clone();
        assert_eq!(metadata["labels"], json!({"app": "three", "other": "mine"}));
        assert_eq!(metadata["annotations"]["note"], json!(null));
        let refused = apply(&pod.clone().restart_policy("Never")).refused();
        assert!(refused.contains("The Pod \"web\" is invalid: spec: Forbidden: pod updates"), "{refused}");
        assert_eq!(session.world.ledger().starts("web"), 1);
    });
}

#[test]
fn a_difference_is_shown_and_changes_nothing() {
    each(|session| {
        let pod = session.pod("web", &["term=0", "wait"]);
        let diff = |pod: &crate::world::Pod| session.kubectl_with(&["diff", "-f", "-"], &pod.to_json());
        let apply = session.kubectl_with(&["apply", "-f", "-"], &pod.clone().label("app", "one").to_json());
        apply.fine();
        let same = diff(&pod.clone().label("app", "one"));
        assert_eq!((same.code, &*same.out), (0, ""), "{}", same.err);
        let changed = diff(&pod.clone().label("app", "two"));
        assert_eq!(changed.code, 1, "{}", changed.err);
        assert!(changed.out.contains("\n-    app: one\n+    app: two\n"), "{}", changed.out);
        assert_eq!(session.object("pod web")["metadata"]["labels"]["app"], "one");
    });
}

#[test]
fn whoever_replaces_what_others_have_changed_meanwhile_is_told_of_the_conflict() {
    each(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let mut stale = session.object("pod web");
        session.kubectl("label pod web first=1").fine();
        stale["metadata"]["labels"] = json!({"second": "1"});
        let refused = session.kubectl_with(&["replace", "-f", "-"], &stale.to_string()).refused();
        let told = "(Conflict): error when replacing \"STDIN\": Operation cannot be fulfilled on pods \"web\": the object has been \
                    modified; please apply your changes to the latest version and try again";
        assert!(refused.contains(told), "{refused}");
        let mut fresh = session.object("pod web");
        fresh["metadata"]["labels"]["second"] = json!("1");
        let replaced = session.kubectl_with(&["replace", "-f", "-"], &fresh.to_string()).fine();
        assert_eq!(replaced, "pod/web replaced\n");
        assert_eq!(session.object("pod web")["metadata"]["labels"], json!({"first": "1", "second": "1"}));
    });
}

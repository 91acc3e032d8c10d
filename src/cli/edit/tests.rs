//! Edits by scripts in the place of an editor.

use super::*;
use crate::cli::client::fake::{Requests, not_found, parsed, server};

fn pod() -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "u", "labels": {"a": "1", "b": "2"}, "managedFields": []},
        "spec": {"containers": [{"name": "c", "image": "one"}]}
    })
}

/// Edits a pod with each of these commands in turn, as long as it is reopened; what the server answers to patches comes last.
async fn edit_with(commands: &[&str], patched: (u16, Value)) -> (anyhow::Result<ExitCode>, Requests) {
    let (client, requests) = server(move |asked| match asked.line.starts_with("PATCH") {
        true => patched.clone(),
        false => (200, pod()),
    });
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("editor");
    // The first line is taken off the script's list of commands at each run.
    let list = directory.path().join("list");
    std::fs::write(&list, commands.join("\n") + "\n").unwrap();
    let list = list.display();
    std::fs::write(&script, format!("head -n 1 {list} >{list}.now; sed -i 1d {list}; . {list}.now")).unwrap();
    let editor =
        Editor { line: format!("/bin/sh {}", script.display()), directory: directory.path().to_owned() };
    let arguments = parsed(["edit", "pod", "web"]).unwrap();
    let ended = edit(&client, &arguments, &editor).await;
    assert_eq!(std::fs::read_to_string(format!("{list}")).unwrap(), "", "every command was run");
    (ended, requests)
}

fn patches(requests: &Requests) -> Vec<Value> {
    let patches = requests.all().into_iter().filter(|asked| asked.line.starts_with("PATCH"));
    patches.map(|asked| asked.body).collect()
}

#[tokio::test]
async fn what_was_changed_is_the_patch() {
    let (ended, requests) =
        edit_with(&["sed -i 's/image: one/image: two/; /b: \"2\"/d' \"$1\""], (200, pod())).await;
    ended.unwrap();
    let expected =
        json!({"metadata": {"labels": {"b": null}}, "spec": {"containers": [{"name": "c", "image": "two"}]}});
    let patches = patches(&requests);
    assert_eq!(patches.len(), 1);
    assert_eq!(patches[0]["metadata"], expected["metadata"]);
    assert_eq!(patches[0]["spec"]["containers"], expected["spec"]["containers"]);
}

#[tokio::test]
async fn what_was_not_changed_is_not_sent() {
    for command in ["true", "sed -i '1i # a comment' \"$1\"", "> \"$1\""] {
        let (ended, requests) = edit_with(&[command], (500, json!({}))).await;
        ended.unwrap();
        assert_eq!(patches(&requests), [Value::Null; 0], "{command}");
    }
}

#[tokio::test]
async fn what_is_not_valid_is_edited_again_until_nothing_is_changed_any_more() {
    let refused = json!({"reason": "Invalid", "code": 422, "message": "m", "details": {"causes": [
        {"reason": "FieldValueInvalid", "message": "Invalid value", "field": "spec.x"}
    ]}});
    let change = "sed -i 's/image: one/image: two/' \"$1\"";
    let checked = "grep -q '^# \\* spec.x: Invalid value$' \"$1\" && grep -q 'image: two' \"$1\"";
    let (ended, requests) = edit_with(&[change, checked], (422, refused)).await;
    assert_eq!(ended.unwrap_err().to_string(), "Edit cancelled, no valid changes were saved.");
    assert_eq!(patches(&requests).len(), 1);

    let broken = "echo 'a: [' >>\"$1\"";
    let mended =
        "grep -q '^# The edited file had a syntax error: ' \"$1\" && sed -i '/^a: /d; s/one/two/' \"$1\"";
    let (ended, requests) = edit_with(&[broken, mended], (200, pod())).await;
    ended.unwrap();
    assert_eq!(patches(&requests).len(), 1);
}

#[tokio::test]
async fn an_edit_that_cannot_be_saved_ends_with_an_error() {
    let change = "sed -i 's/image: one/image: two/' \"$1\"";
    let conflict = json!({"reason": "Conflict", "code": 409, "message": "the object has been modified"});
    for (command, answer, error) in [
        (change, not_found("web"), "exit status 1"),
        (change, (409, conflict), "exit status 1"),
        (
            "sed -i 's/name: web/name: db/' \"$1\"",
            (200, pod()),
            "At least one of apiVersion, kind and name was changed",
        ),
        (
            "sed -i 's/uid: u/uid: v/' \"$1\"",
            (200, pod()),
            "no original object found for \"web\" with the uid \"v\"",
        ),
        ("exit 3", (200, pod()), "there was a problem with the editor"),
    ] {
        let (ended, _) = edit_with(&[command], answer).await;
        let told = ended.unwrap_err().to_string();
        assert!(told.starts_with(error), "{command}: {told}");
    }
}

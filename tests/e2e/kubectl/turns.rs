//! What changes things, done by kubectl and by mkubelet in turn: to the same, with the same words, and it comes to the same.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::said::Said;
use super::{Session, each_newer};

/// Runs a line with both, kubectl first, each after `prepare`. In the words, `{who}` is whose turn it is; in what is told it is that again, and the names
/// of temporary files are all the same.
fn in_turn(
    session: &Session<'_>,
    line: &[&str],
    editor: &str,
    prepare: impl Fn(),
) -> [(i32, String, String); 2] {
    ["kubectl", "mkubelet"].map(|who| {
        prepare();
        let words: Vec<String> = line.iter().map(|word| word.replace("{who}", who)).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = match who {
            "kubectl" => session.command(&words),
            _ => {
                let mut command: Command = session.world.mkubelet();
                command.args(&words);
                command
            }
        };
        command.env("EDITOR", editor).env("WHO", who).env("TMPDIR", session.path("tmp")).stdin(Stdio::null());
        let Said { code, out, err } = Said::of(command.output().unwrap());
        (code, plain(&out), plain(&err))
    })
}

/// A text without what differs by nature: names of temporary files, who an object is and since when, and what tar says of slashes, for which
/// kubectl does not always wait.
fn plain(text: &str) -> String {
    let word = |word: &str| match word.split_once("-edit-") {
        Some((before, _)) => {
            format!("{}-edit-FILE", before.rsplit_once('/').map_or(before, |(start, _)| start))
        }
        None => word.replace("kubectl", "{who}").replace("mkubelet", "{who}"),
    };
    let is_own = |line: &&str| {
        let line = line.trim_start().trim_start_matches('"');
        ["uid", "resourceVersion", "creationTimestamp", "tar: "].iter().any(|start| line.starts_with(start))
    };
    let line = |line: &str| line.split(' ').map(word).collect::<Vec<_>>().join(" ") + "\n";
    text.lines().filter(|line| !is_own(line)).map(line).collect()
}

#[test]
fn an_editor_changes_objects_alike() {
    each_newer(|session| {
        let original = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"a": "original"}});
        let reset = || {
            session.kubectl_with(&["replace", "--force", "-f", "-"], &original.to_string()).done();
        };
        session.kubectl_with(&["create", "-f", "-"], &original.to_string()).fine();
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        let script = |name: &str, text: &str| {
            let path = session.world.write(name, &format!("#!/bin/sh\n{text}\n"));
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let shown = session.path("shown");
        // What the editor is shown is kept, by whose it was.
        let keep = script("keep", &format!("cat \"$1\" >>{}-$WHO", shown.display()));
        let once = format!(
            "test -e {0}-$WHO || sed -i s/name:.web/name:\\ web2/ \"$1\"; touch {0}-$WHO",
            session.path("once").display()
        );
        let mut differences = Vec::new();
        for (editor, line) in [
            ("sed -i s/original/other/", "edit cm settings"),
            ("sed -i s/original/other/", "edit configmap/settings --output-patch"),
            ("sed -i s/original/third/", "edit cm settings -o json"),
            ("true", "edit cm settings"),
            ("sed -i s/kind:.ConfigMap/kind:\\ Secret/", "edit cm settings"),
            (keep.as_str(), "edit cm settings"),
            (keep.as_str(), "edit pod web"),
            (keep.as_str(), "edit nodes"),
            (script("rename", &once).as_str(), "edit pod web"),
            ("true", "edit cm nobody"),
            ("true", "edit pods --subresource=status"),
            ("true", "edit pod web --subresource=nothing"),
            ("sed -i s/restartCount:.0/restartCount:\\ 0/", "edit pod web --subresource=status"),
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let [theirs, ours] = in_turn(session, &words, editor, reset);
            if ours != theirs {
                differences.push(format!("{editor}: {line}\n  mkubelet: {ours:?}\n  kubectl:  {theirs:?}"));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let [theirs, ours] = ["kubectl", "mkubelet"]
            .map(|who| plain(&fs::read_to_string(session.path(&format!("shown-{who}"))).unwrap()));
        assert_eq!(ours, theirs);
    });
}

/// The files below a directory with what is in them, and links with where they lead, in order.
fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_symlink() {
                let target = fs::read_link(&path).unwrap();
                found.push((name, target.into_os_string().into_encoded_bytes()));
            } else if path.is_dir() {
                found.push((format!("{name}/"), Vec::new()));
                left.push(path);
            } else {
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn files_go_in_and_out_alike() {
    each_newer(|session| {
        session.run_pod(&session.pod("web", &["term=0", "wait"]));
        for who in ["kubectl", "mkubelet"] {
            let directory = session.path(who);
            fs::create_dir_all(directory.join("tree/below/empty")).unwrap();
            fs::write(directory.join("tree/file"), "content\n").unwrap();
            fs::write(directory.join("tree/below/large"), vec![b'x'; 1 << 20]).unwrap();
            fs::write(directory.join("with space"), "words\n").unwrap();
            session.kubectl(&format!("exec web -- mkdir /tmp/{who}")).fine();
        }
        let mut differences = Vec::new();
        for line in [
            ["{dir}/tree", "web:/tmp/{who}/tree"],
            // Into what is there now.
            ["{dir}/tree", "web:/tmp/{who}/tree"],
            ["{dir}/with space", "web:/tmp/{who}"],
            ["{dir}/tree/file", "default/web:/tmp/{who}/renamed"],
            ["{dir}/nothing", "web:/tmp/{who}"],
            ["{dir}/tree", "nobody:/tmp"],
            ["web:/tmp/{who}/tree", "{dir}/back"],
            ["web:/tmp/{who}/renamed", "{dir}/renamed"],
            ["web:/tmp/{who}/with space", "{dir}/again"],
            ["web:/tmp/a", "web:/tmp/b"],
            ["{dir}/a", "{dir}/b"],
            ["web:", "{dir}/b"],
            ["a/b/c:d", "{dir}/b"],
        ] {
            let here = session.path("{who}");
            let line = line.map(|word| word.replace("{dir}", here.to_str().unwrap()));
            let [theirs, ours] = in_turn(session, &["cp", &line[0], &line[1]], "", || {});
            if ours != theirs {
                differences.push(format!("cp {line:?}\n  mkubelet: {ours:?}\n  kubectl:  {theirs:?}"));
            }
        }
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let inside = |who: &str| {
            session.kubectl(&format!("exec web -- find /tmp/{who} -type f")).fine().replace(who, "{who}")
        };
        assert_eq!(inside("mkubelet"), inside("kubectl"));
        assert!(tree(&session.path("mkubelet")) == tree(&session.path("kubectl")));
        assert!(tree(&session.path("mkubelet")).iter().any(|(name, _)| name == "back/tree/below/large"));
    });
}

#[test]
fn a_copy_of_a_pod_is_debugged_and_takes_its_place() {
    each_newer(|session| {
        session.world.build("busybox", "busybox");
        let sleeper = session.container("web", &[]).command(&["sleep", "1000"]);
        session.run_pod(&session.world.pod("web", [sleeper]).grace(1).label("app", "web"));
        let debug = |words: &[&str]| {
            Said::of(session.world.output(&[&["debug", "web", "--profile=general"], words].concat()))
        };
        let look = [
            "--copy-to=copy",
            "--image=busybox",
            "-c",
            "look",
            "--share-processes",
            "--attach",
            "--",
            "true",
        ];
        assert_eq!(debug(&look).done(), "");
        let copy = session.object("pod copy");
        let names: Vec<&Value> =
            copy["spec"]["containers"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["web", "look"]);
        assert_eq!(
            (&copy["metadata"]["labels"], &copy["spec"]["shareProcessNamespace"]),
            (&Value::Null, &json!(true))
        );
        assert_eq!(
            debug(&["--copy-to=copy", "--image=busybox"]).refused().lines().last(),
            Some("Error from server (AlreadyExists): pods \"copy\" already exists")
        );

        assert_eq!(debug(&["--copy-to=other", "--set-image=*=busybox", "--replace"]).done(), "");
        let refused = session.kubectl("get pod web").refused();
        assert_eq!(refused, "Error from server (NotFound): pods \"web\" not found\n");
        let other = session.object("pod other");
        assert_eq!(
            (&other["spec"]["containers"][0]["image"], &other["metadata"]["labels"]),
            (&json!("busybox"), &json!({"app": "web"}))
        );
    });
}

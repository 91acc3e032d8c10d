//! Archives of images, to and from the programs that others have: Debian's skopeo, and podman where there is one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::images::layout;
use crate::world::{World, world};

/// Says SKIPPED aloud where a program is missing, or fails under `CI=true` if it must be there.
fn has(program: &str, is_needed: bool) -> bool {
    let is_there = Path::new("/usr/bin").join(program).exists();
    if !is_there {
        assert!(!is_needed || std::env::var("CI").as_deref() != Ok("true"), "{program} is not installed");
        drop(writeln!(std::io::stderr(), "SKIPPED: {program} is not installed"));
    }
    is_there
}

fn succeeded(what: &str, output: &Output) -> String {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn skopeo(arguments: &[&str]) -> String {
    let output = Command::new("/usr/bin/skopeo").arg("--insecure-policy").args(arguments).output().unwrap();
    succeeded("skopeo", &output)
}

fn mkubelet(world: &World, arguments: &[&str]) -> String {
    succeeded(&arguments.join(" "), &world.output(&[&["image"], arguments].concat()))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Imports an image called `demo:1`, whose own command ends at once. Gives its id.
fn demo(world: &World) -> String {
    let layout = layout(world, "layout", &json!({"Entrypoint": ["/bin/ledger", "a"], "Cmd": ["exit=0"]}));
    world.import(&layout, "demo:1");
    id(world, "demo:1")
}

fn id(world: &World, name: &str) -> String {
    let told: Value = serde_json::from_str(&mkubelet(world, &["inspect", name])).unwrap();
    told[0]["Id"].as_str().unwrap().to_owned()
}

#[test]
fn what_skopeo_writes_is_loaded_and_runs() {
    world(|world| {
        if !has("skopeo", true) {
            return;
        }
        let layout = layout(world, "layout", &json!({"Entrypoint": ["/bin/ledger", "a"], "Cmd": ["exit=0"]}));
        let from = format!("oci:{}", layout.display());
        for (number, kind) in ["docker-archive", "oci-archive"].into_iter().enumerate() {
            let file = world.path(&format!("{kind}.tar"));
            let name = format!("example.org/app:{number}");
            skopeo(&["copy", "--quiet", &from, &format!("{kind}:{}:{name}", file.display())]);
            assert_eq!(mkubelet(world, &["load", text(&file)]), format!("Loaded image: {name}\n"));
            let container = world.container("a", &[]).image(&name).with("command", Value::Null);
            let container = container.with("imagePullPolicy", json!("Never"));
            let pod = world.pod(&format!("loaded{number}"), [container]).restart_policy("Never");
            world.run(&pod).wait().success();
        }
        assert_eq!(world.ledger().ends("a"), [Some(0), Some(0)]);
    });
}

#[test]
fn what_is_saved_is_read_by_skopeo_and_is_the_same_image() {
    world(|world| {
        if !has("skopeo", true) {
            return;
        }
        let id = demo(world);
        for format in ["docker-archive", "oci-archive", "oci-dir"] {
            let file = world.path(format);
            mkubelet(world, &["save", "demo:1", "--format", format, "-o", text(&file)]);
            let transport = format.replace("oci-dir", "oci");
            let from = format!("{transport}:{}:docker.io/library/demo:1", file.display());
            // Through skopeo into a layout, whose configuration has the image's digest.
            let copy = world.path(&format!("copy-{format}"));
            skopeo(&["copy", "--quiet", &from, &format!("oci:{}:x", copy.display())]);
            let document =
                |path: PathBuf| -> Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
            let blob = |value: &Value| {
                copy.join("blobs/sha256")
                    .join(value["digest"].as_str().unwrap().trim_start_matches("sha256:"))
            };
            let manifest = document(blob(&document(copy.join("index.json"))["manifests"][0]));
            assert_eq!(manifest["config"]["digest"], id.as_str(), "{format}");
        }
    });
}

#[test]
fn an_image_goes_through_a_pipe_from_one_node_to_another() {
    world(|world| {
        let id = demo(world);
        world.import(&world.path("image"), "second:1");
        let mut save = world.mkubelet();
        save.args(["image", "save", "demo:1", "second:1"]).stdout(Stdio::piped());
        let mut save = save.spawn().unwrap();
        let mut load = world.mkubelet();
        load.args(["image", "load", "--root-dir", text(&world.path("other"))]);
        let loaded = load.stdin(save.stdout.take().unwrap()).output().unwrap();
        assert!(save.wait().unwrap().success());
        let names = "Loaded image: docker.io/library/demo:1\nLoaded image: docker.io/library/second:1\n";
        let mut lines: Vec<_> = succeeded("load", &loaded).lines().map(str::to_owned).collect();
        lines.sort();
        assert_eq!(lines.join("\n") + "\n", names);
        let list = mkubelet(world, &["list", "-o", "json", "--root-dir", text(&world.path("other"))]);
        let list: Value = serde_json::from_str(&list).unwrap();
        assert_eq!((&list[0]["Id"], &list[0]["Pinned"]), (&json!(id), &json!(true)));
    });
}

#[test]
fn a_bad_archive_is_told_in_one_line_and_a_failed_save_leaves_no_file() {
    world(|world| {
        demo(world);
        let bad = world.write("bad.tar", "no archive");
        let failed = |arguments: &[&str]| {
            let output = world.output(&[&["image"], arguments].concat());
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!((output.status.code(), told.lines().count()), (Some(1), 1), "{told}");
            told
        };
        let told = failed(&["load", text(&bad)]);
        assert!(told.contains("bad.tar: not a tar archive of an image"), "{told}");
        let before = fs::read_dir(world.path(".")).unwrap().count();
        let told = failed(&["save", "none:1", "-o", text(&world.path("out.tar"))]);
        assert!(told.contains("\"none:1\" is not in the store"), "{told}");
        assert_eq!(fs::read_dir(world.path(".")).unwrap().count(), before);
        assert!(failed(&["inspect", "none:1"]).contains("is not in the store"));
        assert!(failed(&["save", "demo:1", "--format", "oci-dir"]).contains("give one with -o"));
    });
}

#[test]
fn images_that_no_pod_names_are_pruned_while_their_neighbours_run() {
    world(|world| {
        demo(world);
        world.import(&world.path("image"), "kept:1");
        let container = world.container("a", &["wait"]).image("kept:1");
        let run = world.run(&world.pod("keeps", [container]));
        run.expect_running("keeps", "a", 0);
        let dry = mkubelet(world, &["prune", "--all", "--dry-run"]);
        assert!(dry.starts_with("Would remove image: docker.io/library/demo:1 "), "{dry}");
        let told = mkubelet(world, &["prune", "--all"]);
        assert!(told.starts_with("Removed image: docker.io/library/demo:1 "), "{told}");
        assert!(told.lines().last().unwrap().starts_with("Total reclaimed space: "), "{told}");
        assert_eq!(mkubelet(world, &["list", "-o", "name"]), "docker.io/library/kept:1\n");
        run.stop();
    });
}

#[test]
fn podman_loads_what_is_saved() {
    world(|world| {
        if !has("podman", false) {
            return;
        }
        let id = demo(world);
        let storage = [world.path("podman"), world.path("podman-run")];
        let podman = |arguments: &[&str]| {
            let mut command = Command::new("/usr/bin/podman");
            command.args([
                "--root",
                text(&storage[0]),
                "--runroot",
                text(&storage[1]),
                "--storage-driver",
                "vfs",
            ]);
            succeeded("podman", &command.args(arguments).output().unwrap())
        };
        for format in ["docker-archive", "oci-archive"] {
            let file = world.path(format);
            mkubelet(world, &["save", "demo:1", "--format", format, "-o", text(&file)]);
            podman(&["load", "-i", text(&file)]);
            let found = podman(&["image", "inspect", "--format", "{{.Id}}", "docker.io/library/demo:1"]);
            assert_eq!(format!("sha256:{}", found.trim()), id, "{format}");
            podman(&["rmi", "docker.io/library/demo:1"]);
        }
    });
}

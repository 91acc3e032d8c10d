//! Images: by name from the store, or straight from a directory, a layout or an archive; and those that are not there.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::{World, world};

/// An OCI image layout of one uncompressed layer, which holds the ledger program, with this image configuration.
pub(crate) fn layout(world: &World, name: &str, config: &Value) -> PathBuf {
    let layout = world.path(name);
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| -> Value {
        let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&digest), bytes).unwrap();
        json!({"digest": format!("sha256:{digest}"), "size": bytes.len()})
    };
    let descriptor = |media_type: &str, mut blob: Value| -> Value {
        blob["mediaType"] = json!(format!("application/vnd.oci.image.{media_type}"));
        blob
    };

    let mut tar = tar::Builder::new(Vec::new());
    // As every builder of images: a file's holes are zeros.
    tar.sparse(false);
    tar.append_dir_all(".", world.path("image")).unwrap();
    let layer = descriptor("layer.v1.tar", put(&tar.into_inner().unwrap()));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let configuration = json!({
        "architecture": architecture,
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let configuration = descriptor("config.v1+json", put(configuration.to_string().as_bytes()));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": configuration,
        "layers": [layer],
    });
    let manifest = descriptor("manifest.v1+json", put(manifest.to_string().as_bytes()));
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [manifest]}).to_string())
        .unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    layout
}

/// The ledger program as an image's own command, with an environment and a working directory.
fn configured(name: &str) -> Value {
    json!({
        "Entrypoint": ["/bin/ledger", name],
        "Cmd": ["report"],
        "Env": ["COLOUR=blue", "SHAPE=round"],
        "WorkingDir": "/tmp",
    })
}

#[test]
fn an_imported_image_brings_its_command_environment_and_directory() {
    world(|world| {
        world.import(&layout(world, "layout", &configured("a")), "example.org/demo:2");
        let mut container =
            world.container("a", &[]).image("example.org/demo:2").with("imagePullPolicy", json!("Never"));
        container =
            container.with("command", Value::Null).with("env", json!([{"name": "SHAPE", "value": "square"}]));
        world.run(&world.pod("own", [container]).restart_policy("Never")).wait().success();
        let report = world.answer("a", "report").unwrap();
        assert_eq!(report["args"], json!(["/bin/ledger", "a", "report"]));
        assert_eq!(report["env"]["COLOUR"], "blue");
        assert_eq!(report["env"]["SHAPE"], "square", "the manifest wins over the image");
        assert_eq!(report["cwd"], "/tmp");
    });
}

#[test]
fn args_replace_cmd_and_command_replaces_both() {
    world(|world| {
        let image = format!("oci:{}", layout(world, "layout", &configured("a")).display());
        let args = world
            .container("a", &[])
            .image(&image)
            .with("command", Value::Null)
            .with("args", json!(["link=/x", "report"]));
        let command = world.container("b", &["report"]).image(&image);
        world.run(&world.pod("words", [args, command]).restart_policy("Never")).wait().success();
        assert_eq!(
            world.answer("a", "report").unwrap()["args"],
            json!(["/bin/ledger", "a", "link=/x", "report"])
        );
        assert_eq!(world.answer("b", "report").unwrap()["args"], json!(["/bin/ledger", "b", "report"]));
    });
}

#[test]
fn an_archive_of_a_layout_is_an_image() {
    world(|world| {
        let layout = layout(world, "layout", &configured("a"));
        let archive = world.path("layout.tar");
        let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
        tar.sparse(false);
        tar.append_dir_all(".", layout).unwrap();
        tar.finish().unwrap();
        let container = world.container("a", &["exit=0"]).image(&format!("archive:{}", archive.display()));
        world.run(&world.pod("archived", [container]).restart_policy("Never")).wait().success();
        assert_eq!(world.ledger().ends("a"), [Some(0)]);
    });
}

#[test]
fn images_are_listed_and_removed() {
    world(|world| {
        world.import(&world.path("image"), "first:1");
        world.import(&layout(world, "layout", &json!({})), "second");
        let list = || String::from_utf8(world.output(&["image", "list"]).stdout).unwrap();
        assert!(list().contains("first:1") || list().contains("docker.io/library/first"), "{}", list());
        assert!(list().contains("second"), "{}", list());
        assert!(world.output(&["image", "rm", "first:1"]).status.success());
        assert!(!list().contains("first"), "{}", list());
        let again = world.output(&["image", "rm", "first:1"]);
        assert_eq!(again.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&again.stderr).starts_with("mkubelet: "));
    });
}

#[test]
fn an_image_that_is_not_there_says_what_was_looked_for_and_where_and_harms_nobody() {
    world(|world| {
        let never = world.container("never", &[]).image("nosuch:1").with("imagePullPolicy", json!("Never"));
        let pull = world.container("pull", &[]).image("dir:/no/such/directory");
        let run = world.run(&world.pod("partly", [never, pull, world.container("fine", &["wait"])]));
        let line = run.expect_prefix("container default/partly/never: Waiting (ErrImageNeverPull): ");
        assert!(
            line.contains("Container image \"nosuch:1\" is not present with pull policy of Never"),
            "{line}"
        );
        let line = run.expect_prefix("container default/partly/pull: Waiting (ErrImagePull): ");
        assert!(line.contains("/no/such/directory"), "{line}");
        run.expect_running("partly", "fine", 0);
        run.stop();
        assert_eq!(world.ledger().starts("fine"), 1);
    });
}

#[test]
fn a_container_starts_when_its_image_has_been_imported_meanwhile() {
    world(|world| {
        let late = world.container("late", &["wait"]).image("late:1").with("imagePullPolicy", json!("Never"));
        let run = world.run(&world.pod("patient", [late]));
        run.expect_prefix("container default/patient/late: Waiting (ErrImageNeverPull): ");
        world.import(&world.path("image"), "late:1");
        run.expect_running("patient", "late", 0);
        run.stop();
    });
}

#[test]
fn a_command_that_does_not_exist_is_named() {
    world(|world| {
        let absent = world.container("absent", &[]).command(&["/bin/nosuch", "x"]);
        let lookup = world.container("lookup", &[]).command(&["nosuch"]);
        let forbidden = world.container("forbidden", &[]).command(&["/etc/passwd"]);
        let run =
            world.run(&world.pod("wrong", [absent, lookup, forbidden, world.container("fine", &["wait"])]));
        for (container, named) in
            [("absent", "/bin/nosuch"), ("lookup", "nosuch"), ("forbidden", "/etc/passwd")]
        {
            let line = run.expect_state("wrong", container, |state| state.contains(named));
            assert!(
                line.contains("No such file or directory")
                    || line.contains("ermission denied")
                    || line.contains("not found"),
                "{line}"
            );
        }
        run.expect_running("wrong", "fine", 0);
        run.stop();
    });
}

#[test]
fn an_image_is_never_changed_by_its_containers() {
    world(|world| {
        let steps = ["write=/etc/passwd", "write=/bin/new", "report"];
        world
            .run(&world.pod("writes", [world.container("a", &steps)]).restart_policy("Never"))
            .wait()
            .success();
        world.answer("a", "write=/etc/passwd").unwrap();
        assert!(!world.path("image/bin/new").exists());
        assert!(fs::read_to_string(world.path("image/etc/passwd")).unwrap().starts_with("root:"));
    });
}

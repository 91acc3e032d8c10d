//! appArmorProfile: what a container gets on a kernel that has AppArmor, and what everybody is told on one that has not.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::world::{Container, World, world};

/// Which profile whoever reads it is confined by.
const CURRENT: &str = "read=/proc/self/attr/apparmor/current";

fn is_enabled() -> bool {
    fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|enabled| enabled.trim() == "Y")
}

/// Runs a test that loads profiles. A kernel without AppArmor says SKIPPED; the machine of `make test-vm` has it, and its run
/// fails if it should come to lack it.
fn world_with_apparmor(test: impl FnOnce(&World)) {
    if is_enabled() {
        return world(test);
    }
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    drop(writeln!(std::io::stderr(), "SKIPPED {name}: this kernel has no AppArmor"));
}

/// A profile in the kernel, of a name that no other test has, for as long as this lives.
struct Loaded {
    name: String,
    file: PathBuf,
}

impl Loaded {
    /// Loads the text, in which `NAME` stands for the name.
    fn new(world: &World, text: &str) -> Self {
        let [_, _, number] = world.network();
        let name = format!("mkubelet-test-{number}");
        let file = world.path("profile");
        fs::write(&file, text.replace("NAME", &name)).unwrap();
        let loaded = Self { name, file };
        loaded.parser("--replace");
        loaded
    }

    fn parser(&self, what: &str) {
        let parser = Command::new("apparmor_parser").args([what, "--skip-cache"]).arg(&self.file).output();
        let output = parser.expect("apparmor_parser, of the package apparmor, runs");
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn current(&self) -> Value {
        json!(format!("{} (enforce)\n", self.name))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.parser("--remove");
    }
}

fn localhost(name: &str) -> Value {
    json!({"type": "Localhost", "localhostProfile": name})
}

fn confined(container: Container, profile: &Value) -> Container {
    container.security(json!({"appArmorProfile": profile}))
}

#[test]
fn a_profile_that_cannot_be_applied_is_refused_before_anything_starts() {
    world(|world| {
        let mut cases =
            vec![(localhost("mkubelet-test-none"), "profile \"mkubelet-test-none\" is not loaded")];
        if !is_enabled() {
            let why = "AppArmor is not enabled on the host";
            cases = vec![(localhost("k8s-web"), why), (json!({"type": "RuntimeDefault"}), why)];
        }
        for (profile, why) in cases {
            let pod = world.pod("refused", [confined(world.container("a", &[]), &profile)]);
            let transcript = world.run(&pod).wait().code(1).transcript();
            let field = "spec.containers[0].securityContext.appArmorProfile";
            let error = format!("pod default/refused: {field}: Cannot enforce AppArmor: {why}");
            assert!(transcript.contains(&error), "{transcript}");
        }
        assert_eq!(world.ledger().starts("a"), 0);
    });
}

#[test]
fn unconfined_runs_with_apparmor_and_without() {
    world(|world| {
        let unconfined = json!({"type": "Unconfined"});
        let container = confined(world.container("a", &[CURRENT]), &unconfined);
        world.run(&world.pod("free", [container]).restart_policy("Never")).wait().success();
        if is_enabled() {
            assert_eq!(world.answer("a", CURRENT).unwrap(), "unconfined\n");
        }
    });
}

#[test]
fn a_profile_confines_a_container_and_what_is_executed_in_it() {
    let cases = [
        (json!({}), true),
        (json!({"runAsUser": 1000, "allowPrivilegeEscalation": false}), true),
        (json!({"privileged": true}), true),
        (json!({}), false),
    ];
    for (mut security, host_users) in cases {
        world_with_apparmor(|world| {
            let profile = Loaded::new(
                world,
                "profile NAME flags=(attach_disconnected) {\n  \
                   file, network, capability, signal,\n  deny /tmp/denied w,\n}\n",
            );
            let steps = [CURRENT, "write=/tmp/denied", "write=/tmp/allowed"];
            security["appArmorProfile"] = localhost(&profile.name);
            let container = world
                .container("main", &[&steps[..], &["wait"]].concat())
                .mount("tmp", "/tmp")
                .security(security.clone());
            let pod = world.pod("confined", [container]).spec("hostUsers", json!(host_users));
            let pod = pod.volume(json!({"name": "tmp", "emptyDir": {}}));
            let run = world.run(&pod);
            run.expect("pod default/confined: Running");
            let command = [&["/bin/ledger", "exec"], &steps[..]].concat();
            assert_eq!(world.executor().run(&command, 1 << 10).unwrap().exit.code, 0);
            for process in ["main", "exec"] {
                let case = format!("{process} {security} hostUsers: {host_users}");
                assert_eq!(world.answer(process, CURRENT).unwrap(), profile.current(), "{case}");
                assert_eq!(world.answer(process, "write=/tmp/denied"), Err("EACCES".to_owned()), "{case}");
                assert_eq!(world.answer(process, "write=/tmp/allowed"), Ok(json!(null)), "{case}");
            }
            run.stop();
        });
    }
}

#[test]
fn a_profile_for_a_path_of_the_node_is_none_for_that_path_in_a_container() {
    world_with_apparmor(|world| {
        let profile = Loaded::new(world, "profile NAME /bin/NAME { file, network, }\n");
        let program = format!("/bin/{}", profile.name);
        let image = world.path("image");
        fs::copy(image.join("bin/ledger"), image.join(program.trim_start_matches('/'))).unwrap();
        let container = world.container("a", &[]).command(&[&program, "a", CURRENT]);
        let container = confined(container, &json!({"type": "Unconfined"}));
        world.run(&world.pod("elsewhere", [container]).restart_policy("Never")).wait().success();
        assert_eq!(world.answer("a", CURRENT).unwrap(), "unconfined\n");
    });
}

#[test]
fn the_default_profile_keeps_even_a_privileged_container_from_the_nodes_settings() {
    world_with_apparmor(|world| {
        let text = include_str!("../../apparmor/mkubelet-default");
        let profile = Loaded::new(world, &text.replace("mkubelet-default", "NAME"));
        let denied = ["write=/proc/sys/kernel/hostname", "mount-tmpfs=/tmp", "list=/sys/firmware/acpi"];
        let fine = ["write=/tmp/file", "write=/proc/self/comm", "read=/proc/sys/kernel/hostname"];
        let mut steps = [&[CURRENT][..], &denied, &fine].concat();
        steps.push("wait");
        let security = json!({"privileged": true, "appArmorProfile": localhost(&profile.name)});
        let run = world.run(&world.pod("default", [world.container("a", &steps).security(security)]));
        run.expect("pod default/default: Running");
        assert_eq!(world.answer("a", CURRENT).unwrap(), profile.current());
        for step in denied {
            assert_eq!(world.answer("a", step), Err("EACCES".to_owned()), "{step}");
        }
        for step in fine {
            world.answer("a", step).unwrap_or_else(|errno| panic!("{step}: {errno}"));
        }
        // Which takes a signal of the shim's.
        run.stop();
    });
}

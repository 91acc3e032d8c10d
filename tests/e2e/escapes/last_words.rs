//! A termination message that is to come from elsewhere: a file of the host, or no file at all. Known from agents that read
//! what a container has put in the place of a file (CWE-59).

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{attack, image};
use crate::world::Pod;

const FILE: &str = "/dev/termination-log";

#[test]
fn a_message_is_what_was_written_to_the_file_that_was_given() {
    attack(|world, canary| {
        let target = canary.file().to_str().unwrap().to_owned();
        let contexts = [
            ("plain", json!({})),
            ("admin", json!({"capabilities": {"add": ["SYS_ADMIN"]}})),
            ("privileged", json!({"privileged": true})),
        ];
        for host_users in [true, false] {
            let containers = contexts
                .clone()
                .map(|(name, context)| world.attacker(name, &["replace", FILE, &target]).security(context));
            let pod = Pod::new("replaced", containers).spec("hostUsers", json!(host_users));
            let run = world.run_with(&pod.restart_policy("Never"), &["--logs"]);
            let ended = run.wait().code(1);
            for (name, _) in &contexts {
                let line = format!("container default/replaced/{name}: Terminated (Error, exit code 1)");
                assert!(ended.stdout.contains(&line), "{line}\n{}", ended.transcript());
            }
            // That it is replaced inside is the right of who may unmount it, and shows that the test tries.
            let tried = |name: &str, is_link: bool| {
                let line = format!("a link is there: {is_link}");
                let prefix = format!("[default/replaced/{name}] ");
                ended.stdout.iter().any(|told| told.starts_with(&prefix) && told.ends_with(&line))
            };
            assert!(tried("plain", false) && tried("admin", host_users), "{}", ended.transcript());
        }
    });
}

#[test]
fn a_message_without_end_costs_no_more_than_a_short_one() {
    attack(|world, _| {
        let huge = world.attacker("huge", &["inflate", FILE, &(1_u64 << 40).to_string()]);
        let ended = world.run(&Pod::new("inflated", [huge]).restart_policy("Never")).wait().code(0);
        let prefix = "container default/inflated/huge: Terminated (Completed): \\u{0}";
        let line = ended.stdout.iter().find(|line| line.starts_with(prefix));
        let line = line.unwrap_or_else(|| panic!("no end\n{}", ended.transcript()));
        assert_eq!(line.matches("\\u{0}").count(), 4096);
    });
}

/// Where a message may be written is the container's own affair, as long as it is inside.
#[test]
fn the_place_of_a_message_is_inside_or_nowhere() {
    attack(|world, canary| {
        let out = canary.directory().to_str().unwrap().to_owned();
        let image = image(world, "links", |root| {
            symlink(canary.file(), root.join("file")).unwrap();
            symlink(&out, root.join("out")).unwrap();
            symlink("../../../../../..", root.join("up")).unwrap();
            symlink("/proc/self/root", root.join("magic")).unwrap();
        });
        // The path, and the error there must be; none when the file is inside.
        let cases = [
            ("why", None),
            ("/up/why", None),
            ("/bin/../../../why", None),
            ("/dev/null", None),
            // Inside there is nothing that it leads to.
            ("/file", Some("")),
            ("/out/why", Some("")),
            ("/magic/tmp/why", Some("")),
            ("/", Some("cannot mount a file over a directory")),
            ("/bin", Some("cannot mount a file over a directory")),
            ("/proc/self/attr/exec", Some("nothing may be mounted inside /proc")),
            ("/proc/sys/kernel/core_pattern", Some("nothing may be mounted inside /proc")),
            ("/sys/why", Some("")),
        ];
        let containers = cases.iter().enumerate().map(|(number, (path, _))| {
            let container = world.attacker(&format!("c{number}"), &["inside"]).image(&image);
            container.with("terminationMessagePath", json!(path))
        });
        let ended = world.run(&Pod::new("places", containers).restart_policy("Never")).wait();
        for (number, (path, error)) in cases.iter().enumerate() {
            let prefix = format!("container default/places/c{number}: Terminated (");
            let end = ended.stdout.iter().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default();
            let fine = match error {
                None => end == "Completed)",
                Some(text) => end.starts_with("StartError, ") && end.contains(text),
            };
            assert!(fine, "{path}: {end}\n{}", ended.transcript());
        }
    });
}

//! An image's word about its user: a number that wraps around, or a name that is root (CVE-2024-40635, CVE-2026-46680).
//!
//! The whole table is beside the code (src/container/user/tests.rs); here it goes through an image, an agent and a shim.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{attack, image};
use crate::images::layout;
use crate::world::{Container, Pod, World, patient};

/// Makes a hostile /etc/passwd.
type Make = fn(&Path);

fn container(world: &World, name: &str, user: &str) -> Container {
    let config = json!({"User": user, "Entrypoint": ["/bin/ledger", name, "report"]});
    let layout = layout(world, &format!("layout-{name}"), &config);
    world.container(name, &[]).with("command", Value::Null).image(&format!("oci:{}", layout.display()))
}

#[test]
fn no_user_of_an_image_becomes_root_unless_it_says_so() {
    attack(|world, _| {
        let passwd = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:7::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n";
        fs::write(world.path("image/etc/passwd"), passwd).unwrap();
        // By the image's word alone, or by the container's own list of users.
        let refusals = ["Waiting (CreateContainerConfigError): ", "Terminated (StartError, exit code 128): "];
        let is_refused = |state: &str| refusals.iter().any(|refusal| state.starts_with(refusal));
        // USER, runAsNonRoot, and the uid, or the beginning of the refusal.
        let cases: [(&str, bool, Result<&str, &str>); 17] = [
            ("0", false, Ok("0")),
            ("0", true, Err("container has runAsNonRoot and image will run as root")),
            ("00", true, Err("container has runAsNonRoot and image will run as root")),
            ("toor", true, Err("container has runAsNonRoot and image has non-numeric user (toor)")),
            ("1000", true, Ok("1000")),
            ("1000", false, Ok("1000")),
            ("01", true, Ok("1")),
            ("1:", false, Err("invalid user \"1:\"")),
            (":1", false, Err("invalid user \":1\"")),
            ("-1", false, Err("invalid user \"-1\"")),
            ("2147483648", false, Err("uid 2147483648 is not between 0 and 2147483647")),
            ("4294967296", false, Err("uid 4294967296 is not between 0 and 2147483647")),
            ("4294967296", true, Err("uid 4294967296 is not between 0 and 2147483647")),
            ("4294967295", false, Err("uid 4294967295 is not between 0 and 2147483647")),
            (" 1", false, Err("invalid user \" 1\"")),
            ("a:b", false, Err("user \"a\" is not in the container's /etc/passwd")),
            ("0x0", false, Err("invalid user \"0x0\"")),
        ];
        let containers = cases.iter().enumerate().map(|(number, (user, non_root, _))| {
            container(world, &format!("c{number}"), user).security(json!({"runAsNonRoot": non_root}))
        });
        let run = world.run(&world.pod("users", containers).restart_policy("Never"));
        for (number, (user, _, verdict)) in cases.iter().enumerate() {
            let name = format!("c{number}");
            match verdict {
                Ok(uid) => {
                    let report = world.answer(&name, "report").unwrap();
                    assert_eq!(report["status"]["Uid"], [*uid; 4].join(" "), "{user:?}");
                }
                Err(text) => {
                    let line = run.expect_state("users", &name, is_refused);
                    let wanted = text.replace('"', "\\\"");
                    assert!(line.contains(text) || line.contains(&wanted), "{user:?}: {line}");
                    assert_eq!(world.ledger().starts(&name), 0, "{user:?}");
                }
            }
        }
        run.stop();
    });
}

#[test]
fn a_hostile_list_of_users_is_refused_within_a_second_and_a_few_megabytes() {
    attack(|world, _| {
        let cases: [(&str, Make, &str); 5] = [
            (
                "sparse",
                |path| fs::File::create(path).unwrap().set_len(5 << 30).unwrap(),
                "is longer than 1 MiB",
            ),
            (
                "lines",
                |path| fs::write(path, "a:x:1:1\n".repeat(10_000_000)).unwrap(),
                "is longer than 1 MiB",
            ),
            (
                "fifo",
                |path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
                "is not a regular file",
            ),
            ("directory", |path| fs::create_dir(path).unwrap(), "is not a regular file"),
            ("loop", |path| symlink("passwd", path).unwrap(), "open the container's /etc/passwd"),
        ];
        for (name, make, reason) in cases {
            let image = image(world, name, |root| {
                fs::create_dir(root.join("etc")).unwrap();
                make(&root.join("etc/passwd"));
            });
            // In so little memory nobody reads a file of 80 MB into his own.
            let container = world.attacker("a", &["inside"]).image(&image);
            let container = container.with("resources", json!({"limits": {"memory": "32Mi"}}));
            let run = world.run(&Pod::new(name, [container]).restart_policy("Never"));
            run.expect_prefix(&format!("pod default/{name}: IP "));
            let began = Instant::now();
            let line = run.expect_state(name, "a", |state| state.starts_with("Terminated ("));
            assert!(line.contains("StartError") && line.contains(reason), "{line}");
            assert!(began.elapsed() < patient(Duration::from_secs(20)), "{name} took {:?}", began.elapsed());
            run.wait().code(128);
            fs::remove_dir_all(world.path(name)).unwrap();
        }
    });
}

//! A directory of manifests: what is put into it runs, what is changed changes, what is removed ends.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::Instant;

use serde_json::json;

use crate::world::{Pod, World, http_get, patient, until, world};

/// A pod that serves, and ends when it is told to.
fn web(world: &World, name: &str) -> Pod {
    world.pod(name, [world.container(name, &["serve=80", "term=0", "wait"])])
}

#[test]
fn a_pod_runs_while_its_manifest_is_there() {
    world(|world| {
        let agent = world.agent();
        world.manifests().put(&web(world, "web"));
        agent.expect_running("web", "web", 0);
        assert_eq!(http_get(agent.ip("web"), 80, "/").1, "web");
        world.manifests().remove("web.json");
        agent.expect("pod default/web: deleted");
        assert_eq!(world.ledger().ends("web"), [Some(0)], "it was told to end, and ended by itself");
        agent.stop();
    });
}

#[test]
fn a_finished_write_takes_effect_at_once() {
    world(|world| {
        let agent = world.agent();
        world.manifests().put(&web(world, "first"));
        agent.expect_running("first", "first", 0);
        let mut fastest = std::time::Duration::MAX;
        for round in 0..5 {
            let pod =
                world.pod(&format!("p{round}"), [world.container(&format!("c{round}"), &["term=0", "wait"])]);
            let written = Instant::now();
            world.manifests().put(&pod);
            until("a run directory", || (world.pod_uids().len() > round + 1).then_some(()));
            fastest = fastest.min(written.elapsed());
        }
        // 50 ms are promised, and measured elsewhere; a second is what looking again and again would take.
        assert!(fastest < patient(std::time::Duration::from_secs(1)), "{fastest:?}");
        agent.clear(world);
    });
}

#[test]
fn another_image_restarts_one_container_and_another_command_replaces_the_pod() {
    world(|world| {
        let agent = world.agent();
        let other = world.path("image2");
        let copied = std::process::Command::new("cp").arg("-a").arg(world.path("image")).arg(&other).status();
        assert!(copied.unwrap().success());
        let pod = |image: &str, step: &str| {
            let a = world.container("a", &["term=0", step, "wait"]).image(image);
            world.pod("changes", [a, world.container("b", &["term=0", "wait"])])
        };
        world.manifests().put(&pod(&world.image(), "print=one"));
        agent.expect_running("changes", "a", 0);
        agent.expect_running("changes", "b", 0);
        let uids = world.pod_uids();
        world.manifests().put(&pod(&format!("dir:{}", other.display()), "print=one"));
        agent.expect_running("changes", "a", 1);
        assert_eq!((world.ledger().starts("b"), world.pod_uids()), (1, uids.clone()));

        world.manifests().put(&pod(&world.image(), "print=two"));
        agent.expect("pod default/changes: deleted");
        until("the new pod to run", || (world.ledger().starts("b") == 2).then_some(()));
        assert_ne!(world.pod_uids(), uids);
        assert_eq!(world.ledger().ends("a")[..2], [Some(0), Some(0)], "ended gracefully");
        agent.clear(world);
    });
}

#[test]
fn a_broken_manifest_leaves_the_pod_alone_also_across_agents() {
    world(|world| {
        let agent = world.agent();
        world.manifests().put(&web(world, "web"));
        agent.expect_running("web", "web", 0);
        world.manifests().put_text("web.json", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\",");
        agent.expect_error("web.json");
        agent.stop();

        let agent = world.agent();
        agent.expect_error("web.json");
        assert_eq!(http_get(agent.ip("web"), 80, "/").1, "web");
        world.manifests().put(&web(world, "web"));
        assert_eq!(http_get(agent.ip("web"), 80, "/").1, "web");
        assert_eq!(world.ledger().starts("web"), 1);
        agent.clear(world);
    });
}

#[test]
fn one_pod_that_cannot_run_keeps_no_other_from_running() {
    world(|world| {
        let directory = world.manifests();
        fs::write(directory.path("garbage"), [0xff, 0, 0xfe]).unwrap();
        nix::unistd::mkfifo(&directory.path("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("loop", directory.path("loop")).unwrap();
        let refused =
            json!({"appArmorProfile": {"type": "Localhost", "localhostProfile": "no-such-profile"}});
        let refused = world.pod("refused", [world.container("r", &["wait"]).security(refused)]);
        let no_image = world.container("n", &["wait"]).image("dir:/no/such/image");
        directory.put(&refused);
        directory.put(&world.pod("no-image", [no_image]));
        directory.put(&web(world, "web"));
        let agent = world.agent();
        agent.expect_running("web", "web", 0);
        for part in
            ["garbage", "fifo: it is a FIFO", "loop", "default/refused: spec.containers[0].securityContext"]
        {
            agent.expect_error(part);
        }
        agent.clear(world);
    });
}

#[test]
fn a_pod_that_is_over_stays_so_until_its_manifest_goes() {
    world(|world| {
        let pod = world.pod("once", [world.container("a", &["exit=0"])]).restart_policy("OnFailure");
        world.manifests().put(&pod);
        let agent = world.agent();
        agent.expect("pod default/once: Succeeded");
        agent.stop();
        let agent = world.agent();
        agent.expect("pod default/once: Succeeded");
        assert_eq!(world.ledger().starts("a"), 1, "an end is no reason to begin again");
        world.manifests().clear();
        agent.expect("pod default/once: deleted");
        agent.stop();
    });
}

#[test]
fn there_is_one_agent_in_a_run_directory_and_a_run_beside_it() {
    world(|world| {
        let agent = world.agent();
        agent.expect_lock(world);
        let second = world.agent().wait().code(1);
        let expected = format!(
            "mkubelet: an agent of {} is already running, process {}",
            world.run_dir().display(),
            agent.pid()
        );
        assert_eq!(second.stderr, [expected]);
        let run = world.run(&web(world, "beside"));
        world.manifests().put(&web(world, "mine"));
        assert_eq!(http_get(run.ip("beside"), 80, "/").1, "beside");
        assert_eq!(http_get(agent.ip("mine"), 80, "/").1, "mine");
        let refused = world.run(&web(world, "mine")).wait().code(1);
        assert!(
            refused.stderr[0].contains("pod default/mine is already running"),
            "{}",
            refused.transcript()
        );
        run.stop();
        agent.clear(world);
    });
}

#[test]
fn labels_change_in_the_running_pod_and_in_its_files() {
    world(|world| {
        let labels = json!({"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}});
        let about = json!({"name": "about", "downwardAPI": {"items": [labels]}});
        let pod = |tier: &str| {
            let container = world.container("a", &["says=/about/labels:tier=\"new\"", "term=0", "wait"]);
            world
                .pod("labelled", [container.mount("about", "/about")])
                .volume(about.clone())
                .label("tier", tier)
        };
        world.manifests().put(&pod("old"));
        let agent = world.agent();
        agent.expect("pod default/labelled: Running");
        let uids = world.pod_uids();
        world.manifests().put(&pod("new"));
        world.answer("a", "says=/about/labels:tier=\"new\"").unwrap();
        assert_eq!((world.pod_uids(), world.ledger().starts("a")), (uids, 1));
        agent.clear(world);
    });
}

/// Ten thousand files, of which five are pods: these run, and who looks after them is told of the rest in few lines, once.
#[test]
fn five_pods_among_ten_thousand_files_that_are_none_run_and_follow_their_manifests() {
    const FILES: usize = 10_000;
    world(|world| {
        let directory = world.manifests();
        let names: Vec<String> = (0..5).map(|number| format!("good{number}")).collect();
        for name in &names {
            directory.put(&world.pod(name, [world.container(name, &["term=0", "wait"])]));
        }
        // A name need not be text for what is in the file to count.
        let nameless = std::ffi::OsStr::from_bytes(b"good4-\xff\xfe.json");
        fs::rename(directory.path("good4.json"), directory.path("").join(nameless)).unwrap();
        nix::unistd::mkfifo(&directory.path("fifo.yaml"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        symlink("loop.yaml", directory.path("loop.yaml")).unwrap();
        symlink(directory.path(""), directory.path("above.yaml")).unwrap();
        let _socket = UnixListener::bind(directory.path("socket.yaml")).unwrap();
        fs::create_dir(directory.path("directory.yaml")).unwrap();
        fs::write(directory.path("empty.yaml"), "").unwrap();
        fs::write(directory.path("").join(std::ffi::OsStr::from_bytes(b"a\xc3\x28.yaml")), "\u{0}").unwrap();
        fs::write(directory.path("two\nlines.yaml"), "- what\n- is it\n").unwrap();
        let there = fs::read_dir(directory.path("")).unwrap().count();
        // Directories are none of the files that count.
        for number in 0..=FILES - there {
            let text =
                ["a note\n", "{", "kind: Pod\n", "\u{1b}[31m\u{0}", "apiVersion: v1\nkind: Pod\nspec: {}\n"];
            fs::write(directory.path(&format!("z{number}.yaml")), text[number % text.len()]).unwrap();
        }

        let agent = world.agent();
        for name in &names {
            agent.expect_running(name, name, 0);
        }
        let told = || {
            let lines = agent.errors();
            let path = directory.path("").display().to_string();
            lines
                .into_iter()
                .filter(|line| line.contains(&path) || line.contains("and so on"))
                .collect::<Vec<_>>()
        };
        until("all that is wrong to be told", || {
            told().iter().any(|line| line.contains("and so on")).then_some(())
        });
        let first = told();
        assert_eq!(first.len(), 21, "{first:#?}");
        for part in
            ["/fifo.yaml: it is a FIFO", "/loop.yaml", "/socket.yaml: it is a socket", "/two", "/z0.yaml"]
        {
            assert_eq!(first.iter().filter(|line| line.contains(part)).count(), 1, "{part} in {first:#?}");
        }

        // What changes takes effect, and what stays wrong is not told again.
        let written = Instant::now();
        directory.remove("good0.json");
        agent.expect("pod default/good0: deleted");
        directory.put(&world.pod("good5", [world.container("good5", &["term=0", "wait"])]));
        agent.expect_running("good5", "good5", 0);
        assert!(written.elapsed() < patient(std::time::Duration::from_secs(20)), "{:?}", written.elapsed());
        directory.put_text("z0.yaml", "{");
        until("another thing that is wrong", || (told().len() > first.len()).then_some(()));
        let lines = told();
        assert_eq!(lines.len(), first.len() + 1, "{lines:#?}");
        assert!(lines.last().unwrap().contains("/z0.yaml"), "{lines:#?}");

        let status = fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(peak < 128 << 10, "the agent took {peak} KiB");
        agent.clear(world);
        assert!(names.iter().all(|name| world.ledger().starts(name) == 1));
    });
}

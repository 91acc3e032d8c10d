//! A log that somebody who can write to the directory of logs has replaced: a pod with a hostPath on it, as log collectors
//! have. Known as the escape by log mounts; it has no CVE.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::sys::stat::Mode;

use super::{attack, canary::Canary};
use crate::world::{Run, World, kill, until};

/// Puts something into the place of the log of the next attempt.
type Replace = fn(log: &Path, canary: &Canary);

/// The directory of a pod's only container's logs, once it is there.
fn logs(world: &World, container: &str) -> PathBuf {
    until("the directory of logs", || {
        let pod = fs::read_dir(world.log_dir()).ok()?.flatten().next()?;
        Some(pod.path().join(container)).filter(|path| path.join("0.log").exists())
    })
}

/// A pod whose container is killed, and so started again, after `replace` was called for its directory of logs.
fn restarted_after(world: &World, replace: impl FnOnce(&Path)) -> Run {
    let container = world.container("a", &["print=hello", "report", "wait"]);
    let run = world.run_with(&world.pod("logged", [container]), &["--logs"]);
    run.expect_running("logged", "a", 0);
    replace(&logs(world, "a"));
    kill(world.pid_of("a"));
    run
}

#[test]
fn what_is_in_the_place_of_a_log_is_never_written_to() {
    let replaced: [(&str, Replace); 4] = [
        ("link", |log, canary| symlink(canary.file(), log).unwrap()),
        ("dangling", |log, canary| symlink(canary.directory().join("new"), log).unwrap()),
        ("fifo", |log, _| nix::unistd::mkfifo(log, Mode::S_IRWXU).unwrap()),
        ("directory", |log, _| fs::create_dir(log).unwrap()),
    ];
    attack(|world, canary| {
        let containers = replaced.map(|(name, _)| world.container(name, &["print=hello", "report", "wait"]));
        let run = world.run_with(&world.pod("logged", containers), &["--logs"]);
        for (name, replace) in replaced {
            run.expect_running("logged", name, 0);
            replace(&logs(world, name).join("1.log"), canary);
            kill(world.pid_of(name));
        }
        for (name, _) in replaced {
            let line = run.expect_state("logged", name, |state| state.contains("open the log"));
            assert!(line.contains("1.log"), "{line}");
            // The attempt after it has a log of its own again.
            run.expect(&format!("container default/logged/{name}: Running (restart 2)"));
        }
        run.stop();
    });
}

#[test]
fn a_link_on_the_way_to_a_log_is_not_followed() {
    attack(|world, canary| {
        let run = restarted_after(world, |logs| {
            fs::rename(logs, logs.with_extension("old")).unwrap();
            symlink(canary.directory(), logs).unwrap();
        });
        let line = run.expect_state("logged", "a", |state| state.contains("Waiting ("));
        assert!(line.contains("make the directory") && line.contains("/a"), "{line}");
        run.stop();
    });
}

#[test]
fn a_link_in_the_place_of_a_pods_logs_is_not_followed() {
    attack(|world, canary| {
        let run = restarted_after(world, |logs| {
            let pod = logs.parent().unwrap();
            fs::rename(pod, pod.with_file_name("elsewhere")).unwrap();
            symlink(canary.directory(), pod).unwrap();
        });
        let line = run.expect_state("logged", "a", |state| state.contains("Waiting ("));
        assert!(line.contains("make the directory"), "{line}");
        run.stop();
        fs::remove_dir_all(world.log_dir().join("elsewhere")).unwrap();
    });
}

/// What a reader of logs is shown must have come from the container.
#[test]
fn a_reader_of_logs_is_shown_no_file_of_the_host() {
    attack(|world, canary| {
        let container = world.container("a", &["print=hello", "report", "wait"]);
        let run = world.run_with(&world.pod("logged", [container]), &["--logs"]);
        run.expect("[default/logged/a] hello");
        symlink(canary.file(), logs(world, "a").join("1.log")).unwrap();
        kill(world.pid_of("a"));
        run.expect_state("logged", "a", |state| state.contains("open the log"));
        let shown = run.stop().stdout;
        let theirs: Vec<_> =
            shown.iter().filter_map(|line| line.strip_prefix("[default/logged/a] ")).collect();
        assert_eq!(theirs, ["hello"]);
    });
}

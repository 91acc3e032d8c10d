//! Pause is the one process of ours that a container may come near: it has nothing to give (CVE-2016-9962, CVE-2019-5736).

use std::fs;

use nix::sys::statvfs::{FsFlags, statvfs};

use super::attack;
use crate::world::{kill, until};

#[test]
fn pause_has_an_empty_root_no_rights_and_a_program_that_cannot_be_written_to() {
    attack(|world, _| {
        let run = world.run(&world.pod("held", [world.container("a", &["wait"])]));
        run.expect_running("held", "a", 0);
        let proc = format!("/proc/{}", world.pause_pid());

        let root = format!("{proc}/root");
        assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "an empty root");
        let errno = fs::write(format!("{root}/x"), "").unwrap_err().raw_os_error();
        assert_eq!(errno, Some(libc::EROFS));
        let cwd = fs::read_link(format!("{proc}/cwd")).unwrap();
        assert_eq!(cwd.to_str(), Some("/"));

        let program = statvfs(format!("{proc}/exe").as_str()).unwrap();
        assert!(program.flags().contains(FsFlags::ST_RDONLY), "its program lies on a read-only mount");

        let mut open: Vec<String> = fs::read_dir(format!("{proc}/fd"))
            .unwrap()
            .flatten()
            .map(|entry| fs::read_link(entry.path()).unwrap().display().to_string())
            .collect();
        open.dedup();
        // Of the host's /dev, which it does not see any more.
        assert_eq!(open, ["/null"]);

        let status = fs::read_to_string(format!("{proc}/status")).unwrap();
        for wanted in [
            "Uid:\t65535\t65535\t65535\t65535",
            "Gid:\t65535\t65535\t65535\t65535",
            "Groups:\t ",
            "NoNewPrivs:\t1",
            "CapInh:\t0000000000000000",
            "CapPrm:\t0000000000000000",
            "CapEff:\t0000000000000000",
            "CapBnd:\t0000000000000000",
            "CapAmb:\t0000000000000000",
        ] {
            assert!(status.lines().any(|line| line == wanted), "{wanted:?} in {status}");
        }
        run.stop();
    });
}

/// A process that is not dumpable belongs to root in /proc, so that its own user cannot look into it.
#[test]
fn nobody_can_look_into_pause_or_the_shim() {
    attack(|world, _| {
        let run = world.run(&world.pod("held", [world.container("a", &["wait"])]));
        run.expect_running("held", "a", 0);
        for (pid, user) in [(world.pause_pid(), 65535), (world.shim_pid(), 1000)] {
            let looked = std::process::Command::new("setpriv")
                .args([format!("--reuid={user}"), format!("--regid={user}"), "--clear-groups".to_owned()])
                .args(["ls".to_owned(), format!("/proc/{pid}/root/"), format!("/proc/{pid}/fd/")])
                .output()
                .unwrap();
            assert!(!looked.status.success() && looked.stdout.is_empty(), "{looked:?}");
            let told = String::from_utf8_lossy(&looked.stderr).into_owned();
            assert_eq!(told.matches("Permission denied").count(), 2, "{told}");
        }
        run.stop();
    });
}

/// Where containers share its PID namespace it is their /proc/1, with nothing to be had from it.
#[test]
fn pause_gives_nothing_to_those_who_share_its_pid_namespace() {
    attack(|world, _| {
        let steps = [
            "link=/proc/1/root",
            "list=/proc/1/root/",
            "write=/proc/1/root/x",
            "write=/proc/1/exe",
            "read=/proc/1/cmdline",
            "wait",
        ];
        let plain = world.container("plain", &steps);
        let tracer = world.container("tracer", &steps);
        let tracer = tracer.security(serde_json::json!({"capabilities": {"add": ["SYS_PTRACE"]}}));
        let killer = world.container(
            "killer",
            &["until=/ledger/go", "signal=1:9", "until=/ledger/on", "signal=1:15", "wait"],
        );
        // Once: it would kill every pause that it comes back with.
        let killer = killer.with("restartPolicy", serde_json::json!("Never"));
        let pod = world.pod("held", [plain, tracer, killer]);
        let run = world.run(&pod.spec("shareProcessNamespace", serde_json::json!(true)));
        for step in &steps[..4] {
            world.answer("plain", step).unwrap_err();
        }
        // Nor do its arguments tell anything of the host, to whomever.
        let arguments = world.answer("plain", "read=/proc/1/cmdline").unwrap();
        assert_eq!(arguments.as_str().unwrap().trim_end_matches('\0'), "/pause");
        assert_eq!(world.answer("tracer", "list=/proc/1/root/"), Ok(serde_json::json!([])));
        assert_eq!(world.answer("tracer", "write=/proc/1/root/x").unwrap_err(), "EROFS");
        let errno = world.answer("tracer", "write=/proc/1/exe").unwrap_err();
        assert!(["EROFS", "ETXTBSY", "EACCES"].contains(&errno.as_str()), "{errno}");

        // The kernel keeps SIGKILL from the first process of a namespace when it comes from inside (pid_namespaces(7)).
        let pause = world.pause_pid();
        world.touch("go");
        world.answer("killer", "signal=1:9").unwrap();
        assert_eq!(world.pause_pid(), pause);
        world.touch("on");
        // Its first new start may be one into the namespaces that are falling with pause.
        run.expect_state("held", "plain", |state| state.starts_with("Running (restart"));
        until("another pause", || (world.pause_pid() != pause).then_some(()));
        run.stop();
    });
}

#[test]
fn a_killed_pause_takes_the_containers_along_and_all_come_back() {
    attack(|world, _| {
        let run = world.run(&world.pod("held", [world.container("a", &["wait"])]));
        run.expect_running("held", "a", 0);
        let (pause, first) = (world.pause_pid(), world.pid_of("a"));
        kill(pause);
        run.expect_running("held", "a", 1);
        until("another pause", || (world.pause_pid() != pause).then_some(()));
        assert_ne!(world.pid_of("a"), first);
        run.stop();
    });
}

//! The exit status of `mkubelet run`: how the pod went.

use crate::world::world;

#[test]
fn zero_when_all_containers_succeeded() {
    world(|world| {
        let pod = world
            .pod("fine", [world.container("a", &[]), world.container("b", &["exit=0"])])
            .restart_policy("Never");
        world
            .run(&pod)
            .wait()
            .success()
            .printed("container default/fine/a: Terminated (Completed)")
            .printed("pod default/fine: Succeeded")
            .printed("pod default/fine: deleted")
            .agrees_with(&world.ledger(), "fine", "a");
    });
}

#[test]
fn the_code_of_the_first_container_that_failed() {
    world(|world| {
        let late = world.container("late", &["until=/ledger/early-ended", "exit=4"]);
        let early = world.container("early", &["exit=5"]);
        let run = world.run(&world.pod("two", [late, early]).restart_policy("Never"));
        run.expect("container default/two/early: Terminated (Error, exit code 5)");
        world.touch("early-ended");
        run.wait()
            .code(5)
            .printed("container default/two/late: Terminated (Error, exit code 4)")
            .printed("pod default/two: Failed");
    });
}

#[test]
fn a_crash_is_128_and_the_signal() {
    world(|world| {
        // As PID 1 the program does not die of its own SIGABRT, so abort(3) goes on to an instruction that does kill it.
        let pod = world.pod("crash", [world.container("a", &["abort"])]).restart_policy("Never");
        world
            .run(&pod)
            .wait()
            .code(139)
            .printed("container default/crash/a: Terminated (Error, exit code 139)");
    });
}

#[test]
fn one_for_an_agent_that_cannot_start() {
    world(|world| {
        let output = world.output(&["run", "/nowhere/pod.yaml"]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("mkubelet: ") && stderr.contains("/nowhere/pod.yaml"), "{stderr}");
    });
}

#[test]
fn two_for_a_command_line_that_makes_no_sense() {
    world(|world| {
        assert_eq!(world.output(&["run"]).status.code(), Some(2));
        assert_eq!(world.output(&["jump"]).status.code(), Some(2));
    });
}

#[test]
fn global_flags_are_taken_after_the_subcommand_and_from_the_environment() {
    world(|world| {
        let path = |name: &str| world.path(name).display().to_string();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_mkubelet"))
            .args(["image", "list", "--root-dir", &path("root")])
            .env("MKUBELET_RUN_DIR", path("run"))
            .env("MKUBELET_LOG_DIR", path("log"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

//! Whoever reads the output of `run` may go away or stop reading: pods do not suffer from it.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::world::{kill, until, world};

#[test]
fn a_reader_that_goes_away_does_not_harm_the_pod() {
    world(|world| {
        let manifest = world
            .write("pod.json", &world.pod("piped", [world.container("a", &["report", "wait"])]).to_json());
        let mut command = world.mkubelet();
        command.args(["run", "--logs"]).arg(manifest);
        let (mut run, stdout) = world.start_unread(command);
        world.answer("a", "report").unwrap();
        drop(stdout);
        // A restart makes it print.
        kill(world.pid_of("a"));
        until("the restart", || (world.ledger().starts("a") == 2).then_some(()));
        std::thread::sleep(Duration::from_millis(200));
        assert!(run.is_alive(), "it goes on without a reader");
        run.signal(Signal::SIGTERM);
        run.wait().success();
        assert_eq!(world.ledger().signals("a"), ["SIGTERM"]);
    });
}

#[test]
fn a_reader_that_does_not_read_holds_up_neither_the_pod_nor_its_end() {
    world(|world| {
        let containers = [
            world.container("noisy", &["print-lines=200000", "report", "wait"]),
            world.container("calm", &["wait"]),
        ];
        let manifest = world.write("pod.json", &world.pod("full", containers).to_json());
        let mut command = world.mkubelet();
        command.args(["run", "--logs"]).arg(manifest);
        let (run, _unread) = world.start_unread(command);
        // The log file takes what the pipe does not.
        world.answer("noisy", "report").unwrap();
        kill(world.pid_of("calm"));
        until("the restart of the other container", || (world.ledger().starts("calm") == 2).then_some(()));
        run.signal(Signal::SIGTERM);
        run.wait().success();
    });
}

#[test]
fn a_flood_of_output_does_not_keep_a_pod_from_its_end() {
    world(|world| {
        let run = world.run_with(
            &world.pod("flood", [world.container("a", &["report", "flood"])]).grace(5),
            &["--logs"],
        );
        world.answer("a", "report").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        run.stop().printed("pod default/flood: deleted");
    });
}

//! Races: containers started, or programs executed, again and again beside one that swaps things under their feet.

use crate::world::{Container, Pod, World};

/// Rounds of a race in an ordinary test run.
pub(super) const SOME: usize = 500;
/// Likewise with `make test-long`.
pub(super) const MANY: usize = 10_000;

/// Containers of a pod, each a round.
const PER_POD: usize = 50;

/// How the rounds ended. One that the container itself calls lost is a failed test.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// The container ran, and found nothing.
    pub(super) completed: usize,
    /// It was not started.
    pub(super) refused: usize,
}

/// Runs `rounds` containers, each made by `container` for its name, in pods finished by `pod`. A container tells by its exit
/// code that the attack worked.
pub(super) fn run(
    world: &World,
    rounds: usize,
    pod: impl Fn(Pod) -> Pod,
    container: impl Fn(&str) -> Container,
) -> Ends {
    let mut ends = Ends::default();
    for first in (0..rounds).step_by(PER_POD) {
        let names: Vec<String> =
            (first..rounds.min(first + PER_POD)).map(|round| format!("v{round}")).collect();
        let containers: Vec<Container> = names.iter().map(|name| container(name)).collect();
        let race = pod(Pod::new("race", containers)).restart_policy("Never");
        let ended = world.run_with(&race, &["--logs"]).wait();
        for name in &names {
            let prefix = format!("container default/race/{name}: Terminated (");
            let end = ended.stdout.iter().find_map(|line| line.strip_prefix(&prefix));
            match end.unwrap_or_else(|| panic!("{name} has no end\n{}", ended.transcript())) {
                "Completed)" => ends.completed += 1,
                refused if refused.starts_with("StartError, ") => ends.refused += 1,
                lost => panic!("{name} {lost}\n{}", ended.transcript()),
            }
        }
    }
    assert!(ends.completed > 0, "not a single container ran: {ends:?}");
    ends
}

/// Executes programs in turns, `rounds` in all, in a container that carries out `attack`. Each must end with its code, and the
/// attack must go on to the end, having printed `sign`: that it got near to what it attacks, or this was no race.
pub(super) fn execute(world: &World, rounds: usize, programs: &[(&[&str], i32)], attack: &str, sign: &str) {
    let pod = Pod::new("raced", [world.attacker("a", &[attack])]).restart_policy("Never").grace(1);
    let run = world.run_with(&pod, &["--logs"]);
    run.expect("container default/raced/a: Running");
    let executor = world.executor();
    let seen = format!("[default/raced/a] {sign}");
    let told = || run.lines().into_iter().filter(|line| *line != seen).collect::<Vec<_>>().join("\n");
    for (words, code) in programs.iter().cycle().take(rounds) {
        let ended = executor.run(words, 4096).unwrap_or_else(|why| panic!("{why}\n{}", told()));
        assert_eq!(ended.exit.code, *code, "{}\n{}", String::from_utf8_lossy(&ended.output), told());
    }
    run.expect(&seen);
    assert!(!told().contains("Terminated ("), "{}", told());
    run.stop();
}

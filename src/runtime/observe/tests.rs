//! What a journal tells, as a value.

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn attempt(n: u32) -> Attempt {
    Attempt { id: format!("id{n}"), name: "web".into(), attempt: n, image_id: Some(format!("sha256:{n}")) }
}

fn exit(code: i32) -> Exit {
    Exit { code, signal: None, oom_killed: false, lost: false }
}

/// Folds events at given seconds, numbered from 1.
fn folded(events: Vec<(i64, Event)>) -> Observed {
    let mut observed = Observed::default();
    for (seq, (second, event)) in events.into_iter().enumerate() {
        observed.fold(Record { seq: seq as u64 + 1, at: at(second), event });
    }
    observed
}

fn web(observed: &Observed) -> &Container {
    observed.container(&"web".parse().unwrap())
}

fn started(n: u32) -> Event {
    Event::ContainerStarted { container: attempt(n), pid: 100, user: None }
}

fn starting(n: u32) -> Event {
    Event::ContainerStarting { container: attempt(n) }
}

fn lost(n: u32) -> Event {
    let exit = Exit { code: 137, signal: None, oom_killed: false, lost: true };
    Event::ContainerExited { container: attempt(n), exit, message: None }
}

fn exited(n: u32, code: i32) -> Event {
    Event::ContainerExited { container: attempt(n), exit: exit(code), message: None }
}

#[test]
fn a_crash_loop_is_counted_from_the_journal_alone() {
    let sandbox = Event::SandboxStarted { pid: 1 };
    let mut events = vec![(0, sandbox)];
    let mut due = Vec::new();
    for n in 0..4 {
        events.push((n * 100, started(n as u32)));
        events.push((n * 100 + 1, exited(n as u32, 1)));
        due.push(web(&folded(events.clone())).due(1).unwrap().1.as_secs());
    }
    assert_eq!(due, [0, 10, 20, 40]);
    let observed = folded(events);
    assert_eq!(web(&observed).restarts(), 3);
    assert_eq!(web(&observed).previous.as_ref().unwrap().id, "id2");
    assert_eq!(web(&observed).image_id.as_deref(), Some("sha256:3"));
}

#[test]
fn a_good_run_clears_the_back_off() {
    let observed = folded(vec![
        (0, Event::SandboxStarted { pid: 1 }),
        (0, started(0)),
        (1, exited(0, 1)),
        (1, started(1)),
        (2, exited(1, 1)),
        (12, started(2)),
        (1000, exited(2, 1)),
    ]);
    assert_eq!(web(&observed).due(1).unwrap(), (at(1000), Duration::ZERO));
}

#[test]
fn containers_that_fall_with_the_sandbox_are_not_made_to_wait() {
    let observed = folded(vec![
        (0, Event::SandboxStarted { pid: 1 }),
        (0, started(0)),
        (1, exited(0, 1)),
        (1, started(1)),
        (5, Event::SandboxExited { exit: exit(137) }),
        (5, exited(1, 137)),
    ]);
    assert_eq!(observed.sandbox, Sandbox::Lost { at: at(5) });
    assert_eq!(web(&observed).due(2), None);
}

#[test]
fn a_lost_shim_ends_what_ran_and_its_successors_records_change_nothing() {
    let mut observed = folded(vec![(0, Event::SandboxStarted { pid: 1 }), (0, started(0))]);
    observed.shim_lost(at(7));
    let before = web(&observed).clone();
    assert_eq!(before.ended().unwrap().code(), 137);
    observed.fold(Record { seq: 3, at: at(8), event: lost(0) });
    assert_eq!(*web(&observed), before);
    assert_eq!(observed.sandbox, Sandbox::Lost { at: at(7) });
}

#[test]
fn a_start_is_no_attempt_until_more_is_known_of_it() {
    let sandbox = (0, Event::SandboxStarted { pid: 1 });
    let observed = folded(vec![sandbox.clone(), (1, starting(0))]);
    assert_eq!((&web(&observed).state, web(&observed).attempts), (&State::Absent, 0));
    let observed = folded(vec![sandbox, (1, starting(0)), (2, started(0))]);
    assert_eq!((web(&observed).running().unwrap().started_at, &web(&observed).begun), (at(2), &None));
}

#[test]
fn a_start_of_which_a_lost_shim_told_no_more_is_an_attempt_that_was_lost() {
    let begun = vec![(0, Event::SandboxStarted { pid: 1 }), (1, starting(0))];
    let mut alive = folded(begun.clone());
    alive.shim_lost(at(7));
    let ended = web(&alive).ended().unwrap();
    assert_eq!((ended.id.as_str(), ended.code(), ended.started_at), ("id0", 137, at(1)));
    assert_eq!((web(&alive).attempts, &web(&alive).begun), (1, &None));
    let before = web(&alive).clone();
    alive.fold(Record { seq: 3, at: at(8), event: lost(0) });
    assert_eq!(*web(&alive), before);

    // An agent that comes after both finds the same in the journal.
    let mut successor = folded([begun, vec![(7, lost(0))]].concat());
    successor.sandbox_lost(at(7));
    assert_eq!(*web(&successor), before);
}

#[test]
fn a_journal_that_lost_records_goes_on_and_what_was_known_stays() {
    let sandbox = Event::SandboxStarted { pid: 1 };
    let whole = vec![
        (0, Event::ShimStarted { version: 1, pid: 9 }),
        (1, sandbox.clone()),
        (2, started(0)),
        (3, exited(0, 1)),
        (4, started(1)),
    ];
    let known = folded(whole.clone());
    for kept in 0..=whole.len() {
        let mut observed = known.clone();
        observed.shim_lost(at(7));
        let mut successor = whole[..kept].to_vec();
        if kept == 3 {
            successor.push((8, lost(0)));
        }
        if kept > 1 {
            successor.push((8, Event::SandboxExited { exit: exit(137) }));
        }
        successor.extend([(8, Event::ShimStarted { version: 1, pid: 10 }), (9, sandbox.clone())]);
        let last = successor.len() as u64;
        for (seq, (second, event)) in (1..).zip(successor.clone()) {
            observed.fold(Record { seq, at: at(second), event });
        }
        assert_eq!((observed.last_seq, observed.sandboxes), (last, 2), "{kept} kept");
        assert_eq!(observed.sandbox, Sandbox::Ready { since: at(9) }, "{kept} kept");
        let ended = web(&observed).ended().unwrap();
        assert_eq!((ended.id.as_str(), ended.code(), ended.finished_at), ("id1", 137, at(7)));
        // It is told again: nothing happens twice.
        for (seq, (second, event)) in (1..).zip(successor) {
            observed.fold(Record { seq, at: at(second), event });
        }
        assert_eq!(observed.sandboxes, 2, "{kept} kept");
        observed.fold(Record { seq: last + 1, at: at(10), event: started(2) });
        assert_eq!(web(&observed).restarts(), 2, "{kept} kept");
    }
}

#[test]
fn a_record_is_taken_in_once() {
    let mut observed = folded(vec![(0, Event::SandboxStarted { pid: 1 })]);
    observed.fold(Record { seq: 1, at: at(0), event: Event::SandboxStarted { pid: 1 } });
    assert_eq!(observed.sandboxes, 1);
}

#[test]
fn a_failed_start_counts_as_an_attempt() {
    let failure = StartFailure { step: "execve".into(), errno: Some(2), text: "no such file".into() };
    let observed =
        folded(vec![(3, Event::ContainerStartFailed { container: attempt(0), failure: failure.clone() })]);
    let ended = web(&observed).ended().unwrap();
    assert_eq!((ended.code(), ended.started_at), (128, at(3)));
    assert_eq!(web(&observed).attempts, 1);
}

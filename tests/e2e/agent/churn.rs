//! Pods that come, change and go, while agents are killed at any moment: nothing runs twice, nothing is left behind.

use std::time::Duration;

use crate::world::{Pod, World, until, world_in_memory};

/// Numbers that are the same every time, and follow no order (xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A pod of that name; each `state` is another one.
fn pod(world: &World, name: &str, state: u64) -> Pod {
    let print = format!("print={state}");
    world.pod(name, [world.container(name, &["term=0", &print, "wait"])]).grace(5)
}

/// Has `count` pods come, change and go, a few at a time, and kills the agent so many times on the way. Every third is of the API, and
/// does not change: it goes and comes again.
fn churn(world: &World, count: u64, kills: u64, seed: u64) {
    let mut dice = Dice(seed);
    let name = |number: u64| format!("p{number}");
    let is_of_api = |number: u64| number % 3 == 2;
    let (mut next, mut there) = (0, Vec::new());
    for round in 0..kills {
        let agent = world.agent();
        for _ in 0..1 + dice.below(4) {
            match dice.below(4) {
                0 if !there.is_empty() => {
                    let gone: u64 =
                        there.swap_remove(usize::try_from(dice.below(there.len() as u64)).unwrap());
                    if is_of_api(gone) {
                        world.delete(&name(gone));
                    } else {
                        world.manifests().remove(&format!("{}.json", name(gone)));
                    }
                }
                1 if !there.is_empty() => {
                    let changed = there[usize::try_from(dice.below(there.len() as u64)).unwrap()];
                    if is_of_api(changed) {
                        world.delete(&name(changed));
                        world.create(&pod(world, &name(changed), round));
                    } else {
                        world.manifests().put(&pod(world, &name(changed), round));
                    }
                }
                _ => {
                    let number = next % count;
                    next += 1;
                    let is_new = !there.contains(&number);
                    if is_new {
                        there.push(number);
                    }
                    if !is_of_api(number) {
                        world.manifests().put(&pod(world, &name(number), round));
                    } else if is_new {
                        world.create(&pod(world, &name(number), round));
                    }
                }
            }
            std::thread::sleep(Duration::from_millis(dice.below(150)));
        }
        agent.kill();
    }
    let agent = world.agent();
    for number in &there {
        let name = name(*number);
        until(&format!("{name} to run"), || (world.processes_of(&name).len() == 1).then_some(()));
    }
    until("what is not wanted to go", || (world.pod_uids().len() == there.len()).then_some(()));
    let lies = world.ledger().contradictions();
    assert!(lies.is_empty(), "{lies:?}");
    world.delete_all();
    agent.clear(world);
}

#[test]
fn an_agent_that_is_killed_at_any_moment_loses_and_doubles_nothing() {
    world_in_memory(|world| churn(world, 50, 20, 0x9e37_79b9_7f4a_7c15));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn an_agent_that_is_killed_at_any_of_200_moments_loses_and_doubles_nothing() {
    world_in_memory(|world| churn(world, 50, 200, 0x2545_f491_4f6c_dd1d));
}

/// Has pods come and go, so many at a time.
fn come_and_go(world: &World, rounds: u64, at_a_time: u64) {
    let agent = world.agent();
    for round in 0..rounds {
        let names: Vec<String> = (0..at_a_time).map(|number| format!("p{round}-{number}")).collect();
        for name in &names {
            world.manifests().put(&pod(world, name, round));
        }
        names.iter().for_each(|name| agent.expect_running(name, name, 0));
        world.manifests().clear();
        names.iter().for_each(|name| agent.expect(&format!("pod default/{name}: deleted")));
    }
    agent.clear(world);
}

#[test]
fn a_hundred_pods_that_came_and_went_leave_nothing() {
    world_in_memory(|world| come_and_go(world, 5, 20));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn a_thousand_pods_that_came_and_went_leave_nothing() {
    world_in_memory(|world| come_and_go(world, 20, 50));
}

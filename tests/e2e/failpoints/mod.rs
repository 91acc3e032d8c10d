//! kill -9 of a process at each step that changes what outlives it (`mkubelet::failpoint`): what comes back is right.
//!
//! Each scenario names the points at which somebody dies in it. For each of them it is played in a world of its own: the point is armed, the
//! process must have died there, its successor goes on, and at the end both oracles speak.

mod agent;
mod api;
mod images;
mod shim;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use mkubelet::failpoint::POINTS;

use crate::world::{Agent, Ended, World, failing_mkubelet, until, world};

/// A world whose processes die where they are told to.
struct Failing<'a> {
    world: &'a World,
    /// A file for each point that is armed.
    tokens: PathBuf,
}

/// Plays a scenario once for each point.
fn at_each(points: &[&str], play: impl Fn(&Failing<'_>, &str)) {
    for point in points {
        println!("at {point}");
        world(|world| {
            let tokens = world.path("tokens");
            fs::create_dir(&tokens).unwrap();
            play(&Failing { world, tokens }, point);
        });
    }
}

impl Failing<'_> {
    /// From now on the next one to reach the point dies there.
    fn arm(&self, point: &str) {
        fs::write(self.tokens.join(point), "").unwrap();
    }

    /// Likewise so slowly that whatever was begun before goes on meanwhile.
    fn arm_slow(&self, point: &str) {
        fs::write(self.tokens.join(point), "300").unwrap();
    }

    /// Waits until somebody has died at the point.
    fn expect_death(&self, point: &str) {
        until(&format!("a death at {point}"), || (!self.tokens.join(point).exists()).then_some(()));
    }

    /// `mkubelet` that dies at armed points, as its shims do.
    fn mkubelet(&self) -> Command {
        let mut command = self.world.mkubelet_of(failing_mkubelet());
        let token = |point: &&str| format!("{point}=return({})", self.tokens.join(point).display());
        command.env("FAILPOINTS", POINTS.iter().map(token).collect::<Vec<_>>().join(";"));
        command
    }

    /// An agent of it.
    fn agent(&self) -> Agent {
        self.world.agent_by(self.mkubelet())
    }

    /// Waits until the agent has died at the point.
    fn expect_dead(&self, agent: Agent, point: &str) -> Ended {
        let ended = agent.wait().killed();
        assert!(!self.tokens.join(point).exists(), "it died elsewhere than at {point}");
        ended
    }
}

#[test]
fn every_point_is_one_of_a_scenario() {
    let scenarios = [agent::POINTS, api::POINTS, images::POINTS, shim::POINTS].concat().concat();
    let played: BTreeSet<&str> = scenarios.into_iter().collect();
    assert_eq!(played, POINTS.iter().copied().collect());
}

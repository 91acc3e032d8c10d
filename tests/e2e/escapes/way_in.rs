//! A process on its way into a container is still a copy of the shim, with what is open in it: nobody inside may look into it
//! (CVE-2016-9962).

use super::attack;
use super::rounds::{self, MANY, SOME};
use crate::world::World;

#[test]
fn nobody_looks_into_a_process_on_its_way_in() {
    attack(|world, _| race(world, SOME));
}

#[test]
#[ignore = "takes minutes; `make test-long` runs it"]
fn nobody_looks_into_a_process_on_its_way_in_for_a_long_time() {
    attack(|world, _| race(world, MANY));
}

/// The container's first process looks at each that turns up beside it, and ends when it could see one that does not run a
/// program of the container's yet.
fn race(world: &World, rounds: usize) {
    rounds::execute(
        world,
        rounds,
        &[(&["/bin/attacker", "inside"], 0)],
        "look-into-others",
        "kept out of a process",
    );
}

//! How long each step of a pod's start took, told without an agent.

use crate::world::world;

#[test]
fn a_run_in_the_foreground_tells_the_steps_of_its_pods_start() {
    world(|world| {
        let pod = world.pod("traced", [world.container("web", &["term=0", "wait"])]);
        let run = world.run_with(&pod, &["--trace"]);
        run.expect_running("traced", "web", 0);
        for step in ["shim", "sandbox", "network", "start"] {
            run.expect_where(step, |line| line.split_whitespace().any(|word| word == step));
        }
        run.stop();
    });
}

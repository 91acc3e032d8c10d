//! A pod that takes all it can get: processes, memory, descriptors, log. Its neighbours do not notice.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::attack;
use crate::world::{Container, Pod, World, try_get};

/// Each bomb is kept small, so that the machine survives the test as the neighbour survives the bomb.
fn bomb(world: &World, words: &[&str]) -> Container {
    let limits = json!({"limits": {"memory": "96Mi", "cpu": "300m"}});
    world.attacker("bomb", words).with("resources", limits)
}

fn goes_off_unnoticed(words: &[&str]) {
    attack(|world, _| {
        let probe = json!({"httpGet": {"port": 8080}, "periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 2});
        let quiet = world.container("quiet", &["serve=8080", "wait"]).with("livenessProbe", probe);
        let neighbour = world.run(&world.pod("neighbour", [quiet]));
        neighbour.expect_running("neighbour", "quiet", 0);
        let address = (neighbour.ip("neighbour"), 8080).into();

        let mut run = world.run(&Pod::new("bomber", [bomb(world, words)]).grace(1));
        run.expect("container default/bomber/bomb: Running");
        for _ in 0..6 {
            thread::sleep(Duration::from_secs(1));
            let (status, _) = try_get(address, "/").unwrap();
            assert_eq!(status, "HTTP/1.1 200 OK");
            assert!(run.is_alive(), "the bomb's own agent lives");
        }
        run.stop().printed("pod default/bomber: deleted");
        neighbour.stop();
        assert_eq!(world.ledger().starts("quiet"), 1, "its probes never failed");
    });
}

#[test]
fn a_fork_bomb_does_not_keep_a_neighbour_from_answering() {
    goes_off_unnoticed(&["fork-bomb"]);
}

#[test]
fn a_memory_bomb_does_not_keep_a_neighbour_from_answering() {
    goes_off_unnoticed(&["memory-bomb"]);
}

#[test]
fn a_descriptor_bomb_does_not_keep_a_neighbour_from_answering() {
    goes_off_unnoticed(&["descriptor-bomb"]);
}

#[test]
fn a_log_bomb_does_not_keep_a_neighbour_from_answering() {
    goes_off_unnoticed(&["log-bomb"]);
}

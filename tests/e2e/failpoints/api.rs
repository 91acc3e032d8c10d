//! The agent dies while it takes an order of the API: what it has answered holds, and what it has not can be asked again.

use super::at_each;
use crate::world::until;

/// Where it dies in each scenario.
pub(super) const POINTS: &[&[&str]] = &[ORDERS];

const ORDERS: &[&str] = &["objects.written", "objects.committed", "objects.applied"];

#[test]
fn an_agent_that_dies_while_it_takes_an_order_is_followed_by_one_that_runs_the_pod_once() {
    at_each(ORDERS, |failing, point| {
        let world = failing.world;
        let pod = world.pod("p", [world.container("a", &["term=0", "wait"])]).restart_policy("Never");
        let manifest = world.write("p.json", &pod.to_json());
        let agent = failing.agent();
        agent.expect_lock(world);
        until("the API", || world.output(&["get", "nodes"]).status.success().then_some(()));
        failing.arm(point);
        let created = world.output(&["create", "-f", manifest.to_str().unwrap()]).status.success();
        failing.expect_dead(agent, point);

        let agent = failing.agent();
        if created {
            assert_eq!(world.pods().len(), 1, "what was answered is kept");
        } else if world.pods().is_empty() {
            world.create(&pod);
        }
        agent.expect_running("p", "a", 0);
        failing.arm(point);
        let deleted = world.output(&["delete", "pod", "p", "--wait=false"]).status.success();
        failing.expect_dead(agent, point);

        let agent = failing.agent();
        if deleted {
            let is_going = |pod: &serde_json::Value| pod["metadata"]["deletionTimestamp"].is_string();
            assert!(world.pods().iter().all(is_going), "what was answered is kept");
        } else {
            world.delete("p");
        }
        until("the pod to be gone", || world.pods().is_empty().then_some(()));
        agent.clear(world);
        assert_eq!(world.ledger().ends("a"), [Some(0)]);
    });
}

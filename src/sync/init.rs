//! How far the init containers of a pod have come in its present sandbox. Pure; asked by the planner and for the status.
//!
//! They are started in the manifest's order. The turn passes on from an ordinary one when it has succeeded, from a sidecar
//! (KEP-753) when it has started: its postStart hook and its startup probe have succeeded. Once the turn has passed on, a
//! sidecar that falls is started again, but holds nobody up.

use crate::pod::{ContainerSpec, Pod};
use crate::runtime::observe::Observed;

/// The place of the init container whose turn it is; `None` when the containers may run.
pub fn turn(pod: &Pod, observed: &Observed) -> Option<usize> {
    let has_begun = |spec: &ContainerSpec| observed.is_in_sandbox(&spec.name);
    if pod.spec.containers.iter().any(has_begun) {
        return None;
    }
    let inits = &pod.spec.init_containers;
    let turn = match inits.iter().rposition(has_begun) {
        Some(last) if is_complete(&inits[last], observed) => last + 1,
        Some(last) => last,
        None => 0,
    };
    (turn < inits.len()).then_some(turn)
}

/// True if an init container has done its part: an ordinary one has succeeded, a sidecar runs and has started.
pub fn is_complete(spec: &ContainerSpec, observed: &Observed) -> bool {
    let known = observed.container(&spec.name);
    let is_done = match spec.is_sidecar() {
        true => known.has_started(spec),
        false => known.ended().is_some_and(|ended| ended.code() == 0),
    };
    is_done && observed.is_in_sandbox(&spec.name)
}

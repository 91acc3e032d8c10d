//! Pods and histories for the tests of the rooms that decide.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::observe::{Observed, Unhealthy};
use crate::pod::spec::{PodSpec, RestartPolicy};
use crate::pod::{ContainerName, ContainerSpec, Pod, PodKey};
use crate::shim::protocol::{Attempt, Event, Exit, Record, StartFailure};

/// `default/web` with the given init containers and containers.
pub(crate) fn pod(policy: RestartPolicy, init: &[&str], containers: &[&str]) -> Pod {
    Pod {
        key: PodKey { namespace: "default".into(), name: "web".into() },
        uid: "uid-1".parse().unwrap(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        generation: None,
        spec: PodSpec {
            restart_policy: policy,
            termination_grace_period: Duration::from_secs(30),
            hostname: "web".into(),
            init_containers: init.iter().map(|n| container(n)).collect(),
            containers: containers.iter().map(|n| container(n)).collect(),
            ..crate::pod::spec::tests::pod_spec()
        },
    }
}

pub(crate) fn container(name: &str) -> ContainerSpec {
    ContainerSpec { image: "busybox".into(), ..crate::pod::spec::tests::container(name) }
}

pub(crate) fn name(text: &str) -> ContainerName {
    text.parse().unwrap()
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Writes a journal and folds it as it goes.
#[derive(Debug, Clone, Default)]
pub(crate) struct History {
    pub(crate) observed: Observed,
}

impl History {
    /// A history that begins with a sandbox at second 0.
    pub(crate) fn ready() -> Self {
        let mut history = Self::default();
        history.sandbox(0);
        history
    }

    pub(crate) fn sandbox(&mut self, second: i64) -> &mut Self {
        self.event(second, Event::SandboxStarted { pid: 7 });
        self.observed.creating = false;
        self.observed.connected = true;
        self
    }

    pub(crate) fn sandbox_exit(&mut self, second: i64) -> &mut Self {
        self.event(second, Event::SandboxExited { exit: exit(137) })
    }

    pub(crate) fn start(&mut self, second: i64, container: &str) -> &mut Self {
        let attempt = self.attempt(container, self.attempts(container));
        self.event(second, Event::ContainerStarted { container: attempt, pid: 100, user: None })
    }

    pub(crate) fn start_fails(&mut self, second: i64, container: &str) -> &mut Self {
        let attempt = self.attempt(container, self.attempts(container));
        let text = "ENOENT: No such file or directory".into();
        let failure = StartFailure { step: "execve /nope".into(), errno: Some(2), text };
        self.event(second, Event::ContainerStartFailed { container: attempt, failure })
    }

    /// A probe of the container has failed, whose own grace period is so many seconds.
    pub(crate) fn sick(&mut self, container: &str, grace: Option<u64>) {
        let unhealthy = Unhealthy {
            probe: crate::probe::Kind::Liveness,
            message: "no".into(),
            grace: grace.map(Duration::from_secs),
        };
        self.observed.container_mut(&name(container)).health.unhealthy = Some(unhealthy);
    }

    pub(crate) fn exit(&mut self, second: i64, container: &str, code: i32) -> &mut Self {
        self.exits(second, container, exit(code))
    }

    pub(crate) fn exits(&mut self, second: i64, container: &str, exit: Exit) -> &mut Self {
        self.exits_saying(second, container, exit, None)
    }

    /// It leaves a termination message behind.
    pub(crate) fn exits_saying(
        &mut self,
        second: i64,
        container: &str,
        exit: Exit,
        message: Option<&str>,
    ) -> &mut Self {
        let attempt = self.attempt(container, self.attempts(container) - 1);
        let message = message.map(str::to_owned);
        self.event(second, Event::ContainerExited { container: attempt, exit, message })
    }

    pub(crate) fn reset(&mut self, second: i64) -> &mut Self {
        self.event(second, Event::ContainersReset)
    }

    fn attempts(&self, container: &str) -> u32 {
        self.observed.container(&name(container)).attempts
    }

    fn attempt(&self, container: &str, attempt: u32) -> Attempt {
        Attempt { id: format!("{container}-{attempt}"), name: container.into(), attempt, image_id: None }
    }

    fn event(&mut self, second: i64, event: Event) -> &mut Self {
        self.observed.fold(Record { seq: self.observed.last_seq + 1, at: at(second), event });
        self
    }
}

pub(crate) fn exit(code: i32) -> Exit {
    Exit { code, signal: None, oom_killed: false, lost: false }
}

//! The agent as a [`Meter`] of its API: two looks at the counters, a window apart, whenever somebody asks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::Mutex;

use super::look::Look;
use crate::api::metrics::{Measured, Meter, Usage};
use crate::runtime::host::Host;
use crate::usage::{ContainerUsage, PodUsage};

/// How fast CPU time is used is measured for so long.
const WINDOW: Duration = Duration::from_secs(1);

/// Who asks within this time after somebody else is told the same.
const FRESH: Duration = Duration::from_secs(1);

/// Reads the counters of this node. Between two questions nothing is read, and next to nothing kept.
#[derive(Debug)]
pub(super) struct Counters {
    host: Arc<Host>,
    /// Held while it is measured: who comes meanwhile waits, and hears the same.
    latest: Mutex<Option<(Instant, Arc<Measured>)>>,
}

impl Counters {
    /// Of the pods of this host.
    pub(super) fn new(host: Arc<Host>) -> Self {
        Self { host, latest: Mutex::default() }
    }
}

impl Meter for Counters {
    fn measure(&self) -> BoxFuture<'_, Result<Arc<Measured>, String>> {
        async {
            let mut latest = self.latest.lock().await;
            if let Some((at, measured)) = &*latest
                && at.elapsed() < FRESH
            {
                return Ok(Arc::clone(measured));
            }
            let earlier = Look::now(&self.host).await?;
            tokio::time::sleep(WINDOW).await;
            let now = Look::now(&self.host).await?;
            let measured = Arc::new(measured(&earlier, &now, Timestamp::now()));
            *latest = Some((Instant::now(), Arc::clone(&measured)));
            Ok(measured)
        }
        .boxed()
    }
}

/// What was used between two looks. A container that was not there the first time is left out: how fast it uses CPU time is not known.
fn measured(earlier: &Look, now: &Look, at: Timestamp) -> Measured {
    let nanocores = |processors: f64| (processors * 1e9).round() as u64;
    let container = |before: Option<&PodUsage>, container: &ContainerUsage| {
        let before = before.and_then(|pod| pod.container(&container.id))?;
        let processors = container.sample.processors_since(&before.sample)?;
        let working_set = container.sample.stats.memory.map_or(0, |memory| memory.working_set);
        Some((container.name.to_string(), Usage { nanocores: nanocores(processors), working_set }))
    };
    let pods = now.pods.iter().filter_map(|pod| {
        let before = earlier.pods.iter().find(|before| before.uid == pod.uid);
        let containers: Vec<_> = pod.containers.iter().filter_map(|one| container(before, one)).collect();
        let key = (pod.key.namespace.clone(), pod.key.name.clone());
        (!containers.is_empty()).then_some((key, containers))
    });
    let processors = now.node.processors_since(&earlier.node).unwrap_or_default();
    Measured {
        at,
        window: now.node.clock.saturating_duration_since(earlier.node.clock),
        node: Usage { nanocores: nanocores(processors), working_set: now.node.working_set },
        pods: pods.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::stats::Memory;
    use crate::runtime::fixture::at;
    use crate::usage::node::NodeSample;
    use crate::usage::tests::usage;

    #[test]
    fn what_was_there_at_both_looks_is_told() {
        let clock = Instant::now();
        let look = |second: u64, used: u64, pods: Vec<PodUsage>| Look {
            node: NodeSample {
                clock: clock + Duration::from_secs(second),
                busy: Duration::from_millis(used),
                working_set: 7 << 20,
            },
            pods,
        };
        let first = usage(clock, 10, Duration::from_millis(1000));
        let mut second = usage(clock, 12, Duration::from_millis(1500));
        second.containers[0].sample.stats.memory = Some(Memory { working_set: 5 << 20, ..Memory::default() });
        let found =
            measured(&look(10, 0, vec![first.clone()]), &look(12, 3000, vec![second.clone()]), at(12));
        let used = Usage { nanocores: 250_000_000, working_set: 5 << 20 };
        let key = (second.key.namespace.clone(), second.key.name.clone());
        assert_eq!(found.pods, [(key, vec![("a".to_owned(), used)])].into());
        assert_eq!(found.node, Usage { nanocores: 1_500_000_000, working_set: 7 << 20 });
        assert_eq!(found.window, Duration::from_secs(2));

        let mut restarted = first;
        restarted.containers[0].id = "a-1".into();
        for before in [vec![], vec![restarted]] {
            let found = measured(&look(10, 0, before), &look(12, 0, vec![second.clone()]), at(12));
            assert_eq!(found.pods, [].into(), "a rate takes two looks at the same attempt");
        }
    }
}

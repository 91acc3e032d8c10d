//! Which pods end together, in which order, and how long each group of them has: by priority, critical pods last. Pure.
//!
//! Source: KEP-2000, KEP-2712, `pkg/kubelet/nodeshutdown` and the validation of a KubeletConfiguration of Kubernetes v1.37.

use std::time::Duration;

use crate::eviction::admission::CRITICAL;

/// A group of pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Group {
    /// Pods of this priority and above, up to the next group's, are in it.
    pub priority: i32,
    /// What they have to end.
    pub time: Duration,
}

/// The groups of a node, which end one after another, those of the lowest priority first. Without any the machine does not wait
/// for pods.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Groups(Vec<Group>);

/// What somebody asks for, in either of its two forms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// `shutdownGracePeriod`: what all pods have together.
    pub total: Duration,
    /// `shutdownGracePeriodCriticalPods`: the last part of it, which is for critical pods.
    pub critical: Duration,
    /// `shutdownGracePeriodByPodPriority`, instead.
    pub by_priority: Groups,
}

impl Written {
    /// The groups that it stands for, or why a kubelet would not take it, in its words.
    pub fn read(self) -> Result<Groups, String> {
        let Self { total, critical, by_priority } = self;
        let second = Duration::from_secs(1);
        if critical > total {
            return Err(format!(
                "shutdownGracePeriodCriticalPods {{{critical:?}}} must be <= shutdownGracePeriod {{{total:?}}}"
            ));
        }
        for (name, time) in [("shutdownGracePeriod", total), ("shutdownGracePeriodCriticalPods", critical)] {
            if !time.is_zero() && time < second {
                return Err(format!("{name} {{{time:?}}} must be either zero or otherwise >= 1 sec"));
            }
        }
        if total.is_zero() {
            return Ok(by_priority);
        }
        if !by_priority.is_empty() {
            let why = "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time";
            return Err(why.to_owned());
        }
        let group = |priority, time| Group { priority, time };
        Ok(Groups(vec![group(0, total.saturating_sub(critical)), group(CRITICAL, critical)]))
    }
}

impl Groups {
    /// Reads `PRIORITY=SECONDS,...`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let group = |text: &str| {
            let wrong = || format!("{text:?} must be a priority and its seconds, such as 1000=20");
            let (priority, seconds) = text.split_once('=').ok_or_else(wrong)?;
            let seconds: u32 = seconds.parse().map_err(|_| wrong())?;
            let priority = priority.parse().map_err(|_| wrong())?;
            Ok(Group { priority, time: Duration::from_secs(seconds.into()) })
        };
        let groups = text.split(',').filter(|part| !part.is_empty()).map(group);
        let mut groups = groups.collect::<Result<Vec<_>, String>>()?;
        groups.sort_by_key(|group| group.priority);
        Ok(Self(groups))
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What all of them have together: how long the machine has to wait.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|group| group.time).sum()
    }

    /// All pods in the order in which they go: each group with its own. Pods below the lowest priority are in the first group.
    pub fn divide<P>(&self, pods: Vec<P>, priority: impl Fn(&P) -> i32) -> Vec<(Group, Vec<P>)> {
        let mut divided: Vec<_> = self.0.iter().map(|group| (*group, Vec::new())).collect();
        for pod in pods {
            let place = self.place(priority(&pod));
            if let Some((_, members)) = divided.get_mut(place) {
                members.push(pod);
            }
        }
        divided
    }

    fn place(&self, priority: i32) -> usize {
        let above = self.0.partition_point(|group| group.priority < priority);
        match self.0.get(above) {
            Some(group) if group.priority == priority => above,
            _ => above.saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(total: u64, critical: u64, by_priority: &str) -> Result<String, String> {
        let milliseconds = Duration::from_millis;
        let by_priority = Groups::parse(by_priority)?;
        let written = Written { total: milliseconds(total), critical: milliseconds(critical), by_priority };
        let groups = written.read()?;
        let text = |group: &Group| format!("{}={:?}", group.priority, group.time);
        Ok(groups.0.iter().map(text).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn groups_are_what_a_kubelet_would_make_of_it() {
        for (total, critical, by_priority, expected) in [
            (0, 0, "", Ok("")),
            (30_000, 10_000, "", Ok("0=20s 2000000000=10s")),
            (30_000, 0, "", Ok("0=30s 2000000000=0ns")),
            (10_000, 10_000, "", Ok("0=0ns 2000000000=10s")),
            (0, 0, "1000=120,0=60,-5=0", Ok("-5=0ns 0=60s 1000=120s")),
            (1000, 2000, "", Err("shutdownGracePeriodCriticalPods {2s} must be <= shutdownGracePeriod {1s}")),
            (0, 1000, "", Err("shutdownGracePeriodCriticalPods {1s} must be <= shutdownGracePeriod {0ns}")),
            (1, 0, "", Err("shutdownGracePeriod {1ms} must be either zero or otherwise >= 1 sec")),
            (
                1000,
                1,
                "",
                Err("shutdownGracePeriodCriticalPods {1ms} must be either zero or otherwise >= 1 sec"),
            ),
            (
                1000,
                0,
                "0=1",
                Err(
                    "Cannot specify both shutdownGracePeriodByPodPriority and shutdownGracePeriod at the same time",
                ),
            ),
            (0, 0, "10", Err("\"10\" must be a priority and its seconds, such as 1000=20")),
            (0, 0, "0=-1", Err("\"0=-1\" must be a priority and its seconds, such as 1000=20")),
            (
                0,
                0,
                "3000000000=1",
                Err("\"3000000000=1\" must be a priority and its seconds, such as 1000=20"),
            ),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(read(total, critical, by_priority), expected, "{total} {critical} {by_priority}");
        }
        assert_eq!(Groups::parse("0=60,1000=120").unwrap().total(), Duration::from_secs(180));
    }

    #[test]
    fn a_pod_ends_with_those_of_the_highest_priority_that_is_not_above_its_own() {
        let groups = Groups::parse("10=1,100=1,1000=1").unwrap();
        for (priority, expected) in [
            (i32::MIN, 10),
            (9, 10),
            (10, 10),
            (99, 10),
            (100, 100),
            (999, 100),
            (1000, 1000),
            (i32::MAX, 1000),
        ] {
            let divided = groups.divide(vec![priority], |priority| *priority);
            let found: Vec<_> = divided
                .iter()
                .filter(|(_, pods)| !pods.is_empty())
                .map(|(group, _)| group.priority)
                .collect();
            assert_eq!(found, [expected], "{priority}");
        }
        assert_eq!(Groups::default().divide(vec![1], |priority| *priority), []);
    }
}

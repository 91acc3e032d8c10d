//! How little is too little: thresholds, as the kubelet's flags and its configuration file write them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::signal::{Observation, Signal};
use crate::pod::quantity::Quantity;

/// The kubelet's evictionHard when nobody says otherwise.
const DEFAULT_HARD: [(&str, &str); 5] = [
    ("memory.available", "100Mi"),
    ("nodefs.available", "10%"),
    ("nodefs.inodesFree", "5%"),
    ("imagefs.available", "15%"),
    ("imagefs.inodesFree", "5%"),
];

/// Signals of the filesystem with the writable layers. Here it is that of the node, whose thresholds hold for it, as a kubelet has it.
const OF_CONTAINER_FS: [&str; 2] = ["containerfs.available", "containerfs.inodesFree"];

/// How long the node is said to be under pressure after the last sign of it (the kubelet's evictionPressureTransitionPeriod).
pub const TRANSITION: Duration = Duration::from_secs(300);

/// When there is too little of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Of what.
    pub signal: Signal,
    /// Less than this is too little.
    pub value: Value,
    /// For so long, before a pod has to go; none at all makes a hard threshold.
    pub grace: Duration,
    /// Once it is met, so much more is to be left before it counts as resolved.
    pub minimum_reclaim: Option<Value>,
}

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Bytes, inodes, processes.
    Quantity(u64),
    /// Millionths of what there is.
    Part(u64),
}

/// All of it.
const WHOLE: u64 = 1_000_000;

/// When pods have to go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// Hard ones and soft ones.
    pub thresholds: Vec<Threshold>,
    /// How long the node is said to be under pressure after the last sign of it.
    pub transition: Duration,
    /// The most that a pod has to end when it goes for a soft threshold.
    pub max_pod_grace: Duration,
}

/// The same as it is written, signal by signal: the maps of a KubeletConfiguration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// `evictionHard`; `None` for the kubelet's.
    pub hard: Option<BTreeMap<String, String>>,
    /// `evictionSoft`.
    pub soft: BTreeMap<String, String>,
    /// `evictionSoftGracePeriod`; each soft threshold needs one.
    pub soft_grace_period: BTreeMap<String, String>,
    /// `evictionMinimumReclaim`.
    pub minimum_reclaim: BTreeMap<String, String>,
    /// `evictionPressureTransitionPeriod`; `None` for the kubelet's.
    pub transition: Option<Duration>,
    /// `evictionMaxPodGracePeriod`, seconds.
    pub max_pod_grace_seconds: u64,
}

/// `evictionHard` when nobody says otherwise, as the flag has it.
pub fn default_hard() -> String {
    DEFAULT_HARD.map(|(signal, value)| format!("{signal}<{value}")).join(",")
}

impl Default for Eviction {
    fn default() -> Self {
        let hard = DEFAULT_HARD.into_iter().filter_map(|(signal, value)| {
            Some(Threshold {
                signal: signal_of(signal).ok()??,
                value: value_of(value).ok()??,
                grace: Duration::ZERO,
                minimum_reclaim: None,
            })
        });
        Self { thresholds: hard.collect(), transition: TRANSITION, max_pod_grace: Duration::ZERO }
    }
}

impl Written {
    /// What it means; an error names the signal, in the kubelet's words where it has some.
    pub fn read(&self) -> Result<Eviction, String> {
        let defaults = Eviction::default();
        let mut thresholds = match &self.hard {
            Some(hard) => statements(hard)?,
            None => defaults.thresholds,
        };
        let graces = self.soft_grace_period.iter().map(|(signal, text)| {
            Ok((signal_of(signal)?, duration(text).map_err(|why| format!("{signal}={text}: {why}"))?))
        });
        let graces = graces.collect::<Result<Vec<_>, String>>()?;
        for soft in statements(&self.soft)? {
            let grace = graces.iter().find(|(signal, _)| *signal == Some(soft.signal));
            let missing =
                || format!("grace period must be specified for the soft eviction threshold {}", soft.signal);
            let (_, grace) = grace.ok_or_else(missing)?;
            thresholds.push(Threshold { grace: *grace, ..soft });
        }
        for (signal, text) in &self.minimum_reclaim {
            let reclaim = value_of(text).map_err(|why| format!("{signal}={text}: {why}"))?;
            let signal = signal_of(signal)?;
            for threshold in thresholds.iter_mut().filter(|threshold| Some(threshold.signal) == signal) {
                threshold.minimum_reclaim = reclaim;
            }
        }
        Ok(Eviction {
            thresholds,
            transition: self.transition.unwrap_or(defaults.transition),
            max_pod_grace: Duration::from_secs(self.max_pod_grace_seconds),
        })
    }
}

/// Reads a flag: `SIGNAL<VALUE,...`, or with `=`.
pub fn pairs(text: &str, operator: char) -> Result<BTreeMap<String, String>, String> {
    let one = |pair: &str| {
        let (signal, value) =
            pair.split_once(operator).ok_or_else(|| format!("{pair:?}: must be SIGNAL{operator}VALUE"))?;
        Ok((signal.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').filter(|pair| !pair.trim().is_empty()).map(one).collect()
}

fn statements(written: &BTreeMap<String, String>) -> Result<Vec<Threshold>, String> {
    let mut thresholds = Vec::new();
    for (name, text) in written {
        let value = value_of(text).map_err(|why| format!("eviction threshold {name} {why}: {text}"))?;
        if let (Some(signal), Some(value)) = (signal_of(name)?, value) {
            if value == Value::Quantity(0) {
                return Err(format!("eviction threshold {name} must be positive: {text}"));
            }
            thresholds.push(Threshold { signal, value, grace: Duration::ZERO, minimum_reclaim: None });
        }
    }
    Ok(thresholds)
}

/// `None`: it goes without saying.
fn signal_of(name: &str) -> Result<Option<Signal>, String> {
    match Signal::ALL.into_iter().find(|signal| signal.as_str() == name) {
        Some(signal) => Ok(Some(signal)),
        None if OF_CONTAINER_FS.contains(&name) => Ok(None),
        None => Err(format!("unsupported eviction signal {name}")),
    }
}

/// `None` for `0%` and `100%`, which say that there is no threshold.
fn value_of(text: &str) -> Result<Option<Value>, String> {
    let Some(percent) = text.strip_suffix('%') else {
        let quantity = Quantity::parse(text).map_err(|error| error.to_string())?;
        if quantity.is_negative() {
            return Err("must be positive".to_owned());
        }
        return Ok(Some(Value::Quantity(quantity.units())));
    };
    let percent: f64 = percent.parse().map_err(|_| "must be a quantity or a percentage".to_owned())?;
    if !(0.0..=100.0).contains(&percent) {
        return Err("must be from 0% to 100%".to_owned());
    }
    let part = (percent * (WHOLE / 100) as f64).round() as u64;
    Ok((part > 0 && part < WHOLE).then_some(Value::Part(part)))
}

/// A time as Go writes it: `1m30s`, and `0` too.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a time such as 90s or 1m30s".to_owned();
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).map_err(|_| wrong())
}

impl Value {
    /// How much that is where there is so much in all.
    pub fn of(self, capacity: u64) -> u64 {
        match self {
            Self::Quantity(quantity) => quantity,
            Self::Part(part) => {
                let amount = u128::from(capacity) * u128::from(part) / u128::from(WHOLE);
                u64::try_from(amount).unwrap_or(u64::MAX)
            }
        }
    }
}

impl Threshold {
    /// Pods go at once.
    pub fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }

    /// There is too little; of one that was met before, `with_reclaim`, also what is to be left beyond it.
    pub fn is_met(&self, seen: &Observation, with_reclaim: bool) -> bool {
        let reclaim =
            self.minimum_reclaim.filter(|_| with_reclaim).map_or(0, |value| value.of(seen.capacity));
        self.value.of(seen.capacity).saturating_add(reclaim) > seen.available
    }

    /// The same threshold, whatever is to be reclaimed.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.signal, self.value, self.grace) == (other.signal, other.value, other.grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(text: &str, operator: char) -> BTreeMap<String, String> {
        pairs(text, operator).unwrap()
    }

    fn read(hard: &str, soft: &str, graces: &str, reclaim: &str) -> Result<String, String> {
        let written = Written {
            hard: Some(map(hard, '<')),
            soft: map(soft, '<'),
            soft_grace_period: map(graces, '='),
            minimum_reclaim: map(reclaim, '='),
            ..Written::default()
        };
        let text = |threshold: Threshold| {
            let Threshold { signal, value, grace, minimum_reclaim } = threshold;
            let reclaim = minimum_reclaim.map(|value| format!(" +{value:?}")).unwrap_or_default();
            format!("{signal}<{value:?} {}s{reclaim}", grace.as_secs())
        };
        Ok(written.read()?.thresholds.into_iter().map(text).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn the_defaults_are_the_kubelets() {
        let eviction = Eviction::default();
        let all: Vec<_> = eviction.thresholds.iter().map(|one| (one.signal.as_str(), one.value)).collect();
        assert_eq!(
            all,
            [
                ("memory.available", Value::Quantity(100 << 20)),
                ("nodefs.available", Value::Part(100_000)),
                ("nodefs.inodesFree", Value::Part(50_000)),
                ("imagefs.available", Value::Part(150_000)),
                ("imagefs.inodesFree", Value::Part(50_000)),
            ]
        );
        assert_eq!(eviction.transition, Duration::from_secs(300));
        assert_eq!(Written::default().read(), Ok(eviction));
    }

    #[test]
    fn thresholds_are_written_as_for_a_kubelet() {
        for (hard, soft, graces, reclaim, expected) in [
            ("", "", "", "", Ok("")),
            ("memory.available<1Gi", "", "", "", Ok("memory.available<Quantity(1073741824) 0s")),
            ("nodefs.available<2.5%", "", "", "", Ok("nodefs.available<Part(25000) 0s")),
            ("nodefs.available<0%,pid.available<100%", "", "", "", Ok("")),
            ("containerfs.available<5%", "", "", "", Ok("")),
            (
                "memory.available<1",
                "memory.available<2",
                "memory.available=1m30s",
                "memory.available=5%",
                Ok(
                    "memory.available<Quantity(1) 0s +Part(50000), memory.available<Quantity(2) 90s +Part(50000)",
                ),
            ),
            (
                "",
                "pid.available<5",
                "",
                "",
                Err("grace period must be specified for the soft eviction threshold pid.available"),
            ),
            ("memory<1", "", "", "", Err("unsupported eviction signal memory")),
            (
                "memory.available<0",
                "",
                "",
                "",
                Err("eviction threshold memory.available must be positive: 0"),
            ),
            (
                "memory.available<-1",
                "",
                "",
                "",
                Err("eviction threshold memory.available must be positive: -1"),
            ),
            (
                "nodefs.available<101%",
                "",
                "",
                "",
                Err("eviction threshold nodefs.available must be from 0% to 100%: 101%"),
            ),
            (
                "",
                "pid.available<5",
                "pid.available=-1s",
                "",
                Err("pid.available=-1s: must be a time such as 90s or 1m30s"),
            ),
        ] {
            let found = read(hard, soft, graces, reclaim);
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{hard} {soft}");
        }
        assert_eq!(pairs("memory.available", '<').unwrap_err(), "\"memory.available\": must be SIGNAL<VALUE");
    }

    #[test]
    fn less_than_the_threshold_is_too_little_and_what_is_to_be_reclaimed_counts_afterwards() {
        let threshold = Threshold {
            signal: Signal::NodeFsAvailable,
            value: Value::Part(100_000),
            grace: Duration::ZERO,
            minimum_reclaim: Some(Value::Quantity(50)),
        };
        for (available, met, with_reclaim) in
            [(99, true, true), (100, false, true), (149, false, true), (150, false, false)]
        {
            let seen = Observation { available, capacity: 1000 };
            assert_eq!(
                (threshold.is_met(&seen, false), threshold.is_met(&seen, true)),
                (met, with_reclaim),
                "{available}"
            );
        }
    }
}

//! What a pod was promised, and what it may use at most: the sum of its containers', or what an init container needs if that is more.
//!
//! Source: `k8s.io/component-helpers/resource`, `PodRequests`, `PodLimits`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::writer::{fields, list};
use crate::pod::quantity::Quantity;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Requests,
    Limits,
}

/// Thousandths, by resource.
type Amounts = BTreeMap<String, u64>;

/// Requests and limits.
#[derive(Debug, Default)]
pub(super) struct Resources {
    requests: Amounts,
    limits: Amounts,
}

impl Resources {
    /// Those of a pod.
    pub(super) fn of(pod: &Value) -> Self {
        Self { requests: of_pod(&pod["spec"], "requests"), limits: of_pod(&pod["spec"], "limits") }
    }

    /// Thousandths of a resource.
    pub(super) fn get(&self, name: &str, kind: Kind) -> u64 {
        let amounts = match kind {
            Kind::Requests => &self.requests,
            Kind::Limits => &self.limits,
        };
        amounts.get(name).copied().unwrap_or(0)
    }

    /// Those of another pod as well.
    pub(super) fn add(&mut self, other: &Self) {
        add(&mut self.requests, &other.requests);
        add(&mut self.limits, &other.limits);
    }
}

fn of_pod(spec: &Value, field: &str) -> Amounts {
    let mut sum = Amounts::new();
    list(&spec["containers"])
        .iter()
        .for_each(|container| add(&mut sum, &amounts(&container["resources"][field])));
    // Sidecars stay, and run beside every init container after them.
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for container in list(&spec["initContainers"]) {
        let own = amounts(&container["resources"][field]);
        let mut beside = sidecars.clone();
        add(&mut beside, &own);
        if container["restartPolicy"] == "Always" {
            sidecars.clone_from(&beside);
            add(&mut sum, &own);
        }
        for (name, amount) in beside {
            let most = most.entry(name).or_default();
            *most = amount.max(*most);
        }
    }
    for (name, amount) in most {
        let sum = sum.entry(name).or_default();
        *sum = amount.max(*sum);
    }
    // What is asked for the pod as a whole goes before what its containers ask for.
    sum.extend(amounts(&spec["resources"][field]));
    if field == "requests" {
        add(&mut sum, &amounts(&spec["overhead"]));
    }
    sum
}

fn amounts(quantities: &Value) -> Amounts {
    let amount =
        |value: &Value| value.as_str().and_then(|text| Quantity::parse(text).ok()).map(Quantity::millis);
    let amounts = fields(quantities).into_iter();
    amounts.filter_map(|(name, value)| Some((name.clone(), amount(value)?))).collect()
}

fn add(sum: &mut Amounts, amounts: &Amounts) {
    for (name, amount) in amounts {
        let sum = sum.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

/// `100m (5%)`: an amount, and which part it is of what there is.
pub(super) fn fraction(name: &str, milli: u64, of: &Value) -> String {
    let of = of.as_str().and_then(|text| Quantity::parse(text).ok()).map_or(0, Quantity::millis);
    let percent = u128::from(milli) * 100 / u128::from(of.max(1));
    let percent = if of == 0 { 0 } else { percent };
    format!("{} ({percent}%)", quantity(name, milli))
}

/// An amount with the largest suffix that it is a whole number of: bytes in powers of 1024 if they can be.
pub(super) fn quantity(name: &str, milli: u64) -> String {
    if !milli.is_multiple_of(1000) {
        return format!("{milli}m");
    }
    let units = milli / 1000;
    let is_bytes = name == "memory" || name == "ephemeral-storage" || name.starts_with("hugepages-");
    let (base, suffixes) = match units {
        _ if is_bytes && units.is_multiple_of(1024) => (1024, ["", "Ki", "Mi", "Gi", "Ti"]),
        _ => (1000, ["", "k", "M", "G", "T"]),
    };
    let mut number = units;
    let mut suffix = 0;
    while number > 0 && number.is_multiple_of(base) && suffix + 1 < suffixes.len() {
        number /= base;
        suffix += 1;
    }
    format!("{number}{}", suffixes[suffix])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_has_what_its_containers_have_or_its_start_needs() {
        let container = |cpu: &str, policy: Option<&str>| json!({"restartPolicy": policy, "resources": {"requests": {"cpu": cpu}}});
        for (containers, inits, expected) in [
            (vec![container("100m", None), container("1", None)], vec![], 1100),
            (vec![container("100m", None)], vec![container("2", None)], 2000),
            (vec![container("100m", None)], vec![container("200m", Some("Always"))], 300),
            (
                vec![container("100m", None)],
                vec![container("200m", Some("Always")), container("1", None)],
                1200,
            ),
        ] {
            let pod = json!({"spec": {"containers": containers, "initContainers": inits}});
            assert_eq!(Resources::of(&pod).get("cpu", Kind::Requests), expected, "{pod}");
            assert_eq!(Resources::of(&pod).get("cpu", Kind::Limits), 0);
        }
    }

    #[test]
    fn an_amount_has_the_largest_suffix_that_fits() {
        for (name, milli, expected) in [
            ("cpu", 0, "0"),
            ("cpu", 100, "100m"),
            ("cpu", 2000, "2"),
            ("cpu", 1_024_000, "1024"),
            ("memory", (64 << 20) * 1000, "64Mi"),
            ("memory", 1025 * 1000, "1025"),
            ("memory", 100_000_000 * 1000, "100M"),
            ("ephemeral-storage", (3 << 30) * 1000, "3Gi"),
        ] {
            assert_eq!(quantity(name, milli), expected);
        }
        assert_eq!(fraction("cpu", 100, &json!("2")), "100m (5%)");
        assert_eq!(fraction("cpu", 100, &json!(null)), "100m (0%)");
    }
}

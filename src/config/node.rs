//! How the node looks after itself: what an agent does, and `mkubelet run` does not.

use std::collections::BTreeMap;

use crate::eviction::signal::Signal;
use crate::eviction::threshold::Eviction;
use crate::image::collect::Policy;
use crate::pod::downward::Allocatable;
use crate::pod::quantity::Quantity;
use crate::shutdown::Shutdown;

/// What an agent does for its node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCare {
    /// When pods have to go for want of something.
    pub eviction: Eviction,
    /// What pods are not given.
    pub reserved: Reserved,
    /// How pods end when the machine goes down.
    pub shutdown: Shutdown,
    /// When images go that nobody uses.
    pub images: Policy,
}

/// What is kept from the pods, for the system and for the agent: thousandths of a processor, and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Bytes.
    pub memory: u64,
    /// Bytes on disk.
    pub ephemeral_storage: u64,
}

/// Nothing at all.
impl Default for NodeCare {
    fn default() -> Self {
        let eviction = Eviction { thresholds: Vec::new(), ..Eviction::default() };
        Self {
            eviction,
            reserved: Reserved::default(),
            shutdown: Shutdown::default(),
            images: Policy::default(),
        }
    }
}

impl NodeCare {
    /// What pods may have together on a machine that has this: what is reserved is not theirs, and what is left when a hard threshold is
    /// met (the kubelet's GetNodeAllocatableReservation).
    pub fn allocatable(&self, capacity: &Allocatable) -> Allocatable {
        let left = self.reserved.taken_from(capacity);
        let kept = |signal: Signal, of: u64| {
            let hard = self.eviction.thresholds.iter().filter(|one| one.is_hard() && one.signal == signal);
            hard.map(|one| one.value.of(of)).max().unwrap_or(0)
        };
        Allocatable {
            memory: left.memory.saturating_sub(kept(Signal::MemoryAvailable, capacity.memory)),
            ephemeral_storage: left
                .ephemeral_storage
                .saturating_sub(kept(Signal::NodeFsAvailable, capacity.ephemeral_storage)),
            ..left
        }
    }
}

impl Reserved {
    /// Reads `--system-reserved` and `--kube-reserved`: `cpu=500m,memory=1Gi,ephemeral-storage=10Gi`. Errors are in the kubelet's words, where it
    /// has some.
    pub fn read(written: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut reserved = Self::default();
        for (resource, text) in written {
            let quantity = Quantity::parse(text).map_err(|error| {
                format!("failed to parse quantity {text:?} for {resource:?} resource: {error}")
            })?;
            if quantity.is_negative() {
                return Err(format!("resource quantity for {resource:?} cannot be negative: {text}"));
            }
            match resource.as_str() {
                "cpu" => reserved.cpu_millis = quantity.millis(),
                "memory" => reserved.memory = quantity.units(),
                "ephemeral-storage" => reserved.ephemeral_storage = quantity.units(),
                "pid" => {
                    return Err(
                        "\"pid\" is not reserved here: each pod has its limit (--pod-max-pids)".to_owned()
                    );
                }
                other => return Err(format!("cannot reserve {other:?} resource")),
            }
        }
        Ok(reserved)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory: self.memory.saturating_add(other.memory),
            ephemeral_storage: self.ephemeral_storage.saturating_add(other.ephemeral_storage),
        }
    }

    /// What a machine has without it.
    pub fn taken_from(&self, capacity: &Allocatable) -> Allocatable {
        Allocatable {
            cpu_millis: capacity.cpu_millis.saturating_sub(self.cpu_millis),
            memory: capacity.memory.saturating_sub(self.memory),
            ephemeral_storage: capacity.ephemeral_storage.saturating_sub(self.ephemeral_storage),
        }
    }

    /// Whether a machine has so much, else why not, in the kubelet's words.
    pub fn check(&self, capacity: &Allocatable) -> Result<(), String> {
        for (resource, reserved, capacity) in [
            ("cpu", self.cpu_millis, capacity.cpu_millis),
            ("memory", self.memory, capacity.memory),
            ("ephemeral-storage", self.ephemeral_storage, capacity.ephemeral_storage),
        ] {
            if reserved > capacity {
                return Err(format!(
                    "invalid Node Allocatable configuration. Resource {resource:?} has a reservation of {reserved} but \
                     capacity of {capacity}. Expected capacity >= reservation"
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::threshold::pairs;

    fn read(text: &str) -> Result<Reserved, String> {
        Reserved::read(&pairs(text, '=').unwrap())
    }

    #[test]
    fn what_is_reserved_is_written_as_for_a_kubelet() {
        let all = Reserved { cpu_millis: 500, memory: 1 << 30, ephemeral_storage: 10 << 30 };
        for (text, expected) in [
            ("", Ok(Reserved::default())),
            ("cpu=500m,memory=1Gi,ephemeral-storage=10Gi", Ok(all)),
            ("cpu=-1", Err("resource quantity for \"cpu\" cannot be negative: -1")),
            ("gpu=1", Err("cannot reserve \"gpu\" resource")),
            ("pid=100", Err("\"pid\" is not reserved here: each pod has its limit (--pod-max-pids)")),
        ] {
            assert_eq!(read(text), expected.map_err(str::to_owned), "{text}");
        }
        assert!(
            read("memory=lots").unwrap_err().starts_with("failed to parse quantity \"lots\" for \"memory\"")
        );
    }

    #[test]
    fn pods_have_what_is_not_reserved_and_not_below_a_hard_threshold() {
        let capacity = Allocatable { cpu_millis: 4000, memory: 8 << 30, ephemeral_storage: 1000 };
        let reserved = read("cpu=1,memory=1Gi").unwrap().and(read("cpu=500m").unwrap());
        let care = NodeCare { eviction: Eviction::default(), reserved, ..NodeCare::default() };
        assert_eq!(
            care.allocatable(&capacity),
            Allocatable { cpu_millis: 2500, memory: (7 << 30) - (100 << 20), ephemeral_storage: 900 }
        );
        assert_eq!(NodeCare::default().allocatable(&capacity), capacity);
    }

    #[test]
    fn more_than_there_is_cannot_be_reserved() {
        let capacity = Allocatable { cpu_millis: 4000, memory: 8 << 30, ephemeral_storage: 1000 };
        assert_eq!(read("cpu=4").unwrap().check(&capacity), Ok(()));
        assert_eq!(
            read("cpu=5").unwrap().check(&capacity).unwrap_err(),
            "invalid Node Allocatable configuration. Resource \"cpu\" has a reservation of 5000 but capacity of 4000. \
             Expected capacity >= reservation"
        );
    }
}

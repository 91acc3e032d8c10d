//! `--user-ids`: the host's ids that pods with a user namespace of their own get.

use std::str::FromStr;

/// Ids of a pod, as the kubelet's `idsPerPod` is by default.
pub const IDS_PER_POD: u32 = 65_536;

/// Pods of a node, as the kubelet's `maxPods` is by default.
const PODS: u32 = 110;

/// Ids of the host that are set aside for pods, for users and groups alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserIdPool {
    first: u32,
    pods: u32,
}

impl Default for UserIdPool {
    /// The kubelet's: 110 pods from 65536 on.
    fn default() -> Self {
        Self { first: IDS_PER_POD, pods: PODS }
    }
}

impl FromStr for UserIdPool {
    type Err = String;

    /// Reads `FIRST:COUNT`, with the kubelet's demands on a range: both are multiples of 65536, and the host's own ids, 0 to 65535,
    /// are not among them.
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once(':').and_then(|(first, count)| {
            let count: u64 = count.parse().ok()?;
            Some((first.parse::<u64>().ok()?, count))
        });
        let (first, count) = numbers.ok_or("must be FIRST:COUNT")?;
        let unit = u64::from(IDS_PER_POD);
        // The last id of all is what system calls take for "no change".
        let end = first.checked_add(count).filter(|end| *end < 1 << 32);
        match (u32::try_from(first), u32::try_from(count / unit), end) {
            _ if first % unit != 0 || count % unit != 0 => {
                Err(format!("FIRST and COUNT must be multiples of {unit}"))
            }
            _ if first < unit => {
                Err(format!("FIRST must be at least {unit}: the ids below are the host's own"))
            }
            _ if count == 0 => Err("COUNT must not be 0".to_owned()),
            (Ok(first), Ok(pods), Some(_)) => Ok(Self { first, pods }),
            _ => Err("goes beyond the last id".to_owned()),
        }
    }
}

impl UserIdPool {
    /// Its first id.
    pub fn first(self) -> u32 {
        self.first
    }

    /// How many pods it has ids for.
    pub fn pods(self) -> u32 {
        self.pods
    }

    /// The first id of each pod.
    pub fn firsts(self) -> impl Iterator<Item = u32> {
        (0..self.pods).map(move |pod| self.first + pod * IDS_PER_POD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_as_the_kubelet_wants_it() {
        assert_eq!("65536:7208960".parse::<UserIdPool>().unwrap(), UserIdPool::default());
        for (text, why) in [
            ("", "must be FIRST:COUNT"),
            ("65536", "must be FIRST:COUNT"),
            ("a:b", "must be FIRST:COUNT"),
            ("-65536:65536", "must be FIRST:COUNT"),
            ("0:65536", "FIRST must be at least 65536: the ids below are the host's own"),
            ("100000:65536", "FIRST and COUNT must be multiples of 65536"),
            ("65536:1000", "FIRST and COUNT must be multiples of 65536"),
            ("65536:0", "COUNT must not be 0"),
            ("4294901760:65536", "goes beyond the last id"),
            ("65536:4294967296", "goes beyond the last id"),
            ("65536:18446744073709486080", "goes beyond the last id"),
        ] {
            assert_eq!(text.parse::<UserIdPool>().unwrap_err(), why, "{text}");
        }
        assert!("4294836224:65536".parse::<UserIdPool>().is_ok());
    }
}

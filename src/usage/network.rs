//! What went over a pod's network interfaces, as the kernel counts it (/proc/PID/net/dev, proc_pid_net(5)).

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name in the pod.
    pub name: String,
    /// What came in.
    pub received: Traffic,
    /// What went out.
    pub sent: Traffic,
}

/// One direction, since the interface was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Packets that came to nothing.
    pub errors: u64,
    /// Packets that there was no room for.
    pub dropped: u64,
}

/// The interfaces of a text; lines that are none, such as its two headings, are passed over.
pub fn parse(text: &str) -> Vec<Interface> {
    let interface = |line: &str| {
        let (name, figures) = line.split_once(':')?;
        let figures: Vec<u64> =
            figures.split_whitespace().map(|text| text.parse().ok()).collect::<Option<_>>()?;
        let traffic = |from: usize| {
            let [bytes, packets, errors, dropped] = figures.get(from..from + 4)? else { return None };
            Some(Traffic { bytes: *bytes, packets: *packets, errors: *errors, dropped: *dropped })
        };
        Some(Interface { name: name.trim().to_owned(), received: traffic(0)?, sent: traffic(8)? })
    };
    text.lines().filter_map(interface).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_with_both_directions() {
        let text = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n    \
                    lo:      10       1    0    0    0     0          0         0       10       1    0    0    0     0       0          0\n  \
                    eth0: 2000      20    3    4    0     0          0         0     5000      50    6    7    0     0       0          0\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!(found[1].name, "eth0");
        assert_eq!(found[1].received, Traffic { bytes: 2000, packets: 20, errors: 3, dropped: 4 });
        assert_eq!(found[1].sent, Traffic { bytes: 5000, packets: 50, errors: 6, dropped: 7 });
        assert_eq!(parse("eth0: 1 2 3"), []);
    }
}

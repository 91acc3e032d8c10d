//! Names of kernel parameters: their syntax, the namespace each belongs to, and which of them pods may set.

/// Kernel parameters that a pod may set without anybody's leave: of its own namespaces alone, and harmless to others.
///
/// The kubelet's list (pkg/kubelet/sysctl/safe_sysctls.go).
const SAFE: [&str; 12] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
];

/// Longest name, bytes.
pub(super) const MAX_NAME: usize = 253;

/// What a name looks like, as the API server words it.
pub(super) const SYNTAX: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// The namespace that has its own value of a kernel parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// Of System V and POSIX inter-process communication, ipc_namespaces(7).
    Ipc,
    /// Of the network, network_namespaces(7).
    Network,
}

/// The namespace of a kernel parameter or of all those that begin so; `None`: the whole machine's, or not known to be any other.
pub fn namespace(name: &str) -> Option<Namespace> {
    const IPC: [&str; 3] = ["kernel.msg", "kernel.shm", "fs.mqueue."];
    let name = name.strip_suffix('*').unwrap_or(name);
    match () {
        () if name.starts_with("net.") => Some(Namespace::Network),
        () if name == "kernel.sem" || IPC.iter().any(|prefix| name.starts_with(prefix)) => {
            Some(Namespace::Ipc)
        }
        () => None,
    }
}

/// Whether the API server takes it for a name: words of small letters, digits, `-` and `_` between dots or slashes.
pub(super) fn is_name(text: &str) -> bool {
    let is_end = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_word = |word: &str| {
        let ends = [word.bytes().next(), word.bytes().next_back()];
        ends.iter().all(|end| end.is_some_and(is_end))
            && word.bytes().all(|byte| is_end(byte) || matches!(byte, b'-' | b'_'))
    };
    text.len() <= MAX_NAME && text.split(['.', '/']).all(is_word)
}

/// The name with dots between its words, as sysctl(8) reads it: whichever of `.` and `/` comes first separates, the
/// other one is a part of a word. `net/ipv4/conf/eth0.1/forwarding` is `net.ipv4.conf.eth0/1.forwarding`.
pub(super) fn with_dots(name: &str) -> String {
    if name.find(['.', '/']).is_none_or(|first| name.as_bytes()[first] == b'.') {
        return name.to_owned();
    }
    let swapped = |c| match c {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    name.chars().map(swapped).collect()
}

/// Why text is no pattern of kernel parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPattern {
    /// It is neither a name nor a name's beginning and a `*`.
    #[error(
        "the sysctl {0:?} must have at most {MAX_NAME} characters and be a name, or the beginning of one and a '*'"
    )]
    Syntax(String),
    /// What it stands for would change the whole machine.
    #[error("the sysctl {0:?} is not known to be namespaced")]
    NotNamespaced(String),
}

/// The kernel parameters that pods may set: the safe ones, and those that the node's owner adds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Names with dots, or beginnings of names followed by `*`.
    unsafe_patterns: Vec<String>,
}

impl Allowed {
    /// The safe ones and those of `patterns`: names, or beginnings of names followed by `*`.
    pub fn with_unsafe<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPattern> {
        let mut unsafe_patterns = Vec::new();
        for text in patterns {
            let bare = text.strip_suffix('*').unwrap_or(text);
            // `kernel.*` ends with the separator.
            let stem = if bare == text { bare } else { bare.trim_end_matches(['.', '/', '-', '_']) };
            if !is_name(stem) {
                return Err(InvalidPattern::Syntax(text.to_owned()));
            }
            let pattern = with_dots(text);
            if namespace(&pattern).is_none() {
                return Err(InvalidPattern::NotNamespaced(text.to_owned()));
            }
            unsafe_patterns.push(pattern);
        }
        Ok(Self { unsafe_patterns })
    }

    /// Whether pods may set it. `name` has dots between its words.
    pub fn allows(&self, name: &str) -> bool {
        let matches = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern,
        };
        SAFE.contains(&name) || (namespace(name).is_some() && self.unsafe_patterns.iter().any(matches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_with_dots_and_with_slashes() {
        for (name, expected) in [
            ("kernel.shm_rmid_forced", "kernel.shm_rmid_forced"),
            ("kernel/shm_rmid_forced", "kernel.shm_rmid_forced"),
            ("net.ipv4.conf.eth0/1.forwarding", "net.ipv4.conf.eth0/1.forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net.ipv4.conf.eth0/1.forwarding"),
            ("alone", "alone"),
        ] {
            assert!(is_name(name), "{name}");
            assert_eq!(with_dots(name), expected);
        }
        let long = "a".repeat(MAX_NAME + 1);
        for text in ["", ".", "a..b", "a/../b", "../a", "a.", "A.b", "a b", "a.-b", "a\n", "a=1", "ä", &long]
        {
            assert!(!is_name(text), "{text:?}");
        }
    }

    #[test]
    fn only_safe_kernel_parameters_are_allowed_unless_the_node_says_more() {
        let safe = Allowed::default();
        let more =
            Allowed::with_unsafe(["kernel.msg*", "net.core.somaxconn", "net/ipv6/*", "fs.mqueue.*"]).unwrap();
        for (name, by_default, with_more) in [
            ("net.ipv4.tcp_syncookies", true, true),
            ("kernel.shm_rmid_forced", true, true),
            ("kernel.shmmax", false, false),
            ("kernel.msgmax", false, true),
            ("net.core.somaxconn", false, true),
            ("net.core.somaxconnx", false, false),
            ("net.ipv6.conf.all.forwarding", false, true),
            ("fs.mqueue.msg_max", false, true),
            ("vm.swappiness", false, false),
            ("kernel.core_pattern", false, false),
        ] {
            assert_eq!((safe.allows(name), more.allows(name)), (by_default, with_more), "{name}");
        }
    }

    #[test]
    fn patterns_that_would_reach_the_whole_machine_are_refused() {
        use InvalidPattern::{NotNamespaced, Syntax};
        let refused = |text: &str| Allowed::with_unsafe([text]).unwrap_err();
        for text in ["kernel.*", "vm.swappiness", "kernel.core_pattern", "kernel.s*", "n*", "fs.file-max"] {
            assert_eq!(refused(text), NotNamespaced(text.to_owned()));
        }
        for text in ["", "*", "net.**", "net..x", "Net.core", "net.core.*x", " net.core"] {
            assert_eq!(refused(text), Syntax(text.to_owned()));
        }
    }
}

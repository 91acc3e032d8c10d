//! Names that become paths, cgroups and log directories: checked once, here, and safe ever after.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a string cannot be an identifier. The text is the API server's own wording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidId(pub String);

/// A pod's UID: lower-case letters, digits and dashes, 1 to 63 characters, starting and ending with a letter or digit.
///
/// The API server's UIDs are UUIDs; those of static pods are hashes. Either fits. Safe as a file or cgroup name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PodUid(String);

/// A container's name: a DNS label of RFC 1123 (at most 63 characters). Safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

/// Namespace and name of a pod, printed as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodKey {
    /// A DNS label.
    pub namespace: String,
    /// A DNS subdomain.
    pub name: String,
}

impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// True if `text` is a DNS label of RFC 1123: at most 63 of `[a-z0-9-]`, starting and ending with a letter or digit.
pub fn is_dns_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    !bytes.is_empty()
        && bytes.len() <= 63
        && bytes.iter().all(inner)
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
}

macro_rules! identifier {
    ($name:ident, $what:literal) => {
        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_dns_label(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId(format!(
                        "{}: {text:?} is not a lowercase RFC 1123 label: it must consist of lower case alphanumeric \
                         characters or '-', start and end with an alphanumeric character, and have at most 63 characters",
                        $what
                    )))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identifier!(PodUid, "pod uid");
identifier!(ContainerName, "container name");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_that_could_leave_a_directory_are_refused() {
        for bad in ["", ".", "..", "../etc", "a/b", "a\0b", "a\n", "A", "-a", "a-", &"a".repeat(64), "ä"] {
            assert!(bad.parse::<PodUid>().is_err(), "{bad:?}");
            assert!(bad.parse::<ContainerName>().is_err(), "{bad:?}");
        }
        for good in ["a", "0", "nginx", "6f1d7a2e-0d1c-4c39-9a53-0c3a7d2c9f10", &"a".repeat(63)] {
            assert!(good.parse::<PodUid>().is_ok(), "{good:?}");
        }
    }
}

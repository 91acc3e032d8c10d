//! What a registry is shown by somebody whom it knows.

use std::fmt;

use crate::image::digest::Digest;

/// Who somebody is to a registry. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    /// A name and a password.
    Basic {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// An identity token, which a token service changes into others (`identitytoken` of Docker's configuration).
    Identity(String),
    /// A token that the registry takes as it is (`registrytoken`).
    Token(String),
}

impl Credential {
    /// Tells whether two credentials are the same, without telling what they are.
    pub fn fingerprint(&self) -> String {
        let parts = match self {
            Credential::Basic { username, password } => ["basic", username, password],
            Credential::Identity(token) => ["identity", token, ""],
            Credential::Token(token) => ["token", token, ""],
        };
        Digest::of(parts.join("\0").as_bytes()).hex().to_owned()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_told_from_others_and_never_printed() {
        let basic = |username: &str, password: &str| Credential::Basic {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        let all = [
            basic("a", "bc"),
            basic("ab", "c"),
            Credential::Identity("a".into()),
            Credential::Token("a".into()),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(format!("{one:?}"), "Credential");
            assert_eq!(one.fingerprint(), one.clone().fingerprint());
            assert!(all[..at].iter().all(|other| other.fingerprint() != one.fingerprint()));
        }
    }
}

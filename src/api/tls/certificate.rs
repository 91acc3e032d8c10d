//! The certificate of the port. It is made anew with each start, and again before it ends.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Error;
use crate::api::pki::{self, Authority};

/// When a third of its time is left, there will be another.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24 * pki::DAYS as i64 * 2 / 3);

/// Names under which pods of a cluster find its API server.
const NAMES: [&str; 4] = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// The certificate that is shown now, and how to make the next.
pub(super) struct Serving {
    authority: Authority,
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    current: RwLock<Current>,
}

#[derive(Clone)]
struct Current {
    key: Arc<CertifiedKey>,
    made: Timestamp,
}

impl std::fmt::Debug for Serving {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Serving").field("names", &self.names).field("addresses", &self.addresses).finish()
    }
}

impl Serving {
    pub(super) fn new(
        authority: Authority,
        node_name: &str,
        addresses: BTreeSet<IpAddr>,
    ) -> Result<Self, Error> {
        let mut names: Vec<String> = NAMES.map(str::to_owned).into();
        if !node_name.is_empty() && !NAMES.contains(&node_name) {
            names.push(node_name.to_owned());
        }
        let addresses: Vec<IpAddr> = addresses.into_iter().collect();
        let current = make(&authority, &names, &addresses, Timestamp::now())?;
        Ok(Self { authority, names, addresses, current: RwLock::new(current) })
    }

    fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if now.duration_since(current.made) < GOOD_FOR {
            return current.key;
        }
        match make(&self.authority, &self.names, &self.addresses, now) {
            Ok(next) => {
                let key = Arc::clone(&next.key);
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = next;
                key
            }
            Err(error) => {
                tracing::error!("renew the certificate of the API's port: {error}");
                current.key
            }
        }
    }
}

fn make(
    authority: &Authority,
    names: &[String],
    addresses: &[IpAddr],
    now: Timestamp,
) -> Result<Current, Error> {
    let issued = authority.issue_server(names, addresses, now)?;
    let chain = vec![issued.certificate(), authority.certificate()];
    let key = CertifiedKey::from_der(chain, issued.key(), &ring::default_provider())?;
    Ok(Current { key: Arc::new(key), made: now })
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_before_it_ends_and_not_before() {
        let directory = tempfile::tempdir().unwrap();
        let now = Timestamp::now();
        let authority = Authority::open(directory.path(), now).unwrap();
        let serving = Serving::new(authority, "node", BTreeSet::new()).unwrap();
        let days = |days: i64| now + SignedDuration::from_hours(24 * days);
        let first = serving.at(now);
        assert!(Arc::ptr_eq(&first, &serving.at(days(200))));
        let second = serving.at(days(300));
        assert!(!Arc::ptr_eq(&first, &second), "it would have ended after 365 days");
        assert!(Arc::ptr_eq(&second, &serving.at(days(301))));
    }
}

//! From what a Pod says about its images to a pull: its policy, its Secrets, the node's own credentials, and whose turn it is.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use super::credential_provider::{self, Providers};
use super::node_credentials::NodeCredentials;
use super::observe::ERR_IMAGE_PULL;
use super::pull_rate::Rate;
use super::{Error, NotStarted, Notice, Refusal};
use crate::config::Config;
use crate::config::pulls::PullLimits;
use crate::events::Event;
use crate::image::registry::{self, Grant, Hosts, Keyring, Patience, Progress, Pull, Source};
use crate::image::{self, Image, Reference, Store};
use crate::pod::Pod;
use crate::pod::objects::{Objects, Secret};
use crate::pod::spec::PullPolicy;

/// How an image was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// How long the pull itself took.
    pub took: Duration,
    /// How long it waited for its turn.
    pub waited: Duration,
    /// Bytes of the image as its registry has it.
    pub size: u64,
}

/// The node's way to registries.
#[derive(Debug)]
pub struct Puller {
    store: Store,
    root: PathBuf,
    hosts: Hosts,
    providers: Providers,
    turns: Semaphore,
    /// How often pulls may begin, if that is limited.
    rate: Option<Mutex<Rate>>,
}

impl Puller {
    /// For a store, on a node that is set up like this. Fails when the node's plugins are not as they should be.
    pub fn new(store: Store, config: &Config) -> Result<Self, credential_provider::Error> {
        let (root, hosts) = (config.layout.root().to_owned(), Hosts::new(&config.registry_hosts));
        let providers = config.credential_providers.as_ref().map(Providers::read).transpose()?;
        let PullLimits { at_once, per_second, burst } = config.pulls;
        let at_once = at_once.and_then(|most| usize::try_from(most).ok()).unwrap_or(Semaphore::MAX_PERMITS);
        let turns = Semaphore::new(at_once.min(Semaphore::MAX_PERMITS));
        let rate = (per_second > 0).then(|| Mutex::new(Rate::new(per_second, burst, Instant::now())));
        Ok(Self { store, root, hosts, providers: providers.unwrap_or_default(), turns, rate })
    }

    /// Pulls an image, when it is its turn.
    pub async fn pull(
        &self,
        image: &str,
        secrets: &PullSecrets,
        progress: Arc<Progress>,
    ) -> Result<Pulled, Refusal> {
        let refused = |message: String| Refusal { reason: ERR_IMAGE_PULL, message };
        let reference: Reference = image.parse().map_err(|error| invalid_name(image, &error))?;
        secrets.tell_missing();
        let asked = Instant::now();
        let _turn = self.turns.acquire().await.map_err(|error| refused(error.to_string()))?;
        let begun = Instant::now();
        if !self.may_begin(begun) {
            return Err(refused("pull QPS exceeded".to_owned()));
        }
        let pulled = self.fetch(reference, &secrets.keyring, progress).await;
        let stored = pulled.map_err(|error| refused(Error::chain(&error).0))?;
        Ok(Pulled { took: begun.elapsed(), waited: begun - asked, size: stored.size })
    }

    fn may_begin(&self, now: Instant) -> bool {
        let Some(rate) = &self.rate else { return true };
        rate.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }

    /// True if one of these credentials, by their fingerprints, is for that image and among the pod's.
    pub fn has_any(&self, image: &str, keyring: &Keyring, holders: &BTreeSet<String>) -> bool {
        let Ok(reference) = image.parse::<Reference>() else { return false };
        let mine = keyring.find(&reference.repository());
        mine.iter().any(|credential| holders.contains(&credential.fingerprint()))
    }

    /// Pulls an image at once, with these credentials and the node's own.
    pub async fn fetch(
        &self,
        reference: Reference,
        secrets: &Keyring,
        progress: Arc<Progress>,
    ) -> Result<image::Stored, registry::Error> {
        let (root, hosts, name) = (self.root.clone(), self.hosts.clone(), reference.clone());
        let set_up = spawn_blocking(move || (NodeCredentials::read(&root), hosts.endpoints(&name)));
        let (nodes, endpoints) = set_up.await.map_err(|error| registry::Error::Refused(error.to_string()))?;
        let mut sources = Vec::new();
        for endpoint in endpoints? {
            // A mirror is shown what is for itself, never what is for the registry whose images it has.
            let host = if endpoint.is_mirror { endpoint.host() } else { reference.registry().to_owned() };
            let credentials = self.grants(&host, reference.path(), secrets, &nodes).await;
            sources.push(Source { credentials, endpoint });
        }
        Pull { store: self.store.clone(), reference, sources, patience: Patience::default(), progress }
            .run()
            .await
    }

    /// Who may ask a host for a repository, in the kubelet's order: the pod's Secrets, the node's configuration, plugins.
    async fn grants(&self, host: &str, path: &str, secrets: &Keyring, nodes: &NodeCredentials) -> Vec<Grant> {
        let repository = format!("{host}/{path}");
        let of_pod = secrets.find(&repository).into_iter().map(|credential| (credential, false));
        let mut of_node = nodes.find(&repository).await;
        of_node.extend(self.providers.keyring(&repository).await.find(&repository));
        let of_node = of_node.into_iter().map(|credential| (credential, true));
        of_pod.chain(of_node).map(|(credential, is_nodes)| Grant { credential, is_nodes }).collect()
    }
}

/// What a pod's `imagePullSecrets` hold.
#[derive(Debug)]
pub struct PullSecrets {
    /// All of them together.
    pub keyring: Keyring,
    missing: Vec<String>,
    notices: mpsc::UnboundedSender<Notice>,
}

impl PullSecrets {
    /// Those of a pod, as they are now. Missing ones are told when something is pulled.
    pub fn of(pod: &Pod, objects: &Objects, notices: &mpsc::UnboundedSender<Notice>) -> Self {
        let (mut keyring, mut missing) = (Keyring::default(), Vec::new());
        for name in &pod.spec.image_pull_secrets {
            match objects.secret(&pod.key.namespace, name) {
                Some(secret) => keyring = keyring.and(of_secret(name, secret)),
                None => missing.push(name.clone()),
            }
        }
        Self { keyring, missing, notices: notices.clone() }
    }

    /// As the kubelet does it, whose pull goes on without them.
    fn tell_missing(&self) {
        if !self.missing.is_empty() {
            // The pod's worker may have ended.
            let _ = self.notices.send(Notice::Happened(Event::pull_secrets_missing(&self.missing)));
        }
    }
}

/// Whether what was found of an image is what a container may be started from. An image that was imported, or is read from
/// its place, is the node's own: no registry is asked about it. For any other the pull policy holds.
pub(super) fn admit(
    found: Result<Image, image::Error>,
    name: &str,
    policy: PullPolicy,
    may_use: impl FnOnce(&Image) -> bool,
) -> Result<Image, NotStarted> {
    let refused = |reason: &'static str, message: String| Refusal { reason, message }.into();
    // Whether it is there is nothing for those who may not have it.
    let never = || {
        let message = format!(
            "Container image {name:?} is not present with pull policy of Never; import it with: mkubelet image import LAYOUT_OR_DIR --name {name}"
        );
        refused("ErrImageNeverPull", message)
    };
    match (found, policy) {
        (Ok(image), _) if image.access.is_none() => Ok(image),
        (Ok(_), PullPolicy::Always) => Err(NotStarted::NoImage(name.to_owned())),
        (Ok(image), policy) => match (may_use(&image), policy) {
            (true, _) => Ok(image),
            (false, PullPolicy::Never) => Err(never()),
            (false, _) => Err(NotStarted::NoImage(name.to_owned())),
        },
        (Err(image::Error::Reference(error)), _) => Err(invalid_name(name, &error).into()),
        (Err(error @ image::Error::NotFound { .. }), _) if name.parse::<Reference>().is_err() => {
            Err(refused(ERR_IMAGE_PULL, Error::chain(&error).0))
        }
        (Err(image::Error::NotFound { .. }), PullPolicy::Never) => Err(never()),
        (Err(image::Error::NotFound { .. }), _) => Err(NotStarted::NoImage(name.to_owned())),
        (Err(error), _) => Err(refused(
            "ImageInspectError",
            format!("Failed to inspect image {name:?}: {}", Error::chain(&error)),
        )),
    }
}

fn invalid_name(name: &str, error: &image::InvalidReference) -> Refusal {
    let message = format!("Failed to apply default image tag {name:?}: couldn't parse image name: {error}");
    Refusal { reason: "InvalidImageName", message }
}

/// A Secret of another type, or one that cannot be read, opens nothing.
fn of_secret(name: &str, secret: &Secret) -> Keyring {
    let read = match secret.kind.as_str() {
        "kubernetes.io/dockerconfigjson" => {
            secret.data.get(".dockerconfigjson").map(|bytes| Keyring::of_config(bytes))
        }
        "kubernetes.io/dockercfg" => secret.data.get(".dockercfg").map(|bytes| Keyring::of_legacy(bytes)),
        _ => None,
    };
    match read {
        Some(Ok(keyring)) => keyring,
        Some(Err(error)) => {
            tracing::warn!(secret = name, %error, "the image pull secret is passed over");
            Keyring::default()
        }
        None => Keyring::default(),
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::image::Config;
    use serde_json::json;

    use super::*;
    use crate::image::Access;
    use crate::pod::objects::ObjectKey;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::pod;

    fn found(access: Option<Access>) -> Result<Image, image::Error> {
        let (id, reference) = ("sha256:1".to_owned(), "x".to_owned());
        Ok(Image { id, reference, layers: vec![], config: Config::default(), repo_digest: None, access })
    }

    fn missing() -> Result<Image, image::Error> {
        Err(image::Error::NotFound { image: "x".into(), detail: "is not in the store".into() })
    }

    fn invalid(name: &str) -> Result<Image, image::Error> {
        Err(image::Error::Reference(name.parse::<Reference>().unwrap_err()))
    }

    #[test]
    fn the_policy_decides_between_what_is_there_and_the_registry() {
        use PullPolicy::{Always, IfNotPresent, Never};
        let holders = || Some(Access::Holders(["f".to_owned()].into()));
        let everyone = || Some(Access::Everyone);
        // What there is of the image, whether this pod has the credentials for it, and what comes of it by Always, IfNotPresent, Never.
        type Found<'a> = &'a dyn Fn() -> Result<Image, image::Error>;
        let cases: [(&str, Found<'_>, bool, [&str; 3]); 6] = [
            ("x", &|| found(None), false, ["use", "use", "use"]),
            ("x", &|| found(everyone()), true, ["pull", "use", "use"]),
            ("x", &|| found(holders()), true, ["pull", "use", "use"]),
            ("x", &|| found(holders()), false, ["pull", "pull", "ErrImageNeverPull"]),
            ("x", &missing, false, ["pull", "pull", "ErrImageNeverPull"]),
            ("X", &|| invalid("X"), false, ["InvalidImageName", "InvalidImageName", "InvalidImageName"]),
        ];
        for (name, image, may_use, expected) in cases {
            let outcomes =
                [Always, IfNotPresent, Never].map(|policy| match admit(image(), name, policy, |_| may_use) {
                    Ok(_) => "use",
                    Err(NotStarted::NoImage(image)) => {
                        assert_eq!(image, name);
                        "pull"
                    }
                    Err(NotStarted::Refused(refusal)) => refusal.reason,
                });
            assert_eq!(outcomes, expected, "{name} {:?} {may_use}", image());
        }
        let of_place =
            || Err(image::Error::NotFound { image: "dir:/x".into(), detail: "is not there".into() });
        let refused = admit(of_place(), "dir:/x", IfNotPresent, |_| true).unwrap_err();
        let message = "image \"dir:/x\" is not there".to_owned();
        assert_eq!(refused, Refusal { reason: "ErrImagePull", message }.into());
    }

    #[test]
    fn refusals_are_in_the_kubelets_words() {
        let words = |found, policy| match admit(found, "a", policy, |_| false).unwrap_err() {
            NotStarted::Refused(refusal) => refusal.message,
            NotStarted::NoImage(_) => panic!("pulled"),
        };
        let never = words(missing(), PullPolicy::Never);
        assert!(
            never.starts_with("Container image \"a\" is not present with pull policy of Never"),
            "{never}"
        );
        assert!(
            words(invalid("A"), PullPolicy::Always)
                .starts_with("Failed to apply default image tag \"a\": couldn't parse image name")
        );
    }

    #[test]
    fn secrets_of_both_types_open_registries_and_missing_ones_are_told() {
        let mut pod = pod(RestartPolicy::Always, &[], &["a"]);
        pod.spec.image_pull_secrets = ["new", "old", "opaque", "broken", "gone"].map(str::to_owned).to_vec();
        let auth = |name: &str| json!({"a.example": {"username": name, "password": "p"}});
        let secret = |kind: &str, key: &str, value: String| Secret {
            data: [(key.to_owned(), value.into_bytes())].into(),
            kind: kind.to_owned(),
            immutable: false,
        };
        let new = json!({"auths": auth("new")}).to_string();
        let secrets = [
            ("new", secret("kubernetes.io/dockerconfigjson", ".dockerconfigjson", new.clone())),
            ("old", secret("kubernetes.io/dockercfg", ".dockercfg", auth("old").to_string())),
            ("opaque", secret("Opaque", ".dockerconfigjson", new)),
            ("broken", secret("kubernetes.io/dockercfg", ".dockercfg", "{".to_owned())),
        ];
        let key = |name: &str| ObjectKey { namespace: pod.key.namespace.to_string(), name: name.to_owned() };
        let secrets = secrets.into_iter().map(|(name, secret)| (key(name), secret)).collect();
        let objects = Objects { secrets, ..Objects::default() };
        let (sender, mut notices) = mpsc::unbounded_channel();
        let found = PullSecrets::of(&pod, &objects, &sender);
        assert_eq!(found.keyring.find("a.example/x").len(), 2);
        found.tell_missing();
        let Ok(Notice::Happened(event)) = notices.try_recv() else { panic!("nothing is told") };
        assert_eq!(event.reason, "FailedToRetrieveImagePullSecret");
        assert!(event.message.contains("(gone)"), "{}", event.message);
    }
}

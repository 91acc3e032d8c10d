//! The ConfigMaps and Secrets that pods of the API refer to, each followed by a watch of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1 as k8s;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use crate::pod::objects::{ConfigMap, ObjectKey, Objects, Secret};
use crate::pod::spec::ObjectKind;

/// What a pod refers to.
pub(super) type Reference = (ObjectKind, ObjectKey);

/// What a watch has found: the object as it is, or that there is none.
#[derive(Debug)]
pub(super) struct Answer {
    reference: Reference,
    content: Option<Content>,
}

#[derive(Debug)]
enum Content {
    ConfigMap(ConfigMap),
    Secret(Secret),
}

/// The objects that are followed.
pub(super) struct Followed {
    client: Client,
    answers: mpsc::UnboundedSender<Answer>,
    watches: BTreeMap<Reference, Watch>,
    all: Arc<Objects>,
}

struct Watch {
    task: AbortHandle,
    has_answered: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Followed {
    /// Nothing yet; what the watches find goes to `answers`, and from there to [`Followed::take`].
    pub(super) fn new(client: Client, answers: mpsc::UnboundedSender<Answer>) -> Self {
        Self { client, answers, watches: BTreeMap::new(), all: Arc::default() }
    }

    /// From now on follows these, and forgets the others.
    pub(super) fn follow(&mut self, references: BTreeSet<Reference>) {
        let gone = |(kind, key): &Reference| !references.contains(&(*kind, key.clone()));
        let forgotten: Vec<Reference> = self.watches.keys().filter(|one| gone(one)).cloned().collect();
        for reference in forgotten {
            self.watches.remove(&reference);
            self.keep(reference, None);
        }
        for reference in references {
            if !self.watches.contains_key(&reference) {
                let task = self.watch(reference.clone());
                self.watches.insert(reference, Watch { task, has_answered: false });
            }
        }
    }

    fn watch(&self, reference: Reference) -> AbortHandle {
        let (client, answers) = (self.client.clone(), self.answers.clone());
        let task = match reference.0 {
            ObjectKind::ConfigMap => tokio::spawn(watch(client, reference, answers, config_map)),
            ObjectKind::Secret => tokio::spawn(watch(client, reference, answers, secret)),
        };
        task.abort_handle()
    }

    /// Takes in what a watch has found.
    pub(super) fn take(&mut self, Answer { reference, content }: Answer) {
        // It may be of a watch that has been given up meanwhile.
        if let Some(watch) = self.watches.get_mut(&reference) {
            watch.has_answered = true;
            self.keep(reference, content);
        }
    }

    fn keep(&mut self, (kind, key): Reference, content: Option<Content>) {
        let all = Arc::make_mut(&mut self.all);
        match (kind, content) {
            (_, Some(Content::ConfigMap(found))) => drop(all.config_maps.insert(key, found)),
            (_, Some(Content::Secret(found))) => drop(all.secrets.insert(key, found)),
            (ObjectKind::ConfigMap, None) => drop(all.config_maps.remove(&key)),
            (ObjectKind::Secret, None) => drop(all.secrets.remove(&key)),
        }
    }

    /// True if of every object it is known what it is, or that there is none.
    pub(super) fn are_known(&self) -> bool {
        self.watches.values().all(|watch| watch.has_answered)
    }

    /// The objects that there are.
    pub(super) fn all(&self) -> Arc<Objects> {
        Arc::clone(&self.all)
    }
}

/// Tells of every state of one object, for ever.
async fn watch<K>(
    client: Client,
    reference: Reference,
    answers: mpsc::UnboundedSender<Answer>,
    content: fn(K) -> Content,
) where
    K: kube::Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client, &reference.1.namespace);
    let mut states = watcher::watch_object(api, &reference.1.name).default_backoff().boxed();
    while let Some(state) = states.next().await {
        let content = match state {
            Ok(object) => object.map(content),
            Err(error) => {
                tracing::debug!(object = %reference.1, %error, "watch an object of the API");
                continue;
            }
        };
        if answers.send(Answer { reference: reference.clone(), content }).is_err() {
            return;
        }
    }
}

fn config_map(object: k8s::ConfigMap) -> Content {
    let binary = object.binary_data.unwrap_or_default().into_iter();
    Content::ConfigMap(ConfigMap {
        data: object.data.unwrap_or_default(),
        binary_data: binary.map(|(key, value)| (key, value.0)).collect(),
        immutable: object.immutable == Some(true),
    })
}

fn secret(object: k8s::Secret) -> Content {
    let data = object.data.unwrap_or_default().into_iter();
    Content::Secret(Secret {
        data: data.map(|(key, value)| (key, value.0)).collect(),
        kind: object.type_.unwrap_or_else(|| "Opaque".to_owned()),
        immutable: object.immutable == Some(true),
    })
}

//! Tells the API server how every pod of this node is: one task per pod, which knows the latest status alone.
//!
//! ```text
//!            status, wake                        the pod is gone from the node
//!   ┌─────────┐        ┌──────────────────────┐              ┌───────────────────────┐
//!   │ waiting ├───────>│ get, patch if it is  │─────────────>│ delete with grace 0,  │──> end
//!   │         │<───────┤ another than it says │              │ unless it is another's│
//!   └─────────┘        └──────────────────────┘              └───────────────────────┘
//! ```
//!
//! A static pod's mirror is made when it is missing, and made anew when it is of another version or somebody has deleted it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod as Object, PodStatus};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Error};
use tokio::sync::{mpsc, watch};

use super::recorder::Recorder;
use super::retry::Retry;
use super::{mirror, pod_status};
use crate::pod::update::Written;
use crate::pod::{Origin, Pod, PodKey, PodUid, SourceKind};
use crate::status::publish::{Change, Update};

/// What the manifests of static pods say, as far as it is known: by kind of source, namespace and name.
pub type StaticPods = BTreeMap<(SourceKind, PodKey), Written>;

/// What there is to tell.
#[derive(Debug)]
pub enum News {
    /// Something has happened to a pod.
    Pod(Update),
    /// Somebody has changed or deleted the mirror of a static pod.
    Mirror(PodKey),
}

/// Tells a server of the pods.
pub struct Reporter {
    client: Client,
    node: String,
    recorder: Recorder,
    statics: watch::Receiver<StaticPods>,
    tasks: HashMap<PodUid, Task>,
}

/// The task of a pod.
#[derive(Debug)]
struct Task {
    key: PodKey,
    wanted: watch::Sender<Wanted>,
}

/// How the API should show a pod.
#[derive(Debug, Clone)]
struct Wanted {
    pod: Arc<Pod>,
    origin: Arc<Origin>,
    /// `None`: it is gone from the node.
    status: Option<Box<PodStatus>>,
}

impl Reporter {
    /// A reporter of the pods on `node`.
    pub fn new(
        client: Client,
        node: String,
        recorder: Recorder,
        statics: watch::Receiver<StaticPods>,
    ) -> Self {
        Self { client, node, recorder, statics, tasks: HashMap::new() }
    }

    /// Takes news in until there can be no more, and then gives up what could not be told.
    pub async fn run(mut self, mut news: mpsc::UnboundedReceiver<News>) {
        while let Some(news) = news.recv().await {
            match news {
                News::Pod(update) => self.update(update),
                News::Mirror(key) => {
                    for task in self.tasks.values().filter(|task| task.key == key) {
                        task.wanted.send_modify(|_| {});
                    }
                }
            }
        }
    }

    fn update(&mut self, Update { pod, origin, change }: Update) {
        let Some(origin) = origin else { return };
        match change {
            Change::Status(status) => self.tell(pod, origin, Some(status)),
            Change::Deleted => {
                self.tell(Arc::clone(&pod), origin, None);
                // The task ends by itself.
                self.tasks.remove(&pod.uid);
            }
            Change::Event(event) => self.recorder.record(&pod.key, &pod.uid, event),
            Change::Timed(_)
            | Change::Pulling { .. }
            | Change::Terminating { .. }
            | Change::Leaving { .. } => {}
        }
    }

    fn tell(&mut self, pod: Arc<Pod>, origin: Arc<Origin>, status: Option<Box<PodStatus>>) {
        let wanted = Wanted { pod: Arc::clone(&pod), origin, status };
        if let Some(task) = self.tasks.get(&pod.uid) {
            task.wanted.send_replace(wanted);
            return;
        }
        let (sender, receiver) = watch::channel(wanted);
        let telling = Telling {
            api: Api::namespaced(self.client.clone(), &pod.key.namespace),
            node: self.node.clone(),
            statics: self.statics.clone(),
            wanted: receiver,
        };
        tokio::spawn(telling.run());
        self.tasks.insert(pod.uid.clone(), Task { key: pod.key.clone(), wanted: sender });
    }
}

/// What one task has.
struct Telling {
    api: Api<Object>,
    node: String,
    statics: watch::Receiver<StaticPods>,
    wanted: watch::Receiver<Wanted>,
}

impl Telling {
    async fn run(mut self) {
        let mut retry = Retry::new();
        loop {
            let wanted = self.wanted.borrow_and_update().clone();
            let told = match &wanted.status {
                Some(status) => self.show(&wanted, status).await,
                None => self.remove(&wanted.pod).await,
            };
            match told {
                Ok(()) if wanted.status.is_none() => return,
                Ok(()) => {
                    retry.reset();
                    if self.wanted.changed().await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::debug!(pod = %wanted.pod.key, %error, "the API server was not told, trying again");
                    tokio::select! {
                        () = retry.wait() => {}
                        changed = self.wanted.changed() => if changed.is_err() { return },
                    }
                }
            }
        }
    }

    /// Gives the object of a pod this status.
    async fn show(&self, wanted: &Wanted, status: &PodStatus) -> Result<(), Error> {
        let name = wanted.pod.key.name.as_str();
        let Some(object) = self.object(wanted).await? else { return Ok(()) };
        if object.status.as_ref() == Some(status) {
            return Ok(());
        }
        let patch = pod_status::patch(object.metadata.uid.as_deref().unwrap_or_default(), status)
            .map_err(Error::SerdeError)?;
        self.api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// The object of a pod; a static pod's is made if there is none. `None`: nobody wants to know of the pod.
    async fn object(&self, Wanted { pod, origin, .. }: &Wanted) -> Result<Option<Object>, Error> {
        let name = pod.key.name.as_str();
        let found = self.api.get_opt(name).await?;
        if origin.source == SourceKind::Api {
            return Ok(found.filter(|object| object.metadata.uid.as_deref() == Some(pod.uid.as_str())));
        }
        if let Some(object) = found {
            if !mirror::is_mirror(&object) {
                tracing::warn!(pod = %pod.key, podUID = %pod.uid, "the API server has another pod of this name, and shows that");
                return Ok(None);
            }
            let is_current = mirror::hash(&object) == Some(pod.uid.as_str());
            if is_current && object.metadata.deletion_timestamp.is_none() {
                return Ok(Some(object));
            }
            self.delete(name, object.metadata.uid).await?;
        }
        let written = self.statics.borrow().get(&(origin.source, pod.key.clone())).cloned();
        // Its manifest is gone, and it is on its way out.
        let Some(written) = written else { return Ok(None) };
        let object = mirror::object(pod, &written, &origin.source.to_string(), &self.node);
        let object = serde_json::from_value(object).map_err(Error::SerdeError)?;
        self.api.create(&PostParams::default(), &object).await.map(Some)
    }

    /// The pod is gone, and so is its object.
    async fn remove(&self, pod: &Pod) -> Result<(), Error> {
        let Some(object) = self.api.get_opt(&pod.key.name).await? else { return Ok(()) };
        let uid = Some(pod.uid.as_str());
        if object.metadata.uid.as_deref() == uid || mirror::hash(&object) == uid {
            self.delete(&pod.key.name, object.metadata.uid).await?;
        }
        Ok(())
    }

    /// Deletes at once the object that has this uid; one that is gone already is as good.
    async fn delete(&self, name: &str, uid: Option<String>) -> Result<(), Error> {
        let preconditions = Some(Preconditions { uid, resource_version: None });
        let at_once =
            DeleteParams { grace_period_seconds: Some(0), preconditions, ..DeleteParams::default() };
        match self.api.delete(name, &at_once).await {
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            other => other.map(drop),
        }
    }
}

//! Sends Events to the API server: one that happens again is counted, and no pod can flood it.
//!
//! As client-go's recorder does: the same event of the same object is an update of its count for as long as it is remembered; an
//! object has 25 events at once and one more every 5 minutes; what is beyond that is dropped. Nobody waits for an event.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as k8s;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, Error};
use serde_json::json;
use tokio::sync::mpsc;

use crate::events::Event;
use crate::pod::{PodKey, PodUid};

/// Events of one object at once.
const BURST: f64 = 25.0;

/// One more may come after this time.
const REFILL: Duration = Duration::from_secs(300);

/// Events and objects that are remembered; when there are more, all are forgotten: then counts begin anew.
const REMEMBERED: usize = 4096;

/// Events that wait to be sent; more are dropped.
const WAITING: usize = 1000;

/// Tries for one event.
const TRIES: u32 = 3;

/// Whom an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Pod(PodKey, PodUid),
    Node(String),
}

impl Subject {
    /// Where the event is kept; those of nodes, which have none, are in the one that every cluster has.
    fn namespace(&self) -> &str {
        match self {
            Self::Pod(key, _) => &key.namespace,
            Self::Node(_) => "default",
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::Pod(key, _) => &key.name,
            Self::Node(name) => name,
        }
    }

    fn reference(&self, event: &Event) -> k8s::ObjectReference {
        let (kind, namespace, uid) = match self {
            Self::Pod(key, uid) => ("Pod", Some(key.namespace.clone()), uid.to_string()),
            // As a kubelet has it, which tells of its node before it knows the object's uid.
            Self::Node(name) => ("Node", None, name.clone()),
        };
        k8s::ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some(kind.to_owned()),
            namespace,
            name: Some(self.name().to_owned()),
            uid: Some(uid),
            field_path: event.field_path.clone(),
            ..k8s::ObjectReference::default()
        }
    }
}

/// Something that happened, and when and to whom.
#[derive(Debug)]
struct Happened {
    subject: Subject,
    event: Event,
    at: Timestamp,
}

/// Where events are given to.
#[derive(Debug, Clone)]
pub struct Recorder {
    waiting: mpsc::Sender<Happened>,
}

impl Recorder {
    /// A recorder, and the task that sends for `node`, for as long as there are recorders.
    pub fn new(client: Client, node: String) -> (Self, impl Future<Output = ()>) {
        let (waiting, happened) = mpsc::channel(WAITING);
        (Self { waiting }, Sender { client, node, memory: Memory::default() }.run(happened))
    }

    /// Has an event sent, if there is room for it.
    pub fn record(&self, pod: &PodKey, uid: &PodUid, event: Event) {
        self.send(Subject::Pod(pod.clone(), uid.clone()), event);
    }

    /// Likewise, of a node.
    pub fn record_of_node(&self, node: &str, event: Event) {
        self.send(Subject::Node(node.to_owned()), event);
    }

    fn send(&self, subject: Subject, event: Event) {
        let happened = Happened { subject, event, at: Timestamp::now() };
        if let Err(refused) = self.waiting.try_send(happened) {
            tracing::debug!(%refused, "an event is dropped");
        }
    }
}

struct Sender {
    client: Client,
    node: String,
    memory: Memory,
}

impl Sender {
    async fn run(mut self, mut happened: mpsc::Receiver<Happened>) {
        while let Some(happened) = happened.recv().await {
            let Some(known) = self.memory.judge(&happened) else { continue };
            for attempt in 0..TRIES {
                match self.send(&happened, &known).await {
                    Ok(()) => break,
                    // It can be told no more, and is no loss to anybody.
                    Err(Error::Api(status)) => {
                        tracing::debug!(of = happened.subject.name(), %status, "an event was refused");
                        break;
                    }
                    Err(error) => {
                        tracing::debug!(of = happened.subject.name(), %error, attempt, "an event was not sent");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        }
    }

    async fn send(&self, happened: &Happened, known: &Known) -> Result<(), Error> {
        let api: Api<k8s::Event> = Api::namespaced(self.client.clone(), happened.subject.namespace());
        if known.count > 1 {
            let again = json!({"count": known.count, "lastTimestamp": Time(happened.at)});
            match api.patch(&known.name, &PatchParams::default(), &Patch::Merge(again)).await {
                // It has expired meanwhile.
                Err(Error::Api(status)) if status.code == 404 => {}
                other => return other.map(drop),
            }
        }
        let event = object(happened, known, &self.node);
        match api.create(&PostParams::default(), &event).await {
            // An earlier try has arrived after all.
            Err(Error::Api(status)) if status.code == 409 => Ok(()),
            other => other.map(drop),
        }
    }
}

/// The Event as it is sent first.
fn object(Happened { subject, event, at }: &Happened, known: &Known, node: &str) -> k8s::Event {
    k8s::Event {
        metadata: ObjectMeta {
            name: Some(known.name.clone()),
            namespace: Some(subject.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: subject.reference(event),
        type_: Some(event.kind.as_str().to_owned()),
        reason: Some(event.reason.to_owned()),
        message: Some(event.message.clone()),
        count: Some(known.count),
        first_timestamp: Some(Time(known.first)),
        last_timestamp: Some(Time(*at)),
        source: Some(k8s::EventSource { component: Some("kubelet".to_owned()), host: Some(node.to_owned()) }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..k8s::Event::default()
    }
}

/// What is remembered of an event.
#[derive(Debug, Clone, PartialEq)]
struct Known {
    name: String,
    first: Timestamp,
    count: i32,
}

/// What has been sent lately.
#[derive(Debug, Default)]
struct Memory {
    events: HashMap<(Subject, Event), Known>,
    /// Events that each object may still have, and since when that is so.
    tokens: HashMap<Subject, (f64, Timestamp)>,
}

impl Memory {
    /// As what an event is to be sent; `None`: not at all.
    fn judge(&mut self, happened: &Happened) -> Option<Known> {
        if self.events.len() >= REMEMBERED || self.tokens.len() >= REMEMBERED {
            *self = Self::default();
        }
        let Happened { subject, event, at } = happened;
        let (tokens, since) = self.tokens.entry(subject.clone()).or_insert((BURST, *at));
        let elapsed = at.duration_since(*since).as_secs_f64().max(0.0);
        *tokens = (*tokens + elapsed / REFILL.as_secs_f64()).min(BURST);
        *since = *at;
        if *tokens < 1.0 {
            return None;
        }
        *tokens -= 1.0;
        // client-go names them so, too.
        let name = || format!("{}.{:x}", subject.name(), at.as_nanosecond());
        let known = self.events.entry((subject.clone(), event.clone())).or_insert_with(|| Known {
            name: name(),
            first: *at,
            count: 0,
        });
        known.count = known.count.saturating_add(1);
        Some(known.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::{name, pod};

    fn happened(event: Event, second: i64) -> Happened {
        let pod = pod(RestartPolicy::Always, &[], &["a"]);
        let subject = Subject::Pod(pod.key, pod.uid);
        Happened { subject, event, at: Timestamp::from_second(second).unwrap() }
    }

    #[test]
    fn what_happens_again_is_counted_under_the_first_ones_name() {
        let pod = pod(RestartPolicy::Always, &[], &["a"]);
        let mut memory = Memory::default();
        let started = Event::started(&pod, &name("a"));
        let first = memory.judge(&happened(started.clone(), 1)).unwrap();
        let other = memory.judge(&happened(Event::created(&pod, &name("a")), 2)).unwrap();
        let again = memory.judge(&happened(started, 3)).unwrap();
        assert_eq!((first.count, other.count, again.count), (1, 1, 2));
        assert_eq!((&again.name, again.first), (&first.name, first.first));
        assert_eq!(first.name, "web.3b9aca00");
        assert_ne!(other.name, first.name);
    }

    #[test]
    fn an_event_of_a_node_is_kept_where_every_cluster_has_a_namespace() {
        let subject = Subject::Node("n".into());
        let happened =
            Happened { subject, event: Event::of_node("n", "NodeReady"), at: Timestamp::UNIX_EPOCH };
        let known = Memory::default().judge(&happened).unwrap();
        let event = object(&happened, &known, "n");
        let involved = &event.involved_object;
        assert_eq!(event.metadata.namespace.as_deref(), Some("default"));
        assert_eq!((involved.kind.as_deref(), involved.uid.as_deref()), (Some("Node"), Some("n")));
        assert_eq!(event.message.as_deref(), Some("Node n status is now: NodeReady"));
    }

    #[test]
    fn an_object_has_25_events_at_once_and_one_more_every_5_minutes() {
        let mut memory = Memory::default();
        let mut sent = |second, count: u32| {
            let events = (0..count)
                .map(|index| happened(Event::evicted("Evicted", &format!("{second} {index}")), second));
            events.filter(|event| memory.judge(event).is_some()).count()
        };
        assert_eq!(sent(0, 100), 25);
        assert_eq!(sent(299, 10), 0);
        assert_eq!(sent(301, 10), 1);
        assert_eq!(sent(301 + 900, 10), 3);
    }
}

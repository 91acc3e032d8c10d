//! Events that nobody has seen happen for an hour: they go, as those of a cluster do (`--event-ttl` of kube-apiserver).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use super::object::Object;
use super::router::Api;
use super::store::Durability;

/// Since an event was seen last.
const TIME_TO_LIVE: SignedDuration = SignedDuration::from_hours(1);
/// Between looks at all of them.
const INTERVAL: Duration = Duration::from_secs(60);

/// Lets old events go, for as long as it is polled.
pub(super) async fn expire_events(api: Arc<Api>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let api = Arc::clone(&api);
        // It parses all of them, and a write may wait for the disk.
        let expired = tokio::task::spawn_blocking(move || expire(&api, Timestamp::now())).await;
        if let Err(error) = expired {
            tracing::warn!("old events cannot be let go: {error}");
        }
    }
}

fn expire(api: &Api, now: Timestamp) {
    for entry in api.store().list("events", None).entries {
        let event = entry.object();
        if now.duration_since(last_seen(&event, now)) < TIME_TO_LIVE {
            continue;
        }
        // One that happens again meanwhile stays.
        if let Err(error) = api.store().remove(&entry.key, event, entry.revision, Durability::Soon) {
            tracing::debug!("{} stays: {error}", entry.key);
        }
    }
}

/// When an event was seen last, or made. Clients write these times, and one that is yet to come says nothing.
fn last_seen(object: &Object, now: Timestamp) -> Timestamp {
    let event: Event = object.to().unwrap_or_default();
    let series = event.series.and_then(|series| series.last_observed_time);
    let times = [
        object.creation_timestamp(),
        event.last_timestamp.map(|time| time.0),
        event.event_time.map(|time| time.0),
        series.map(|time| time.0),
    ];
    times.into_iter().flatten().filter(|time| *time <= now).max().unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::store::{Expected, Key, Store};
    use crate::pod::sysctl::Allowed;

    const NOW: &str = "2026-01-01T12:00:00Z";

    fn event(name: &str, times: Value) -> Object {
        let mut event = json!({
            "apiVersion": "v1", "kind": "Event",
            "metadata": {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T08:00:00Z"},
        });
        json_patch::merge(&mut event, &times);
        Object::from_value(event).unwrap()
    }

    #[test]
    fn events_go_an_hour_after_they_were_seen_last() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let api = Api::new(Arc::new(store), "n", &Allowed::default()).unwrap();
        for (name, times) in [
            ("made-long-ago", json!({})),
            ("made-lately", json!({"metadata": {"creationTimestamp": "2026-01-01T11:00:01Z"}})),
            ("seen-long-ago", json!({"lastTimestamp": "2026-01-01T11:00:00Z"})),
            ("seen-lately", json!({"lastTimestamp": "2026-01-01T11:00:01Z"})),
            ("seen-tomorrow", json!({"lastTimestamp": "2026-01-02T11:00:00Z"})),
            ("newer-form", json!({"eventTime": "2026-01-01T11:30:00.000000Z"})),
            (
                "series",
                json!({"eventTime": "2026-01-01T08:00:00.000000Z",
                              "series": {"count": 2, "lastObservedTime": "2026-01-01T11:59:59.000000Z"}}),
            ),
        ] {
            let key = Key::new("events", "default", name);
            api.store().put(&key, event(name, times), Expected::Absent, Durability::Soon).unwrap();
        }
        expire(&api, NOW.parse().unwrap());
        let left = api.store().list("events", None).entries;
        let left: Vec<&str> = left.iter().map(|entry| entry.key.name.as_str()).collect();
        assert_eq!(left, ["made-lately", "newer-form", "seen-lately", "series"]);
    }
}

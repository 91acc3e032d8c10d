//! What is told to those who look for reasons, beside the API's objects, as the kubelet has `/debug`.
//!
//! `GET /debug/pods/NAMESPACE/NAME/trace`: how long each step of a pod's start took. Who knows that is a [`Traces`], which is the agent's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::router::Api;
use super::status::Status;

/// Knows how the pods of this node have started.
pub trait Traces: Send + Sync + 'static {
    /// The start of a pod, if it is known.
    fn trace(&self, namespace: &str, name: &str) -> Option<Trace>;
}

/// The start of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its uid on the node.
    pub uid: String,
    /// When the first step began.
    pub began: Timestamp,
    /// The agent that started it is gone: these are the moments that the pod's journal has.
    pub from_journal: bool,
    /// In the order of their beginnings.
    pub steps: Vec<Step>,
}

/// One step of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What was done.
    pub phase: &'static str,
    /// The container that it was done for; else the pod.
    pub container: Option<String>,
    /// After the first step's beginning.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
}

/// All that is told so.
pub fn router() -> Router<Arc<Api>> {
    Router::new().route("/debug/pods/{namespace}/{name}/trace", get(trace))
}

async fn trace(
    State(api): State<Arc<Api>>,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Json<Value>, Status> {
    let traces = api.traces().ok_or_else(|| Status::unavailable("nobody runs pods here"))?;
    let unknown = || {
        let message = format!("nothing is known of the start of pod {namespace}/{name}");
        Status::plain(404, "NotFound", message)
    };
    let trace = traces.trace(&namespace, &name).ok_or_else(unknown)?;
    Ok(Json(document(&namespace, &name, &trace)))
}

fn document(namespace: &str, name: &str, trace: &Trace) -> Value {
    let steps = trace.steps.iter().map(|step| {
        let mut of = json!({"phase": step.phase});
        if let Some(container) = &step.container {
            of["container"] = container.as_str().into();
        }
        of["startMilliseconds"] = milliseconds(step.start);
        of["durationMilliseconds"] = milliseconds(step.duration);
        of
    });
    json!({
        "namespace": namespace,
        "name": name,
        "uid": trace.uid,
        "began": trace.began.to_string(),
        "fromJournal": trace.from_journal,
        "steps": steps.collect::<Vec<_>>(),
    })
}

/// To the microsecond.
fn milliseconds(time: Duration) -> Value {
    json!(time.as_micros() as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;
    use crate::api::store::Store;
    use crate::pod::sysctl::Allowed;

    struct One;

    impl Traces for One {
        fn trace(&self, namespace: &str, name: &str) -> Option<Trace> {
            let step = |phase, container: Option<&str>, start, duration| Step {
                phase,
                container: container.map(str::to_owned),
                start: Duration::from_micros(start),
                duration: Duration::from_micros(duration),
            };
            (namespace == "n" && name == "web").then(|| Trace {
                uid: "u".to_owned(),
                began: "2026-01-02T03:04:05.5Z".parse().unwrap(),
                from_journal: false,
                steps: vec![step("admit", None, 0, 1500), step("start", Some("a"), 2000, 12_345)],
            })
        }
    }

    async fn ask(api: Api, path: &str) -> (u16, Value) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = Arc::new(api).into_router().oneshot(request).await.unwrap();
        let code = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (code, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn the_steps_of_a_start_are_told_in_milliseconds() {
        let directory = tempfile::tempdir().unwrap();
        let api = || {
            let (store, _) = Store::open(&directory.path().join(jiff::Timestamp::now().to_string())).unwrap();
            Api::new(Arc::new(store), "node", &Allowed::default()).unwrap()
        };
        let (code, document) = ask(api().with_traces(Arc::new(One)), "/debug/pods/n/web/trace").await;
        assert_eq!(code, 200);
        assert_eq!(
            document,
            json!({
                "namespace": "n", "name": "web", "uid": "u", "began": "2026-01-02T03:04:05.5Z", "fromJournal": false,
                "steps": [
                    {"phase": "admit", "startMilliseconds": 0.0, "durationMilliseconds": 1.5},
                    {"phase": "start", "container": "a", "startMilliseconds": 2.0, "durationMilliseconds": 12.345},
                ],
            })
        );
        let (code, status) = ask(api().with_traces(Arc::new(One)), "/debug/pods/n/none/trace").await;
        assert_eq!((code, &status["reason"]), (404, &json!("NotFound")));
        assert_eq!(ask(api(), "/debug/pods/n/web/trace").await.0, 503);
    }
}

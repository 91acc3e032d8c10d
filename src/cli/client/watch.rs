//! Waiting for one object: what it is now, and every change of it, until it is as wanted.

use futures::{AsyncBufReadExt, StreamExt};
use http::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use super::failure::{is_code, told};
use super::query::Query;
use super::request;
use super::selection::Chosen;

/// What an object was when it was looked at.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cli) enum Seen {
    /// There is none.
    Gone,
    /// It was so.
    Object(Value),
}

/// One event of a watch.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Event {
    /// ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.
    #[serde(rename = "type")]
    pub(in crate::cli) kind: String,
    /// The object, or the Status of an error.
    pub(in crate::cli) object: Value,
}

/// Returns what satisfies `is_wanted`, as soon as it is seen. A watch that ends is begun anew.
pub(in crate::cli) async fn watch(
    client: &Client,
    object: &Chosen,
    mut is_wanted: impl FnMut(&Seen) -> bool,
) -> anyhow::Result<Seen> {
    loop {
        let seen = match request::get(client, &object.path()).await {
            Err(error) if is_code(&error, 404) => Seen::Gone,
            answer => Seen::Object(answer.map_err(told)?),
        };
        if is_wanted(&seen) {
            return Ok(seen);
        }
        let version = match &seen {
            Seen::Gone => None,
            Seen::Object(value) => value["metadata"]["resourceVersion"].as_str(),
        };
        let mut query = Query::default();
        query.add("watch", "true");
        query.add("fieldSelector", &format!("metadata.name={}", object.name));
        query.add_some("resourceVersion", version);
        let request = Request::get(query.below(&object.of.path(Some(&object.namespace)))).body(Vec::new())?;
        let mut lines = client.request_stream(request).await.map_err(told)?.lines();
        while let Some(line) = lines.next().await {
            // A connection that breaks is begun anew, as one that ends.
            let Ok(line) = line else { break };
            let Event { kind, object } = serde_json::from_str(&line)?;
            let seen = match kind.as_str() {
                "DELETED" => Seen::Gone,
                "ADDED" | "MODIFIED" => Seen::Object(object),
                // Too old, or another reason to begin again.
                "ERROR" => break,
                _ => continue,
            };
            if is_wanted(&seen) {
                return Ok(seen);
            }
        }
        // A server that ends watches at once is not asked without pause.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::discovery::Types;
    use crate::cli::client::fake::server;

    #[tokio::test(start_paused = true)]
    async fn an_object_is_followed_over_watches_that_end() {
        let object = |version: &str, phase: &str| json!({"metadata": {"name": "web", "resourceVersion": version}, "status": {"phase": phase}});
        let (client, requests) = server(move |asked| {
            if asked.line.contains("watch=true") {
                let kind = if asked.line.ends_with("resourceVersion=1") { "ERROR" } else { "MODIFIED" };
                let event = json!({"type": kind, "object": object("3", "Running")}).to_string();
                return (200, format!("{event}\n").into());
            }
            (200, object("1", "Pending"))
        });
        let types = Types::of(&client).await.unwrap();
        let of = types.find("pod").unwrap().clone();
        let chosen = Chosen { of, namespace: "n".into(), name: "web".into(), object: None, source: None };
        let mut looks = 0;
        let seen = watch(&client, &chosen, |_| {
            looks += 1;
            looks == 3
        });
        assert_eq!(seen.await.unwrap(), Seen::Object(object("1", "Pending")));
        assert_eq!(
            requests.lines()[1],
            "GET /api/v1/namespaces/n/pods?watch=true&fieldSelector=metadata.name%3Dweb&resourceVersion=1"
        );
    }
}

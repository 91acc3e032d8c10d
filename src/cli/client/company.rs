//! Keeping a container company that was asked for a moment ago: waits until it runs, attaches, or prints what it wrote when it has ended
//! before.

use std::time::Duration;

use futures::AsyncReadExt;
use http::Request;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use serde_json::Value;

use super::failure::{Exit, remark, told};
use super::pod;
use super::query::Query;
use super::selection::Chosen;
use super::session::Streams;
use super::watch::{self, Seen};
use crate::cli::say_bytes;

/// Bytes of a log that are printed at a time.
const PIECE: usize = 32 << 10;

/// A container, and how to be with it.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Company<'a> {
    pub(in crate::cli) client: &'a Client,
    /// Its pod.
    pub(in crate::cli) pod: &'a Chosen,
    /// Its name.
    pub(in crate::cli) container: &'a str,
    /// Standard input goes along.
    pub(in crate::cli) stdin: bool,
    /// Only what it prints is printed.
    pub(in crate::cli) quiet: bool,
}

impl Company<'_> {
    /// Waits until the pod is as wanted.
    pub(in crate::cli) async fn wait(
        &self,
        patience: Duration,
        is_wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let seen = tokio::time::timeout(patience, self.watch(is_wanted)).await;
        match seen.map_err(|_| anyhow::anyhow!("timed out waiting for the condition"))?? {
            Seen::Object(_) => Ok(()),
            Seen::Gone => anyhow::bail!("pods {:?} not found", self.pod.name),
        }
    }

    /// The same, for as long as it takes; a pod that is gone is as good.
    pub(in crate::cli) async fn watch(&self, is_wanted: impl Fn(&Value) -> bool) -> anyhow::Result<Seen> {
        let is_wanted = |seen: &Seen| match seen {
            Seen::Object(pod) => is_wanted(pod),
            Seen::Gone => true,
        };
        watch::watch(self.client, self.pod, is_wanted).await
    }

    /// Attaches until the container has ended or the person has left. What cannot be attached to any more is read from its log.
    pub(in crate::cli) async fn keep(&self) -> anyhow::Result<()> {
        let pod = self.pod.read(self.client).await.map_err(told)?;
        if !is_running(&pod, self.container) {
            return self.print_log().await;
        }
        let has_terminal = pod::container(&pod, Some(self.container), true)?["tty"] == true;
        let streams = Streams { stdin: self.stdin, tty: has_terminal };
        if self.stdin && !self.quiet {
            remark("If you don't see a command prompt, try pressing enter.");
        }
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.pod.namespace);
        let attached = match pods.attach(&self.pod.name, &streams.parameters(self.container)).await {
            Ok(process) => streams.run(process).await,
            Err(error) => Err(told(error)),
        };
        match attached {
            // It may have ended while it was looked at.
            Err(error) if error.downcast_ref::<Exit>().is_none() => {
                let (name, why) = (&self.pod.name, error.to_string());
                let why = why.strip_prefix("Error from server (BadRequest): ").unwrap_or(&why);
                remark(&format!(
                    "warning: couldn't attach to pod/{name}, falling back to streaming logs: {why}"
                ));
                self.print_log().await
            }
            ended => ended,
        }
    }

    async fn print_log(&self) -> anyhow::Result<()> {
        let mut query = Query::default();
        query.add("container", self.container);
        let path = query.below(&format!("{}/log", self.pod.path()));
        let mut log =
            Box::pin(self.client.request_stream(Request::get(path).body(Vec::new())?).await.map_err(told)?);
        let mut piece = vec![0; PIECE];
        loop {
            match log.read(&mut piece).await? {
                0 => return Ok(()),
                length => say_bytes(&piece[..length])?,
            }
        }
    }
}

/// What the status of a pod says of one of its containers.
pub(in crate::cli) fn status<'a>(pod: &'a Value, container: &str) -> Option<&'a Value> {
    let of = |field: &str| pod["status"][field].as_array().into_iter().flatten();
    let mut all =
        of("containerStatuses").chain(of("initContainerStatuses")).chain(of("ephemeralContainerStatuses"));
    all.find(|status| status["name"] == container)
}

fn is_running(pod: &Value, container: &str) -> bool {
    status(pod, container).is_some_and(|status| status["state"].get("running").is_some())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_of_every_kind_are_found() {
        let running = json!({"running": {}});
        let pod = json!({"status": {
            "containerStatuses": [{"name": "a", "state": running}],
            "initContainerStatuses": [{"name": "i", "state": {"terminated": {}}}],
            "ephemeralContainerStatuses": [{"name": "e", "state": running}],
        }});
        for (name, expected) in [("a", true), ("i", false), ("e", true), ("none", false)] {
            assert_eq!(is_running(&pod, name), expected, "{name}");
        }
    }
}

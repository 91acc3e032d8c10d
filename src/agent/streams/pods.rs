//! [`PodStreams`] over the shims and the logs of this node's pods.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::PodStatus;
use tokio::sync::watch;

use super::{attach, exec, forward, running_id};
use crate::api::streams::{
    ContainerRef, Duplex, LogOptions, LogStream, PodRef, PodStreams, Refusal, RemoteCommandStreams,
};
use crate::config::Layout;
use crate::logs::{self, Stream, Watcher};
use crate::pod::{ContainerName, PodKey, PodUid};

/// A pod that this agent looks after.
#[derive(Debug, Clone)]
pub struct LocalPod {
    /// What its directory of logs is named after.
    pub key: PodKey,
    /// What everything else of it is named after; a static pod's likeness in the API has another.
    pub uid: PodUid,
    /// How it is.
    pub status: watch::Receiver<Arc<PodStatus>>,
}

/// Knows the pods that this agent looks after.
pub trait LocalPods: Send + Sync + 'static {
    /// The pod behind one that the API has.
    fn find(&self, pod: &PodRef) -> Option<LocalPod>;
}

/// Carries out what the API's streams ask for.
#[derive(Debug)]
pub struct ShimStreams<P> {
    pods: P,
    layout: Layout,
    watcher: Watcher,
}

impl<P: LocalPods> ShimStreams<P> {
    /// For pods whose files are where `layout` says; `watcher` wakes those who follow logs.
    pub fn new(pods: P, layout: Layout, watcher: Watcher) -> Self {
        Self { pods, layout, watcher }
    }

    fn find(&self, pod: &PodRef) -> Result<LocalPod, Refusal> {
        let refuse = || Refusal::NotFound(format!("pods {:?} not found", pod.name));
        self.pods.find(pod).ok_or_else(refuse)
    }

    async fn read_log(
        &self,
        of: ContainerRef,
        options: LogOptions,
    ) -> Result<BoxStream<'static, io::Result<Bytes>>, Refusal> {
        let LocalPod { key, uid, mut status } = self.find(&of.pod)?;
        let now = Arc::clone(&status.borrow_and_update());
        let attempt = logs::attempt::of(&of.pod.name, &now, &of.container, options.previous)
            .map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let name: ContainerName = of
            .container
            .parse()
            .map_err(|_| Refusal::NotFound(format!("container {:?} not found", of.container)))?;
        let file = self.layout.container_log(&key, &uid, &name, attempt);
        let directory = file.parent().unwrap_or(&file).to_owned();
        let id = running_id(&now, &of.container).filter(|_| !options.previous);
        let ended = async move {
            // Without an agent that tells of it, there is nothing more to wait for either.
            let is_over = |status: &Arc<PodStatus>| running_id(status, &of.container) != id;
            if id.is_some() {
                let _ = status.wait_for(is_over).await;
            }
        };
        let options = logs::read::Options {
            follow: options.follow,
            tail_lines: options.tail_lines,
            since: options.since,
            timestamps: options.timestamps,
            limit_bytes: options.limit_bytes,
            stream: match options.stream {
                LogStream::All => None,
                LogStream::Stdout => Some(Stream::Stdout),
                LogStream::Stderr => Some(Stream::Stderr),
            },
        };
        let read = logs::read::read(&directory, attempt, options, &self.watcher, ended).await;
        read.map(StreamExt::boxed)
            .map_err(|error| Refusal::Internal(format!("read the log {}: {error}", file.display())))
    }
}

impl<P: LocalPods> PodStreams for ShimStreams<P> {
    fn running(&self, container: &ContainerRef) -> BoxFuture<'_, Result<String, Refusal>> {
        let found = self.find(&container.pod).and_then(|pod| {
            let id = running_id(&pod.status.borrow(), &container.container);
            id.ok_or_else(|| Refusal::BadRequest(format!("container not found ({:?})", container.container)))
        });
        std::future::ready(found).boxed()
    }

    fn exec(
        &self,
        container: ContainerRef,
        id: String,
        command: Vec<String>,
        streams: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<i32, String>> {
        async move {
            let pod = self.find(&container.pod).map_err(|refusal| refusal.to_string())?;
            exec::exec(&self.layout.shim_socket(&pod.uid), id, command, streams).await
        }
        .boxed()
    }

    fn attach(
        &self,
        container: ContainerRef,
        id: String,
        streams: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<(), String>> {
        async move {
            let pod = self.find(&container.pod).map_err(|refusal| refusal.to_string())?;
            attach::attach(&self.layout.shim_socket(&pod.uid), id, streams).await
        }
        .boxed()
    }

    fn port_forward(&self, pod: PodRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>, String>> {
        async move {
            let pod = self.find(&pod).map_err(|refusal| refusal.to_string())?;
            let stream = forward::connect(&self.layout, &pod.uid, port).await?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        }
        .boxed()
    }

    fn log(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, Refusal>> {
        self.read_log(container, options).boxed()
    }
}

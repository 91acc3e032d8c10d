//! The agent's part in an API: serves one, takes pods from it, and tells it how everything is.
//!
//! ```text
//!  kubectl ──> api.sock ──> Router ──> Store
//!                             ↑
//!        source::api, cluster::{reporter, recorder, registration}: a client within this process
//! ```
//!
//! What takes part knows nothing but a client: that of a cluster's server would do as well.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::Say;
use super::active::Active;
use super::collector::Collector;
use super::desired::Desired;
use super::images::images;
use super::known::Known;
use super::kubelet::Operations;
use super::meter::Counters;
use super::pressure::Pressured;
use super::shutdown::GoingDown;
use super::streams::pods::ShimStreams;
use super::traces::Traces;
use crate::api::auth::{Tokens, gate};
use crate::api::pki::Authority;
use crate::api::server::{Limits, Server};
use crate::api::store::Store;
use crate::api::streams::{PodStreams, routes};
use crate::api::{Api, tls};
use crate::cluster::health::Health;
use crate::cluster::node::{self, Facts};
use crate::cluster::recorder::Recorder;
use crate::cluster::registration;
use crate::cluster::reporter::{News, Reporter, StaticPods};
use crate::config::Config;
use crate::eviction::host::Host as Reader;
use crate::eviction::manager;
use crate::logs::Watcher;
use crate::metrics::Metrics;
use crate::metrics::starts::Starts;
use crate::runtime::Error;
use crate::runtime::host::Host;
use crate::shutdown::watch as shutdown;
use crate::source;
use crate::status::publish::{Change, Update};
use crate::sync::event_loop::Event;

/// What an agent brings.
#[derive(Debug)]
pub struct Node {
    /// The machine.
    pub host: Arc<Host>,
    /// The loop that gets the pods of the API.
    pub events: mpsc::UnboundedSender<Event>,
    /// What the manifests of static pods say.
    pub statics: watch::Receiver<StaticPods>,
    /// The pods that the agent looks after.
    pub active: Active,
    /// The images that its sources want.
    pub desired: watch::Receiver<Desired>,
    /// How the node is.
    pub health: watch::Sender<Health>,
    /// Tells a person.
    pub say: Say,
    /// The KubeletConfiguration in force.
    pub configuration: Value,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// Where the API is served beside its socket.
#[derive(Debug)]
pub struct Port {
    /// With TLS.
    pub address: SocketAddr,
    /// A file of bearer tokens.
    pub tokens: Option<PathBuf>,
}

/// An API that is served, and the agent's part in it.
#[derive(Debug)]
pub struct Service {
    store: Arc<Store>,
    news: mpsc::UnboundedSender<News>,
    known: Known,
    host: Arc<Host>,
    metrics: Arc<Metrics>,
    starts: Starts,
    traces: Traces,
    server: JoinHandle<()>,
    stop: CancellationToken,
}

impl Service {
    /// Opens the store, serves the API on its socket, and begins to take part in it for an agent.
    pub async fn start(config: &Config, node: Node, port: Option<Port>) -> Result<Self, Error> {
        let (store, quarantined) = Store::open(&config.layout.store()).map_err(|e| Error::chain(&e))?;
        if let Some(bad) = quarantined {
            let kept = bad.path.display();
            (node.say)(&format!("the API's objects are lost: {}; the file is kept as {kept}", bad.reason));
        }
        let store = Arc::new(store);
        let kept = Arc::clone(&store);
        let (known, traces) = (Known::default(), Traces::default());
        let watcher = Watcher::start().map_err(|e| Error::chain(&e)).map_err(Error::in_step("watch logs"))?;
        let streams = ShimStreams::new(known.clone(), config.layout.clone(), watcher);
        let streams: Arc<dyn PodStreams> = Arc::new(streams);
        let api = Api::new(store, &node.name(), &config.sysctls);
        let api = api.map_err(|status| Error(status.to_string()))?;
        let api = api.with_kubelet(Arc::new(node.operations(known.clone())));
        let api = api.with_meter(Arc::new(Counters::new(Arc::clone(&node.host))));
        let api = api.with_traces(Arc::new(traces.clone()));
        let api = Arc::new(routes::install(api, &streams));
        tokio::spawn(Arc::clone(&api).run());
        let router = api.into_router();
        let server =
            Server::bind(&config.layout.api_socket(), Limits::default()).map_err(|e| Error::chain(&e))?;
        if let Some(port) = port {
            port.open(config, &node.name(), router.clone()).await?;
        }
        let (host, metrics, starts) = (Arc::clone(&node.host), Arc::clone(&node.metrics), Starts::default());
        let stop = CancellationToken::new();
        let server = tokio::spawn(server.run(gate::guard_socket(router.clone()), stop.clone()));
        let news = node.take_part(&Client::new(router, "default"), config);
        Ok(Self { store: kept, news, known, host, metrics, starts, traces, server, stop })
    }

    /// Has the API told what happens to a pod.
    pub fn update(&self, update: Update) {
        self.known.take(&update);
        if let Some(took) = self.starts.take(&update, Instant::now()) {
            self.metrics.pod_started(took);
        }
        if let Change::Deleted = update.change {
            self.host.prober.forget(&update.pod.uid);
        }
        self.traces.take(&update);
        let _ = self.news.send(News::Pod(update));
    }

    /// Serves no more, takes the socket away, and brings to the disk what was to be there soon.
    pub async fn stop(self) {
        self.stop.cancel();
        // It panicked, or has come to its end.
        let _ = self.server.await;
        if let Ok(Err(error)) = spawn_blocking(move || self.store.flush()).await {
            tracing::error!("objects are not on the disk: {}", Error::chain(&error));
        }
    }
}

impl Port {
    /// Begins to serve whoever has a certificate of this node's authority, or a token.
    async fn open(self, config: &Config, name: &str, router: Router) -> Result<(), Error> {
        let authority =
            Authority::open(&config.layout.pki(), Timestamp::now()).map_err(|e| Error::chain(&e))?;
        let tokens = self.tokens.as_deref().map(Tokens::read).transpose().map_err(|e| Error::chain(&e))?;
        let port = tls::Port::open(self.address, name, authority).await.map_err(|e| Error::chain(&e))?;
        tokio::spawn(port.serve(gate::guard(router, Arc::new(tokens.unwrap_or_default()))));
        Ok(())
    }
}

impl Node {
    fn name(&self) -> String {
        self.host.facts.hostname.to_lowercase()
    }

    fn operations(&self, known: Known) -> Operations {
        Operations {
            host: Arc::clone(&self.host),
            name: self.name(),
            events: self.events.clone(),
            known,
            configuration: self.configuration.clone(),
            metrics: Arc::clone(&self.metrics),
            last: Mutex::default(),
        }
    }

    /// Does what a node does, whoever's API it is. Returns where it is told what happens.
    fn take_part(self, client: &Client, config: &Config) -> mpsc::UnboundedSender<News> {
        let name = self.name();
        let (news, receiver) = mpsc::unbounded_channel();
        let (recorder, sending) = Recorder::new(client.clone(), name.clone());
        tokio::spawn(sending);
        let reporter = Reporter::new(client.clone(), name.clone(), recorder.clone(), self.statics);
        tokio::spawn(reporter.run(receiver));
        let facts = facts(&name, config, &self.host);
        let active = self.active;
        let reader = Reader { root: config.layout.root().to_owned(), images: config.layout.images() };
        let collector = Collector {
            node: name.clone(),
            store: self.host.images.clone(),
            reader: reader.clone(),
            policy: config.node.images,
            desired: self.desired,
            recorder: recorder.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        tokio::spawn(collector.clone().run());
        let pressured = Pressured {
            name: name.clone(),
            host: Arc::clone(&self.host),
            reader,
            collector,
            active: active.clone(),
            recorder: recorder.clone(),
            health: self.health.clone(),
            metrics: Arc::clone(&self.metrics),
        };
        let evictions = manager::run(config.node.eviction.clone(), pressured);
        tokio::spawn(evictions);
        let going_down = GoingDown {
            name: name.clone(),
            active,
            health: self.health.clone(),
            recorder: recorder.clone(),
            metrics: self.metrics,
            record: config.layout.shutdown_record(),
            say: self.say,
        };
        let shutdown = config.node.shutdown.clone();
        tokio::spawn(async move { shutdown::run(shutdown, going_down.recalled().await).await });
        let (host, most, health) = (self.host, config.max_images, self.health.subscribe());
        let images = move || images(host.images.list().unwrap_or_default(), most);
        tokio::spawn(registration::keep(client.clone(), facts, images, health, recorder));
        let (mirrors, events) = (news.clone(), self.events);
        let node = source::api::Node { name, sysctls: config.sysctls.clone() };
        tokio::spawn(source::api::follow(
            client.clone(),
            node,
            move |event| drop(events.send(Event::Source(event))),
            move |key| drop(mirrors.send(News::Mirror(key))),
            self.say,
        ));
        news
    }
}

fn facts(name: &str, config: &Config, host: &Host) -> Facts {
    Facts {
        name: name.to_owned(),
        hostname: host.facts.hostname.clone(),
        address: host.facts.address,
        pod_cidr: config.pod_cidr.to_string(),
        max_pods: config.max_pods,
        capacity: host.capacity(),
        allocatable: host.allocatable(),
        huge_pages: host.huge_pages(),
        system: node::system(),
    }
}

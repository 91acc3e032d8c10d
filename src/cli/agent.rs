//! `mkubelet agent`: runs what its sources want, in the foreground or under systemd.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use clap::{ArgGroup, Args};
use http::{HeaderName, HeaderValue};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::complain;
use super::console::Console;
use super::log;
use super::node_flags::NodeFlags;
use super::print::{Printer, Style};
use super::service;
use crate::agent::{Agent, api, heap};
use crate::config::{self, Config};
use crate::pod::SourceKind;
use crate::source::files::Files;
use crate::source::{follow, stdin, url};
use crate::status::publish::Update;
use crate::sync::event_loop::Event;

/// Lines that nobody reads are kept up to this number.
const BACKLOG: usize = 1 << 14;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("tls").multiple(true))]
pub(super) struct Arguments {
    /// A KubeletConfiguration (kubelet.config.k8s.io/v1beta1), YAML or JSON; flags win over it.
    #[arg(long, env = "MKUBELET_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// A directory of more of them: its files that end in .conf, in the order of their names, each of which wins over those before.
    #[arg(long, value_name = "DIR")]
    pub(super) config_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(super) log: log::Flags,
    /// Manifests to run: directories, of which all files are read that do not begin with a dot, files, an http(s) URL, or - for standard
    /// input.
    #[arg(
        long,
        env = "MKUBELET_MANIFESTS",
        value_name = "PATH|URL|-",
        value_delimiter = ',',
        visible_aliases = ["pod-manifest-path", "manifest-url"],
        default_value = "/etc/mkubelet/manifests"
    )]
    manifests: Vec<Place>,
    /// Serve the API with TLS on this address, too; `mkubelet kubeconfig` writes a kubeconfig for it.
    #[arg(long, env = "MKUBELET_API_BIND", value_name = "ADDRESS:PORT", group = "tls")]
    api_bind: Option<SocketAddr>,
    /// Likewise on this port of --address, in the kubelet's words; --api-bind wins over both.
    #[arg(long, value_name = "PORT", group = "tls", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The address that --port is on.
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0")]
    address: IpAddr,
    /// A file of bearer tokens that may use that port, as kube-apiserver has it: TOKEN,USER,UID[,"GROUP,..."] a line.
    #[arg(long, value_name = "FILE", requires = "tls")]
    token_auth_file: Option<PathBuf>,
    /// Pods that the node may have, as its Node object tells.
    #[arg(long, value_name = "NUMBER", default_value_t = config::MAX_PODS)]
    pub(super) max_pods: u32,
    /// Images that the Node object tells of; -1 is any number.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = config::MAX_IMAGES as i64,
        value_parser = clap::value_parser!(i64).range(-1..),
        allow_negative_numbers = true
    )]
    pub(super) node_status_max_images: i64,
    /// A header to ask the URL with; may be given several times.
    #[arg(long, value_name = "NAME:VALUE", value_parser = header)]
    manifest_url_header: Vec<(HeaderName, HeaderValue)>,
    /// Look at files again after this time, even if the kernel tells of no change.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    file_check_frequency: Duration,
    /// Ask the URL again after this time.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "20s")]
    http_check_frequency: Duration,
    #[command(flatten)]
    node: NodeFlags,
    /// The KubeletConfiguration that all of it comes to.
    #[arg(skip)]
    pub(super) in_force: serde_json::Value,
}

impl Arguments {
    /// What all flags come to, with what they ask of the agent alone.
    fn complete(&self, config: Config) -> Config {
        Config {
            max_pods: self.max_pods,
            // A negative number is any number.
            max_images: usize::try_from(self.node_status_max_images).ok(),
            ..config
        }
    }

    fn bind(&self) -> Option<SocketAddr> {
        self.api_bind.or_else(|| Some(SocketAddr::new(self.address, self.port?)))
    }
}

/// Where manifests are.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Path(PathBuf),
    Url(String),
    Stdin,
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("must not be empty".to_owned()),
            "-" => Ok(Self::Stdin),
            _ if text.starts_with("http://") || text.starts_with("https://") => {
                Ok(Self::Url(text.to_owned()))
            }
            _ => Ok(Self::Path(text.into())),
        }
    }
}

/// What an agent runs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources {
    paths: Vec<PathBuf>,
    url: Option<String>,
    stdin: bool,
}

impl Sources {
    fn new(places: &[Place]) -> anyhow::Result<Self> {
        let mut sources = Self::default();
        for place in places {
            match place {
                Place::Path(path) => sources.paths.push(path.clone()),
                Place::Stdin => sources.stdin = true,
                Place::Url(url) => {
                    let before = sources.url.replace(url.clone());
                    anyhow::ensure!(before.is_none(), "--manifests {url}: there may be one URL");
                }
            }
        }
        Ok(sources)
    }

    fn kinds(&self) -> Vec<SourceKind> {
        let kinds = [
            (true, SourceKind::Api),
            (!self.paths.is_empty(), SourceKind::File),
            (self.url.is_some(), SourceKind::Http),
            (self.stdin, SourceKind::Stdin),
        ];
        kinds.into_iter().filter_map(|(is_asked, kind)| is_asked.then_some(kind)).collect()
    }

    /// Begins to follow all of them.
    fn follow(self, config: &Config, arguments: &Arguments, events: &mpsc::UnboundedSender<Event>) {
        let send = || {
            let events = events.clone();
            move |event| events.send(Event::Source(event)).is_ok()
        };
        let sysctls = || config.sysctls.clone();
        if !self.paths.is_empty() {
            let files = Files::new(self.paths, sysctls());
            tokio::spawn(follow::follow(files, arguments.file_check_frequency, send(), complain));
        }
        if let Some(url) = self.url {
            let headers = arguments.manifest_url_header.iter().cloned().collect();
            let check = arguments.http_check_frequency;
            tokio::spawn(url::follow(url, headers, sysctls(), check, send(), complain));
        }
        if self.stdin {
            let (sysctls, send) = (sysctls(), send());
            tokio::spawn(async move { send(stdin::read(sysctls, complain).await) });
        }
    }
}

/// Reads `--manifest-url-header`.
fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("must be NAME:VALUE")?;
    let name = name.trim().parse().map_err(|_| format!("{name:?} is no name of a header"))?;
    let value = value.trim().parse().map_err(|_| "the value has characters that no header may have")?;
    Ok((name, value))
}

/// Reads a time as the kubelet's flags have it: `20s`, `1m30s`, `500ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "must be a time such as 20s, 1m30s or 500ms".to_owned();
    let span: jiff::SignedDuration = text.parse().map_err(|_| wrong())?;
    Duration::try_from(span).ok().filter(|time| *time >= Duration::from_millis(10)).ok_or_else(wrong)
}

pub(super) fn run(config: Config, arguments: &Arguments) -> anyhow::Result<()> {
    let config = &arguments.complete(config);
    let sources = Sources::new(&arguments.manifests)?;
    let (node, pulls) = (arguments.node.care()?, arguments.node.pulls()?);
    let config = &Config { node, pulls, ..config.clone() };
    heap::prepare();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(serve(config, arguments, sources));
    // A thread that is stuck in a write, or in a look-up, must not keep the program from its end.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config, arguments: &Arguments, sources: Sources) -> anyhow::Result<()> {
    // First of all: from now on a signal ends what has been begun.
    let leave = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    tokio::spawn(heap::keep_small());
    let (updates, receiver) = mpsc::unbounded_channel();
    let agent = Agent::new(config, updates, complain)?;
    let (host, statics, metrics) = (Arc::clone(agent.host()), agent.statics(), agent.metrics());
    let (active, health, desired) = (agent.active(), agent.health(), agent.desired());
    let events = agent.keep(&sources.kinds())?;
    listen(leave, &events.sender());
    let configuration = arguments.in_force.clone();
    let node = api::Node {
        host,
        events: events.sender(),
        statics,
        active,
        desired,
        health,
        say: complain,
        configuration,
        metrics,
    };
    let port =
        arguments.bind().map(|address| api::Port { address, tokens: arguments.token_auth_file.clone() });
    let api = api::Service::start(config, node, port).await?;
    sources.follow(config, arguments, &events.sender());
    let (over, is_over) = oneshot::channel();
    let screen = tokio::spawn(show(receiver, is_over, api, arguments.log.format()));
    let watched = tokio::spawn(service::report(events.sender()));
    events.run().await;
    watched.abort();
    service::stopping();
    // Whoever reads is told all that has happened.
    drop(over);
    screen.await?
}

fn listen(signals: [Signal; 2], events: &mpsc::UnboundedSender<Event>) {
    for mut leave in signals {
        let events = events.clone();
        tokio::spawn(
            async move { while leave.recv().await.is_some() && events.send(Event::Leave).is_ok() {} },
        );
    }
}

/// Prints what happens, a line for each change, and passes it on to the API, until it is over.
async fn show(
    mut updates: mpsc::UnboundedReceiver<Update>,
    mut is_over: oneshot::Receiver<()>,
    api: api::Service,
    format: log::Format,
) -> anyhow::Result<()> {
    let stdout = std::io::stdout();
    let colours = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let style = match format {
        log::Format::Json => Style::Json,
        log::Format::Text if colours => Style::Colours,
        log::Format::Text => Style::Plain,
    };
    let (console, mut printer) = (Console::start(stdout)?, Printer::new(style));
    let mut backlog: VecDeque<String> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut is_over => break,
            update = updates.recv() => {
                let Some(update) = update else { break };
                backlog.extend(printer.lines(&update));
                backlog.truncate(BACKLOG);
                api.update(update);
            }
            () = console.has_room(), if !backlog.is_empty() => {
                if let Some(line) = backlog.pop_front() {
                    console.print(line.into_bytes());
                }
            }
        }
    }
    while let Ok(update) = updates.try_recv() {
        backlog.extend(printer.lines(&update));
        api.update(update);
    }
    let (progress, text) = (console.progress(), backlog.into_iter().collect::<String>());
    tokio::select! {
        () = console.has_room() => console.print(text.into_bytes()),
        () = progress.stalled() => {}
    }
    console.finish().await;
    api.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(places: &[&str]) -> Result<Sources, String> {
        let places: Vec<Place> = places.iter().map(|place| place.parse().unwrap()).collect();
        Sources::new(&places).map_err(|error| error.to_string())
    }

    #[test]
    fn manifests_are_where_a_person_would_look_for_them() {
        let all = sources(&["/a", "b.yaml", "https://host/pods", "-"]).unwrap();
        let expected = Sources {
            paths: vec!["/a".into(), "b.yaml".into()],
            url: Some("https://host/pods".to_owned()),
            stdin: true,
        };
        assert_eq!(all, expected);
        assert_eq!(all.kinds(), [SourceKind::Api, SourceKind::File, SourceKind::Http, SourceKind::Stdin]);
        assert_eq!(sources(&["-"]).unwrap().kinds(), [SourceKind::Api, SourceKind::Stdin]);
        assert_eq!(
            sources(&["http://a", "http://b"]).unwrap_err(),
            "--manifests http://b: there may be one URL"
        );
    }

    #[test]
    fn times_are_written_as_the_kubelets() {
        for (text, milliseconds) in [("20s", 20_000), ("1m30s", 90_000), ("500ms", 500), ("0.5s", 500)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "20", "0s", "-1s", "soon"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let (name, value) = header("Metadata-Flavor: Google").unwrap();
        assert_eq!((name.as_str(), value.to_str().unwrap()), ("metadata-flavor", "Google"));
        for bad in ["name", "na me:v", "n:a\nb"] {
            assert!(header(bad).is_err(), "{bad}");
        }
    }
}

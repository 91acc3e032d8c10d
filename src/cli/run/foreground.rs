//! `mkubelet run FILE`: the pods of a manifest, in the foreground, without an agent.

use std::collections::{HashMap, VecDeque};
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

use futures::future::join_all;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;

use super::steps::Starts;
use crate::agent::Agent;
use crate::cli::complain;
use crate::cli::console::{Console, Progress};
use crate::cli::events::Events;
use crate::cli::print::{Printer, Style};
use crate::cli::pulls::{ERASE, Pulls, TICK, columns};
use crate::config::{Config, Layout};
use crate::logs::{Entry, Follower};
use crate::pod::{Manifest, Pod, PodUid};
use crate::source::live::Live;
use crate::source::manifests::Manifests;
use crate::status::publish::{Change, Update};
use crate::sync::event_loop::{Ended, Event};

/// Lines of containers on their way to the screen.
const ENTRIES: usize = 64;

/// More lines of containers are not read while this many wait to be printed.
const BACKLOG: usize = 256;

/// What is run, and how it is told.
#[derive(Debug)]
pub(super) struct Arguments {
    /// The containers' output is printed, too.
    pub(super) logs: bool,
    /// The steps of each pod's start are printed when it is up.
    pub(super) trace: bool,
    pub(super) output: Format,
    pub(super) files: Vec<String>,
}

/// How `run` tells what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let manifests = Manifests::new(arguments.files.clone(), config.sysctls.clone());
    let manifest = manifests.read()?;
    if manifest.pods.is_empty() {
        anyhow::bail!("{}: no Pod in the manifest", arguments.files.join(", "));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let code = runtime.block_on(run_pods(config, manifests, manifest, arguments))?;
    // A thread that is stuck in a write, or in a look-up, must not keep the program from its end.
    runtime.shutdown_background();
    Ok(code)
}

async fn run_pods(
    config: &Config,
    manifests: Manifests,
    manifest: Manifest,
    arguments: &Arguments,
) -> anyhow::Result<ExitCode> {
    // First of all: from now on a signal ends what has been begun.
    let stops = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let (updates, receiver) = mpsc::unbounded_channel();
    let pods = manifest.pods.clone();
    let live = Live::new(manifests, manifest);
    let events = Agent::new(config, updates, complain)?.run(pods, live.objects()).await?;
    listen(stops, &events.sender());
    tokio::spawn(follow(live, events.sender()));
    let ended = tokio::spawn(events.run());

    let screen = Screen::new(&config.layout, arguments)?;
    let failed = screen.show(receiver).await;
    let Ended { stops, errors } = ended.await?;
    for error in &errors {
        complain(&error.to_string());
    }
    Ok(match (errors.is_empty(), stops) {
        (false, _) => ExitCode::FAILURE,
        // It went as the person wanted.
        (true, 1) => ExitCode::SUCCESS,
        (true, _) => ExitCode::from(u8::try_from(failed).unwrap_or(1)),
    })
}

/// Follows the manifests.
async fn follow(live: Live, events: mpsc::UnboundedSender<Event>) {
    let update = |pod| drop(events.send(Event::Update(Box::new(pod))));
    if let Err(error) = live.follow(complain, update).await {
        complain(&format!("changes of the manifests will not be noticed: {error}"));
    }
}

fn listen(signals: [Signal; 2], events: &mpsc::UnboundedSender<Event>) {
    for mut stop in signals {
        let events = events.clone();
        tokio::spawn(async move { while stop.recv().await.is_some() && events.send(Event::Stop).is_ok() {} });
    }
}

/// What the person sees.
struct Screen {
    console: Console,
    printer: Printer,
    /// Printed instead of lines to read.
    events: Option<Events>,
    starts: Option<Starts>,
    logs: Option<Logs>,
    /// Pulls to be told on a terminal; `None` without one.
    pulls: Option<Pulls>,
    /// A line about them is at the end of the screen.
    has_line: bool,
    /// Pieces of text that the console has no place for yet.
    backlog: VecDeque<Vec<u8>>,
}

/// What the screen does next.
enum Turn {
    Print,
    Output(Entry),
    News(Update),
    Pulls,
    Over,
}

/// The containers' output.
struct Logs {
    layout: Layout,
    follower: Arc<Follower>,
    entries: mpsc::Receiver<Entry>,
    /// The containers that are followed, by pod.
    labels: HashMap<PodUid, Vec<String>>,
}

impl Screen {
    fn new(layout: &Layout, arguments: &Arguments) -> anyhow::Result<Self> {
        let stdout = std::io::stdout();
        let is_terminal = stdout.is_terminal() && arguments.output == Format::Text;
        let colours =
            stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Self {
            console: Console::start(stdout)?,
            printer: Printer::new(if colours { Style::Colours } else { Style::Plain }),
            events: (arguments.output == Format::Json).then(Events::default),
            starts: arguments.trace.then(Starts::default),
            logs: arguments.logs.then(|| Logs::new(layout)).transpose()?,
            pulls: is_terminal.then(Pulls::default),
            has_line: false,
            backlog: VecDeque::new(),
        })
    }

    /// Shows everything until nothing more can come; returns the exit code of the first container that failed.
    async fn show(mut self, mut updates: mpsc::UnboundedReceiver<Update>) -> i32 {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let has_room = self.backlog.len() < BACKLOG;
            let has_pulls = self.has_line || self.pulls.as_ref().is_some_and(Pulls::is_any);
            let turn = tokio::select! {
                biased;
                () = self.console.has_room(), if !self.backlog.is_empty() => Turn::Print,
                // Output comes before the news of its container's end.
                Some(entry) = Logs::next(&mut self.logs), if has_room => Turn::Output(entry),
                update = updates.recv() => update.map_or(Turn::Over, Turn::News),
                _ = ticks.tick(), if has_pulls => Turn::Pulls,
            };
            match turn {
                Turn::Print => self.print_one(),
                Turn::Output(entry) => self.backlog.push_back(text(&entry)),
                Turn::News(update) => self.update(update),
                Turn::Pulls => self.tell_pulls(),
                Turn::Over => break,
            }
        }
        let progress = self.console.progress();
        while !self.backlog.is_empty() {
            tokio::select! {
                () = self.console.has_room() => self.print_one(),
                () = progress.stalled() => break,
            }
        }
        self.console.finish().await;
        self.printer.exit_code()
    }

    fn print_one(&mut self) {
        if let Some(text) = self.backlog.pop_front() {
            let is_after_line = std::mem::take(&mut self.has_line);
            self.console.print(if is_after_line { [ERASE.as_bytes(), &text].concat() } else { text });
        }
    }

    /// Tells how far pulls have come, when there is nothing else to tell.
    fn tell_pulls(&mut self) {
        let columns = columns(std::io::stdout());
        let line = self.pulls.as_mut().map(|pulls| pulls.line(columns)).unwrap_or_default();
        if self.backlog.is_empty() {
            self.console.print(format!("{ERASE}{line}").into_bytes());
            self.has_line = !line.is_empty();
        }
    }

    fn update(&mut self, update: Update) {
        if let (Some(logs), Change::Status(status)) = (&mut self.logs, &update.change) {
            let containers = status.init_container_statuses.iter().flatten();
            let containers = containers.chain(status.container_statuses.iter().flatten());
            for container in containers.chain(status.ephemeral_container_statuses.iter().flatten()) {
                if container.container_id.is_some() {
                    logs.follow(&update.pod, &container.name, container.restart_count);
                }
            }
        }
        if let (Change::Pulling { image, progress }, Some(pulls)) = (&update.change, &mut self.pulls) {
            pulls.add(image, progress);
        }
        let lines = self.printer.lines(&update);
        match &mut self.events {
            Some(events) => self.backlog.extend(events.line(&update).map(String::into_bytes)),
            None => self.backlog.extend(lines.into_iter().map(String::into_bytes)),
        }
        let steps = self.starts.as_mut().and_then(|starts| starts.take(&update));
        self.backlog.extend(steps.map(String::into_bytes));
        if let (Change::Leaving { done }, Some(logs)) = (update.change, &mut self.logs) {
            logs.read_to_the_end(&update.pod, done, self.console.progress());
        }
    }
}

impl Logs {
    fn new(layout: &Layout) -> anyhow::Result<Self> {
        let (sender, entries) = mpsc::channel(ENTRIES);
        let follower = Arc::new(Follower::start(sender)?);
        Ok(Self { layout: layout.clone(), follower, entries, labels: HashMap::new() })
    }

    async fn next(logs: &mut Option<Self>) -> Option<Entry> {
        logs.as_mut()?.entries.recv().await
    }

    fn follow(&mut self, pod: &Pod, container: &str, attempt: i32) {
        let label = format!("{}/{container}", pod.key);
        let labels = self.labels.entry(pod.uid.clone()).or_default();
        if labels.contains(&label) {
            return;
        }
        let directory = self.layout.pod_logs(&pod.key, &pod.uid).join(container);
        if let Err(error) = self.follower.add(&label, &directory, u32::try_from(attempt).unwrap_or(0)) {
            tracing::warn!(container = label, %error, "cannot follow the output");
        }
        labels.push(label);
    }

    /// Gives leave to remove the pod's logs when they are printed, or nobody reads what is printed.
    fn read_to_the_end(&mut self, pod: &Pod, done: oneshot::Sender<()>, progress: Progress) {
        let labels = self.labels.remove(&pod.uid).unwrap_or_default();
        let follower = Arc::clone(&self.follower);
        tokio::spawn(async move {
            tokio::select! {
                _ = join_all(labels.iter().map(|label| follower.finish(label))) => {}
                () = progress.stalled() => {}
            }
            // The worker may have been ended: then nobody waits.
            let _ = done.send(());
        });
    }
}

fn text(entry: &Entry) -> Vec<u8> {
    [b"[", entry.label.as_bytes(), b"] ", &entry.text, b"\n"].concat()
}

//! `mkubelet agent`: runs what its sources want, in the foreground or under systemd.

use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

use super::complain;
use super::console::Console;
use super::print::Printer;
use crate::agent::Agent;
use crate::config::Config;
use crate::pod::SourceKind;
use crate::source::files::Files;
use crate::source::follow;
use crate::status::publish::Update;
use crate::sync::event_loop::Event;

/// Lines that nobody reads are kept up to this number.
const BACKLOG: usize = 1 << 14;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Manifests to run: directories, of which all files are read that do not begin with a dot, or files.
    #[arg(
        long,
        env = "MKUBELET_MANIFESTS",
        value_name = "PATH",
        value_delimiter = ',',
        visible_alias = "pod-manifest-path",
        default_value = "/etc/mkubelet/manifests"
    )]
    manifests: Vec<PathBuf>,
}

pub(super) fn run(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ended = runtime.block_on(serve(config, arguments));
    // A thread that is stuck in a write, or in a look-up, must not keep the program from its end.
    runtime.shutdown_background();
    ended
}

async fn serve(config: &Config, arguments: &Arguments) -> anyhow::Result<()> {
    // First of all: from now on a signal ends what has been begun.
    let leave = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
    let (updates, receiver) = mpsc::unbounded_channel();
    let events = Agent::new(config, updates, complain)?.keep(&[SourceKind::File])?;
    listen(leave, &events.sender());
    let sender = events.sender();
    let files = Files::new(arguments.manifests.clone(), config.sysctls.clone());
    let send = move |event| sender.send(Event::Source(event)).is_ok();
    tokio::spawn(follow::follow(files, follow::CHECK, send, complain));
    let (over, is_over) = oneshot::channel();
    let screen = tokio::spawn(show(receiver, is_over));
    events.run().await;
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

/// Prints what happens, a line for each change, until it is over.
async fn show(
    mut updates: mpsc::UnboundedReceiver<Update>,
    mut is_over: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let stdout = std::io::stdout();
    let colours = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (console, mut printer) = (Console::start(stdout)?, Printer::new(colours));
    let mut backlog: VecDeque<String> = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            _ = &mut is_over => break,
            update = updates.recv() => {
                let Some(update) = update else { break };
                backlog.extend(printer.lines(&update));
                backlog.truncate(BACKLOG);
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
    }
    let (progress, text) = (console.progress(), backlog.into_iter().collect::<String>());
    tokio::select! {
        () = console.has_room() => console.print(text.into_bytes()),
        () = progress.stalled() => {}
    }
    console.finish().await;
    Ok(())
}

//! `mkubelet image`: what is in the store.

mod inspect;
mod list;
mod load;
mod prune;
mod save;

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;
use tokio::signal::unix::{SignalKind, signal};

use super::pulls::{ERASE, TICK, columns, tell};
use super::say;
use crate::config::Config;
use crate::image::registry::{Keyring, Progress};
use crate::image::{Reference, Store, Stored};
use crate::runtime::pull::Puller;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Takes an image into the store: an OCI image layout, an archive of one, or a root directory.
    Import {
        /// The layout, archive or directory.
        #[arg(value_name = "LAYOUT_OR_DIR")]
        source: PathBuf,
        /// The image's name, as `image:` of a Pod will say it.
        #[arg(long, value_name = "NAME")]
        name: String,
    },
    /// Pulls an image from its registry.
    Pull {
        /// The image's name, as `image:` of a Pod says it.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Takes all images of an archive into the store, under the names that they have in it.
    ///
    /// The archive is of `docker save`, or a tar archive of an OCI image layout; either may be compressed by gzip or zstd. A directory with such a layout will do, too.
    Load(load::Arguments),
    /// Writes images to an archive, for this program or others to load.
    Save(save::Arguments),
    /// Lists the images.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Tells all that is known of images.
    Inspect(inspect::Arguments),
    /// Removes images. What a Pod names is not removed.
    Rm {
        /// Names of images, or their ids.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
    },
    /// Removes what no name and no Pod needs any more.
    Prune(prune::Arguments),
}

pub(super) fn run(config: &Config, command: Command) -> anyhow::Result<()> {
    let store = Store::open(&config.layout.images())?;
    match command {
        Command::Import { source, name } => {
            let stored = store.import(&source, &name)?;
            say(&format!("{} {}\n", stored.reference, stored.id))
        }
        Command::Pull { name } => {
            let stored = pull(config, store, &name)?;
            say(&format!("{} {}\n", stored.reference, stored.id))
        }
        Command::Load(arguments) => load::run(&store, &arguments),
        Command::Save(arguments) => save::run(&store, &arguments),
        Command::List(arguments) => list::run(&store, &arguments),
        Command::Inspect(arguments) => inspect::run(&store, &arguments),
        Command::Rm { names } => names.iter().try_for_each(|name| Ok(store.remove(name)?)),
        Command::Prune(arguments) => prune::run(&store, &arguments),
    }
}

/// Pulls, and tells how far that has come where somebody looks on.
fn pull(config: &Config, store: Store, name: &str) -> anyhow::Result<Stored> {
    let reference: Reference = name.parse()?;
    let (puller, progress) = (Puller::new(store, config)?, Arc::new(Progress::default()));
    let secrets = Keyring::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let pulled = puller.fetch(reference, &secrets, Arc::clone(&progress));
        tokio::select! {
            pulled = pulled => {
                erase();
                Ok(pulled?)
            }
            never = show(name, &progress) => match never {},
            () = interrupted() => {
                erase();
                anyhow::bail!("interrupted; what has come of {name:?} is kept for the next pull")
            }
        }
    })
}

/// Waits for Ctrl-C or SIGTERM: a pull that ends by itself leaves no program of credentials behind, and no line.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Tells a pull's progress on a terminal. Never returns.
async fn show(name: &str, progress: &Progress) -> Infallible {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let line = tell(name, progress.bytes(), columns(io::stderr()));
        let mut stderr = io::stderr().lock();
        // Nobody reads: nobody to tell.
        let _ = write!(stderr, "{ERASE}{line}").and_then(|()| stderr.flush());
    }
}

fn erase() {
    if io::stderr().is_terminal() {
        let _ = io::stderr().write_all(ERASE.as_bytes());
    }
}

//! `mkubelet image`: what is in the store.

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Subcommand;

use super::pulls::{ERASE, TICK, human, tell};
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
    /// Lists the images.
    List,
    /// Removes an image.
    Rm {
        /// The image's name.
        #[arg(value_name = "NAME")]
        name: String,
    },
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
        Command::List => say(&table(&store.list()?)),
        Command::Rm { name } => Ok(store.remove(&name)?),
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
        }
    })
}

/// Tells a pull's progress on a terminal. Never returns.
async fn show(name: &str, progress: &Progress) -> Infallible {
    if !io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(TICK);
    loop {
        ticks.tick().await;
        let line = tell(name, progress.bytes());
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

/// Name, id, size, time of import.
fn table(images: &[Stored]) -> String {
    let mut rows = vec![["NAME".to_owned(), "IMAGE ID".to_owned(), "SIZE".to_owned(), "IMPORTED".to_owned()]];
    rows.extend(images.iter().map(|image| {
        let id = image.id.strip_prefix("sha256:").unwrap_or(&image.id);
        let replaced = if image.replaced { " (replaced)" } else { "" };
        [
            format!("{}{replaced}", image.reference),
            id.chars().take(12).collect(),
            human(image.size),
            image.imported.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let [name, id, size, _] = [0, 1, 2, 3].map(width);
    rows.iter()
        .map(|row| format!("{:name$}  {:id$}  {:>size$}  {}\n", row[0], row[1], row[2], row[3]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let image = |reference: &str, size| Stored {
            reference: reference.into(),
            id: "sha256:0123456789abcdef".into(),
            size,
            imported: jiff::Timestamp::UNIX_EPOCH,
            replaced: false,
        };
        assert_eq!(
            table(&[image("nginx:1.14", 5_000_000), image("b", 1)]),
            "NAME        IMAGE ID       SIZE  IMPORTED\n\
             nginx:1.14  0123456789ab  5.0MB  1970-01-01T00:00:00Z\n\
             b           0123456789ab     1B  1970-01-01T00:00:00Z\n"
        );
    }
}

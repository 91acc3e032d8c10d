//! How long logind waits: where that is too short, a file of its configuration says so, as by a kubelet.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::logind::Logind;

/// After those of the system and of a kubelet, so that it is the one that counts.
const FILE: &str = "99-mkubelet.conf";

/// logind reads its configuration when it comes to it: it is asked so many times, and waited for in between.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Why logind waits no longer than before.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there.
    #[error("write {}: {source}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// logind does not hear of it.
    #[error("have systemd-logind read its configuration again: {0}")]
    Reload(#[from] zbus::Error),
    /// Another file, or nothing at all, says otherwise.
    #[error("{} has no effect: see systemd-analyze cat-config systemd/logind.conf", .0.display())]
    NoEffect(PathBuf),
}

/// Has logind wait for `wanted`, by a file in `directory` (logind.conf.d of logind.conf(5)).
pub async fn extend(logind: &Logind, wanted: Duration, directory: &Path) -> Result<(), Error> {
    let path = directory.join(FILE);
    let written = path.clone();
    let done = spawn_blocking(move || write(&written, wanted)).await;
    let done = done.unwrap_or_else(|panic| Err(panic.into()));
    done.map_err(|source| Error::Write { path: path.clone(), source })?;
    logind.reload().await?;
    for _ in 0..TRIES {
        if logind.longest_delay().await? >= wanted {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
    Err(Error::NoEffect(path))
}

fn write(path: &Path, wanted: Duration) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let text = format!(
        "# Written by mkubelet for its --shutdown-grace-period.\n[Login]\nInhibitDelayMaxSec={}\n",
        wanted.as_secs_f64().ceil()
    );
    fs::write(path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logind_is_told_whole_seconds_and_never_too_few() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logind.conf.d").join(FILE);
        for (milliseconds, expected) in [(30_000, "30"), (1500, "2")] {
            write(&path, Duration::from_millis(milliseconds)).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            assert!(text.ends_with(&format!("\n[Login]\nInhibitDelayMaxSec={expected}\n")), "{text}");
        }
    }
}

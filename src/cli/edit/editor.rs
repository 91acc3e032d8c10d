//! The editor of whoever runs this, and the file that it is given.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// Bytes that an edited file may have: what the server takes.
const MAX_SIZE: u64 = 3 << 20;

/// A command line to which a file's name is added, and where the file is.
#[derive(Debug, Clone)]
pub(super) struct Editor {
    pub(super) line: String,
    pub(super) directory: PathBuf,
}

impl Editor {
    /// What `KUBE_EDITOR` or `EDITOR` say, else `vi`.
    pub(super) fn of_environment() -> Self {
        let asked = ["KUBE_EDITOR", "EDITOR"].iter().filter_map(|name| std::env::var(name).ok());
        let line =
            asked.into_iter().find(|editor| !editor.trim().is_empty()).unwrap_or_else(|| "vi".to_owned());
        Self { line, directory: std::env::temp_dir() }
    }

    /// Has the text edited; gives the file, which is the caller's to remove, and what is in it then.
    pub(super) fn edit(&self, text: &str, extension: &str) -> anyhow::Result<(PathBuf, String)> {
        let path = write(&self.directory, text, extension)?;
        // A shell reads the line, since it may have flags and quotes; the name is never a part of it.
        let shell = Command::new("/bin/sh")
            .arg("-c")
            .arg(format!("{} \"$1\"", self.line))
            .arg("sh")
            .arg(&path)
            .status();
        let failed = || format!("there was a problem with the editor {:?}", self.line);
        let status = shell.with_context(failed)?;
        if !status.success() {
            fs::remove_file(&path)?;
            anyhow::bail!("{}: {status}", failed());
        }
        let reading = || format!("read {}", path.display());
        anyhow::ensure!(
            fs::metadata(&path).with_context(reading)?.len() <= MAX_SIZE,
            "{}: more than 3 MiB",
            reading()
        );
        let edited = fs::read_to_string(&path).with_context(reading)?;
        Ok((path, edited))
    }
}

/// A new file that nobody else may read: objects may be secrets.
fn write(directory: &Path, text: &str, extension: &str) -> anyhow::Result<PathBuf> {
    let number = getrandom::u64().map_err(|error| anyhow::anyhow!("get random bytes: {error}"))?;
    let path = directory.join(format!("mkubelet-edit-{number:016x}.{extension}"));
    let creating = || format!("write {}", path.display());
    let mut file =
        File::options().write(true).create_new(true).mode(0o600).open(&path).with_context(creating)?;
    file.write_all(text.as_bytes()).with_context(creating)?;
    Ok(path)
}

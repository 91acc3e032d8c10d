//! `mkubelet image save`: to a file that is there when it is complete, or to standard output.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::image::{self, Store};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Names of images, or their ids; an image that is given by its id has all its names in the archive.
    #[arg(value_name = "NAME", required = true)]
    names: Vec<String>,
    /// The archive, or the directory; standard output without one, or with -.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is written.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Format::OciArchive)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A tar archive of an OCI image layout: for podman, skopeo, containerd, and docker with its image store.
    OciArchive,
    /// A tar archive as docker writes it: for any docker, podman, skopeo.
    DockerArchive,
    /// An OCI image layout in a directory that is not there yet, or empty.
    OciDir,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> anyhow::Result<()> {
    let output = arguments.output.as_deref().filter(|output| *output != Path::new("-"));
    let (names, format) = match arguments.format {
        Format::OciDir => {
            let directory =
                output.context("a directory cannot be written to standard output: give one with -o")?;
            return Ok(store.save_layout(&arguments.names, directory)?);
        }
        Format::OciArchive => (&arguments.names, image::Format::OciArchive),
        Format::DockerArchive => (&arguments.names, image::Format::DockerArchive),
    };
    let Some(path) = output else {
        let stdout = io::stdout();
        anyhow::ensure!(!stdout.is_terminal(), "standard output is a terminal: give a file with -o");
        // Not by the library's own buffer, which looks for lines.
        let file = File::from(std::os::fd::AsFd::as_fd(&stdout).try_clone_to_owned()?);
        return Ok(store.save(names, format, BufWriter::new(file), Path::new("standard output"))?);
    };
    if path.symlink_metadata().is_ok_and(|metadata| !metadata.is_file()) {
        let file = File::options().write(true).open(path).with_context(|| cannot("open", path))?;
        return Ok(store.save(names, format, BufWriter::new(file), path)?);
    }
    let part = beside(path);
    let written = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        // As docker has it: an image may hold what is nobody's business.
        .mode(0o600)
        .open(&part)
        .with_context(|| cannot("create", &part))
        .and_then(|file| Ok(store.save(names, format, BufWriter::new(file), path)?))
        .and_then(|()| fs::rename(&part, path).with_context(|| cannot("write", path)));
    if written.is_err() {
        // It is no archive; what went wrong is told.
        let _ = fs::remove_file(&part);
    }
    written
}

fn cannot(action: &str, path: &Path) -> String {
    format!("cannot {action} {}", path.display())
}

/// Where the file grows.
fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or(path.as_os_str()));
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}

//! `mkubelet image load`.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::say;
use crate::image::Store;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The archive; standard input without one, or with -.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The same, as `docker load` has it.
    #[arg(short, long, value_name = "FILE", conflicts_with = "file")]
    input: Option<PathBuf>,
    /// The name of the only image, whatever it is called in the archive.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> anyhow::Result<()> {
    let name = arguments.name.as_deref();
    let file = arguments.file.as_ref().or(arguments.input.as_ref()).filter(|file| *file != Path::new("-"));
    let loaded = match file {
        Some(file) => store.load(file, name)?,
        None => {
            let stdin = io::stdin();
            anyhow::ensure!(
                !stdin.is_terminal(),
                "standard input is a terminal: name a FILE, or send an archive there"
            );
            store.load_from(stdin.lock(), Path::new("standard input"), name)?
        }
    };
    say(&loaded.iter().map(|image| format!("Loaded image: {}\n", image.reference)).collect::<String>())
}

//! `mkubelet image prune`.

use std::io::{self, IsTerminal};

use clap::Args;

use crate::cli::pulls::human;
use crate::cli::say;
use crate::image::{Pruned, Store};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Every image that no Pod names, those that were imported or loaded too.
    #[arg(short, long)]
    all: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(store: &Store, arguments: &Arguments) -> anyhow::Result<()> {
    let pruned = store.prune(arguments.all, arguments.dry_run)?;
    say(&text(&pruned, arguments.dry_run, io::stdout().is_terminal()))
}

fn text(pruned: &Pruned, is_dry_run: bool, is_for_a_person: bool) -> String {
    let (verb, freed) = if is_dry_run {
        ("Would remove", "space that would be reclaimed")
    } else {
        ("Removed", "reclaimed space")
    };
    let mut text = String::new();
    for image in &pruned.images {
        let replaced = if image.replaced { " (replaced)" } else { "" };
        text += &format!("{verb} image: {}{replaced} {}\n", image.reference, image.short_id());
    }
    if pruned.blobs + pruned.layers > 0 {
        text += &format!("{verb} blobs: {}, unpacked layers: {}\n", pruned.blobs, pruned.layers);
    }
    let bytes = if is_for_a_person { human(pruned.freed) } else { format!("{}B", pruned.freed) };
    text + &format!("Total {freed}: {bytes}\n")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::image::Stored;

    #[test]
    fn what_is_gone_is_told_and_how_much_room_that_made() {
        assert_eq!(text(&Pruned::default(), false, true), "Total reclaimed space: 0B\n");
        let image = Stored {
            reference: "docker.io/library/a:1".into(),
            id: "sha256:0123456789abcdef".into(),
            size: 1,
            digest: "sha256:fedc".into(),
            created: None,
            imported: Timestamp::UNIX_EPOCH,
            is_local: true,
            replaced: true,
        };
        let pruned = Pruned { images: vec![image], blobs: 3, layers: 1, freed: 12_345_678 };
        assert_eq!(
            text(&pruned, false, false),
            "Removed image: docker.io/library/a:1 (replaced) 0123456789ab\n\
             Removed blobs: 3, unpacked layers: 1\nTotal reclaimed space: 12345678B\n"
        );
        assert!(text(&pruned, true, true).ends_with("Total space that would be reclaimed: 12.3MB\n"));
    }
}

//! `mkubelet completion` and `mkubelet man`: what shells and manuals know of the command line, made of its own types.

mod live;

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Zsh};

use super::{Cli, say};

/// Names the shell that asks how a command line goes on, which comes after `--`.
const ASKED: &str = "MKUBELET_COMPLETE";

/// A file of zsh's site-functions is read at the first tab, which it is to answer, too.
const AUTOLOADED: &str = "if [ \"$funcstack[1]\" = _mkubelet ]; then _clap_dynamic_completer_mkubelet; fi\n";

#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Directory for the pages, one per command; made when missing.
    directory: PathBuf,
}

/// Prints the script that a shell reads: `source <(mkubelet completion bash)`. It asks this program for everything else.
pub(super) fn completion(arguments: &Completion) -> anyhow::Result<()> {
    say(&script(arguments.shell)?)
}

fn script(shell: Shell) -> anyhow::Result<String> {
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Elvish => &Elvish,
        Shell::Fish => &Fish,
        Shell::Powershell => &Powershell,
        Shell::Zsh => &Zsh,
    };
    let mut script = Vec::new();
    completer.write_registration(ASKED, "mkubelet", "mkubelet", "mkubelet", &mut script)?;
    let mut script = String::from_utf8(script)?;
    if shell == Shell::Zsh {
        script += AUTOLOADED;
    }
    Ok(script)
}

/// Answers a shell that asks how a command line goes on; whether one did.
pub(super) fn answer() -> anyhow::Result<bool> {
    Ok(CompleteEnv::with_factory(live::command).var(ASKED).try_complete(std::env::args_os(), None)?)
}

/// Writes the manual: `mkubelet.1`, `mkubelet-get.1`, and so on.
pub(super) fn man(arguments: &Man) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
    // Without `help`, a page for each command of which would say the same again.
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    write(&command, directory)
}

fn write(command: &clap::Command, directory: &Path) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let path = directory.join(page.get_filename());
    let written = File::create(&path).and_then(|mut file| page.render(&mut file));
    written.with_context(|| format!("write {}", path.display()))?;
    command.get_subcommands().try_for_each(|subcommand| write(subcommand, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_a_script_that_asks_this_program() {
        for shell in Shell::value_variants() {
            let script = script(*shell).unwrap();
            assert!(script.contains("mkubelet") && script.contains(ASKED), "{shell:?}: {script}");
        }
        // Tried by hand in zsh 5.9: a function of this name answers the tab that loads it.
        let function = AUTOLOADED.rsplit(' ').nth(1).and_then(|word| word.strip_suffix(';')).unwrap();
        assert!(script(Shell::Zsh).unwrap().contains(&format!("function {function}()")));
    }

    #[test]
    fn every_command_has_a_page_with_its_own_words() {
        let directory = tempfile::tempdir().unwrap();
        man(&Man { directory: directory.path().join("man1") }).unwrap();
        for (page, words) in
            [("mkubelet.1", "mkubelet"), ("mkubelet-get.1", "selector"), ("mkubelet-image-list.1", "image")]
        {
            let text = std::fs::read_to_string(directory.path().join("man1").join(page)).unwrap();
            assert!(text.contains(".TH") && text.contains(words), "{page}: {text}");
        }
    }

    #[test]
    fn a_page_that_cannot_be_written_is_named() {
        let error = man(&Man { directory: "/proc/none".into() }).unwrap_err();
        assert!(error.to_string().contains("/proc/none"), "{error}");
    }
}

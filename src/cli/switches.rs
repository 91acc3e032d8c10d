//! Switches as kubectl takes them: `--watch`, `--watch=true` and `--watch=false`, where clap knows the first alone.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

/// The words of Go's `strconv.ParseBool`, which are kubectl's.
const TRUE: [&str; 6] = ["1", "t", "T", "true", "TRUE", "True"];
const FALSE: [&str; 6] = ["0", "f", "F", "false", "FALSE", "False"];

/// The command line with each switch that is said to be true as the switch alone, and without those that are said to be false. What follows
/// `--` stays as it is.
pub(super) fn plain(command: &Command, given: Vec<OsString>) -> Vec<OsString> {
    let (mut plain, mut words, mut command) = (Vec::new(), given.into_iter(), command);
    let mut flags: Vec<&Arg> = command.get_arguments().collect();
    plain.extend(words.next());
    while let Some(word) = words.next() {
        let Some(text) = word.to_str().filter(|text| *text != "--") else {
            plain.push(word);
            break;
        };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let is_called = |flag: &&&Arg| {
            let long = name.strip_prefix("--").filter(|name| !name.is_empty());
            let short = name.strip_prefix('-').and_then(|rest| rest.parse::<char>().ok());
            long.is_some_and(|long| flag.get_long() == Some(long))
                || short.is_some_and(|short| flag.get_short() == Some(short))
        };
        match (flags.iter().find(is_called), value) {
            (Some(flag), Some(value)) if matches!(flag.get_action(), ArgAction::SetTrue) => {
                if TRUE.contains(&value) {
                    plain.push(name.into());
                } else if !FALSE.contains(&value) {
                    plain.push(word);
                }
            }
            (Some(flag), None) if flag.get_action().takes_values() && !flag.is_require_equals_set() => {
                // What follows is its value, whatever it looks like.
                plain.push(word);
                plain.extend(words.next());
            }
            (found, _) => {
                if found.is_none()
                    && let Some(below) = command.find_subcommand(text)
                {
                    command = below;
                    flags.extend(below.get_arguments());
                }
                plain.push(word);
            }
        }
    }
    plain.extend(words);
    plain
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn a_switch_may_be_said_to_be_true_or_false() {
        for (given, expected) in [
            ("get pods --watch=true -A", "get pods --watch -A"),
            ("get pods --watch=false -A=0 --no-headers=T", "get pods --no-headers"),
            ("get pods -w=1", "get pods -w"),
            ("get pods --watch=maybe", "get pods --watch=maybe"),
            ("get pods --nonsense=true -o=yaml", "get pods --nonsense=true -o=yaml"),
            ("delete pod web --wait=false --now=true", "delete pod web --wait=false --now"),
            ("exec web -i=true -- sh -c=true --tty=true", "exec web -i -- sh -c=true --tty=true"),
            ("--run-dir get logs web --previous=true", "--run-dir get logs web --previous"),
            ("logs web -c --previous=true", "logs web -c --previous=true"),
            ("top pod --containers=true", "top pod --containers"),
        ] {
            let words = |line: &str| -> Vec<OsString> {
                std::iter::once("mkubelet").chain(line.split(' ')).map(OsString::from).collect()
            };
            assert_eq!(plain(&Cli::command(), words(given)), words(expected), "{given}");
        }
    }
}

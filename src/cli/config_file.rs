//! `--config`: what a KubeletConfiguration asks for becomes flags of the same command line, where the person gave none.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use serde_json::Value;

use super::{Cli, Command, switches};
use crate::config::kubelet::fields::Field;
use crate::config::kubelet::{self, Setting, Settings};
use crate::eviction::threshold::default_hard;
use crate::pod::problem::{Problem, Problems};

/// Of more bytes no file is read.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the command line, and the files that it names. Ends the program where clap does. With what there is to warn of.
pub(super) fn parse(given: Vec<OsString>) -> anyhow::Result<(Cli, Vec<String>)> {
    let mut given = switches::plain(&Cli::command(), given);
    let mut matches = Cli::command().get_matches_from(&given);
    let mut warnings = Vec::new();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let Command::Agent(arguments) = &cli.command else { return Ok((cli, warnings)) };
    if let Some(settings) = read(arguments.config.as_deref(), arguments.config_dir.as_deref())? {
        given.extend(flags(&given, &matches, &settings)?);
        matches = Cli::command().get_matches_from(&given);
        warnings.extend(settings.warnings.iter().map(Problem::to_string));
    }
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let Command::Agent(arguments) = &mut cli.command {
        arguments.in_force = in_force(&matches);
    }
    Ok((cli, warnings))
}

/// What the files say together; `None` without any.
fn read(file: Option<&Path>, directory: Option<&Path>) -> anyhow::Result<Option<Settings>> {
    let mut files: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
    if let Some(directory) = directory {
        let failed = || format!("--config-dir {}", directory.display());
        let entries = fs::read_dir(directory).with_context(failed)?;
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let mut more = paths.with_context(failed)?;
        more.retain(|path| path.extension().is_some_and(|ending| ending == "conf"));
        more.sort();
        files.extend(more);
    }
    let mut all: Option<Settings> = None;
    for path in files {
        let name = path.display().to_string();
        let failed = || format!("read the configuration {name}");
        let size = fs::metadata(&path).with_context(failed)?.len();
        anyhow::ensure!(size <= MAX_BYTES, "{}: it has {size} bytes, and may have {MAX_BYTES}", failed());
        let settings = Settings::read(&fs::read(&path).with_context(failed)?, &name)?;
        match &mut all {
            Some(all) => all.override_with(settings),
            None => all = Some(settings),
        }
    }
    Ok(all)
}

/// The flags that the settings stand for, without those that the person gave. A value that its flag does not take is told with its
/// place in the file.
fn flags(given: &[OsString], matches: &ArgMatches, settings: &Settings) -> Result<Vec<OsString>, Problems> {
    let asked: Vec<&Setting> = settings.iter().filter(|setting| !is_given(matches, setting.flag)).collect();
    let words = |setting: &Setting| -> Vec<OsString> {
        let flag = |value: &String| OsString::from(format!("--{}={value}", setting.flag));
        setting.values().iter().map(flag).collect()
    };
    let wrong = asked.iter().filter_map(|setting| {
        let error = Cli::command().try_get_matches_from(given.iter().cloned().chain(words(setting))).err()?;
        let values = setting.values().join(",");
        Some(setting.problem(format!("Invalid value: {values:?}: {}", reason(&error))))
    });
    match Problems::collect(wrong.collect()) {
        Some(problems) => Err(problems),
        None => Ok(asked.into_iter().flat_map(words).collect()),
    }
}

/// Why clap does not take a value: what its parser said, or else the first line.
fn reason(error: &clap::Error) -> String {
    use std::error::Error;
    match error.source() {
        Some(source) => source.to_string(),
        None => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            first.strip_prefix("error: ").unwrap_or(first).to_owned()
        }
    }
}

/// The KubeletConfiguration that the flags come to.
fn in_force(matches: &ArgMatches) -> Value {
    kubelet::in_force(|field, flag| {
        let values = id(flag).and_then(|id| of_agent(matches)?.get_raw(&id));
        let values = values.into_iter().flatten().map(|value| value.to_string_lossy().into_owned());
        let values: Vec<String> = values.filter(|value| is_of(field, value)).collect();
        // Another default than none, since none is a value of it.
        if flag == "eviction-hard" && values.is_empty() { vec![default_hard()] } else { values }
    })
}

/// Whether a value of a flag is one of this field: manifests are at a path, at a URL, or on standard input.
fn is_of(field: &Field, value: &str) -> bool {
    let is_url = value.starts_with("http://") || value.starts_with("https://");
    match field.path {
        "staticPodURL" => is_url,
        "staticPodPath" => !is_url && value != "-",
        _ => true,
    }
}

/// Whether the person gave a flag, on the command line or in the environment.
fn is_given(matches: &ArgMatches, flag: &str) -> bool {
    let source = id(flag).and_then(|id| of_agent(matches)?.value_source(&id));
    matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}

fn of_agent(matches: &ArgMatches) -> Option<&ArgMatches> {
    matches.subcommand_matches("agent")
}

/// What clap calls an agent's flag.
fn id(flag: &str) -> Option<String> {
    let command = Cli::command();
    let own = command.find_subcommand("agent")?.get_arguments();
    let found = own.chain(command.get_arguments()).find(|argument| argument.get_long() == Some(flag));
    found.map(|argument| argument.get_id().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::kubelet::fields::{FIELDS, Meaning};

    const HEAD: &str = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

    /// What an agent with these flags and this file has in force.
    fn with(line: &str, file: &str) -> Result<Value, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k.yaml");
        fs::write(&path, format!("{HEAD}{file}")).unwrap();
        let mut given: Vec<OsString> =
            format!("mkubelet agent {line}").split_whitespace().map(OsString::from).collect();
        given.extend([OsString::from("--config"), path.clone().into()]);
        let text =
            |error: anyhow::Error| error.to_string().replace(&format!("{}/", dir.path().display()), "");
        let (cli, _) = parse(given).map_err(text)?;
        match cli.command {
            Command::Agent(arguments) => Ok(arguments.in_force),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_of_the_table_is_one_of_the_agents() {
        for field in FIELDS {
            if let Meaning::Flag(flag) = field.meaning {
                assert!(id(flag).is_some(), "{}: there is no --{flag}", field.path);
            }
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let found =
            with("--pod-max-pids 9", "podPidsLimit: 5\nmaxPods: 7\nstaticPodURL: http://h/p\n").unwrap();
        assert_eq!(found["podPidsLimit"], 9);
        assert_eq!(found["maxPods"], 7);
        assert_eq!(found["containerLogMaxFiles"], 5);
        assert_eq!(found["evictionHard"]["nodefs.available"], "10%");
        assert_eq!(found["staticPodURL"], "http://h/p");
        assert_eq!(found.get("staticPodPath"), None);
        assert_eq!(with("", "").unwrap()["staticPodPath"], "/etc/mkubelet/manifests");
    }

    #[test]
    fn a_value_that_the_flag_does_not_take_is_told_with_its_place() {
        assert_eq!(
            with("", "podPidsLimit: -7\nlogging:\n  format: xml\n").unwrap_err(),
            "k.yaml:3:15: podPidsLimit: Invalid value: \"-7\": must be a number above 0, or -1 for no limit\n\
             k.yaml:5:11: logging.format: Invalid value: \"xml\": invalid value 'xml' for '--logging-format <FORMAT>'"
        );
        assert!(with("--pod-max-pids 9", "podPidsLimit: -7").is_ok(), "nobody uses it");
    }

    #[test]
    fn drop_ins_are_read_in_the_order_of_their_names_after_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("20-b.conf", "maxPods: 8"),
            ("10-a.conf", "maxPods: 7\npodPidsLimit: 3"),
            ("30-c", "maxPods: 1"),
        ] {
            fs::write(dir.path().join(name), format!("{HEAD}{text}")).unwrap();
        }
        let found = with(&format!("--config-dir {}", dir.path().display()), "maxPods: 5\nclusterDomain: a.b")
            .unwrap();
        assert_eq!((&found["maxPods"], &found["podPidsLimit"]), (&8.into(), &3.into()));
        assert_eq!(found["clusterDomain"], "a.b");
    }
}

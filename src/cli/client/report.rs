//! What was done to an object, as a line (`pod/web created`) or as the object itself.

use clap::ValueEnum;
use serde_json::Value;

use super::discovery::Type;
use super::output;

/// `-o` of verbs that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    Name,
    Yaml,
    Json,
}

/// `--dry-run`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DryRun {
    /// It is done.
    #[default]
    None,
    /// Nothing is sent.
    Client,
    /// The server does all but keep it.
    Server,
}

impl DryRun {
    /// The parameter of the request.
    pub(in crate::cli) fn parameter(self) -> Option<&'static str> {
        (self == Self::Server).then_some("All")
    }

    /// What follows the word.
    pub(in crate::cli) fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Client => " (dry run)",
            Self::Server => " (server dry run)",
        }
    }
}

/// `--validate`: what becomes of fields that a type does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Validation {
    /// They are an error.
    #[default]
    #[value(alias = "true")]
    Strict,
    /// They are told.
    Warn,
    /// They are passed over.
    #[value(alias = "false")]
    Ignore,
}

impl Validation {
    /// `fieldValidation` of the request.
    pub(in crate::cli) fn parameter(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Warn => "Warn",
            Self::Ignore => "Ignore",
        }
    }
}

/// Tells what was done. Several objects as YAML are documents of their own.
#[derive(Debug, Default)]
pub(in crate::cli) struct Report {
    told: usize,
}

impl Report {
    /// The text for one object that was `done`: created, configured, labeled.
    pub(in crate::cli) fn text(
        &mut self,
        format: Option<Format>,
        of: &Type,
        object: &Value,
        done: &str,
        dry_run: DryRun,
    ) -> anyhow::Result<String> {
        self.told += 1;
        let name = of.named(object["metadata"]["name"].as_str().unwrap_or_default());
        Ok(match format {
            None => format!("{name} {done}{}\n", dry_run.suffix()),
            Some(Format::Name) => format!("{name}\n"),
            Some(Format::Json) => output::json(object)?,
            Some(Format::Yaml) if self.told > 1 => format!("---\n{}", output::yaml(object)),
            Some(Format::Yaml) => output::yaml(object),
        })
    }
}

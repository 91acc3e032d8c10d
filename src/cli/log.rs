//! What is told on stderr: complaints to a person, and diagnostics; as text, or as JSON in the kubelet's words.
//!
//! Source: `k8s.io/component-base/logs/json` and <https://kubernetes.io/docs/concepts/cluster-administration/system-logs/>.

use std::fmt::{self, Debug};
use std::io::{self, IsTerminal};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format as Line, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// What is told to a person, whatever the diagnostics are filtered by.
const TO_A_PERSON: &str = "mkubelet::person";

/// How an agent's log is to be.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(super) struct Flags {
    /// What the log is written as.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    logging_format: Format,
    /// How much is logged: warnings from 0 on, what happens from 2 on, what is done from 4 on, everything from 6 on.
    #[arg(id = "v", long = "v", short = 'v', value_name = "LEVEL", default_value_t = 0)]
    verbosity: u8,
}

/// What a log is written as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Lines for a person.
    #[default]
    Text,
    /// A JSON object a line, as the kubelet writes them.
    Json,
}

impl Flags {
    /// What the log is written as.
    pub(super) fn format(self) -> Format {
        self.logging_format
    }
}

/// From now on what is told and logged goes to stderr: complaints, and of diagnostics what the flags ask for, or MKUBELET_LOG or RUST_LOG.
pub(super) fn start(flags: &Flags) {
    let asked = ["MKUBELET_LOG", "RUST_LOG"].iter().find_map(|name| std::env::var(name).ok());
    let filter = EnvFilter::builder().parse_lossy(asked.as_deref().unwrap_or(level(flags.verbosity)));
    let filter = match format!("{TO_A_PERSON}=error").parse() {
        Ok(always) => filter.add_directive(always),
        Err(_) => filter,
    };
    // A file or the journal is no place for colours; NO_COLOR (no-color.org) asks a terminal for the same.
    let is_plain = !io::stderr().is_terminal() || std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match flags.logging_format {
        Format::Text => subscriber.with_ansi(!is_plain).event_format(Text(Line::default())).init(),
        Format::Json => subscriber.with_ansi(false).event_format(Json).init(),
    }
}

/// Tells a person one line.
pub(super) fn say(line: &str) {
    tracing::error!(target: TO_A_PERSON, "{line}");
}

/// The kubelet's levels as those that we have.
fn level(verbosity: u8) -> &'static str {
    match verbosity {
        0..2 => "warn",
        2..4 => "info",
        4..6 => "debug",
        6.. => "trace",
    }
}

/// Diagnostics with their time and place; what is told to a person with the program's name alone.
struct Text(Line);

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != TO_A_PERSON {
            return self.0.format_event(context, writer, event);
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        writeln!(writer, "mkubelet: {}", fields.message)
    }
}

/// An object a line.
struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let caller = metadata.file().zip(metadata.line());
        let caller =
            caller.map(|(file, line)| format!("{}:{line}", file.strip_prefix("src/").unwrap_or(file)));
        let v = match *metadata.level() {
            Level::ERROR => None,
            Level::WARN => Some(0),
            Level::INFO => Some(2),
            Level::DEBUG => Some(4),
            Level::TRACE => Some(6),
        };
        writeln!(writer, "{}", object(Timestamp::now(), caller, v, fields))
    }
}

/// An event as the kubelet writes it; errors have no verbosity.
fn object(at: Timestamp, caller: Option<String>, v: Option<u8>, fields: Fields) -> Value {
    let mut object = Map::new();
    object.insert("ts".to_owned(), json!(milliseconds(at)));
    object.extend(caller.map(|caller| ("caller".to_owned(), caller.into())));
    object.insert("msg".to_owned(), fields.message.into());
    object.extend(v.map(|v| ("v".to_owned(), v.into())));
    object.extend(fields.others);
    object.into()
}

/// The time as a JSON log has it: milliseconds since 1970.
pub(super) fn milliseconds(at: Timestamp) -> f64 {
    at.as_microsecond() as f64 / 1000.0
}

/// What an event says.
#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = match field.name() {
            "error" => "err",
            name => name,
        };
        self.others.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            _ => self.put(field, format!("{value:?}").into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            _ => self.put(field, value.into()),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What is written while `log` runs.
    fn written(format: Format, log: impl FnOnce()) -> String {
        #[derive(Clone, Default)]
        struct Kept(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Kept {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap().write(bytes)
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone());
        match format {
            Format::Text => {
                let subscriber = subscriber.event_format(Text(Line::default())).finish();
                tracing::subscriber::with_default(subscriber, log);
            }
            Format::Json => tracing::subscriber::with_default(subscriber.event_format(Json).finish(), log),
        }
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn an_event_is_a_json_object_with_its_fields() {
        let text = written(Format::Json, || {
            tracing::warn!(pod = %"default/web", podUID = "u", restarts = 3, error = %"it \"broke\"", "no link to the log\nof a container");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let event: Value = serde_json::from_str(&text).unwrap();
        let of = |name: &str| event[name].clone();
        assert_eq!(of("msg"), "no link to the log\nof a container");
        assert_eq!([of("pod"), of("podUID"), of("err")], ["default/web", "u", "it \"broke\""]);
        assert_eq!([of("v"), of("restarts")], [0, 3]);
        assert!(of("caller").as_str().unwrap().starts_with("cli/log.rs:"), "{text}");
        assert!(of("ts").as_f64().unwrap() > 1.7e12, "milliseconds: {text}");
    }

    #[test]
    fn what_is_told_to_a_person_has_the_name_of_the_program_or_is_an_error_without_verbosity() {
        assert_eq!(written(Format::Text, || say("pod a: no")), "mkubelet: pod a: no\n");
        let event: Value = serde_json::from_str(&written(Format::Json, || say("pod a: no"))).unwrap();
        assert_eq!((&event["msg"], event.get("v")), (&json!("pod a: no"), None));
    }

    #[test]
    fn verbosity_has_the_kubelets_steps() {
        let levels: Vec<&str> = [0, 1, 2, 4, 6, 10].into_iter().map(level).collect();
        assert_eq!(levels, ["warn", "warn", "info", "debug", "trace", "trace"]);
    }
}

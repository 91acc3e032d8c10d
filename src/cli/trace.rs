//! `mkubelet trace`: how long each step of a pod's start took.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

use super::client::failure::told;
use super::client::query::segment;
use super::client::selection::Namespace;
use super::client::{output, request, table};
use super::say;
use crate::api::debug;

/// Columns of the longest bar.
const WIDTH: usize = 40;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod: `web` or `pod/web`.
    pod: String,
    #[command(flatten)]
    namespace: Namespace,
    /// As the agent tells it.
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
}

/// What the agent tells.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    from_journal: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    phase: String,
    #[serde(default)]
    container: String,
    start_milliseconds: f64,
    duration_milliseconds: f64,
}

impl Step {
    fn end(&self) -> f64 {
        self.start_milliseconds + self.duration_milliseconds
    }
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let name = arguments.pod.strip_prefix("pod/").or_else(|| arguments.pod.strip_prefix("pods/"));
    let name = name.unwrap_or(&arguments.pod);
    let path = format!("/debug/pods/{}/{}/trace", segment(arguments.namespace.name()), segment(name));
    let answer: Value = request::get(client, &path).await.map_err(told)?;
    match arguments.output {
        Some(Format::Json) => say(&output::json(&answer)?)?,
        None => say(&text(&serde_json::from_value(answer)?))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The same text of what this process knows itself.
pub(super) fn text_of(trace: &debug::Trace) -> String {
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let step = |step: &debug::Step| Step {
        phase: step.phase.to_owned(),
        container: step.container.clone().unwrap_or_default(),
        start_milliseconds: milliseconds(step.start),
        duration_milliseconds: milliseconds(step.duration),
    };
    text(&Trace { from_journal: trace.from_journal, steps: trace.steps.iter().map(step).collect() })
}

/// A line for each step, with a bar that shows when it was under way.
fn text(trace: &Trace) -> String {
    let whole = trace.steps.iter().map(Step::end).fold(0.0, f64::max);
    let mut rows = vec![["CONTAINER", "PHASE", "START(ms)", "TIME(ms)", ""].map(str::to_owned).to_vec()];
    rows.extend(trace.steps.iter().map(|step| {
        let container = if step.container.is_empty() { "-" } else { &step.container };
        let figures =
            [step.start_milliseconds, step.duration_milliseconds].map(|figure| format!("{figure:.1}"));
        let [start, time] = figures;
        vec![container.to_owned(), step.phase.clone(), start, time, bar(step, whole)]
    }));
    let note = match trace.from_journal {
        true => "The agent that started the pod is gone; this is what its journal knows.\n",
        false => "",
    };
    format!("{}{note}Total: {whole:.1} ms\n", table::aligned(&rows))
}

fn bar(step: &Step, whole: f64) -> String {
    let column = |milliseconds: f64| match whole > 0.0 {
        true => ((milliseconds / whole * WIDTH as f64) as usize).min(WIDTH - 1),
        false => 0,
    };
    let (from, to) = (column(step.start_milliseconds), column(step.end()));
    format!("{}{}", " ".repeat(from), "#".repeat(to - from + 1))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_is_a_line_with_a_bar_at_its_time() {
        let step = |phase: &str, container: Option<&str>, start: f64, duration: f64| json!({"phase": phase, "container": container.unwrap_or_default(), "startMilliseconds": start, "durationMilliseconds": duration});
        let trace = |steps: Vec<Value>, from_journal: bool| {
            text(&serde_json::from_value(json!({"fromJournal": from_journal, "steps": steps})).unwrap())
        };
        let steps = vec![step("admit", None, 0.0, 50.0), step("start", Some("a"), 50.04, 49.96)];
        let half = "#".repeat(20);
        let expected = format!(
            "CONTAINER   PHASE   START(ms)   TIME(ms)\n\
             -           admit   0.0         50.0       {half}#\n\
             a           start   50.0        50.0       {}{half}\n\
             Total: 100.0 ms\n",
            " ".repeat(20)
        );
        assert_eq!(trace(steps, false), expected);
        let recalled = trace(vec![step("sandbox", None, 0.0, 0.0)], true);
        assert!(recalled.contains("what its journal knows"), "{recalled}");
    }
}

//! What `run` and `agent` print: successive statuses of pods, as one line for each change. Reads the clock only for a line of JSON.

use std::collections::HashMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodCondition, PodStatus,
};
use serde_json::json;

use super::log::milliseconds;
use crate::pod::{Pod, PodUid};
use crate::status::publish::{Change, Update};

/// Turns updates into lines, and keeps score.
#[derive(Debug, Default)]
pub(super) struct Printer {
    style: Style,
    pods: HashMap<PodUid, Seen>,
    /// The first container that failed for good, by pod: when, and with which code.
    failures: HashMap<PodUid, (Timestamp, i32)>,
}

/// What a line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// Plain text.
    #[default]
    Plain,
    /// Text for a terminal.
    Colours,
    /// An object of the kubelet's JSON log, with the pod and the container as fields.
    Json,
}

/// Something to tell of a pod, or of one of its containers.
struct Line {
    mood: Mood,
    container: Option<String>,
    text: String,
}

impl Line {
    fn of_pod(mood: Mood, text: impl Into<String>) -> Self {
        Self { mood, container: None, text: text.into() }
    }
}

/// What has been told of a pod.
#[derive(Debug, Default)]
struct Seen {
    phase: String,
    ip: String,
    containers: HashMap<String, SeenContainer>,
    /// Its conditions of a change of resources, with what each says.
    resize: Vec<(String, String)>,
}

/// What has been told of a container.
#[derive(Debug, Default)]
struct SeenContainer {
    running: Option<String>,
    terminated: Option<String>,
    waiting: Option<ContainerStateWaiting>,
    ready: bool,
}

/// How a line is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Plain,
    Good,
    Odd,
    Bad,
}

impl Printer {
    /// A printer of such lines.
    pub(super) fn new(style: Style) -> Self {
        Self { style, ..Self::default() }
    }

    /// The lines that an update is worth, each with its newline.
    pub(super) fn lines(&mut self, update: &Update) -> Vec<String> {
        let pod = &update.pod;
        let mut lines = Vec::new();
        match &update.change {
            Change::Status(status) => self.status(pod, status, &mut lines),
            Change::Terminating { grace } => {
                let text = format!("Terminating (grace period {}s)", grace.as_secs());
                lines.push(Line::of_pod(Mood::Odd, text));
            }
            // The lines of containers say the same, and `run` has more to say on stderr.
            Change::Event(_) | Change::Pulling { .. } | Change::Timed(_) | Change::Leaving { .. } => {}
            Change::Deleted => {
                self.pods.remove(&pod.uid);
                lines.push(Line::of_pod(Mood::Plain, "deleted"));
            }
        }
        lines.into_iter().map(|line| self.finish(pod, &line)).collect()
    }

    /// The exit code of the first container that failed for good; 0 if none did.
    pub(super) fn exit_code(&self) -> i32 {
        self.failures.values().min().map_or(0, |(_, code)| *code)
    }

    fn status(&mut self, pod: &Pod, status: &PodStatus, lines: &mut Vec<Line>) {
        let containers = || {
            let init = status.init_container_statuses.iter().flatten();
            init.chain(status.container_statuses.iter().flatten())
        };
        let failed = containers().filter_map(|container| {
            let ended = container.state.as_ref()?.terminated.as_ref()?;
            (ended.exit_code != 0).then_some((ended.finished_at.as_ref()?.0, ended.exit_code))
        });
        // How sidecars end says nothing about a pod that succeeded.
        let failed = match status.phase.as_deref() {
            Some("Succeeded") => None,
            // By its deadline, say.
            Some("Failed") => failed.min().or(Some((Timestamp::MAX, 1))),
            _ => failed.min(),
        };
        match failed {
            Some(first) => self.failures.insert(pod.uid.clone(), first),
            None => self.failures.remove(&pod.uid),
        };

        let seen = self.pods.entry(pod.uid.clone()).or_default();
        let phase = status.phase.clone().unwrap_or_default();
        let is_new_phase = phase != seen.phase;
        let mut line = phase.clone();
        if let (Some(reason), Some(message)) = (&status.reason, &status.message) {
            line.push_str(&format!(" ({reason}): {message}"));
        }
        let is_beginning = is_new_phase && phase == "Pending";
        if is_beginning {
            lines.push(Line::of_pod(Mood::Plain, line.clone()));
        }
        let ip = status.pod_ip.clone().unwrap_or_default();
        if !ip.is_empty() && ip != seen.ip {
            lines.push(Line::of_pod(Mood::Plain, format!("IP {ip}")));
        }
        // How they end says nothing about the pod.
        let ephemeral = status.ephemeral_container_statuses.iter().flatten();
        for container in containers().chain(ephemeral) {
            let known = seen.containers.entry(container.name.clone()).or_default();
            let mut said = known.tell(container);
            if is_probed_for_readiness(pod, &container.name) {
                said.extend(known.tell_readiness(container));
            }
            lines.extend(said.into_iter().map(|(mood, text)| Line {
                mood,
                container: Some(container.name.clone()),
                text,
            }));
        }
        lines.extend(seen.tell_resize(status).map(|(mood, text)| Line::of_pod(mood, text)));
        if is_new_phase && !is_beginning {
            let mood = match phase.as_str() {
                "Running" | "Succeeded" => Mood::Good,
                "Failed" => Mood::Bad,
                _ => Mood::Plain,
            };
            lines.push(Line::of_pod(mood, line));
        }
        (seen.phase, seen.ip) = (phase, ip);
    }

    fn finish(&self, pod: &Pod, Line { mood, container, text }: &Line) -> String {
        if self.style == Style::Json {
            let mut object = json!({
                "ts": milliseconds(Timestamp::now()),
                "msg": text,
                "v": 0,
                "pod": pod.key.to_string(),
                "podUID": pod.uid.to_string(),
            });
            if let Some(container) = container {
                object["containerName"] = container.as_str().into();
            }
            return format!("{object}\n");
        }
        let line = on_one_line(&match container {
            Some(container) => format!("container {}/{container}: {text}", pod.key),
            None => format!("pod {}: {text}", pod.key),
        });
        match (self.style, mood) {
            (Style::Colours, Mood::Good) => format!("\x1b[32m{line}\x1b[0m\n"),
            (Style::Colours, Mood::Odd) => format!("\x1b[33m{line}\x1b[0m\n"),
            (Style::Colours, Mood::Bad) => format!("\x1b[31m{line}\x1b[0m\n"),
            _ => format!("{line}\n"),
        }
    }
}

impl Seen {
    /// What is new about a change of the pod's resources.
    fn tell_resize(&mut self, status: &PodStatus) -> impl Iterator<Item = (Mood, String)> + use<> {
        let words = [("PodResizePending", "Resize pending"), ("PodResizeInProgress", "Resize in progress")];
        let says = |condition: &PodCondition| {
            let (_, words) = words.iter().find(|(kind, _)| *kind == condition.type_)?;
            let text = match (&condition.reason, &condition.message) {
                (Some(reason), Some(message)) => format!("{words} ({reason}): {message}"),
                _ => String::new(),
            };
            Some((condition.type_.clone(), text))
        };
        let now: Vec<_> = status.conditions.iter().flatten().filter_map(says).collect();
        let before = std::mem::replace(&mut self.resize, now.clone());
        let has_ended = |list: &[(String, String)]| !list.iter().any(|(kind, _)| kind == words[1].0);
        let done = !has_ended(&before) && has_ended(&now);
        let news = now.into_iter().filter(move |one| !one.1.is_empty() && !before.contains(one));
        news.map(|(_, text)| (Mood::Odd, text)).chain(done.then(|| (Mood::Good, "Resized".to_owned())))
    }
}

impl SeenContainer {
    /// What is new about a container.
    fn tell(&mut self, container: &ContainerStatus) -> Vec<(Mood, String)> {
        let mut lines = Vec::new();
        let Some(state) = &container.state else { return lines };
        let last = container.last_state.as_ref().and_then(|last| last.terminated.as_ref());
        let is_old_news = state.running.is_some() && self.running.is_none() && self.terminated.is_none();
        if let Some(ended) = state.terminated.as_ref().or(last)
            && ended.container_id != self.terminated
        {
            self.terminated = ended.container_id.clone();
            self.waiting = None;
            if !is_old_news {
                lines.push(terminated(ended));
            }
        }
        if state.running.is_some() && container.container_id != self.running {
            self.running = container.container_id.clone();
            self.waiting = None;
            let text = match container.restart_count {
                0 => "Running".to_owned(),
                count => format!("Running (restart {count})"),
            };
            lines.push((Mood::Good, text));
        }
        // To be created is what everything waits for at first; there is nothing to tell until there is a reason.
        if let Some(waiting) = state.waiting.as_ref().filter(|waiting| waiting.message.is_some())
            && self.waiting.as_ref() != Some(waiting)
        {
            self.waiting = Some(waiting.clone());
            let reason = waiting.reason.as_deref().unwrap_or_default();
            let message = waiting.message.as_deref().unwrap_or_default();
            // The line has named the container and its pod already.
            let message =
                message.split_once('=').filter(|_| reason == "CrashLoopBackOff").map_or(message, |(m, _)| m);
            lines.push((Mood::Odd, format!("Waiting ({reason}): {message}")));
        }
        lines
    }

    /// Whether that has changed while it runs. Who has ended is not ready, and that is no news.
    fn tell_readiness(&mut self, container: &ContainerStatus) -> Option<(Mood, String)> {
        let runs = container.state.as_ref().is_some_and(|state| state.running.is_some());
        let was_ready = std::mem::replace(&mut self.ready, runs && container.ready);
        match (was_ready, self.ready) {
            (false, true) => Some((Mood::Good, "Ready".to_owned())),
            (true, false) if runs => Some((Mood::Odd, "Not ready".to_owned())),
            _ => None,
        }
    }
}

/// Without such a probe, running is ready.
fn is_probed_for_readiness(pod: &Pod, container: &str) -> bool {
    let containers = pod.spec.init_containers.iter().chain(&pod.spec.containers);
    let mut named = containers.filter(|spec| spec.name.as_str() == container);
    named.any(|spec| spec.readiness_probe.is_some() || spec.startup_probe.is_some())
}

fn terminated(ended: &ContainerStateTerminated) -> (Mood, String) {
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let mut text = match ended.exit_code {
        0 => format!("Terminated ({reason})"),
        code => format!("Terminated ({reason}, exit code {code})"),
    };
    // The last line of a file ends like the others.
    if let Some(message) = ended.message.as_ref().map(|message| message.trim_end()).filter(|m| !m.is_empty())
    {
        text.push_str(": ");
        text.push_str(message);
    }
    (if ended.exit_code == 0 { Mood::Plain } else { Mood::Bad }, text)
}

/// Messages may quote what a stranger wrote: no line ends and no terminal sequences.
fn on_one_line(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::pod::spec::RestartPolicy;
    use crate::runtime::fixture::{History, at, exit, name, pod};
    use crate::runtime::observe::{Held, Resize};
    use crate::status::derive::derive;
    use crate::sync::plan::Intent;

    struct Screen {
        pod: Arc<Pod>,
        printer: Printer,
        last: Option<PodStatus>,
    }

    impl Screen {
        fn new(policy: RestartPolicy) -> Self {
            Self { pod: Arc::new(pod(policy, &[], &["a"])), printer: Printer::new(Style::Plain), last: None }
        }

        /// The lines that the history, as far as it has come, adds to the screen.
        fn at(&mut self, second: i64, history: &History) -> Vec<String> {
            let status =
                derive(&self.pod, &history.observed, Intent::Run, None, self.last.as_ref(), at(second));
            self.last = Some(status.clone());
            self.tell(Change::Status(Box::new(status)))
        }

        fn tell(&mut self, change: Change) -> Vec<String> {
            let lines = self.printer.lines(&Update { pod: Arc::clone(&self.pod), origin: None, change });
            lines.into_iter().map(|line| line.strip_suffix('\n').unwrap().to_owned()).collect()
        }
    }

    #[test]
    fn a_deadline_is_a_reason_and_a_failure_though_no_container_failed() {
        let mut screen = Screen::new(RestartPolicy::Always);
        Arc::make_mut(&mut screen.pod).spec.active_deadline = Some(Duration::from_secs(10));
        let mut h = History::ready();
        h.start(0, "a");
        screen.at(0, &h);
        let message = "Pod was active on the node longer than the specified deadline";
        assert_eq!(screen.at(10, &h), [format!("pod default/web: Failed (DeadlineExceeded): {message}")]);
        h.exit(11, "a", 0);
        assert_eq!(screen.at(11, &h), ["container default/web/a: Terminated (Completed)"]);
        assert_eq!(screen.printer.exit_code(), 1);
    }

    #[test]
    fn a_line_of_json_has_the_pod_and_the_container_as_fields() {
        let mut screen = Screen::new(RestartPolicy::Always);
        screen.printer = Printer::new(Style::Json);
        let mut h = History::ready();
        h.start(0, "a");
        let lines = screen.at(0, &h);
        let found: Vec<serde_json::Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let uid = screen.pod.uid.to_string();
        for (line, message, container) in [(&found[0], "Running", Some("a")), (&found[1], "Running", None)] {
            assert_eq!(line["msg"], message);
            assert_eq!((&line["pod"], &line["podUID"]), (&json!("default/web"), &json!(uid)));
            assert_eq!(line.get("containerName").and_then(|name| name.as_str()), container);
        }
    }

    #[test]
    fn a_life_is_told_line_by_line() {
        let mut screen = Screen::new(RestartPolicy::Always);
        let mut h = History::default();
        assert_eq!(screen.at(0, &h), ["pod default/web: Pending"]);
        h.sandbox(0);
        h.observed.address = Some([10, 85, 0, 2].into());
        assert_eq!(screen.at(0, &h), ["pod default/web: IP 10.85.0.2"]);
        h.start(0, "a");
        assert_eq!(screen.at(0, &h), ["container default/web/a: Running", "pod default/web: Running"]);
        assert!(screen.at(1, &h).is_empty());
        h.exit(1, "a", 137);
        assert_eq!(screen.at(1, &h), ["container default/web/a: Terminated (Error, exit code 137)"]);
        h.start(1, "a");
        assert_eq!(screen.at(1, &h), ["container default/web/a: Running (restart 1)"]);
        h.exit(2, "a", 0);
        assert_eq!(
            screen.at(2, &h),
            [
                "container default/web/a: Terminated (Completed)",
                "container default/web/a: Waiting (CrashLoopBackOff): back-off 10s restarting failed container",
            ]
        );
        assert!(screen.at(3, &h).is_empty());
        assert_eq!(
            screen.tell(Change::Terminating { grace: Duration::from_secs(30) }),
            ["pod default/web: Terminating (grace period 30s)"]
        );
        assert_eq!(screen.tell(Change::Deleted), ["pod default/web: deleted"]);
    }

    #[test]
    fn an_end_between_two_looks_is_told_all_the_same() {
        let mut screen = Screen::new(RestartPolicy::Always);
        let mut h = History::ready();
        h.start(0, "a");
        screen.at(0, &h);
        h.exit(1, "a", 1).start(1, "a");
        assert_eq!(
            screen.at(1, &h),
            [
                "container default/web/a: Terminated (Error, exit code 1)",
                "container default/web/a: Running (restart 1)"
            ]
        );
    }

    #[test]
    fn what_was_over_before_we_came_is_not_news() {
        let mut screen = Screen::new(RestartPolicy::Always);
        let mut h = History::ready();
        h.start(0, "a").exit(1, "a", 1).start(1, "a");
        assert_eq!(
            screen.at(1, &h),
            ["container default/web/a: Running (restart 1)", "pod default/web: Running"]
        );
    }

    #[test]
    fn a_missing_image_and_a_failed_start_say_why_on_one_line() {
        let mut screen = Screen::new(RestartPolicy::Never);
        let mut h = History::ready();
        let held = Held::again(None, "ErrImagePull", "no\x1b[31m such\nimage".into(), at(0));
        h.observed.container_mut(&name("a")).held = Some(held);
        let lines = screen.at(0, &h);
        assert_eq!(lines[1], "container default/web/a: Waiting (ErrImagePull): no\\u{1b}[31m such\\nimage");
        h.start_fails(1, "a");
        let lines = screen.at(1, &h);
        assert!(
            lines[0].starts_with("container default/web/a: Terminated (StartError, exit code 128): execve")
        );
        assert_eq!(lines[1], "pod default/web: Failed");
    }

    #[test]
    fn last_words_are_told_on_the_line_of_the_end() {
        let mut screen = Screen::new(RestartPolicy::Always);
        let mut h = History::ready();
        for (second, message, told) in [
            (
                1,
                Some("no\x1b[2J\ndatabase\n"),
                "container default/web/a: Terminated (Completed): no\\u{1b}[2J\\ndatabase",
            ),
            (2, Some("\n"), "container default/web/a: Terminated (Completed)"),
            (3, None, "container default/web/a: Terminated (Completed)"),
        ] {
            h.start(second, "a");
            screen.at(second, &h);
            h.exits_saying(second, "a", exit(0), message);
            assert_eq!(screen.at(second, &h)[0], told);
        }
    }

    #[test]
    fn the_exit_code_is_that_of_the_container_that_failed_first_and_did_not_recover() {
        let mut screen = Screen::new(RestartPolicy::OnFailure);
        let mut h = History::ready();
        h.start(0, "a").exit(1, "a", 3);
        screen.at(1, &h);
        assert_eq!(screen.printer.exit_code(), 3);
        h.start(1, "a").exit(2, "a", 0);
        screen.at(2, &h);
        assert_eq!(screen.printer.exit_code(), 0);
    }

    #[test]
    fn a_change_of_resources_is_told_when_it_waits_and_when_it_is_made() {
        let mut screen = Screen::new(RestartPolicy::Always);
        let mut h = History::ready();
        h.start(0, "a");
        screen.at(0, &h);
        h.observed.infeasible = Some("too much".into());
        assert_eq!(screen.at(1, &h), ["pod default/web: Resize pending (Infeasible): too much"]);
        (h.observed.infeasible, h.observed.resize) = (None, Resize::Due);
        assert_eq!(screen.at(2, &h), [""; 0]);
        h.observed.resize = Resize::Failed { message: "in use".into(), again_at: at(9) };
        assert_eq!(screen.at(3, &h), ["pod default/web: Resize in progress (Error): in use"]);
        h.observed.resize = Resize::UnderWay;
        assert_eq!(screen.at(9, &h), [""; 0]);
        h.observed.resize = Resize::Done;
        assert_eq!(screen.at(9, &h), ["pod default/web: Resized"]);
    }

    #[test]
    fn colours_are_for_terminals() {
        let (printer, pod) = (Printer::new(Style::Colours), pod(RestartPolicy::Always, &[], &["a"]));
        assert_eq!(
            printer.finish(&pod, &Line::of_pod(Mood::Bad, "x")),
            "\x1b[31mpod default/web: x\x1b[0m\n"
        );
        assert_eq!(printer.finish(&pod, &Line::of_pod(Mood::Plain, "x")), "pod default/web: x\n");
    }
}

//! `mkubelet logs`: what containers have written, and with `-f` what they write.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use futures::future::join_all;
use futures::{AsyncBufReadExt, AsyncReadExt};
use http::Request;
use kube::Client;
use serde_json::Value;

use super::client::discovery::Types;
use super::client::failure::{Tally, told};
use super::client::interaction::RunningTimeout;
use super::client::query::Query;
use super::client::selection::Namespace;
use super::client::{duration, pod, request};

/// Lines of each container that a selector begins with.
const TAIL_OF_SELECTOR: i64 = 10;

/// Bytes that are carried at a time.
const PIECE: usize = 32 << 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pod, and a container of it: `web`, `pod/web`, `web nginx`.
    #[arg(value_name = "POD [CONTAINER]", num_args = 0..=2)]
    pod: Vec<String>,
    #[command(flatten)]
    namespace: Namespace,
    /// The container; without it the default one of the pod, or its first.
    #[arg(short, long)]
    container: Option<String>,
    /// Go on with what is written from now on.
    #[arg(short, long)]
    follow: bool,
    /// What the container wrote before its last restart.
    #[arg(short, long)]
    previous: bool,
    /// So many of the last lines; -1 is all [default: -1, with a selector 10].
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    tail: Option<i64>,
    /// Only what is not older than this: `5s`, `2m`, `3h`.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Only what was written since then (RFC 3339).
    #[arg(long, value_name = "TIME")]
    since_time: Option<jiff::Timestamp>,
    /// So many bytes at most.
    #[arg(long, value_name = "BYTES")]
    limit_bytes: Option<u64>,
    /// Each line with its time.
    #[arg(long)]
    timestamps: bool,
    /// All containers of the pod.
    #[arg(long)]
    all_containers: bool,
    /// Each line with its pod and container.
    #[arg(long)]
    prefix: bool,
    /// All pods of what is named, of which a pod has one: the same as `--prefix`.
    #[arg(long)]
    all_pods: bool,
    /// All pods with these labels.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// So many logs may be followed at a time.
    #[arg(long, default_value_t = 5)]
    max_log_requests: usize,
    /// Go on with the others when one log cannot be read.
    #[arg(long)]
    ignore_errors: bool,
    /// Taken as kubectl takes it: the agent reads logs itself, and there is no kubelet whose certificate could be passed over.
    #[arg(long)]
    insecure_skip_tls_verify_backend: bool,
    #[command(flatten)]
    _timeout: RunningTimeout,
}

/// One log.
#[derive(Debug, PartialEq)]
struct Source {
    path: String,
    prefix: String,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    check(arguments)?;
    let pods = pods(client, arguments).await?;
    let mut sources = Vec::new();
    for pod in &pods {
        sources.extend(sources_of(pod, arguments)?);
    }
    let follows_several = arguments.follow && sources.len() > 1;
    anyhow::ensure!(
        !follows_several || sources.len() <= arguments.max_log_requests,
        "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to \
         increase the limit",
        sources.len(),
        arguments.max_log_requests
    );
    let mut tally = Tally::default();
    if follows_several {
        let all = join_all(sources.iter().map(|source| print(client, source))).await;
        for one in all {
            tally.note(one);
        }
        return Ok(tally.exit_code());
    }
    for source in &sources {
        let printed = print(client, source).await;
        if arguments.ignore_errors {
            tally.note(printed);
        } else {
            printed?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What kubectl refuses to be told at once.
fn check(arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { pod, selector, container, all_containers, since, since_time, tail, .. } = arguments;
    match (pod.len(), selector) {
        (0, None) => anyhow::bail!(
            "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command"
        ),
        (2.., Some(_)) | (1, Some(_)) => anyhow::bail!("only a selector (-l) or a POD name is allowed"),
        _ => {}
    }
    anyhow::ensure!(
        pod.len() < 2 || container.is_none(),
        "only one of -c or an inline [CONTAINER] arg is allowed"
    );
    anyhow::ensure!(
        !all_containers || container.is_none() && pod.len() < 2,
        "--all-containers=true should not be specified with container name {}",
        container.as_deref().or(pod.get(1).map(String::as_str)).unwrap_or_default()
    );
    anyhow::ensure!(
        since.is_none() || since_time.is_none(),
        "only one of --since or --since-time may be used"
    );
    anyhow::ensure!(tail.is_none_or(|lines| lines >= -1), "--tail must be greater than or equal to -1");
    Ok(())
}

async fn pods(client: &Client, arguments: &Arguments) -> anyhow::Result<Vec<Value>> {
    let namespace = arguments.namespace.name();
    let Some(selector) = &arguments.selector else {
        return Ok(vec![pod::find(client, namespace, &arguments.pod[0]).await?]);
    };
    let types = Types::of(client).await.map_err(told)?;
    let mut query = Query::default();
    query.add("labelSelector", selector);
    let path = query.below(&types.find("pods")?.path(Some(namespace)));
    let mut list = request::get(client, &path).await.map_err(told)?;
    let Value::Array(pods) = list["items"].take() else { return Ok(Vec::new()) };
    if pods.is_empty() {
        super::client::failure::remark(&format!("No resources found in {namespace} namespace."));
    }
    Ok(pods)
}

fn sources_of(pod: &Value, arguments: &Arguments) -> anyhow::Result<Vec<Source>> {
    let asked = arguments.container.as_deref().or(arguments.pod.get(1).map(String::as_str));
    let containers = if arguments.all_containers {
        let is_init = |note: &str| note.starts_with(" (init");
        // As kubectl has it: those of the start first.
        let (inits, others): (Vec<_>, Vec<_>) = pod::containers(pod).partition(|(_, note)| is_init(note));
        inits.into_iter().chain(others).map(|(container, _)| container.clone()).collect()
    } else {
        // Which only fails for a name.
        let unknown = |_| {
            anyhow::anyhow!("container {} is not valid for pod {}", asked.unwrap_or_default(), pod::name(pod))
        };
        vec![pod::container(pod, asked, false).map_err(unknown)?]
    };
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or(arguments.namespace.name());
    let source = |container: &Value| {
        let (pod, container) = (pod::name(pod), container["name"].as_str().unwrap_or_default());
        let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log");
        let prefix = if arguments.prefix || arguments.all_pods {
            format!("[pod/{pod}/{container}] ")
        } else {
            String::new()
        };
        Source { path: parameters(arguments, container).below(&path), prefix }
    };
    Ok(containers.iter().map(source).collect())
}

fn parameters(arguments: &Arguments, container: &str) -> Query {
    let mut query = Query::default();
    query.add("container", container);
    for (name, is_set) in
        [("follow", arguments.follow), ("previous", arguments.previous), ("timestamps", arguments.timestamps)]
    {
        query.add_some(name, is_set.then_some("true"));
    }
    let default = arguments.selector.as_ref().map(|_| TAIL_OF_SELECTOR);
    let tail = arguments.tail.or(default).filter(|lines| *lines >= 0).map(|lines| lines.to_string());
    query.add_some("tailLines", tail.as_deref());
    // Whole seconds, as kubectl has it: what is younger than one is within one.
    let since = arguments.since.map(|since| since.as_secs_f64().ceil().to_string());
    query.add_some("sinceSeconds", since.as_deref());
    query.add_some("sinceTime", arguments.since_time.map(|time| time.to_string()).as_deref());
    query.add_some("limitBytes", arguments.limit_bytes.map(|bytes| bytes.to_string()).as_deref());
    query
}

/// Prints one log to its end. Bytes stay what they are; with a prefix, lines are put together first.
async fn print(client: &Client, source: &Source) -> anyhow::Result<()> {
    let request = Request::get(&source.path).body(Vec::new())?;
    let mut log = client.request_stream(request).await.map_err(told)?;
    let mut piece = vec![0; if source.prefix.is_empty() { PIECE } else { 0 }];
    let mut line = Vec::new();
    loop {
        let length = if source.prefix.is_empty() {
            let length = log.read(&mut piece).await?;
            line.extend_from_slice(&piece[..length]);
            length
        } else {
            line.extend_from_slice(source.prefix.as_bytes());
            log.read_until(b'\n', &mut line).await?
        };
        if length == 0 {
            return Ok(());
        }
        match io::stdout().lock().write_all(&line).and_then(|()| io::stdout().flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
        line.clear();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::client::fake::{parsed, server};

    fn parse(line: &str) -> Arguments {
        parsed(line.split(' ')).unwrap()
    }

    #[tokio::test]
    async fn the_logs_that_are_asked_for_are_those_that_were_named() {
        let pod = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"containers": [{"name": "a"}, {"name": "b"}], "initContainers": [{"name": "i"}]}
        });
        for (line, expected) in [
            ("logs web", vec!["container=a"]),
            ("logs pod/web -c b -p --tail=3", vec!["container=b&previous=true&tailLines=3"]),
            ("logs web b --tail -1 --timestamps", vec!["container=b&timestamps=true"]),
            ("logs web --since 1500ms --limit-bytes 10", vec!["container=a&sinceSeconds=2&limitBytes=10"]),
            (
                "logs web --since-time 2026-01-01T00:00:00Z",
                vec!["container=a&sinceTime=2026-01-01T00%3A00%3A00Z"],
            ),
            (
                "logs web --all-containers -f",
                vec!["container=i&follow=true", "container=a&follow=true", "container=b&follow=true"],
            ),
            ("logs -l x=y", vec!["container=a&tailLines=10"]),
        ] {
            let pod = pod.clone();
            let (client, requests) = server(move |asked| match &asked.line {
                line if line.contains("/log?") => (200, "text\n".into()),
                line if line.contains("labelSelector") => (200, json!({"items": [pod]})),
                _ => (200, pod.clone()),
            });
            run(&client, &parse(line)).await.unwrap();
            let expected: Vec<String> = expected
                .iter()
                .map(|query| format!("GET /api/v1/namespaces/default/pods/web/log?{query}"))
                .collect();
            assert_eq!(requests.lines()[1..], expected, "{line}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (line, error) in [
            ("logs", "POD or TYPE/NAME is a required argument"),
            ("logs web -l a=b", "only a selector (-l) or a POD name is allowed"),
            ("logs web a -c b", "only one of -c or an inline [CONTAINER] arg is allowed"),
            (
                "logs web --all-containers -c b",
                "--all-containers=true should not be specified with container name b",
            ),
            (
                "logs web --since 1s --since-time 2026-01-01T00:00:00Z",
                "only one of --since or --since-time may be used",
            ),
            ("logs web --tail -2", "--tail must be greater than or equal to -1"),
        ] {
            let refused = check(&parse(line)).unwrap_err().to_string();
            assert!(refused.contains(error), "{line}: {refused}");
        }
    }
}

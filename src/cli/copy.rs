//! `mkubelet cp`: files and directories into a container and out of it, by the `tar` that the container has.
//!
//! What comes out of a container is not trusted: see [`unpack`].

mod pack;
mod pipe;
mod place;
mod progress;
mod retries;
mod unpack;

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachedProcess;
use kube::{Api, Client};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use self::place::{Place, Remote};
use self::progress::Progress;
use self::retries::Retries;
use super::client::failure::{remark, told};
use super::client::pod;
use super::client::selection::Namespace;
use super::client::session::{self, Streams};
use super::say;

/// Time that a container has to tell whether a path is a directory, as kubectl has it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of what `tar` says that are kept.
const MAX_COMPLAINT: u64 = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What to copy: `PATH`, or `[NAMESPACE/]POD:PATH` in a container.
    source: String,
    /// Where to: the one of the two that the source is not.
    destination: String,
    #[command(flatten)]
    namespace: Namespace,
    /// The container; without it the default one of the pod, or its first.
    #[arg(short, long)]
    container: Option<String>,
    /// Files in the container belong to who runs `tar` there, with the permissions that it gives.
    #[arg(long)]
    no_preserve: bool,
    /// How often a copy out of a container goes on where it was after its connection was lost; less than 0 is any number. Needs a shell and
    /// `tail` in the container.
    #[arg(long, value_name = "NUMBER", default_value_t = 0, allow_negative_numbers = true)]
    retries: i64,
}

pub(super) async fn run(client: &Client, arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let place = |text: &str| place::parse(text).map_err(anyhow::Error::msg);
    match (&place(&arguments.source)?, &place(&arguments.destination)?) {
        (Place::Remote(_), Place::Remote(_)) => {
            anyhow::bail!("one of src or dest must be a local file specification")
        }
        (Place::Local(_), Place::Local(_)) => {
            anyhow::bail!("one of src or dest must be a remote file specification")
        }
        (Place::Remote(from), Place::Local(to)) => {
            let container = Container::find(client, from, arguments).await?;
            out(&container, from, to, Retries::new(arguments.retries)).await?
        }
        (Place::Local(from), Place::Remote(to)) => {
            let is_there = std::fs::symlink_metadata(from).is_ok();
            anyhow::ensure!(is_there, "{} doesn't exist in local filesystem", from.display());
            let container = Container::find(client, to, arguments).await?;
            into(&container, from, &to.path, arguments.no_preserve).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A container that has files.
struct Container {
    pods: Api<Pod>,
    pod: String,
    name: String,
}

impl Container {
    async fn find(client: &Client, place: &Remote, arguments: &Arguments) -> anyhow::Result<Self> {
        let namespace = place.namespace.as_deref().unwrap_or(arguments.namespace.name());
        let pod = pod::find_alive(client, namespace, &place.pod, "exec into").await?;
        let name =
            pod::container(&pod, arguments.container.as_deref(), false)?["name"].as_str().map(str::to_owned);
        let pods = Api::namespaced(client.clone(), namespace);
        Ok(Self { pods, pod: pod::name(&pod).to_owned(), name: name.unwrap_or_default() })
    }

    async fn start(&self, command: &[String], stdin: bool) -> anyhow::Result<AttachedProcess> {
        let parameters = Streams { stdin, tty: false }.parameters(&self.name);
        self.pods.exec(&self.pod, command, &parameters).await.map_err(told)
    }

    /// Whether this path is a directory. A container that cannot tell has none.
    async fn is_directory(&self, path: &str) -> anyhow::Result<bool> {
        let command = ["test", "-d", path].map(str::to_owned);
        let asked = async {
            let mut process = self.start(&command, false).await?;
            let status = process.take_status();
            let streams = async { tokio::join!(drain(process.stdout()), drain(process.stderr())) };
            let (status, _) = session::ended(status, streams).await;
            anyhow::Ok(status.is_some_and(|status| status.status.as_deref() == Some("Success")))
        };
        timeout(PATIENCE, asked)
            .await
            .map_err(|_| anyhow::anyhow!("test -d {path:?}: no answer in {PATIENCE:?}"))?
    }

    /// How `tar` has ended, in words for people.
    fn judge(&self, status: Option<&Status>) -> anyhow::Result<()> {
        let status = status.ok_or_else(|| anyhow::anyhow!("the connection was lost before tar had ended"))?;
        let message = status.message.as_deref().unwrap_or_default();
        anyhow::ensure!(
            !lacks_program(message),
            "container {} of pod {} has no program tar, which cp needs there",
            self.name,
            self.pod
        );
        session::end(Some(status))
    }
}

/// What a runtime says of a program that is not there.
fn lacks_program(message: &str) -> bool {
    message.contains("executable file not found") || message.contains("no such file or directory")
}

async fn drain(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut said = Vec::new();
    if let Some(stream) = stream {
        let mut bounded = stream.take(MAX_COMPLAINT);
        // What was read until it failed is what there is.
        let _ = bounded.read_to_end(&mut said).await;
        let _ = tokio::io::copy(&mut bounded.into_inner(), &mut tokio::io::sink()).await;
    }
    said
}

/// What `tar` said, line by line, without what would move the cursor of a terminal.
fn lines(said: &[u8]) -> Vec<String> {
    let clean = |line: &str| line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    String::from_utf8_lossy(said).lines().map(clean).collect()
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// From a container.
async fn out(container: &Container, from: &Remote, to: &Path, mut retries: Retries) -> anyhow::Result<()> {
    let (writer, reader) = pipe::pipe();
    let progress = Progress::default();
    let (prefix, target) = (place::prefix(&from.path), to.to_owned());
    let unpacking =
        tokio::task::spawn_blocking(move || unpack::unpack(reader, &prefix, &target, &|text| remark(text)));
    let carried = async {
        let mut said = Vec::new();
        loop {
            let ended =
                carry(container, &retries.command(&from.path, progress.bytes()), &writer, &progress).await;
            // Who has never sent a byte will not send one for being asked again.
            let is_refused = ended.is_err() && progress.bytes() == 0;
            let is_over = is_refused || !writer.is_read() || matches!(ended, Ok((Some(_), _)));
            if is_over || !retries.again(progress.bytes()).await? {
                drop(writer);
                let (status, last) = ended?;
                said.extend(last);
                return anyhow::Ok((status, said));
            }
            said.extend(ended.map(|(_, said)| said).unwrap_or_default());
        }
    };
    let (carried, unpacked) = tokio::select! {
        ended = async { tokio::join!(carried, unpacking) } => ended,
        never = progress.show() => match never {},
    };
    drop(progress);
    let (status, said) = carried?;
    // On standard output, as kubectl has it.
    lines(&said).iter().try_for_each(|line| say(&format!("{line}\n")))?;
    match unpacked? {
        Err(error) if status.is_none() => Err(error),
        // Why there was nothing to unpack is told by who did not send it.
        unpacked => container.judge(status.as_ref()).and(unpacked),
    }
}

/// Carries what a command prints into a pipe. How the command has ended is not known when the connection was lost, or when nobody reads any more:
/// what nobody can unpack need not be sent.
async fn carry(
    container: &Container,
    command: &[String],
    writer: &pipe::Writer,
    progress: &Progress,
) -> anyhow::Result<(Option<Status>, Vec<u8>)> {
    let mut process = container.start(command, false).await?;
    let status = process.take_status();
    let (stdout, stderr) = (process.stdout(), process.stderr());
    let filled = async {
        if let Some(stdout) = stdout {
            writer.fill(stdout, progress).await;
        }
        if !writer.is_read() {
            process.abort();
        }
    };
    let (status, streams) = session::ended(status, async { tokio::join!(filled, drain(stderr)) }).await;
    let said = streams.map(|((), said)| said);
    Ok((status, said.unwrap_or_default()))
}

/// Into a container.
async fn into(container: &Container, from: &Path, to: &str, no_preserve: bool) -> anyhow::Result<()> {
    let mut to = place::clean(to);
    if container.is_directory(&to).await?
        && let Some(name) = place::base(from)
    {
        to = place::clean(&format!("{to}/{name}"));
    }
    let (directory, name) = place::split(&to);
    let mut command = vec!["tar".to_owned()];
    if no_preserve {
        command.extend(["--no-same-permissions", "--no-same-owner"].map(str::to_owned));
    }
    command.extend(["-xmf", "-"].map(str::to_owned));
    command.extend(["-C".to_owned(), directory]);
    let mut process = container.start(&command, true).await?;
    let status = process.take_status();
    let (stdin, stdout, stderr) = (process.stdin(), process.stdout(), process.stderr());
    let (writer, reader) = pipe::pipe();
    let progress = Progress::default();
    let source: PathBuf = from.to_owned();
    let packing =
        tokio::task::spawn_blocking(move || pack::pack(&source, &name, writer, &|text| remark(text)));
    let carried = async {
        if let Some(stdin) = stdin {
            reader.empty(stdin, &progress).await;
        }
    };
    let streams = async { tokio::join!(carried, drain(stdout), drain(stderr)) };
    let ((status, streams), packed) = tokio::select! {
        ended = async { tokio::join!(session::ended(status, streams), packing) } => ended,
        never = progress.show() => match never {},
    };
    drop(progress);
    let ((), out, said) = streams.unwrap_or_default();
    lines(&out).iter().chain(&lines(&said)).for_each(|line| remark(line));
    let packed = packed?;
    // When the other side has ended early, it tells why; else what is wrong here is the reason.
    match packed {
        Err(error) if !is_broken_pipe(&error) => Err(error),
        packed => container.judge(status.as_ref()).and(packed),
    }
}

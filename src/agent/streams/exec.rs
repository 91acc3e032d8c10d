//! A program in a running container, for a client.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use futures::future::{join3, pending};
use tokio_util::sync::CancellationToken;

use super::descriptor::Descriptor;
use super::{connect, copy, told};
use crate::api::streams::{RemoteCommandStreams, WindowSize};
use crate::container::spec::TerminalSize;
use crate::runtime::shim_client::{Error, ShimClient};
use crate::shim::protocol::{ExecConfig, ExecStreams};
use crate::sys::terminal;

/// What a program with a terminal may take it for, as containerd tells it.
const TERM: &str = "TERM=xterm";

/// Runs a program in the container with that id, by the pod's shim that listens at `socket`, and gives its exit code. When the client goes
/// away, or this is dropped, the program is killed with all that it has started.
///
/// # Errors
///
/// Why it did not start, or could not be watched, in one line.
pub async fn exec(
    socket: &Path,
    id: String,
    command: Vec<String>,
    streams: RemoteCommandStreams,
) -> Result<i32, String> {
    let gone = streams.gone.clone();
    let config = ExecConfig { id, args: command, ..ExecConfig::default() };
    let run = async {
        let shim = connect(socket).await?;
        if streams.tty {
            on_terminal(&shim, config, streams).await
        } else {
            on_pipes(&shim, config, streams).await
        }
    };
    // Either way the connection is closed by this, and that kills what still runs.
    tokio::select! {
        code = run => code.map_err(|error| told(&error)),
        () = gone.cancelled() => Err("the client is gone".to_owned()),
    }
}

async fn on_pipes(
    shim: &ShimClient,
    mut config: ExecConfig,
    streams: RemoteCommandStreams,
) -> Result<i32, Error> {
    let RemoteCommandStreams { stdin, stdout, stderr, .. } = streams;
    config.streams =
        ExecStreams { stdin: stdin.is_some(), stdout: stdout.is_some(), stderr: stderr.is_some() };
    let mut theirs: Vec<OwnedFd> = Vec::new();
    let stdin = match stdin {
        Some(client) => Some((client, to_process(&mut theirs)?)),
        None => None,
    };
    let mut output = |client: Option<_>| match client {
        Some(client) => from_process(&mut theirs).map(|pipe| Some((client, pipe))),
        None => Ok(None),
    };
    let (stdout, stderr) = (output(stdout)?, output(stderr)?);
    let fds: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
    let running = shim.exec(config, &fds).await?;
    drop(theirs);

    let over = CancellationToken::new();
    let ended = async {
        let exit = running.wait().await;
        over.cancel();
        exit
    };
    let hear = async |output: Option<_>| {
        if let Some((client, pipe)) = output {
            copy::output(&pipe, client, &over).await;
        }
    };
    let typed = async {
        if let Some((client, pipe)) = stdin {
            copy::input(client, &pipe).await;
            // Its end is the end of the program's standard input.
            drop(pipe);
        }
        pending().await
    };
    tokio::select! {
        (exit, (), ()) = join3(ended, hear(stdout), hear(stderr)) => exit.map(|exit| exit.code),
        never = typed => never,
    }
}

async fn on_terminal(
    shim: &ShimClient,
    mut config: ExecConfig,
    streams: RemoteCommandStreams,
) -> Result<i32, Error> {
    let RemoteCommandStreams { stdin, stdout, mut resize, .. } = streams;
    config.terminal = Some(resize.try_recv().map(size).unwrap_or_default());
    config.env.push(TERM.to_owned());
    let mut running = shim.exec(config, &[]).await?;
    let master = running.terminal.take().ok_or(Error::Confused)?;
    let master = Descriptor::new(master).map_err(Error::Pipe)?;

    let over = CancellationToken::new();
    let ended = async {
        let exit = running.wait().await;
        over.cancel();
        exit
    };
    let heard = async {
        // It is read though nobody hears it: who writes must not wait.
        let client = stdout.unwrap_or_else(|| Box::new(tokio::io::sink()));
        copy::output(&master, client, &over).await;
    };
    let typed = async {
        if let Some(client) = stdin {
            copy::input(client, &master).await;
        }
        pending().await
    };
    let resized = async {
        while let Some(wanted) = resize.recv().await {
            let TerminalSize { rows, columns } = size(wanted);
            // A terminal that has ended has no size.
            let _ = terminal::set_size(master.as_fd(), rows, columns);
        }
        pending().await
    };
    tokio::select! {
        (exit, (), ()) = join3(ended, heard, async {}) => exit.map(|exit| exit.code),
        never = typed => never,
        never = resized => never,
    }
}

/// A pipe to a process: ours; theirs is added to what it is given.
pub(super) fn to_process(theirs: &mut Vec<OwnedFd>) -> Result<Descriptor, Error> {
    let (reader, writer) = io::pipe().map_err(Error::Pipe)?;
    theirs.push(reader.into());
    Descriptor::new(writer).map_err(Error::Pipe)
}

/// A pipe from a process, likewise.
pub(super) fn from_process(theirs: &mut Vec<OwnedFd>) -> Result<Descriptor, Error> {
    let (reader, writer) = io::pipe().map_err(Error::Pipe)?;
    theirs.push(writer.into());
    Descriptor::new(reader).map_err(Error::Pipe)
}

pub(super) fn size(window: WindowSize) -> TerminalSize {
    TerminalSize { rows: window.height, columns: window.width }
}

//! A client at a running container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use futures::future::{join, pending};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::copy::{self, Ended};
use super::exec::{from_process, size, to_process};
use super::{connect, told};
use crate::api::streams::RemoteCommandStreams;
use crate::runtime::shim_client::{Error, ShimClient};
use crate::shim::protocol::{AttachConfig, Call, ExecStreams};

/// How long the container may take for what a client has sent before it left.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Connects a client with the container that has that id, by the pod's shim that listens at `socket`, until the client leaves or the container
/// ends. When this is dropped before that, as by an agent that ends, standard input stays open for whoever comes next.
///
/// # Errors
///
/// Why the client could not be attached, or is attached no longer, in one line.
pub async fn attach(socket: &Path, id: String, streams: RemoteCommandStreams) -> Result<(), String> {
    let attached = async {
        let shim = connect(socket).await?;
        converse(&shim, id, streams).await
    };
    match attached.await {
        Ok(None) => Ok(()),
        Ok(Some(why)) => Err(why),
        Err(error) => Err(told(&error)),
    }
}

/// Why it is over, unless that was the container's end or the client's wish.
async fn converse(
    shim: &ShimClient,
    id: String,
    streams: RemoteCommandStreams,
) -> Result<Option<String>, Error> {
    let RemoteCommandStreams { stdin, stdout, stderr, mut resize, gone, .. } = streams;
    let config = AttachConfig {
        id: id.clone(),
        streams: ExecStreams { stdin: stdin.is_some(), stdout: stdout.is_some(), stderr: stderr.is_some() },
    };
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
    let mut attached = shim.attach(config, &fds).await?;
    drop(theirs);
    let request = attached.request();

    // The shim closes its ends when it is over, and not before all is in them.
    let never = CancellationToken::new();
    let hear = async |output: Option<_>| {
        if let Some((client, pipe)) = output {
            copy::output(&pipe, client, &never).await;
        }
    };
    let over = async {
        join(hear(stdout), hear(stderr)).await;
        attached.ended().await
    };
    let mut typing = stdin.is_some();
    let mut typed = Box::pin(async move {
        if let Some((client, pipe)) = stdin
            && copy::input(client, &pipe).await == Ended::Client
        {
            drop(pipe);
            let _ = shim.end_stdin(request).await;
        }
    });
    let resized = async {
        while let Some(wanted) = resize.recv().await {
            // One without a terminal has no size.
            let _ = shim.tell(Call::Resize { id: id.clone(), size: size(wanted) }).await;
        }
        pending().await
    };
    tokio::pin!(over, resized);
    loop {
        tokio::select! {
            why = &mut over => return why,
            () = &mut typed, if typing => typing = false,
            never = &mut resized => never,
            () = gone.cancelled() => break,
        }
    }
    // It has left on purpose or was lost on the way here: nobody comes back to this attach.
    if typing && timeout(LAST_WORDS, &mut typed).await.is_err() {
        drop(typed);
        let _ = shim.end_stdin(request).await;
    }
    Ok(None)
}

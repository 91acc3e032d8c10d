//! Copies between a client and a process, each way at the pace of the slower one.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::descriptor::Descriptor;

/// Read at a time, bytes.
const BUFFER: usize = 16 << 10;

/// What a pipe holds at most, bytes (pipe(7)).
const PIPE_CAPACITY: usize = 1 << 20;

/// What came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The client sends nothing more.
    Client,
    /// The process reads nothing more.
    Process,
}

/// Copies what a client sends, up to the end of either.
pub(super) async fn input(mut client: impl AsyncRead + Unpin, process: &Descriptor) -> Ended {
    let mut buffer = vec![0; BUFFER];
    loop {
        match client.read(&mut buffer).await {
            Ok(0) | Err(_) => return Ended::Client,
            Ok(count) => {
                if process.write_all(&buffer[..count]).await.is_err() {
                    return Ended::Process;
                }
            }
        }
    }
}

/// Copies what a process writes, up to its end. Once it is `over` that is what is there already: something that it has left behind may hold
/// the other end for ever, and go on writing. What a client does not take is forgotten.
pub(super) async fn output(
    process: &Descriptor,
    mut client: impl AsyncWrite + Unpin,
    over: &CancellationToken,
) {
    let mut buffer = vec![0; BUFFER];
    let (mut is_heard, mut rest) = (true, PIPE_CAPACITY);
    loop {
        let read = if over.is_cancelled() {
            process.try_read(&mut buffer)
        } else {
            tokio::select! {
                read = process.read(&mut buffer) => read,
                () = over.cancelled() => continue,
            }
        };
        match read {
            Ok(count @ 1..) => {
                if over.is_cancelled() {
                    rest = rest.saturating_sub(count);
                }
                is_heard = is_heard && client.write_all(&buffer[..count]).await.is_ok();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
        }
        if rest == 0 {
            break;
        }
    }
    // A client that is gone need not be told.
    let _ = client.shutdown().await;
}

#[cfg(test)]
mod tests {
    use std::io::{Write, pipe};

    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn what_a_process_leaves_in_its_pipe_is_taken_and_no_more_waited_for() {
        let (reader, mut writer) = pipe().unwrap();
        let reader = Descriptor::new(reader).unwrap();
        let (client, mut heard) = duplex(1 << 20);
        let over = CancellationToken::new();
        writer.write_all(&[b'x'; 50_000]).unwrap();
        over.cancel();
        // Somebody still has the other end.
        output(&reader, client, &over).await;
        let mut text = Vec::new();
        heard.read_to_end(&mut text).await.unwrap();
        assert_eq!(text.len(), 50_000);
        drop(writer);
    }

    #[tokio::test]
    async fn a_process_goes_on_though_its_client_is_gone() {
        let (reader, mut writer) = pipe().unwrap();
        let reader = Descriptor::new(reader).unwrap();
        let (client, heard) = duplex(16);
        drop(heard);
        let writing = std::thread::spawn(move || writer.write_all(&vec![b'x'; 300_000]));
        output(&reader, client, &CancellationToken::new()).await;
        writing.join().unwrap().unwrap();
    }

    #[tokio::test]
    async fn input_ends_with_whoever_ends_first() {
        let (reader, writer) = pipe().unwrap();
        let writer = Descriptor::new(writer).unwrap();
        assert_eq!(input(&b"hello"[..], &writer).await, Ended::Client);
        drop(reader);
        assert_eq!(input(&b"hello"[..], &writer).await, Ended::Process);
    }
}

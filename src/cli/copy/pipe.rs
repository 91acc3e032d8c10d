//! Bytes between a thread that reads or writes an archive, and the task that carries it: bounded, so that neither runs ahead.

use std::io::{self, Read, Write};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::progress::Progress;

/// Pieces on their way.
const QUEUE: usize = 8;

/// Bytes of a piece.
const PIECE: usize = 32 << 10;

/// The end that is written to.
#[derive(Debug)]
pub(super) struct Writer(mpsc::Sender<Vec<u8>>);

/// The end that is read from.
#[derive(Debug)]
pub(super) struct Reader {
    queue: mpsc::Receiver<Vec<u8>>,
    piece: Vec<u8>,
    read: usize,
}

/// A new pipe. A task has one end, and a thread that may block has the other.
pub(super) fn pipe() -> (Writer, Reader) {
    let (sender, queue) = mpsc::channel(QUEUE);
    (Writer(sender), Reader { queue, piece: Vec::new(), read: 0 })
}

impl Writer {
    /// Carries a stream into the pipe, until one of the two has ended.
    pub(super) async fn fill(&self, mut stream: impl AsyncRead + Unpin, progress: &Progress) {
        let mut piece = vec![0; PIECE];
        loop {
            let read = tokio::select! {
                read = stream.read(&mut piece) => read,
                () = self.0.closed() => return,
            };
            let Ok(length @ 1..) = read else { return };
            if self.0.send(piece[..length].to_vec()).await.is_err() {
                return;
            }
            progress.add(length);
        }
    }

    /// Whether there is still somebody who reads.
    pub(super) fn is_read(&self) -> bool {
        !self.0.is_closed()
    }
}

impl Reader {
    /// Carries the pipe into a stream, until one of the two has ended.
    pub(super) async fn empty(mut self, mut stream: impl AsyncWrite + Unpin, progress: &Progress) {
        while let Some(piece) = self.queue.recv().await {
            if stream.write_all(&piece).await.is_err() {
                return;
            }
            progress.add(piece.len());
        }
        // A side that is gone has no more to be told.
        let _ = stream.shutdown().await;
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = &bytes[..bytes.len().min(PIECE)];
        self.0.blocking_send(piece.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.piece.len() {
            self.piece = self.queue.blocking_recv().unwrap_or_default();
            self.read = 0;
        }
        let length = Read::read(&mut &self.piece[self.read..], buffer)?;
        self.read += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_goes_in_comes_out_in_both_directions() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let progress = Progress::default();
        let (writer, mut reader) = pipe();
        let reading = tokio::task::spawn_blocking(move || {
            let mut read = Vec::new();
            reader.read_to_end(&mut read).map(|_| read)
        });
        writer.fill(bytes.as_slice(), &progress).await;
        assert!(writer.is_read());
        drop(writer);
        assert_eq!(reading.await.unwrap().unwrap(), bytes);

        let (mut writer, reader) = pipe();
        let written = bytes.clone();
        let writing = tokio::task::spawn_blocking(move || writer.write_all(&written));
        let mut read = Vec::new();
        reader.empty(&mut read, &progress).await;
        writing.await.unwrap().unwrap();
        assert_eq!(read, bytes);
    }

    #[tokio::test]
    async fn a_writer_hears_that_nobody_reads() {
        let (mut writer, reader) = pipe();
        drop(reader);
        let writing = tokio::task::spawn_blocking(move || writer.write_all(b"x"));
        assert_eq!(writing.await.unwrap().unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}

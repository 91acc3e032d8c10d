//! One client that is attached to a container: it hears what is printed from then on, and may type.
//!
//! What it hears goes into pipes that are as long as the kernel lets them be. Whoever leaves them full loses his place: a
//! container never waits for a client, and neither does its log.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::connection::Caller;
use super::poll::Token;
use super::protocol::ExecStreams;
use crate::logs::line::Stream;

/// What a pipe to a client is to hold, bytes. It is the most that an ordinary host lets one have (pipe(7)).
const PIPE_BYTES: i32 = 1 << 20;

/// An attached client.
#[derive(Debug)]
pub struct Attached {
    /// Who asked for it.
    pub caller: Caller,
    /// What it sends, until that ends.
    pub input: Option<Input>,
    /// What it hears.
    pub outputs: Vec<Ear>,
    /// It has said that what it sends ends: all of that is in the pipe.
    pub has_ended: bool,
    /// Why it can be attached no longer.
    pub lost: Option<Lost>,
}

/// What a client sends.
#[derive(Debug)]
pub struct Input {
    /// To be read from.
    pub file: File,
    /// Its registration in the event loop; none while the container's standard input is full.
    pub token: Option<Token>,
}

/// One stream that a client hears.
#[derive(Debug)]
pub struct Ear {
    stream: Stream,
    /// To be written to.
    pub file: File,
    /// Its registration in the event loop: it wakes when the client has closed its end.
    pub token: Option<Token>,
}

/// Why a client is no longer attached, though the container runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It closed its end.
    Gone,
    /// It left its pipe full.
    TooSlow,
}

impl Lost {
    /// What the client is told.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Self::Gone => None,
            Self::TooSlow => Some("the client reads more slowly than the container writes"),
        }
    }
}

impl Attached {
    /// Takes the descriptors that came with a request, for the streams that it announced, in their order.
    pub fn new(caller: Caller, streams: ExecStreams, fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut files = fds.into_iter().map(File::from);
        let mut take = |given: bool| if given { files.next() } else { None };
        let (stdin, stdout, stderr) = (take(streams.stdin), take(streams.stdout), take(streams.stderr));
        let mut outputs = Vec::with_capacity(2);
        for (stream, file) in [(Stream::Stdout, stdout), (Stream::Stderr, stderr)] {
            let Some(file) = file else { continue };
            fcntl(&file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
            // Where the host's limit is lower, it is as long as it is.
            let _ = fcntl(&file, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
            outputs.push(Ear { stream, file, token: None });
        }
        if let Some(file) = &stdin {
            fcntl(file, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        }
        let input = stdin.map(|file| Input { file, token: None });
        Ok(Self { caller, input, outputs, has_ended: false, lost: None })
    }

    /// Something that it has sent is on its way, and it has said that the end comes after that.
    pub fn has_more(&self) -> bool {
        self.has_ended && self.input.is_some()
    }

    /// Lets it hear what the container wrote to a stream.
    pub fn hear(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(ear) = self.outputs.iter_mut().find(|ear| ear.stream == stream) else { return };
        if self.lost.is_some() {
            return;
        }
        self.lost = match ear.file.write(bytes) {
            Ok(count) if count == bytes.len() => None,
            Ok(_) => Some(Lost::TooSlow),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Some(Lost::TooSlow),
            Err(_) => Some(Lost::Gone),
        };
    }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, Read, pipe};

    use super::*;

    fn attached() -> (PipeReader, Attached) {
        let (reader, writer) = pipe().unwrap();
        let streams = ExecStreams { stdout: true, ..ExecStreams::default() };
        let caller = Caller { connection: 1, request: 1 };
        (reader, Attached::new(caller, streams, vec![writer.into()]).unwrap())
    }

    #[test]
    fn a_client_hears_the_streams_that_it_asked_for() {
        let (mut reader, mut client) = attached();
        client.hear(Stream::Stdout, b"one ");
        client.hear(Stream::Stderr, b"not this ");
        client.hear(Stream::Stdout, b"two");
        assert_eq!(client.lost, None);
        drop(client);
        let mut heard = String::new();
        reader.read_to_string(&mut heard).unwrap();
        assert_eq!(heard, "one two");
    }

    #[test]
    fn a_client_that_never_reads_is_lost_and_is_told_why() {
        let (_reader, mut client) = attached();
        let output = vec![b'x'; 32 << 10];
        let mut written = 0;
        while client.lost.is_none() {
            client.hear(Stream::Stdout, &output);
            written += output.len();
            assert!(written <= 2 * PIPE_BYTES as usize, "it is still attached");
        }
        assert_eq!(client.lost, Some(Lost::TooSlow));
        assert!(Lost::TooSlow.reason().is_some_and(|reason| reason.contains("slowly")));
    }

    #[test]
    fn a_client_that_has_hung_up_is_lost() {
        let (reader, mut client) = attached();
        drop(reader);
        client.hear(Stream::Stdout, b"x");
        assert_eq!(client.lost, Some(Lost::Gone));
    }
}

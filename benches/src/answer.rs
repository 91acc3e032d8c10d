//! The first answer of a pod: retried from one thread, the same way for every contestant.
//!
//! Somebody who asks too early must not be punished by the network stack, or everybody is measured in steps of a second: an
//! attempt that gets no answer at once, because a SYN or an ARP request was lost, is given up, the neighbour is forgotten,
//! and the next attempt starts from nothing.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, socket};
use nix::sys::time::TimeSpec;

use crate::net::{Netlink, index};

/// How long all answers together may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// Somebody to ask, as soon as the IP is known.
#[derive(Debug)]
pub struct Target {
    /// Where.
    pub ip: Ipv4Addr,
}

/// An IP that answered, and when.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Who.
    pub ip: Ipv4Addr,
    /// When the first bytes of a 200 were read.
    pub at: Instant,
}

/// Collects the first answers of `count` pods. A pod is asked from the moment that it comes out of `targets` on.
///
/// Refused attempts are repeated every 0.1 ms for a single pod, and every 1 ms for several, so that asking does not take the
/// processors away from those who are to answer; lost ones after five times that.
pub fn first_answers(targets: &Receiver<Target>, count: usize, bridge: &str) -> Result<Vec<Answer>> {
    let start = Instant::now();
    let interval = Duration::from_micros(if count == 1 { 100 } else { 1000 });
    let mut asker = Asker { netlink: Netlink::open()?, bridge: bridge.to_owned(), patience: 5 * interval };
    let mut asking: Vec<(Ipv4Addr, State)> = Vec::new();
    let mut answers = Vec::new();
    while answers.len() < count {
        if start.elapsed() > DEADLINE {
            let silent: Vec<_> = asking.iter().map(|(ip, _)| ip.to_string()).collect();
            bail!("{} of {count} pods answered within {DEADLINE:?}; silent: {silent:?}", answers.len());
        }
        loop {
            match targets.try_recv() {
                Ok(target) => asking.push((target.ip, State::Idle)),
                Err(TryRecvError::Disconnected) if asking.len() + answers.len() < count => {
                    bail!("only {} of {count} pods have an IP", asking.len() + answers.len());
                }
                Err(_) => break,
            }
        }
        let mut still = Vec::with_capacity(asking.len());
        for (ip, state) in asking {
            match asker.advance(ip, state) {
                State::Answered => answers.push(Answer { ip, at: Instant::now() }),
                state => still.push((ip, state)),
            }
        }
        asking = still;
        let mut events: Vec<_> = asking.iter().filter_map(|(_, state)| state.event()).collect();
        ppoll(&mut events, Some(TimeSpec::from_duration(interval)), None)?;
    }
    Ok(answers)
}

struct Asker {
    netlink: Netlink,
    bridge: String,
    /// How long a connection attempt may take before a new one is made.
    patience: Duration,
}

enum State {
    Idle,
    Connecting(TcpStream, Instant),
    Asked(TcpStream),
    Answered,
}

impl Asker {
    fn advance(&mut self, ip: Ipv4Addr, state: State) -> State {
        match state {
            State::Idle => match begin(ip) {
                Ok(stream) => self.advance(ip, State::Connecting(stream, Instant::now())),
                Err(_) => self.again(ip),
            },
            State::Connecting(stream, since) => match (stream.take_error(), stream.peer_addr()) {
                (Ok(None), Ok(_)) => ask(stream),
                (Ok(None), Err(_)) if since.elapsed() < self.patience => State::Connecting(stream, since),
                (Ok(Some(e)), _) if e.kind() == ErrorKind::ConnectionRefused => State::Idle,
                _ => self.again(ip),
            },
            State::Asked(mut stream) => {
                let mut head = [0; 64];
                match stream.read(&mut head) {
                    Ok(length) if head[..length].starts_with(b"HTTP/1.1 200") => State::Answered,
                    Err(e) if e.kind() == ErrorKind::WouldBlock => State::Asked(stream),
                    _ => State::Idle,
                }
            }
            State::Answered => State::Answered,
        }
    }

    fn again(&mut self, ip: Ipv4Addr) -> State {
        // The bridge may not be there yet; then there is nothing to forget.
        let _ = index(&self.bridge).and_then(|bridge| self.netlink.forget(ip, bridge));
        State::Idle
    }
}

impl State {
    /// What to wait for; an idle target waits for the next round.
    fn event(&self) -> Option<PollFd<'_>> {
        match self {
            Self::Connecting(stream, _) => Some(PollFd::new(stream.as_fd(), PollFlags::POLLOUT)),
            Self::Asked(stream) => Some(PollFd::new(stream.as_fd(), PollFlags::POLLIN)),
            Self::Idle | Self::Answered => None,
        }
    }
}

fn begin(ip: Ipv4Addr) -> Result<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    let [a, b, c, d] = ip.octets();
    match connect(fd.as_raw_fd(), &SockaddrIn::new(a, b, c, d, 80)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(fd.into()),
        Err(errno) => Err(errno.into()),
    }
}

fn ask(mut stream: TcpStream) -> State {
    match stream.write_all(b"GET / HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n") {
        Ok(()) => State::Asked(stream),
        Err(_) => State::Idle,
    }
}

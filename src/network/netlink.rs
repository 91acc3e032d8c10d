//! One netlink socket: requests go out in one system call, their answers come back in the next.
//!
//! The kernel carries a request out inside sendmsg(2), on the caller's time, so there is nothing to wait for
//! asynchronously: this socket blocks, and its callers run on a thread that may. Encoding is `netlink-bindings`' job.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use netlink_bindings::traits::{NetlinkRequest, Protocol};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike};

use super::{Error, visit};

// linux/netlink.h
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_DUMP: u16 = 0x300;
const HEADER: usize = 16;

/// The kernel never sends more than this at once (netlink_dump() in net/netlink/af_netlink.c).
const REPLY_MAX: usize = 32 * 1024;

/// A socket of one netlink family, in the network namespace of the thread that opened it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// Requests that the kernel gets in one system call and carries out in order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    operations: Vec<Operation>,
}

#[derive(Debug)]
struct Operation {
    offset: usize,
    name: String,
    acknowledged: bool,
}

impl Socket {
    /// A socket for links, addresses and routes, in the namespace of this thread.
    pub(super) fn route() -> Result<Self, Error> {
        Self::open(SockProtocol::NetlinkRoute).map_err(Error::kernel("socket(AF_NETLINK, NETLINK_ROUTE)"))
    }

    /// A socket for nftables, in the namespace of this thread.
    pub(super) fn netfilter() -> Result<Self, Error> {
        Self::open(SockProtocol::NetlinkNetFilter)
            .map_err(Error::kernel("socket(AF_NETLINK, NETLINK_NETFILTER)"))
    }

    /// A socket for links, addresses and routes in another network namespace.
    ///
    /// A socket stays in the namespace it was opened in.
    pub(super) fn route_in(netns: BorrowedFd<'_>) -> Result<Self, Error> {
        visit::within(netns, Self::route)
    }

    /// Sends one request and hands each of its answers to `each`.
    pub(super) fn ask<R: NetlinkRequest>(
        &mut self,
        request: &R,
        mut each: impl FnMut(R::ReplyType<'_>),
    ) -> Result<(), Errno> {
        let mut bytes = Vec::with_capacity(256);
        push(&mut bytes, request, NLM_F_ACK);
        let first = self.send(&mut bytes, &[0])?;
        self.receive(first, 1, |_| 0, |payload| each(R::decode_reply(payload))).map_err(|(_, errno)| errno)
    }

    /// Sends a batch and waits until the kernel has carried it out. The first refusal ends it.
    pub(super) fn execute(&mut self, mut batch: Batch) -> Result<(), Error> {
        let offsets: Vec<_> = batch.operations.iter().map(|operation| operation.offset).collect();
        let name = |index: usize| batch.operations.get(index).map_or_else(String::new, |it| it.name.clone());
        let expected = batch.operations.iter().filter(|operation| operation.acknowledged).count();
        let first = self.send(&mut batch.bytes, &offsets).map_err(Error::kernel(name(0)))?;
        self.receive(first, expected, |sequence| sequence.wrapping_sub(first) as usize, |_| ())
            .map_err(|(index, source)| Error::Kernel { operation: name(index), source })
    }

    fn open(protocol: SockProtocol) -> Result<Self, Errno> {
        let fd = socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)?;
        // Answers are there when send(2) returns. Should one be lost, an error is better than a thread that hangs.
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::seconds(5))?;
        Ok(Self { fd, sequence: 1, buffer: vec![0; REPLY_MAX] })
    }

    /// Numbers the messages at `offsets` and sends all; returns the first number.
    fn send(&mut self, bytes: &mut [u8], offsets: &[usize]) -> Result<u32, Errno> {
        let first = self.sequence;
        for offset in offsets {
            bytes[offset + 8..offset + 12].copy_from_slice(&self.sequence.to_ne_bytes());
            self.sequence = self.sequence.wrapping_add(1);
        }
        retry(|| send(self.fd.as_raw_fd(), bytes, MsgFlags::empty()))?;
        Ok(first)
    }

    /// Reads until `expected` messages from number `first` on are acknowledged, or one is refused.
    fn receive(
        &mut self,
        first: u32,
        mut expected: usize,
        index: impl Fn(u32) -> usize,
        mut answer: impl FnMut(&[u8]),
    ) -> Result<(), (usize, Errno)> {
        let sent = self.sequence.wrapping_sub(first);
        while expected > 0 {
            let length = retry(|| recv(self.fd.as_raw_fd(), &mut self.buffer, MsgFlags::empty()))
                .map_err(|e| (0, e))?;
            for message in messages(&self.buffer[..length]) {
                // What is left of a batch that was refused earlier.
                if message.sequence.wrapping_sub(first) >= sent {
                    continue;
                }
                match (message.kind, message.error) {
                    (NLMSG_ERROR | NLMSG_DONE, 0) => expected = expected.saturating_sub(1),
                    (NLMSG_ERROR | NLMSG_DONE, error) => {
                        return Err((index(message.sequence), Errno::from_raw(error.wrapping_neg())));
                    }
                    _ => answer(message.payload),
                }
            }
        }
        Ok(())
    }
}

impl Batch {
    /// Adds a request; `name` says what it does, for the error.
    pub(super) fn add<R: NetlinkRequest>(&mut self, name: impl Into<String>, request: &R) {
        self.push(name.into(), request, true);
    }

    /// Adds a request that the kernel never acknowledges (the ends of an nftables transaction).
    pub(super) fn add_silent<R: NetlinkRequest>(&mut self, name: impl Into<String>, request: &R) {
        self.push(name.into(), request, false);
    }

    /// The messages, not yet numbered.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push<R: NetlinkRequest>(&mut self, name: String, request: &R, acknowledged: bool) {
        let offset = self.bytes.len();
        push(&mut self.bytes, request, if acknowledged { NLM_F_ACK } else { 0 });
        self.operations.push(Operation { offset, name, acknowledged });
    }
}

/// One message from the kernel; `error` is 0 but for a refusal.
struct Message<'a> {
    kind: u16,
    sequence: u32,
    error: i32,
    payload: &'a [u8],
}

fn push<R: NetlinkRequest>(bytes: &mut Vec<u8>, request: &R, flags: u16) {
    let kind = match request.protocol() {
        Protocol::Raw { request_type, .. } => request_type,
        // Generic netlink numbers its families at run time; none of ours is generic, and the kernel refuses type 0.
        Protocol::Generic(_) => 0,
    };
    // A dump ends with NLMSG_DONE; asked for an acknowledgement as well, some kernels would send two.
    let flags = if request.flags() & NLM_F_DUMP == NLM_F_DUMP { flags & !NLM_F_ACK } else { flags };
    let length = HEADER + request.payload().len();
    bytes.extend((length as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | flags | request.flags()).to_ne_bytes());
    bytes.extend([0; 8]); // the number is set when it is sent; port 0 is the kernel
    bytes.extend(request.payload());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
        let message = bytes.get(..length)?;
        let kind = u16::from_ne_bytes(*message.get(4..)?.first_chunk()?);
        let sequence = u32::from_ne_bytes(*message.get(8..)?.first_chunk()?);
        let payload = message.get(HEADER..)?;
        let error = match kind {
            NLMSG_ERROR | NLMSG_DONE => payload.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code)),
            _ => 0,
        };
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Message { kind, sequence, error, payload })
    })
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

//! epoll(7) with an enum for what woke up, instead of numbers.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// Tells which of the registered descriptors are ready.
#[derive(Debug)]
pub struct Poll<W> {
    epoll: Epoll,
    wakes: HashMap<u64, W>,
    next: u64,
}

/// Names a registration; needed to end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(u64);

impl<W: Copy> Poll<W> {
    /// Watches nothing yet.
    pub fn new() -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Self { epoll, wakes: HashMap::new(), next: 0 })
    }

    /// Reports `wake` whenever there is something to read, or the other end is closed.
    pub fn add(&mut self, fd: &impl AsFd, wake: W) -> io::Result<Token> {
        self.register(fd, EpollFlags::EPOLLIN, wake)
    }

    /// Reports `wake` whenever there is room to write, or nobody reads any more.
    pub fn add_writable(&mut self, fd: &impl AsFd, wake: W) -> io::Result<Token> {
        self.register(fd, EpollFlags::EPOLLOUT, wake)
    }

    /// Also reports when there is room to write, or stops to.
    pub fn watch_writable(&self, fd: &impl AsFd, token: Token, writable: bool) -> io::Result<()> {
        let flags = if writable { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        Ok(self.epoll.modify(fd, &mut EpollEvent::new(flags, token.0))?)
    }

    /// Reports the descriptor no more, not even when it is among the events of the current wait. Call it before closing: a
    /// copy in a child keeps the registration alive.
    pub fn remove(&mut self, fd: &impl AsFd, token: Token) -> io::Result<()> {
        self.wakes.remove(&token.0);
        Ok(self.epoll.delete(fd)?)
    }

    fn register(&mut self, fd: &impl AsFd, flags: EpollFlags, wake: W) -> io::Result<Token> {
        let token = self.next;
        self.epoll.add(fd, EpollEvent::new(flags, token))?;
        self.wakes.insert(token, wake);
        self.next += 1;
        Ok(Token(token))
    }

    /// Waits without limit. What was removed meanwhile is filtered out by [`Poll::wake_of`].
    pub fn wait(&self) -> io::Result<Vec<Token>> {
        let mut events = [EpollEvent::empty(); 32];
        loop {
            match self.epoll.wait(&mut events, EpollTimeout::NONE) {
                Ok(count) => return Ok(events[..count].iter().map(|event| Token(event.data())).collect()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// What a token stands for; `None` when it was removed since.
    pub fn wake_of(&self, token: Token) -> Option<W> {
        self.wakes.get(&token.0).copied()
    }
}

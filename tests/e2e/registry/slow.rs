//! A go-between before a registry, which lets through so much of its answers and then waits to be told to go on.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Stands before a registry for as long as this lives, and until each connection is over.
pub(super) struct Slow {
    address: SocketAddr,
    gate: Arc<Gate>,
}

struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Bytes that may still pass; `None` is any number.
    left: Option<usize>,
    /// All requests.
    asked: String,
}

impl Slow {
    /// Lets that many bytes of the answers of the registry at `host` through.
    pub(super) fn before(host: &str, bytes: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State { left: Some(bytes), asked: String::new() };
        let gate = Arc::new(Gate { state: Mutex::new(state), changed: Condvar::new() });
        let (address, host, of_all) = (listener.local_addr().unwrap(), host.to_owned(), Arc::clone(&gate));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&host).unwrap());
                let (answers, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let (asking, gate) = (Arc::clone(&of_all), Arc::clone(&of_all));
                thread::spawn(move || copy(client, server, |bytes| asking.note(bytes)));
                thread::spawn(move || copy(answers, to, |bytes| gate.wait_for(bytes.len())));
            }
        });
        Self { address, gate }
    }

    /// The name of an image behind it.
    pub(super) fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Lets everything through.
    pub(super) fn open(&self) {
        self.gate.state.lock().unwrap().left = None;
        self.gate.changed.notify_all();
    }

    /// What was asked so far.
    pub(super) fn asked(&self) -> String {
        self.gate.state.lock().unwrap().asked.clone()
    }
}

impl Gate {
    fn note(&self, bytes: &[u8]) {
        self.state.lock().unwrap().asked.push_str(&String::from_utf8_lossy(bytes));
    }

    fn wait_for(&self, bytes: usize) {
        let state = self.state.lock().unwrap();
        let mut state =
            self.changed.wait_while(state, |state| state.left.is_some_and(|left| left < bytes)).unwrap();
        state.left = state.left.map(|left| left - bytes);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, mut before: impl FnMut(&[u8])) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        before(&piece[..count]);
        if to.write_all(&piece[..count]).is_err() {
            break;
        }
    }
    // Who went away on one side is not waited for on the other.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

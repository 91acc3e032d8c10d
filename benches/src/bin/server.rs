//! The workload: answers any request on port 80 with 200, and leaves on SIGTERM.
//!
//! As PID 1 of its namespace it gets no signal that it does not handle, so it waits for this one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

fn main() -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 80))?;
    let term: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    term.thread_block()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own business.
            let _ = answer(stream);
        }
    });
    term.wait()?;
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}

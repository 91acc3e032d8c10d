//! The workload: answers any request on port 80 with 200, and leaves on SIGTERM.
//!
//! `server health` answers gRPC health checks on port 81 instead: any call is SERVING. `server exit` only ends.
//! As PID 1 of its namespace it gets no signal that it does not handle, so it waits for this one.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use anyhow::Result;
use nix::sys::signal::{SigSet, Signal};

/// HTTP/2 as the answer to the one call of a connection: SETTINGS and its ACK, then on stream 1 HEADERS (`:status: 200` and
/// `content-type: application/grpc`), DATA (a `HealthCheckResponse` of SERVING) and HEADERS (`grpc-status: 0`, the end).
const SERVING: &[u8] = b"\0\0\0\x04\0\0\0\0\0\
    \0\0\0\x04\x01\0\0\0\0\
    \0\0\x14\x01\x04\0\0\0\x01\x88\x0f\x10\x10application/grpc\
    \0\0\x07\0\0\0\0\0\x01\0\0\0\0\x02\x08\x01\
    \0\0\x0f\x01\x05\0\0\0\x01\x00\x0bgrpc-status\x010";

fn main() -> Result<()> {
    let wanted = std::env::args().nth(1);
    if wanted.as_deref() == Some("exit") {
        return Ok(());
    }
    let term: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    term.thread_block()?;
    match wanted.as_deref() {
        Some("health") => serve(81, answer_check)?,
        _ => serve(80, answer)?,
    }
    term.wait()?;
    Ok(())
}

fn serve(port: u16, answer: fn(TcpStream) -> std::io::Result<()>) -> Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port))?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own business.
            let _ = answer(stream);
        }
    });
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = [0; 1024];
    let _ = stream.read(&mut request)?;
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}

/// The client writes no more than its preface, its SETTINGS and one call; until it has gone, it is listened to.
fn answer_check(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 1024];
    let mut answered = false;
    loop {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&piece[..length]),
        }
        if !answered && has_ended(&request) {
            stream.write_all(SERVING)?;
            answered = true;
        }
    }
}

/// True when the call is complete: its last frame is DATA with END_STREAM.
fn has_ended(request: &[u8]) -> bool {
    const PREFACE: usize = 24;
    const HEADER: usize = 9;
    let mut rest = request.get(PREFACE..).unwrap_or_default();
    while let Some(&[a, b, c, kind, flags, ..]) = rest.first_chunk::<HEADER>() {
        if (kind, flags & 1) == (0, 1) {
            return true;
        }
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        rest = rest.get(HEADER + length..).unwrap_or_default();
    }
    false
}

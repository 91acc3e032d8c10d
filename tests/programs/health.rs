//! The server side of `grpc.health.v1.Health/Check`, for the ledger program.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;

/// SERVING and NOT_SERVING, each a message of one field in its frame.
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";
const NOT_SERVING: &[u8] = b"\0\0\0\0\x02\x08\x02";

/// Serves in a thread of its own. What goes wrong shows as a probe that fails.
pub(crate) fn serve(port: u16, sick: PathBuf) {
    thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(listen(port, &sick))
    });
}

async fn listen(port: u16, sick: &Path) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        // A client that hangs up is its own business.
        let _ = answer(stream, sick).await;
    }
}

async fn answer(stream: TcpStream, sick: &Path) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(stream).await?;
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request?;
        let head = Response::builder().header("content-type", "application/grpc");
        // A request that makes no sense is one that nobody sends.
        let Ok(head) = head.body(()) else { continue };
        let mut trailers = HeaderMap::new();
        if request.uri().path() != "/grpc.health.v1.Health/Check" {
            trailers.insert("grpc-status", HeaderValue::from_static("12"));
        } else {
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
        }
        let mut body = respond.send_response(head, false)?;
        let message = if sick.exists() { NOT_SERVING } else { SERVING };
        body.send_data(Bytes::from_static(message), false)?;
        body.send_trailers(trailers)?;
    }
    Ok(())
}

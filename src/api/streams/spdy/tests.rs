//! Remote commands over SPDY, to a node that only plays.

use serde_json::json;
use tokio::io::{DuplexStream, duplex};

use super::*;
use crate::api::spdy::client::Client;
use crate::api::spdy::frame::{Frame, Status};

/// For what happens, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

const ALL: Asked = Asked { stdin: true, stdout: true, stderr: true, tty: false };
const TTY: Asked = Asked { stdin: true, stdout: true, stderr: true, tty: true };

fn begun<F, R>(asked: Asked, run: F) -> Client<DuplexStream>
where
    F: FnOnce(RemoteCommandStreams) -> R + Send + 'static,
    R: Future<Output = Value> + Send,
{
    let (client, server) = duplex(4 << 10);
    tokio::spawn(async move { converse(Session::serve(server, Limits::default()), asked, run).await });
    Client::new(client)
}

/// Opens a stream, which is accepted.
async fn opened(client: &mut Client<DuplexStream>, kind: &str) -> u32 {
    let id = client.open(&[("streamtype", kind)]).await;
    assert!(matches!(client.frame().await, Some(Frame::SynReply { id: of, .. }) if of == id), "{kind}");
    id
}

/// All that comes, by stream, up to the goodbye.
async fn all(client: &mut Client<DuplexStream>) -> Vec<(u32, String)> {
    let mut texts: Vec<(u32, String)> = Vec::new();
    loop {
        match timeout(PATIENCE, client.frame()).await.unwrap() {
            Some(Frame::Data { id, data, .. }) => {
                let text = String::from_utf8(data.to_vec()).unwrap();
                match texts.iter_mut().find(|(of, _)| *of == id) {
                    Some((_, before)) => before.push_str(&text),
                    None => texts.push((id, text)),
                }
            }
            Some(Frame::GoAway { status: 0, .. }) => break,
            other => panic!("{other:?}"),
        }
    }
    texts.sort();
    texts
}

#[tokio::test]
async fn a_command_has_its_streams_and_its_end_is_told_on_the_one_of_errors() {
    let mut client = begun(ALL, async |streams| {
        let (mut stdin, mut stdout, mut stderr) =
            (streams.stdin.unwrap(), streams.stdout.unwrap(), streams.stderr.unwrap());
        let mut text = String::new();
        stdin.read_to_string(&mut text).await.unwrap();
        stdout.write_all(text.to_uppercase().as_bytes()).await.unwrap();
        stderr.write_all(b"warning").await.unwrap();
        json!({"status": "Success"})
    });
    let mut ids = Vec::new();
    for kind in ["error", "stdin", "stdout", "stderr"] {
        ids.push(opened(&mut client, kind).await);
    }
    client.send(ids[1], b"quietly", true).await;
    let texts = [r#"{"status":"Success"}"#, "", "QUIETLY", "warning"].map(str::to_owned);
    assert_eq!(all(&mut client).await, ids.into_iter().zip(texts).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_terminal_has_a_size_and_no_stream_of_its_own_for_errors() {
    let mut client = begun(TTY, async |mut streams| {
        assert!(streams.tty && streams.stderr.is_none());
        let sizes = [streams.resize.recv().await.unwrap(), streams.resize.recv().await.unwrap()];
        json!({"sizes": sizes})
    });
    let error = opened(&mut client, "error").await;
    opened(&mut client, "stdin").await;
    opened(&mut client, "stdout").await;
    let resize = opened(&mut client, "resize").await;
    client.send(resize, b"{\"Width\":80,\"Height\":24}\n{\"Wid", false).await;
    client.send(resize, b"th\":132,\"Height\":43}\n", false).await;
    let texts = all(&mut client).await;
    let status = json!({"sizes": [{"Width": 80, "Height": 24}, {"Width": 132, "Height": 43}]});
    assert_eq!(texts[0], (error, status.to_string()));
}

#[tokio::test]
async fn streams_that_were_not_asked_for_or_come_twice_are_refused() {
    let mut client = begun(Asked { stdin: false, stderr: false, ..ALL }, async |streams| {
        assert!(streams.stdin.is_none() && streams.stderr.is_none() && streams.stdout.is_some());
        json!({})
    });
    opened(&mut client, "error").await;
    for kind in ["stdin", "stderr", "resize", "error", "data"] {
        let id = client.open(&[("streamtype", kind)]).await;
        assert_eq!(
            client.frame().await,
            Some(Frame::RstStream { id, status: Status::REFUSED_STREAM }),
            "{kind}"
        );
    }
    opened(&mut client, "stdout").await;
    assert_eq!(all(&mut client).await.len(), 2);
}

#[tokio::test]
async fn a_command_is_told_when_its_client_is_gone() {
    let (told, heard) = tokio::sync::oneshot::channel();
    let mut client = begun(Asked { stdin: false, stderr: false, ..ALL }, async move |streams| {
        streams.gone.cancelled().await;
        told.send(()).unwrap();
        json!({})
    });
    opened(&mut client, "error").await;
    opened(&mut client, "stdout").await;
    drop(client);
    timeout(PATIENCE, heard).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn streams_are_waited_for_half_a_minute() {
    let mut client = begun(ALL, async |_| panic!("nothing is run"));
    let begin = tokio::time::Instant::now();
    opened(&mut client, "error").await;
    while client.frame().await.is_some() {}
    assert_eq!(begin.elapsed(), Duration::from_secs(30));
}

//! An agent for tests: containers whose programs are scripted here.

use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;

/// Serves a pod with a container `a` that runs and one, `b`, that does not.
#[derive(Debug)]
pub(crate) struct FakeAgent {
    /// What was asked for.
    pub(crate) calls: Mutex<Vec<String>>,
    /// How many clients went away before their program had ended.
    pub(crate) left: watch::Sender<usize>,
}

impl FakeAgent {
    pub(crate) fn new() -> Self {
        Self { calls: Mutex::default(), left: watch::Sender::new(0) }
    }

    fn note(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }
}

impl PodStreams for FakeAgent {
    fn running(&self, container: &ContainerRef) -> BoxFuture<'_, Result<String, Refusal>> {
        let name = container.container.clone();
        Box::pin(async move {
            match name.as_str() {
                "a" => Ok("c0ffee".to_owned()),
                name => Err(Refusal::BadRequest(format!("container {name} is not running"))),
            }
        })
    }

    fn exec(
        &self,
        container: ContainerRef,
        id: String,
        command: Vec<String>,
        mut streams: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<i32, String>> {
        self.note(format!("exec {container} {id} {}", command.join(" ")));
        let program = async move {
            let mut stdout = streams.stdout.unwrap_or_else(|| Box::new(tokio::io::sink()));
            let words: Vec<&str> = command.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["cat"] => {
                    tokio::io::copy(&mut streams.stdin.unwrap(), &mut stdout).await.unwrap();
                    Ok(0)
                }
                ["complain", text] => {
                    streams.stderr.unwrap().write_all(text.as_bytes()).await.unwrap();
                    Ok(3)
                }
                ["print", bytes] => {
                    let bytes = vec![b'x'; bytes.parse().unwrap()];
                    stdout.write_all(&bytes).await.unwrap();
                    Ok(0)
                }
                ["sizes"] => {
                    let mut stdin = streams.stdin.unwrap();
                    loop {
                        let (width, height) = tokio::select! {
                            Some(size) = streams.resize.recv() => (size.width, size.height),
                            _ = stdin.read_u8() => return Ok(0),
                        };
                        stdout.write_all(format!("{width}x{height}\r\n").as_bytes()).await.unwrap();
                    }
                }
                ["wait"] => std::future::pending().await,
                words => Err(format!("{:?}: executable file not found in $PATH", words[0])),
            }
        };
        let gone = streams_gone(&streams.gone);
        Box::pin(async move {
            tokio::select! {
                code = program => code,
                () = gone => {
                    self.left.send_modify(|left| *left += 1);
                    Err("the client is gone".to_owned())
                }
            }
        })
    }

    fn attach(
        &self,
        container: ContainerRef,
        id: String,
        streams: RemoteCommandStreams,
    ) -> BoxFuture<'_, Result<(), String>> {
        self.note(format!("attach {container} {id}"));
        Box::pin(async move {
            let (mut stdin, mut stdout) = (streams.stdin.unwrap(), streams.stdout.unwrap());
            tokio::io::copy(&mut stdin, &mut stdout).await.map(drop).map_err(|error| error.to_string())
        })
    }

    fn port_forward(&self, pod: PodRef, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>, String>> {
        self.note(format!("port-forward {} {port}", pod.name));
        Box::pin(async { Err("connection refused".to_owned()) })
    }

    fn log(
        &self,
        container: ContainerRef,
        options: LogOptions,
    ) -> BoxFuture<'_, Result<BoxStream<'static, io::Result<Bytes>>, Refusal>> {
        self.note(format!("log {container} {options:?}"));
        Box::pin(async {
            let lines = ["one\n", "two\n"].map(|line| Ok(Bytes::from_static(line.as_bytes())));
            Ok(Box::pin(futures::stream::iter(lines)) as _)
        })
    }
}

fn streams_gone(gone: &tokio_util::sync::CancellationToken) -> impl Future<Output = ()> + Send + 'static {
    gone.clone().cancelled_owned()
}

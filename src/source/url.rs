//! A manifest behind a URL, asked for again and again. Until it has been read once, nothing is known of what it wants.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::file::MAX_BYTES;
use super::{SourceEvent, Wanted};
use crate::pod::sysctl::Allowed;
use crate::pod::{self, Manifest, SourceKind};

/// How often it is asked for (the kubelet's httpCheckFrequency).
pub const CHECK: Duration = Duration::from_secs(20);

/// An answer takes no longer, as with the kubelet.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A URL, and what tells one state of it from another.
struct Url {
    client: Client,
    url: String,
    headers: HeaderMap,
    sysctls: Allowed,
    etag: Option<HeaderValue>,
}

/// Follows the manifest at `url` for ever, asked for with these `headers`: `send` gets each new set of what is wanted, `say` a line for each thing
/// that a person should know. Returns when `send` says that nobody listens any more.
pub async fn follow(
    url: String,
    headers: HeaderMap,
    sysctls: Allowed,
    check: Duration,
    send: impl Fn(SourceEvent) -> bool,
    say: impl Fn(&str),
) {
    // An error means that a provider is installed already, which is as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = match Client::builder().timeout(TIMEOUT).build() {
        Ok(client) => client,
        Err(error) => return say(&format!("{url}: {error}")),
    };
    let mut source = Url { client, url, headers, sysctls, etag: None };
    let (mut last, mut told): (Option<SourceEvent>, Option<String>) = (None, None);
    loop {
        let problem = match source.get().await {
            Ok(None) => None,
            Ok(Some(bytes)) => {
                let (event, problem) = source.understand(&bytes);
                // What is not understood leaves what was before.
                let event = event.filter(|event| event.unread.is_empty() || last.is_none());
                if let Some(event) = event.filter(|event| last.as_ref() != Some(event)) {
                    if !send(event.clone()) {
                        return;
                    }
                    last = Some(event);
                }
                problem
            }
            Err(error) => Some(error),
        };
        if problem.is_some() && problem != told {
            problem.iter().for_each(|line| say(line));
        }
        told = problem;
        tokio::time::sleep(check).await;
    }
}

impl Url {
    /// What is behind it, if that is something new.
    async fn get(&mut self) -> Result<Option<Vec<u8>>, String> {
        let mut request = self.client.get(&self.url).headers(self.headers.clone());
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        let failed = |error: reqwest::Error| format!("read {}: {}", self.url, chain(&error));
        let response = request.send().await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED => return Ok(None),
            status => return Err(format!("read {}: {status}", self.url)),
        }
        let etag = response.headers().get(ETAG).cloned();
        let (mut bytes, mut body) = (Vec::new(), response);
        while let Some(piece) = body.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MAX_BYTES {
                return Err(format!("read {}: it has more than {MAX_BYTES} bytes", self.url));
            }
        }
        self.etag = etag;
        Ok(Some(bytes))
    }

    /// What is wanted, and what is wrong with it.
    fn understand(&self, bytes: &[u8]) -> (Option<SourceEvent>, Option<String>) {
        let read = match pod::decode_allowing(bytes, &self.url, &self.sysctls) {
            // A file without a pod is a mistake; a list without one is an answer.
            Err(_) if is_empty_list(bytes) => Ok(Manifest::default()),
            read => read,
        };
        let (manifest, problem) = match read {
            Ok(manifest) => (manifest, None),
            Err(problems) => {
                let line = problems.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ");
                (Manifest::default(), Some(line))
            }
        };
        let wanted = |pod| Wanted::of(pod, self.url.clone(), &manifest.written);
        let event = SourceEvent {
            source: SourceKind::Http,
            pods: manifest.pods.into_iter().map(wanted).collect(),
            objects: Arc::new(manifest.objects),
            unread: problem.iter().map(|_| self.url.clone()).collect::<BTreeSet<_>>(),
        };
        (Some(event), problem)
    }
}

/// True for a List of nothing, written in JSON.
fn is_empty_list(bytes: &[u8]) -> bool {
    let list: Option<Value> = serde_json::from_slice(bytes).ok();
    list.is_some_and(|list| {
        list["kind"].as_str().is_some_and(|kind| kind.ends_with("List"))
            && list["items"].as_array().is_some_and(Vec::is_empty)
    })
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.last().map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;

    /// Answers one request after the other; returns where, and the `If-None-Match` of each.
    fn serve(answers: Vec<(&'static str, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/pods", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let tag = lines
                    .take_while(|line| !line.is_empty())
                    .find_map(|line| line.to_lowercase().strip_prefix("if-none-match: ").map(str::to_owned));
                seen.lock().unwrap().push(tag.unwrap_or_default());
                let head = format!(
                    "HTTP/1.1 {status}\r\nETag: \"{}\"\r\nConnection: close\r\nContent-Length: {}",
                    body.len(),
                    body.len()
                );
                let _ = write!(&stream, "{head}\r\n\r\n{body}");
            }
        });
        (url, asked)
    }

    fn pod(name: &str) -> String {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}}}, spec: {{containers: [{{name: c, image: i}}]}}}}"
        )
    }

    #[tokio::test]
    async fn each_new_state_is_told_and_neither_a_bad_one_nor_a_failure_ends_anything() {
        let (url, asked) = serve(vec![
            ("503 Service Unavailable", String::new()),
            ("200 OK", pod("a")),
            ("304 Not Modified", String::new()),
            ("200 OK", "{".to_owned()),
            ("200 OK", "x".repeat(usize::try_from(MAX_BYTES).unwrap() + 1)),
            ("200 OK", pod("bb")),
            ("200 OK", r#"{"apiVersion":"v1","kind":"PodList","items":[]}"#.to_owned()),
        ]);
        let (sender, mut sets) = mpsc::unbounded_channel();
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = Arc::clone(&said);
        tokio::spawn(follow(
            url.clone(),
            HeaderMap::new(),
            Allowed::default(),
            Duration::from_millis(1),
            move |event| sender.send(event).is_ok(),
            move |line: &str| lines.lock().unwrap().push(line.to_owned()),
        ));
        for expected in [&["a"][..], &["bb"], &[]] {
            let set = tokio::time::timeout(Duration::from_secs(60), sets.recv()).await.unwrap().unwrap();
            let names: Vec<_> = set.pods.iter().map(|wanted| wanted.pod.key.name.as_str()).collect();
            assert_eq!(names, expected);
        }
        let said = said.lock().unwrap().clone();
        assert_eq!(said[0], format!("read {url}: 503 Service Unavailable"));
        assert!(said[1].contains("invalid YAML"), "{said:?}");
        assert!(said[2].ends_with("it has more than 4194304 bytes"), "{said:?}");
        let tag = format!("\"{}\"", pod("a").len());
        assert_eq!(asked.lock().unwrap()[..4], ["", "", &tag, &tag]);
    }

    #[tokio::test]
    async fn one_that_is_not_understood_at_first_is_no_empty_set() {
        let (url, _) = serve(vec![("200 OK", "{".to_owned())]);
        let (sender, mut sets) = mpsc::unbounded_channel();
        let send = move |event| sender.send(event).is_ok();
        tokio::spawn(follow(url.clone(), HeaderMap::new(), Allowed::default(), CHECK, send, |_| {}));
        let set = tokio::time::timeout(Duration::from_secs(60), sets.recv()).await.unwrap().unwrap();
        assert_eq!((set.pods.len(), set.unread), (0, BTreeSet::from([url])));
    }
}

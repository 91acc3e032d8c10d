//! `httpGet`: a GET without proxies, cookies, caches or kept connections, and with limits on all that comes back.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use nix::errno::Errno;
use reqwest::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use reqwest::redirect::{self, Policy};
use reqwest::{Method, Request, Response, Url};
use tokio::time::timeout;

use super::Answer;
use crate::pod::spec::HttpGet;

/// What the kubelet of the same version calls itself; servers know it, and keep it out of their logs.
const AGENT: &str = "kube-probe/1.37";

/// More of a body than this is not read, bytes. What is read is thrown away: it counts that it came.
const MAX_BODY: usize = 10 << 10;

/// Redirects that are followed, as in Go.
const MAX_REDIRECTS: usize = 10;

/// The client that all probes share.
#[derive(Debug, Clone)]
pub(crate) struct Client(reqwest::Client);

/// A GET, ready to be sent again and again.
#[derive(Debug)]
pub(crate) struct Question {
    client: reqwest::Client,
    /// As Go prints it: always with the port.
    url: String,
    /// `host:port` as Go dials it.
    address: String,
    request: Result<Request, String>,
    timeout: Duration,
}

impl Client {
    pub(crate) fn new() -> reqwest::Result<Self> {
        // An error means that a provider is installed already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .http1_only()
            .no_proxy()
            .referer(false)
            .pool_max_idle_per_host(0)
            // A probe asks whether somebody is there, not who; the kubelet does not verify either.
            .tls_danger_accept_invalid_certs(true)
            .redirect(Policy::custom(redirect))
            .build()?;
        Ok(Self(client))
    }

    /// The question for one probe.
    pub(crate) fn question(&self, get: &HttpGet, pod_ip: IpAddr, timeout: Duration) -> Question {
        let host = get.host.clone().unwrap_or_else(|| pod_ip.to_string());
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let address = format!("{host}:{}", get.port);
        let url = format!("{}://{address}{}", if get.https { "https" } else { "http" }, get.path);
        let request = request(&url, &get.headers);
        Question { client: self.0.clone(), url, address, request, timeout }
    }
}

impl Question {
    /// Asks once; takes no longer than the probe's timeout.
    pub(crate) async fn ask(&self) -> Answer {
        let request = match &self.request {
            Ok(request) => request.try_clone(),
            Err(reason) => return self.failed(reason),
        };
        // Only a request with a body that streams cannot be cloned.
        let Some(request) = request else { return self.failed("request cannot be repeated") };
        let mut headers_came = false;
        let answer = timeout(self.timeout, async {
            let response = self.client.execute(request).await.map_err(|error| self.reason(&error))?;
            headers_came = true;
            self.judge(response).await
        });
        match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => self.failed(&reason),
            Err(_) if headers_came => self.failed(
                "context deadline exceeded (Client.Timeout or context cancellation while reading body)",
            ),
            Err(_) => {
                self.failed("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
            }
        }
    }

    async fn judge(&self, mut response: Response) -> Result<Answer, String> {
        let mut length = 0;
        while length < MAX_BODY
            && let Some(chunk) = response.chunk().await.map_err(|error| self.reason(&error))?
        {
            length += chunk.len();
        }
        Ok(match response.status().as_u16() {
            200..=299 => Answer::Healthy,
            // Followed unless it leads to another host, which has no say in whether this one is healthy.
            code @ 300..=399 => {
                Answer::HealthyBut(format!("HTTP probe answered with statuscode {code} that leads elsewhere"))
            }
            code => Answer::Unhealthy(format!("HTTP probe failed with statuscode: {code}")),
        })
    }

    fn failed(&self, reason: &str) -> Answer {
        Answer::Unhealthy(format!("Get {:?}: {reason}", self.url))
    }

    /// What went wrong, in Go's words where people know them.
    fn reason(&self, error: &reqwest::Error) -> String {
        let causes: Vec<_> = std::iter::successors(error.source(), |cause| (*cause).source()).collect();
        let errno = causes.iter().find_map(|cause| cause.downcast_ref::<io::Error>()?.raw_os_error());
        // What is outermost says that something failed, what is innermost says why.
        let innermost = causes.last().map_or_else(|| error.to_string(), ToString::to_string);
        match errno.map(|errno| Errno::from_raw(errno).desc().to_ascii_lowercase()) {
            Some(text) if error.is_connect() => format!("dial tcp {}: connect: {text}", self.address),
            Some(text) => format!("read tcp {}: {text}", self.address),
            None if error.is_connect() => format!("dial tcp {}: {innermost}", self.address),
            None => innermost,
        }
    }
}

/// Redirects are followed on the same host, whatever its port.
fn redirect(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let [first, ..] = attempt.previous() else { return attempt.follow() };
    if attempt.url().host() != first.host() {
        attempt.stop()
    } else if attempt.previous().len() >= MAX_REDIRECTS {
        attempt.error(format!("stopped after {MAX_REDIRECTS} redirects"))
    } else {
        attempt.follow()
    }
}

/// The request, or why there can be none.
fn request(url: &str, headers: &[(String, String)]) -> Result<Request, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let mut request = Request::new(Method::GET, url);
    let map = request.headers_mut();
    for (name, value) in headers {
        let invalid = || format!("invalid header {name:?}");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid())?;
        if name == HOST {
            map.insert(name, value);
        } else {
            map.append(name, value);
        }
    }
    for (name, value) in [(USER_AGENT, AGENT), (ACCEPT, "*/*"), (CONNECTION, "close")] {
        map.entry(name).or_insert(HeaderValue::from_static(value));
    }
    Ok(request)
}

#[cfg(test)]
mod tests;

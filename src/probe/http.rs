//! `httpGet`: a GET without proxies, cookies, caches or kept connections, and with limits on all that comes back.

use std::error::Error as _;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use reqwest::redirect::{self, Policy};
use reqwest::{Method, Request, Response, Url};

use super::Answer;
use super::address::{Address, words};
use crate::pod::spec::HttpGet;

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
}

/// Why there was no response.
#[derive(Debug)]
pub(crate) struct Failure {
    /// One line.
    pub(crate) reason: String,
    /// The other side speaks no TLS.
    pub(crate) no_tls: bool,
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

    /// The question for one probe or hook; `user_agent` is who asks.
    pub(crate) fn question(&self, get: &HttpGet, pod_ip: IpAddr, user_agent: &'static str) -> Question {
        let address = Address::new(get.host.as_deref(), pod_ip, get.port).to_string();
        let url = format!("{}://{address}{}", if get.https { "https" } else { "http" }, get.path);
        let request = request(&url, &get.headers, user_agent);
        Question { client: self.0.clone(), url, address, request }
    }
}

impl Question {
    /// Asks once, as a probe; takes no longer than the timeout.
    pub(super) async fn ask(&self, timeout: Duration) -> Answer {
        let mut headers_came = false;
        let answer = tokio::time::timeout(timeout, async {
            let response = self.get().await.map_err(|failure| failure.reason)?;
            headers_came = true;
            self.judge(response).await
        });
        match answer.await {
            Ok(Ok(answer)) => answer,
            Ok(Err(reason)) => Answer::Unhealthy(reason),
            Err(_) if headers_came => Answer::Unhealthy(self.failed(
                "context deadline exceeded (Client.Timeout or context cancellation while reading body)",
            )),
            Err(_) => Answer::Unhealthy(
                self.failed("context deadline exceeded (Client.Timeout exceeded while awaiting headers)"),
            ),
        }
    }

    /// Waits for the head of the response, without a limit of time.
    pub(crate) async fn get(&self) -> Result<Response, Failure> {
        let failed = |reason: &str| Failure { reason: self.failed(reason), no_tls: false };
        let request = self.request.as_ref().map_err(|reason| failed(reason))?;
        // Only a request with a body that streams cannot be cloned.
        let request = request.try_clone().ok_or_else(|| failed("request cannot be repeated"))?;
        let got = self.client.execute(request).await;
        got.map_err(|error| Failure {
            reason: self.failed(&self.reason(&error)),
            no_tls: causes(&error).any(is_not_tls),
        })
    }

    async fn judge(&self, mut response: Response) -> Result<Answer, String> {
        let mut body = Vec::new();
        while body.len() < MAX_BODY
            && let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&self.reason(&error)))?
        {
            body.extend_from_slice(&chunk[..chunk.len().min(MAX_BODY - body.len())]);
        }
        Ok(match response.status().as_u16() {
            200..=299 => Answer::Healthy,
            // Followed unless it leads to another host, which has no say in whether this one is healthy.
            300..=399 => {
                let body = String::from_utf8_lossy(&body);
                Answer::HealthyBut(format!("Probe terminated redirects, Response body: {body}"))
            }
            code => Answer::Unhealthy(format!("HTTP probe failed with statuscode: {code}")),
        })
    }

    fn failed(&self, reason: &str) -> String {
        format!("Get {:?}: {reason}", self.url)
    }

    /// What went wrong, in Go's words where people know them.
    fn reason(&self, error: &reqwest::Error) -> String {
        let system = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
        // What is outermost says that something failed, what is innermost says why.
        let innermost = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
        match system.filter(|error| error.raw_os_error().is_some()).map(words) {
            Some(text) if error.is_connect() => format!("dial tcp {}: connect: {text}", self.address),
            Some(text) => format!("read tcp {}: {text}", self.address),
            None if error.is_connect() => format!("dial tcp {}: {innermost}", self.address),
            None => innermost,
        }
    }
}

type Cause<'a> = &'a (dyn std::error::Error + 'static);

fn causes(error: &reqwest::Error) -> impl Iterator<Item = Cause<'_>> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

/// True for what TLS says to somebody who answered in another language. Others have wrapped it on the way.
fn is_not_tls(cause: Cause<'_>) -> bool {
    fn inner<'a>(error: &Cause<'a>) -> Option<Cause<'a>> {
        Some(error.downcast_ref::<io::Error>()?.get_ref()?)
    }
    let mut wrapped = std::iter::successors(Some(cause), inner);
    wrapped.any(|error| matches!(error.downcast_ref(), Some(rustls::Error::InvalidMessage(_))))
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
fn request(url: &str, headers: &[(String, String)], user_agent: &'static str) -> Result<Request, String> {
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
    for (name, value) in [(USER_AGENT, user_agent), (ACCEPT, "*/*"), (CONNECTION, "close")] {
        map.entry(name).or_insert(HeaderValue::from_static(value));
    }
    Ok(request)
}

#[cfg(test)]
mod tests;

//! Asks one endpoint for documents and blobs of one repository: authentication, redirects, retries.
//!
//! Redirects are followed by hand, because where an answer may come from and who is told the credentials is decided at
//! each of them: `Authorization` goes to the endpoint's own origin, and https never turns into http.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RANGE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use reqwest::{Certificate, Method, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::challenge::{self, Challenge};
use super::credential::Credential;
use super::endpoint::Endpoint;
use super::error::Error;
use super::patience::{Patience, retry_after};
use crate::image::Reference;

/// Redirects that are followed one after the other.
const MAX_REDIRECTS: usize = 10;

/// Largest answer of a token service, and of a registry that says what is wrong, bytes.
const MAX_WORDS: usize = 64 * 1024;

/// As much of what a registry says is told, characters.
const MAX_TOLD: usize = 256;

/// The digest of an answer, by the registry.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// One repository at one endpoint, asked by one person.
pub(super) struct Client {
    http: reqwest::Client,
    endpoint: Arc<Endpoint>,
    /// Registry, when the endpoint is a mirror that has to be told.
    namespace: Option<String>,
    repository: String,
    credential: Option<Credential>,
    authorization: Mutex<Option<HeaderValue>>,
    patience: Patience,
}

impl Client {
    /// A client; nothing is asked yet.
    pub(super) fn new(
        endpoint: Arc<Endpoint>,
        reference: &Reference,
        credential: Option<Credential>,
        patience: Patience,
    ) -> Result<Self, Error> {
        let unusable =
            |error: reqwest::Error| Error::Refused(format!("{}: {}", endpoint.base, causes(&error)));
        // Installed once; a second time is no failure.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut authorities = Vec::new();
        for pem in &endpoint.authorities {
            authorities.extend(Certificate::from_pem_bundle(pem).map_err(unusable)?);
        }
        let builder = reqwest::Client::builder()
            .user_agent(concat!("mkubelet/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(patience.connect)
            .read_timeout(patience.stall)
            .tls_certs_merge(authorities)
            .tls_danger_accept_invalid_certs(endpoint.skip_verify);
        Ok(Self {
            http: builder.build().map_err(unusable)?,
            namespace: endpoint.is_mirror.then(|| reference.registry().to_owned()),
            repository: reference.path().to_owned(),
            credential,
            authorization: Mutex::default(),
            patience,
            endpoint,
        })
    }

    /// A document of at most `limit` bytes, with the answer's headers.
    pub(super) async fn document(
        &self,
        path: &str,
        accept: &'static str,
        limit: usize,
    ) -> Result<(Vec<u8>, HeaderMap), Error> {
        let mut failures = 0;
        loop {
            let document = async {
                let response = self.get(path, accept, 0).await?;
                let headers = response.headers().clone();
                let what = self.request(path);
                let bytes = body(response, limit, &what).await?;
                let bytes = bytes.ok_or_else(|| Error::Answer {
                    request: what,
                    reason: format!("it has more than {limit} bytes"),
                })?;
                Ok((bytes, headers))
            };
            match document.await {
                Ok(found) => return Ok(found),
                Err(error) => self.wait(error, &mut failures).await?,
            }
        }
    }

    /// Waits after a failure as long as is fit, or gives the error back when there is no point.
    pub(super) async fn wait(&self, error: Error, failures: &mut u32) -> Result<(), Error> {
        *failures += 1;
        match self.patience.wait(*failures, error.retry_after()) {
            Some(wait) if error.is_passing() => {
                tracing::debug!(%error, ?wait, "asking the registry again");
                tokio::time::sleep(wait).await;
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// Asks once for what is below the repository, from a byte on, and gives an answer with a status of success.
    pub(super) async fn get(&self, path: &str, accept: &'static str, from: u64) -> Result<Response, Error> {
        let url = self.url(path)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        if from > 0 {
            headers.extend(HeaderValue::from_str(&format!("bytes={from}-")).ok().map(|range| (RANGE, range)));
        }
        let known = self.authorization.lock().await.clone();
        let response = self.follow(url.clone(), &headers, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !self.is_own(response.url()) {
            return self.successful(path, response).await;
        }
        let Some(authorization) = self.authorize(path, &response, known.as_ref()).await? else {
            return self.successful(path, response).await;
        };
        let response = self.follow(url, &headers, Some(&authorization)).await?;
        self.successful(path, response).await
    }

    /// Method and address, to be told to a person.
    pub(super) fn request(&self, path: &str) -> String {
        format!("GET {}{}/{path}", self.endpoint.base, self.repository)
    }

    fn url(&self, path: &str) -> Result<Url, Error> {
        let joined = self.endpoint.base.join(&format!("{}/{path}", self.repository));
        let mut url = joined.map_err(|error| Error::Refused(format!("{}: {error}", self.request(path))))?;
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        Ok(url)
    }

    /// True for an address that may hear the credentials.
    fn is_own(&self, url: &Url) -> bool {
        url.origin() == self.endpoint.base.origin()
    }

    async fn follow(
        &self,
        mut url: Url,
        headers: &HeaderMap,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Error> {
        for _ in 0..MAX_REDIRECTS {
            let mut request = self.http.request(Method::GET, url.clone()).headers(headers.clone());
            if let Some(authorization) = authorization.filter(|_| self.is_own(&url)) {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = request.send().await.map_err(|error| failure(get_of(&url), &error))?;
            if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            let refuse = |reason: String| Error::Answer { request: get_of(&url), reason };
            let next = next.ok_or_else(|| refuse("a redirect to nowhere".to_owned()))?;
            let is_allowed = next.scheme() == "https" || next.scheme() == "http" && url.scheme() == "http";
            if !is_allowed {
                return Err(refuse(format!("a redirect from {} to {}", url.scheme(), next.scheme())));
            }
            url = next;
        }
        Err(Error::Answer { request: get_of(&url), reason: format!("more than {MAX_REDIRECTS} redirects") })
    }

    /// What gets past a challenge, for this and later requests; `None` when there is nothing that would.
    async fn authorize(
        &self,
        path: &str,
        response: &Response,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, Error> {
        let mut authorization = self.authorization.lock().await;
        if authorization.as_ref() != used {
            // Another request of this pull was first.
            return Ok(authorization.clone());
        }
        let headers = response.headers().get_all(WWW_AUTHENTICATE);
        let challenges = headers.iter().filter_map(|header| header.to_str().ok()).flat_map(challenge::parse);
        let is_secret = self.endpoint.base.scheme() == "https";
        let mut failed = None;
        for challenge in challenges {
            let found = match (&challenge, &self.credential) {
                // Credentials never go over http, for all on the way to read.
                (_, Some(_)) if !is_secret => {
                    return Err(Error::Status {
                        request: self.request(path),
                        status: response.status(),
                        reason:
                            "credentials are sent over https only, and this registry is reached over http"
                                .to_owned(),
                        retry_after: None,
                    });
                }
                (Challenge::Bearer { .. }, Some(Credential::Token(token))) => format!("Bearer {token}"),
                (Challenge::Bearer { realm, service, scope }, _) => {
                    match self.token(realm, service.as_deref(), scope.as_deref()).await {
                        Ok(token) => format!("Bearer {token}"),
                        // Another way in may be open.
                        Err(error) => {
                            failed.get_or_insert(error);
                            continue;
                        }
                    }
                }
                (Challenge::Basic, Some(Credential::Basic { username, password })) => {
                    basic(username, password)
                }
                (Challenge::Basic, _) => continue,
            };
            let mut found = HeaderValue::from_str(&found).map_err(|_| Error::Answer {
                request: self.request(path),
                reason: "a token that no header can hold".to_owned(),
            })?;
            found.set_sensitive(true);
            *authorization = Some(found);
            return Ok(authorization.clone());
        }
        failed.map_or(Ok(None), Err)
    }

    /// Asks a token service (<https://distribution.github.io/distribution/spec/auth/token/>).
    async fn token(&self, realm: &str, service: Option<&str>, scope: Option<&str>) -> Result<String, Error> {
        #[derive(Deserialize)]
        struct Token {
            token: Option<String>,
            access_token: Option<String>,
        }
        let is_fit = |url: &Url| {
            url.scheme() == "https" || url.scheme() == "http" && self.endpoint.base.scheme() == "http"
        };
        let Some(url) = realm.parse::<Url>().ok().filter(is_fit) else {
            let reason = format!("the token service {realm:?} is not reached over https");
            return Err(Error::Answer { request: get_of(&self.endpoint.base), reason });
        };
        let pull = format!("repository:{}:pull", self.repository);
        let scope = scope.unwrap_or(&pull);
        let service = service.map(|service| ("service", service));
        let mut failures = 0;
        let method = if matches!(self.credential, Some(Credential::Identity(_))) { "POST" } else { "GET" };
        let request = format!("{method} {}", plain(&url));
        let bytes = loop {
            let asked = match &self.credential {
                Some(Credential::Identity(token)) => {
                    let mut form = url.clone();
                    form.query_pairs_mut()
                        .clear()
                        .append_pair("scope", scope)
                        .extend_pairs(service)
                        .extend_pairs([
                            ("grant_type", "refresh_token"),
                            ("refresh_token", token),
                            ("client_id", "mkubelet"),
                        ]);
                    let body = form.query().unwrap_or_default().to_owned();
                    self.http
                        .post(url.clone())
                        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                        .body(body)
                }
                credential => {
                    let mut address = url.clone();
                    let scopes = scope.split_whitespace().map(|scope| ("scope", scope));
                    address.query_pairs_mut().extend_pairs(scopes).extend_pairs(service);
                    let asked = self.http.get(address);
                    match credential {
                        Some(Credential::Basic { username, password }) => {
                            asked.header(AUTHORIZATION, basic(username, password))
                        }
                        _ => asked,
                    }
                }
            };
            let answered = async {
                let response = asked.send().await.map_err(|error| failure(request.clone(), &error))?;
                let response = successful(&request, response).await?;
                body(response, MAX_WORDS, &request).await
            };
            match answered.await {
                Ok(bytes) => break bytes,
                Err(error) => self.wait(error, &mut failures).await?,
            }
        };
        let token: Option<Token> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let token =
            token.and_then(|token| token.token.or(token.access_token)).filter(|token| !token.is_empty());
        token.ok_or_else(|| Error::Answer { request, reason: "it gave no token".to_owned() })
    }

    async fn successful(&self, path: &str, response: Response) -> Result<Response, Error> {
        let request = if self.is_own(response.url()) { self.request(path) } else { get_of(response.url()) };
        successful(&request, response).await
    }
}

/// What the network said, on one line.
pub(super) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut causes: Vec<String> = Vec::new();
    for cause in std::iter::successors(Some(error), |error| error.source()) {
        let text = cause.to_string();
        // Each layer repeats what is below it, or says nothing of its own.
        if !causes.iter().any(|before| before.contains(&text)) {
            causes.push(text);
        }
    }
    causes.join(": ")
}

/// For an answer that does not come, or not whole.
pub(super) fn broken(request: String, error: reqwest::Error) -> Error {
    Error::Broken { request, reason: causes(&error.without_url()) }
}

fn failure(request: String, error: &reqwest::Error) -> Error {
    let source = std::error::Error::source(error);
    let reason = source.map_or_else(|| error.to_string(), causes);
    if error.is_connect() {
        Error::Unreachable { request, reason }
    } else {
        Error::Broken { request, reason }
    }
}

/// Method and address.
fn get_of(url: &Url) -> String {
    format!("GET {}", plain(url))
}

/// An address to be told. A query may be a secret: that of a redirect often is a signature.
fn plain(url: &Url) -> Url {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// The whole body; `None` when it has more than `limit` bytes.
async fn body(mut response: Response, limit: usize, request: &str) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| broken(request.to_owned(), error))? {
        if bytes.len() + piece.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}

/// The answer, if it is one of success; else the error, in the registry's own words.
async fn successful(request: &str, response: Response) -> Result<Response, Error> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after: Option<Duration> = header.and_then(|value| retry_after(value, Timestamp::now()));
    let bytes = body(response, MAX_WORDS, request).await.ok().flatten().unwrap_or_default();
    Err(Error::Status { request: request.to_owned(), status, reason: words(&bytes), retry_after })
}

/// What a registry says is wrong (<https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes>).
fn words(bytes: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Words {
        errors: Vec<Said>,
    }
    #[derive(Deserialize)]
    struct Said {
        code: String,
        #[serde(default)]
        message: String,
    }
    let words = serde_json::from_slice::<Words>(bytes).map(|words| words.errors).unwrap_or_default();
    let told = words.iter().map(|said| match said.message.as_str() {
        "" => said.code.clone(),
        message => format!("{}: {message}", said.code),
    });
    let told = told.collect::<Vec<_>>().join("; ");
    told.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_TOLD).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_one_short_line() {
        let long = format!(r#"{{"errors":[{{"code":"X","message":"{}"}}]}}"#, "a".repeat(9999));
        for (bytes, told) in [
            (
                r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
                "MANIFEST_UNKNOWN: manifest unknown",
            ),
            (r#"{"errors":[{"code":"A"},{"code":"B","message":"b\n\u001b[31m"}]}"#, "A; B: b  [31m"),
            ("<html>", ""),
            ("", ""),
        ] {
            assert_eq!(words(bytes.as_bytes()), told);
        }
        assert_eq!(words(long.as_bytes()).chars().count(), MAX_TOLD);
    }

    #[test]
    fn no_query_and_no_user_of_an_address_is_told() {
        let url = "https://me:secret@storage.example/blob?signature=secret#x".parse().unwrap();
        assert_eq!(get_of(&url), "GET https://storage.example/blob");
    }
}

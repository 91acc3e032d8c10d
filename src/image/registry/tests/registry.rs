//! The registry: serves what is put into it, by ranges too, writes down what it is asked, and does wrong when it is told to.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use jiff::Timestamp;
use oci_spec::image::Arch;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::pki::Authority;
use crate::api::tls::Port;
use crate::image::digest::Digest;
use crate::image::registry::Endpoint;
use crate::image::tests::Tar;

pub(super) const OCI: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.index.v1+json",
];

pub(super) const DOCKER: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// What a registry does once instead of answering.
#[derive(Clone)]
pub(super) enum Fault {
    /// A status with these headers, and a body.
    Status(u16, Vec<(&'static str, String)>, &'static str),
    /// Breaks off after so many bytes.
    Cut(usize),
    /// Says nothing more after so many bytes.
    Stall(usize),
    /// Ends as if that were all, after so many bytes.
    End(usize),
    /// Sends these bytes instead.
    Bytes(Vec<u8>),
    /// Knows nothing of ranges.
    Whole,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    /// Below `/v2/`, with the query.
    pub(super) path: String,
    pub(super) range: Option<String>,
    pub(super) authorization: Option<String>,
    /// What a POST brought along.
    pub(super) form: String,
}

pub(super) struct Registry {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    /// Of one that is reached over https.
    authority: Option<(TempDir, Vec<u8>)>,
}

#[derive(Default)]
struct Shared {
    files: Mutex<HashMap<String, (Vec<u8>, String)>>,
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
    asked: Mutex<Vec<Asked>>,
    /// `Authorization` without which nothing is told, and the challenge that is sent then.
    guard: Mutex<Option<(String, String)>>,
}

impl Registry {
    /// One that is reached over http.
    pub(super) async fn plain() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared::default());
        let (address, router) = (listener.local_addr().unwrap(), router(&shared));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, shared, authority: None }
    }

    /// One that is reached over https, with a certificate of its own authority.
    pub(super) async fn secure() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path(), Timestamp::now()).unwrap();
        let pem = authority.certificate_pem().as_bytes().to_vec();
        let port = Port::open("127.0.0.1:0".parse().unwrap(), "node", authority).await.unwrap();
        let shared = Arc::new(Shared::default());
        let (address, router) = (port.address().unwrap(), router(&shared));
        tokio::spawn(port.serve(router));
        Self { address, shared, authority: Some((directory, pem)) }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        let pem = self.authority.as_ref().map(|(_, pem)| pem.clone());
        let scheme = if pem.is_some() { "https" } else { "http" };
        let endpoint = Endpoint::at(&format!("{scheme}://{}", self.address)).unwrap();
        Endpoint { authorities: pem.into_iter().collect(), ..endpoint }
    }

    /// Serves bytes at a path below `/v2/`.
    pub(super) fn put(&self, path: &str, bytes: &[u8], media_type: &str) {
        self.shared.files.lock().unwrap().insert(path.to_owned(), (bytes.to_vec(), media_type.to_owned()));
    }

    pub(super) fn remove(&self, path: &str) {
        self.shared.files.lock().unwrap().remove(path).unwrap();
    }

    /// Does this to the next requests of a path, in turn.
    pub(super) fn fault(&self, path: &str, faults: &[Fault]) {
        self.shared.faults.lock().unwrap().insert(path.to_owned(), faults.to_vec().into());
    }

    /// From now on answers only with this `Authorization`, and else with this challenge; does not guard `/v2/token`.
    pub(super) fn guard(&self, authorization: &str, challenge: &str) {
        *self.shared.guard.lock().unwrap() = Some((authorization.to_owned(), challenge.to_owned()));
    }

    /// What has been asked so far, since the last time this was called.
    pub(super) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.shared.asked.lock().unwrap())
    }

    /// Likewise, of paths that begin so: the ranges.
    pub(super) fn asked_ranges(&self, path: &str) -> Vec<Option<String>> {
        let asked = self.asked().into_iter().filter(|asked| asked.path.starts_with(path));
        asked.map(|asked| asked.range).collect()
    }

    /// Serves a blob; gives its descriptor.
    pub(super) fn blob(&self, repository: &str, bytes: &[u8], media_type: &str) -> Value {
        let digest = Digest::of(bytes);
        self.put(&format!("{repository}/blobs/{digest}"), bytes, "application/octet-stream");
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Serves a manifest by its digest, and by a tag; gives its descriptor.
    pub(super) fn manifest(&self, repository: &str, tag: Option<&str>, manifest: &Value) -> Value {
        let (bytes, media_type) =
            (manifest.to_string().into_bytes(), manifest["mediaType"].as_str().unwrap());
        let digest = Digest::of(&bytes);
        for name in [Some(digest.to_string()), tag.map(str::to_owned)].into_iter().flatten() {
            self.put(&format!("{repository}/manifests/{name}"), &bytes, media_type);
        }
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// Serves an image of one layer, in which `/greeting` says something; gives its manifest.
    pub(super) fn image(&self, repository: &str, tag: Option<&str>, greeting: &str) -> Value {
        let tar = Tar::new().file("greeting", greeting).finish();
        let layers = [(OCI[2], crate::image::tests::gzip(&tar), Digest::of(&tar))];
        self.image_of(repository, tag, &OCI, &layers)
    }

    /// Serves an image of these layers: media type, blob, diff id.
    pub(super) fn image_of(
        &self,
        repository: &str,
        tag: Option<&str>,
        kinds: &[&str; 4],
        layers: &[(&str, Vec<u8>, Digest)],
    ) -> Value {
        let diff_ids: Vec<String> = layers.iter().map(|(_, _, diff_id)| diff_id.to_string()).collect();
        let config = json!({
            "architecture": Arch::default().to_string(),
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let layers: Vec<Value> =
            layers.iter().map(|(kind, blob, _)| self.blob(repository, blob, kind)).collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": kinds[0],
            "config": self.blob(repository, config.to_string().as_bytes(), kinds[1]),
            "layers": layers,
        });
        self.manifest(repository, tag, &manifest);
        manifest
    }
}

/// Where the first layer of a manifest is.
pub(super) fn layer_path(repository: &str, manifest: &Value) -> String {
    format!("{repository}/blobs/{}", manifest["layers"][0]["digest"].as_str().unwrap())
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(Arc::clone(shared))
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let form = String::from_utf8(axum::body::to_bytes(body, 4096).await.unwrap().to_vec()).unwrap();
    let path = request.uri.path_and_query().unwrap().as_str().strip_prefix("/v2/").unwrap().to_owned();
    let header = |name| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let (range, authorization) = (header(header::RANGE), header(header::AUTHORIZATION));
    let asked =
        Asked { path: path.clone(), range: range.clone(), authorization: authorization.clone(), form };
    shared.asked.lock().unwrap().push(asked);
    let path = path.split('?').next().unwrap().to_owned();

    if let Some((wanted, challenge)) = &*shared.guard.lock().unwrap()
        && authorization.as_ref() != Some(wanted)
        && path != "token"
    {
        let builder = Response::builder().status(401).header(header::WWW_AUTHENTICATE, challenge);
        return builder
            .body(Body::from(r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#))
            .unwrap();
    }
    let fault = shared.faults.lock().unwrap().get_mut(&path).and_then(VecDeque::pop_front);
    if let Some(Fault::Status(status, headers, body)) = fault {
        let builder = headers
            .iter()
            .fold(Response::builder().status(status), |b, (name, value)| b.header(*name, value));
        return builder.body(Body::from(body)).unwrap();
    }
    let Some((bytes, media_type)) = shared.files.lock().unwrap().get(&path).cloned() else {
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
        return Response::builder().status(404).body(Body::from(body)).unwrap();
    };
    let from: usize = range
        .as_ref()
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok())
        .unwrap_or(0);
    let (status, part) = match fault {
        Some(Fault::Whole) => (StatusCode::OK, &bytes[..]),
        _ if from > 0 => (StatusCode::PARTIAL_CONTENT, &bytes[from..]),
        _ => (StatusCode::OK, &bytes[..]),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, media_type.parse().unwrap());
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
        headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
    }
    let piece = |count: usize| Bytes::copy_from_slice(&part[..count]);
    let body = match fault {
        Some(Fault::Bytes(bytes)) => Body::from(bytes),
        Some(Fault::Cut(count)) => {
            headers.insert(header::CONTENT_LENGTH, part.len().into());
            let broken = stream::iter([Ok(piece(count)), Err(std::io::Error::other("cut"))]);
            // What is written and what breaks would else come in one.
            Body::from_stream(broken.then(|part| async {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                part
            }))
        }
        Some(Fault::Stall(count)) => {
            headers.insert(header::CONTENT_LENGTH, part.len().into());
            let first = stream::iter([Ok::<_, Infallible>(piece(count))]);
            Body::from_stream(first.chain(stream::pending()))
        }
        Some(Fault::End(count)) => Body::from_stream(stream::iter([Ok::<_, Infallible>(piece(count))])),
        _ => Body::from(part.to_vec()),
    };
    let mut response = Response::new(body);
    (*response.status_mut(), *response.headers_mut()) = (status, headers);
    response
}

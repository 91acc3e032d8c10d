//! One image, from a registry into the store.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{TryStreamExt, stream};
use oci_spec::image::{Arch, Descriptor};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};

use super::client::{CONTENT_DIGEST, Client, broken};
use super::credential::Credential;
use super::endpoint::Endpoint;
use super::error::Error;
use super::patience::Patience;
use crate::image::blobs::MAX_DOCUMENT;
use crate::image::digest::Digest;
use crate::image::downloads::Part;
use crate::image::manifest::{self, Kind, LayerInfo};
use crate::image::references::Pulled;
use crate::image::{self, Access, Reference, Store, Stored, unpack};

/// Manifests and indexes of OCI and of Docker.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

/// Whatever a blob is.
const BLOBS: &str = "application/octet-stream, */*";

/// Layers that are fetched at the same time, as Docker and containerd have it.
const AT_ONCE: usize = 3;

/// Indexes within indexes.
const MAX_DEPTH: usize = 4;

/// As much is written at once, bytes.
const PIECE: usize = 1 << 20;

/// Progress of at least so much, bytes, makes an earlier failure forgotten.
const GOOD_RUN: u64 = 1 << 20;

/// What is to be pulled, from where, and as whom.
#[derive(Debug)]
pub struct Pull {
    /// Where it goes.
    pub store: Store,
    /// Its name.
    pub reference: Reference,
    /// Who may have it, the first to be asked first; a mirror that fails is passed over.
    pub sources: Vec<Source>,
    /// How long, and how often.
    pub patience: Patience,
    /// How far it has come.
    pub progress: Arc<Progress>,
}

/// An endpoint, and who asks it.
#[derive(Debug)]
pub struct Source {
    /// Where.
    pub endpoint: Endpoint,
    /// To be tried in turn; nobody in particular when there are none.
    pub credentials: Vec<Grant>,
}

/// Somebody's credential.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The credential itself.
    pub credential: Credential,
    /// It is the node's own: what is pulled with it is everybody's on the node.
    pub is_nodes: bool,
}

/// How far a pull has come, for whoever watches.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
}

impl Progress {
    /// Bytes of layers that are there, and bytes of all; 0 and 0 before that is known.
    pub fn bytes(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }
}

impl Pull {
    /// Pulls the image. What has been downloaded when it fails, or is dropped, is where the next one goes on.
    pub async fn run(self) -> Result<Stored, Error> {
        let mut last = Error::Refused(format!("nobody is to be asked for {}", self.reference.repository()));
        let is_resolved = self.reference.digest().is_some();
        for source in self.sources.iter().filter(|source| is_resolved || source.endpoint.resolves) {
            match self.from(source).await {
                Ok(stored) => return Ok(stored),
                Err(error) => {
                    if source.endpoint.is_mirror {
                        tracing::info!(%error, mirror = source.endpoint.host(), "the mirror cannot help");
                    }
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn from(&self, source: &Source) -> Result<Stored, Error> {
        let endpoint = Arc::new(source.endpoint.clone());
        let mut grants = source.credentials.iter().map(Some).collect::<Vec<_>>();
        if grants.is_empty() {
            grants.push(None);
        }
        let mut last = None;
        for grant in grants {
            let credential = grant.map(|grant| grant.credential.clone());
            let client = Client::new(Arc::clone(&endpoint), &self.reference, credential, self.patience)?;
            match self.with(&client, grant).await {
                Err(error) if error.is_denied() => last = Some(error),
                other => return other,
            }
        }
        Err(last.unwrap_or_else(|| Error::Refused("nobody asked".to_owned())))
    }

    async fn with(&self, client: &Client, grant: Option<&Grant>) -> Result<Stored, Error> {
        let (digest, manifest) = self.manifest(client).await?;
        let what = format!("manifest {}", Digest::of(&manifest));
        let (id, size) = manifest::config(&manifest, &what)?;
        let config = self.config(client, &id, size).await?;
        let checked = manifest::check(&manifest, &config)?;

        let mut seen = HashSet::new();
        let layers: Vec<&LayerInfo> =
            checked.layers.iter().filter(|layer| seen.insert(layer.blob.hex())).collect();
        if let Some(layer) = layers.iter().find(|layer| layer.size > unpack::LIMITS.bytes) {
            let reason =
                format!("its size is {} bytes, and {} are allowed", layer.size, unpack::LIMITS.bytes);
            return Err(image::Error::Invalid { what: format!("layer {}", layer.blob), reason }.into());
        }
        self.progress.begin(layers.iter().map(|layer| layer.size).sum());
        let fetched = stream::iter(layers.into_iter().map(Ok));
        fetched.try_for_each_concurrent(AT_ONCE, |layer| self.layer(client, layer)).await?;

        let access = match grant {
            Some(Grant { credential, is_nodes: false }) => Access::Holders([credential.fingerprint()].into()),
            _ => Access::Everyone,
        };
        let (store, reference) = (self.store.clone(), self.reference.clone());
        let pulled = Pulled { digest, access };
        blocking(move || store.admit_pulled(&manifest, &config, &reference, pulled)).await
    }

    /// The manifest for this machine, and the digest of what the name means: of it, or of the index that lists it.
    ///
    /// What the name means is asked of the registry even where the store has it: only that tells who may have the image.
    async fn manifest(&self, client: &Client) -> Result<(Digest, Vec<u8>), Error> {
        let known = self.reference.digest().map(str::parse::<Digest>).transpose()?;
        let name = known
            .as_ref()
            .map_or_else(|| self.reference.tag().unwrap_or("latest").to_owned(), |digest| digest.to_string());
        let path = format!("manifests/{name}");
        let (mut manifest, headers) = client.document(&path, MANIFESTS, MAX_DOCUMENT as usize).await?;
        let digest = match known {
            Some(digest) => {
                manifest = check(manifest, &digest, "manifest")?;
                digest
            }
            None => {
                let digest = Digest::of(&manifest);
                if let Some(said) = said_digest(&headers).filter(|said| *said != digest) {
                    let reason = format!("it has the digest {digest}, and {said} by the registry");
                    return Err(Error::Answer { request: client.request(&path), reason });
                }
                digest
            }
        };
        for _ in 0..MAX_DEPTH {
            let what = format!("manifest {}", Digest::of(&manifest));
            match manifest::kind(&manifest, &what)? {
                Kind::Image => return Ok((digest, manifest)),
                Kind::Index => {
                    let chosen = choose(manifest::index(&manifest, &what)?)?;
                    let of_machine = manifest::digest(&chosen)?;
                    manifest = self.verified(client, &of_machine).await?;
                    if manifest.len() as u64 != chosen.size() {
                        let reason =
                            format!("it has {} bytes, and {} by the index", manifest.len(), chosen.size());
                        return Err(
                            image::Error::Invalid { what: format!("manifest {of_machine}"), reason }.into()
                        );
                    }
                }
            }
        }
        Err(Error::Refused(format!("the indexes of {} are nested too deeply", self.reference)))
    }

    /// A manifest or index that an index names, out of the store when it is anybody's there.
    async fn verified(&self, client: &Client, digest: &Digest) -> Result<Vec<u8>, Error> {
        let (store, known) = (self.store.clone(), digest.clone());
        if let Some(bytes) = blocking(move || Ok(store.public_document(&known))).await? {
            return Ok(bytes);
        }
        let path = format!("manifests/{digest}");
        let (bytes, _) = client.document(&path, MANIFESTS, MAX_DOCUMENT as usize).await?;
        check(bytes, digest, "manifest")
    }

    async fn config(&self, client: &Client, id: &Digest, size: u64) -> Result<Vec<u8>, Error> {
        let (store, known) = (self.store.clone(), id.clone());
        if let Some(bytes) = blocking(move || Ok(store.public_document(&known))).await? {
            return Ok(bytes);
        }
        let refuse =
            |reason: String| image::Error::Invalid { what: format!("image configuration {id}"), reason };
        if size > MAX_DOCUMENT {
            return Err(refuse(format!("its size is {size} bytes, and {MAX_DOCUMENT} are allowed")).into());
        }
        let (bytes, _) = client.document(&format!("blobs/{id}"), BLOBS, MAX_DOCUMENT as usize).await?;
        if bytes.len() as u64 != size {
            return Err(refuse(format!("it has {} bytes, and {size} by the manifest", bytes.len())).into());
        }
        check(bytes, id, "image configuration")
    }

    /// Sees to it that a layer's blob is there.
    async fn layer(&self, client: &Client, layer: &LayerInfo) -> Result<(), Error> {
        loop {
            let (downloads, digest, size) = (self.store.downloads().clone(), layer.blob.clone(), layer.size);
            let Some(part) = blocking(move || downloads.begin(&digest, size)).await? else {
                self.progress.add(layer.size);
                return Ok(());
            };
            let was_resumed = part.is_resumed();
            let part = self.receive(client, part, &format!("blobs/{}", layer.blob)).await?;
            let is_resumed = part.is_resumed();
            match blocking(move || part.finish()).await {
                // What another process had written was no good, and is gone now.
                Err(Error::Image(image::Error::Invalid { .. })) if was_resumed && is_resumed => {}
                finished => return finished,
            }
        }
    }

    /// Receives the rest of a blob, over as many connections as it takes while they bring something.
    async fn receive(&self, client: &Client, mut part: Part, path: &str) -> Result<Part, Error> {
        self.progress.add(part.have());
        let mut failures = 0;
        loop {
            let before = part.have();
            let broken;
            (part, broken) = self.receive_once(client, part, path).await?;
            let Some(error) = broken else { return Ok(part) };
            if part.have() >= before + GOOD_RUN {
                failures = 0;
            }
            client.wait(error, &mut failures).await?;
        }
    }

    /// Receives what one connection brings. The second is what ended it too early.
    async fn receive_once(
        &self,
        client: &Client,
        mut part: Part,
        path: &str,
    ) -> Result<(Part, Option<Error>), Error> {
        if part.have() == part.size() {
            return Ok((part, None));
        }
        let answered = client.get(path, BLOBS, part.have()).await;
        let mut response = match answered {
            Ok(response) => response,
            Err(Error::Status { status: StatusCode::RANGE_NOT_SATISFIABLE, request, .. })
                if part.have() > 0 =>
            {
                let reason = "it does not go on where it was left".to_owned();
                return Ok((self.restart(part).await?, Some(Error::Broken { request, reason })));
            }
            Err(error) if error.is_passing() => return Ok((part, Some(error))),
            Err(error) => return Err(error),
        };
        if !(response.status() == StatusCode::PARTIAL_CONTENT && begins_at(response.headers(), part.have()))
            && part.have() > 0
        {
            // It sends the whole.
            part = self.restart(part).await?;
        }
        let coming = response
            .headers()
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if coming.is_some_and(|coming| coming > part.size() - part.have()) {
            let reason = format!("it has more than {} bytes, its size by the manifest", part.size());
            return Err(Error::Answer { request: client.request(path), reason });
        }
        let mut pieces = Vec::new();
        let broken = loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    pieces.extend_from_slice(&piece);
                    if pieces.len() >= PIECE {
                        part = self.write(part, std::mem::take(&mut pieces)).await?;
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(broken(client.request(path), error)),
            }
        };
        part = self.write(part, pieces).await?;
        let broken = broken.or_else(|| {
            let reason = || format!("it ended after {} of {} bytes", part.have(), part.size());
            let is_short = part.have() < part.size();
            is_short.then(|| Error::Broken { request: client.request(path), reason: reason() })
        });
        Ok((part, broken))
    }

    async fn write(&self, part: Part, bytes: Vec<u8>) -> Result<Part, Error> {
        self.progress.add(bytes.len() as u64);
        blocking(move || part.write(&bytes)).await
    }

    async fn restart(&self, part: Part) -> Result<Part, Error> {
        self.progress.done.fetch_sub(part.have(), Ordering::Relaxed);
        blocking(move || part.restart()).await
    }
}

/// The one of an index that is for this machine.
fn choose(all: Vec<Descriptor>) -> Result<Descriptor, Error> {
    let none = || format!("none of its {} images is for linux/{}", all.len(), Arch::default());
    manifest::choose(&all).cloned().ok_or_else(|| Error::Refused(none()))
}

fn check(bytes: Vec<u8>, digest: &Digest, what: &str) -> Result<Vec<u8>, Error> {
    let found = Digest::of(&bytes);
    if found == *digest {
        return Ok(bytes);
    }
    let reason = format!("its bytes have the digest {found}");
    Err(image::Error::Invalid { what: format!("{what} {digest}"), reason }.into())
}

/// What the registry says the digest of its answer is, if that is of the kind we know.
fn said_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// True for `bytes 5-9/10` and 5.
fn begins_at(headers: &HeaderMap, at: u64) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
    range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()) == Some(at)
}

/// Does what blocks where that holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, image::Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(error) => Err(Error::Refused(error.to_string())),
    }
}

//! The content store: which image a name means, and where its layers are.
//!
//! ```text
//! <root-dir>/images/          0700, an OCI image layout
//!   oci-layout, index.json    names, see `references`
//!   blobs/sha256/<hex>        manifests, configurations, packed layers, see `blobs`
//!   layers/<chain id>/        unpacked layers, see `layers`
//!   downloads/                blobs on their way, without the lock, see `downloads`
//!   unpacking/                layers on their way, likewise, each with a lock of its own
//!   ingest/                   what else is being made; emptied by whoever takes the lock
//!   lock                      flock'ed by the one process that changes what has a name
//! ```
//!
//! Reading takes no lock: what is under a final name is complete, and index.json is replaced as a whole. Giving names and taking them
//! away does, for a moment, one process at a time; fetching and unpacking is done before. A process that dies leaves nothing but its part of
//! `ingest`, `downloads` and `unpacking`. An index.json that cannot be understood becomes
//! index.json.bad, and as long as that is there no image is removed for having no name.

mod inspect;
mod keep;
mod load;
mod prune;
mod save;

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::fcntl::Flock;
use oci_spec::image::Config;
use serde_json::{Value, json};

use super::blobs::Blobs;
use super::digest::{Digest, Digesting};
use super::downloads::Downloads;
use super::durable;
use super::error::Error;
use super::layers::{Held, Layers};
use super::manifest::{self, Checked, Compression};
use super::pods;
use super::reference::Reference;
use super::references::{self, Access, Entry, Name, Pulled};
use super::source::{self, Files, Offer, Source};
use super::unpack;

pub use inspect::{Details, Layer};
pub use prune::Pruned;
pub use save::Format;

/// An image that is ready to be started from.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    /// Digest of the image's configuration, `sha256:<hex>`.
    pub id: String,
    /// What the registry that it was pulled from knows it by: `registry/repository@sha256:<hex>`.
    pub repo_digest: Option<String>,
    /// The normalised name; or the source as it was written (`dir:/path`).
    pub reference: String,
    /// Directories, the topmost layer first; at least one. Never written to.
    pub layers: Vec<PathBuf>,
    /// Env, Entrypoint, Cmd, User, WorkingDir, StopSignal. Free of NULs; else as the image's author wrote it.
    pub config: Config,
    /// Who may use it without asking its registry; `None` when it was imported, or is read from its place.
    pub access: Option<Access>,
}

/// A row of [`Store::list`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The normalised name, or the source that an unnamed image was read from (`oci:/path`).
    pub reference: String,
    /// Digest of the image's configuration, `sha256:<hex>`.
    pub id: String,
    /// Bytes of its blobs.
    pub size: u64,
    /// Digest of its manifest; of a pulled image that which its registry knows it by, which may be an index's.
    pub digest: String,
    /// When it was made, if it says so.
    pub created: Option<Timestamp>,
    /// When it came into the store under this name.
    pub imported: Timestamp,
    /// It was imported or loaded: nobody can say where it could be had again.
    pub is_local: bool,
    /// Another image has its name now; this one is kept while a pod uses that name.
    pub replaced: bool,
}

impl Stored {
    /// The first twelve digits of the id, as people know them from other tools.
    pub fn short_id(&self) -> &str {
        let hex = self.id.strip_prefix("sha256:").unwrap_or(&self.id);
        hex.get(..12).unwrap_or(hex)
    }

    /// The name by the digest, `registry/repository@sha256:<hex>`; `None` for a source such as `oci:/path`.
    pub fn by_digest(&self) -> Option<String> {
        let reference: Reference = self.reference.parse().ok()?;
        Some(format!("{}@{}", reference.repository(), self.digest))
    }
}

/// Fewer digits of an id mean nothing.
const SHORTEST_ID: usize = 4;

/// Names of blobs and of layers, as the directories of the store have them.
#[derive(Debug, Default)]
struct Needed {
    blobs: HashSet<String>,
    layers: HashSet<String>,
}

/// An image whose blobs and layers are there, and held. It has no name yet.
struct Prepared {
    /// The names are to be put into this.
    entry: Entry,
    manifest: Vec<u8>,
    config: Vec<u8>,
    checked: Checked,
    _layers: Vec<Held>,
}

/// Images on disk. Several processes may use one store at the same time.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    ingest: PathBuf,
    /// Records of the pods that may use these images: `pods` beside the store.
    pods: PathBuf,
    blobs: Blobs,
    layers: Layers,
    downloads: Downloads,
}

impl Store {
    /// Opens the store in a directory, which is made (0700) when it is missing.
    pub fn open(dir: &Path) -> Result<Store, Error> {
        let ingest = dir.join("ingest");
        durable::make_directory(&ingest)?;
        let blobs = Blobs::open(dir, &ingest)?;
        let store = Store {
            downloads: Downloads::open(dir, &blobs)?,
            dir: dir.to_owned(),
            pods: dir.parent().unwrap_or(Path::new("/")).join("pods"),
            blobs,
            layers: Layers::open(dir, &ingest)?,
            ingest,
        };
        let header = dir.join("oci-layout");
        if !header.exists() {
            let _lock = store.lock()?;
            durable::write(&header, &store.ingest.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        }
        Ok(store)
    }

    /// The image of a name in the store (`nginx:1.14`), or of a source: `dir:/path`, `oci:/path`, `archive:/path.tar`.
    ///
    /// A directory is used as it is. A layout or an archive is imported on first use; later only its index, manifest
    /// and configuration are read. A pod's record must be written before its images are resolved: it keeps them.
    pub fn resolve(&self, image: &str) -> Result<Image, Error> {
        let name = Name::parse(image)?;
        match (&name, image.split_once(':')) {
            (Name::Source(_), Some(("dir", path))) => directory(image, Path::new(path)),
            (Name::Source(_), Some((_, path))) => self.resolve_source(image, Path::new(path)),
            _ => self.resolve_name(image, &name),
        }
    }

    /// Takes an image into the store under a name: from an OCI image layout, an archive, or a plain root directory.
    ///
    /// The image that had the name before stays as long as pods use the name.
    pub fn import(&self, source: &Path, name: &str) -> Result<Stored, Error> {
        let reference: Reference = name.parse()?;
        if reference.digest().is_some() {
            let reason = "an image is imported under a name and a tag; its digest is its own".to_owned();
            return Err(Error::Invalid { what: format!("image name {name:?}"), reason });
        }
        let reference = reference.to_string();
        match source::open(source)? {
            Source::Files(files) => {
                let offer = source::offer(files.as_ref())?;
                self.admit(files.as_ref(), offer, &reference)
            }
            Source::Directory => self.admit_directory(source, &reference),
        }
    }

    /// The blobs that are being pulled.
    pub(super) fn downloads(&self) -> &Downloads {
        &self.downloads
    }

    /// The manifest or configuration of an image that everybody on the node may have, if it is there and whole.
    ///
    /// What a private image's say has to be known to have the image: its layers are shared with whoever can name them.
    pub(super) fn public_document(&self, digest: &Digest) -> Option<Vec<u8>> {
        let is_public =
            |entry: &Entry| entry.pulled.as_ref().is_none_or(|pulled| pulled.access == Access::Everyone);
        let is_of = |entry: &Entry| {
            entry.manifest == *digest || self.checked(&entry.manifest).is_ok_and(|image| image.id == *digest)
        };
        if !self.blobs.has(digest) {
            return None;
        }
        let entries = references::read(&self.dir).ok()?;
        let known = entries.iter().any(|entry| is_public(entry) && is_of(entry));
        if known { self.blobs.document(digest).ok() } else { None }
    }

    /// Takes in an image whose blobs have been downloaded, under the name that it was asked for by.
    ///
    /// An image that is there already is granted to those who pulled it now, too.
    pub(super) fn admit_pulled(
        &self,
        manifest: &[u8],
        config: &[u8],
        reference: &Reference,
        pulled: Pulled,
    ) -> Result<Stored, Error> {
        let checked = manifest::check(manifest, config)?;
        let reference = reference.to_string();
        let known = |entries: &[Entry]| {
            let mut named = entries.iter().filter(|entry| !entry.replaced && entry.reference == reference);
            named.find(|entry| entry.manifest == checked.manifest).cloned()
        };
        let grant = |known: Option<&Entry>| match known.and_then(|entry| entry.pulled.clone()) {
            Some(before) => Pulled { access: before.access.or(pulled.access.clone()), ..pulled.clone() },
            None => pulled.clone(),
        };
        if let Some(entry) = known(&references::read(&self.dir)?)
            && entry.pulled == Some(grant(Some(&entry)))
            && self.is_unpacked(&checked)
        {
            return self.stored(&entry);
        }
        let prepared = self.prepare(manifest.to_vec(), config.to_vec())?;
        let lock = self.lock()?;
        let pulled = grant(known(&references::read(&self.dir)?).as_ref());
        let entry = Entry { reference, pulled: Some(pulled), ..prepared.entry.clone() };
        self.publish(lock, vec![prepared], vec![entry.clone()])?;
        self.stored(&entry)
    }

    /// What is in the store, by name. An image whose blobs are damaged is left out, and the log says so.
    pub fn list(&self) -> Result<Vec<Stored>, Error> {
        let mut entries = references::read(&self.dir)?;
        entries.sort_by(|a, b| {
            (&a.reference, a.replaced, a.imported).cmp(&(&b.reference, b.replaced, b.imported))
        });
        let readable = entries.iter().filter_map(|entry| match self.stored(entry) {
            Ok(stored) => Some(stored),
            Err(error) => {
                tracing::warn!(%error, image = entry.reference, "an image in the store is damaged; remove or import it again");
                None
            }
        });
        Ok(readable.collect())
    }

    /// Forgets a name, or all names of an image that is given by its id, and removes what no other image needs. Refused while a
    /// pod uses one of them.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let _lock = self.lock()?;
        let mut entries = references::read_to_change(&self.dir)?;
        let found: Vec<Entry> = self.find(&entries, name)?.into_iter().cloned().collect();
        let user = |found: &[Entry]| {
            pods::read(&self.pods).into_iter().find(|pod| found.iter().any(|entry| uses(pod, entry)))
        };
        if let Some(pod) = user(&found) {
            return Err(Error::InUse { image: name.to_owned(), pod: pod.name });
        }
        entries.retain(|entry| !found.contains(entry));
        self.replace_references(entries)?;
        if references::read(&self.dir)?.iter().any(|entry| found.contains(entry)) {
            let pod = user(&found).map(|pod| pod.name).unwrap_or_default();
            return Err(Error::InUse { image: name.to_owned(), pod });
        }
        Ok(())
    }

    /// What a person means: a name, or an image's id or the beginning of one, which may have several names.
    fn find<'e>(&self, entries: &'e [Entry], text: &str) -> Result<Vec<&'e Entry>, Error> {
        let name = Name::parse(text);
        let current = || entries.iter().filter(|entry| !entry.replaced);
        if let Some(named) = name.as_ref().ok().and_then(|name| current().find(|entry| name.matches(entry))) {
            return Ok(vec![named]);
        }
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut found: Vec<(Digest, &Entry)> = Vec::new();
        if digits.len() >= SHORTEST_ID
            && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        {
            // An image that is damaged has no id.
            let ids = current().filter_map(|entry| Some((self.checked(&entry.manifest).ok()?.id, entry)));
            found = ids.filter(|(id, _)| id.hex().starts_with(digits)).collect();
        }
        match found.first() {
            Some((first, _)) if found.iter().any(|(id, _)| id != first) => {
                let detail = "is the beginning of several images' ids".to_owned();
                Err(Error::NotFound { image: text.to_owned(), detail })
            }
            Some(_) => Ok(found.into_iter().map(|(_, entry)| entry).collect()),
            None => {
                name?;
                let detail = format!("is not in the store {}", self.dir.display());
                Err(Error::NotFound { image: text.to_owned(), detail })
            }
        }
    }

    fn resolve_name(&self, image: &str, name: &Name) -> Result<Image, Error> {
        let entries = references::read(&self.dir)?;
        let Some(entry) = entries.iter().find(|entry| !entry.replaced && name.matches(entry)) else {
            let store = self.dir.display();
            let import = format!("mkubelet image import LAYOUT_OR_DIR --name {image}");
            let detail = format!("is not in the store {store}; import one with: {import}");
            return Err(Error::NotFound { image: image.to_owned(), detail });
        };
        let access = entry.pulled.as_ref().map(|pulled| pulled.access.clone());
        let repo_digest = entry.repo_digest();
        let checked = self.checked(&entry.manifest)?;
        if !self.is_unpacked(&checked) {
            self.unpack(&checked)?;
            self.sweep();
        }
        Ok(Image { access, repo_digest, ..self.image(checked, &entry.reference) })
    }

    fn resolve_source(&self, image: &str, path: &Path) -> Result<Image, Error> {
        if !path.exists() {
            return Err(not_there(image, path));
        }
        let Source::Files(files) = source::open(path)? else {
            let reason =
                "it is not an OCI image layout; a plain directory is written as dir:/path".to_owned();
            return Err(Error::Source { path: path.to_owned(), reason });
        };
        let offer = source::offer(files.as_ref())?;
        if let Some(checked) = self.have(&offer, image)? {
            return Ok(self.image(checked, image));
        }
        let stored = self.admit(files.as_ref(), offer, image)?;
        self.resolve_name(image, &Name::Source(stored.reference))
    }

    /// What is offered, if it is in the store under that name, unpacked.
    fn have(&self, offer: &Offer, reference: &str) -> Result<Option<Checked>, Error> {
        let entries = references::read(&self.dir)?;
        let Some(entry) = entries.iter().find(|entry| !entry.replaced && entry.reference == reference) else {
            return Ok(None);
        };
        let checked = self.checked(&entry.manifest)?;
        let same = match offer {
            Offer::Oci { manifest, .. } => Digest::of(manifest) == checked.manifest,
            Offer::Docker { config, .. } => Digest::of(config) == checked.id,
        };
        Ok((same && self.is_unpacked(&checked)).then_some(checked))
    }

    /// Takes in what a layout or an archive offers.
    fn admit(&self, files: &dyn Files, offer: Offer, reference: &str) -> Result<Stored, Error> {
        self.copying(|copied| {
            let (manifest, config) = self.copy_blobs(files, offer, copied)?;
            self.complete(manifest, config, reference)
        })
    }

    /// Does what copies blobs. Those that nobody had go again when it fails.
    fn copying<T>(&self, work: impl FnOnce(&mut Vec<Digest>) -> Result<T, Error>) -> Result<T, Error> {
        let mut copied = Vec::new();
        let done = work(&mut copied);
        if done.is_err() {
            for digest in &copied {
                if let Err(error) = self.downloads.forget(digest) {
                    tracing::warn!(%error, store = %self.dir.display(), "what could not be taken in takes space for now");
                }
            }
        }
        done
    }

    /// Copies the layers of what a layout or an archive offers. Gives its manifest and its configuration.
    fn copy_blobs(
        &self,
        files: &dyn Files,
        offer: Offer,
        copied: &mut Vec<Digest>,
    ) -> Result<(Vec<u8>, Vec<u8>), Error> {
        match offer {
            Offer::Oci { manifest, config } => {
                for layer in manifest::check(&manifest, &config)?.layers {
                    if !self.downloads.has(&layer.blob)
                        && self.downloads.copy(source::blob(files, &layer.blob)?, &layer.blob, layer.size)?
                    {
                        copied.push(layer.blob);
                    }
                }
                Ok((manifest, config))
            }
            Offer::Docker { config, layers } => {
                let configuration = manifest::configuration(&config)?;
                let mut descriptors = Vec::new();
                for (number, name) in layers.into_iter().enumerate() {
                    let (mut file, size) = source::require(files, &name)?;
                    let mut start = Vec::new();
                    file.by_ref().take(4).read_to_end(&mut start).map_err(Error::invalid(&name))?;
                    let compression = Compression::detect(&start);
                    let (digest, size) = Digesting::new(start.as_slice().chain(file), size)
                        .read_over()
                        .map_err(Error::invalid(&name))?;
                    // One that is unpacked already, from elsewhere, is looked at no more.
                    let expected = configuration.rootfs().diff_ids().get(number);
                    if compression == Compression::None
                        && let Some(expected) = expected.filter(|expected| **expected != digest.to_string())
                    {
                        let reason =
                            format!("its digest is {digest}, and {expected} by the image configuration");
                        return Err(Error::Invalid { what: format!("layer {name}"), reason });
                    }
                    if self.downloads.copy(source::require(files, &name)?.0, &digest, size)? {
                        copied.push(digest.clone());
                    }
                    descriptors.push(descriptor(compression.media_type(), &digest, size));
                }
                Ok((manifest_of(&config, &descriptors), config))
            }
        }
    }

    /// Takes in a plain directory.
    fn admit_directory(&self, source: &Path, reference: &str) -> Result<Stored, Error> {
        let failed = |action| Error::io(action, &self.dir);
        let mut packed = durable::unnamed(&self.dir)?;
        source::write_layer(source, std::io::BufWriter::new(&packed))?;
        packed.rewind().map_err(failed("read a file in"))?;
        let (digest, size) =
            Digesting::new(&packed, unpack::LIMITS.bytes).read_over().map_err(failed("read a file in"))?;
        packed.rewind().map_err(failed("read a file in"))?;
        // Not compressed: the blob is the archive, so its digest is the diff id.
        let config = source::directory_config(&digest);
        let layer = descriptor(Compression::None.media_type(), &digest, size);
        self.copying(|copied| {
            if self.downloads.copy(packed, &digest, size)? {
                copied.push(digest);
            }
            self.complete(manifest_of(&config, &[layer]), config, reference)
        })
    }

    /// Unpacks an image whose layers' blobs are there, and gives it its name.
    fn complete(&self, manifest: Vec<u8>, config: Vec<u8>, reference: &str) -> Result<Stored, Error> {
        let prepared = self.prepare(manifest, config)?;
        let entry = Entry { reference: reference.to_owned(), ..prepared.entry.clone() };
        self.publish(self.lock()?, vec![prepared], vec![entry.clone()])?;
        self.stored(&entry)
    }

    /// Unpacks an image whose layers' blobs are there. It has no name yet.
    fn prepare(&self, manifest: Vec<u8>, config: Vec<u8>) -> Result<Prepared, Error> {
        let checked = manifest::check(&manifest, &config)?;
        let layers = self.unpack(&checked)?;
        let entry = Entry {
            reference: String::new(),
            manifest: checked.manifest.clone(),
            size: manifest.len() as u64,
            imported: Timestamp::now(),
            replaced: false,
            pulled: None,
        };
        Ok(Prepared { entry, manifest, config, checked, _layers: layers })
    }

    /// Takes images that are prepared into the store, under the names of these entries.
    fn publish(&self, lock: Flock<File>, images: Vec<Prepared>, entries: Vec<Entry>) -> Result<(), Error> {
        for image in &images {
            for layer in &image.checked.layers {
                self.downloads.take_in(&layer.blob)?;
            }
            self.blobs.add_document(&image.config)?;
            self.blobs.add_document(&image.manifest)?;
        }
        self.add_names(entries)?;
        drop((lock, images));
        // Their locks serve nobody any more.
        self.sweep();
        Ok(())
    }

    /// Removes what is left of unpacking. That it cannot be removed now is no failure of what was asked for.
    fn sweep(&self) {
        if let Err(error) = self.layers.sweep() {
            tracing::warn!(%error, store = %self.dir.display(), "cannot remove what unpacking has left");
        }
    }

    /// Gives images that are there their names, all at once. An image that had one of them before has it no more.
    fn add_names(&self, new: Vec<Entry>) -> Result<(), Error> {
        let mut entries = references::read_to_change(&self.dir)?;
        for entry in new {
            entries.retain(|other| other.reference != entry.reference || other.manifest != entry.manifest);
            for other in entries.iter_mut().filter(|other| other.reference == entry.reference) {
                other.replaced = true;
            }
            entries.push(entry);
        }
        self.replace_references(entries)
    }

    /// Writes the names, without those that were replaced and serve nobody, and removes what nothing refers to.
    fn replace_references(&self, mut entries: Vec<Entry>) -> Result<(), Error> {
        if entries.iter().any(|entry| entry.replaced) {
            let pods = pods::read(&self.pods);
            entries.retain(|entry| !entry.replaced || pods.iter().any(|pod| uses(pod, entry)));
        }
        let is_kept = |old: &Entry| {
            entries.iter().any(|new| new.reference == old.reference && new.manifest == old.manifest)
        };
        let mut gone = references::read(&self.dir)?;
        gone.retain(|old| !is_kept(old));
        self.write_names(&mut entries, gone)?;

        if references::is_incomplete(&self.dir) {
            // What the damaged index named may be in use.
            return Ok(());
        }
        if let Err(error) = self.remove_unreferenced(&entries) {
            // The names are what was asked for; what is left takes space, and goes with a later change.
            tracing::warn!(%error, store = %self.dir.display(), "cannot remove what no image needs any more");
        }
        Ok(())
    }

    fn remove_unreferenced(&self, entries: &[Entry]) -> Result<(), Error> {
        let needed = self.needed(entries)?;
        self.layers.retain(|name| needed.layers.contains(name))?;
        self.blobs.retain(|name| needed.blobs.contains(name))?;
        self.downloads.sweep()
    }

    /// What these images are made of.
    fn needed(&self, entries: &[Entry]) -> Result<Needed, Error> {
        let mut needed = Needed::default();
        for entry in entries {
            let checked = self.checked(&entry.manifest)?;
            needed.blobs.extend([checked.manifest.hex().to_owned(), checked.id.hex().to_owned()]);
            for layer in &checked.layers {
                needed.blobs.insert(layer.blob.hex().to_owned());
                needed.layers.insert(layer.chain_id.hex().to_owned());
            }
        }
        Ok(needed)
    }

    /// Reads a stored image's documents.
    fn checked(&self, manifest: &Digest) -> Result<Checked, Error> {
        let bytes = self.blobs.document(manifest)?;
        let config =
            self.blobs.document(&manifest::config_digest(&bytes, &format!("manifest {manifest}"))?)?;
        manifest::check(&bytes, &config)
    }

    fn is_unpacked(&self, image: &Checked) -> bool {
        image.layers.iter().all(|layer| self.layers.has(layer))
    }

    /// Sees to it that an image's layers are there. Whoever waits for one holds those below it alone, so no two wait for each other.
    fn unpack(&self, image: &Checked) -> Result<Vec<Held>, Error> {
        let (mut below, mut held) = (Vec::new(), Vec::new());
        for layer in &image.layers {
            held.push(self.layers.provide(layer, &below, || self.downloads.open_blob(&layer.blob))?);
            below.insert(0, self.layers.path(layer));
        }
        Ok(held)
    }

    fn image(&self, checked: Checked, reference: &str) -> Image {
        self.mark_used(&checked.manifest);
        Image {
            id: checked.id.to_string(),
            reference: reference.to_owned(),
            layers: checked.layers.iter().rev().map(|layer| self.layers.path(layer)).collect(),
            config: checked.config,
            repo_digest: None,
            access: None,
        }
    }

    fn stored(&self, entry: &Entry) -> Result<Stored, Error> {
        let checked = self.checked(&entry.manifest)?;
        let layers: u64 = checked.layers.iter().map(|layer| layer.size).sum();
        let of_registry = entry.pulled.as_ref().map(|pulled| pulled.digest.to_string());
        Ok(Stored {
            reference: entry.reference.clone(),
            size: entry.size + self.blobs.size(&checked.id)? + layers,
            id: checked.id.to_string(),
            digest: of_registry.unwrap_or_else(|| entry.manifest.to_string()),
            created: checked.created,
            imported: entry.imported,
            is_local: entry.is_local(),
            replaced: entry.replaced,
        })
    }

    /// Waits until no other process changes the store, and removes what a process that died left behind.
    fn lock(&self) -> Result<Flock<File>, Error> {
        let lock = durable::lock(&self.dir.join("lock"))?;
        for name in durable::names(&self.ingest)? {
            durable::remove(&self.ingest.join(name))?;
        }
        self.sweep();
        Ok(lock)
    }
}

/// A directory of the host as the only layer: nothing is copied, and nothing is known about it.
fn directory(image: &str, path: &Path) -> Result<Image, Error> {
    if !path.exists() {
        return Err(not_there(image, path));
    }
    if !path.is_dir() {
        return Err(Error::Source { path: path.to_owned(), reason: "it is not a directory".to_owned() });
    }
    if ["oci-layout", "index.json"].iter().all(|file| path.join(file).is_file()) {
        let reason =
            format!("it is an OCI image layout, not a root filesystem: write oci:{}", path.display());
        return Err(Error::Source { path: path.to_owned(), reason });
    }
    Ok(Image {
        id: Digest::of(b"{}").to_string(),
        reference: image.to_owned(),
        layers: vec![path.to_owned()],
        config: Config::default(),
        repo_digest: None,
        access: None,
    })
}

fn not_there(image: &str, path: &Path) -> Error {
    let detail = format!("is not there: {} does not exist on this machine", path.display());
    Error::NotFound { image: image.to_owned(), detail }
}

fn uses(pod: &pods::Pod, entry: &Entry) -> bool {
    pod.images.iter().any(|image| Name::parse(image).is_ok_and(|name| name.matches(entry)))
}

fn descriptor(media_type: &str, digest: &Digest, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest.to_string(), "size": size})
}

/// The manifest of an image that came without one.
fn manifest_of(config: &[u8], layers: &[Value]) -> Vec<u8> {
    let media_type = "application/vnd.oci.image.config.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor(media_type, &Digest::of(config), config.len() as u64),
        "layers": layers,
    });
    manifest.to_string().into_bytes()
}

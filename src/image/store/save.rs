//! Saving: images as other tools load them. The same images give the same bytes, whenever they came into the store.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use oci_spec::image::ANNOTATION_REF_NAME;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::super::source::CONTAINERD_NAME;
use super::super::{durable, manifest, references};
use super::{Digest, Entry, Error, Reference, Store};
use crate::image::digest::Digesting;

/// What is made of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A tar archive of an OCI image layout.
    OciArchive,
    /// A tar archive as `docker save` writes it.
    DockerArchive,
}

/// What an archive or a layout has in it.
struct Content {
    /// Small files, by their names.
    documents: BTreeMap<&'static str, Vec<u8>>,
    /// Blobs with their sizes; one that several images have is there once.
    blobs: BTreeMap<Digest, u64>,
}

impl Store {
    /// Writes images as an archive. An image that is given by its id has no name in it. `path` is what errors call `output`.
    pub fn save(
        &self,
        names: &[String],
        format: Format,
        output: impl Write,
        path: &Path,
    ) -> Result<(), Error> {
        let content = self.content(names, format)?;
        let mut archive = Builder::new(output);
        for (name, bytes) in &content.documents {
            archive
                .append(&header(name, bytes.len() as u64)?, bytes.as_slice())
                .map_err(Error::io("write", path))?;
        }
        for (digest, size) in &content.blobs {
            let mut blob = Checked::open(self, digest, *size)?;
            let header = header(&format!("blobs/sha256/{}", digest.hex()), *size)?;
            archive.append(&header, &mut blob).map_err(|error| blob.failed(error, path))?;
            blob.finish()?;
        }
        archive.into_inner().and_then(|mut output| output.flush()).map_err(Error::io("write", path))
    }

    /// Writes images as an OCI image layout to a directory, which is made, or is empty. What was written goes again when that fails.
    pub fn save_layout(&self, names: &[String], directory: &Path) -> Result<(), Error> {
        let content = self.content(names, Format::OciArchive)?;
        let made = match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(Error::io("create", directory)(error)),
        };
        if fs::read_dir(directory).map_err(Error::io("list", directory))?.next().is_some() {
            return Err(Error::io("write", directory)(io::Error::from(io::ErrorKind::DirectoryNotEmpty)));
        }
        let written = self.write_layout(&content, directory);
        if written.is_err() {
            // The error is what counts; a directory that cannot be emptied is seen.
            let _ = if made { durable::remove(directory) } else { empty(directory, &content) };
        }
        written
    }

    fn write_layout(&self, content: &Content, directory: &Path) -> Result<(), Error> {
        let blobs = directory.join("blobs/sha256");
        durable::make_directory(&blobs)?;
        for (digest, size) in &content.blobs {
            let path = blobs.join(digest.hex());
            let mut blob = Checked::open(self, digest, *size)?;
            let mut file = File::create_new(&path).map_err(Error::io("create", &path))?;
            io::copy(&mut blob, &mut file).map_err(|error| blob.failed(error, &path))?;
            blob.finish()?;
        }
        // The index comes last: without it there is no layout.
        for (name, bytes) in content.documents.iter().rev() {
            let path = directory.join(name);
            fs::write(&path, bytes).map_err(Error::io("write", &path))?;
        }
        Ok(())
    }

    fn content(&self, names: &[String], format: Format) -> Result<Content, Error> {
        let entries = references::read(&self.dir)?;
        // Images by their manifests, each with the names that it is to have.
        let mut images: BTreeMap<&Digest, BTreeSet<String>> = BTreeMap::new();
        for name in names {
            for entry in self.find(&entries, name)? {
                images.entry(&entry.manifest).or_default().extend(name_of(entry));
            }
        }
        let (mut blobs, mut index, mut saved) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (digest, names) in images {
            let manifest = self.blobs.document(digest)?;
            let checked = self.checked(digest)?;
            let config = self.blobs.document(&checked.id)?;
            blobs.insert(checked.id.clone(), config.len() as u64);
            blobs.extend(checked.layers.iter().map(|layer| (layer.blob.clone(), layer.size)));
            match format {
                Format::OciArchive => {
                    blobs.insert(digest.clone(), manifest.len() as u64);
                    index.extend(descriptors(&manifest, &config, &names)?);
                }
                Format::DockerArchive => {
                    let path = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
                    let layers: Vec<String> = checked.layers.iter().map(|layer| path(&layer.blob)).collect();
                    saved.push(json!({"Config": path(&checked.id), "RepoTags": names, "Layers": layers}));
                }
            }
        }
        let documents = match format {
            Format::OciArchive => {
                let index = json!({
                    "schemaVersion": 2,
                    "mediaType": "application/vnd.oci.image.index.v1+json",
                    "manifests": index,
                });
                let header = json!({"imageLayoutVersion": "1.0.0"}).to_string();
                [("index.json", index.to_string()), ("oci-layout", header)].into()
            }
            Format::DockerArchive => BTreeMap::from([("manifest.json", Value::from(saved).to_string())]),
        };
        let documents = documents.into_iter().map(|(name, text)| (name, text.into_bytes())).collect();
        Ok(Content { documents, blobs })
    }
}

/// The name of an image, if it is one that other tools understand.
fn name_of(entry: &Entry) -> Option<String> {
    entry.reference.parse::<Reference>().ok().filter(|name| name.tag().is_some()).map(|name| name.to_string())
}

/// An image in an index: once for each of its names, with the annotations that podman, containerd and docker look for.
fn descriptors(manifest: &[u8], config: &[u8], names: &BTreeSet<String>) -> Result<Vec<Value>, Error> {
    let platform = manifest::configuration(config)?;
    let plain = json!({
        "mediaType": manifest::media_type(manifest)?,
        "digest": Digest::of(manifest).to_string(),
        "size": manifest.len(),
        "platform": {"architecture": platform.architecture().to_string(), "os": platform.os().to_string()},
    });
    let named = |name: &String| {
        let mut descriptor = plain.clone();
        descriptor["annotations"] = json!({CONTAINERD_NAME: name, ANNOTATION_REF_NAME: name});
        descriptor
    };
    Ok(if names.is_empty() { vec![plain] } else { names.iter().map(named).collect() })
}

/// A member of an archive: nobody's, of no time.
fn header(name: &str, size: u64) -> Result<Header, Error> {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_path(name).map_err(Error::invalid(name))?;
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header)
}

/// Takes away what a failed save wrote into a directory that was there before.
fn empty(directory: &Path, content: &Content) -> Result<(), Error> {
    let names = content.documents.keys().copied().chain(["blobs"]);
    names.into_iter().try_for_each(|name| durable::remove(&directory.join(name)))
}

/// A blob of the store that is checked while it is read: what is saved is what came in.
struct Checked<'d> {
    digest: &'d Digest,
    size: u64,
    blob: Digesting<File>,
    /// The blob itself could not be read.
    has_failed: bool,
}

impl<'d> Checked<'d> {
    fn open(store: &Store, digest: &'d Digest, size: u64) -> Result<Self, Error> {
        let blob = store.blobs.open_blob(digest)?;
        let found = blob.metadata().map_err(Error::io("look at", &store.blobs.path(digest)))?.len();
        let checked = Self { digest, size, blob: Digesting::new(blob, size), has_failed: false };
        if found == size { Ok(checked) } else { Err(checked.damaged(format!("it has {found} bytes"))) }
    }

    fn finish(self) -> Result<(), Error> {
        let (digest, size) = (self.digest, self.size);
        let fail = |reason: String| Err(Error::Invalid { what: format!("blob {digest}"), reason });
        match self.blob.finish() {
            (_, found) if found != size => fail(format!("it has {found} bytes, and {size} by the manifest")),
            (found, _) if found != *digest => fail(format!("its bytes have the digest {found}")),
            _ => Ok(()),
        }
    }

    /// Whether reading or writing went wrong.
    fn failed(&self, error: io::Error, output: &Path) -> Error {
        if self.has_failed { self.damaged(error.to_string()) } else { Error::io("write", output)(error) }
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Invalid { what: format!("blob {}", self.digest), reason }
    }
}

impl Read for Checked<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.blob.read(buffer).inspect_err(|_| self.has_failed = true)
    }
}

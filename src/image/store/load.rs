//! Loading: all images of a layout or an archive, under the names that they have there.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use super::super::source::{self, Files, Named, Offer};
use super::super::{manifest, references};
use super::{Digest, Entry, Error, Reference, Store, Stored};

impl Store {
    /// Takes in what is at a path: an archive of `docker save` or of an OCI image layout, compressed or not, or such a layout.
    ///
    /// All its images are there afterwards, or none. `name` stands for what the source calls its only image.
    pub fn load(&self, path: &Path, name: Option<&str>) -> Result<Vec<Stored>, Error> {
        let files = source::open_to_load(path, &self.dir)?;
        self.load_files(files.as_ref(), name)
    }

    /// Likewise an archive that comes as a stream, which errors call `origin`.
    pub fn load_from(
        &self,
        stream: impl Read,
        origin: &Path,
        name: Option<&str>,
    ) -> Result<Vec<Stored>, Error> {
        let files = source::receive(stream, origin, &self.dir)?;
        self.load_files(files.as_ref(), name)
    }

    fn load_files(&self, files: &dyn Files, name: Option<&str>) -> Result<Vec<Stored>, Error> {
        let images = named(source::all(files)?, name, files.origin())?;
        for (_, offer) in &images {
            if let Offer::Oci { manifest, config } = offer {
                manifest::check(manifest, config)?;
            }
        }
        let loaded = self.copying(|copied| self.take_in(files, images, copied));
        if loaded.is_err() && !references::is_incomplete(&self.dir) {
            // What was complete of it is no use to anybody.
            let tidied = self.lock().and_then(|_lock| {
                references::read(&self.dir).and_then(|entries| self.remove_unreferenced(&entries))
            });
            if let Err(error) = tidied {
                tracing::warn!(%error, store = %self.dir.display(), "what could not be loaded takes space for now");
            }
        }
        loaded
    }

    fn take_in(
        &self,
        files: &dyn Files,
        images: Vec<(Vec<String>, Offer)>,
        copied: &mut Vec<Digest>,
    ) -> Result<Vec<Stored>, Error> {
        let (mut prepared, mut entries) = (Vec::new(), Vec::new());
        for (names, offer) in images {
            let (manifest, config) = self.copy_blobs(files, offer, copied)?;
            let image = self.prepare(manifest, config)?;
            entries.extend(names.into_iter().map(|reference| Entry { reference, ..image.entry.clone() }));
            prepared.push(image);
        }
        self.publish(self.lock()?, prepared, entries.clone())?;
        entries.iter().map(|entry| self.stored(entry)).collect()
    }
}

/// Gives each image its normalised names.
fn named(images: Vec<Named>, name: Option<&str>, origin: &Path) -> Result<Vec<(Vec<String>, Offer)>, Error> {
    let refuse = |reason: String| Error::Source { path: origin.to_owned(), reason };
    if name.is_some() && images.len() != 1 {
        return Err(refuse(format!("it has {} images, and one name was given", images.len())));
    }
    let mut taken: HashMap<String, usize> = HashMap::new();
    let mut found = Vec::new();
    for (number, Named { names, tag, offer }) in images.into_iter().enumerate() {
        let written = name.map_or(names, |name| vec![name.to_owned()]);
        let mut references = Vec::new();
        for text in written {
            let reference: Reference = text.parse()?;
            if reference.digest().is_some() {
                let reason = "an image is loaded under a name and a tag; its digest is its own".to_owned();
                return Err(Error::Invalid { what: format!("image name {text:?}"), reason });
            }
            let reference = reference.to_string();
            match taken.insert(reference.clone(), number) {
                None => references.push(reference),
                Some(other) if other == number => {}
                Some(_) => return Err(refuse(format!("two of its images are called {reference}"))),
            }
        }
        if references.is_empty() {
            let only = tag.map(|tag| format!(", only the tag {tag:?}")).unwrap_or_default();
            return Err(refuse(format!("an image in it has no name{only}; give it one with --name")));
        }
        found.push((references, offer));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(names: &[&str], tag: Option<&str>) -> Named {
        let offer = Offer::Docker { config: Vec::new(), layers: Vec::new() };
        Named {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            tag: tag.map(str::to_owned),
            offer,
        }
    }

    #[test]
    fn images_have_the_names_of_their_archive_or_the_one_that_is_given() {
        let tell = |images: Vec<Named>, name: Option<&str>| {
            let found = named(images, name, Path::new("a.tar")).map_err(|error| error.to_string())?;
            let names = found.into_iter().map(|(names, _)| names.join("+"));
            Ok::<_, String>(names.collect::<Vec<_>>().join(" "))
        };
        let (a, b) = (|| image(&["a", "a:latest", "host:1/a:2"], None), || image(&["b:1"], None));
        let refused = |reason: &str| Err(format!("cannot read an image from a.tar: {reason}"));
        assert_eq!(
            tell(vec![a(), b()], None),
            Ok("docker.io/library/a:latest+host:1/a:2 docker.io/library/b:1".to_owned())
        );
        assert_eq!(tell(vec![a()], Some("c")), Ok("docker.io/library/c:latest".to_owned()));
        assert_eq!(tell(vec![image(&[], None)], Some("c:1")), Ok("docker.io/library/c:1".to_owned()));
        assert_eq!(tell(vec![a(), b()], Some("c")), refused("it has 2 images, and one name was given"));
        assert_eq!(tell(vec![b(), b()], None), refused("two of its images are called docker.io/library/b:1"));
        assert_eq!(
            tell(vec![image(&[], Some("v1"))], None),
            refused("an image in it has no name, only the tag \"v1\"; give it one with --name")
        );
        assert_eq!(
            tell(vec![image(&[], None)], None),
            refused("an image in it has no name; give it one with --name")
        );
        assert!(tell(vec![image(&["A"], None)], None).unwrap_err().starts_with("invalid image name \"A\""));
        let by_digest = format!("a@sha256:{}", "0".repeat(64));
        assert!(tell(vec![image(&[&by_digest], None)], None).unwrap_err().ends_with("its digest is its own"));
    }
}

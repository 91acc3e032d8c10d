//! The file of the objects: one redb database, `objects.redb`.
//!
//! Its format has a version of its own (table `meta`). A file that is damaged, or of another version, is renamed and a new one begun: what it said is not
//! guessed at.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::{Durability, Entry, Error, Key, Quarantined};
use crate::api::object::Object;
use crate::failpoint;

/// By `RESOURCE/NAMESPACE/NAME`: none of the three has a slash.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
/// Of what is in these tables.
const VERSION: u64 = 1;
/// Bytes of pages that are kept in memory, where everything is anyway.
const CACHE: usize = 256 << 10;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The open file.
pub(super) struct Disk {
    path: PathBuf,
    /// Nothing after a failure, until it could be opened again.
    database: Option<Database>,
    unflushed: bool,
}

/// Objects of the file.
pub(super) type Objects = BTreeMap<Key, Arc<Entry>>;

impl Disk {
    /// Opens the file, or begins a new one, if need be after setting aside what cannot be trusted.
    pub(super) fn open(dir: &Path) -> Result<(Self, Objects, Option<Quarantined>), Error> {
        let failed = |action: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source: Failure| Error::Disk { action, path, source }
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|error| failed("create", dir)(error.into()))?;
        let path = dir.join("objects.redb");
        let mut quarantined = None;
        if path.exists() {
            match read_whole(&path) {
                Ok((database, objects)) => {
                    return Ok((Self { path, database: Some(database), unflushed: false }, objects, None));
                }
                Err(Unreadable::Busy(error)) => return Err(failed("open", &path)(error)),
                Err(Unreadable::Damaged(reason)) => {
                    quarantined = Some(set_aside(&path, reason).map_err(|e| failed("set aside", &path)(e))?);
                }
            }
        }
        let database = create(&path).map_err(failed("create", &path))?;
        Ok((Self { path, database: Some(database), unflushed: false }, Objects::new(), quarantined))
    }

    /// Writes an object, or removes it.
    pub(super) fn write(
        &mut self,
        key: &Key,
        entry: Option<&Entry>,
        durability: Durability,
    ) -> Result<(), Error> {
        self.try_write(key, entry, durability).map_err(|error| self.failed("write", error))?;
        self.unflushed = durability == Durability::Soon;
        Ok(())
    }

    /// Makes everything that was written survive the loss of power.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.unflushed {
            failpoint::reached("objects.flushing");
            let flush = || -> Result<(), redb::Error> { Ok(self.database()?.begin_write()?.commit()?) };
            flush().map_err(|error| self.failed("flush", error))?;
            failpoint::reached("objects.flushed");
            self.unflushed = false;
        }
        Ok(())
    }

    /// After a failure: the file is opened again and brought to what memory has. Fails when that is not possible yet.
    pub(super) fn start_over<'a>(&mut self, objects: impl Iterator<Item = &'a Entry>) -> Result<(), Error> {
        self.database = None;
        let again = || -> Result<Database, redb::Error> {
            let database = open(&self.path)?;
            let transaction = database.begin_write()?;
            transaction.delete_table(OBJECTS)?;
            {
                let mut table = transaction.open_table(OBJECTS)?;
                for entry in objects {
                    table.insert(entry.key.to_string().as_str(), &entry.json[..])?;
                }
            }
            transaction.commit()?;
            Ok(database)
        };
        self.database = Some(again().map_err(|error| self.failed("open again", error))?);
        self.unflushed = false;
        Ok(())
    }

    /// Nothing can be written before it starts over.
    pub(super) fn is_closed(&self) -> bool {
        self.database.is_none()
    }

    fn try_write(&self, key: &Key, entry: Option<&Entry>, durability: Durability) -> Result<(), redb::Error> {
        let mut transaction = self.database()?.begin_write()?;
        transaction.set_durability(match durability {
            Durability::PowerLoss => redb::Durability::Immediate,
            Durability::Soon => redb::Durability::None,
        })?;
        {
            let mut table = transaction.open_table(OBJECTS)?;
            let key = key.to_string();
            match entry {
                Some(entry) => table.insert(key.as_str(), &entry.json[..])?,
                None => table.remove(key.as_str())?,
            };
        }
        failpoint::reached("objects.written");
        transaction.commit()?;
        failpoint::reached("objects.committed");
        Ok(())
    }

    fn database(&self) -> Result<&Database, redb::Error> {
        let closed = || io::Error::other("it failed before and could not be opened again").into();
        self.database.as_ref().ok_or_else(closed)
    }

    fn failed(&self, action: &'static str, source: redb::Error) -> Error {
        Error::of_disk(action, &self.path, source.into())
    }
}

/// Why a file cannot be used.
enum Unreadable {
    /// It is fine, as far as anyone can tell.
    Busy(Failure),
    Damaged(String),
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}

fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    builder().open(path)
}

fn create(path: &Path) -> Result<Database, Failure> {
    let database = builder().create(path)?;
    failpoint::reached("objects.created");
    let transaction = database.begin_write()?;
    transaction.open_table(META)?.insert("version", VERSION)?;
    transaction.open_table(OBJECTS)?;
    transaction.commit()?;
    // The file's own name has to survive, too.
    if let Some(dir) = path.parent() {
        fs::File::open(dir)?.sync_all()?;
    }
    Ok(database)
}

/// Opens a file and reads all of it. Damage may make redb panic, which is an answer as good as any.
fn read_whole(path: &Path) -> Result<(Database, Objects), Unreadable> {
    use redb::{DatabaseError, StorageError};
    let read = || -> Result<(Database, Objects), Unreadable> {
        let mut database = open(path).map_err(|error| match error {
            DatabaseError::Storage(StorageError::Io(error))
                if error.kind() != std::io::ErrorKind::InvalidData
                    && error.kind() != std::io::ErrorKind::UnexpectedEof =>
            {
                Unreadable::Busy(error.into())
            }
            DatabaseError::DatabaseAlreadyOpen => Unreadable::Busy(error.into()),
            error => Unreadable::Damaged(error.to_string()),
        })?;
        match database.check_integrity() {
            Ok(true) => {}
            Ok(false) => return Err(Unreadable::Damaged("its checksums do not match".to_owned())),
            Err(error) => return Err(Unreadable::Damaged(error.to_string())),
        }
        let objects = objects(&database).map_err(|error| Unreadable::Damaged(error.to_string()))?;
        Ok((database, objects))
    };
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Unreadable::Damaged("it cannot be read".to_owned())))
}

fn objects(database: &Database) -> Result<Objects, Failure> {
    let transaction = database.begin_read()?;
    let version = transaction.open_table(META)?.get("version")?.map(|version| version.value());
    if version != Some(VERSION) {
        return Err(format!("version {version:?} is not understood").into());
    }
    let mut objects = Objects::new();
    for row in transaction.open_table(OBJECTS)?.iter()? {
        let (key, json) = row?;
        let entry =
            entry(key.value(), json.value()).ok_or_else(|| format!("{} is no object", key.value()))?;
        objects.insert(entry.key.clone(), Arc::new(entry));
    }
    Ok(objects)
}

/// The entry of a row, if that is what was once written.
fn entry(key: &str, json: &[u8]) -> Option<Entry> {
    let mut parts = key.split('/');
    let key = Key::new(parts.next()?, parts.next()?, parts.next()?);
    let object: Object = serde_json::from_slice(json).ok()?;
    let revision = object.resource_version().parse().ok()?;
    parts.next().is_none().then(|| Entry { key, revision, json: json.to_vec().into() })
}

fn set_aside(path: &Path, reason: String) -> Result<Quarantined, Failure> {
    let name = format!("objects.redb.damaged-{}", Timestamp::now().as_millisecond());
    let aside = path.with_file_name(name);
    fs::rename(path, &aside)?;
    Ok(Quarantined { path: aside, reason })
}

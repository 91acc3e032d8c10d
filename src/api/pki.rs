//! The node's own certificate authority: it signs what the API server shows to clients, and what clients show to it.
//!
//! It is one file, `ca.pem`, 0600, with certificate and key, made when it is missing and good for ten years. Whoever removes it makes
//! every kubeconfig worthless that was signed by it.

use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

const DAY: SignedDuration = SignedDuration::from_hours(24);
const CA_NAME: &str = "mkubelet-ca";
const CA_DAYS: i32 = 3652;
/// How long what it signs is good.
pub const DAYS: i32 = 365;

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{operation} {path}", path = path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is no authority.
    #[error("read {path}: {reason}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key or a certificate could not be made.
    #[error("make a certificate")]
    Make(#[from] rcgen::Error),
}

/// The authority: whoever holds it can be anybody.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

/// A certificate and its key.
pub struct Issued {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Issued {
    /// Of the certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// Likewise, as text.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The key.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.serialize_der()).into()
    }

    /// Likewise, as text.
    pub fn key_pem(&self) -> String {
        pem("PRIVATE KEY", self.key.serialized_der())
    }
}

impl Authority {
    /// The authority in this directory, which is made with it when it is missing.
    pub fn open(directory: &Path, now: Timestamp) -> Result<Self, Error> {
        let path = directory.join("ca.pem");
        let failed = |operation| {
            let path = path.clone();
            move |source| Error::File { operation, path, source }
        };
        match fs::read_to_string(&path) {
            Ok(text) => return Self::read(&text).map_err(|reason| Error::Content { path, reason }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read")(error)),
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed("make the directory of"))?;
        create(&path, &make(now)?).map_err(failed("create"))?;
        // If somebody else was faster, it is theirs.
        let text = fs::read_to_string(&path).map_err(failed("read"))?;
        Self::read(&text).map_err(|reason| Error::Content { path, reason })
    }

    fn read(text: &str) -> Result<Self, String> {
        let words = |error: rustls::pki_types::pem::Error| error.to_string();
        let certificate = CertificateDer::from_pem_slice(text.as_bytes()).map_err(words)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(words)?;
        let key = KeyPair::try_from(&key).map_err(|error| error.to_string())?;
        Ok(Self { certificate, issuer: Issuer::new(ca_params(), key) })
    }

    /// Its certificate, by which clients and server know whom it has signed for.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// Likewise, as text.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A certificate for a server of these names and addresses.
    pub fn issue_server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now: Timestamp,
    ) -> Result<Issued, Error> {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
        params.distinguished_name.push(DnType::CommonName, "mkubelet");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, now)
    }

    /// A certificate for a client that is this user, in this group.
    pub fn issue_client(&self, user: &str, group: &str, now: Timestamp) -> Result<Issued, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, now)
    }

    fn issue(&self, mut params: CertificateParams, now: Timestamp) -> Result<Issued, Error> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, DAYS, now);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?.der().clone();
        Ok(Issued { certificate, key })
    }
}

/// Certificate and key of a new authority.
fn make(now: Timestamp) -> Result<String, Error> {
    let key = KeyPair::generate()?;
    let mut params = ca_params();
    valid_for(&mut params, CA_DAYS, now);
    let certificate = params.self_signed(&key)?;
    Ok(pem("CERTIFICATE", certificate.der()) + &pem("PRIVATE KEY", key.serialized_der()))
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

/// From the day before, since clocks differ.
fn valid_for(params: &mut CertificateParams, days: i32, now: Timestamp) {
    let date = |at: Timestamp| {
        let date = TimeZone::UTC.to_datetime(at);
        date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
    };
    params.not_before = date(now.saturating_sub(DAY).unwrap_or(now));
    params.not_after = date(now.saturating_add(DAY * days).unwrap_or(now));
}

/// Writes the file at once, or, when it is there meanwhile, leaves it.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension(format!("pem.{}", std::process::id()));
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&temporary)?;
    linked
}

/// As RFC 7468 writes it.
fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem + &format!("-----END {label}-----\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::now()
    }

    #[test]
    fn it_is_made_once_and_is_nobody_elses_to_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pki");
        let first = Authority::open(&path, now()).unwrap();
        let again = Authority::open(&path, now()).unwrap();
        assert_eq!(first.certificate(), again.certificate());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("ca.pem"))), (0o700, 0o600));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1, "nothing else is left there");
    }

    #[test]
    fn a_file_that_is_no_authority_is_not_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ca.pem");
        fs::write(&path, "nonsense").unwrap();
        let error = Authority::open(directory.path(), now()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("read {}: ", path.display())), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "nonsense");
    }
}

//! Which system calls a container may make: from its profile to a program for the kernel.
//!
//! ```text
//! default.json, or a file of the node ──> profile ──> policy ──> compile ──> container::seccomp
//!   (localhost)             as written    as it counts here      BPF          loaded by the container's init
//! ```

pub mod compile;
pub mod localhost;
pub mod machine;
pub mod policy;
pub mod profile;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use oci_spec::runtime::LinuxCapabilities;

use self::machine::Architecture;
use self::policy::{Context, Policy};
use self::profile::{KernelVersion, Profile};
use crate::container::seccomp::Filter;
use crate::pod::spec::SeccompProfile;

/// What `RuntimeDefault` means; see the README beside it.
const DEFAULT: &[u8] = include_bytes!("default.json");

/// A profile that cannot be used: the container must not start.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("seccomp profile {profile:?}: {reason}")]
pub struct Error {
    /// Its path below the node's directory, or `runtime/default`.
    pub profile: String,
    /// Why, in one line.
    pub reason: String,
}

/// The profiles of a node.
#[derive(Debug)]
pub struct Profiles {
    directory: PathBuf,
    kernel: KernelVersion,
    default: OnceLock<Result<Profile, String>>,
    /// Filters of the default profile, by bounding set: nearly all containers of a node have the same few.
    filters: Mutex<HashMap<BTreeSet<String>, Filter>>,
}

impl Profiles {
    /// Profiles for the running kernel; those of type `Localhost` are files below `directory`.
    pub fn new(directory: PathBuf) -> Self {
        let release = nix::sys::utsname::uname().ok();
        let release = release.as_ref().and_then(|name| name.release().to_str());
        // mkubelet needs 5.15, so that a kernel which does not tell its version is at least that.
        let kernel = release.and_then(KernelVersion::of_release).unwrap_or(KernelVersion(5, 15));
        Self { directory, kernel, default: OnceLock::new(), filters: Mutex::default() }
    }

    /// The filter for a container with this profile and these capabilities; `None` when it is to have none.
    pub fn filter(
        &self,
        profile: &SeccompProfile,
        capabilities: &LinuxCapabilities,
    ) -> Result<Option<Filter>, Error> {
        let bounding = capabilities.bounding().iter().flatten().map(|capability| format!("CAP_{capability}"));
        let bounding: BTreeSet<String> = bounding.collect();
        match profile {
            SeccompProfile::Unconfined => Ok(None),
            SeccompProfile::RuntimeDefault => self.default_filter(bounding).map(Some),
            SeccompProfile::Localhost { path } => self.localhost_filter(path, &bounding).map(Some),
        }
        .map_err(|reason| Error {
            profile: match profile {
                SeccompProfile::Localhost { path } => path.display().to_string(),
                _ => "runtime/default".to_owned(),
            },
            reason,
        })
    }

    fn default_filter(&self, bounding: BTreeSet<String>) -> Result<Filter, String> {
        // Whole entries only are put in, so that a thread which panicked has left it sound.
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = filters.get(&bounding) {
            return Ok(filter.clone());
        }
        let profile = self.default.get_or_init(|| Profile::parse(DEFAULT)).as_ref()?;
        let filter = self.compile(profile, &bounding)?;
        filters.insert(bounding, filter.clone());
        Ok(filter)
    }

    /// Read anew each time, since the file may have been changed.
    fn localhost_filter(&self, path: &Path, bounding: &BTreeSet<String>) -> Result<Filter, String> {
        let profile = Profile::parse(&localhost::read(&self.directory, path)?)?;
        self.compile(&profile, bounding)
    }

    fn compile(&self, profile: &Profile, bounding: &BTreeSet<String>) -> Result<Filter, String> {
        let context = Context { machine: Architecture::NATIVE, kernel: self.kernel, capabilities: bounding };
        let (policy, unknown) = Policy::new(profile, context);
        if !unknown.is_empty() {
            tracing::debug!(?unknown, "system calls of a seccomp profile that this machine does not have");
        }
        Ok(Filter::new(policy.flags, &compile::compile(&policy)?))
    }
}

#[cfg(test)]
mod tests;

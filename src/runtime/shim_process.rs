//! Starts a pod's shim: a process of its own that is spoken to through a socket the agent made, so that a connection
//! succeeds from the first moment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::config::Layout;
use crate::failpoint;
use crate::pod::PodUid;
use crate::sys::mount_api;

/// The shim's name, as a file and in the process list.
const NAME: &str = "mkubelet-shim";

/// What of a shim's log goes into an error, bytes.
const LAST_WORDS: u64 = 4 << 10;

/// Why a shim could not be started.
#[derive(Debug, thiserror::Error)]
#[error("{action} {}", path.display())]
pub struct Error {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// The shim's program, opened so that no container can ever write to it.
#[derive(Debug)]
pub struct Program {
    file: OwnedFd,
}

impl Program {
    /// Opens the program that lies beside the agent's own.
    pub fn open() -> Result<Self, Error> {
        let own = Path::new("/proc/self/exe");
        let own = fs::read_link(own).map_err(failed("resolve", own))?;
        let path = own.with_file_name(NAME);
        let file = mount_api::read_only_file(&path).map_err(failed("open", &path))?;
        Ok(Self { file })
    }

    /// Starts a shim for a pod, whose run directory and cgroup exist. Its end is reaped by `reaper`.
    pub fn spawn(
        &self,
        layout: &Layout,
        uid: &PodUid,
        group: &Path,
        cgroup_mount: &Path,
    ) -> Result<(), Error> {
        let socket = layout.shim_socket(uid);
        // One of a shim that died, or of an agent that died before it started one.
        match fs::remove_file(&socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &socket)(error));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&socket).map_err(failed("listen on", &socket))?;
        fs::set_permissions(&socket, Permissions::from_mode(0o600)).map_err(failed("chmod", &socket))?;
        failpoint::reached("shim.bound");
        let log = layout.shim_log(uid);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let log_file = options.open(&log).map_err(failed("open", &log))?;

        let program = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let mut command = Command::new(&program);
        command.arg0(NAME).arg("shim").arg("--pod-uid").arg(uid.as_str());
        command.arg("--run-dir").arg(layout.run_pod(uid)).arg("--cgroup").arg(group);
        command.arg("--cgroup-mount").arg(cgroup_mount);
        command.env_clear().current_dir("/").process_group(0);
        command.stdin(OwnedFd::from(listener)).stdout(Stdio::null()).stderr(log_file);
        failpoint::pass_on(&mut command);
        command.spawn().map_err(failed("start", Path::new(NAME)))?;
        failpoint::reached("shim.spawned");
        Ok(())
    }
}

/// The last line that a shim wrote to its log: why it ended, if it ended by itself.
pub fn last_words(layout: &Layout, uid: &PodUid) -> Option<String> {
    let mut file = File::open(layout.shim_log(uid)).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS))).ok()?;
    let mut tail = Vec::new();
    file.take(LAST_WORDS).read_to_end(&mut tail).ok()?;
    let tail = String::from_utf8_lossy(&tail).into_owned();
    tail.lines().rev().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error { action, path, source }
}

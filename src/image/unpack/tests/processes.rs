//! The processes that read a layer: what they have left, and what becomes of those that stop, die or are given bombs.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::*;
use crate::image::digest::Digest;
use crate::image::manifest::Compression;
use crate::image::tests::gzip;
use crate::image::unpack::child::Role;
use crate::image::unpack::process::Process;

const LONG: Duration = Duration::from_secs(60);

fn roles(dir: &Path) -> [Role; 2] {
    let at = |name: &str| {
        let path = dir.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    fs::create_dir_all(dir.join("lower")).unwrap();
    fs::write(dir.join("lower/below"), "").unwrap();
    let (top, lowers) = (at("top"), vec![at("lower")]);
    [Role::Decompress(Compression::Gzip), Role::Unpack { limits: SMALL, top, lowers }]
}

fn proc(pid: u32, file: &str) -> PathBuf {
    Path::new("/proc").join(pid.to_string()).join(file)
}

fn status(pid: u32, key: &str) -> String {
    let status = fs::read_to_string(proc(pid, "status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_default().trim().to_owned()
}

/// Waits until a process has confined itself.
fn until_confined(pid: u32) {
    let start = Instant::now();
    while status(pid, "Seccomp") != "2" {
        assert!(start.elapsed() < LONG, "{}", fs::read_to_string(proc(pid, "status")).unwrap());
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn what_reads_a_layer_has_nothing_else_in_reach() {
    if !is_root("what_reads_a_layer_has_nothing_else_in_reach") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for role in roles(dir.path()) {
        let output = if role.verb() == "unpacks" { Stdio::null() } else { Stdio::piped() };
        let (process, _input, _output) = Process::start(&role, Stdio::piped(), output, LONG).unwrap();
        let pid = process.id();
        until_confined(pid);
        let unpacks = role.verb() == "unpacks";
        // CHOWN, DAC_OVERRIDE, FOWNER, FSETID, MKNOD, SETFCAP: bits 0, 1, 3, 4, 27, 31.
        let kept = if unpacks { "000000008800001b" } else { "0000000000000000" };
        let none = "0000000000000000";
        for (set, expected) in
            [("CapEff", kept), ("CapPrm", kept), ("CapBnd", kept), ("CapInh", none), ("CapAmb", none)]
        {
            assert_eq!(status(pid, set), expected, "{set}");
        }
        assert_eq!(status(pid, "NoNewPrivs"), "1");
        let limits = fs::read_to_string(proc(pid, "limits")).unwrap();
        let limit = |name: &str| limits.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        assert!(limit("Max address space").contains("268435456            268435456"), "{limits}");
        assert!(limit("Max core file size").contains("0                    0"), "{limits}");
        for namespace in ["ns/mnt", "ns/net", "ns/ipc"] {
            let of = |path: PathBuf| fs::read_link(path).unwrap();
            assert_ne!(of(proc(pid, namespace)), of(Path::new("/proc/self").join(namespace)), "{namespace}");
        }
        let network = fs::read_to_string(proc(pid, "net/dev")).unwrap();
        assert_eq!(
            network.lines().skip(2).map(|line| line.trim().split(':').next().unwrap()).collect::<Vec<_>>(),
            ["lo"]
        );
        // One mount: the layer's directory, or an empty one.
        let mounts = fs::read_to_string(proc(pid, "mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        assert!(mounts.contains("nosuid,nodev,noexec"), "{mounts}");
        assert_eq!(mounts.contains(" ro,"), !unpacks, "{mounts}");
        let identity = |path: &Path| fs::metadata(path).map(|it| (it.dev(), it.ino())).unwrap();
        if unpacks {
            assert_eq!(identity(&proc(pid, "root")), identity(&dir.path().join("top")));
        }
        assert_eq!(identity(&proc(pid, "cwd")), identity(&proc(pid, "root")));
        assert_eq!(fs::read_dir(proc(pid, "root/")).unwrap().count(), 0);
        // Its streams, a copy of each that it reads or writes, and the two directories.
        let mut open: Vec<String> = fs::read_dir(proc(pid, "fd"))
            .unwrap()
            .map(|fd| fs::read_link(fd.unwrap().path()).unwrap().display().to_string())
            .map(|target| target.split(':').next().unwrap().to_owned())
            .collect();
        open.sort();
        let lower = "/";
        let expected: &[&str] =
            if unpacks { &[lower, lower, "/dev/null", "pipe", "pipe", "pipe"] } else { &["pipe"; 5] };
        assert_eq!(open, expected);
    }
    assert!(dir.path().join("lower/below").exists());
}

#[test]
fn one_that_dies_or_stops_is_told_of_in_a_line() {
    if !is_root("one_that_dies_or_stops_is_told_of_in_a_line") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for role in roles(dir.path()) {
        for (signal, patience, reason) in [
            (Signal::SIGKILL, LONG, "was ended by SIGKILL"),
            (Signal::SIGSEGV, LONG, "was ended by SIGSEGV"),
            (Signal::SIGSTOP, Duration::from_secs(1), "has done nothing for 1 seconds"),
        ] {
            let (mut process, input, _output) =
                Process::start(&role, Stdio::piped(), Stdio::piped(), patience).unwrap();
            until_confined(process.id());
            let pid = Pid::from_raw(i32::try_from(process.id()).unwrap());
            kill(pid, signal).unwrap();
            drop(input);
            let error = process.answer().unwrap_err().to_string();
            assert_eq!(error, format!("the process that {} it {reason}", role.verb()));
            drop(process);
            assert!(kill(pid, None).is_err(), "it was reaped");
        }
    }
}

#[test]
fn one_whose_parent_is_another_does_nothing() {
    if !is_root("one_whose_parent_is_another_does_nothing") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for role in roles(dir.path()) {
        let mut command = std::process::Command::new("/proc/self/exe");
        // As for a child whose parent ended before it could ask to be told.
        command.arg("unpack-layer").args(role.words(1)).stdin(Stdio::null());
        let output = command.output().unwrap();
        let answer = String::from_utf8(output.stderr).unwrap();
        assert!(answer.contains("cannot be confined: look for the parent: it has ended"), "{answer}");
        assert_eq!(output.stdout, b"");
    }
}

/// Unpacks a blob as a pull does.
fn unpack_blob(blob: &[u8], compression: Compression, limits: &Limits) -> Result<Digest, Error> {
    let dir = tempfile::tempdir().unwrap();
    let top = dir.path().join("top");
    fs::create_dir(&top).unwrap();
    fs::write(dir.path().join("blob"), blob).unwrap();
    unpack(fs::File::open(dir.path().join("blob")).unwrap(), compression, &top, &[], limits)
}

#[test]
fn the_digest_is_of_the_archive_whatever_it_is_packed_with() {
    if !is_root("the_digest_is_of_the_archive_whatever_it_is_packed_with") {
        return;
    }
    let archive = Tar::new().file("a", &"data".repeat(100_000)).finish();
    for (blob, compression) in [
        (archive.clone(), Compression::None),
        (gzip(&archive), Compression::Gzip),
        (zstd::encode_all(&archive[..], 1).unwrap(), Compression::Zstd),
    ] {
        assert_eq!(unpack_blob(&blob, compression, &SMALL).unwrap(), Digest::of(&archive));
        if compression != Compression::None {
            let error = line(&unpack_blob(&blob[..blob.len() - 5], compression, &SMALL).unwrap_err());
            assert!(error.starts_with("the archive is damaged: "), "{error}");
        }
        let error = line(&unpack_blob(b"nonsense", compression, &SMALL).unwrap_err());
        assert!(error.starts_with("the archive is damaged: "), "{error}");
    }
    // An entry that is refused ends it at once, however much would follow.
    let refused = Tar::new().file("../x", &"data".repeat(1 << 20)).finish();
    let limits = Limits { bytes: 1 << 30, ..SMALL };
    let error = unpack_blob(&gzip(&refused), Compression::Gzip, &limits).unwrap_err();
    assert_eq!(error.to_string(), "entry \"../x\": '..' in its name");
}

/// A file that says it is huge, and then zeros.
fn huge(zeros: usize) -> Vec<u8> {
    let mut archive = Tar::new().header(|header| {
        header.set_path("huge").unwrap();
        header.set_size(1 << 40);
    });
    archive = archive.file("never", "");
    let header = archive.finish()[..512].to_vec();
    [header, vec![0; zeros]].concat()
}

#[test]
fn a_bomb_is_stopped_at_the_bound() {
    if !is_root("a_bomb_is_stopped_at_the_bound") {
        return;
    }
    const PIECE: usize = 16 << 20;
    let limits = Limits { bytes: 64 << 20, ..SMALL };
    // Members and frames one after another are one stream: ten MB or so that would become ten GB.
    let gzip_bomb = [gzip(&huge(PIECE)), gzip(&vec![0; PIECE]).repeat(640)].concat();
    let zstd_piece = zstd::encode_all(&vec![0; PIECE][..], 1).unwrap();
    let zstd_bomb = [zstd::encode_all(&huge(PIECE)[..], 1).unwrap(), zstd_piece.repeat(640)].concat();
    for (bomb, compression) in [(gzip_bomb, Compression::Gzip), (zstd_bomb, Compression::Zstd)] {
        let start = Instant::now();
        let error = line(&unpack_blob(&bomb, compression, &limits).unwrap_err());
        assert_eq!(error, "the archive is damaged: more than 67108864 bytes", "{compression:?}");
        assert!(start.elapsed() < Duration::from_secs(20), "{compression:?} took {:?}", start.elapsed());
    }
    // A frame that wants more of what came before it than the process may have.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    io::Write::write_all(&mut encoder, &huge(PIECE)).unwrap();
    let error = line(&unpack_blob(&encoder.finish().unwrap(), Compression::Zstd, &limits).unwrap_err());
    assert!(error.contains("Frame requires too much memory"), "{error}");
    // Without the bytes that it says it has.
    let error = line(&unpack_blob(&huge(1024), Compression::None, &limits).unwrap_err());
    assert!(error.contains("unexpected end of file"), "{error}");
}

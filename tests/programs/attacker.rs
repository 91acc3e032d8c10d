//! What a hostile container does, for the end-to-end tests: `attacker ATTACK ARGUMENT...`, see [`main`].
//!
//! Some attacks go on until they are killed. Others look whether one has worked: they end with 1 and a line that tells what
//! they got hold of, or with 0 when there was nothing to get.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MntFlags, umount2};
use nix::sys::socket::{ControlMessage, MsgFlags, recvmsg, sendmsg};
use nix::sys::stat::{Mode, major, minor};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::mkfifo;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match words[..] {
        // Swaps two names of a directory for ever, as fast as the kernel does it.
        ["exchange", one, other] => exchange(one, other),
        // Opens the program of every process it can see, to write to it once it does not run any more; for ever. Tells of
        // each that it has opened.
        ["overwrite-programs"] => overwrite_programs(),
        // Looks at every process that it can see, until it sees one that runs a foreign program. Tells of each that it may
        // not look at.
        ["look-into-others"] => look_into_others(),
        // Looks whether every masked path is what a mask is made of.
        ["masks"] => masks(),
        // Looks whether the working directory is inside, and nothing but the standard streams is open.
        ["inside"] => inside(),
        // Looks whether a directory is empty.
        ["empty", directory] => empty(directory),
        // Makes so many directories, each inside the one before.
        ["dig", directory, levels] => dig(directory, number(levels)),
        // Makes a file of so many bytes that takes no room.
        ["inflate", file, bytes] => OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|file| file.set_len(number(bytes)))
            .map_err(|error| error.to_string()),
        // Puts links to a target, and a FIFO, into the place of a file by whatever it may do; then fails.
        ["replace", file, target] => replace(file, target),
        ["print", bytes] => print(number(bytes)),
        ["fork-bomb"] => fork_bomb(),
        ["memory-bomb"] => memory_bomb(),
        ["descriptor-bomb"] => descriptor_bomb(),
        ["log-bomb"] => print(u64::MAX),
        // Hands its standard output over to whoever listens at the socket, and ends.
        ["lend-output", socket] => lend_output(socket),
        // Takes an output over, and writes to it for ever.
        ["borrow-output", socket] => borrow_output(socket),
        // Starts a process that keeps the output open, and ends before it.
        ["leave-output-open"] => leave_output_open(),
        ["sleep"] => loop {
            thread::park();
        },
        _ => Err(format!("no such attack: {words:?}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            drop(writeln!(io::stdout(), "{text}"));
            ExitCode::FAILURE
        }
    }
}

/// The line that tells of a foreign program that was opened.
const REACHED: &str = "reached a program";
/// The line that tells of a process that could not be looked into.
const KEPT_OUT: &str = "kept out of a process";

type Verdict = Result<(), String>;

fn exchange(one: &str, other: &str) -> Verdict {
    loop {
        // One that fails now works the next time.
        let _ = renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE);
    }
}

fn overwrite_programs() -> Verdict {
    let failed = |error: io::Error| error.to_string();
    let own = fs::metadata("/proc/self/exe").map_err(failed)?;
    loop {
        for entry in fs::read_dir("/proc").map_err(failed)?.flatten() {
            let Ok(program) = File::open(entry.path().join("exe")) else { continue };
            let found = program.metadata().map_err(failed)?;
            if (found.dev(), found.ino()) == (own.dev(), own.ino()) {
                continue;
            }
            if !fstatvfs(&program).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_RDONLY)) {
                return Err("a program that is not ours lies on a mount that can be written to".to_owned());
            }
            // Refused as long as it runs (ETXTBSY), so it is tried for a while.
            for _ in 0..100 {
                let again = format!("/proc/self/fd/{}", program.as_raw_fd());
                if let Ok(mut writable) = OpenOptions::new().write(true).open(again) {
                    return Err(format!("wrote to a program: {:?}", writable.write(b"#!/evil\n")));
                }
            }
            writeln!(io::stdout(), "{REACHED}").map_err(failed)?;
        }
    }
}

fn look_into_others() -> Verdict {
    let failed = |error: io::Error| error.to_string();
    let own = fs::metadata("/proc/self/exe").map_err(failed)?;
    loop {
        for pid in numbers("/proc") {
            // Who may see this may see its root and its descriptors as well.
            match fs::metadata(format!("/proc/{pid}/exe")) {
                Ok(found) if (found.dev(), found.ino()) != (own.dev(), own.ino()) => {
                    return Err(format!("looked into a process that does not run its program yet: {pid}"));
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    writeln!(io::stdout(), "{KEPT_OUT}").map_err(failed)?;
                }
                _ => {}
            }
        }
    }
}

fn masks() -> Verdict {
    const FILES: [&str; 3] = ["/proc/kcore", "/proc/keys", "/proc/timer_list"];
    for path in FILES {
        let Ok(found) = fs::metadata(path) else { continue };
        let number = (major(found.rdev()), minor(found.rdev()));
        if !found.file_type().is_char_device() || number != (1, 3) {
            return Err(format!(
                "{path} is not masked by char 1:3 but by {:?} {number:?}",
                found.file_type()
            ));
        }
    }
    empty("/sys/firmware")
}

fn inside() -> Verdict {
    let directory = std::env::current_dir().map_err(|error| format!("getcwd: {error}"))?;
    if !directory.is_absolute() {
        return Err(format!("the working directory is outside: {}", directory.display()));
    }
    let own = fs::read_dir("/proc/self/fd").map_err(|error| error.to_string())?;
    let mut open: Vec<u32> =
        own.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    open.sort_unstable();
    // 3 is the directory that is being read.
    if open != [0, 1, 2, 3] {
        return Err(format!("descriptors {open:?} are open"));
    }
    Ok(())
}

fn empty(directory: &str) -> Verdict {
    match fs::read_dir(directory) {
        Ok(entries) => {
            let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
            if names.is_empty() { Ok(()) } else { Err(format!("{directory} shows {names:?}")) }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{directory}: {error}")),
    }
}

fn dig(directory: &str, levels: u64) -> Verdict {
    let failed = |error: io::Error| format!("dig: {error}");
    std::env::set_current_dir(directory).map_err(failed)?;
    for _ in 0..levels {
        fs::create_dir("d").and_then(|()| std::env::set_current_dir("d")).map_err(failed)?;
    }
    File::create("bottom").map(drop).map_err(failed)
}

fn replace(file: &str, target: &str) -> Verdict {
    let beside = format!("{file}.new");
    let link = || {
        let _ = fs::remove_file(&beside);
        let _ = symlink(target, &beside);
    };
    link();
    let tries = [
        fs::rename(&beside, file),
        renameat2(AT_FDCWD, beside.as_str(), AT_FDCWD, file, RenameFlags::RENAME_EXCHANGE)
            .map_err(Into::into),
        fs::remove_file(file).and_then(|()| symlink(target, file)),
        umount2(file, MntFlags::MNT_DETACH).map_err(io::Error::from),
    ];
    // It may have no mount in its place by now.
    link();
    let _ = fs::rename(&beside, file);
    let is_link = fs::symlink_metadata(file).is_ok_and(|found| found.is_symlink());
    if is_link {
        let _ = fs::remove_file(file).and_then(|()| Ok(mkfifo(file, Mode::S_IRWXU)?));
    }
    let worked = tries.iter().filter(|attempt| attempt.is_ok()).count();
    Err(format!("{worked} of {} tries worked, a link is there: {is_link}", tries.len()))
}

fn print(bytes: u64) -> Verdict {
    let line = [vec![b'.'; 1023], vec![b'\n']].concat();
    let mut output = io::stdout().lock();
    for _ in 0..bytes / 1024 {
        output.write_all(&line).map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn fork_bomb() -> Verdict {
    loop {
        // Each child does the same. What the kernel refuses now it may grant when others have been killed.
        let _ = Command::new("/proc/self/exe").arg("fork-bomb").spawn();
    }
}

fn memory_bomb() -> Verdict {
    let mut held = Vec::new();
    loop {
        held.push(vec![0xff_u8; 1 << 20]);
    }
}

fn descriptor_bomb() -> Verdict {
    // Each child opens as many as it may.
    let _ = Command::new("/proc/self/exe").arg("descriptor-bomb").spawn();
    let mut held = Vec::new();
    loop {
        match UnixStream::pair() {
            Ok(pair) => held.push(pair),
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

fn lend_output(socket: &str) -> Verdict {
    let failed = |error: io::Error| format!("lend the output: {error}");
    let listener = wait_for(Path::new(socket), || UnixStream::connect(socket)).map_err(failed)?;
    let output = [io::stdout().as_raw_fd()];
    sendmsg::<()>(
        listener.as_raw_fd(),
        &[IoSlice::new(b"x")],
        &[ControlMessage::ScmRights(&output)],
        MsgFlags::empty(),
        None,
    )
    .map_err(|errno| failed(errno.into()))?;
    // Until it has arrived.
    let mut answer = [0];
    (&listener).read_exact(&mut answer).map_err(failed)
}

fn borrow_output(socket: &str) -> Verdict {
    let failed = |error: io::Error| format!("borrow an output: {error}");
    let (stream, _) = UnixListener::bind(socket).and_then(|listener| listener.accept()).map_err(failed)?;
    let mut byte = [0];
    let mut slices = [IoSliceMut::new(&mut byte)];
    let mut room = nix::cmsg_space!(i32);
    recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut room), MsgFlags::empty())
        .map_err(|errno| failed(errno.into()))?;
    (&stream).write_all(b"x").map_err(failed)?;
    // The descriptor is the highest that is open; it is reached by its name, and never closed.
    let highest = numbers("/proc/self/fd").into_iter().filter(|fd| is_pipe(*fd)).max();
    let path = format!("/proc/self/fd/{}", highest.ok_or("no output arrived")?);
    let mut output = OpenOptions::new().write(true).open(path).map_err(failed)?;
    loop {
        let _ = output.write_all(b"still here\n");
    }
}

fn leave_output_open() -> Verdict {
    let mut child = Command::new("/proc/self/exe");
    child.arg("sleep").stdin(Stdio::null());
    child.spawn().map(drop).map_err(|error| error.to_string())
}

fn is_pipe(fd: u32) -> bool {
    fs::metadata(format!("/proc/self/fd/{fd}")).is_ok_and(|found| found.file_type().is_fifo())
}

fn numbers(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Tries again until it works, for as long as a test may take.
fn wait_for<T>(what: &Path, attempt: impl Fn() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..6000 {
        if let Ok(done) = attempt() {
            return Ok(done);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, what.display().to_string()))
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_default()
}

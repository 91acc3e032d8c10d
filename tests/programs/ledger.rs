//! The workload of the end-to-end tests: carries out a script of steps, and writes its life into a ledger on a volume.
//!
//! `ledger NAME STEP...`, where a step is `verb` or `verb=value`; see [`step`]. The volume is mounted at /ledger:
//! - `NAME.lock` is locked for as long as the process lives, so that a second living copy shows as a `duplicate`;
//! - `records` gets one JSON line for each start, signal and end;
//! - `NAME.answers` gets one JSON line for each step that asks something: `{"step": ..., "ok": ...}` or `"error"`.
//!
//! A process that is killed leaves a start without an end. That is how a lost exit and a kill are told from an end.

mod health;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;
use serde_json::{Value, json};
use syscalls::Sysno;

const LEDGER: &str = "/ledger";
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    // Before anything else is opened: what was inherited.
    let descriptors = descriptors();
    let mut args = std::env::args().skip(1);
    let Some(name) = args.next() else { return ExitCode::from(2) };

    let lock = open(&format!("{name}.lock"));
    let life = Life { instance: format!("{}-{}", nanoseconds(), std::process::id()), name };
    let Ok(_lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else {
        life.record(json!({"event": "duplicate"}));
        return ExitCode::from(99);
    };
    // Before the start is written: whoever reads of it may send signals.
    let signals = block_signals(&life);
    life.record(json!({"event": "start", "pid": std::process::id()}));

    let steps: Vec<String> = args.collect();
    obey(signals, &life, &steps);
    for text in &steps {
        step(&life, text, &descriptors);
    }
    life.end("done", 0)
}

/// Carries out one step.
fn step(life: &Life, text: &str, descriptors: &BTreeMap<u32, String>) {
    let (verb, value) = text.split_once('=').unwrap_or((text, ""));
    match verb {
        // How to react to SIGTERM and the like: `ignore`, or an exit code. Without it: 128 + the signal.
        "term" => {}
        // Answers HTTP on a port: its own name, or on /healthz 500 while /ledger/NAME.sick exists. Notes what asks for /note, and who for /peer.
        "serve" => serve(life, value),
        // Answers gRPC health checks on a port: SERVING, or NOT_SERVING while /ledger/NAME.sick exists.
        "health" => {
            health::serve(number(value) as u16, Path::new(LEDGER).join(format!("{}.sick", life.name)))
        }
        // Listens on a port, and never answers.
        "listen" => listen(value),
        "print" => say(format!("{value}\n").as_bytes()),
        // Without a newline.
        "mutter" => say(value.as_bytes()),
        "complain" => drop(io::stderr().write_all(format!("{value}\n").as_bytes())),
        // One line of so many bytes.
        "print-bytes" => say(&[vec![b'x'; number(value)], vec![b'\n']].concat()),
        "print-lines" => (0..number(value)).for_each(|line| say(format!("line {line}\n").as_bytes())),
        // Lines of a kilobyte, as fast as they are taken.
        "print-wide" => {
            let mut out = io::BufWriter::with_capacity(64 << 10, io::stdout());
            (0..number(value)).for_each(|line| drop(writeln!(out, "line {line:<994}")));
        }
        // Answers what comes on standard input, line by line, up to its end or to `enough`.
        "converse" => converse(),
        "flood" => loop {
            say(&[b'.'; 1023]);
            say(b"\n");
        },
        "sleep" => thread::sleep(Duration::from_millis(number(value) as u64)),
        // Waits until a file is there.
        "until" => until(Path::new(value)),
        // Waits until a file says just this: `says=PATH:TEXT`.
        "says" => life.answer(text, says(value)),
        // Starts another process of the container, which nobody waits for: `child=NAME`.
        "child" => {
            let started = Command::new("/proc/self/exe").args([value, "wait"]).spawn();
            life.answer(text, started.map(|child| json!(child.id())));
        }
        // Another process with one step, which is waited for: `run=NAME:STEP`. The answer is its code as a shell counts it.
        "run" => life.answer(text, run(value).map(|code| json!(code))),
        // Likewise, and ends with that code, as a shell script does that has nothing more to do.
        "shell" => match run(value) {
            Ok(code) => life.end("shell", code),
            Err(error) => life.answer(text, Err(error)),
        },
        // Starts so many processes, or as many as it can, and answers how many.
        "children" => life.answer(text, Ok(json!(children(number(value))))),
        // Goes on the first time, when there is no such file; in later lives it stays here.
        "once" => once(value),
        // Takes so many MiB of memory, and keeps them.
        "hold" => drop(std::hint::black_box(vec![1_u8; number(value) << 20].leak())),
        // Computes for ever, in so many threads.
        "spin" => (0..number(value)).for_each(|_| drop(thread::spawn(spin))),
        "report" => life.answer(text, Ok(report(descriptors))),
        "read" => life.answer(text, read(value)),
        "list" => life.answer(text, list(value)),
        "write" => life.answer(text, fs::write(value, b"written\n").map(|()| json!(null))),
        // A file with a text: `put=PATH:TEXT`.
        "put" => life.answer(text, put(value)),
        // A file of so many bytes that are no text: `noise=PATH:100`.
        "noise" => life.answer(text, noise(value)),
        // A directory.
        "make" => life.answer(text, fs::create_dir(value).map(|()| json!(null))),
        // A file of so many MiB: `fill=PATH:2`.
        "fill" => life.answer(text, fill(value)),
        "stat" => life.answer(text, stat(value)),
        "link" => life.answer(text, fs::read_link(value).map(|target| json!(target))),
        // A symbolic link: `symlink=TARGET:PATH`.
        "symlink" => life.answer(text, make_link(value)),
        "get" => life.answer(text, get(value)),
        // Sends a signal to a process, given by its number or as one of ours by its name: `signal=a:9`.
        "signal" => life.answer(text, signal(value)),
        // Makes a system call by its name, with a first argument (`call=socket:38`), and -1 for the others.
        "call" => life.answer(text, call(value)),
        // Makes a device file: `mknod=c:1:5:/tmp/zero`.
        "mknod" => life.answer(text, make_device(value)),
        // What it takes CAP_SYS_ADMIN to try: without and with effect on what others mounted here.
        "umount" => life.answer(text, done(umount2(value, MntFlags::empty()))),
        "mount-tmpfs" => {
            let flags = MsFlags::empty();
            life.answer(text, done(mount(None::<&str>, value, Some("tmpfs"), flags, None::<&str>)));
        }
        "remount-rw" => {
            let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
            life.answer(text, done(mount(None::<&str>, value, None::<&str>, flags, None::<&str>)));
        }
        "exit" => life.end("exit", number(value) as u8),
        // Ends with 1 when that file is there.
        "fail-if" if Path::new(value).exists() => life.end("fail-if", 1),
        "fail-if" => {}
        "abort" => {
            life.record(json!({"event": "abort"}));
            std::process::abort();
        }
        "wait" => loop {
            thread::park();
        },
        _ => {
            life.record(json!({"event": "nonsense", "step": text}));
            life.end("nonsense", 98)
        }
    }
}

/// One run of the program.
#[derive(Clone)]
struct Life {
    name: String,
    instance: String,
}

impl Life {
    /// Appends to the common records. One write, so lines of several containers never mix.
    fn record(&self, mut record: Value) {
        record["at"] = json!(nanoseconds());
        record["name"] = json!(self.name);
        record["instance"] = json!(self.instance);
        append("records", &record);
    }

    fn answer(&self, step: &str, result: io::Result<Value>) {
        let line = match result {
            Ok(value) => json!({"step": step, "ok": value}),
            Err(error) => {
                let name = error.raw_os_error().map(|code| format!("{:?}", Errno::from_raw(code)));
                json!({"step": step, "error": name.unwrap_or_else(|| error.to_string())})
            }
        };
        append(&format!("{}.answers", self.name), &line);
    }

    /// Records the end, once, and ends.
    fn end(&self, reason: &str, code: u8) -> ! {
        static ENDING: Mutex<()> = Mutex::new(());
        let _for_ever = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
        self.record(json!({"event": "end", "reason": reason, "code": code}));
        std::process::exit(code.into())
    }
}

/// Keeps signals for [`obey`]. As PID 1 the program would not even be told of those that it leaves alone.
fn block_signals(life: &Life) -> SigSet {
    use Signal::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
    let mut signals = SigSet::empty();
    signals.extend([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH]);
    if signals.thread_block().is_err() {
        life.end("cannot block signals", 97);
    }
    signals
}

/// Waits for signals in a thread.
fn obey(signals: SigSet, life: &Life, steps: &[String]) {
    let reaction = steps.iter().find_map(|step| step.strip_prefix("term=")).map(str::to_owned);
    let life = life.clone();
    thread::spawn(move || {
        while let Ok(signal) = signals.wait() {
            life.record(json!({"event": "signal", "signal": signal.as_str()}));
            match reaction.as_deref() {
                Some("ignore") => {}
                Some(code) => life.end(signal.as_str(), number(code) as u8),
                None => life.end(signal.as_str(), 128 + signal as i32 as u8),
            }
        }
    });
}

fn serve(life: &Life, port: &str) {
    let listener = match TcpListener::bind(("0.0.0.0", number(port) as u16)) {
        Ok(listener) => listener,
        Err(error) => {
            life.answer(&format!("serve={port}"), Err(error));
            life.end("cannot listen", 96)
        }
    };
    let life = life.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up is its own business.
            drop(answer_request(stream, &life));
        }
    });
}

fn listen(port: &str) {
    match TcpListener::bind(("0.0.0.0", number(port) as u16)) {
        Ok(listener) => drop(thread::spawn(move || {
            let taken: Vec<_> = listener.incoming().collect();
            drop(taken);
        })),
        Err(error) => drop(writeln!(io::stderr(), "ledger: listen: {error}")),
    }
}

fn answer_request(mut stream: TcpStream, life: &Life) -> io::Result<()> {
    let name = &life.name;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    reader.read_line(&mut request)?;
    let mut header = String::new();
    while reader.read_line(&mut header)? > 2 {
        header.clear();
    }
    if request.contains(" /note ") {
        life.answer("request", Ok(json!(request.trim_end())));
    }
    if request.contains(" /peer ") {
        life.answer("peer", stream.peer_addr().map(|peer| json!(peer.ip())));
    }
    let sick = request.contains(" /healthz ") && Path::new(LEDGER).join(format!("{name}.sick")).exists();
    let status = if sick { "500 Internal Server Error" } else { "200 OK" };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{name}", name.len())
}

fn run(value: &str) -> io::Result<u8> {
    let (name, step) = value.split_once(':').unwrap_or((value, "wait"));
    let status = Command::new("/proc/self/exe").args([name, step]).status()?;
    Ok(status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or_default() as u8)
}

fn signal(value: &str) -> io::Result<Value> {
    let (who, signal) = value.split_once(':').unwrap_or((value, "9"));
    let is_named = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).nth(1) == Some(who.as_bytes())
    };
    let found = who.parse().ok().or_else(|| numbers("/proc").into_iter().find(is_named));
    let pid = found.ok_or_else(|| io::Error::other(format!("no process {who}")))?;
    let signal = Signal::try_from(number(signal) as i32)?;
    done(kill(Pid::from_raw(pid as i32), signal))
}

fn children(wanted: usize) -> usize {
    let start =
        |child: usize| Command::new("/proc/self/exe").args([&format!("child{child}"), "wait"]).spawn();
    (0..wanted).take_while(|child| start(*child).is_ok()).count()
}

fn put(value: &str) -> io::Result<Value> {
    let (path, text) = value.split_once(':').unwrap_or((value, ""));
    fs::write(path, text).map(|()| json!(null))
}

fn make_link(value: &str) -> io::Result<Value> {
    let (target, path) = value.split_once(':').unwrap_or((value, ""));
    symlink(target, path).map(|()| json!(null))
}

fn noise(value: &str) -> io::Result<Value> {
    let (path, bytes) = value.split_once(':').unwrap_or((value, "1"));
    fs::write(path, vec![0xff; number(bytes)]).map(|()| json!(null))
}

fn once(path: &str) {
    while File::create_new(path).is_err() {
        thread::park();
    }
}

fn spin() {
    loop {
        std::hint::black_box(0);
    }
}

/// GET of `HOST:PORT/PATH`; waits for a server that does not listen yet.
fn get(value: &str) -> io::Result<Value> {
    let (address, path) = value.split_once('/').unwrap_or((value, ""));
    let deadline = Instant::now() + PATIENCE;
    let mut stream = loop {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused && Instant::now() < deadline => {
                thread::sleep(Duration::from_millis(20));
            }
            other => break other?,
        }
    };
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET /{path} HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(json!(answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body)))
}

/// What the process finds itself to be.
fn report(descriptors: &BTreeMap<u32, String>) -> Value {
    let namespaces: BTreeMap<&str, String> = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .into_iter()
        .map(|kind| (kind, link(&format!("/proc/self/ns/{kind}"))))
        .collect();
    let status: BTreeMap<String, String> = text("/proc/self/status")
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    json!({
        "pid": std::process::id(),
        "hostname": nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        "args": std::env::args().collect::<Vec<_>>(),
        "env": std::env::vars().collect::<BTreeMap<_, _>>(),
        "cwd": std::env::current_dir().unwrap_or_default(),
        "namespaces": namespaces,
        "status": status,
        "descriptors": descriptors,
        "mounts": text("/proc/self/mountinfo").lines().collect::<Vec<_>>(),
        "limits": text("/proc/self/limits").lines().collect::<Vec<_>>(),
        "cgroup": text("/proc/self/cgroup").lines().collect::<Vec<_>>(),
        "oom_score_adj": text("/proc/self/oom_score_adj").trim(),
        "routes": text("/proc/net/route").lines().collect::<Vec<_>>(),
        "addresses": addresses(&text("/proc/net/fib_trie")),
        "processes": numbers("/proc"),
    })
}

/// The local addresses, out of /proc/net/fib_trie: an address is on the line before its `host LOCAL`.
fn addresses(trie: &str) -> Vec<String> {
    let lines: Vec<&str> = trie.lines().collect();
    let mut found: Vec<String> = lines
        .windows(2)
        .filter(|pair| pair[1].contains("/32 host LOCAL"))
        .filter_map(|pair| pair[0].rsplit(' ').next().map(str::to_owned))
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Open file descriptors and what they are, without the one that this takes to find out. Devices are told by number.
fn descriptors() -> BTreeMap<u32, String> {
    let own = format!("/proc/{}/fd", std::process::id());
    numbers("/proc/self/fd")
        .into_iter()
        .map(|fd| (fd, device(fd).unwrap_or_else(|| link(&format!("/proc/self/fd/{fd}")))))
        .filter(|(_, target)| !target.is_empty() && *target != own)
        .collect()
}

fn device(fd: u32) -> Option<String> {
    let metadata = fs::metadata(format!("/proc/self/fd/{fd}")).ok()?;
    let number = metadata.rdev();
    let is_device = metadata.file_type().is_char_device();
    is_device.then(|| format!("char {}:{}", nix::sys::stat::major(number), nix::sys::stat::minor(number)))
}

fn numbers(directory: &str) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut numbers: Vec<u32> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// A system call with arguments that name no memory, so that one which nothing denies is a mistake in the kernel's eyes.
#[allow(unsafe_code)]
fn call(value: &str) -> io::Result<Value> {
    let (name, first) = value.split_once(':').unwrap_or((value, "-1"));
    let number = name.parse::<Sysno>().map_err(|()| io::Error::other("no such system call"))?;
    let first: i64 = first.parse().map_err(io::Error::other)?;
    // SAFETY: none of the arguments is the address of anything, so that the kernel reads and writes no memory of ours.
    match unsafe {
        libc::syscall(libc::c_long::from(number.id()), first, -1_i64, -1_i64, -1_i64, -1_i64, -1_i64)
    } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(json!(result)),
    }
}

/// The first 64 KiB, as text.
fn read(path: &str) -> io::Result<Value> {
    let mut bytes = Vec::new();
    File::open(path)?.take(64 << 10).read_to_end(&mut bytes)?;
    Ok(json!(String::from_utf8_lossy(&bytes)))
}

/// Owner and mode, without following a link.
fn stat(path: &str) -> io::Result<Value> {
    let found = fs::symlink_metadata(path)?;
    Ok(json!({"uid": found.uid(), "gid": found.gid(), "mode": format!("{:o}", found.mode() & 0o7777)}))
}

fn list(path: &str) -> io::Result<Value> {
    let entries: io::Result<Vec<_>> =
        fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect();
    let mut entries = entries?;
    entries.sort();
    Ok(json!(entries))
}

fn make_device(value: &str) -> io::Result<Value> {
    let mut parts = value.splitn(4, ':');
    let mut part = || parts.next().unwrap_or_default();
    let kind = if part() == "b" { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    let device = makedev(number(part()) as u64, number(part()) as u64);
    mknod(part(), kind, Mode::from_bits_truncate(0o666), device)?;
    Ok(json!(null))
}

fn done(result: nix::Result<()>) -> io::Result<Value> {
    Ok(result.map(|()| json!(null))?)
}

fn until(path: &Path) {
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
}

fn fill(value: &str) -> io::Result<Value> {
    let (path, mebibytes) = value.split_once(':').unwrap_or((value, ""));
    fs::write(path, vec![1; number(mebibytes) << 20]).map(|()| json!(null))
}

fn says(value: &str) -> io::Result<Value> {
    let (path, wanted) = value.split_once(':').unwrap_or((value, ""));
    let deadline = Instant::now() + PATIENCE;
    while fs::read_to_string(path).ok().as_deref() != Some(wanted) {
        if Instant::now() > deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(json!(null))
}

fn say(bytes: &[u8]) {
    drop(io::stdout().write_all(bytes));
}

/// Says what it got, and asked for its `window`, how large that is.
fn converse() {
    for line in io::stdin().lines().map_while(Result::ok).take_while(|line| line != "enough") {
        match line.as_str() {
            "window" => match window() {
                Ok((rows, columns)) => say(format!("window {rows} {columns}\n").as_bytes()),
                Err(error) => say(format!("window {error}\n").as_bytes()),
            },
            line => say(format!("got {line}\n").as_bytes()),
        }
    }
    say(b"enough\n");
}

/// Rows and columns of the terminal that is standard input.
#[allow(unsafe_code)]
fn window() -> io::Result<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes one winsize, which outlives the call.
    match unsafe { libc::ioctl(0, libc::TIOCGWINSZ, &raw mut size) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok((size.ws_row, size.ws_col)),
    }
}

fn append(file: &str, line: &Value) {
    drop(open(file).write_all(format!("{line}\n").as_bytes()));
}

/// Opens a file of the ledger. Without one there is nothing to test.
fn open(file: &str) -> File {
    let path = Path::new(LEDGER).join(file);
    OpenOptions::new().append(true).create(true).open(&path).unwrap_or_else(|error| {
        drop(writeln!(io::stderr(), "ledger: open {}: {error}", path.display()));
        std::process::exit(95)
    })
}

fn text(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn link(path: &str) -> String {
    fs::read_link(path).map(|target| target.to_string_lossy().into_owned()).unwrap_or_default()
}

fn number(text: &str) -> usize {
    text.parse().unwrap_or_default()
}

fn nanoseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_nanos() as u64).unwrap_or_default()
}

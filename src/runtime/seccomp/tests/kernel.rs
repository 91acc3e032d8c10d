//! Filters in this machine's kernel. A filter is a thread's own: each test loads one into a thread, and tries.

use std::thread;

use nix::errno::Errno;
use nix::sys::prctl;

use super::*;
use crate::container::seccomp;
use crate::sys::seccomp::attempt;

/// What filters answer here, and nothing else in the kernel would.
const DENIED: Errno = Errno::ENOMEDIUM;

/// An argument that is no address, no open descriptor, and no set of flags.
const NOTHING: [u64; 6] = [u64::MAX; 6];

/// The profile's filter on a machine like this, with [`DENIED`] for EPERM.
fn filter(json: &[u8], capabilities: &BTreeSet<String>) -> (Policy, Filter) {
    let mut profile = Profile::parse(json).unwrap();
    if profile.default_action == profile::Verb::Errno {
        profile.default_errno_ret = Some(DENIED as u32);
    }
    let context = Context { machine: Architecture::NATIVE, kernel: KernelVersion(5, 15), capabilities };
    let (policy, _) = Policy::new(&profile, context);
    let filter = Filter::new(policy.flags, &compile(&policy).unwrap());
    (policy, filter)
}

fn confined<T: Send>(filter: &Filter, body: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let confined = scope.spawn(|| {
            prctl::set_no_new_privs().unwrap();
            seccomp::load(filter).unwrap();
            body()
        });
        confined.join().unwrap()
    })
}

fn call(name: &str, args: [u64; 6]) -> Errno {
    Errno::from_raw(attempt(Architecture::NATIVE.number(name).unwrap(), args))
}

#[test]
fn every_call_that_the_default_profile_denies_is_denied() {
    for (name, capabilities) in sets() {
        let (policy, filter) = filter(DEFAULT, &capabilities);
        let rules = &policy.calls[&Architecture::NATIVE];
        let newest = rules.keys().last().unwrap();
        // uprobe: kernels since 6.13 let a uprobe's own calls pass whatever a filter says.
        let is_denied = |(number, call): &(u32, &str)| !rules.contains_key(number) && *call != "uprobe";
        let denied: Vec<_> = Architecture::NATIVE.calls().into_iter().filter(is_denied).collect();
        assert!(denied.len() > 20, "{name}: {denied:?}");
        confined(&filter, || {
            for (number, call) in denied {
                let expected = if number > *newest { Errno::ENOSYS } else { DENIED };
                assert_eq!(Errno::from_raw(attempt(number, NOTHING)), expected, "{name}: {call}");
            }
        });
    }
}

#[test]
fn arguments_decide_in_the_kernel_as_on_paper() {
    let (_, filter) = filter(DEFAULT, &sets()[0].1);
    confined(&filter, || {
        let first = |value: u64| [value, 0, 0, 0, 0, 0];
        assert_eq!(call("clone3", NOTHING), Errno::ENOSYS);
        // Without CLONE_SIGHAND the kernel takes CLONE_THREAD for a mistake: nothing is cloned.
        let thread = libc::CLONE_THREAD as u64;
        assert_eq!(call("clone", first(thread)), Errno::EINVAL);
        for namespace in [
            libc::CLONE_NEWNS,
            libc::CLONE_NEWCGROUP,
            libc::CLONE_NEWUTS,
            libc::CLONE_NEWIPC,
            libc::CLONE_NEWUSER,
            libc::CLONE_NEWPID,
            libc::CLONE_NEWNET,
        ] {
            assert_eq!(call("clone", first(thread | namespace as u64)), DENIED, "{namespace:#x}");
        }
        for above in [0, 1 << 32] {
            for family in [libc::AF_ALG, libc::AF_VSOCK] {
                assert_eq!(
                    call("socket", [family as u64 | above, 5, 0, 0, 0, 0]),
                    Errno::EPERM,
                    "{family} {above:#x}"
                );
            }
        }
        assert_eq!(call("socket", [u64::from(u16::MAX), 1, 0, 0, 0, 0]), Errno::EAFNOSUPPORT);
        assert_eq!(call("personality", first(0xffff_ffff)), Errno::UnknownErrno, "succeeds");
        assert_eq!(call("personality", first(libc::ADDR_NO_RANDOMIZE as u64)), DENIED);
    });
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_32_bit_programs_are_filtered_by_their_own_numbers() {
    use crate::sys::seccomp::attempt_i386;
    let call = |name: &str, first, second| {
        Errno::from_raw(attempt_i386(Architecture::I386.number(name).unwrap(), first, second))
    };
    let (_, filter) = filter(DEFAULT, &sets()[0].1);
    confined(&filter, || {
        // getpid of i386 is 20, which is writev on x86_64.
        assert_eq!(call("getpid", 0, 0), Errno::UnknownErrno, "succeeds");
        assert_eq!(call("unshare", u32::MAX, 0), DENIED);
        assert_eq!(call("keyctl", u32::MAX, 0), DENIED);
        assert_eq!(call("clone3", u32::MAX, u32::MAX), Errno::ENOSYS);
        assert_eq!(call("socketcall", 1, u32::MAX), DENIED, "SYS_SOCKET");
        assert_eq!(call("socketcall", 5, u32::MAX), Errno::EFAULT, "SYS_ACCEPT");
        assert_eq!(call("socket", libc::AF_ALG as u32, 5), Errno::EPERM);
        assert_eq!(attempt(0x4000_0000 + 39, NOTHING), libc::ENOSYS, "getpid of x32");
    });
}

#[test]
fn a_process_that_is_killed_dies_of_sigsys() {
    use std::os::unix::process::{CommandExt, ExitStatusExt};
    let json = br#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["uname"], "action": "SCMP_ACT_KILL_PROCESS"}]}"#;
    let (_, filter) = filter(json, &BTreeSet::new());
    let status = confined(&filter, || {
        std::process::Command::new("/bin/uname")
            .arg0("uname")
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap()
    });
    assert_eq!(status.signal(), Some(libc::SIGSYS));
}

#[test]
fn what_the_kernel_does_not_take_is_an_error_with_its_name() {
    let error = thread::spawn(|| {
        prctl::set_no_new_privs().unwrap();
        seccomp::load(&Filter::new(0, &[])).unwrap_err().to_string()
    });
    assert_eq!(error.join().unwrap(), "load the seccomp filter: EINVAL: Invalid argument");
}

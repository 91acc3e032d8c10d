//! What the default profile comes to, on paper and in this machine's kernel; and the node's own profiles.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;

use oci_spec::runtime::Capability;

use super::compile::compile;
use super::compile::tests::{Call, run};
use super::policy::{Action, Test};
use super::profile::{Argument, Operator};
use super::*;

/// The eleven that a container has when its manifest says nothing.
const USUAL: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "SETFCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
];

fn sets() -> [(&'static str, BTreeSet<String>); 4] {
    let named = |names: &[&str]| names.iter().map(|name| format!("CAP_{name}")).collect();
    let all = caps::all().into_iter().map(|capability| capability.to_string()).collect();
    [("usual", named(&USUAL)), ("none", named(&[])), ("admin", named(&["SYS_ADMIN"])), ("all", all)]
}

fn policy(machine: Architecture, capabilities: &BTreeSet<String>) -> Policy {
    let context = Context { machine, kernel: KernelVersion(5, 15), capabilities };
    let (policy, unknown) = Policy::new(&Profile::parse(DEFAULT).unwrap(), context);
    // Those of other machines, and of libraries that once gave a call another name.
    for name in ["read", "clone3", "mount", "process_madvise"] {
        assert!(!unknown.contains(name), "{unknown:?}");
    }
    policy
}

#[test]
fn the_default_profile_comes_to_what_is_written_down() {
    use Architecture::{Aarch64, Arm, I386, X86_64};
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runtime/seccomp/golden");
    for (machine, architecture, file) in [
        (X86_64, X86_64, "x86_64"),
        (X86_64, I386, "i386"),
        (Aarch64, Aarch64, "aarch64"),
        (Aarch64, Arm, "arm"),
    ] {
        let table = table(machine, architecture);
        let path = folder.join(format!("{file}.txt"));
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &table).unwrap();
        }
        let written = fs::read_to_string(&path).unwrap();
        for (line, (written, found)) in written.lines().zip(table.lines()).enumerate() {
            assert_eq!(found, written, "{file}.txt, line {}", line + 1);
        }
        assert_eq!(table.lines().count(), written.lines().count(), "{file}.txt");
    }
}

/// A line for each call: its number, and its fate for each set of capabilities, as the compiled program tells it.
fn table(machine: Architecture, architecture: Architecture) -> String {
    let sets = sets();
    let policies: Vec<Policy> = sets.iter().map(|(_, set)| policy(machine, set)).collect();
    let programs: Vec<_> = policies.iter().map(|policy| compile(policy).unwrap()).collect();
    let mut table = format!("{:28}{:>8}", "system call", "number");
    for (name, _) in &sets {
        write!(table, "  {name:6}").unwrap();
    }
    let mut conditions = BTreeSet::new();
    let mut calls = architecture.calls();
    calls.sort_by_key(|(_, name)| name.trim_start_matches('_'));
    for (number, name) in calls {
        write!(table, "\n{name:28}{number:>8}").unwrap();
        for (policy, program) in policies.iter().zip(&programs) {
            let call = Call { audit: architecture.audit(), number, args: [0; 6] };
            let (answer, looked) = run(program, call);
            let fate = match (looked, answer & libc::SECCOMP_RET_ACTION_FULL) {
                (true, _) => "args".to_owned(),
                (_, libc::SECCOMP_RET_ALLOW) => "allow".to_owned(),
                (_, libc::SECCOMP_RET_ERRNO) => {
                    format!("{:?}", nix::errno::Errno::from_raw((answer & libc::SECCOMP_RET_DATA) as i32))
                }
                (_, other) => panic!("{name}: {other:#x}"),
            };
            write!(table, "  {fate:6}").unwrap();
            if looked {
                let tests = &policy.calls[&architecture][&number];
                conditions
                    .insert(format!("{name}: {}", tests.iter().map(told).collect::<Vec<_>>().join(", ")));
            }
        }
    }
    let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
    let conditions: Vec<String> = conditions.into_iter().collect();
    format!("{}\n\n{}\n", trimmed.join("\n"), conditions.join("\n"))
}

fn told(test: &Test) -> String {
    let action = match test.action {
        Action::Allow => "allow".to_owned(),
        Action::Errno(errno) => format!("{:?}", nix::errno::Errno::from_raw(errno.into())),
        other => format!("{other:?}"),
    };
    let condition = |c: &Argument| match c.op {
        Operator::MaskedEqual => format!("arg{} & {:#x} == {:#x}", c.index, c.value, c.value_two),
        Operator::Equal => format!("arg{} == {:#x}", c.index, c.value),
        Operator::NotEqual => format!("arg{} != {:#x}", c.index, c.value),
        other => panic!("{other:?} is not used by the default profile"),
    };
    let conditions: Vec<String> = test.conditions.iter().map(condition).collect();
    if conditions.is_empty() { action } else { format!("{action} if {}", conditions.join(" and ")) }
}

#[test]
fn no_address_family_that_is_ruled_out_gets_past_a_64_bit_comparison() {
    let program = compile(&policy(Architecture::X86_64, &sets()[0].1)).unwrap();
    let socket = |family: u64| {
        let args = [family, 5, 0, 0, 0, 0];
        run(&program, Call { audit: Architecture::X86_64.audit(), number: 41, args }).0
    };
    for family in 0..64_u64 {
        let denied = [libc::AF_ALG as u64, libc::AF_VSOCK as u64].contains(&family);
        for above in [0, 1 << 32, 0xffff_ffff << 32] {
            assert_eq!(socket(family | above) != libc::SECCOMP_RET_ALLOW, denied, "{family} {above:#x}");
        }
    }
}

#[test]
fn rules_count_by_capability_machine_and_kernel() {
    let capability = BTreeSet::from(["CAP_BPF".to_owned(), "CAP_KILL".to_owned()]);
    for (circumstances, counts) in [
        (r#""includes": {}"#, true),
        (r#""includes": {"caps": ["CAP_BPF"]}"#, true),
        (r#""includes": {"caps": ["CAP_BPF", "CAP_KILL"]}"#, true),
        (r#""includes": {"caps": ["CAP_BPF", "CAP_CHOWN"]}"#, false),
        (r#""excludes": {"caps": ["CAP_CHOWN"]}"#, true),
        (r#""excludes": {"caps": ["CAP_BPF", "CAP_CHOWN"]}"#, false),
        (r#""includes": {"arches": ["s390", "amd64"]}"#, true),
        (r#""includes": {"arches": ["arm64"]}"#, false),
        (r#""excludes": {"arches": ["amd64"]}"#, false),
        (r#""includes": {"minKernel": "5.15"}"#, true),
        (r#""includes": {"minKernel": "5.16"}"#, false),
        (r#""includes": {"minKernel": "6.1"}"#, false),
        (r#""excludes": {"minKernel": "5.4"}"#, false),
        (r#""excludes": {"minKernel": "6.1"}"#, true),
        (r#""includes": {"caps": ["CAP_BPF"]}, "excludes": {"caps": ["CAP_BPF"]}"#, false),
    ] {
        let json = format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["dup"], "action": "SCMP_ACT_ALLOW", {circumstances}}}]}}"#
        );
        let profile = Profile::parse(json.as_bytes()).unwrap();
        let context = Context {
            machine: Architecture::X86_64,
            kernel: KernelVersion(5, 15),
            capabilities: &capability,
        };
        let calls = &Policy::new(&profile, context).0.calls[&Architecture::X86_64];
        assert_eq!(!calls.is_empty(), counts, "{circumstances}");
    }
}

#[test]
fn names_that_no_machine_here_has_are_told_and_have_no_effect() {
    let json = br#"{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["dup", "s390_runtime_instr", "waitpid"], "action": "SCMP_ACT_ALLOW"}]}"#;
    let context = Context {
        machine: Architecture::X86_64,
        kernel: KernelVersion(5, 15),
        capabilities: &BTreeSet::new(),
    };
    let (policy, unknown) = Policy::new(&Profile::parse(json).unwrap(), context);
    assert_eq!(unknown, BTreeSet::from(["s390_runtime_instr".to_owned()]));
    assert_eq!(policy.calls[&Architecture::X86_64].len(), 1);
}

fn capabilities(bounding: &[Capability]) -> LinuxCapabilities {
    let mut capabilities = LinuxCapabilities::default();
    capabilities.set_bounding(Some(bounding.iter().copied().collect::<HashSet<_>>()));
    capabilities
}

#[test]
fn filters_of_the_default_profile_are_kept_by_bounding_set() {
    let profiles = Profiles::new(PathBuf::from("/nope"));
    let filter = |bounding: &[Capability]| {
        profiles.filter(&SeccompProfile::RuntimeDefault, &capabilities(bounding)).unwrap().unwrap()
    };
    let none = filter(&[]);
    assert_eq!(filter(&[]), none);
    assert_ne!(filter(&[Capability::SysAdmin]), none);
    assert_eq!(profiles.filters.lock().unwrap().len(), 2);
    assert_eq!(profiles.filter(&SeccompProfile::Unconfined, &capabilities(&[])), Ok(None));
}

#[test]
fn a_profile_that_cannot_be_used_is_named_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let profiles = Profiles::new(directory.path().to_owned());
    let localhost =
        |path: &str| profiles.filter(&SeccompProfile::Localhost { path: path.into() }, &capabilities(&[]));
    fs::write(directory.path().join("bad.json"), "{\n}").unwrap();
    let error = localhost("bad.json").unwrap_err().to_string();
    assert_eq!(error, r#"seccomp profile "bad.json": missing field `defaultAction` at line 2 column 1"#);
    let error = localhost("../x").unwrap_err().to_string();
    assert_eq!(error, r#"seccomp profile "../x": must be a relative path without .."#);

    // A file that changes is read again.
    fs::write(directory.path().join("bad.json"), r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#).unwrap();
    let before = localhost("bad.json").unwrap();
    fs::write(directory.path().join("bad.json"), r#"{"defaultAction": "SCMP_ACT_LOG"}"#).unwrap();
    assert_ne!(localhost("bad.json").unwrap(), before);
}

mod kernel;

//! What a profile may say, and what is said of one that does not.

use super::*;

#[test]
fn everything_a_profile_may_say_is_read() {
    let profile = Profile::parse(
        br#"{
            "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
            "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
            "flags": ["SECCOMP_FILTER_FLAG_LOG"],
            "syscalls": [
                {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "",
                 "includes": {}, "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390"], "minKernel": "4.8"}},
                {"name": "open", "action": "SCMP_ACT_KILL", "args": null, "includes": null},
                {"names": ["clone"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0,
                 "args": [{"index": 5, "value": 18446744073709551615, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"}]}
            ]
        }"#,
    )
    .unwrap();
    assert_eq!((profile.default_action, profile.default_errno_ret), (Verb::Errno, Some(38)));
    assert_eq!(profile.flags, [Flag::Log]);
    let [plain, old, clone] = &profile.syscalls[..] else { panic!("{profile:?}") };
    assert_eq!(plain.calls().collect::<Vec<_>>(), ["read", "write"]);
    assert_eq!(plain.excludes.min_kernel, Some(KernelVersion(4, 8)));
    assert_eq!((old.calls().next(), old.action), (Some("open"), Verb::KillThread));
    assert_eq!(clone.args[0].value, u64::MAX);
    for (name, verb) in [
        ("ALLOW", Verb::Allow),
        ("LOG", Verb::Log),
        ("TRAP", Verb::Trap),
        ("KILL_THREAD", Verb::KillThread),
        ("KILL_PROCESS", Verb::KillProcess),
    ] {
        let profile = Profile::parse(format!(r#"{{"defaultAction": "SCMP_ACT_{name}"}}"#).as_bytes());
        assert_eq!(profile.unwrap().default_action, verb, "{name}");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    let rule = |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{{rule}}}]}}"#);
    let argument = |argument: &str| {
        rule(&format!(r#""names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [{{{argument}}}]"#))
    };
    for (json, error) in [
        (String::new(), "EOF while parsing a value at line 1 column 0"),
        ("[]".into(), "invalid length 0, expected struct Profile with 6 elements at line 1 column 2"),
        ("{}".into(), "missing field `defaultAction` at line 1 column 2"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW"} x"#.into(), "trailing characters at line 1 column 37"),
        (r#"{"defaultAction": "allow"}"#.into(), r#"unknown action "allow" at line 1 column 26"#),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": ""}"#.into(), "unknown field `listenerPath`, expected one of"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_LOG"}"#.into(), "duplicate field `defaultAction`"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#.into(), "defaultErrnoRet: only SCMP_ACT_ERRNO has one"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096}"#.into(), "defaultErrnoRet: must be at most 4095"),
        (r#"{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": -1}"#.into(), "invalid value: integer `-1`, expected u32"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["X86"]}"#.into(), r#"unknown architecture "X86""#),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#.into(),
         "both architectures and archMap are there: use either"),
        (r#"{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}"#.into(), "unknown variant `SECCOMP_FILTER_FLAG_NEW_LISTENER`"),
        (rule(r#""names": ["dup"]"#), "missing field `action`"),
        (rule(r#""names": ["dup"], "action": "SCMP_ACT_TRACE""#), "action SCMP_ACT_TRACE is not supported: there is no tracer at line 1"),
        (rule(r#""names": ["dup"], "action": "SCMP_ACT_NOTIFY""#), "action SCMP_ACT_NOTIFY is not supported: nobody listens at line 1"),
        (rule(r#""names": ["dup"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1"#), "syscalls[0].errnoRet: only SCMP_ACT_ERRNO has one"),
        (rule(r#""names": ["dup"], "action": "SCMP_ACT_ALLOW", "priority": 1"#), "unknown field `priority`"),
        (rule(r#""names": [], "action": "SCMP_ACT_ALLOW""#), "syscalls[0].names: no system call is named"),
        (rule(r#""action": "SCMP_ACT_ALLOW""#), "syscalls[0].names: no system call is named"),
        (rule(r#""name": "dup", "names": ["dup"], "action": "SCMP_ACT_ALLOW""#), "syscalls[0].names: both name and names are there: use either"),
        (rule(r#""names": ["dup"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4"}"#), r#"invalid kernel version "4", expected VERSION.MAJOR"#),
        (rule(r#""names": ["dup"], "action": "SCMP_ACT_ALLOW", "excludes": {"os": []}"#), "unknown field `os`"),
        (argument(r#""index": 6, "value": 0, "op": "SCMP_CMP_EQ""#), "syscalls[0].args[0].index: must be 0 to 5"),
        (argument(r#""index": 0, "op": "SCMP_CMP_EQ""#), "missing field `value`"),
        (argument(r#""index": 0, "value": 0, "op": "EQ""#), "unknown variant `EQ`, expected one of"),
        (argument(r#""index": 0, "value": 18446744073709551616, "op": "SCMP_CMP_EQ""#), "expected u64"),
    ] {
        let said = Profile::parse(json.as_bytes()).unwrap_err();
        assert!(said.contains(error), "{json}\n{said}\n{error}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_profile_nested_too_deep_is_refused() {
    let deep = format!("{}{}", r#"{"syscalls": "#, "[".repeat(100_000));
    assert!(Profile::parse(deep.as_bytes()).unwrap_err().contains("invalid type"));
}

#[test]
fn kernels_are_told_apart_by_two_numbers() {
    for (release, version) in [
        ("6.18.3-cloud-amd64", Some(KernelVersion(6, 18))),
        ("5.15", Some(KernelVersion(5, 15))),
        ("6.1-rc5", Some(KernelVersion(6, 1))),
        ("6", None),
        ("", None),
    ] {
        assert_eq!(KernelVersion::of_release(release), version, "{release}");
    }
    assert!(KernelVersion(5, 15) > KernelVersion(5, 4));
}

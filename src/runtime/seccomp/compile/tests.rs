//! The program's answers: for single rules, and against seccompiler's for random ones.

use std::collections::BTreeSet;

use proptest::prelude::*;
use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::*;
use crate::runtime::seccomp::policy::Context;
use crate::runtime::seccomp::profile::{KernelVersion, Profile};

/// A system call as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    pub(crate) audit: u32,
    pub(crate) number: u32,
    pub(crate) args: [u64; 6],
}

/// What a program answers, and whether it looked at an argument: the kernel's machine, as far as filters use it.
pub(crate) fn run(program: &[sock_filter], call: Call) -> (u32, bool) {
    let (mut accumulator, mut place, mut looked) = (0_u32, 0_usize, false);
    loop {
        let i = program[place];
        place += 1;
        let condition = |holds: bool| usize::from(if holds { i.jt } else { i.jf });
        match u32::from(i.code) {
            code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                accumulator = match i.k {
                    0 => call.number,
                    4 => call.audit,
                    offset @ 16..64 => {
                        looked = true;
                        let argument = call.args[(offset as usize - 16) / 8];
                        if offset % 8 == 0 { argument as u32 } else { (argument >> 32) as u32 }
                    }
                    other => panic!("load at {other}"),
                }
            }
            code if code == libc::BPF_ALU | libc::BPF_AND | libc::BPF_K => accumulator &= i.k,
            code if code == libc::BPF_JMP | libc::BPF_JA => place += i.k as usize,
            code if code == libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K => {
                place += condition(accumulator == i.k)
            }
            code if code == libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K => {
                place += condition(accumulator > i.k)
            }
            code if code == libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K => {
                place += condition(accumulator >= i.k)
            }
            code if code == libc::BPF_RET | libc::BPF_K => return (i.k, looked),
            other => panic!("instruction {other:#x}"),
        }
    }
}

fn compiled(json: &str) -> Vec<sock_filter> {
    let profile = Profile::parse(json.as_bytes()).unwrap();
    let none = BTreeSet::new();
    let context = Context { machine: Architecture::X86_64, kernel: KernelVersion(6, 1), capabilities: &none };
    compile(&Policy::new(&profile, context).0).unwrap()
}

fn ask(program: &[sock_filter], number: u32, args: [u64; 6]) -> u32 {
    run(program, Call { audit: Architecture::X86_64.audit(), number, args }).0
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;
const KILL: u32 = libc::SECCOMP_RET_KILL_PROCESS;

#[test]
fn every_operator_compares_all_64_bits_without_sign() {
    const HIGH: u64 = 1 << 32;
    let values = [0, 1, 4, 5, 6, 7, HIGH, HIGH + 4, HIGH + 5, HIGH + 6, 2 * HIGH, u64::MAX];
    for value in [5, HIGH + 5, 0, u64::MAX] {
        let check = |op: &str, two: u64, holds: &dyn Fn(u64) -> bool| {
            let program = compiled(&format!(
                r#"{{"defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [{{"names": ["read"], "action": "SCMP_ACT_ALLOW",
                   "args": [{{"index": 3, "value": {value}, "valueTwo": {two}, "op": "SCMP_CMP_{op}"}}]}}]}}"#
            ));
            for argument in values {
                let answer = ask(&program, 0, [9, 9, 9, argument, 9, 9]);
                assert_eq!(answer == ALLOW, holds(argument), "{argument:#x} {op} {value:#x} {two:#x}");
            }
        };
        check("EQ", 0, &|argument| argument == value);
        check("NE", 0, &|argument| argument != value);
        check("LT", 0, &|argument| argument < value);
        check("LE", 0, &|argument| argument <= value);
        check("GT", 0, &|argument| argument > value);
        check("GE", 0, &|argument| argument >= value);
        for two in [0, 4, 5, HIGH, 7] {
            check("MASKED_EQ", two, &|argument| argument & value == two & value);
        }
    }
}

#[test]
fn the_strictest_rule_that_matches_counts_wherever_it_stands() {
    let rule = |action: &str, args: &str| {
        format!(r#"{{"names": ["dup"], "action": "SCMP_ACT_{action}", "args": [{args}]}}"#)
    };
    let zero = r#"{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}"#;
    let program = |rules: &[String]| {
        compiled(&format!(r#"{{"defaultAction": "SCMP_ACT_TRAP", "syscalls": [{}]}}"#, rules.join(",")))
    };
    for rules in [
        [rule("ALLOW", ""), rule("ERRNO", zero), rule("LOG", zero), rule("KILL_PROCESS", zero)],
        [rule("KILL_PROCESS", zero), rule("LOG", zero), rule("ERRNO", zero), rule("ALLOW", "")],
    ] {
        assert_eq!(ask(&program(&rules), 32, [0; 6]), KILL);
        assert_eq!(ask(&program(&rules), 32, [1; 6]), ALLOW);
        assert_eq!(ask(&program(&rules), 31, [1; 6]), libc::SECCOMP_RET_TRAP);
    }
}

#[test]
fn conditions_on_several_arguments_all_hold_and_of_several_on_one_argument_any() {
    let program = |second: u32| {
        compiled(&format!(
            r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [
               {{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}}, {{"index": {second}, "value": 2, "op": "SCMP_CMP_EQ"}}]}}]}}"#
        ))
    };
    for (first, second, both, any) in
        [(1, 2, ALLOW, ALLOW), (1, 9, EPERM, ALLOW), (2, 9, EPERM, ALLOW), (9, 2, EPERM, EPERM)]
    {
        assert_eq!(ask(&program(1), 32, [first, second, 0, 0, 0, 0]), both);
        assert_eq!(ask(&program(0), 32, [first, second, 0, 0, 0, 0]), any);
    }
}

#[test]
fn calls_newer_than_a_profile_are_not_there_unless_it_allows_what_it_does_not_name() {
    let profile = |default: &str| {
        compiled(&format!(
            r#"{{"defaultAction": "SCMP_ACT_{default}", "syscalls": [{{"names": ["dup"], "action": "SCMP_ACT_LOG"}}]}}"#
        ))
    };
    for (default, below, above) in
        [("ERRNO", EPERM, ENOSYS), ("KILL_PROCESS", KILL, ENOSYS), ("ALLOW", ALLOW, ALLOW)]
    {
        let program = profile(default);
        assert_eq!(ask(&program, 31, [0; 6]), below, "{default}");
        assert_eq!(ask(&program, 32, [0; 6]), libc::SECCOMP_RET_LOG, "{default}");
        for number in [33, 500, 0x3fff_ffff] {
            assert_eq!(ask(&program, number, [0; 6]), above, "{default} {number}");
        }
        for x32 in [0x4000_0000, 0x4000_0020, 0xffff_ffff] {
            assert_eq!(ask(&program, x32, [0; 6]), ENOSYS, "{default} {x32:#x}");
        }
    }
}

#[test]
fn programs_of_architectures_that_a_profile_does_not_name_are_killed() {
    let with = |architectures: &str| {
        let program = compiled(&format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", {architectures}}}"#));
        use Architecture::{Aarch64, Arm, I386, X86_64};
        [X86_64, I386, Aarch64, Arm]
            .map(|a| run(&program, Call { audit: a.audit(), number: 3, args: [0; 6] }).0 == ALLOW)
    };
    let native = [true, false, false, false];
    let both = [true, true, false, false];
    for (architectures, allowed) in [
        (r#""architectures": null"#, native),
        (r#""architectures": ["SCMP_ARCH_X86_64"]"#, native),
        (r#""architectures": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32"]"#, native),
        (r#""architectures": ["SCMP_ARCH_X86"]"#, both),
        (
            r#""archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_X86"]}]"#,
            native,
        ),
        (r#""archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]"#, both),
    ] {
        assert_eq!(with(architectures), allowed, "{architectures}");
    }
}

#[test]
fn arguments_of_32_bit_programs_have_32_bits() {
    let program = compiled(
        r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [{"names": ["personality"],
            "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 18446744073709551615, "op": "SCMP_CMP_EQ"}]}]}"#,
    );
    let call = |audit, number, argument| run(&program, Call { audit, number, args: [argument; 6] }).0;
    assert_eq!(call(Architecture::I386.audit(), 136, 0xffff_ffff), ALLOW);
    assert_eq!(call(Architecture::X86_64.audit(), 135, 0xffff_ffff), EPERM);
}

#[test]
fn a_program_that_the_kernel_would_not_take_is_refused() {
    let rule = |value: usize| {
        format!(
            r#"{{"names": ["dup"], "action": "SCMP_ACT_ALLOW", "args": [{{"index": 0, "value": {value}, "op": "SCMP_CMP_EQ"}}]}}"#
        )
    };
    let rules: Vec<String> = (0..1000).map(rule).collect();
    let json = format!(r#"{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{}]}}"#, rules.join(","));
    let policy = Policy::new(
        &Profile::parse(json.as_bytes()).unwrap(),
        Context {
            machine: Architecture::X86_64,
            kernel: KernelVersion(6, 1),
            capabilities: &BTreeSet::new(),
        },
    );
    let error = compile(&policy.0).unwrap_err();
    assert!(error.starts_with("too long: ") && error.ends_with("the kernel takes 4096"), "{error}");
}

fn condition() -> impl Strategy<Value = Argument> {
    use Operator::{Equal, GreaterEqual, GreaterThan, LessEqual, LessThan, MaskedEqual, NotEqual};
    let operators = [NotEqual, LessThan, LessEqual, Equal, GreaterEqual, GreaterThan, MaskedEqual];
    let operator = proptest::sample::select(Vec::from(operators));
    (0_usize..6, value(), value(), operator).prop_map(|(index, value, value_two, op)| Argument {
        index,
        value,
        value_two,
        op,
    })
}

/// Such as often are equal, or equal by half.
fn value() -> impl Strategy<Value = u64> {
    (0_u64..3, 0_u64..3).prop_map(|(upper, lower)| upper << 32 | lower)
}

fn of_seccompiler(calls: &BTreeMap<u32, Vec<Vec<Argument>>>) -> Vec<seccompiler::sock_filter> {
    let translate = |argument: &Argument| {
        let (op, value) = match argument.op {
            Operator::NotEqual => (SeccompCmpOp::Ne, argument.value),
            Operator::LessThan => (SeccompCmpOp::Lt, argument.value),
            Operator::LessEqual => (SeccompCmpOp::Le, argument.value),
            Operator::Equal => (SeccompCmpOp::Eq, argument.value),
            Operator::GreaterEqual => (SeccompCmpOp::Ge, argument.value),
            Operator::GreaterThan => (SeccompCmpOp::Gt, argument.value),
            Operator::MaskedEqual => (SeccompCmpOp::MaskedEq(argument.value), argument.value_two),
        };
        SeccompCondition::new(argument.index as u8, SeccompCmpArgLen::Qword, op, value).unwrap()
    };
    let rule =
        |conditions: &Vec<Argument>| SeccompRule::new(conditions.iter().map(translate).collect()).unwrap();
    let rules = calls.iter().map(|(number, tests)| (i64::from(*number), tests.iter().map(rule).collect()));
    let (deny, allow) = (SeccompAction::Errno(1), SeccompAction::Allow);
    let filter = SeccompFilter::new(rules.collect(), deny, allow, TargetArch::x86_64).unwrap();
    filter.try_into().unwrap()
}

proptest! {
    #[test]
    fn answers_are_those_of_seccompiler(
        calls in proptest::collection::btree_map(0_u32..40, proptest::collection::vec(proptest::collection::vec(condition(), 1..4), 0..4), 1..30),
        asked in proptest::collection::vec((0_u32..45, proptest::array::uniform6(value())), 50),
    ) {
        let always = |tests: &Vec<Vec<Argument>>| if tests.is_empty() { vec![Vec::new()] } else { tests.clone() };
        let tests = |tests: &Vec<Vec<Argument>>| {
            let test = |conditions| Test { conditions, action: Action::Allow };
            always(tests).into_iter().map(test).collect::<Vec<_>>()
        };
        let of_machine = calls.iter().map(|(number, conditions)| (*number, tests(conditions))).collect();
        let policy = Policy {
            default: Action::Errno(1),
            calls: BTreeMap::from([(Architecture::X86_64, of_machine)]),
            flags: 0,
        };
        let ours = compile(&policy).unwrap();
        let theirs: Vec<sock_filter> = of_seccompiler(&calls)
            .into_iter()
            .map(|i| sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k })
            .collect();
        let newest = *calls.keys().last().unwrap();
        for (number, args) in asked {
            let expected = match ask(&theirs, number, args) {
                EPERM if number > newest => ENOSYS,
                answer => answer,
            };
            prop_assert_eq!(ask(&ours, number, args), expected, "{} {:?}", number, args);
        }
    }
}

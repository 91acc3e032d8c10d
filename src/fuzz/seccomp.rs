//! Seccomp profiles: what is accepted becomes a program that the kernel takes and that always comes to an end.

use std::collections::BTreeSet;

use crate::runtime::seccomp::compile::compile;
use crate::runtime::seccomp::machine::Architecture;
use crate::runtime::seccomp::policy::{Context, Policy};
use crate::runtime::seccomp::profile::{KernelVersion, Profile};

pub(super) fn check(data: &[u8]) {
    let profile = match Profile::parse(data) {
        Ok(profile) => profile,
        Err(reason) => return assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}"),
    };
    let every = BTreeSet::from(["CAP_SYS_ADMIN".to_owned(), "CAP_SYS_PTRACE".to_owned()]);
    for capabilities in [&BTreeSet::new(), &every] {
        let kernel = KernelVersion(5, 15);
        let context = Context { machine: Architecture::NATIVE, kernel, capabilities };
        let (policy, unknown) = Policy::new(&profile, context);
        assert!(unknown.iter().all(|name| Architecture::NATIVE.number(name).is_none()), "{unknown:?}");
        let Ok(program) = compile(&policy) else { continue };
        assert!((1..=4096).contains(&program.len()));
        for (place, instruction) in program.iter().enumerate() {
            let code = u32::from(instruction.code);
            let next = |skip: u32| place + 1 + skip as usize;
            let furthest = match code & 0x07 {
                libc::BPF_RET => place,
                libc::BPF_JMP if code & 0xf0 == libc::BPF_JA => next(instruction.k),
                libc::BPF_JMP => next(u32::from(instruction.jt.max(instruction.jf))),
                _ => next(0),
            };
            assert!(furthest < program.len(), "instruction {place} of {} leads out", program.len());
        }
    }
}

//! From a policy to a program for the kernel's classic BPF machine (seccomp(2), linux/filter.h).
//!
//! ```text
//! architecture? ──┬─ native: number below? ─┬─ ... ── return the action
//!                 │            (a tree)     └─ ... ── compare arguments ── return the action
//!                 ├─ the compatible one: likewise
//!                 └─ any other: kill
//! ```
//!
//! System calls with the same fate are ranges of numbers, and a binary tree finds the range. The crate seccompiler writes a
//! chain with five instructions for each call instead, for one architecture: 1500 instructions for the default profile,
//! which the kernel takes 0.6 ms to check, translate and try out on every number at each start of a container. A tree takes
//! it a fraction of that. seccompiler's program is what the tests compare this one's answers with.

use std::collections::BTreeMap;

use libc::sock_filter;

use super::machine::Architecture;
use super::policy::{Action, Policy, Test};
use super::profile::{Argument, Operator};

/// A program may have this many instructions (BPF_MAXINSNS).
const LONGEST: usize = 4096;

/// Numbers from here on are those of x32 programs (`__X32_SYSCALL_BIT`).
const X32: u32 = 0x4000_0000;

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

/// Compiles a policy.
///
/// A call newer than all that the policy names for its architecture, which its author could not have known, fails with
/// ENOSYS where it would have been denied, as with runc: C libraries then fall back on an older one.
pub fn compile(policy: &Policy) -> Result<Vec<sock_filter>, String> {
    let mut program = vec![load(ARCHITECTURE)];
    for (architecture, calls) in &policy.calls {
        let tree = tree(&ranges(*architecture, policy.default, calls));
        program.extend([jump(libc::BPF_JEQ, architecture.audit(), 1, 0), skip(tree.len() + 1), load(NUMBER)]);
        program.extend(tree);
    }
    program.push(answer(Action::KillProcess));
    if program.len() > LONGEST {
        return Err(format!("too long: {} instructions, and the kernel takes {LONGEST}", program.len()));
    }
    Ok(program)
}

/// What happens to the system calls from a number on, up to the next range.
#[derive(Debug, PartialEq)]
struct Range {
    first: u32,
    /// Ends by returning an action.
    body: Vec<sock_filter>,
}

fn ranges(architecture: Architecture, default: Action, calls: &BTreeMap<u32, Vec<Test>>) -> Vec<Range> {
    let fate = |action| vec![answer(action)];
    let mut ranges = vec![Range { first: 0, body: fate(default) }];
    let mut add = |first: u32, body: Vec<sock_filter>| match ranges.last_mut() {
        // Two calls in a row: there is nothing in between.
        Some(last) if last.first == first => last.body = body,
        _ => ranges.push(Range { first, body }),
    };
    let not_there =
        if default <= Action::Errno(u16::MAX) { Action::Errno(libc::ENOSYS as u16) } else { default };
    let newest = calls.keys().rfind(|number| !architecture.is_private(**number));
    for (number, tests) in calls {
        add(*number, decide(architecture, tests, default));
        add(number + 1, fate(if Some(number) == newest { not_there } else { default }));
    }
    if architecture == Architecture::X86_64 {
        add(X32, fate(Action::Errno(libc::ENOSYS as u16)));
    }
    ranges.dedup_by(|next, range| next.body == range.body);
    ranges
}

/// Finds the range of the number that is loaded.
fn tree(ranges: &[Range]) -> Vec<sock_filter> {
    let (low, high) = match ranges {
        [] => return Vec::new(),
        [range] => return range.body.clone(),
        ranges => ranges.split_at(ranges.len() / 2),
    };
    let first = high[0].first;
    let (low, high) = (tree(low), tree(high));
    let branch = match u8::try_from(low.len()) {
        Ok(length) => vec![jump(libc::BPF_JGE, first, length, 0)],
        Err(_) => vec![jump(libc::BPF_JGE, first, 0, 1), skip(low.len())],
    };
    [branch, low, high].concat()
}

/// The first test that holds decides, else the default.
fn decide(architecture: Architecture, tests: &[Test], default: Action) -> Vec<sock_filter> {
    let mut body = Vec::new();
    for test in tests {
        let mut block = vec![answer(test.action)];
        for condition in test.conditions.iter().rev() {
            // At most six conditions of at most six instructions: a short jump reaches behind them.
            block.splice(0..0, hold(architecture, condition, block.len() as u8));
        }
        body.extend(block);
    }
    if tests.last().is_none_or(|last| !last.conditions.is_empty()) {
        body.push(answer(default));
    }
    body
}

/// Goes on behind itself when the condition holds, else `miss` instructions further.
fn hold(architecture: Architecture, condition: &Argument, miss: u8) -> Vec<sock_filter> {
    let (mask, value) = match condition.op {
        Operator::MaskedEqual => (condition.value, condition.value_two & condition.value),
        _ => (u64::MAX, condition.value),
    };
    // The kernel's machine has 32 bits: the upper half decides unless it is equal. Both targets machines are little-endian.
    let low = ARGUMENTS + 8 * condition.index as u32;
    let below = |half: u64, offset| {
        let masked = (condition.op == Operator::MaskedEqual).then(|| and(half as u32));
        [load(offset)].into_iter().chain(masked)
    };
    let (lower, upper) = (value as u32, (value >> 32) as u32);
    let mut code: Vec<sock_filter> = Vec::new();
    if architecture.is_64_bit() {
        let rest = if condition.op == Operator::MaskedEqual { 3 } else { 2 };
        code.extend(below(mask >> 32, low + 4));
        code.extend(match condition.op {
            Operator::Equal | Operator::MaskedEqual => vec![jump(libc::BPF_JEQ, upper, 0, rest + miss)],
            Operator::NotEqual => vec![jump(libc::BPF_JEQ, upper, 0, rest)],
            Operator::GreaterThan | Operator::GreaterEqual => {
                vec![jump(libc::BPF_JGT, upper, rest + 1, 0), jump(libc::BPF_JEQ, upper, 0, rest + miss)]
            }
            Operator::LessThan | Operator::LessEqual => {
                vec![jump(libc::BPF_JGT, upper, rest + 1 + miss, 0), jump(libc::BPF_JEQ, upper, 0, rest)]
            }
        });
    }
    code.extend(below(mask, low));
    code.push(match condition.op {
        Operator::Equal | Operator::MaskedEqual => jump(libc::BPF_JEQ, lower, 0, miss),
        Operator::NotEqual => jump(libc::BPF_JEQ, lower, miss, 0),
        Operator::GreaterThan => jump(libc::BPF_JGT, lower, 0, miss),
        Operator::GreaterEqual => jump(libc::BPF_JGE, lower, 0, miss),
        Operator::LessThan => jump(libc::BPF_JGE, lower, miss, 0),
        Operator::LessEqual => jump(libc::BPF_JGT, lower, miss, 0),
    });
    code
}

fn answer(action: Action) -> sock_filter {
    let value = match action {
        Action::KillProcess => libc::SECCOMP_RET_KILL_PROCESS,
        Action::KillThread => libc::SECCOMP_RET_KILL_THREAD,
        Action::Trap => libc::SECCOMP_RET_TRAP,
        Action::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
        Action::Log => libc::SECCOMP_RET_LOG,
        Action::Allow => libc::SECCOMP_RET_ALLOW,
    };
    instruction(libc::BPF_RET | libc::BPF_K, value, 0, 0)
}

fn load(offset: u32) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset, 0, 0)
}

fn and(mask: u32) -> sock_filter {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, mask, 0, 0)
}

/// Compares what is loaded with a value, and skips as many instructions when it holds or does not.
fn jump(compare: u32, value: u32, when: u8, unless: u8) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_K | compare, value, when, unless)
}

fn skip(count: usize) -> sock_filter {
    instruction(libc::BPF_JMP | libc::BPF_JA, count as u32, 0, 0)
}

fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

#[cfg(test)]
pub(super) mod tests;

//! What a profile comes to in one container on one machine: for each system call by number, what is done with it.

use std::collections::{BTreeMap, BTreeSet};

use super::machine::Architecture;
use super::profile::{Argument, Circumstances, Flag, KernelVersion, Profile, Rule, Verb};

/// What the rules of a profile may depend on.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The machine's own architecture.
    pub machine: Architecture,
    /// The running kernel.
    pub kernel: KernelVersion,
    /// The container's bounding set, as `CAP_*`.
    pub capabilities: &'a BTreeSet<String>,
}

/// A profile with its circumstances resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// For calls that are not named below.
    pub default: Action,
    /// The architectures whose programs may run, and their calls.
    pub calls: BTreeMap<Architecture, BTreeMap<u32, Vec<Test>>>,
    /// Flags of seccomp(2).
    pub flags: u64,
}

/// What is done with a call. The strictest comes first, as the kernel ranks them (seccomp(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The process dies of SIGSYS.
    KillProcess,
    /// Likewise the thread.
    KillThread,
    /// The process is sent SIGSYS.
    Trap,
    /// The call fails with this errno.
    Errno(u16),
    /// The call is carried out and logged.
    Log,
    /// The call is carried out.
    Allow,
}

/// An action on condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// All of them hold; with none it is the last test of its call.
    pub conditions: Vec<Argument>,
    /// What then happens.
    pub action: Action,
}

impl Policy {
    /// Resolves a profile. Names of system calls that are not known are returned as well: they have no effect.
    ///
    /// Where several rules match a call, the strictest counts, wherever it stands; of equally strict ones the first.
    pub fn new(profile: &Profile, context: Context<'_>) -> (Self, BTreeSet<String>) {
        let rules: Vec<&Rule> = profile.syscalls.iter().filter(|rule| rule.counts(context)).collect();
        let mut unknown: BTreeSet<String> = BTreeSet::new();
        for name in rules.iter().flat_map(|rule| rule.calls()) {
            let known = |architecture: Architecture| architecture.number(name).is_some();
            if !known(context.machine) && !context.machine.compatible().is_some_and(known) {
                unknown.insert(name.to_owned());
            }
        }
        let architectures = architectures(profile, context.machine);
        let calls =
            architectures.map(|architecture| (architecture, calls_of(architecture, &rules))).collect();
        let default = Action::new(profile.default_action, profile.default_errno_ret);
        (Self { default, calls, flags: flags(profile) }, unknown)
    }
}

impl Action {
    fn new(verb: Verb, errno: Option<u32>) -> Self {
        match verb {
            Verb::Allow => Self::Allow,
            Verb::Log => Self::Log,
            // The reader has seen to it that it fits.
            Verb::Errno => Self::Errno(errno.map_or(libc::EPERM as u16, |errno| errno as u16)),
            Verb::Trap => Self::Trap,
            Verb::KillThread => Self::KillThread,
            Verb::KillProcess => Self::KillProcess,
        }
    }

    /// Less than any other when stricter.
    fn rank(self) -> Self {
        match self {
            Self::Errno(_) => Self::Errno(0),
            other => other,
        }
    }
}

impl Rule {
    fn counts(&self, context: Context<'_>) -> bool {
        self.includes.all_so(context) && !self.excludes.any_so(context)
    }

    /// The conditions of its tests: one test, or one for each condition when an argument has several.
    fn conditions(&self) -> Vec<Vec<Argument>> {
        let arguments: BTreeSet<usize> = self.args.iter().map(|argument| argument.index).collect();
        if arguments.len() == self.args.len() {
            vec![self.args.clone()]
        } else {
            self.args.iter().map(|argument| vec![*argument]).collect()
        }
    }
}

impl Circumstances {
    fn all_so(&self, context: Context<'_>) -> bool {
        self.caps.iter().all(|capability| context.capabilities.contains(capability))
            && (self.arches.is_empty() || self.names(context.machine))
            && self.min_kernel.is_none_or(|oldest| context.kernel >= oldest)
    }

    fn any_so(&self, context: Context<'_>) -> bool {
        self.caps.iter().any(|capability| context.capabilities.contains(capability))
            || self.names(context.machine)
            || self.min_kernel.is_some_and(|oldest| context.kernel >= oldest)
    }

    fn names(&self, machine: Architecture) -> bool {
        self.arches.iter().any(|name| name == machine.go_name())
    }
}

/// The machine's own, and the other that it runs if the profile names it.
fn architectures(profile: &Profile, machine: Architecture) -> impl Iterator<Item = Architecture> {
    let is_own = |name: &str| Architecture::named(name) == Some(machine);
    let own_entry = profile.arch_map.iter().find(|entry| is_own(&entry.architecture.0));
    let mut named =
        profile.architectures.iter().chain(own_entry.into_iter().flat_map(|e| &e.sub_architectures));
    let other = machine.compatible().filter(|other| named.any(|n| Architecture::named(&n.0) == Some(*other)));
    [machine].into_iter().chain(other)
}

fn calls_of(architecture: Architecture, rules: &[&Rule]) -> BTreeMap<u32, Vec<Test>> {
    let mut calls: BTreeMap<u32, Vec<Test>> = BTreeMap::new();
    for rule in rules {
        let action = Action::new(rule.action, rule.errno_ret);
        let conditions = rule.conditions();
        for number in rule.calls().filter_map(|name| architecture.number(name)) {
            let tests = conditions.iter().map(|c| Test { conditions: c.clone(), action });
            calls.entry(number).or_default().extend(tests);
        }
    }
    for tests in calls.values_mut() {
        tests.sort_by_key(|test| test.action.rank());
        if let Some(last) = tests.iter().position(|test| test.conditions.is_empty()) {
            tests.truncate(last + 1);
        }
    }
    calls
}

fn flags(profile: &Profile) -> u64 {
    let bits = |flag: &Flag| match flag {
        Flag::ThreadSync => 0,
        Flag::Log => libc::SECCOMP_FILTER_FLAG_LOG,
        Flag::SpeculationAllowed => libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW,
    };
    profile.flags.iter().map(bits).fold(0, |all, one| all | one)
}

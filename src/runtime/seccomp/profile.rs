//! A seccomp profile as it is written: the JSON of the OCI runtime specification, with what Docker adds to it.
//!
//! Strict: a field, action, operator or architecture that is not known, or not carried out, is an error. What a profile
//! says and nobody obeys would be a hole.

use serde::{Deserialize, Deserializer};

/// errno may be at most this, since the kernel's MAX_ERRNO is.
const MAX_ERRNO: u32 = 4095;

/// System calls have this many arguments.
const ARGUMENTS: usize = 6;

/// A whole profile.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Profile {
    /// For calls that no rule matches.
    pub default_action: Verb,
    /// What such a call returns when it is denied; EPERM when missing.
    pub default_errno_ret: Option<u32>,
    /// Whose programs may run besides the machine's own.
    #[serde(default, deserialize_with = "or_default")]
    pub architectures: Vec<ArchitectureName>,
    /// Likewise, by machine.
    #[serde(default, deserialize_with = "or_default")]
    pub arch_map: Vec<Machine>,
    /// For seccomp(2).
    #[serde(default, deserialize_with = "or_default")]
    pub flags: Vec<Flag>,
    /// The rules.
    #[serde(default, deserialize_with = "or_default")]
    pub syscalls: Vec<Rule>,
}

/// A machine and the architectures that it runs besides its own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Machine {
    /// The machine's own.
    pub architecture: ArchitectureName,
    /// The others.
    #[serde(default, deserialize_with = "or_default")]
    pub sub_architectures: Vec<ArchitectureName>,
}

/// `SCMP_ARCH_*`, one that libseccomp knows.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ArchitectureName(pub String);

/// What to do with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
#[allow(missing_docs)]
pub enum Verb {
    Allow,
    Log,
    Errno,
    Trap,
    KillThread,
    KillProcess,
}

/// A flag of seccomp(2) that has a meaning for a process about to execute a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Flag {
    /// All threads; there is one.
    #[serde(rename = "SECCOMP_FILTER_FLAG_TSYNC")]
    ThreadSync,
    /// Every action but allowing is logged.
    #[serde(rename = "SECCOMP_FILTER_FLAG_LOG")]
    Log,
    /// Without the mitigation of Speculative Store Bypass that kernels before 5.16 tie to a filter.
    #[serde(rename = "SECCOMP_FILTER_FLAG_SPEC_ALLOW")]
    SpeculationAllowed,
}

/// What to do with some calls, perhaps only with some arguments, in some containers and on some machines.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The calls.
    #[serde(default, deserialize_with = "or_default")]
    pub names: Vec<String>,
    /// A single one, as old profiles have it.
    pub name: Option<String>,
    /// What to do.
    pub action: Verb,
    /// What a denied call returns; EPERM when missing.
    pub errno_ret: Option<u32>,
    /// Conditions, all of which must hold; but those of several on one argument, one is enough, and then every other
    /// condition of the rule is enough too. That is how runc reads them.
    #[serde(default, deserialize_with = "or_default")]
    pub args: Vec<Argument>,
    /// For people.
    #[serde(rename = "comment", default)]
    pub _comment: Option<String>,
    /// The rule counts only where all of this is so.
    #[serde(default, deserialize_with = "or_default")]
    pub includes: Circumstances,
    /// The rule does not count where any of this is so.
    #[serde(default, deserialize_with = "or_default")]
    pub excludes: Circumstances,
}

/// Where a rule counts, or does not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Circumstances {
    /// Capabilities in the container's bounding set, as `CAP_*`.
    #[serde(default, deserialize_with = "or_default")]
    pub caps: Vec<String>,
    /// Machines, by their names in Go.
    #[serde(default, deserialize_with = "or_default")]
    pub arches: Vec<String>,
    /// The running kernel is this one or newer.
    pub min_kernel: Option<KernelVersion>,
}

/// Version and major revision of a kernel: 6 and 18 of `6.18.3-cloud`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct KernelVersion(pub u32, pub u32);

/// A condition on an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Argument {
    /// From 0.
    pub index: usize,
    /// What it is compared with; the mask of `MaskedEqual`.
    pub value: u64,
    /// What the masked argument is compared with.
    #[serde(default, deserialize_with = "or_default")]
    pub value_two: u64,
    /// How.
    pub op: Operator,
}

/// How arguments are compared, as numbers without sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[allow(missing_docs)]
pub enum Operator {
    #[serde(rename = "SCMP_CMP_NE")]
    NotEqual,
    #[serde(rename = "SCMP_CMP_LT")]
    LessThan,
    #[serde(rename = "SCMP_CMP_LE")]
    LessEqual,
    #[serde(rename = "SCMP_CMP_EQ")]
    Equal,
    #[serde(rename = "SCMP_CMP_GE")]
    GreaterEqual,
    #[serde(rename = "SCMP_CMP_GT")]
    GreaterThan,
    #[serde(rename = "SCMP_CMP_MASKED_EQ")]
    MaskedEqual,
}

impl Profile {
    /// Reads a profile. The error says what is wrong, and where, in one line.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        // The name of a field may have a line's end in it.
        let on_one_line = |error: serde_json::Error| error.to_string().replace(char::is_control, " ");
        let profile: Self = serde_json::from_slice(json).map_err(on_one_line)?;
        profile.check()?;
        Ok(profile)
    }

    fn check(&self) -> Result<(), String> {
        check_errno(self.default_action, self.default_errno_ret)
            .map_err(|error| format!("defaultErrnoRet: {error}"))?;
        if !self.architectures.is_empty() && !self.arch_map.is_empty() {
            return Err("both architectures and archMap are there: use either".to_owned());
        }
        for (place, rule) in self.syscalls.iter().enumerate() {
            rule.check().map_err(|error| format!("syscalls[{place}].{error}"))?;
        }
        Ok(())
    }
}

impl Rule {
    /// The calls that it is about.
    pub fn calls(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(&self.name).map(String::as_str)
    }

    fn check(&self) -> Result<(), String> {
        check_errno(self.action, self.errno_ret).map_err(|error| format!("errnoRet: {error}"))?;
        if self.name.is_some() && !self.names.is_empty() {
            return Err("names: both name and names are there: use either".to_owned());
        }
        if self.calls().all(str::is_empty) {
            return Err("names: no system call is named".to_owned());
        }
        match self.args.iter().position(|argument| argument.index >= ARGUMENTS) {
            Some(place) => Err(format!("args[{place}].index: must be 0 to {}", ARGUMENTS - 1)),
            None => Ok(()),
        }
    }
}

fn check_errno(action: Verb, errno: Option<u32>) -> Result<(), String> {
    match errno {
        None => Ok(()),
        Some(_) if action != Verb::Errno => Err("only SCMP_ACT_ERRNO has one".to_owned()),
        Some(errno) if errno > MAX_ERRNO => Err(format!("must be at most {MAX_ERRNO}")),
        Some(_) => Ok(()),
    }
}

impl TryFrom<String> for Verb {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Ok(match name.as_str() {
            "SCMP_ACT_ALLOW" => Self::Allow,
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_ERRNO" => Self::Errno,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            "SCMP_ACT_TRACE" => {
                return Err("action SCMP_ACT_TRACE is not supported: there is no tracer".into());
            }
            "SCMP_ACT_NOTIFY" => return Err("action SCMP_ACT_NOTIFY is not supported: nobody listens".into()),
            _ => return Err(format!("unknown action {name:?}")),
        })
    }
}

/// The architectures of libseccomp 2.6, without `SCMP_ARCH_`.
const ARCHITECTURES: [&str; 22] = [
    "AARCH64",
    "ARM",
    "LOONGARCH64",
    "M68K",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PARISC",
    "PARISC64",
    "PPC",
    "PPC64",
    "PPC64LE",
    "RISCV64",
    "S390",
    "S390X",
    "SH",
    "SHEB",
    "X32",
    "X86",
];

impl TryFrom<String> for ArchitectureName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let short = name.strip_prefix("SCMP_ARCH_").unwrap_or_default();
        if short == "X86_64" || ARCHITECTURES.contains(&short) {
            Ok(Self(name))
        } else {
            Err(format!("unknown architecture {name:?}"))
        }
    }
}

impl TryFrom<String> for KernelVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let version = text
            .split_once('.')
            .and_then(|(version, major)| Some(Self(version.parse().ok()?, major.parse().ok()?)));
        version.ok_or_else(|| format!("invalid kernel version {text:?}, expected VERSION.MAJOR"))
    }
}

impl KernelVersion {
    /// Of `uname -r`: what comes after the second number does not count.
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

/// `null` stands for what is missing, as programs written in Go put it.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(json: D) -> Result<T, D::Error> {
    Option::deserialize(json).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests;

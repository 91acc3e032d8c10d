//! The architectures whose programs a node may run, and the numbers of their system calls.

use std::str::FromStr;

use syscalls::{aarch64, arm, x86, x86_64};

/// Whose numbers a system call is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 32-bit x86, which x86_64 kernels run too.
    I386,
    /// 64-bit ARM.
    Aarch64,
    /// 32-bit ARM, which some aarch64 kernels run too.
    Arm,
}

/// Calls that only 32-bit ARM has, beyond the kernel's table (arch/arm/include/uapi/asm/unistd.h).
const ARM_PRIVATE: [(&str, u32); 3] =
    [("breakpoint", 0xf0001), ("cacheflush", 0xf0002), ("set_tls", 0xf0005)];

/// Calls of a table whose common name is another one.
const ALIASES: [(Architecture, &str, &str); 1] = [(Architecture::Aarch64, "newfstatat", "fstatat")];

impl Architecture {
    /// The one that this program is built for.
    pub const NATIVE: Self = if cfg!(target_arch = "x86_64") { Self::X86_64 } else { Self::Aarch64 };

    /// By its name in a profile.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "SCMP_ARCH_X86_64" => Self::X86_64,
            "SCMP_ARCH_X86" => Self::I386,
            "SCMP_ARCH_AARCH64" => Self::Aarch64,
            "SCMP_ARCH_ARM" => Self::Arm,
            _ => return None,
        })
    }

    /// Its name where a profile says for which machines a rule is (that of Go).
    pub fn go_name(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::I386 => "386",
            Self::Aarch64 => "arm64",
            Self::Arm => "arm",
        }
    }

    /// `AUDIT_ARCH_*`, as the kernel tells it to a filter (linux/audit.h).
    pub fn audit(self) -> u32 {
        match self {
            Self::X86_64 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
            Self::Arm => 0x4000_0028,
        }
    }

    /// The other architecture whose programs a kernel for this one runs.
    pub fn compatible(self) -> Option<Self> {
        match self {
            Self::X86_64 => Some(Self::I386),
            Self::Aarch64 => Some(Self::Arm),
            Self::I386 | Self::Arm => None,
        }
    }

    /// Arguments have 64 bits, not 32.
    pub fn is_64_bit(self) -> bool {
        matches!(self, Self::X86_64 | Self::Aarch64)
    }

    /// The number of a system call; `None` when the architecture has none of that name, or this program does not know it.
    pub fn number(self, call: &str) -> Option<u32> {
        let alias = ALIASES.iter().find(|(of, name, _)| (*of, *name) == (self, call));
        let call = alias.map_or(call, |(_, _, name)| name);
        match self {
            Self::X86_64 => x86_64::Sysno::from_str(call).ok().map(|call| call.id() as u32),
            Self::I386 => x86::Sysno::from_str(call).ok().map(|call| call.id() as u32),
            Self::Aarch64 => aarch64::Sysno::from_str(call).ok().map(|call| call.id() as u32),
            Self::Arm => arm::Sysno::from_str(call)
                .ok()
                .map(|call| call.id() as u32)
                .or_else(|| ARM_PRIVATE.iter().find(|(name, _)| *name == call).map(|(_, number)| *number)),
        }
    }

    /// True for a number that does not come from the table which new system calls are appended to.
    pub fn is_private(self, number: u32) -> bool {
        self == Self::Arm && number >= ARM_PRIVATE[0].1
    }

    /// Every system call that is known, by number.
    #[cfg(test)]
    pub(super) fn calls(self) -> Vec<(u32, &'static str)> {
        fn named<T: Copy>(
            of: impl Iterator<Item = (i32, T)>,
            name: fn(&T) -> &'static str,
        ) -> Vec<(u32, &'static str)> {
            of.map(|(number, call)| (number as u32, name(&call))).collect()
        }
        let mut calls = match self {
            Self::X86_64 => named(x86_64::Sysno::iter().map(|c| (c.id(), c)), x86_64::Sysno::name),
            Self::I386 => named(x86::Sysno::iter().map(|c| (c.id(), c)), x86::Sysno::name),
            Self::Aarch64 => named(aarch64::Sysno::iter().map(|c| (c.id(), c)), aarch64::Sysno::name),
            Self::Arm => named(arm::Sysno::iter().map(|c| (c.id(), c)), arm::Sysno::name),
        };
        if self == Self::Arm {
            calls.extend(ARM_PRIVATE.map(|(name, number)| (number, name)));
        }
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_machine_this_runs_on() {
        for (name, number) in [
            ("read", libc::SYS_read),
            ("newfstatat", libc::SYS_newfstatat),
            ("clone3", libc::SYS_clone3),
            ("seccomp", libc::SYS_seccomp),
            ("io_uring_setup", libc::SYS_io_uring_setup),
            ("umount2", libc::SYS_umount2),
            ("close_range", libc::SYS_close_range),
        ] {
            assert_eq!(Architecture::NATIVE.number(name), Some(number as u32), "{name}");
        }
    }

    #[test]
    fn names_and_numbers_agree_on_every_architecture() {
        use Architecture::{Aarch64, Arm, I386, X86_64};
        for architecture in [X86_64, I386, Aarch64, Arm] {
            let calls = architecture.calls();
            assert!(calls.len() > 300, "{architecture:?}: {}", calls.len());
            for (number, name) in calls {
                assert_eq!(architecture.number(name), Some(number), "{architecture:?} {name}");
            }
        }
        assert_eq!(Aarch64.number("open"), None);
        assert_eq!(Arm.number("set_tls"), Some(0xf0005));
        assert_eq!(I386.number("socketcall"), Some(102));
    }
}

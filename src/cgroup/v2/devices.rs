//! Devices on v2: an eBPF program that the kernel asks before a device file is made or opened.
//!
//! It is attached to the group itself, and needs no controller: a hybrid host's v2 hierarchy serves as well. The program
//! goes through the permissions, takes off what each of them gives, and agrees as soon as nothing is left that was asked for.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use crate::cgroup::devices::{Access, Kind, Permission};
use crate::cgroup::{Result, file};
use crate::sys::bpf;

/// Registers: the result, the asked context, what it asks for.
const R0: u8 = 0;
const R1: u8 = 1;
const KIND: u8 = 2;
const WANTED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// Opcodes (Documentation/bpf/standardization/instruction-set.rst of the kernel).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const EXIT: u8 = 0x95;

/// Offsets in `struct bpf_cgroup_dev_ctx` (linux/bpf.h): the access in the upper and the kind in the lower half of a word,
/// then the numbers.
const ACCESS_AND_KIND: i16 = 0;
const MAJOR_NUMBER: i16 = 4;
const MINOR_NUMBER: i16 = 8;

/// The program of the last group, which is as a rule that of the next: a pod's containers have the same rules.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    last: Mutex<Option<(Vec<Permission>, OwnedFd)>>,
}

impl Programs {
    /// Leaves the processes of a group nothing but these devices.
    pub(crate) fn attach(&self, directory: &Path, permissions: Vec<Permission>) -> Result<()> {
        let group = file::open_directory(directory)?;
        // Whole whatever happened to another thread: it is set in one go.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let program = match last.take() {
            Some((known, program)) if known == permissions => program,
            _ => bpf::load_device_program(&program(&permissions))
                .map_err(|error| file::failed("load the device program of", directory, error))?,
        };
        let attached = match bpf::attach_device_program(group.as_fd(), program.as_fd()) {
            // A program that the kernel has just loaded is only invalid here when the group has it already.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
            other => other.map_err(|error| file::failed("attach the device program to", directory, error)),
        };
        *last = Some((permissions, program));
        attached
    }
}

/// The program for an allow-list.
fn program(permissions: &[Permission]) -> Vec<u64> {
    let mut program = vec![
        instruction(LOAD_WORD, WANTED, R1, ACCESS_AND_KIND, 0),
        instruction(MOVE_REGISTER, KIND, WANTED, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, WANTED, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, R1, MAJOR_NUMBER, 0),
        instruction(LOAD_WORD, MINOR, R1, MINOR_NUMBER, 0),
    ];
    for permission in permissions {
        program.extend(step(permission));
    }
    program.extend(answer(false));
    program
}

/// One permission: passed over when it is about other devices.
fn step(permission: &Permission) -> Vec<u64> {
    let conditions =
        [(KIND, permission.kind.map(kind_bit)), (MAJOR, permission.major), (MINOR, permission.minor)];
    let conditions: Vec<(u8, u32)> =
        conditions.into_iter().filter_map(|(register, value)| Some((register, value?))).collect();
    let left = 0b111 & !access_bits(permission.access);
    let mut step = Vec::new();
    for (index, (register, value)) in conditions.iter().enumerate() {
        // Over the conditions that are left, and the four instructions below.
        let over = conditions.len() - index - 1 + 4;
        step.push(instruction(JUMP_UNLESS_EQUAL, *register, 0, over as i16, *value));
    }
    step.push(instruction(AND, WANTED, 0, 0, left));
    step.push(instruction(JUMP_UNLESS_EQUAL, WANTED, 0, 2, 0));
    step.extend(answer(true));
    step
}

fn answer(allowed: bool) -> [u64; 2] {
    [instruction(MOVE, R0, 0, 0, allowed.into()), instruction(EXIT, 0, 0, 0, 0)]
}

/// BPF_DEVCG_DEV_BLOCK and _CHAR.
fn kind_bit(kind: Kind) -> u32 {
    match kind {
        Kind::Block => 1,
        Kind::Character => 2,
    }
}

/// BPF_DEVCG_ACC_MKNOD, _READ and _WRITE.
fn access_bits(access: Access) -> u32 {
    u32::from(access.mknod) | u32::from(access.read) << 1 | u32::from(access.write) << 2
}

/// `struct bpf_insn`: opcode, two registers of four bits, an offset, a number; in the machine's order of bytes.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, number: u32) -> u64 {
    // The order of the two registers in their byte is the machine's as well.
    let registers =
        if cfg!(target_endian = "little") { source << 4 | destination } else { destination << 4 | source };
    let [offset_0, offset_1] = offset.to_ne_bytes();
    let [number_0, number_1, number_2, number_3] = number.to_ne_bytes();
    u64::from_ne_bytes([code, registers, offset_0, offset_1, number_0, number_1, number_2, number_3])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would, for the instructions that are used here.
    fn decide(program: &[u64], kind: Kind, major: u32, minor: u32, access: &str) -> bool {
        let has = |letter: char| access.contains(letter);
        let bits = access_bits(Access { read: has('r'), write: has('w'), mknod: has('m') });
        let context = [bits << 16 | kind_bit(kind), major, minor];
        let mut registers = [0_u32; 11];
        let mut at = 0;
        loop {
            let [code, pair, o0, o1, n0, n1, n2, n3] = program[at].to_ne_bytes();
            let (destination, source) = ((pair & 15) as usize, (pair >> 4) as usize);
            let (offset, number) = (i16::from_ne_bytes([o0, o1]), u32::from_ne_bytes([n0, n1, n2, n3]));
            match code {
                LOAD_WORD => registers[destination] = context[offset as usize / 4],
                MOVE => registers[destination] = number,
                MOVE_REGISTER => registers[destination] = registers[source],
                AND => registers[destination] &= number,
                SHIFT_RIGHT => registers[destination] >>= number,
                JUMP_UNLESS_EQUAL if registers[destination] != number => at += offset as usize,
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[0] == 1,
                other => panic!("opcode {other:#x}"),
            }
            at += 1;
        }
    }

    #[test]
    fn a_program_allows_what_the_list_allows_and_nothing_else() {
        let permission = |kind, major, minor, access: &str| Permission {
            kind,
            major,
            minor,
            access: Access {
                read: access.contains('r'),
                write: access.contains('w'),
                mknod: access.contains('m'),
            },
        };
        let program = program(&[
            permission(Some(Kind::Character), None, None, "m"),
            permission(Some(Kind::Character), Some(1), Some(3), "rw"),
            permission(Some(Kind::Character), Some(136), None, "rwm"),
            permission(None, Some(7), Some(0), "r"),
            permission(None, Some(7), Some(0), "w"),
        ]);
        for (kind, major, minor, access, expected) in [
            (Kind::Character, 1, 3, "rw", true),
            (Kind::Character, 1, 3, "r", true),
            (Kind::Character, 1, 3, "rwm", true),
            (Kind::Character, 1, 4, "r", false),
            (Kind::Character, 1, 4, "m", true),
            (Kind::Character, 1, 4, "mr", false),
            (Kind::Character, 136, 99, "rwm", true),
            (Kind::Block, 136, 99, "r", false),
            (Kind::Block, 1, 3, "rw", false),
            (Kind::Block, 8, 0, "m", false),
            (Kind::Block, 7, 0, "rw", true),
            (Kind::Character, 7, 0, "rw", true),
            (Kind::Character, 7, 1, "w", false),
        ] {
            assert_eq!(
                decide(&program, kind, major, minor, access),
                expected,
                "{kind:?} {major}:{minor} {access}"
            );
        }
        assert!(!decide(&super::program(&[]), Kind::Character, 1, 3, "r"), "an empty list allows nothing");
    }
}

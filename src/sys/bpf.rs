//! bpf(2), as far as programs that decide about devices need it: load one, attach it to a cgroup v2 directory.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// `enum bpf_cmd` of linux/bpf.h.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_ATTACH: libc::c_long = 8;
/// `enum bpf_prog_type`.
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
/// `enum bpf_attach_type`.
const BPF_CGROUP_DEVICE: u32 = 6;
/// Programs of groups above go on to be asked as well.
const BPF_F_ALLOW_MULTI: u32 = 2;

/// The start of `union bpf_attr` for BPF_PROG_LOAD; what is left out counts as zero.
#[repr(C)]
struct Load {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

/// Likewise for BPF_PROG_ATTACH.
#[repr(C)]
struct Attach {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Loads a program of type CGROUP_DEVICE (Linux 4.15). Each instruction is a `struct bpf_insn`, read as one number.
pub fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let mut name = [0; 16];
    name[..11].copy_from_slice(b"mkubelet_dv");
    let load = Load {
        program_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        count: u32::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: instructions.as_ptr() as u64,
        // Asked only of programs that call functions which are for GPL programs alone.
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
    };
    let descriptor = bpf(BPF_PROG_LOAD, &load)?;
    // SAFETY: the kernel has just opened this descriptor for us, close-on-exec, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Attaches a program to a group, beside those that it has and those of the groups above: a device is open to the group
/// when all of them agree. It goes with the group.
pub fn attach_device_program(group: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let attach = Attach {
        target: group.as_raw_fd() as u32,
        program: program.as_raw_fd() as u32,
        attach_type: BPF_CGROUP_DEVICE,
        flags: BPF_F_ALLOW_MULTI,
    };
    bpf(BPF_PROG_ATTACH, &attach).map(drop)
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    let attributes: *const T = attributes;
    // JUSTIFICATION: no crate of ours wraps bpf(2), and the ones that do bring an object loader.
    // SAFETY: `attributes` is a structure of integers without padding, of the size passed, and what its addresses name
    // outlives the call; the kernel only reads.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes.cast::<c_void>(), size_of::<T>()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

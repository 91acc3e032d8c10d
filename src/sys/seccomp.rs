//! seccomp(2): a filter of system calls for the calling thread.

use std::io;

/// Puts a filter on the calling thread, and on what it will clone and execute. The kernel checks the program.
pub fn set_filter(flags: u64, program: &[libc::sock_filter]) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    // JUSTIFICATION: seccompiler's wrapper sets no_new_privs, which not every container is to have.
    // SAFETY: the kernel copies `len` instructions from the slice, which outlives the call, and does not write to them.
    match unsafe {
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes a system call whose arguments name no memory: the errno that it fails with, or 0.
#[cfg(test)]
pub(crate) fn attempt(number: u32, args: [u64; 6]) -> i32 {
    let [a, b, c, d, e, f] = args;
    // SAFETY: the tests pass small numbers and -1, none of which is the address of anything, so that the kernel reads and
    // writes no memory of this process.
    match unsafe { libc::syscall(libc::c_long::from(number), a, b, c, d, e, f) } {
        -1 => io::Error::last_os_error().raw_os_error().unwrap_or(0),
        _ => 0,
    }
}

/// Likewise as a 32-bit program makes it.
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) fn attempt_i386(number: u32, first: u32, second: u32) -> i32 {
    let result: i32;
    // JUSTIFICATION: libc has no calls of another architecture.
    // SAFETY: as above; the kernel preserves all registers but eax and r8 to r11, and rbx, which the compiler keeps to
    // itself, is put back.
    unsafe {
        std::arch::asm!(
            "xchg rbx, {first}", "int 0x80", "xchg rbx, {first}",
            first = inout(reg) u64::from(first) => _,
            inlateout("eax") number as i32 => result,
            in("ecx") second, in("edx") 0, in("esi") 0, in("edi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if result < 0 { -result } else { 0 }
}

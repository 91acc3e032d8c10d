//! The heap of glibc: how far it spreads, how much of it is free, and giving that back.

use std::ffi::c_int;

/// Has all threads share so many arenas (mallopt(3), M_ARENA_MAX); to be called while there is one thread. Each arena keeps what a burst of
/// work has left free in it.
pub fn share_arenas(count: u8) {
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the call takes integers only. It cannot fail for a parameter that glibc knows.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, c_int::from(count)) };
}

/// Bytes of the heap that nobody uses (mallinfo2(3)): held, and in the resident set unless they were given back.
pub fn unused() -> usize {
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the call has no preconditions.
    unsafe { libc::mallinfo2() }.fordblks
}

/// Gives whole unused pages back to the kernel (malloc_trim(3)). Takes the locks of all arenas, one after another.
pub fn trim() {
    // JUSTIFICATION: nix does not wrap it.
    // SAFETY: the call takes an integer only.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;

    const PAGE: usize = 4096;

    /// How many of the pages at these addresses are in memory (/proc/PID/pagemap, bit 63).
    fn present(addresses: &[usize]) -> usize {
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        let is_present = |address: &&usize| {
            let mut entry = [0; 8];
            pagemap.read_exact_at(&mut entry, (*address / PAGE * 8) as u64).unwrap();
            u64::from_ne_bytes(entry) >> 63 == 1
        };
        addresses.iter().filter(is_present).count()
    }

    #[test]
    fn what_was_freed_between_things_that_live_goes_back_to_the_kernel() {
        const PIECE: usize = 100 << 10;
        const PAIRS: usize = 200;
        // Each smaller than what is mapped by itself, and held in its place by the next one, which lives.
        let pieces: Vec<_> = (0..2 * PAIRS).map(|_| vec![1u8; PIECE]).collect();
        let (mut middles, mut neighbours) = (Vec::new(), Vec::new());
        for (number, piece) in pieces.into_iter().enumerate() {
            match number % 2 {
                0 => middles.push(piece.as_ptr() as usize + PIECE / 2),
                _ => neighbours.push(piece),
            }
        }
        assert!(unused() > PAIRS * PIECE / 2, "{}", unused());
        assert!(present(&middles) > PAIRS / 2);
        trim();
        assert!(present(&middles) < PAIRS / 2);
        drop(neighbours);
    }
}

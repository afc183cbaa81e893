//! The C library's allocator, kept small.

/// Keeps glibc to one arena; call it before the first thread starts. `false` where the C library
/// has no such knob.
#[must_use]
pub fn limit_arenas() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: mallopt takes two integers, touches only the allocator's own state under its
        // own lock, and M_ARENA_MAX accepts any positive count.
        let accepted = unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
        accepted == 1
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// Gives free heap pages back to the system; `true` if some were given.
pub fn trim_memory() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: malloc_trim takes an integer and works under the allocator's own locks.
        let released = unsafe { libc::malloc_trim(0) };
        released == 1
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_takes_the_limit_and_goes_on_working() {
        assert!(limit_arenas());
        let blocks: Vec<Vec<u8>> = (0..200).map(|n| vec![n as u8; 64 * 1024]).collect();
        assert_eq!(blocks[150][9], 150);
        drop(blocks);
        // How much was free is the allocator's business; the call must be harmless twice.
        let _first = trim_memory();
        let _second = trim_memory();
        assert_eq!(vec![7_u8; 100_000][99_999], 7);
    }
}

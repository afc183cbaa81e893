//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit of open descriptors as far as the system lets this process (`RLIMIT_NOFILE`,
/// from soft to hard) and says what it is now. For servers, at their start: children inherit it.
#[must_use]
pub fn raise_open_files() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    // A sandbox may forbid it; then what is there has to do.
    let now = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => wanted,
        Err(_) => before,
    };
    now.current.unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let raised = raise_open_files();
        let now = getrlimit(Resource::Nofile);
        assert_eq!(now.current, now.maximum);
        assert_eq!(raised, now.current.unwrap_or(u64::MAX));
    }
}

//! How long to wait before the next try: quick at first, bounded, never in step with others.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

/// Where the first delay starts, unless configured.
pub(crate) const FIRST: Duration = Duration::from_millis(200);
/// Where delays end, unless configured.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// The delay before try `attempt` (2 = the first repetition): between half and all of
/// `first · 2^(attempt-2)`, at most `longest`. `random` is uniform.
pub(crate) fn delay(attempt: u32, first: Duration, longest: Duration, random: u64) -> Duration {
    let doublings = attempt.saturating_sub(2).min(20);
    let full = first.saturating_mul(1 << doublings).min(longest);
    let half = full / 2;
    let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
    half + Duration::from_micros(random % (span + 1))
}

/// A number that differs between processes and calls; not for secrets.
pub(crate) fn random() -> u64 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_bounds() {
        for attempt in 2..40 {
            for random in [0, 1, u64::MAX / 3, u64::MAX] {
                let full = FIRST
                    .saturating_mul(1 << (attempt - 2).min(20))
                    .min(LONGEST);
                let delay = delay(attempt, FIRST, LONGEST, random);
                assert!(delay >= full / 2 && delay <= full, "{attempt} {delay:?}");
            }
        }
        assert!(delay(2, FIRST, LONGEST, u64::MAX) <= Duration::from_millis(200));
    }
}

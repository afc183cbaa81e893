//! A key that compares ignoring case and remembers how it was first written.

use std::cmp::Ordering;

/// A configuration key: ordered and compared ignoring case.
#[derive(Clone, Debug)]
pub struct Key {
    spelling: Box<str>,
    /// Lower case; absent where the spelling is lower case already.
    folded: Option<Box<str>>,
}

impl Key {
    /// A key as written.
    #[must_use]
    pub fn new(spelling: &str) -> Self {
        let folded = spelling.to_lowercase();
        Key {
            spelling: spelling.into(),
            folded: (folded != spelling).then(|| folded.into()),
        }
    }

    /// The key as first written.
    #[must_use]
    pub fn spelling(&self) -> &str {
        &self.spelling
    }

    fn folded(&self) -> &str {
        self.folded.as_deref().unwrap_or(&self.spelling)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.folded() == other.folded()
    }
}

impl Eq for Key {}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.folded().cmp(other.folded())
    }
}

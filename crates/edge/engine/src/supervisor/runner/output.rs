//! Lines out of bytes, and the last of them.

use std::collections::VecDeque;

/// A longer line is cut into pieces, so that output without an end fills no memory.
const LONGEST_LINE: usize = 32 * 1024;

/// So many last lines are kept of each stream.
const LAST_LINES: usize = 20;

/// Cuts bytes at `\n`, `\r` and `\r\n`.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    rest: Vec<u8>,
    /// The last byte was `\r`: a `\n` that follows belongs to it.
    is_after_return: bool,
}

impl Lines {
    /// Adds bytes and returns the lines that are complete, without their ends and blanks around.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            let is_second_half = byte == b'\n' && self.is_after_return;
            self.is_after_return = byte == b'\r';
            match byte {
                b'\n' if is_second_half => {}
                b'\n' | b'\r' => lines.push(self.take()),
                _ => {
                    self.rest.push(byte);
                    if self.rest.len() >= LONGEST_LINE {
                        lines.push(self.take());
                    }
                }
            }
        }
        lines
    }

    /// What came after the last end of a line.
    pub(crate) fn finish(&mut self) -> Option<String> {
        (!self.rest.is_empty()).then(|| self.take())
    }

    fn take(&mut self) -> String {
        let line = String::from_utf8_lossy(&self.rest).trim().to_owned();
        self.rest.clear();
        line
    }
}

/// The last lines of both streams.
#[derive(Debug, Default)]
pub(crate) struct LastOutput {
    stdout: VecDeque<String>,
    stderr: VecDeque<String>,
}

impl LastOutput {
    pub(crate) fn add(&mut self, is_error: bool, lines: &[String]) {
        let kept = if is_error {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        for line in lines.iter().filter(|line| !line.is_empty()) {
            if kept.len() == LAST_LINES {
                kept.pop_front();
            }
            kept.push_back(line.clone());
        }
    }

    /// Those of stderr, which says why; those of stdout where it is silent.
    pub(crate) fn lines(&self) -> Vec<String> {
        let told = if self.stderr.is_empty() {
            &self.stdout
        } else {
            &self.stderr
        };
        told.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_end_in_three_ways_and_are_trimmed() {
        let mut lines = Lines::default();
        assert_eq!(lines.add(b"a\nb\r"), ["a", "b"]);
        assert_eq!(lines.add(b"\n  c \r\r\n\n"), ["c", "", ""]);
        assert_eq!(lines.add(b"rest"), [""; 0]);
        assert_eq!(lines.finish().as_deref(), Some("rest"));
        assert_eq!(lines.finish(), None);
        assert_eq!(lines.add(b"\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let mut lines = Lines::default();
        let found = lines.add(&vec![b'x'; LONGEST_LINE * 2 + 5]);
        assert_eq!(found.len(), 2);
        assert_eq!(lines.finish().map(|line| line.len()), Some(5));
    }

    #[test]
    fn the_last_lines_of_stderr_explain_a_failure() {
        let mut last = LastOutput::default();
        last.add(false, &["out".to_owned(), String::new()]);
        assert_eq!(last.lines(), ["out"]);
        let many: Vec<String> = (0..50).map(|n| n.to_string()).collect();
        last.add(true, &many);
        assert_eq!(last.lines(), many[30..]);
    }

    proptest! {
        /// However the bytes are cut, the lines are the same.
        #[test]
        fn pieces_do_not_matter(text in "[ab\r\n]{0,40}", cuts in proptest::collection::vec(0..40_usize, 0..5)) {
            let whole = {
                let mut lines = Lines::default();
                let mut all = lines.add(text.as_bytes());
                all.extend(lines.finish());
                all
            };
            let mut lines = Lines::default();
            let mut all = Vec::new();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.sort_unstable();
            let mut from = 0;
            for cut in cuts.into_iter().chain([text.len()]) {
                all.extend(lines.add(&text.as_bytes()[from..cut]));
                from = cut;
            }
            all.extend(lines.finish());
            prop_assert_eq!(all, whole);
        }
    }
}

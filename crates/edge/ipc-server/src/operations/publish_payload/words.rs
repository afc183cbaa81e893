//! Looks at eight bytes at a time, by arithmetic that any optimisation level keeps quick: the edge
//! build is optimised for size, where loops over bytes stay loops over bytes.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

fn all(byte: u8) -> u64 {
    ONES * u64::from(byte)
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

/// Not zero where any byte of the word is below `limit`, which is at most 0x80.
fn any_below(word: u64, limit: u8) -> u64 {
    word.wrapping_sub(all(limit)) & !word & HIGH
}

fn any_equal(word: u64, byte: u8) -> u64 {
    any_below(word ^ all(byte), 1)
}

/// Marks, by their high bits, the bytes from `first` to `last`; all bytes of the word are ASCII.
fn in_range(word: u64, first: u8, last: u8) -> u64 {
    (word + all(0x80 - first)) & !(word + all(0x7f - last)) & HIGH
}

/// Whether a byte ends the plain part of a JSON string: quote, backslash, control characters.
fn ends_plain(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

/// How many bytes of a JSON string come before the first that is not plain.
pub(super) fn plain_length(text: &[u8]) -> usize {
    let mut length = 0;
    for chunk in text.chunks_exact(8) {
        let word = word(chunk);
        if any_below(word, 0x20) | any_equal(word, b'"') | any_equal(word, b'\\') != 0 {
            break;
        }
        length += 8;
    }
    let rest = &text[length..];
    let plain = rest.iter().position(|byte| ends_plain(*byte));
    length + plain.unwrap_or(rest.len())
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Whether all bytes are digits of standard base64.
pub(super) fn is_all_base64(text: &[u8]) -> bool {
    let chunks = text.chunks_exact(8);
    let rest = chunks.remainder();
    let mut words = chunks.map(word);
    words.all(|word| {
        let letters = in_range((word & !HIGH) | all(0x20), b'a', b'z');
        // The slash stands right before the digits.
        let digits = in_range(word & !HIGH, b'/', b'9');
        let plus = in_range(word & !HIGH, b'+', b'+');
        word & HIGH == 0 && letters | digits | plus == HIGH
    }) && rest.iter().all(|byte| is_base64(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_judged_as_alone() {
        for byte in 0..=u8::MAX {
            for place in 0..24 {
                let mut text = [b'x'; 24];
                text[place] = byte;
                let expected = if ends_plain(byte) { place } else { 24 };
                assert_eq!(plain_length(&text), expected, "{byte} at {place}");
                assert_eq!(is_all_base64(&text), is_base64(byte), "{byte} at {place}");
                assert_eq!(is_all_base64(&text[..=place]), is_base64(byte));
            }
        }
    }
}

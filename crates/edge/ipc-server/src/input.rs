//! What was read from one client and not understood yet.

/// A connection that says little keeps little memory.
const SMALL: usize = 8 * 1024;
/// One read of a busy client; larger only while a larger frame is on its way.
const LARGE: usize = 128 * 1024;

/// A buffer that is filled at the end and consumed from the front.
#[derive(Debug, Default)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    /// The bytes not consumed yet.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Forgets the first `length` bytes.
    pub(crate) fn consume(&mut self, length: usize) {
        self.start += length;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > LARGE {
                self.buffer = vec![0; LARGE];
            }
        }
    }

    /// Room for the next read: at least one byte, and up to a frame of `needed` bytes. Who only
    /// promises a long frame gets little: the room doubles with what has come.
    pub(crate) fn room(&mut self, needed: usize) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let wanted = needed
            .min((2 * self.end).max(LARGE))
            .max(SMALL)
            .max(self.end + 1);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Notes that a read has filled the first `length` bytes of the room.
    pub(crate) fn filled(&mut self, length: usize) {
        self.end += length;
        // A read that fills the room is one of a busy client.
        if self.end == self.buffer.len() && self.buffer.len() < LARGE {
            self.buffer.resize((self.buffer.len() * 4).min(LARGE), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut input = Input::default();
        let mut written = 0_u8;
        let mut read = 0_u8;
        for step in 0..1000_usize {
            let room = input.room(20);
            let length = (step % 300).min(room.len());
            for byte in &mut room[..length] {
                *byte = written;
                written = written.wrapping_add(1);
            }
            input.filled(length);
            let consumed = input.bytes().len().min(step % 211);
            for byte in &input.bytes()[..consumed] {
                assert_eq!(*byte, read);
                read = read.wrapping_add(1);
            }
            input.consume(consumed);
        }
    }

    #[test]
    fn a_large_frame_is_not_kept_for_ever() {
        let mut input = Input::default();
        while input.bytes().len() < 1 << 20 {
            let room = input.room(1 << 20).len();
            assert!(room <= LARGE.max(input.bytes().len()));
            input.filled(room);
        }
        input.consume(input.bytes().len());
        assert_eq!(input.buffer.len(), LARGE);
    }
}

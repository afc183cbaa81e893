//! Moves MQTT bytes for either role: one stream, read and written by one task.
//!
//! A protocol core gathers what it wants to send in one buffer; [`Wire::step`] writes as much of it
//! as the socket takes while it waits for input, so that neither direction can block the other and
//! many packets leave in one write.

use bytes::{Buf as _, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio_util::io::poll_read_buf;

/// What happened on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This many bytes were added to the input.
    Read(usize),
    /// Everything was written and flushed.
    Written,
    /// The peer closed its side.
    Closed,
}

/// A stream with the state that spans its reads and writes.
pub struct Wire<S> {
    stream: S,
    /// Bytes were written that are not flushed.
    dirty: bool,
    chunk: usize,
}

/// Room for one read of a quiet and of a busy connection.
const CHUNKS: (usize, usize) = (1024, 64 * 1024);

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Wraps a connected stream.
    pub fn new(stream: S) -> Wire<S> {
        Wire {
            stream,
            dirty: false,
            chunk: CHUNKS.0,
        }
    }

    /// Writes `output` and, where `read`, waits for input as well. Cancel-safe: what was not
    /// written stays in `output`.
    ///
    /// With nothing to write and `read` off it waits forever.
    pub async fn step(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
        read: bool,
    ) -> io::Result<Step> {
        poll_fn(|context| self.poll_step(context, input, output, read)).await
    }

    fn poll_step(
        &mut self,
        context: &mut Context<'_>,
        input: &mut BytesMut,
        output: &mut BytesMut,
        read: bool,
    ) -> Poll<io::Result<Step>> {
        if let Poll::Ready(written) = self.poll_write_all(context, output) {
            if let Err(error) = written {
                return Poll::Ready(Err(error));
            }
            if std::mem::take(&mut self.dirty) {
                return Poll::Ready(Ok(Step::Written));
            }
        }
        if !read {
            return Poll::Pending;
        }
        input.reserve(self.chunk);
        match poll_read_buf(Pin::new(&mut self.stream), context, input) {
            Poll::Ready(Ok(0)) => Poll::Ready(Ok(Step::Closed)),
            Poll::Ready(Ok(count)) => {
                if count >= self.chunk {
                    self.chunk = (self.chunk * 4).min(CHUNKS.1);
                } else if count < self.chunk / 4 {
                    // Messages share the room of the read that brought them: it must fit them.
                    self.chunk = (self.chunk / 2).max(CHUNKS.0);
                }
                Poll::Ready(Ok(Step::Read(count)))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_write_all(
        &mut self,
        context: &mut Context<'_>,
        output: &mut BytesMut,
    ) -> Poll<io::Result<()>> {
        while !output.is_empty() {
            match Pin::new(&mut self.stream).poll_write(context, output) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    output.advance(count);
                    self.dirty = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.dirty {
            return Pin::new(&mut self.stream).poll_flush(context);
        }
        Poll::Ready(Ok(()))
    }

    /// Writes what is left and closes the stream in order.
    pub async fn finish(mut self, mut output: BytesMut) -> io::Result<()> {
        self.stream.write_all_buf(&mut output).await?;
        self.stream.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[tokio::test]
    async fn reading_goes_on_while_a_write_is_stuck() {
        let (near, mut far) = tokio::io::duplex(16);
        let mut wire = Wire::new(near);
        let mut input = BytesMut::new();
        let mut output = BytesMut::from(&[7u8; 100][..]);
        far.write_all(b"hello").await.expect("room");
        // The peer reads nothing, so the write cannot end; its bytes come in all the same.
        let step = wire.step(&mut input, &mut output, true).await;
        assert_eq!(step.expect("a step"), Step::Read(5));
        assert_eq!(output.len(), 84);
        let mut received = vec![0; 100];
        let (written, read) = tokio::join!(
            wire.step(&mut input, &mut output, false),
            far.read_exact(&mut received)
        );
        assert_eq!(written.expect("a step"), Step::Written);
        assert_eq!(read.expect("bytes"), 100);
        assert_eq!(received, [7; 100]);
        drop(far);
        let step = wire.step(&mut input, &mut output, true).await;
        assert_eq!(step.expect("a step"), Step::Closed);
    }
}

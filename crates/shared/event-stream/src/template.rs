//! Messages of which only stream and payload change, encoded from a prepared block of headers.

use crate::HeaderValue;
use crate::frame::FrameError;
use crate::message::{FLAGS, MessageType, STREAM_ID, TYPE};
use crate::writer::FrameWriter;

/// The headers of one kind of message, ready to be copied; the stream id comes last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageTemplate {
    block: Vec<u8>,
}

impl MessageTemplate {
    /// An application message or error with a JSON payload of the given shape.
    ///
    /// # Panics
    /// Never: `service_model_type` is a shape's name, far below the limit of a header.
    #[must_use]
    pub fn json(kind: MessageType, flags: u32, service_model_type: &str) -> Self {
        let mut frame = Vec::with_capacity(128);
        let length = FrameWriter::begin(&mut frame)
            .header(":content-type", HeaderValue::String("application/json"))
            .header(
                "service-model-type",
                HeaderValue::String(service_model_type),
            )
            .header(TYPE, HeaderValue::Int32(kind as i32))
            .header(FLAGS, HeaderValue::Int32(flags.cast_signed()))
            .header(STREAM_ID, HeaderValue::Int32(0))
            .finish()
            .expect("a few short headers fit");
        frame.truncate(length - crate::frame::CHECKSUM_LENGTH);
        frame.drain(..crate::frame::PRELUDE_LENGTH);
        MessageTemplate { block: frame }
    }

    /// Appends one message for `stream` whose payload is `parts` in a row.
    ///
    /// # Errors
    /// [`FrameError::TooLong`]; `out` is then as before.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        stream: i32,
        parts: &[&[u8]],
    ) -> Result<usize, FrameError> {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        out.reserve(self.block.len() + payload + crate::frame::MIN_MESSAGE_LENGTH);
        let fixed = self.block.len() - 4;
        let mut writer = FrameWriter::begin(out)
            .header_block(&self.block[..fixed])
            .header_block(&stream.to_be_bytes())
            .payload(&[]);
        for part in parts {
            writer = writer.payload(part);
        }
        writer.finish()
    }
}

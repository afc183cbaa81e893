//! Frames captured from the Python SDK, and what damage does to them.

use super::{bytes, connect, connect_ack, message, request};
use crate::{
    AwaitingConnect, ClientHandshake, Decoded, FrameError, HeaderValue, Limits, Message,
    MessageType, ProtocolError, ServerEvent, decode,
};

#[test]
fn the_captured_connect_is_read_and_answered_with_the_captured_bytes() {
    let frame = connect();
    assert_eq!(frame.len(), 121);
    let message = message(&frame);
    assert_eq!(message.kind, MessageType::Connect);
    let request = AwaitingConnect::new().receive(&message).expect("CONNECT");
    assert!(request.has_known_version());
    assert_eq!(request.payload, br#"{"authToken": "ABCDEFGHIJKLMNOP"}"#);
    let mut out = Vec::new();
    let _session = request.accept(&mut out);
    assert_eq!(out, connect_ack());
}

#[test]
fn our_client_writes_the_captured_connect() {
    let mut out = Vec::new();
    let _ = ClientHandshake::new()
        .connect(br#"{"authToken": "ABCDEFGHIJKLMNOP"}"#, &mut out)
        .expect("short");
    assert_eq!(out, connect());
}

#[test]
fn the_captured_request_and_terminate_are_what_our_client_writes() {
    let frame = request();
    assert_eq!(frame.len(), 218);
    assert_eq!(frame[..12], bytes("000000da 000000bc 64b04736")[..]);
    assert_eq!(frame[214..], bytes("a82dcca2")[..]);
    let mut terminate = Vec::new();
    crate::message::write_terminate(&mut terminate, 1);
    assert_eq!(terminate.len(), 71);
    assert_eq!(terminate[67..], bytes("2809c8cf")[..]);
}

#[test]
fn a_frame_split_at_each_byte_is_incomplete_until_its_last() {
    let frame = request();
    for end in 0..frame.len() {
        match decode(&frame[..end], Limits::default()) {
            Ok(Decoded::Incomplete { needed }) => assert!(needed > end),
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[test]
fn two_frames_in_one_write_are_read_one_after_the_other() {
    let mut both = connect();
    both.extend_from_slice(&request());
    let Ok(Decoded::Frame { length, .. }) = decode(&both, Limits::default()) else {
        panic!("the first frame")
    };
    assert_eq!(length, 121);
    assert_eq!(message(&both[length..]).stream, 1);
}

fn check(frame: &[u8], expected: FrameError) {
    let found = match decode(frame, Limits::default()) {
        Err(error) => error,
        Ok(Decoded::Frame { frame, .. }) => match Message::parse(frame) {
            Err(ProtocolError::Frame(error)) => error,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(found, expected);
}

/// A frame of given lengths and header block with right checksums.
fn forged(total: u32, headers_length: u32, rest: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&total.to_be_bytes());
    frame.extend_from_slice(&headers_length.to_be_bytes());
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(rest);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

fn with_headers(block: &[u8]) -> Vec<u8> {
    let length = u32::try_from(block.len()).expect("short");
    forged(16 + length, length, block)
}

#[test]
fn damage_is_found_where_it_is() {
    let mut frame = connect();
    frame[11] ^= 1;
    check(
        &frame,
        FrameError::PreludeChecksum {
            found: 0xe9e7_9474,
            computed: 0xe9e7_9475,
        },
    );
    let mut frame = connect();
    frame[120] ^= 1;
    check(
        &frame,
        FrameError::MessageChecksum {
            found: 0x0259_ce5f,
            computed: 0x0259_ce5e,
            offset: 117,
        },
    );
    check(&forged(15, 0, &[]), FrameError::TooShort { length: 15 });
    check(
        &forged(20, 5, &[0; 4]),
        FrameError::HeadersTooLong {
            headers: 5,
            length: 20,
        },
    );
    check(
        &forged(u32::MAX, 0, &[]),
        FrameError::TooLong {
            length: 4_294_967_295,
            limit: crate::MAX_MESSAGE_LENGTH,
        },
    );
    check(
        &with_headers(&[0, 0]),
        FrameError::HeaderNameEmpty { offset: 12 },
    );
    check(
        &with_headers(&[1, b'a', 10]),
        FrameError::HeaderType {
            found: 10,
            offset: 14,
        },
    );
    check(
        &with_headers(&[1, b'a', 7, 0, 5, b'x']),
        FrameError::HeaderTruncated { offset: 17 },
    );
    check(
        &with_headers(&[1, 0xff, 0]),
        FrameError::HeaderNotUtf8 { offset: 13 },
    );
    check(
        &with_headers(&[1, b'a', 6, 0x80, 0]),
        FrameError::HeaderValueTooLong {
            length: 32_768,
            offset: 15,
        },
    );
    check(
        &with_headers(&[1, b'a', 0].repeat(1025)),
        FrameError::TooManyHeaders {
            offset: 12 + 3 * 1024,
        },
    );
}

#[test]
fn a_message_without_its_three_headers_breaks_the_protocol() {
    let stream_as_int64 = {
        let mut frame = Vec::new();
        crate::FrameWriter::begin(&mut frame)
            .header(":message-type", HeaderValue::Int32(0))
            .header(":message-flags", HeaderValue::Int32(0))
            .header(":stream-id", HeaderValue::Int64(1))
            .finish()
            .expect("short");
        frame
    };
    let Ok(Decoded::Frame { frame, .. }) = decode(&stream_as_int64, Limits::default()) else {
        panic!("a frame")
    };
    assert_eq!(
        Message::parse(frame).map(|message| message.stream),
        Err(ProtocolError::HeaderMissing { name: ":stream-id" })
    );
}

#[test]
fn the_captured_request_reaches_the_application() {
    let frame = request();
    let mut out = Vec::new();
    let connect = connect();
    let mut session = AwaitingConnect::new()
        .receive(&message(&connect))
        .expect("CONNECT")
        .accept(&mut out);
    assert_eq!(
        session.receive(&message(&frame), &mut out),
        Ok(ServerEvent::Request {
            stream: 1,
            operation: "aws.greengrass#PublishToTopic",
            payload: br#"{"topic": "t"}"#,
        })
    );
}

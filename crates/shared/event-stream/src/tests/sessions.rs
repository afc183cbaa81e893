//! Both sessions: the rules of streams, pings and ends.

use super::{connect, connect_ack, message};
use crate::message::write_bare;
use crate::{
    AwaitingConnect, ClientEvent, ClientHandshake, ConnectError, FrameWriter, HeaderValue,
    MessageTemplate, MessageType, ProtocolError, ServerEvent, ServerSession, write_protocol_error,
};

fn server() -> ServerSession {
    AwaitingConnect::new()
        .receive(&message(&connect()))
        .expect("CONNECT")
        .accept(&mut Vec::new())
}

fn frame(kind: MessageType, flags: u32, stream: i32, operation: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = FrameWriter::begin(&mut out)
        .header(":Message-Type", HeaderValue::Int32(kind as i32))
        .header(":message-flags", HeaderValue::Int32(flags.cast_signed()))
        .header(":stream-id", HeaderValue::Int32(stream));
    if let Some(operation) = operation {
        writer = writer.header("operation", HeaderValue::String(operation));
    }
    writer.payload(b"{}").finish().expect("short");
    out
}

/// Feeds frames to a fresh server and compares what each of them means.
fn check(steps: &[(Vec<u8>, Result<ServerEvent<'_>, ProtocolError>)]) {
    let mut session = server();
    for (index, (frame, expected)) in steps.iter().enumerate() {
        let found = session.receive(&message(frame), &mut Vec::new());
        assert_eq!(&found, expected, "step {index}");
    }
}

const APPLICATION: MessageType = MessageType::ApplicationMessage;

fn opened(stream: i32) -> Result<ServerEvent<'static>, ProtocolError> {
    Ok(ServerEvent::Request {
        stream,
        operation: "o",
        payload: b"{}",
    })
}

#[test]
fn streams_are_numbered_without_gaps_and_end_once() {
    let open = |stream| frame(APPLICATION, 0, stream, Some("o"));
    check(&[
        (open(1), opened(1)),
        (open(2), opened(2)),
        (
            frame(APPLICATION, 0, 1, None),
            Ok(ServerEvent::Input {
                stream: 1,
                payload: b"{}",
            }),
        ),
        (
            frame(APPLICATION, 2, 1, None),
            Ok(ServerEvent::Closed { stream: 1 }),
        ),
        (frame(APPLICATION, 2, 1, None), Ok(ServerEvent::Handled)),
        (
            frame(APPLICATION, 0, 1, None),
            Err(ProtocolError::StreamClosed { stream: 1 }),
        ),
    ]);
    check(&[
        (open(1), opened(1)),
        (
            open(3),
            Err(ProtocolError::NotSequential { found: 3, last: 1 }),
        ),
    ]);
    check(&[(
        open(0),
        Err(ProtocolError::Stream {
            stream: 0,
            kind: APPLICATION,
        }),
    )]);
    check(&[(
        open(i32::MIN),
        Err(ProtocolError::Stream {
            stream: i32::MIN,
            kind: APPLICATION,
        }),
    )]);
    check(&[(
        frame(APPLICATION, 0, 1, None),
        Err(ProtocolError::OperationMissing { stream: 1 }),
    )]);
    // A stream that ends with its first message is used up, and asks for nothing.
    check(&[
        (
            frame(APPLICATION, 2, 1, Some("o")),
            Ok(ServerEvent::Handled),
        ),
        (open(2), opened(2)),
    ]);
    check(&[(
        frame(MessageType::ApplicationError, 0, 1, Some("o")),
        Err(ProtocolError::Unexpected {
            found: MessageType::ApplicationError,
        }),
    )]);
}

#[test]
fn the_connection_itself_has_rules_too() {
    let unexpected = |found| Err(ProtocolError::Unexpected { found });
    check(&[(connect(), unexpected(MessageType::Connect))]);
    check(&[(connect_ack(), unexpected(MessageType::ConnectAck))]);
    check(&[(
        frame(MessageType::Ping, 0, 1, None),
        Err(ProtocolError::Stream {
            stream: 1,
            kind: MessageType::Ping,
        }),
    )]);
    check(&[(
        frame(MessageType::ProtocolError, 0, 0, None),
        Ok(ServerEvent::PeerFailed),
    )]);
    let early = frame(APPLICATION, 0, 1, Some("o"));
    assert_eq!(
        AwaitingConnect::new()
            .receive(&message(&early))
            .map(|request| request.version.map(str::to_owned)),
        Err(ProtocolError::NotConnected { found: APPLICATION })
    );
}

#[test]
fn a_ping_comes_back_with_payload_and_own_headers() {
    let mut ping = Vec::new();
    FrameWriter::begin(&mut ping)
        .header(":message-type", HeaderValue::Int32(2))
        .header(":message-flags", HeaderValue::Int32(0))
        .header(":stream-id", HeaderValue::Int32(0))
        .header("mine", HeaderValue::Uuid([7; 16]))
        .payload(b"hello")
        .finish()
        .expect("short");
    let mut out = Vec::new();
    assert_eq!(
        server().receive(&message(&ping), &mut out),
        Ok(ServerEvent::Handled)
    );
    let answer = message(&out);
    assert_eq!(answer.kind, MessageType::PingResponse);
    assert_eq!(answer.payload, b"hello");
    let mine = answer
        .headers
        .map(|header| header.expect("readable"))
        .find(|header| header.name == "mine");
    assert_eq!(
        mine.map(|header| header.value),
        Some(HeaderValue::Uuid([7; 16]))
    );
}

#[test]
fn a_client_is_refused_without_the_flag() {
    let waiting = || {
        ClientHandshake::new()
            .connect(b"{}", &mut Vec::new())
            .expect("short")
    };
    let mut refusal = Vec::new();
    AwaitingConnect::new()
        .receive(&message(&connect()))
        .expect("CONNECT")
        .reject(&mut refusal);
    assert_eq!(
        waiting().receive(&message(&refusal)).map(|_| ()),
        Err(ConnectError::Refused)
    );
    let mut fault = Vec::new();
    write_protocol_error(&mut fault, &ProtocolError::StreamsExhausted);
    assert_eq!(
        waiting().receive(&message(&fault)).map(|_| ()),
        Err(ConnectError::PeerFailed)
    );
}

#[test]
fn client_and_server_understand_each_other() {
    let mut client = ClientHandshake::new()
        .connect(b"{}", &mut Vec::new())
        .expect("short")
        .receive(&message(&connect_ack()))
        .expect("accepted");
    let mut server = server();
    let mut sent = Vec::new();
    let stream = client
        .open("o", "oRequest", b"{}", &mut sent)
        .expect("short");
    assert_eq!(server.receive(&message(&sent), &mut Vec::new()), opened(1));
    assert!(server.is_open(stream));

    let mut answer = Vec::new();
    MessageTemplate::json(APPLICATION, 0, "oResponse")
        .write(&mut answer, stream, &[b"{\"a\":", b"1}"])
        .expect("short");
    assert_eq!(
        client.receive(&message(&answer), &mut Vec::new()),
        Ok(ClientEvent::Message {
            stream,
            service_model_type: Some("oResponse"),
            payload: b"{\"a\":1}",
            last: false,
        })
    );
    let mut end = Vec::new();
    server.terminate(stream, &mut end);
    assert_eq!(server.open_streams(), 0);
    assert_eq!(
        client.receive(&message(&end), &mut Vec::new()),
        Ok(ClientEvent::Closed { stream })
    );
    // What crosses the end is tolerated; what was never opened is not.
    assert_eq!(
        client.receive(&message(&answer), &mut Vec::new()),
        Ok(ClientEvent::Handled)
    );
    let mut unknown = Vec::new();
    write_bare(&mut unknown, APPLICATION, 0, 9, b"x").expect("short");
    assert_eq!(
        client.receive(&message(&unknown), &mut Vec::new()),
        Err(ProtocolError::StreamUnknown { stream: 9 })
    );
}

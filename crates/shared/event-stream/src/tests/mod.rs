//! Captured frames, tables of faults, round trips and mutated input.

mod fuzz;
mod golden;
mod round_trip;
mod sessions;

/// The bytes of a text of hexadecimal digits and blanks.
fn bytes(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits"))
        .collect()
}

/// CONNECT of the Python SDK.
fn connect() -> Vec<u8> {
    bytes(
        "00000079 00000048 e9e79475 \
         08 3a76657273696f6e 07 0005 302e312e30 \
         0d 3a6d6573736167652d74797065 04 00000004 \
         0e 3a6d6573736167652d666c616773 04 00000000 \
         0a 3a73747265616d2d6964 04 00000000 \
         7b2261757468546f6b656e223a20224142434445464748494a4b4c4d4e4f50227d \
         0259ce5e",
    )
}

/// The acknowledgement on which that client connected.
fn connect_ack() -> Vec<u8> {
    bytes(
        "00000047 00000037 374cfe3f \
         0d 3a6d6573736167652d74797065 04 00000005 \
         0e 3a6d6573736167652d666c616773 04 00000001 \
         0a 3a73747265616d2d6964 04 00000000 \
         e237e27d",
    )
}

/// A request of the same client on stream 1.
fn request() -> Vec<u8> {
    let mut frame = Vec::new();
    let mut session = crate::ClientHandshake::new()
        .connect(b"{}", &mut Vec::new())
        .expect("short")
        .receive(&message(&connect_ack()))
        .expect("accepted");
    session
        .open(
            "aws.greengrass#PublishToTopic",
            "aws.greengrass#PublishToTopicRequest",
            br#"{"topic": "t"}"#,
            &mut frame,
        )
        .expect("short");
    frame
}

fn message(frame: &[u8]) -> crate::Message<'_> {
    match crate::decode(frame, crate::Limits::default()) {
        Ok(crate::Decoded::Frame { frame, .. }) => crate::Message::parse(frame).expect("a message"),
        other => panic!("{other:?}"),
    }
}

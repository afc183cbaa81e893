//! What is written is read back, whatever it is.

use crate::{Decoded, FrameWriter, Header, HeaderValue, Limits, decode};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Value {
    Bool(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Bytes(Vec<u8>),
    String(String),
    Timestamp(i64),
    Uuid([u8; 16]),
}

impl Value {
    fn borrow(&self) -> HeaderValue<'_> {
        match self {
            Value::Bool(value) => HeaderValue::Bool(*value),
            Value::Int8(value) => HeaderValue::Int8(*value),
            Value::Int16(value) => HeaderValue::Int16(*value),
            Value::Int32(value) => HeaderValue::Int32(*value),
            Value::Int64(value) => HeaderValue::Int64(*value),
            Value::Bytes(value) => HeaderValue::Bytes(value),
            Value::String(value) => HeaderValue::String(value),
            Value::Timestamp(value) => HeaderValue::Timestamp(*value),
            Value::Uuid(value) => HeaderValue::Uuid(*value),
        }
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::Bool),
        any::<i8>().prop_map(Value::Int8),
        any::<i16>().prop_map(Value::Int16),
        any::<i32>().prop_map(Value::Int32),
        any::<i64>().prop_map(Value::Int64),
        prop::collection::vec(any::<u8>(), 0..64).prop_map(Value::Bytes),
        ".{0,20}".prop_map(Value::String),
        any::<i64>().prop_map(Value::Timestamp),
        any::<[u8; 16]>().prop_map(Value::Uuid),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn headers_and_payload_survive(
        headers in prop::collection::vec((".{1,20}", values()), 0..8),
        payload in prop::collection::vec(any::<u8>(), 0..200),
        before in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let mut out = before.clone();
        let mut writer = FrameWriter::begin(&mut out);
        for (name, value) in &headers {
            writer = writer.header(name, value.borrow());
        }
        let length = writer.payload(&payload).finish().expect("short");
        prop_assert_eq!(length, out.len() - before.len());
        let decoded = decode(&out[before.len()..], Limits::default());
        let Ok(Decoded::Frame { frame, length: read }) = decoded else {
            return Err(TestCaseError::fail("not a frame"));
        };
        prop_assert_eq!(read, length);
        prop_assert_eq!(frame.payload, &payload[..]);
        let found: Vec<Header<'_>> = frame.headers.map(|header| header.expect("readable")).collect();
        let expected: Vec<Header<'_>> = headers
            .iter()
            .map(|(name, value)| Header { name, value: value.borrow() })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

//! `pubsub pub|sub` and `iotcore pub|sub`.

use super::arguments::{IotCore, PubSub};
use super::error::CliError;
use std::io::Write;
use std::path::Path;
use sward_ipc_client::{Client, Subscription};
use sward_ipc_model::{
    Blob, PublishMessage, PublishToIoTCore, PublishToIoTCoreRequest, PublishToTopic,
    PublishToTopicRequest, ReceiveMode, StreamingOperation, SubscribeToIoTCore,
    SubscribeToIoTCoreRequest, SubscribeToTopic, SubscribeToTopicRequest,
};

pub(super) async fn local(
    command: PubSub,
    client: &Client,
    stdout: &mut impl Write,
) -> Result<(), CliError> {
    match command {
        PubSub::Pub { topic, message } => {
            let request = PublishToTopicRequest {
                publish_message: PublishMessage::binary(content(&message)?),
                topic: named(topic)?,
            };
            client.call::<PublishToTopic>(&request).await?;
            Ok(())
        }
        PubSub::Sub { topic } => {
            let request = SubscribeToTopicRequest {
                topic: named(topic)?,
                receive_mode: Some(ReceiveMode::All),
            };
            let (_, events) = client.subscribe::<SubscribeToTopic>(&request).await?;
            print_events(&request.topic, events, stdout, |event| {
                match (event.json_message, event.binary_message) {
                    (Some(json), _) => serde_json::to_vec(&json.message).ok(),
                    (None, Some(binary)) => Some(binary.message.unwrap_or_default().0),
                    (None, None) => None,
                }
            })
            .await
        }
    }
}

pub(super) async fn iot_core(
    command: IotCore,
    client: &Client,
    stdout: &mut impl Write,
) -> Result<(), CliError> {
    match command {
        IotCore::Pub {
            topic,
            message,
            qos,
        } => {
            let request = PublishToIoTCoreRequest {
                payload: Some(Blob(content(&message)?)),
                topic_name: named(topic)?,
                qos: qos.into(),
                retain: None,
                user_properties: None,
                message_expiry_interval_seconds: None,
                correlation_data: None,
                response_topic: None,
                payload_format: None,
                content_type: None,
            };
            client.call::<PublishToIoTCore>(&request).await?;
            Ok(())
        }
        IotCore::Sub { topic, qos } => {
            let request = SubscribeToIoTCoreRequest {
                topic_name: named(topic)?,
                qos: qos.into(),
            };
            let (_, events) = client.subscribe::<SubscribeToIoTCore>(&request).await?;
            print_events(&request.topic_name, events, stdout, |event| {
                Some(event.message?.payload.unwrap_or_default().0)
            })
            .await
        }
    }
}

fn named(topic: String) -> Result<String, CliError> {
    if topic.trim().is_empty() {
        return Err(CliError::Message("Topic name cannot be empty".to_owned()));
    }
    Ok(topic)
}

/// The content of the file of that name where there is one, else the text itself.
fn content(message: &str) -> Result<Vec<u8>, CliError> {
    let path = Path::new(message);
    if !path.is_file() {
        return Ok(message.as_bytes().to_vec());
    }
    std::fs::read(path).map_err(|source| CliError::File {
        path: path.to_owned(),
        source,
    })
}

/// One line for each message, until the stream ends.
async fn print_events<O: StreamingOperation>(
    topic: &str,
    mut events: Subscription<O>,
    stdout: &mut impl Write,
    payload: impl Fn(O::Event) -> Option<Vec<u8>>,
) -> Result<(), CliError> {
    writeln!(stdout, "Successfully subscribed to topic: {topic}")?;
    stdout.flush()?;
    while let Some(event) = events.next().await {
        if let Some(payload) = payload(event?) {
            stdout.write_all(&payload)?;
            stdout.write_all(b"\n")?;
            stdout.flush()?;
        }
    }
    Ok(())
}

//! Bodies of requests and responses: whole, streamed or empty, behind one type.

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, Full};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// A failure while a body is produced or received.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The one body type of clients and handlers.
pub type Body = BoxBody<Bytes, BodyError>;

/// A body without bytes.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body that is known whole; its length is announced.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body that is fed while it is sent, at most `capacity` pieces ahead of the peer.
///
/// Dropping the sender ends the body well; sending an error breaks the connection off, so that the
/// peer does not take a torn body for a whole one.
#[must_use]
pub fn channel(
    capacity: usize,
    length: Option<u64>,
) -> (mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (sender, receiver) = mpsc::channel(capacity);
    let body = Fed { receiver, length };
    (sender, body.boxed())
}

struct Fed {
    receiver: mpsc::Receiver<Result<Bytes, BodyError>>,
    length: Option<u64>,
}

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.receiver
            .poll_recv(context)
            .map(|next| next.map(|piece| piece.map(Frame::data)))
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that breaks when nothing of it comes for `patience`.
pub(super) fn patient<B>(body: B, patience: Duration) -> Body
where
    B: http_body::Body<Data = Bytes> + Unpin + Send + Sync + 'static,
    B::Error: Into<BodyError>,
{
    let timer = None;
    Patient {
        body,
        patience,
        timer,
    }
    .boxed()
}

struct Patient<B> {
    body: B,
    patience: Duration,
    /// Runs while nothing comes.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> http_body::Body for Patient<B>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<BodyError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.timer = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = this.patience;
        let timer = this
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        timer.as_mut().poll(context).map(|()| {
            let seconds = patience.as_secs();
            Some(Err(format!("nothing was received for {seconds} s").into()))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The whole body, refused when it is longer than `limit` bytes.
pub async fn collect<B>(body: B, limit: usize) -> Result<Bytes, super::HttpError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let mut body = std::pin::pin!(body);
    let too_large = || super::HttpError::BodyTooLarge { limit };
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.as_mut().frame().await {
        let frame = frame.map_err(|error| super::HttpError::Body(error.into()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let so_far = all.len() + first.as_ref().map_or(0, Bytes::len);
        if so_far + data.len() > limit {
            return Err(too_large());
        }
        if all.is_empty() && first.is_none() {
            first = Some(data);
        } else {
            if let Some(first) = first.take() {
                all.extend_from_slice(&first);
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(first.unwrap_or_else(|| all.freeze()))
}

//! One client after its greeting: reads frames, runs operations, writes what is in the outbox.

use crate::bus::Subscription;
use crate::greeting::linger;
use crate::input::Input;
use crate::operations::{
    Answer, Call, Events, Handled, Operation, Reply, RouteCache, publish_to_topic,
};
use crate::outbox::{Delivery, Outbox};
use crate::server::Shared;
use crate::tokens::Identity;
use futures_util::StreamExt;
use futures_util::future::{AbortHandle, Abortable, BoxFuture};
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use sward_event_stream::{
    Decoded, FLAG_TERMINATE_STREAM, Message, MessageTemplate, MessageType, ProtocolError,
    ServerEvent, ServerSession, decode, write_protocol_error,
};
use sward_ipc_model::{IpcError, Operation as _, PublishToTopic};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// Writing buffers that have grown beyond this are given back when they are empty.
const KEPT_BUFFER: usize = 1024 * 1024;

/// How long calls of a client that has left may take.
const LAST_CALLS: Duration = Duration::from_secs(5);

/// All that can wake a connection.
enum Event {
    /// Bytes have come, or those that came before may be looked at now.
    Read,
    /// An operation has its answer, or a source of events has ended.
    Finished(Finished),
    /// The client left, the server stops, or the socket failed.
    Ended,
}

/// A future of this connection that is done.
enum Finished {
    Call {
        stream: i32,
        operation: &'static Operation,
        reply: Reply,
    },
    Events {
        stream: i32,
    },
    Aborted,
}

/// What a stream with events holds until it ends.
enum OpenStream {
    Local {
        _subscription: Subscription,
    },
    /// The call that opens the stream, and then the source of its events.
    Source(AbortHandle),
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if let OpenStream::Source(handle) = self {
            handle.abort();
        }
    }
}

pub(crate) struct Connection {
    socket: UnixStream,
    shared: Arc<Shared>,
    identity: Identity,
    session: ServerSession,
    input: Input,
    /// Bytes that the next frame is known to have.
    needed: usize,
    outbox: Arc<Outbox>,
    /// Answers of the current batch, not in the outbox yet.
    answers: Vec<u8>,
    /// Frames that were read wait until the client has taken what it asked for before.
    is_behind: bool,
    writing: Vec<u8>,
    written: usize,
    streams: HashMap<i32, OpenStream>,
    futures: FuturesUnordered<BoxFuture<'static, Finished>>,
    routes: RouteCache,
}

impl Connection {
    pub(crate) fn new(
        socket: UnixStream,
        shared: Arc<Shared>,
        identity: Identity,
        session: ServerSession,
        input: Input,
    ) -> Self {
        let outbox = shared.outbox();
        Connection {
            socket,
            shared,
            identity,
            session,
            input,
            needed: 1,
            outbox,
            answers: Vec::new(),
            is_behind: false,
            writing: Vec::new(),
            written: 0,
            streams: HashMap::new(),
            futures: FuturesUnordered::new(),
            routes: RouteCache::default(),
        }
    }

    /// Writes what waits, then says what happened next.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Event> {
        self.outbox.register(context.waker());
        if self.poll_write(context).is_err() {
            return Poll::Ready(Event::Ended);
        }
        if let Poll::Ready(Some(finished)) = self.futures.poll_next_unpin(context) {
            return Poll::Ready(Event::Finished(finished));
        }
        // Whoever does not read what it asked for is not asked for more.
        if self.outbox.is_full() {
            return Poll::Pending;
        }
        if self.is_behind {
            return Poll::Ready(Event::Read);
        }
        let mut buffer = ReadBuf::new(self.input.room(self.needed));
        match Pin::new(&mut self.socket).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                let length = buffer.filled().len();
                self.input.filled(length);
                Poll::Ready(Event::Read)
            }
            Poll::Ready(_) => Poll::Ready(Event::Ended),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Writes until the socket is full or nothing waits; an error once the connection is over.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Result<(), ()> {
        loop {
            if self.written == self.writing.len() {
                self.written = 0;
                self.writing.clear();
                if self.writing.capacity() > KEPT_BUFFER {
                    self.writing = Vec::new();
                }
                let is_open = self.outbox.take(&mut self.writing);
                if self.writing.is_empty() {
                    return if is_open { Ok(()) } else { Err(()) };
                }
            }
            let rest = &self.writing[self.written..];
            match Pin::new(&mut self.socket).poll_write(context, rest) {
                Poll::Ready(Ok(length)) if length > 0 => self.written += length,
                Poll::Ready(_) => return Err(()),
                // The last words of a closed connection are not waited for.
                Poll::Pending if self.outbox.is_closed() => return Err(()),
                Poll::Pending => return Ok(()),
            }
        }
    }

    /// Takes all whole frames that were read, as long as their answers fit into the outbox: a
    /// short request may have a long answer.
    fn receive(&mut self) -> Result<(), ProtocolError> {
        let mut input = std::mem::take(&mut self.input);
        let mut consumed = 0;
        let result = loop {
            self.is_behind = self.answers.len() > self.shared.options.outbox_limit;
            if self.is_behind {
                break Ok(());
            }
            match decode(&input.bytes()[consumed..], self.shared.options.limits) {
                Ok(Decoded::Frame { frame, length }) => {
                    consumed += length;
                    let result =
                        Message::parse(frame).and_then(|message| self.receive_message(&message));
                    if let Err(error) = result {
                        break Err(error);
                    }
                }
                Ok(Decoded::Incomplete { needed }) => {
                    self.needed = needed;
                    break Ok(());
                }
                Err(error) => break Err(error.into()),
            }
        };
        input.consume(consumed);
        self.input = input;
        result
    }

    fn receive_message(&mut self, message: &Message<'_>) -> Result<(), ProtocolError> {
        match self.session.receive(message, &mut self.answers)? {
            ServerEvent::Request {
                stream,
                operation,
                payload,
            } => self.request(stream, operation, payload),
            ServerEvent::Closed { stream } => {
                self.streams.remove(&stream);
            }
            ServerEvent::PeerFailed => self.outbox.close(),
            // No operation of the service takes further messages from the client.
            ServerEvent::Input { .. } | ServerEvent::Handled => {}
        }
        Ok(())
    }

    fn request(&mut self, stream: i32, name: &str, payload: &[u8]) {
        let shared = Arc::clone(&self.shared);
        if name == PublishToTopic::NAME {
            let result =
                publish_to_topic::publish(&shared, &self.identity, &mut self.routes, payload);
            return match result {
                Ok(()) => self.answer(stream, shared.operations.publish_to_topic(), b"{}"),
                Err(error) => self.fail(stream, &error),
            };
        }
        let operation = match shared.operations.find(name) {
            Ok(operation) => operation,
            Err(error) => return self.fail(stream, &error),
        };
        // A call goes on when its stream has ended, so both are counted.
        let most = shared.options.max_streams;
        if self.session.open_streams() > most || self.futures.len() >= most {
            return self.fail(stream, &IpcError::service("Too many streams are open"));
        }
        let call = Call {
            shared: &shared,
            identity: &self.identity,
        };
        match operation.run(&call, payload) {
            Handled::Done(reply) => self.reply(stream, operation, reply),
            Handled::Waiting(call) if operation.is_streaming() => {
                // Whoever ends the stream does not want its events any more.
                let (handle, registration) = AbortHandle::new_pair();
                self.streams.insert(stream, OpenStream::Source(handle));
                let call = Abortable::new(call, registration);
                self.futures.push(Box::pin(async move {
                    match call.await {
                        Ok(reply) => Finished::Call {
                            stream,
                            operation,
                            reply,
                        },
                        Err(_) => Finished::Aborted,
                    }
                }));
            }
            Handled::Waiting(call) => self.futures.push(Box::pin(async move {
                Finished::Call {
                    stream,
                    operation,
                    reply: call.await,
                }
            })),
        }
    }

    fn reply(&mut self, stream: i32, operation: &'static Operation, reply: Reply) {
        match reply {
            Ok(Answer { payload, events }) => match events {
                Events::None => self.answer(stream, operation.response(), &payload),
                events => self.open(stream, operation, &payload, events),
            },
            Err(error) => self.fail(stream, &error),
        }
    }

    /// Answers the first message of a stream that stays open, and only then lets events in.
    fn open(&mut self, stream: i32, operation: &Operation, payload: &[u8], events: Events) {
        let written = operation
            .opening()
            .write(&mut self.answers, stream, &[payload]);
        if written.is_err() {
            return self.fail(stream, &IpcError::service("The answer is too long"));
        }
        self.outbox.append(&mut self.answers);
        let open = match events {
            Events::None => return,
            Events::Local {
                filter,
                receive_mode,
            } => OpenStream::Local {
                _subscription: self.shared.bus.subscribe(
                    &filter,
                    receive_mode,
                    Arc::clone(self.identity.name()),
                    Arc::clone(&self.outbox),
                    stream,
                ),
            },
            Events::Source(source) => {
                let (handle, registration) = AbortHandle::new_pair();
                let sink = EventSink {
                    outbox: Arc::clone(&self.outbox),
                    template: operation.event().clone(),
                    stream,
                };
                let source = Abortable::new(source(sink), registration);
                self.futures.push(Box::pin(async move {
                    match source.await {
                        Ok(()) => Finished::Events { stream },
                        Err(_) => Finished::Aborted,
                    }
                }));
                OpenStream::Source(handle)
            }
        };
        self.streams.insert(stream, open);
    }

    fn answer(&mut self, stream: i32, template: &MessageTemplate, payload: &[u8]) {
        if !self.session.close(stream) {
            return;
        }
        if template
            .write(&mut self.answers, stream, &[payload])
            .is_err()
        {
            write_error(
                &mut self.answers,
                stream,
                &IpcError::service("The answer is too long"),
            );
        }
    }

    fn fail(&mut self, stream: i32, error: &IpcError) {
        if self.session.close(stream) {
            write_error(&mut self.answers, stream, error);
        }
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Call {
                stream,
                operation,
                reply,
            } => {
                self.streams.remove(&stream);
                // A client that ended the stream wanted the act, not the answer.
                if self.session.is_open(stream) {
                    self.reply(stream, operation, reply);
                }
            }
            Finished::Events { stream } => {
                self.streams.remove(&stream);
                // Events that the source has sent go first.
                self.session.terminate(stream, &mut self.answers);
            }
            Finished::Aborted => {}
        }
    }
}

/// Where the source of a stream's events puts them.
pub(crate) struct EventSink {
    outbox: Arc<Outbox>,
    template: MessageTemplate,
    stream: i32,
}

impl EventSink {
    /// Sends one event; `false` once the client is gone.
    pub(crate) fn send<E: serde::Serialize>(&self, event: &E) -> bool {
        let Ok(payload) = serde_json::to_vec(event) else {
            return true;
        };
        let delivery = self.outbox.deliver(payload.len() + 160, |frames| {
            let written = self.template.write(frames, self.stream, &[&payload]);
            if let Err(error) = written {
                tracing::warn!(%error, "an event is too long for its client");
            }
        });
        if delivery == Delivery::Dropped && self.outbox.dropped().is_power_of_two() {
            tracing::warn!(
                dropped = self.outbox.dropped(),
                "events are dropped, the client does not keep up"
            );
        }
        delivery != Delivery::Closed
    }
}

fn write_error(out: &mut Vec<u8>, stream: i32, error: &IpcError) {
    let template = MessageTemplate::json(
        MessageType::ApplicationError,
        FLAG_TERMINATE_STREAM,
        &error.wire_type(),
    );
    if template.write(out, stream, &[&error.to_json()]).is_err() {
        let short = IpcError::new(error.name, "The error is too long to be told");
        template
            .write(out, stream, &[&short.to_json()])
            .expect("a short text fits");
    }
}

/// Serves the client until it leaves or the server stops.
pub(crate) async fn run(mut connection: Connection) {
    // The greeting may have read more than the CONNECT.
    let mut result = connection.receive();
    let mut is_at_fault = false;
    loop {
        let outbox = Arc::clone(&connection.outbox);
        outbox.append(&mut connection.answers);
        if let Err(error) = result {
            tracing::debug!(
                component = &**connection.identity.name(),
                %error,
                "an IPC client broke the protocol"
            );
            write_protocol_error(&mut connection.answers, &error);
            outbox.append(&mut connection.answers);
            outbox.close();
            is_at_fault = true;
        }
        result = match poll_fn(|context| connection.poll_event(context)).await {
            Event::Read => {
                let result = connection.receive();
                // Others have their turn before this client's next batch.
                outbox.append(&mut connection.answers);
                yield_once().await;
                result
            }
            Event::Finished(finished) => {
                connection.finish(finished);
                Ok(())
            }
            Event::Ended => break,
        };
    }
    if is_at_fault {
        linger(&mut connection.socket).await;
    }
    finish_calls(connection).await;
}

/// Ends all subscriptions at once, and lets calls that were begun come to their end: a component
/// that sends a request and exits meant it.
async fn finish_calls(connection: Connection) {
    let Connection {
        outbox,
        streams,
        mut futures,
        socket,
        ..
    } = connection;
    outbox.abandon();
    drop((streams, socket));
    let rest = async { while futures.next().await.is_some() {} };
    if tokio::time::timeout(LAST_CALLS, rest).await.is_err() {
        tracing::warn!("calls of an IPC client that has left did not end in time");
    }
}

/// Goes to the end of the runtime's queue, without a trip to the system.
async fn yield_once() {
    let mut is_first = true;
    poll_fn(|context| {
        if std::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

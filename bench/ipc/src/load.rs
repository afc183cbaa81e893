//! The loads.

use crate::connection::{Connection, Greeting, Target};
use crate::cpu::ServerCpu;
use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::time::{Duration, Instant};
use sward_ipc_model::{
    GetConfiguration, PublishMessage, PublishToTopic, PublishToTopicRequest, SubscribeToTopic,
};

/// A load that makes no progress for this long has lost messages.
const PATIENCE: Duration = Duration::from_secs(5);
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(200);

/// What one run counted.
pub(crate) struct Rate {
    count: u64,
    elapsed: Duration,
    server_cpu: Option<Duration>,
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
impl Rate {
    pub(crate) fn per_second(&self) -> f64 {
        self.count as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn server_micros(&self) -> Option<f64> {
        let cpu = self.server_cpu?;
        (self.count > 0).then(|| cpu.as_secs_f64() * 1e6 / self.count as f64)
    }
}

/// Counts from the end of the warm-up to the end of the run.
struct Clock<'a> {
    cpu: &'a ServerCpu,
    started: Instant,
    length: Duration,
    measuring: Option<(Instant, u64, Option<Duration>)>,
}

impl<'a> Clock<'a> {
    fn start(length: Duration, cpu: &'a ServerCpu) -> Self {
        Clock {
            cpu,
            started: Instant::now(),
            length,
            measuring: None,
        }
    }

    /// Takes the count so far; the figures once the time is over.
    fn tick(&mut self, count: u64) -> Option<Rate> {
        let now = Instant::now();
        match self.measuring {
            None if now - self.started >= WARM_UP => {
                self.measuring = Some((now, count, self.cpu.now()));
                None
            }
            Some((begin, before, cpu)) if now - begin >= self.length => Some(Rate {
                count: count - before,
                elapsed: now - begin,
                server_cpu: cpu.and_then(|before| Some(self.cpu.now()?.saturating_sub(before))),
            }),
            _ => None,
        }
    }
}

/// Waits until a connection can be read, or written where it wants to be.
fn wait(connections: &[&Connection]) -> Result<()> {
    let mut polled: Vec<PollFd<'_>> = connections
        .iter()
        .map(|connection| {
            let mut flags = PollFlags::IN;
            if connection.has_output() {
                flags |= PollFlags::OUT;
            }
            PollFd::from_borrowed_fd(connection.fd(), flags)
        })
        .collect();
    let patience = Timespec::try_from(PATIENCE).context("a few seconds")?;
    if poll(&mut polled, Some(&patience))? == 0 {
        bail!("nothing comes any more: messages were lost");
    }
    Ok(())
}

/// Who publishes what to whom.
pub(crate) struct Shape {
    /// Each has a topic and subscribers of its own.
    pub(crate) publishers: usize,
    pub(crate) subscribers: usize,
    /// Of the binary message.
    pub(crate) bytes: usize,
    /// Outstanding messages of each publisher.
    pub(crate) window: usize,
}

/// One publisher with its subscribers.
struct Lane {
    request: Vec<u8>,
    publisher: Connection,
    subscribers: Vec<(Connection, u64)>,
    sent: u64,
    answered: u64,
}

impl Lane {
    fn open(target: &Target, topic: &str, bytes: usize, subscribers: usize) -> Result<Self> {
        let request = PublishToTopicRequest {
            topic: topic.to_owned(),
            publish_message: PublishMessage::binary(vec![0x5a; bytes]),
        };
        let subscribe = json!({ "topic": topic }).to_string();
        let mut opened = Vec::new();
        for _ in 0..subscribers {
            let mut connection = Connection::open(target)?;
            connection.request::<SubscribeToTopic>(subscribe.as_bytes())?;
            while {
                connection.write()?;
                connection.read()?.answers == 0
            } {
                wait(&[&connection])?;
            }
            opened.push((connection, 0));
        }
        Ok(Lane {
            request: serde_json::to_vec(&request)?,
            publisher: Connection::open(target)?,
            subscribers: opened,
            sent: 0,
            answered: 0,
        })
    }

    /// Messages that every subscriber has.
    fn delivered(&self) -> u64 {
        let counts = self.subscribers.iter().map(|(_, received)| *received);
        counts.min().unwrap_or(0)
    }

    fn fill(&mut self, window: usize) -> Result<()> {
        let done = self.delivered().min(self.answered);
        while self.sent - done < window as u64 {
            self.publisher.request::<PublishToTopic>(&self.request)?;
            self.sent += 1;
        }
        if self.publisher.has_output() {
            self.publisher.write()?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        self.answered += self.publisher.read()?.answers as u64;
        for (connection, received) in &mut self.subscribers {
            *received += connection.read()?.events as u64;
        }
        Ok(())
    }
}

/// Publishes as fast as the window lets.
pub(crate) fn publish(
    target: &Target,
    shape: &Shape,
    length: Duration,
    cpu: &ServerCpu,
) -> Result<Rate> {
    let mut lanes = (0..shape.publishers)
        .map(|number| {
            let topic = format!("bench/{number}");
            Lane::open(target, &topic, shape.bytes, shape.subscribers)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut clock = Clock::start(length, cpu);
    loop {
        for lane in &mut lanes {
            lane.fill(shape.window)?;
        }
        let connections: Vec<&Connection> = lanes
            .iter()
            .flat_map(|lane| {
                let subscribers = lane.subscribers.iter().map(|(connection, _)| connection);
                subscribers.chain([&lane.publisher])
            })
            .collect();
        wait(&connections)?;
        for lane in &mut lanes {
            lane.read()?;
        }
        if let Some(rate) = clock.tick(lanes.iter().map(Lane::delivered).sum()) {
            return Ok(rate);
        }
    }
}

/// One message at a time, and how long each took from publish to delivery.
pub(crate) fn closed_loop(
    target: &Target,
    bytes: usize,
    length: Duration,
) -> Result<Vec<Duration>> {
    let mut lane = Lane::open(target, "bench/latency", bytes, 1)?;
    let begin = Instant::now();
    let mut latencies = Vec::new();
    while begin.elapsed() < length + WARM_UP {
        let sent = Instant::now();
        lane.publisher.request::<PublishToTopic>(&lane.request)?;
        lane.sent += 1;
        lane.publisher.write()?;
        while lane.delivered() < lane.sent {
            wait(&[&lane.subscribers[0].0])?;
            let (connection, received) = &mut lane.subscribers[0];
            *received += connection.read()?.events as u64;
        }
        let latency = sent.elapsed();
        while lane.answered < lane.sent {
            wait(&[&lane.publisher])?;
            lane.answered += lane.publisher.read()?.answers as u64;
        }
        if begin.elapsed() > WARM_UP {
            latencies.push(latency);
        }
    }
    Ok(latencies)
}

/// Reads one key, several calls outstanding.
pub(crate) fn get_configuration(
    target: &Target,
    component: &str,
    key: &str,
    outstanding: usize,
    length: Duration,
    cpu: &ServerCpu,
) -> Result<Rate> {
    let request = json!({"componentName": component, "keyPath": [key]}).to_string();
    let mut connection = Connection::open(target)?;
    let (mut sent, mut answered) = (0_u64, 0_u64);
    let mut clock = Clock::start(length, cpu);
    loop {
        while sent - answered < outstanding as u64 {
            connection.request::<GetConfiguration>(request.as_bytes())?;
            sent += 1;
        }
        connection.write()?;
        wait(&[&connection])?;
        answered += connection.read()?.answers as u64;
        if let Some(rate) = clock.tick(answered) {
            return Ok(rate);
        }
    }
}

/// Connects, is let in, and leaves, several at a time.
pub(crate) fn connects(
    target: &Target,
    at_once: usize,
    length: Duration,
    cpu: &ServerCpu,
) -> Result<Rate> {
    let mut clock = Clock::start(length, cpu);
    let mut count = 0;
    loop {
        let greetings = (0..at_once)
            .map(|_| Greeting::start(target))
            .collect::<Result<Vec<_>>>()?;
        for greeting in greetings {
            greeting.finish()?;
            count += 1;
        }
        if let Some(rate) = clock.tick(count) {
            return Ok(rate);
        }
    }
}

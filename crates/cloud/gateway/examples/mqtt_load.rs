//! A load client for any MQTT broker over mutual TLS, single-threaded. Prints one JSON line.
//!
//! ```text
//! mqtt_load --port N --ca FILE --cert FILE --key FILE [--qos 0|1] [--subscribers N] [--messages N]
//!      [--size BYTES] [--window N] [--persistent] [--pid BROKER]
//! mqtt_load --port N --ca FILE --cert FILE --key FILE --idle CONNECTIONS --pid BROKER
//! ```
//!
//! One publisher sends `messages`; with QoS 1 at most `window` are unacknowledged, with QoS 0 the
//! publisher is never more than `window` ahead of the slowest subscriber (with QoS 1: 4,000). `messages_per_second`
//! counts deliveries. `--persistent` gives the subscribers sessions that outlive them, so that a
//! durable broker must store each message before it acknowledges it.

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use serde_json::json;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use sward_mqtt::client::{Client, ClientOptions, Event};
use sward_mqtt::packet::{Properties, Publish, SubscribeOptions, Text};
use sward_mqtt::{Qos, Version};
use sward_net::mqtt::{Step, Wire};
use sward_net::tls::{ClientConfig, ClientIdentity, Roots, client_config};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

struct Plan {
    port: u16,
    tls: Arc<ClientConfig>,
    qos: Qos,
    subscribers: u64,
    messages: u64,
    size: usize,
    window: u64,
    persistent: bool,
    pid: Option<u32>,
    idle: u64,
}

fn plan() -> anyhow::Result<Plan> {
    let mut files: [Option<PathBuf>; 3] = [None, None, None];
    let mut numbers = [8883u64, 1, 1, 100_000, 200, 500, 0, 0];
    let mut persistent = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.trim_start_matches("--");
        if name == "persistent" {
            persistent = true;
            continue;
        }
        let value = arguments
            .next()
            .with_context(|| format!("{argument} needs a value"))?;
        let file = ["ca", "cert", "key"]
            .iter()
            .position(|known| *known == name);
        let names = [
            "port",
            "qos",
            "subscribers",
            "messages",
            "size",
            "window",
            "pid",
            "idle",
        ];
        match (file, names.iter().position(|known| *known == name)) {
            (Some(index), _) => files[index] = Some(value.into()),
            (_, Some(index)) => numbers[index] = value.parse()?,
            _ => bail!("unknown option {argument}"),
        }
    }
    let [Some(ca), Some(cert), Some(key)] = files else {
        bail!("--ca, --cert and --key are needed");
    };
    let identity = ClientIdentity::from_files(&cert, &key)?;
    let [port, qos, subscribers, messages, size, window, pid, idle] = numbers;
    Ok(Plan {
        port: u16::try_from(port)?,
        tls: client_config(&Roots::from_file(&ca)?, Some(&identity), &[])?,
        qos: if qos == 0 {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        },
        subscribers,
        messages,
        size: usize::try_from(size)?,
        window,
        persistent,
        pid: u32::try_from(pid).ok().filter(|pid| *pid > 0),
        idle,
    })
}

/// One connection with its client state.
struct Link {
    wire: Wire<TlsStream<TcpStream>>,
    client: Client,
    input: BytesMut,
    output: BytesMut,
}

impl Link {
    async fn open(plan: &Plan, id: &str, persistent: bool) -> anyhow::Result<Link> {
        let stream = TcpStream::connect(("127.0.0.1", plan.port)).await?;
        stream.set_nodelay(true)?;
        let stream = TlsConnector::from(Arc::clone(&plan.tls))
            .connect("localhost".try_into()?, stream)
            .await?;
        let mut options = ClientOptions::new(id, Version::V311);
        options.in_flight = u16::try_from(plan.window)?;
        options.keep_alive = 600;
        let mut client = Client::new(options);
        client.start(0, !persistent);
        let mut link = Link {
            wire: Wire::new(stream),
            client,
            input: BytesMut::new(),
            output: BytesMut::new(),
        };
        link.until(|event| matches!(event, Event::Connected { .. }))
            .await?;
        Ok(link)
    }

    async fn until(&mut self, mut wanted: impl FnMut(&Event) -> bool) -> anyhow::Result<()> {
        loop {
            while let Some(event) = self.client.poll(0)? {
                if wanted(&event) {
                    return Ok(());
                }
            }
            self.step().await?;
        }
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        self.output.unsplit(self.client.output().split());
        let step = self
            .wire
            .step(&mut self.input, &mut self.output, true)
            .await?;
        if step == Step::Closed {
            bail!("the broker closed the connection");
        }
        self.client.input().unsplit(self.input.split());
        Ok(())
    }
}

/// QoS 1 messages by which the slowest subscriber may be behind: brokers bound their queues.
const AHEAD: u64 = 4_000;

/// What the tasks tell each other.
struct Score {
    received: Vec<AtomicU64>,
    progress: Notify,
    done: Semaphore,
}

impl Score {
    fn slowest(&self) -> u64 {
        self.received
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .min()
            .unwrap_or(u64::MAX)
    }
}

async fn subscriber(
    mut link: Link,
    index: usize,
    messages: u64,
    score: Arc<Score>,
) -> anyhow::Result<()> {
    let mut count = 0;
    while count < messages {
        while let Some(event) = link.client.poll(0)? {
            if let Event::Message(publish) = event {
                count += 1;
                link.client.acknowledge(0, publish.packet_id);
            }
        }
        score.received[index].store(count, Ordering::Relaxed);
        score.progress.notify_one();
        if count < messages {
            link.step().await?;
        }
    }
    // Sends the last acknowledgements.
    link.output.unsplit(link.client.output().split());
    while !link.output.is_empty() {
        link.step().await?;
    }
    score.done.add_permits(1);
    Ok(())
}

async fn publisher(mut link: Link, plan: &Plan, score: &Score) -> anyhow::Result<()> {
    let payload = Bytes::from(vec![b'x'; plan.size]);
    let (mut sent, mut acknowledged) = (0, 0);
    loop {
        while let Some(event) = link.client.poll(0)? {
            acknowledged += u64::from(matches!(event, Event::Published { .. }));
        }
        let behind = match plan.qos {
            Qos::AtMostOnce => score.slowest(),
            _ => acknowledged.min(score.slowest().saturating_add(AHEAD)),
        };
        while sent < plan.messages && sent < behind + plan.window {
            let publish = Publish {
                dup: false,
                qos: plan.qos,
                retain: false,
                topic: Text::from("bench/topic"),
                packet_id: 0,
                properties: Properties::new(),
                payload: payload.clone(),
            };
            link.client.publish(0, sent, publish);
            sent += 1;
        }
        if sent == plan.messages && (plan.qos == Qos::AtMostOnce || acknowledged == sent) {
            link.output.unsplit(link.client.output().split());
            while !link.output.is_empty() {
                link.step().await?;
            }
            return Ok(());
        }
        tokio::select! {
            result = link.step() => result?,
            () = score.progress.notified() => {}
        }
    }
}

/// User and system time of a process so far.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}

/// Proportional set size of a process in kB.
fn pss_kb(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find(|line| line.starts_with("Pss:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn throughput(plan: Plan) -> anyhow::Result<serde_json::Value> {
    let plan = Arc::new(plan);
    let count = usize::try_from(plan.subscribers)?;
    let score = Arc::new(Score {
        received: (0..count).map(|_| AtomicU64::new(0)).collect(),
        progress: Notify::new(),
        done: Semaphore::new(0),
    });
    for index in 0..count {
        let mut link = Link::open(&plan, &format!("sub{index}"), plan.persistent).await?;
        let options = SubscribeOptions {
            qos: plan.qos,
            ..SubscribeOptions::default()
        };
        link.client
            .subscribe(0, 1, vec![(Text::from("bench/topic"), options)]);
        link.until(|event| matches!(event, Event::Subscribed { .. }))
            .await?;
        let (score, messages) = (Arc::clone(&score), plan.messages);
        let tasks = sward_task::Tasks::new();
        tasks.spawn("subscriber", async move {
            if let Err(error) = subscriber(link, index, messages, score).await {
                tracing::error!(%error, "a subscriber failed");
            }
        });
    }
    let link = Link::open(&plan, "pub", false).await?;
    let cpu = plan.pid.and_then(cpu_seconds);
    let started = Instant::now();
    publisher(link, &plan, &score).await?;
    let all = score.done.acquire_many(u32::try_from(count)?);
    tokio::time::timeout(Duration::from_secs(120), all)
        .await
        .context("messages are missing")??
        .forget();
    let seconds = started.elapsed().as_secs_f64();
    let cpu = plan
        .pid
        .and_then(cpu_seconds)
        .zip(cpu)
        .map(|(after, before)| after - before);
    let delivered = plan.messages * plan.subscribers;
    Ok(json!({
        "qos": plan.qos as u8, "subscribers": plan.subscribers, "messages": plan.messages,
        "payload_bytes": plan.size, "window": plan.window, "persistent": plan.persistent,
        "seconds": seconds, "messages_per_second": (delivered as f64 / seconds).round(),
        "broker_cpu_seconds": cpu,
        "broker_cpu_us_per_delivery": cpu.map(|cpu| cpu * 1e6 / delivered as f64),
    }))
}

async fn idle(plan: Plan) -> anyhow::Result<serde_json::Value> {
    let pid = plan.pid.context("--idle needs --pid")?;
    let before = pss_kb(pid).context("no memory figures")?;
    let started = Instant::now();
    let mut links = Vec::new();
    for index in 0..plan.idle {
        links.push(Link::open(&plan, &format!("idle{index}"), false).await?);
    }
    let connects = plan.idle as f64 / started.elapsed().as_secs_f64();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = pss_kb(pid).context("no memory figures")?;
    Ok(json!({
        "idle_connections": links.len(), "pss_kb_before": before, "pss_kb_after": after,
        "kb_per_connection": (after as f64 - before as f64) / plan.idle as f64,
        "connects_per_second": connects.round(),
    }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let plan = plan()?;
    let result = if plan.idle > 0 {
        idle(plan).await?
    } else {
        throughput(plan).await?
    };
    writeln!(std::io::stdout(), "{result}")?;
    Ok(())
}

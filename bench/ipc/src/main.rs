//! Load client for the Greengrass IPC of any nucleus; prints one JSON document.
//!
//! It needs only what every component gets, the socket's path and the token in the environment,
//! and uses only public operations: PublishToTopic, SubscribeToTopic and GetConfiguration. Run as
//! a component it needs a policy of `aws.greengrass.ipc.pubsub` for its topics (`bench/…`).
//!
//! One thread drives all connections, so that server and client have a core each. A message is
//! outstanding from the write of its publish until every subscriber has it; the window bounds how
//! many are. Server CPU is what the kernel counts for the server's process over the same time.

mod connection;
mod cpu;
mod load;

use anyhow::{Context, Result};
use clap::Parser;
use connection::Target;
use cpu::ServerCpu;
use load::Rate;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

#[derive(Parser)]
#[command(version, about = "Measures the Greengrass IPC of any nucleus")]
struct Options {
    /// The server's process, whose CPU time is counted.
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Shorter and fewer runs.
    #[arg(long)]
    quick: bool,
    /// Measure only what has this in its name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Whose configuration is read.
    #[arg(
        long,
        value_name = "COMPONENT",
        default_value = "aws.greengrass.Nucleus"
    )]
    component: String,
    /// The key that is read.
    #[arg(long, value_name = "KEY", default_value = "awsRegion")]
    key: String,
    /// Outstanding messages of the windowed runs.
    #[arg(long, default_value_t = 64)]
    window: usize,
}

impl Options {
    fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|text| name.contains(text))
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let target = Target::from_environment()?;
    let (runs, length) = match options.quick {
        true => (1, Duration::from_millis(700)),
        false => (5, Duration::from_secs(2)),
    };
    let cpu = ServerCpu::new(options.server_pid);
    let mut figures = serde_json::Map::new();
    let shapes = [
        ("publish_1_to_1_256", 1, 1, 256),
        ("publish_1_to_10_256", 1, 10, 256),
        ("publish_4_pairs_256", 4, 1, 256),
        ("publish_1_to_1_8192", 1, 1, 8192),
    ];
    for (name, publishers, subscribers, bytes) in shapes {
        if !options.wants(name) {
            continue;
        }
        let shape = load::Shape {
            publishers,
            subscribers,
            bytes,
            window: options.window,
        };
        let rates = repeat(runs, || load::publish(&target, &shape, length, &cpu))
            .with_context(|| name.to_owned())?;
        figures.insert(name.to_owned(), rate(&rates, "messages", subscribers));
    }
    if options.wants("closed_loop_256") {
        let latencies = repeat(runs, || load::closed_loop(&target, 256, length))?;
        figures.insert("closed_loop_256".to_owned(), percentiles(&latencies));
    }
    if options.wants("get_configuration_16") {
        let rates = repeat(runs, || {
            load::get_configuration(&target, &options.component, &options.key, 16, length, &cpu)
        })?;
        figures.insert("get_configuration_16".to_owned(), rate(&rates, "calls", 1));
    }
    if options.wants("connects_16") {
        let rates = repeat(runs, || load::connects(&target, 16, length, &cpu))?;
        figures.insert("connects_16".to_owned(), rate(&rates, "connects", 1));
    }
    figures.insert(
        "settings".to_owned(),
        json!({"window": options.window, "runs": runs, "seconds": length.as_secs_f64()}),
    );
    writeln!(
        std::io::stdout(),
        "{}",
        serde_json::to_string_pretty(&Value::Object(figures))?
    )?;
    Ok(())
}

fn repeat<T>(runs: usize, mut run: impl FnMut() -> Result<T>) -> Result<Vec<T>> {
    (0..runs).map(|_| run()).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn rounded(value: f64, digits: i32) -> f64 {
    let factor = 10_f64.powi(digits);
    (value * factor).round() / factor
}

fn rate(rates: &[Rate], unit: &str, deliveries: usize) -> Value {
    let per_second = median(rates.iter().map(Rate::per_second).collect());
    let mut figures = serde_json::Map::new();
    figures.insert(format!("{unit}_per_second"), json!(rounded(per_second, 0)));
    if deliveries > 1 {
        #[expect(clippy::cast_precision_loss, reason = "a handful of subscribers")]
        let all = per_second * deliveries as f64;
        figures.insert("deliveries_per_second".to_owned(), json!(rounded(all, 0)));
    }
    let cpu: Vec<f64> = rates.iter().filter_map(Rate::server_micros).collect();
    if !cpu.is_empty() {
        figures.insert(
            "server_cpu_us_each".to_owned(),
            json!(rounded(median(cpu), 2)),
        );
    }
    Value::Object(figures)
}

/// Medians over the runs of each run's percentiles, in microseconds.
fn percentiles(runs: &[Vec<Duration>]) -> Value {
    let at = |share: f64| {
        let values = runs.iter().map(|latencies| {
            let mut sorted = latencies.clone();
            sorted.sort();
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "an index between 0 and the length"
            )]
            let index = (share * (sorted.len() - 1) as f64) as usize;
            sorted[index].as_secs_f64() * 1e6
        });
        rounded(median(values.collect()), 1)
    };
    json!({"p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99), "p999_us": at(0.999)})
}

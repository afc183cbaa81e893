//! Counters, in the text form that Prometheus reads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use sward_gateway::HubCounts;

/// Calls by service and status. Services are a closed list, so the map stays small.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    calls: Mutex<BTreeMap<(&'static str, u16), u64>>,
}

impl Metrics {
    pub(crate) fn count(&self, service: &'static str, status: u16) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        *calls.entry((service, status)).or_default() += 1;
    }

    pub(crate) fn render(&self, hub: HubCounts) -> String {
        let mut text = String::from("# TYPE sward_api_requests_total counter\n");
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        for ((service, status), count) in &*calls {
            text.push_str(&format!(
                "sward_api_requests_total{{service=\"{service}\",status=\"{status}\"}} {count}\n"
            ));
        }
        for (name, kind, value) in [
            ("sward_mqtt_connections", "gauge", hub.connections as u64),
            ("sward_mqtt_sessions", "gauge", hub.sessions as u64),
            ("sward_mqtt_dropped_messages_total", "counter", hub.dropped),
        ] {
            text.push_str(&format!("# TYPE {name} {kind}\n{name} {value}\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_rendered_by_label() {
        let metrics = Metrics::default();
        metrics.count("s3", 200);
        metrics.count("s3", 200);
        metrics.count("iot", 404);
        let text = metrics.render(HubCounts {
            connections: 3,
            ..HubCounts::default()
        });
        assert!(text.contains("sward_api_requests_total{service=\"s3\",status=\"200\"} 2\n"));
        assert!(text.contains("sward_api_requests_total{service=\"iot\",status=\"404\"} 1\n"));
        assert!(text.contains("sward_mqtt_connections 3\n"));
    }
}

//! Taking over the root of an AWS nucleus: its transaction log (core-device §5.7).
//!
//! One JSON object a line: `{"TS": ms, "TP": [path], "W": what, "V": value}`. It is only read, once,
//! when nothing of ours is stored yet. A torn last line is cut; the nucleus would throw the whole
//! file away, and with it everything deployed.

use serde::Deserialize;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use sward_deployment::tree::{Change, StampedTree};

/// Files in the order in which the nucleus trusts them, below `config/`. The first is there only
/// if the nucleus was interrupted while it wrote the second anew.
const FILES: [&str; 5] = [
    "config.tlog.old",
    "config.tlog",
    "config.tlog~",
    "bootstrap.tlog",
    "bootstrap.tlog~",
];

#[derive(Deserialize)]
struct Line {
    #[serde(rename = "TS")]
    timestamp_ms: i64,
    #[serde(rename = "TP")]
    path: Vec<String>,
    #[serde(rename = "W")]
    what: String,
    #[serde(rename = "V", default)]
    value: Value,
}

/// The tree of the first file that holds one, with the file's path.
pub(super) fn of_root(root: &Path) -> Option<(PathBuf, StampedTree)> {
    FILES.iter().find_map(|name| {
        let path = root.join("config").join(name);
        let tree = read(&fs::read(&path).ok()?)?;
        Some((path, tree))
    })
}

/// The tree that a log leads to; `None` if it is empty or a line before the last is no line.
fn read(bytes: &[u8]) -> Option<StampedTree> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .peekable();
    let mut tree = StampedTree::new();
    while let Some(line) = lines.next() {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => replay(&mut tree, &line),
            Err(_) if lines.peek().is_none() => {
                tracing::warn!("the last line of the transaction log is torn and was cut");
            }
            Err(_) => return None,
        }
    }
    (!tree.is_empty()).then_some(tree)
}

fn replay(tree: &mut StampedTree, line: &Line) {
    let at = tree.get(&line.path).and_then(|node| node.newest_ms());
    match line.what.as_str() {
        "changed" => drop(tree.set(&line.path, &line.value, line.timestamp_ms)),
        "removed" if at.is_none_or(|at| at <= line.timestamp_ms) => {
            tree.remove(&line.path, line.timestamp_ms);
        }
        "timestampUpdated" if at.is_some_and(|at| at < line.timestamp_ms) => {
            tree.replay(&Change::Touched {
                path: line.path.clone(),
                timestamp_ms: line.timestamp_ms,
            });
        }
        "interiorAdded" if tree.get(&line.path).is_none() => {
            tree.replay(&Change::MapAdded {
                path: line.path.clone(),
                timestamp_ms: line.timestamp_ms,
            });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const LOG: &str = r#"{"TS":1,"TP":["system","rootpath"],"W":"changed","V":"/greengrass/v2"}
{"TS":5,"TP":["services","com.x","version"],"W":"changed","V":"1.0.0"}
{"TS":4,"TP":["services","com.x","version"],"W":"changed","V":"0.9.0"}
{"TS":5,"TP":["services","com.x","configuration","n"],"W":"changed","V":1.0}
{"TS":6,"TP":["services","COM.X","Configuration","n"],"W":"timestampUpdated","V":null}
{"TS":5,"TP":["services","com.x","configuration","empty"],"W":"interiorAdded","V":null}
{"TS":5,"TP":["services","com.x","gone"],"W":"changed","V":[1,{"a":null}]}
{"TS":6,"TP":["services","com.x","gone"],"W":"removed","V":null}
{"TS":3,"TP":["services","com.x","version"],"W":"removed","V":null}
"#;

    #[test]
    fn a_log_leads_to_a_tree_and_older_lines_do_nothing() {
        let tree = read(LOG.as_bytes()).expect("a log");
        let service = tree.value_at(&["services", "com.x"]).expect("it is there");
        assert_eq!(
            service,
            json!({"configuration": {"empty": {}, "n": 1.0}, "version": "1.0.0"})
        );
        let n = tree.get(&["services", "com.x", "configuration", "n"]);
        assert_eq!(n.and_then(|node| node.newest_ms()), Some(6));
    }

    #[test]
    fn a_torn_last_line_costs_that_line_only() {
        let tree = read(&LOG.as_bytes()[..LOG.len() - 20]).expect("a log");
        assert_eq!(
            tree.value_at(&["services", "com.x", "version"]),
            Some(json!("1.0.0"))
        );
        let middle = LOG.replacen("\"TS\":5", "\"TS\":", 1);
        assert!(
            read(middle.as_bytes()).is_none(),
            "damage elsewhere is another file's turn"
        );
        assert!(read(b"").is_none());
        assert!(read(b"\n\n").is_none());
    }

    #[test]
    fn mutated_logs_never_panic() {
        let iterations = std::env::var("SWARD_FUZZ_ITERATIONS")
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(5_000_u64);
        let mut state = 0x0DDB_1A5E_5BAD_5EED_u64;
        let mut random = move |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % below as u64).expect("below a usize")
        };
        let pieces: [&[u8]; 8] = [
            b"null",
            b"[]",
            b"{}",
            b"-1",
            b"\"\"",
            b"[\"a\"]",
            b"removed",
            b"{\"TS\":9,\"TP\":[],\"W\":\"removed\"}\n",
        ];
        let mut good = 0_u64;
        for _ in 0..iterations {
            let mut bytes = LOG.as_bytes().to_vec();
            for _ in 0..=random(3) {
                let at = random(bytes.len());
                match random(4) {
                    0 => bytes[at] = u8::try_from(random(256)).expect("a byte"),
                    1 => bytes.truncate(at.max(1)),
                    2 => drop(bytes.splice(at..at, pieces[random(8)].iter().copied())),
                    _ => {
                        let end = (at + random(30)).min(bytes.len());
                        drop(bytes.splice(at..end, pieces[random(8)].iter().copied()));
                    }
                }
            }
            good += u64::from(read(&bytes).is_some());
        }
        assert!(good > 0, "some mutations are logs");
    }
}

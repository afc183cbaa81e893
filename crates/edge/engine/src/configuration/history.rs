//! Reading the journal as history, and folding its older half.

use super::record::{Source, Transaction};
use serde_json::Value;
use std::collections::BTreeMap;
use sward_deployment::tree::{Change, Node, StampedTree};
use sward_journal::Record;

/// One thing that happened to a value.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryEntry {
    /// Where, as the tree spells it.
    pub path: Vec<String>,
    pub kind: HistoryKind,
    /// The value before, if there was one.
    pub before: Option<Value>,
    /// Time of the clock when it happened.
    pub at_ms: i64,
    /// The time the leaf got, which later changes must reach.
    pub timestamp_ms: i64,
    pub source: Source,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub enum HistoryKind {
    Set(Value),
    /// Set to the same value, with a new time.
    Confirmed,
    Removed,
}

/// What the records say about a path and what is below it.
pub(crate) fn of_path<K: AsRef<str>>(records: &[Record], path: &[K]) -> Vec<HistoryEntry> {
    let mut tree = StampedTree::new();
    let mut entries = Vec::new();
    for transaction in decoded(records) {
        for change in &transaction.changes {
            if concerns(change.path(), path) {
                entries.extend(entry(&tree, change, &transaction));
            }
            tree.replay(change);
        }
    }
    entries
}

fn decoded(records: &[Record]) -> impl Iterator<Item = Transaction> {
    records
        .iter()
        .filter_map(|record| Transaction::decode(&record.payload).ok())
}

fn entry(tree: &StampedTree, change: &Change, transaction: &Transaction) -> Option<HistoryEntry> {
    let kind = match change {
        Change::Set { value, .. } => HistoryKind::Set(value.clone()),
        Change::Touched { .. } => HistoryKind::Confirmed,
        Change::Removed { .. } => HistoryKind::Removed,
        Change::MapAdded { .. } => return None,
    };
    Some(HistoryEntry {
        path: change.path().to_vec(),
        kind,
        before: tree.get(change.path()).map(Node::to_value),
        at_ms: transaction.at_ms,
        timestamp_ms: change.timestamp_ms(),
        source: transaction.source.clone(),
    })
}

/// Whether a change at `changed` is seen by someone who looks at `watched` and below: it is below,
/// or it is above and took everything with it.
pub(crate) fn concerns<A: AsRef<str>, B: AsRef<str>>(changed: &[A], watched: &[B]) -> bool {
    changed
        .iter()
        .zip(watched)
        .all(|(a, b)| same_key(a.as_ref(), b.as_ref()))
}

fn same_key(a: &str, b: &str) -> bool {
    a == b || a.to_lowercase() == b.to_lowercase()
}

/// The records that stand for the same tree with a shorter past: the older half becomes its
/// outcome, told per source and time; the newer half stays as it is.
pub(crate) fn fold(records: Vec<Record>) -> Vec<Vec<u8>> {
    let split = records.len() / 2;
    let (old, new) = records.split_at(split);
    let mut tree = StampedTree::new();
    let mut setters: BTreeMap<Vec<String>, (i64, Source)> = BTreeMap::new();
    for transaction in decoded(old) {
        for change in &transaction.changes {
            tree.replay(change);
            setters.insert(
                lower(change.path()),
                (transaction.at_ms, transaction.source.clone()),
            );
        }
    }
    let mut folded: Vec<Transaction> = Vec::new();
    for change in tree.as_changes() {
        let (at_ms, source) = setters
            .get(&lower(change.path()))
            .cloned()
            .unwrap_or((0, Source::Core));
        let same = folded
            .iter_mut()
            .find(|known| known.at_ms == at_ms && known.source == source);
        match same {
            Some(known) => known.changes.push(change),
            None => folded.push(Transaction {
                at_ms,
                source,
                changes: vec![change],
            }),
        }
    }
    folded.sort_by_key(|transaction| transaction.at_ms);
    let kept = new.iter().map(|record| record.payload.clone());
    folded.iter().map(Transaction::encode).chain(kept).collect()
}

fn lower(path: &[String]) -> Vec<String> {
    path.iter().map(|key| key.to_lowercase()).collect()
}

//! A file system in memory whose power can be cut at any write, for tests of whatever stands on a
//! journal.
//!
//! What survives a cut is chosen by a seed within what a disk may do: of the bytes written since
//! the last sync of a file a prefix survives, its end perhaps as zeros; of the creations, renames
//! and removals since the last sync of the folder the first few survive.

use crate::{File, FileSystem};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What shall go wrong at one write operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power goes: part of this operation happens, and every later call fails.
    PowerCut,
    /// This operation alone fails, after a part of it happened; as a full disk does.
    NoSpace,
}

#[derive(Clone, Debug, Default)]
struct Node {
    content: Vec<u8>,
    /// What a cut cannot take away.
    durable: Vec<u8>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Add(PathBuf, usize),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Add(path, node) => {
            names.insert(path.clone(), *node);
        }
        NameChange::Rename(from, to) => {
            if let Some(node) = names.remove(from) {
                names.insert(to.clone(), node);
            }
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}

#[derive(Debug)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    changes: Vec<NameChange>,
    operations: u64,
    fault: Option<(u64, Fault)>,
    is_off: bool,
    random: u64,
}

impl State {
    /// xorshift64*: enough to vary tests, the same on every machine.
    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let value = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(value).unwrap_or(0) % below.max(1)
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_off {
            return Err(io::Error::other("the power is off"));
        }
        Ok(())
    }

    /// Counts a write; `Err` with the fault if it strikes now.
    fn write(&mut self) -> io::Result<Result<(), Fault>> {
        self.alive()?;
        self.operations += 1;
        match self.fault {
            Some((at, fault)) if at == self.operations => {
                self.is_off = fault == Fault::PowerCut;
                Ok(Err(fault))
            }
            _ => Ok(Ok(())),
        }
    }

    /// As [`State::write`] for an operation that happens or does not.
    fn whole_write(&mut self) -> io::Result<()> {
        self.write()?.map_err(failure)
    }

    fn change_names(&mut self, change: NameChange) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }

    fn node(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn failure(fault: Fault) -> io::Error {
    match fault {
        Fault::PowerCut => io::Error::other("the power went"),
        Fault::NoSpace => io::ErrorKind::StorageFull.into(),
    }
}

/// The file system; clones are the same one.
#[derive(Clone, Debug)]
pub struct MemoryFileSystem(Arc<Mutex<State>>);

impl MemoryFileSystem {
    /// An empty one. The seed decides what survives a cut.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        MemoryFileSystem::with(Vec::new(), BTreeMap::new(), seed)
    }

    fn with(nodes: Vec<Node>, names: BTreeMap<PathBuf, usize>, seed: u64) -> Self {
        MemoryFileSystem(Arc::new(Mutex::new(State {
            nodes,
            durable_names: names.clone(),
            names,
            changes: Vec::new(),
            operations: 0,
            fault: None,
            is_off: false,
            random: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        })))
    }

    /// Lets a write operation fail; the next one is number `operations() + 1`.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().fault = Some((operation, fault));
    }

    /// How many write operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Cuts the power now (if it is not off yet) and gives what a start afterwards finds.
    #[must_use]
    pub fn after_power_cut(&self) -> MemoryFileSystem {
        let mut state = self.lock();
        state.is_off = true;
        let mut names = state.durable_names.clone();
        let count = state.changes.len();
        let survivors = state.random(count + 1);
        for change in &state.changes[..survivors] {
            apply(&mut names, change);
        }
        let mut nodes = Vec::new();
        for node in state.nodes.clone() {
            let content = survive(&node, &mut state);
            nodes.push(Node {
                durable: content.clone(),
                content,
            });
        }
        let seed = state.random(usize::MAX) as u64;
        MemoryFileSystem::with(nodes, names, seed)
    }

    /// A copy that holds only what a cut could not take away now; this one goes on.
    #[must_use]
    pub fn clone_durable(&self) -> MemoryFileSystem {
        let state = self.lock();
        let nodes = state.nodes.iter().map(|node| Node {
            durable: node.durable.clone(),
            content: node.durable.clone(),
        });
        MemoryFileSystem::with(nodes.collect(), state.durable_names.clone(), 1)
    }

    /// Changes a byte of a file, as a failing disk would.
    pub fn damage(&self, path: &Path, offset: usize) {
        let mut state = self.lock();
        if let Ok(node) = state.node(path)
            && let Some(byte) = state.nodes[node].content.get_mut(offset)
        {
            *byte ^= 0x40;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn survive(node: &Node, state: &mut State) -> Vec<u8> {
    let (short, long) = {
        let (a, b) = (node.durable.len(), node.content.len());
        (a.min(b), a.max(b))
    };
    let longer = if node.content.len() >= node.durable.len() {
        &node.content
    } else {
        &node.durable
    };
    let length = short + state.random(long - short + 1);
    let mut content = longer[..length].to_vec();
    if length > short && state.random(3) == 0 {
        // The length reached the disk before the data did.
        let from = short + state.random(length - short);
        content[from..].fill(0);
    }
    content
}

impl FileSystem for MemoryFileSystem {
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let state = self.lock();
        state.alive()?;
        let of_directory = state
            .names
            .keys()
            .filter(|path| path.parent() == Some(directory));
        Ok(of_directory
            .filter_map(|path| Some(path.file_name()?.to_str()?.to_owned()))
            .collect())
    }

    fn create_directory(&self, _directory: &Path) -> io::Result<()> {
        self.lock().alive()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let state = self.lock();
        state.alive()?;
        Ok(state.nodes[state.node(path)?].content.clone())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.lock();
        state.whole_write()?;
        state.nodes.push(Node::default());
        let node = state.nodes.len() - 1;
        state.change_names(NameChange::Add(path.to_owned(), node));
        Ok(Box::new(MemoryFile {
            fs: self.clone(),
            node,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let state = self.lock();
        state.alive()?;
        let node = state.node(path)?;
        Ok(Box::new(MemoryFile {
            fs: self.clone(),
            node,
        }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_write()?;
        state.node(from)?;
        state.change_names(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_write()?;
        state.node(path)?;
        state.change_names(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_directory(&self, _directory: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.whole_write()?;
        state.durable_names = state.names.clone();
        state.changes.clear();
        Ok(())
    }
}

struct MemoryFile {
    fs: MemoryFileSystem,
    node: usize,
}

impl File for MemoryFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.fs.lock();
        match state.write()? {
            Ok(()) => {
                state.nodes[self.node].content.extend_from_slice(bytes);
                Ok(())
            }
            Err(fault) => {
                let part = state.random(bytes.len() + 1);
                state.nodes[self.node]
                    .content
                    .extend_from_slice(&bytes[..part]);
                Err(failure(fault))
            }
        }
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole_write()?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        state.nodes[self.node].content.truncate(length);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.fs.lock();
        state.whole_write()?;
        let content = state.nodes[self.node].content.clone();
        state.nodes[self.node].durable = content;
        Ok(())
    }
}

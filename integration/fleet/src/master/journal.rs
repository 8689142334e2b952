//! What survives a restart: a line for each thing that has changed, the last one of a thing holds.
//!
//! A live controller writes builds at once and its queue now and then (`hudson.model.Queue.save`), so one
//! that is killed comes back with a queue that is older than the truth: items that came since are lost, and
//! items that have left it since wait again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::state::{Build, Item, Job, Master, Node};
use crate::error::FleetError;

/// A thing that has changed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Line<'m> {
    /// A job.
    Job(&'m Job),
    /// A job or folder is gone, with all in it.
    JobGone(&'m str),
    /// A build.
    Build(&'m Build),
    /// A node.
    Node(&'m Node),
    /// A node is gone.
    NodeGone(&'m str),
    /// An item. It is written with the queue.
    Item(&'m Item),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Read {
    Job(Job),
    JobGone(String),
    Build(Build),
    Node(Node),
    NodeGone(String),
}

/// The queue as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Queue {
    next_item: u64,
    items: BTreeMap<u64, Item>,
}

/// What survives a restart.
#[derive(Debug)]
pub struct Journal {
    file: File,
    queue_file: PathBuf,
    queue: Queue,
    every: Duration,
    saved: Option<Instant>,
}

impl Journal {
    /// Opens the journal of a directory, and gives what it has.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn open(home: &Path, queue_save_ms: u64) -> Result<(Self, Master), FleetError> {
        let path = home.join("journal.jsonl");
        let mut master = Master { next_item: 1, ..Master::default() };
        for line in std::fs::read_to_string(&path).unwrap_or_default().lines() {
            // The last line may be cut: the process was killed while it wrote it.
            let Ok(line) = serde_json::from_str(line) else { continue };
            match line {
                Read::Job(job) => {
                    master.jobs.insert(job.name.clone(), job);
                }
                Read::JobGone(name) => {
                    let inside = format!("{name}/");
                    master.jobs.retain(|one, _| *one != name && !one.starts_with(&inside));
                    master.builds.retain(|(one, _), _| *one != name && !one.starts_with(&inside));
                }
                Read::Build(build) => {
                    master.builds.insert((build.job.clone(), build.number), build);
                }
                Read::Node(node) => {
                    master.nodes.insert(node.name.clone(), node);
                }
                Read::NodeGone(name) => {
                    master.nodes.remove(&name);
                }
            }
        }
        for build in master.builds.values() {
            if let Some(job) = master.jobs.get_mut(&build.job) {
                job.next = job.next.max(build.number + 1);
            }
        }
        let queue_file = home.join("queue.json");
        let queue: Queue = std::fs::read(&queue_file)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        master.items = queue.items.clone();
        // Ids are never given twice, whatever was lost of the queue.
        let used = master.builds.values().map(|build| build.queue_id).max().unwrap_or(0);
        master.next_item = queue.next_item.max(used + 1).max(1) + 1_000;
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(FleetError::io(format!("open {}", path.display())))?;
        let every = Duration::from_millis(queue_save_ms);
        Ok((Self { file, queue_file, queue, every, saved: None }, master))
    }

    /// Writes a line.
    ///
    /// # Errors
    /// [`FleetError`].
    pub fn write(&mut self, line: &Line<'_>) -> Result<(), FleetError> {
        if let Line::Item(item) = line {
            if item.build.is_some() || item.cancelled {
                self.queue.items.remove(&item.id);
            } else {
                self.queue.items.insert(item.id, (*item).clone());
            }
            self.queue.next_item = self.queue.next_item.max(item.id + 1);
            return self.save_queue();
        }
        let mut bytes = serde_json::to_vec(line)
            .map_err(|error| FleetError::Other(format!("a line cannot be written: {error}")))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(FleetError::io("write the journal"))
    }

    /// Writes the queue unless that was done a moment ago.
    fn save_queue(&mut self) -> Result<(), FleetError> {
        if self.saved.is_some_and(|saved| saved.elapsed() < self.every) {
            return Ok(());
        }
        self.saved = Some(Instant::now());
        let bytes = serde_json::to_vec(&self.queue)
            .map_err(|error| FleetError::Other(format!("the queue cannot be written: {error}")))?;
        let new = self.queue_file.with_extension("new");
        std::fs::write(&new, bytes)
            .and_then(|()| std::fs::rename(&new, &self.queue_file))
            .map_err(FleetError::io("write the queue"))
    }
}

//! Durable tasks, which go on when the process that started them has ended: followed until they are over.
//!
//! A task is over when it has an exit status, or when the controller removed its control directory, which
//! all containers of a pod share. Then its container says what it used, and whether memory was short. Where
//! its container is gone before, nobody else would give the task a status, and its build would wait for
//! minutes: it gets one here, and its log the reason.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use pilotfish_exec::{End, Followed, Measuring, Report, Stage};
use tokio::sync::oneshot;

use super::Usages;
use crate::confine::FileThreads;
use crate::memory::{KILLED, append_to, give_status};

/// How often it is looked whether a task is over, where the controller does not ask.
const INTERVAL: Duration = Duration::from_secs(1);

/// The same, once it is over and its directory is about to go.
const REMOVED_INTERVAL: Duration = Duration::from_secs(10);

/// How long the answer to a controller waits for what a container has to say.
const PATIENCE: Duration = Duration::from_secs(3);

const RESULT: &str = "jenkins-result.txt";

/// Tasks that run.
#[derive(Debug, Default)]
pub(crate) struct Tasks(Mutex<HashMap<PathBuf, Follower>>);

#[derive(Debug)]
struct Follower {
    /// Takes the status.
    over: oneshot::Sender<i32>,
    /// What its log is told then.
    notes: mpsc::Receiver<Vec<String>>,
}

/// A task that begins.
pub(crate) struct NewTask {
    /// Its log, in its control directory.
    pub(crate) log: PathBuf,
    /// The stage that it is a part of, and who is told of it.
    pub(crate) stage: Option<(Stage, Usages)>,
    /// The container.
    pub(crate) container: String,
    /// Where it runs.
    pub(crate) place: Place,
    /// Where files are written.
    pub(crate) threads: FileThreads,
}

/// Where a task runs.
pub(crate) enum Place {
    /// Beside the agent.
    Here(Measuring),
    /// In a sibling container.
    Container(oneshot::Receiver<End>),
}

/// How a task came to its end.
enum Over {
    /// With this status.
    Ended(i32),
    /// The controller removed its directory.
    Removed,
    /// Its container is gone, for this reason.
    Lost(String),
}

impl Tasks {
    fn running(&self) -> MutexGuard<'_, HashMap<PathBuf, Follower>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Follows a task. Must be called within a tokio runtime.
    pub(crate) fn follow(self: &Arc<Self>, task: NewTask) {
        let (over, told) = oneshot::channel();
        let (say, notes) = mpsc::channel();
        let directory = task.log.parent().unwrap_or(Path::new("/")).to_owned();
        self.running().insert(directory.clone(), Follower { over, notes });
        let tasks = Arc::clone(self);
        tokio::spawn(async move {
            task.run(&directory, told, say).await;
            // The answer to the controller's question takes it out; nobody asks where it was removed.
            while tasks.running().contains_key(&directory) && directory.is_dir() {
                tokio::time::sleep(REMOVED_INTERVAL).await;
            }
            tasks.running().remove(&directory);
        });
    }

    /// A task has a status: its log gets what there is to say, before anybody reads the rest of it. Blocks for
    /// the answer of its container.
    pub(crate) fn ended(&self, directory: &Path, status: i32) {
        let Some(follower) = self.running().remove(directory) else { return };
        let _ = follower.over.send(status);
        for note in follower.notes.recv_timeout(PATIENCE).unwrap_or_default() {
            append_to(&directory.join("jenkins-log.txt"), &note);
        }
    }
}

impl NewTask {
    async fn run(
        self,
        directory: &Path,
        mut told: oneshot::Receiver<i32>,
        say: mpsc::Sender<Vec<String>>,
    ) {
        let Self { log, stage, container, place, threads } = self;
        let place = match place {
            Place::Here(measuring) => Ok(measuring),
            Place::Container(end) => match end.await.unwrap_or_default() {
                End { followed: Some(followed), .. } => Err(followed),
                End { report, followed: None } => {
                    return died(&threads, &log, report.notes).await;
                }
            },
        };
        let over = wait(directory, place.as_ref().err(), &mut told).await;
        if let Over::Lost(reason) = over {
            return died(&threads, &log, vec![format!("[pilotfish] {reason}")]).await;
        }
        let report = match place {
            Ok(measuring) => Report { notes: Vec::new(), usage: measuring.end() },
            Err(followed) => {
                let failed = !matches!(over, Over::Ended(0));
                followed.finish(failed).await.unwrap_or_else(|problem| {
                    tracing::warn!("the end of a step: {problem}");
                    Report::default()
                })
            }
        };
        if let (Some((stage, usages)), Some(usage)) = (stage, report.usage) {
            usages.report(&stage, &container, usage);
        }
        let _ = say.send(report.notes);
    }
}

/// Waits until a task is over, as the first says who sees it.
async fn wait(
    directory: &Path,
    followed: Option<&Followed>,
    told: &mut oneshot::Receiver<i32>,
) -> Over {
    let lost = async {
        match followed {
            Some(followed) => followed.lost().await.to_string(),
            None => std::future::pending().await,
        }
    };
    let looked = async {
        loop {
            tokio::time::sleep(INTERVAL).await;
            if let Some(over) = look(directory).await {
                return over;
            }
        }
    };
    tokio::select! {
        // Whoever was told is gone where it is not told the status.
        status = told => status.map_or(Over::Removed, Over::Ended),
        over = looked => over,
        reason = lost => match look(directory).await {
            Some(over @ Over::Ended(_)) => over,
            _ => Over::Lost(reason),
        },
    }
}

/// Looks at the files of a task, on the threads for what may hang.
async fn look(directory: &Path) -> Option<Over> {
    let directory = directory.to_owned();
    let looked = tokio::task::spawn_blocking(move || {
        let status = std::fs::read_to_string(directory.join(RESULT)).ok();
        match status.filter(|text| !text.trim().is_empty()) {
            Some(text) => Some(Over::Ended(text.trim().parse().unwrap_or(-1))),
            None => (!directory.is_dir()).then_some(Over::Removed),
        }
    });
    looked.await.ok().flatten()
}

/// Tells a task that it died, in its log and with a status. The controller named the files, so they are
/// written with its rights.
async fn died(threads: &FileThreads, log: &Path, lines: Vec<String>) {
    let log = log.to_owned();
    let told = threads.run(move || {
        if log.parent().is_some_and(|directory| directory.is_dir()) {
            lines.iter().for_each(|line| append_to(&log, line));
            give_status(&log, KILLED);
        }
    });
    if told.await.is_err() {
        tracing::warn!("a step whose container is gone is not told so");
    }
}

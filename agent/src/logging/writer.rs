//! One thread writes all log text, so that a slow disk or a stalled reader of standard error never
//! stops the agent. The queue is bounded; what does not fit is counted and told.

use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;
use std::time::{Duration, Instant};

use tracing::Level;
use tracing::level_filters::LevelFilter;

/// Most records that wait to be written.
const QUEUE: usize = 4096;
/// How long [`Writer::flush`] waits.
const FLUSH_WAIT: Duration = Duration::from_secs(2);
/// How long [`Writer::flush`] leaves a full queue alone before it tries again.
const FULL_QUEUE_PAUSE: Duration = Duration::from_millis(5);

/// A place that log text goes to.
pub(super) struct Sink {
    level: LevelFilter,
    output: Box<dyn Write + Send>,
}

impl Sink {
    pub(super) fn new(level: LevelFilter, output: Box<dyn Write + Send>) -> Self {
        Self { level, output }
    }
}

enum Job {
    Write { level: Level, text: Vec<u8> },
    Flush(SyncSender<()>),
}

/// The end of the queue that takes text.
pub(super) struct Writer {
    jobs: SyncSender<Job>,
    lost: std::sync::Arc<AtomicU64>,
}

impl Writer {
    pub(super) fn start(sinks: Vec<Sink>) -> std::io::Result<Self> {
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let lost = std::sync::Arc::new(AtomicU64::new(0));
        let writer = Self { jobs, lost: std::sync::Arc::clone(&lost) };
        thread::Builder::new()
            .name("log".to_owned())
            .stack_size(128 << 10)
            .spawn(move || run(&queue, sinks, &lost))?;
        Ok(writer)
    }

    /// Queues text; never waits.
    pub(super) fn write(&self, level: Level, text: Vec<u8>) {
        if let Err(TrySendError::Full(_)) = self.jobs.try_send(Job::Write { level, text }) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was queued before is written, for [`FLUSH_WAIT`] at most.
    pub(super) fn flush(&self) {
        let deadline = Instant::now() + FLUSH_WAIT;
        let (done, wait) = mpsc::sync_channel(1);
        let mut job = Job::Flush(done);
        while let Err(TrySendError::Full(back)) = self.jobs.try_send(job) {
            if Instant::now() >= deadline {
                return;
            }
            // The queue is full and this is the end of the program, or nearly: nothing waits for it.
            thread::sleep(FULL_QUEUE_PAUSE);
            job = back;
        }
        let _ = wait.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn run(queue: &Receiver<Job>, mut sinks: Vec<Sink>, lost: &AtomicU64) {
    for job in queue {
        match job {
            Job::Write { level, text } => {
                let lost = lost.swap(0, Ordering::Relaxed);
                for sink in sinks.iter_mut().filter(|sink| level <= sink.level) {
                    if lost > 0 {
                        let _ = writeln!(
                            sink.output,
                            "({lost} log records were lost: too many at once)"
                        );
                    }
                    // There is nowhere to report that a log cannot be written.
                    let _ = sink.output.write_all(&text);
                }
            }
            Job::Flush(done) => {
                for sink in &mut sinks {
                    let _ = sink.output.flush();
                }
                let _ = done.try_send(());
            }
        }
    }
}

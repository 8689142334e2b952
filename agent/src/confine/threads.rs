//! The threads on which file operations run.

use std::collections::VecDeque;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The most threads, as many as the runtime has for blocking work. Operations on streams hold theirs
/// while they wait for the controller.
const MAX_THREADS: usize = 512;

/// How long a thread waits for the next operation before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// What a new thread does before its first operation.
type Setup = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

type Work = Box<dyn FnOnce() + Send>;

/// An operation that did not come to its end: the agent is shutting down, or has a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the agent failed to run this request because of a bug of its own")]
pub struct Gone;

/// Where file operations run: with the other blocking work, or on threads with limits.
#[derive(Clone, Default)]
pub struct FileThreads(Option<Arc<Pool>>);

impl fmt::Debug for FileThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "FileThreads(confined)" } else { "FileThreads" })
    }
}

struct Pool {
    setup: Setup,
    queue: Mutex<Queue>,
    more: Condvar,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Work>,
    idle: usize,
    threads: usize,
}

impl FileThreads {
    /// Threads that each do this before they do anything else.
    pub(super) fn confined(setup: Setup) -> Self {
        let (queue, more) = (Mutex::default(), Condvar::new());
        Self(Some(Arc::new(Pool { setup, queue, more })))
    }

    /// Does the setup once, on a thread of its own.
    pub(super) fn try_out(&self) -> Result<(), String> {
        let Some(pool) = &self.0 else { return Ok(()) };
        let setup = Arc::clone(&pool.setup);
        let tried = std::thread::spawn(move || setup());
        tried.join().unwrap_or_else(|_| Err("the thread ended".to_owned()))
    }

    /// Runs an operation that may block, and waits for it. It sees the runtime of its caller.
    ///
    /// # Errors
    /// [`Gone`] when it did not come to its end.
    pub async fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let Some(pool) = &self.0 else {
            return tokio::task::spawn_blocking(operation).await.map_err(|_| Gone);
        };
        let (done, result) = oneshot::channel();
        let runtime = Handle::current();
        pool.add(Box::new(move || {
            let _entered = runtime.enter();
            // A defect ends the operation and not the thread.
            if let Ok(value) = std::panic::catch_unwind(AssertUnwindSafe(operation)) {
                let _ = done.send(value);
            }
        }))?;
        result.await.map_err(|_| Gone)
    }
}

impl Pool {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, work: Work) -> Result<(), Gone> {
        let mut queue = self.queue();
        queue.waiting.push_back(work);
        if queue.idle >= queue.waiting.len() || queue.threads == MAX_THREADS {
            self.more.notify_one();
            return Ok(());
        }
        queue.threads += 1;
        drop(queue);
        let pool = Arc::clone(self);
        let started =
            std::thread::Builder::new().name("files".to_owned()).spawn(move || pool.serve());
        if let Err(error) = started {
            tracing::error!("no thread for file operations can be started: {error}");
            let mut queue = self.queue();
            queue.threads -= 1;
            // Another thread may still come to it; without any, nobody would.
            if queue.threads == 0 {
                queue.waiting.clear();
                return Err(Gone);
            }
        }
        Ok(())
    }

    fn serve(&self) {
        if let Err(problem) = (self.setup)() {
            // Nothing runs without its limits.
            tracing::error!("a thread for file operations cannot be confined: {problem}");
            let mut queue = self.queue();
            queue.threads -= 1;
            queue.waiting.pop_front();
            return;
        }
        let mut queue = self.queue();
        loop {
            if let Some(work) = queue.waiting.pop_front() {
                drop(queue);
                work();
                queue = self.queue();
                continue;
            }
            queue.idle += 1;
            let (back, waited) =
                self.more.wait_timeout(queue, IDLE).unwrap_or_else(PoisonError::into_inner);
            queue = back;
            queue.idle -= 1;
            if waited.timed_out() && queue.waiting.is_empty() {
                queue.threads -= 1;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn operations_run_after_the_setup_and_a_defect_ends_only_one() {
        use std::cell::Cell;
        thread_local!(static READY: Cell<bool> = const { Cell::new(false) });
        let threads = FileThreads::confined(Arc::new(|| {
            READY.set(true);
            Ok(())
        }));
        assert_eq!(threads.run(|| READY.get()).await, Ok(true));
        let failed = threads.run(|| std::panic::resume_unwind(Box::new("a defect"))).await;
        assert_eq!(failed, Err::<(), _>(Gone));
        let all = (0..50).map(|n| {
            let threads = threads.clone();
            tokio::spawn(async move {
                threads.run(move || (READY.get(), Handle::current().block_on(async { n }))).await
            })
        });
        for (n, one) in futures_util::future::join_all(all).await.into_iter().enumerate() {
            assert_eq!(one.unwrap(), Ok((true, n)));
        }
    }

    #[tokio::test]
    async fn nothing_runs_where_the_setup_fails() {
        let threads = FileThreads::confined(Arc::new(|| Err("refused".to_owned())));
        assert_eq!(threads.try_out(), Err("refused".to_owned()));
        assert_eq!(threads.run(|| ()).await, Err(Gone));
    }
}

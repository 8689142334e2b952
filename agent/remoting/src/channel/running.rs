//! The requests of the peer that run: each in a task of its own, bounded in number, cancelled by its id
//! and answered exactly once.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;

use super::cancel::Canceller;
use super::{Cancellation, Inner, Throwable, lock};
use crate::command::Outgoing;

/// How many requests may run at once; a controller has some hundred threads that could send them.
pub(crate) const MAX_RUNNING_REQUESTS: usize = 8192;

pub(crate) struct Running {
    /// Nothing once the channel has ended.
    by_id: Mutex<Option<HashMap<i32, Canceller>>>,
    /// Beside the table, because a peer may use an id twice at the same time.
    count: AtomicUsize,
}

/// A request in the table. Dropped, it is out of it.
struct Registration {
    inner: Arc<Inner>,
    id: i32,
    cancellation: Cancellation,
}

impl Default for Running {
    fn default() -> Self {
        Self { by_id: Mutex::new(Some(HashMap::new())), count: AtomicUsize::new(0) }
    }
}

impl Running {
    pub(crate) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Cancels a request; unknown ids are ignored.
    pub(crate) fn cancel(&self, id: i32) {
        if let Some(canceller) = lock(&self.by_id).as_ref().and_then(|by_id| by_id.get(&id)) {
            canceller.cancel();
        }
    }

    pub(crate) fn cancel_all(&self) {
        let all = lock(&self.by_id).take();
        for canceller in all.into_iter().flat_map(HashMap::into_values) {
            canceller.cancel();
        }
    }
}

impl Registration {
    /// Nothing when the channel has ended.
    fn new(inner: &Arc<Inner>, id: i32) -> Option<Self> {
        let (canceller, cancellation) = Canceller::new();
        lock(&inner.running.by_id).as_mut()?.insert(id, canceller);
        inner.running.count.fetch_add(1, Ordering::AcqRel);
        Some(Self { inner: Arc::clone(inner), id, cancellation })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(by_id) = lock(&self.inner.running.by_id).as_mut() {
            // A later request may have taken the id over.
            if by_id.get(&self.id).is_some_and(|canceller| canceller.cancels(&self.cancellation)) {
                by_id.remove(&self.id);
            }
        }
        self.inner.running.count.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Inner {
    /// Runs a request once the I/O that it names is complete, and sends the response that comes of it, if
    /// it is for this side to send; `failure` makes one where the run itself fails. Too many requests at once are refused.
    pub(crate) fn start_request<F>(
        self: &Arc<Self>,
        id: i32,
        last_io: i32,
        run: impl FnOnce(Cancellation) -> F + Send + 'static,
        failure: impl Fn(Throwable) -> Outgoing + Send + 'static,
    ) where
        F: Future<Output = Option<Outgoing>> + Send,
    {
        if self.running.len() >= MAX_RUNNING_REQUESTS {
            return self.post(failure(Throwable::io(format!(
                "the agent runs {MAX_RUNNING_REQUESTS} requests already and takes no more for now"
            ))));
        }
        let Some(registration) = Registration::new(self, id) else { return };
        self.runtime.spawn(async move {
            let inner = &registration.inner;
            let cancellation = &registration.cancellation;
            if !inner.order.is_complete(last_io) {
                tokio::select! {
                    () = inner.until_complete(last_io) => {}
                    () = cancellation.cancelled() => {}
                }
            }
            let response = if cancellation.is_cancelled() {
                Some(failure(Throwable::interrupted()))
            } else {
                let ran = AssertUnwindSafe(run(cancellation.clone())).catch_unwind().await;
                ran.unwrap_or_else(|_| {
                    tracing::error!(id, "a request made the agent panic; this is a bug");
                    Some(failure(Throwable::io(
                        "the agent failed to run this request because of a bug of its own",
                    )))
                })
            };
            if let Some(response) = response {
                // Fails when the channel has ended: then nobody waits.
                let _ = inner.send(response).await;
            }
        });
    }
}

//! Requests of this side that wait for their response.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::oneshot;

use super::lock;
use crate::command::Outcome;

pub(crate) struct PendingCalls {
    /// Nothing once the channel has ended.
    waiting: Mutex<Option<HashMap<i32, oneshot::Sender<Outcome>>>>,
}

impl Default for PendingCalls {
    fn default() -> Self {
        Self { waiting: Mutex::new(Some(HashMap::new())) }
    }
}

impl PendingCalls {
    /// Waits for the response of `id`; the receiver fails when the channel ends first.
    pub(crate) fn expect(&self, id: i32) -> oneshot::Receiver<Outcome> {
        let (sender, receiver) = oneshot::channel();
        if let Some(waiting) = lock(&self.waiting).as_mut() {
            waiting.insert(id, sender);
        }
        receiver
    }

    /// Takes the caller of a response; none for an unknown id, or when the caller went away.
    pub(crate) fn take(&self, id: i32) -> Option<oneshot::Sender<Outcome>> {
        lock(&self.waiting).as_mut().and_then(|waiting| waiting.remove(&id))
    }

    pub(crate) fn fail_all(&self) {
        *lock(&self.waiting) = None;
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.waiting).as_ref().map_or(0, HashMap::len)
    }
}

//! Cancellation of a running request.

use tokio::sync::watch;

/// Tells a running request that nobody waits for it any more. Clones share it.
#[derive(Debug, Clone)]
pub struct Cancellation(watch::Receiver<bool>);

#[derive(Debug)]
pub(crate) struct Canceller(watch::Sender<bool>);

impl Canceller {
    pub(crate) fn new() -> (Self, Cancellation) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Cancellation(receiver))
    }

    pub(crate) fn cancel(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn cancels(&self, cancellation: &Cancellation) -> bool {
        self.0.subscribe().same_channel(&cancellation.0)
    }
}

impl Cancellation {
    /// Whether the request was cancelled, or its channel ended.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the request is cancelled; for ever when it never is.
    pub async fn cancelled(&self) {
        if self.0.clone().wait_for(|cancelled| *cancelled).await.is_err() {
            // The request has ended, so nobody can cancel it.
            std::future::pending::<()>().await;
        }
    }
}

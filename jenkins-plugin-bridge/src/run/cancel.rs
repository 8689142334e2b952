//! Stopping work: a run, or the other branches of a group.

use tokio::sync::watch;

/// Stops what listens to its [`Cancel`].
#[derive(Debug)]
pub struct Canceller(watch::Sender<bool>);

/// Tells when work should stop.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Vec<watch::Receiver<bool>>);

impl Canceller {
    /// Stops the work. More than once is the same as once.
    pub fn cancel(&self) {
        let _ = self.0.send(true);
    }
}

impl Cancel {
    /// A way to stop work, for the one who stops and the one who works.
    #[must_use]
    pub fn new() -> (Canceller, Self) {
        let (sender, receiver) = watch::channel(false);
        (Canceller(sender), Self(vec![receiver]))
    }

    /// Work inside this work: stopped with it, or alone.
    #[must_use]
    pub fn child(&self) -> (Canceller, Self) {
        let (canceller, mut inner) = Self::new();
        inner.0.extend(self.0.iter().cloned());
        (canceller, inner)
    }

    /// Whether to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.iter().any(|one| *one.borrow())
    }

    /// Waits until it is time to stop; forever if that never comes.
    pub async fn cancelled(&self) {
        let waits = self.0.iter().cloned().map(|mut one| {
            Box::pin(async move {
                // A canceller that is gone will never cancel.
                if one.wait_for(|stop| *stop).await.is_err() {
                    std::future::pending::<()>().await;
                }
            })
        });
        let waits: Vec<_> = waits.collect();
        if waits.is_empty() {
            std::future::pending::<()>().await;
        }
        futures_util::future::select_all(waits).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_stops_with_its_parent_and_alone() {
        let (parent, cancel) = Cancel::new();
        let (child, inner) = cancel.child();
        let (_other, second) = cancel.child();
        child.cancel();
        inner.cancelled().await;
        assert!(inner.is_cancelled() && !cancel.is_cancelled() && !second.is_cancelled());
        parent.cancel();
        second.cancelled().await;
    }
}

//! Work within a time.

use std::time::Duration;

use super::cancel::Cancel;
use crate::error::BridgeError;

/// Does work that can be stopped. When its time is over it is stopped and waited for, so that nothing
/// of it goes on behind what comes next; that is `None`.
///
/// # Errors
/// Those of the work, also of work that was stopped.
pub(super) async fn within<T>(
    time: Option<Duration>,
    cancel: &Cancel,
    work: impl AsyncFnOnce(&Cancel) -> Result<T, BridgeError>,
) -> Result<Option<T>, BridgeError> {
    let (stop, inner) = cancel.child();
    let Some(time) = time else { return work(&inner).await.map(Some) };
    let mut work = std::pin::pin!(work(&inner));
    tokio::select! {
        ended = &mut work => ended.map(Some),
        () = tokio::time::sleep(time) => {
            stop.cancel();
            work.await?;
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;

    #[tokio::test]
    async fn work_that_ends_in_its_time_gives_what_it_gives() {
        let (_keep, cancel) = Cancel::new();
        for time in [None, Some(Duration::from_secs(3600))] {
            let ended = within(time, &cancel, async |inner: &Cancel| {
                tokio::task::yield_now().await;
                assert!(!inner.is_cancelled());
                Ok(7)
            });
            assert_eq!(ended.await.unwrap(), Some(7));
        }
    }

    #[tokio::test]
    async fn work_beyond_its_time_is_stopped_and_waited_for() {
        let (_keep, cancel) = Cancel::new();
        let cleaned = AtomicBool::new(false);
        let ended = within(Some(Duration::from_millis(1)), &cancel, async |inner: &Cancel| {
            inner.cancelled().await;
            tokio::task::yield_now().await;
            cleaned.store(true, Relaxed);
            Ok(7)
        });
        assert_eq!(ended.await.unwrap(), None);
        assert!(cleaned.load(Relaxed), "its end is waited for");
        assert!(!cancel.is_cancelled(), "what is around goes on");
    }

    #[tokio::test]
    async fn a_stop_from_outside_reaches_the_work() {
        let (stop, cancel) = Cancel::new();
        stop.cancel();
        let ended = within(Some(Duration::from_secs(3600)), &cancel, async |inner: &Cancel| {
            inner.cancelled().await;
            Ok("stopped")
        });
        assert_eq!(ended.await.unwrap(), Some("stopped"));
    }
}

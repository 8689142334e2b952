//! Leases, on both databases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::service::leader::{LeaseTimes, lead};
use crate::service::store::Store;

/// Two replicas: one leads; when it dies without a word the other one does; one that gives the lease up
/// is followed at once.
pub async fn one_leads(first: &Store, second: &Store) {
    let times = LeaseTimes {
        beat: Duration::from_millis(20),
        still: Duration::from_millis(200),
        give_up: Duration::from_millis(150),
    };
    let leaders = Arc::new(AtomicU32::new(0));
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let run = |store: &Store, name: &'static str| {
        let (store, told, leaders) = (store.clone(), told.clone(), Arc::clone(&leaders));
        tokio::spawn(async move {
            lead(&store, "duty", name, times, || {
                let (told, leaders) = (told.clone(), Arc::clone(&leaders));
                async move {
                    struct Leading(Arc<AtomicU32>);
                    impl Drop for Leading {
                        fn drop(&mut self) {
                            self.0.fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                    assert_eq!(leaders.fetch_add(1, Ordering::SeqCst), 0, "two lead at once");
                    let _leading = Leading(leaders);
                    told.send(name).unwrap();
                    std::future::pending::<()>().await;
                }
            })
            .await;
        })
    };
    let one = run(first, "one");
    assert_eq!(heard.recv().await, Some("one"));
    let two = run(second, "two");
    // It goes on raising its heartbeat, so nobody takes over.
    let nobody = tokio::time::timeout(Duration::from_millis(400), heard.recv()).await;
    assert!(nobody.is_err(), "{nobody:?}");
    // Ended in the middle, as by SIGKILL: nothing is given up.
    one.abort();
    let _ = one.await;
    assert_eq!(heard.recv().await, Some("two"));
    // Somebody else took it by force: the holder sees that and stops.
    let seen = first.lease("duty").await.unwrap();
    assert_eq!((seen.holder.as_str(), seen.generation), ("two", 2));
    while !first.take_lease("duty", &first.lease("duty").await.unwrap(), "three").await.unwrap() {}
    while leaders.load(Ordering::SeqCst) > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    first.give_lease_up("duty", "three").await.unwrap();
    assert_eq!(heard.recv().await, Some("two"));
    two.abort();
    let _ = two.await;
}

#[tokio::test]
async fn of_two_replicas_one_leads() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}?mode=rwc", directory.path().join("a.db").display());
    let store = Arc::new(Store::open(&url).await.unwrap());
    one_leads(&store, &store).await;
}

//! Moves what SQLite wrote to its log into its file, beside the requests.
//!
//! By itself SQLite does that in the commit that makes the log too long, and waits for the disk twice
//! before that commit is answered: on a busy disk a tenth of a second, for every request that comes in
//! that time. From a connection of its own it holds nobody up, as long as the log may grow meanwhile.

use std::fs::File;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, Row as _};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// How often the log is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// The longest log, in pages of 4 KiB: 256 MiB. Only a service that writes without a pause comes to that,
/// because the log begins anew when all of it has been moved and nobody writes. Then writers wait once.
const LONGEST: i64 = 65_536;
/// So few pages are moved in a moment, so that writers may wait for it.
const FEW: i64 = 128;
/// How often it is tried to leave few pages; each time takes less, as less was written meanwhile.
const TRIES: usize = 5;
const PASSIVE: &str = "PRAGMA wal_checkpoint(PASSIVE)";
const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";

/// The task. It ends when this is dropped, or told to.
#[derive(Debug)]
pub(super) struct Checkpoints(watch::Sender<bool>);

impl Checkpoints {
    /// Starts the task on a connection to the database.
    pub(super) fn start(connection: AnyConnection) -> Self {
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(run(connection, receiver));
        Self(sender)
    }

    /// Ends the task, and with it its connection.
    pub(super) async fn end(&self) {
        let _ = self.0.send(true);
        self.0.closed().await;
    }
}

async fn run(mut connection: AnyConnection, mut stop: watch::Receiver<bool>) {
    let file = database_file(&mut connection).await;
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            _ = ticks.tick() => {}
        }
        if let Err(error) = step(&mut connection, file.as_ref()).await {
            tracing::warn!(%error, "the log of the database cannot be moved");
        }
    }
    let _ = connection.close().await;
}

/// Moves what there is; where there is nothing, it waits for nothing.
async fn step(
    connection: &mut AnyConnection,
    file: Option<&Arc<ManuallyDrop<File>>>,
) -> Result<(), sqlx::Error> {
    if checkpoint(connection, PASSIVE).await?.pages < LONGEST {
        return Ok(());
    }
    // To begin anew, all of the file must be on the disk, and writers wait for that. So what is in it by
    // now goes there first, and then what came in that time, until little is left to wait for.
    for _ in 0..TRIES {
        if let Some(file) = file.map(Arc::clone) {
            let _ = tokio::task::spawn_blocking(move || file.sync_data()).await;
        }
        let log = checkpoint(connection, PASSIVE).await?;
        if log.pages - log.moved <= FEW {
            break;
        }
    }
    checkpoint(connection, RESTART).await?;
    Ok(())
}

/// The file of the database, if it has one. It is never closed: with that the process would give up the
/// locks that SQLite has on it (<https://sqlite.org/howtocorrupt.html>, 2.2).
async fn database_file(connection: &mut AnyConnection) -> Option<Arc<ManuallyDrop<File>>> {
    let row = sqlx::query("PRAGMA database_list").fetch_one(connection).await.ok()?;
    let path: String = row.try_get(2).ok()?;
    File::open(path).ok().map(|file| Arc::new(ManuallyDrop::new(file)))
}

/// Pages of the log, and how many of them are in the file; both are -1 while another connection moves them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Log {
    pages: i64,
    moved: i64,
}

async fn checkpoint(
    connection: &mut AnyConnection,
    statement: &'static str,
) -> Result<Log, sqlx::Error> {
    let row = sqlx::query(statement).fetch_one(connection).await?;
    Ok(Log { pages: row.try_get(1)?, moved: row.try_get(2)? })
}

#[cfg(test)]
mod tests {
    use crate::service::store::Store;

    use super::*;

    #[tokio::test]
    async fn the_log_is_moved_beside_writers_and_all_is_there_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("a.db").display());
        let store = Store::open(&url).await.unwrap();
        let mut other = AnyConnection::connect(&url).await.unwrap();
        for number in 0..20 {
            let digest = number.to_string();
            store.save_plan(&digest, "c", "plan", number).await.unwrap();
            // Less than nothing where the store's own task moves it at this moment.
            assert_ne!(checkpoint(&mut other, PASSIVE).await.unwrap().pages, 0);
        }
        assert!(database_file(&mut other).await.unwrap().metadata().unwrap().len() > 0);
        let log = checkpoint(&mut other, RESTART).await.unwrap();
        assert_eq!(log.pages, log.moved);
        store.save_plan("last", "c", "plan", 20).await.unwrap();
        other.close().await.unwrap();
        store.close().await;
        let log = directory.path().join("a.db-wal");
        assert!(!log.exists(), "the last connection takes the log away");
        let store = Store::open(&url).await.unwrap();
        for digest in ["0", "19", "last"] {
            assert_eq!(store.plan(digest).await.unwrap(), Some(("c".into(), "plan".into())));
        }
    }
}

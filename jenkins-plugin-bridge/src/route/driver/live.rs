//! The builds that have not ended. Rounds of decisions come fast where much happens, and most builds are then as they
//! were in the round before: only those that are not are read anew.

use std::collections::HashMap;

use crate::route::model::{Build, BuildState};
use crate::service::store::{Store, StoreError};

/// The builds that have not ended, the oldest first, as they were read last.
#[derive(Debug, Default)]
pub(super) struct Live(Vec<Build>);

impl Live {
    /// Brings them up to date.
    pub(super) async fn read(&mut self, store: &Store) -> Result<&[Build], StoreError> {
        let mut now: HashMap<String, i64> = store.live_versions().await?.into_iter().collect();
        // What stays is as it was; what is left over has changed or is new.
        self.0.retain(|build| now.get(&build.id) == Some(&build.version));
        for build in &self.0 {
            now.remove(&build.id);
        }
        let changed: Vec<String> = now.into_keys().collect();
        if !changed.is_empty() {
            let read = store.routed_with(&changed).await?;
            // It may have ended since.
            self.0.extend(read.into_iter().filter(|build| build.state != BuildState::Finished));
            self.0.sort_by(|one, other| {
                (one.created_ms, &one.id).cmp(&(other.created_ms, &other.id))
            });
        }
        Ok(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::route::tests::build;
    use crate::service::store::{AttemptChange, Change, NewBuild};

    #[tokio::test]
    async fn what_has_not_changed_is_not_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("a.db").display());
        let store = Store::open(&url).await.unwrap();
        let job = json!({"name": "team/web", "pipeline": "web"});
        store.save_job(&serde_json::from_value(job).unwrap(), 1).await.unwrap();
        let add = |number: i64| {
            let build = build(number, BuildState::Waiting);
            let new = NewBuild { build, subject: "s".to_owned(), idempotency_key: None };
            let store = &store;
            async move { store.add_routed(&new).await.unwrap().unwrap() }
        };
        // More than one statement reads.
        for number in 1..=70 {
            add(number).await;
        }
        let mut live = Live::default();
        assert_eq!(live.read(&store).await.unwrap(), store.live_routed().await.unwrap());
        assert_eq!(live.0.len(), 70);
        "of before".clone_into(&mut live.0[9].reason);
        let change = |at: usize, state: BuildState| Change {
            build: Build { state, reason: "new".to_owned(), ..live.0[at].clone() },
            attempt: AttemptChange::None,
        };
        let changes = [change(3, BuildState::Running), change(4, BuildState::Finished)];
        store.change_routed(&changes, 2).await.unwrap();
        add(71).await;
        let read = live.read(&store).await.unwrap();
        assert_eq!(read[8].reason, "of before");
        "".clone_into(&mut live.0[8].reason);
        assert_eq!(live.0, store.live_routed().await.unwrap());
        store.close().await;
    }
}

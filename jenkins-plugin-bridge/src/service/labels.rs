//! Which labels are in use, and who has them.

use std::collections::BTreeSet;

use super::state::Service;
use super::store::{BuildFilter, StateFilter, StoreError};
use crate::masters::{LabelCover, cover};
use crate::route::BuildState;

/// Builds that wait, of which the newest are looked at: those of one job mostly ask for the same labels.
const WAITING: i64 = 500;

impl Service {
    /// For each label that a master declares, or that a job or a build that waits asks for, which masters can run
    /// its builds.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn label_cover(&self) -> Result<Vec<LabelCover>, StoreError> {
        let jobs = self.store.jobs().await?.into_iter().filter(|row| !row.is_removed);
        let mut used: BTreeSet<BTreeSet<String>> =
            jobs.map(|row| row.spec.labels.into_iter().map(|label| label.0).collect()).collect();
        // A build may ask for more than its job does.
        let states = Some(StateFilter::One(BuildState::Waiting));
        let waiting = BuildFilter { states, limit: WAITING, ..BuildFilter::default() };
        let waiting = self.store.newest_routed(&waiting).await?;
        used.extend(waiting.into_iter().map(|build| build.request.labels));
        Ok(cover(&self.masters.all(), &used, self.now_signed()))
    }
}

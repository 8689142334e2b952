//! How the images of pods came to their nodes.

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::{Store, StoreError};
use crate::cluster::start::ImageStart;

/// For how long these are kept, in seconds.
const KEPT: i64 = 30 * 24 * 3600;

/// What is known of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageUse {
    /// When a pod was last seen to have it, in seconds since 1970.
    pub used_at: i64,
    /// In how many pods it was on the node already.
    pub present: u64,
    /// In how many it was pulled.
    pub pulled: u64,
    /// The median of how long that took, in milliseconds.
    pub median_pull_ms: Option<u64>,
}

impl ImageUse {
    /// The time of pulling that nobody waited for, in milliseconds; `None` where no pull of the
    /// image was ever seen.
    #[must_use]
    pub fn saved_ms(&self) -> Option<u64> {
        self.median_pull_ms.map(|median| median.saturating_mul(self.present))
    }
}

impl Store {
    /// Keeps how the images of a pod came; what is kept of a pod and an image stays, as several
    /// replicas see the same pod.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn save_images(
        &self,
        pod: &str,
        images: &[ImageStart],
        now: i64,
    ) -> Result<(), StoreError> {
        for one in images {
            sqlx::query(
                "INSERT INTO image_starts (pod, image, seen_at, pull_ms) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (pod, image) DO NOTHING",
            )
            .bind(pod.to_owned())
            .bind(one.image.clone())
            .bind(now)
            .bind(one.pull_ms.map(|ms| i64::try_from(ms).unwrap_or(i64::MAX)))
            .execute(&self.pool)
            .await?;
        }
        let old = sqlx::query("DELETE FROM image_starts WHERE seen_at < $1");
        old.bind(now - KEPT).execute(&self.pool).await?;
        Ok(())
    }

    /// What is known of the images of the last 30 days.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn image_uses(&self) -> Result<BTreeMap<String, ImageUse>, StoreError> {
        let mut all: BTreeMap<String, ImageUse> = BTreeMap::new();
        let present = "SELECT image, MAX(seen_at), COUNT(*) - COUNT(pull_ms) \
                       FROM image_starts GROUP BY image";
        for row in sqlx::query(present).fetch_all(&self.pool).await? {
            let count: i64 = row.try_get(2)?;
            let present = u64::try_from(count).unwrap_or(0);
            let one = ImageUse { used_at: row.try_get(1)?, present, ..ImageUse::default() };
            all.insert(row.try_get(0)?, one);
        }
        let mut pulls: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let pulled = "SELECT image, pull_ms FROM image_starts WHERE pull_ms IS NOT NULL \
                      ORDER BY image, pull_ms";
        for row in sqlx::query(pulled).fetch_all(&self.pool).await? {
            let took: i64 = row.try_get(1)?;
            pulls.entry(row.try_get(0)?).or_default().push(u64::try_from(took).unwrap_or(0));
        }
        for (image, took) in pulls {
            let Some(one) = all.get_mut(&image) else { continue };
            one.pulled = took.len() as u64;
            one.median_pull_ms = took.get(took.len() / 2).copied();
        }
        Ok(all)
    }
}

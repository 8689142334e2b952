//! `images`: which images builds need, and where they are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::remote::runtime;
use super::{CatalogArguments, PASSED, print};
use crate::cluster::{Cluster, Clusters};
use crate::error::BridgeError;
use crate::service::{self, ImageUse, Store};

/// Arguments of `images`.
#[derive(Debug, Args)]
pub struct ImagesArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    /// File of clusters that keep images.
    #[arg(long, value_name = "FILE")]
    clusters: Option<PathBuf>,
    /// Database of the service, for the plans of the last 14 days and for how images came to nodes in the
    /// last 30: `sqlite:FILE` or `postgres://…`.
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Make the clusters keep these images, and no others.
    #[arg(long, requires = "clusters")]
    apply: bool,
}

pub(super) fn execute(arguments: &ImagesArguments) -> Result<u8, BridgeError> {
    let catalog = arguments.catalog.load()?;
    let clusters = arguments.clusters.as_deref().map(Clusters::read).transpose()?;
    let clusters = clusters.unwrap_or_default();
    let failed = |error: service::StoreError| {
        BridgeError::io("read the database", std::io::Error::other(error.to_string()))
    };
    runtime()?.block_on(async {
        let store = match &arguments.database {
            Some(url) => Some(Store::open(&service::database(Some(url))).await.map_err(failed)?),
            None => None,
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_secs()).unwrap_or(i64::MAX);
        let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut states: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut agent = clusters.agent_of("");
        for (name, settings) in clusters.that_keep_images() {
            let Some(wanted) = &settings.images else { continue };
            agent = clusters.agent_of(name);
            let cluster = Cluster::connect(name, settings).await?;
            if arguments.apply {
                let recent = store.as_ref().map(|store| (store, now));
                let images = service::images(&catalog, recent, &agent).await.map_err(failed)?;
                let kept = cluster.keep_images(wanted, &images, &agent).await?;
                for (word, names) in [("kept", &kept.applied), ("removed", &kept.removed)] {
                    names.iter().for_each(|one| print(&format!("{name}: {one} {word}\n")));
                }
            }
            for (image, state) in cluster.images(wanted).await? {
                states.entry(image).or_default().insert(format!("{name}: {state}"));
            }
        }
        let recent = store.as_ref().map(|store| (store, now));
        for (pipeline, images) in service::images(&catalog, recent, &agent).await.map_err(failed)? {
            for image in images {
                used.entry(image).or_default().insert(pipeline.clone());
            }
        }
        let uses = match &store {
            Some(store) => store.image_uses().await.map_err(failed)?,
            None => BTreeMap::new(),
        };
        let joined = |all: Option<&BTreeSet<String>>| {
            all.map_or_else(
                || "-".to_owned(),
                |all| all.iter().cloned().collect::<Vec<_>>().join(", "),
            )
        };
        let every = used.keys().chain(states.keys()).chain(uses.keys());
        let every: BTreeSet<&String> = every.collect();
        for image in every {
            let (pipelines, kept) = (joined(used.get(image)), joined(states.get(image)));
            print(&format!("{image}\n  for {pipelines}\n  kept by {kept}\n"));
            if let Some(one) = uses.get(image) {
                print(&format!("  {}\n", told(one, now)));
            }
        }
        let saved: u64 = uses.values().filter_map(ImageUse::saved_ms).sum();
        if !uses.is_empty() {
            print(&format!("pulling saved in 30 days: {}\n", span(saved / 1000)));
        }
        Ok(PASSED)
    })
}

/// When an image was last used, and what pulling it was and was not.
fn told(one: &ImageUse, now: i64) -> String {
    let ago = u64::try_from(now - one.used_at).unwrap_or(0);
    let mut text = format!("last used {} ago", span(ago));
    let tenths = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    if let Some(median) = one.median_pull_ms {
        text.push_str(&format!(", pulled {} times in {}", one.pulled, tenths(median)));
    }
    match one.saved_ms() {
        Some(saved) => {
            text.push_str(&format!(", there {} times: saved {}", one.present, span(saved / 1000)));
        }
        None => text.push_str(&format!(", there {} times, no pull was seen", one.present)),
    }
    text
}

/// Seconds for people, in at most two units.
fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, name) in units {
        if left >= size && parts.len() < 2 {
            parts.push(format!("{} {name}", left / size));
            left %= size;
        }
    }
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_an_image_is_told() {
        let one = ImageUse { used_at: 1_000, present: 40, pulled: 3, median_pull_ms: Some(6_250) };
        assert_eq!(
            told(&one, 8_260),
            "last used 2 h 1 min ago, pulled 3 times in 6.2 s, there 40 times: saved 4 min 10 s"
        );
        let never = ImageUse { used_at: 1_000, present: 2, ..ImageUse::default() };
        assert_eq!(told(&never, 1_000), "last used 0 s ago, there 2 times, no pull was seen");
    }
}

//! `images`: which images builds need, and where they are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clap::Args;

use super::remote::runtime;
use super::{CatalogArguments, PASSED, print};
use crate::cluster::{Cluster, Clusters};
use crate::error::BridgeError;
use crate::service::{self, Store};

/// Arguments of `images`.
#[derive(Debug, Args)]
pub struct ImagesArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    /// File of clusters that keep images.
    #[arg(long, value_name = "FILE")]
    clusters: Option<PathBuf>,
    /// Database of the service, for the plans of the last 14 days: `sqlite:FILE` or `postgres://…`.
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
        let joined = |all: Option<&BTreeSet<String>>| {
            all.map_or_else(
                || "-".to_owned(),
                |all| all.iter().cloned().collect::<Vec<_>>().join(", "),
            )
        };
        let every: BTreeSet<&String> = used.keys().chain(states.keys()).collect();
        for image in every {
            let (pipelines, kept) = (joined(used.get(image)), joined(states.get(image)));
            print(&format!("{image}\n  for {pipelines}\n  kept by {kept}\n"));
        }
        Ok(PASSED)
    })
}

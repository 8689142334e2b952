//! What the pod of a plan is given: the plan and what it needs, in one Secret.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

use crate::error::{BridgeError, Problem};
use crate::plan::PlanDocument;
use crate::run::RunOptions;

/// The most bytes of a Secret (`MaxSecretSize` of Kubernetes).
const MAX_SECRET: usize = 1 << 20;
/// The most bytes of the plan once it is unpacked: what 1 MiB of gzip may become, with room for
/// the largest of plans.
const MAX_UNPACKED: u64 = 256 << 20;
/// The key with everything but the secrets.
const RUN: &str = "run.json.gz";

/// What the runner in a pod is given.
#[derive(Debug, Serialize, Deserialize)]
pub struct Handover {
    /// The plan.
    pub document: PlanDocument,
    /// Where the steps of each stage run: `stage/container` to the container of the pod.
    pub routes: BTreeMap<String, String>,
    /// Containers whose user is another than that of the runner.
    pub other_users: BTreeSet<String>,
    /// Stages with effects outside do what they do in earnest.
    pub with_effects: bool,
    /// Approvals count as given.
    pub approve: bool,
    /// Changed files, where the user knows better than the checkout.
    pub changed_files: Option<Vec<String>>,
    /// Names of files beside this one, by the ids of the credentials that they hold.
    pub credentials: BTreeMap<String, String>,
}

impl Handover {
    /// Packs a run for a pod with these routes: the data of a Secret. Of the credentials, those
    /// that the plan names are in it.
    ///
    /// # Errors
    /// A credential that cannot be read, or a plan that is too large.
    pub fn pack(
        document: &PlanDocument,
        options: &RunOptions,
        routes: &BTreeMap<String, String>,
        other_users: BTreeSet<String>,
    ) -> Result<BTreeMap<String, Vec<u8>>, BridgeError> {
        let named: BTreeSet<&str> = document
            .plan
            .all_stages()
            .flat_map(|stage| stage.credentials.iter().map(|one| one.id.as_str()))
            .collect();
        let mut data = BTreeMap::new();
        let mut credentials = BTreeMap::new();
        for (id, path) in options.credentials.iter().filter(|(id, _)| named.contains(id.as_str())) {
            let path = options.start.join(path);
            let secret = std::fs::read(&path)
                .map_err(|e| BridgeError::io(format!("read {}", path.display()), e))?;
            let name = format!("credential-{}", credentials.len());
            credentials.insert(id.clone(), name.clone());
            data.insert(name, secret);
        }
        let handover = Self {
            document: document.clone(),
            routes: routes.clone(),
            other_users,
            with_effects: options.with_effects,
            approve: options.approve,
            changed_files: options.changed_files.clone(),
            credentials,
        };
        data.insert(RUN.to_owned(), packed(&handover)?);
        let size: usize = data.values().map(Vec::len).sum();
        if size > MAX_SECRET {
            let message = format!(
                "the plan and its credentials have {size} bytes, compressed, and a Secret of \
                 Kubernetes {MAX_SECRET} at most: take stages, files or the list of changed files \
                 out of it"
            );
            return Err(BridgeError::Plan(vec![Problem::new("", message)]));
        }
        Ok(data)
    }

    /// Reads what was packed, from where it is mounted.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn read(directory: &Path) -> Result<Self, BridgeError> {
        let path = directory.join(RUN);
        let wrong = |message: String| BridgeError::Input { path: path.clone(), message };
        let file = std::fs::File::open(&path)
            .map_err(|e| BridgeError::io(format!("read {}", path.display()), e))?;
        let mut text = Vec::new();
        let mut unpacked = GzDecoder::new(file).take(MAX_UNPACKED);
        unpacked.read_to_end(&mut text).map_err(|error| wrong(error.to_string()))?;
        serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))
    }
}

fn packed(handover: &Handover) -> Result<Vec<u8>, BridgeError> {
    let failed = |error: std::io::Error| BridgeError::io("pack the plan", error);
    let text = serde_json::to_vec(handover).map_err(|error| failed(error.into()))?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&text).map_err(failed)?;
    packed.finish().map_err(failed)
}

//! What the steps of a stage find around them: variables, files, secrets, directories.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::RunOptions;
use super::executor::Executor;
use super::log::SharedLog;
use super::runtime::{Mount, Runtime};
use super::stage::{file_name, make};
use crate::catalog::model::CredentialType;
use crate::error::BridgeError;
use crate::plan::{PlanCredential, PlanStage};

/// Whether a credential is a file whose path the steps get.
fn is_path(kind: CredentialType) -> bool {
    matches!(kind, CredentialType::File | CredentialType::SshKey)
}

impl RunOptions {
    /// The file with the secret of a credential. Steps work in another directory than the user,
    /// so its path is a whole one.
    pub(super) fn secret_file(&self, credential: &PlanCredential) -> Option<PathBuf> {
        self.credentials.get(&credential.id).map(|path| self.start.join(path))
    }
}

impl Executor<'_> {
    /// The directories and files that the containers of a stage see, outer ones first.
    pub(super) fn mounts(
        &self,
        stage: &PlanStage,
        rehearsed: bool,
    ) -> Result<Vec<Mount>, BridgeError> {
        if !self.runtime.has_mounts() {
            return Ok(Vec::new());
        }
        let mut mounts = vec![Mount::same(&self.workspace, false)];
        if !self.output.starts_with(&self.workspace) {
            mounts.push(Mount::same(&self.output, false));
        }
        // Where the user is, for a checkout from there. Its inner directories are mounted over it.
        let start = &self.options.start;
        if start.parent().is_some()
            && !start.starts_with(&self.workspace)
            && !start.starts_with(&self.output)
        {
            mounts.push(Mount::same(start, true));
        }
        for cache in stage.containers.iter().flat_map(|one| &one.caches) {
            let from = self.output.join("caches").join(cache.name.as_str());
            make(&from)?;
            if !mounts.iter().any(|one| one.to == cache.path) {
                mounts.push(Mount { from, to: cache.path.clone(), read_only: false });
            }
        }
        let files = stage.credentials.iter().filter(|one| is_path(one.kind) && !rehearsed);
        for path in files.filter_map(|one| self.options.secret_file(one)) {
            let mount = Mount::same(&path, true);
            if !mounts.iter().any(|one| one.to == mount.to) {
                mounts.push(mount);
            }
        }
        mounts.sort_by_key(|one| Path::new(&one.to).components().count());
        Ok(mounts)
    }

    /// Where the files with secrets of a stage are in a pod, for as long as it runs.
    pub(super) fn secrets_of(&self, stage: &PlanStage) -> PathBuf {
        self.output.join("secrets").join(file_name(&stage.id))
    }

    /// A copy of a file with a secret where the containers of a pod see it. A private key is not
    /// taken by ssh where others may read it, unless it is another user's.
    fn shared_secret(
        &self,
        stage: &PlanStage,
        variable: &str,
        path: &Path,
    ) -> Result<PathBuf, BridgeError> {
        let directory = self.secrets_of(stage);
        make(&directory)?;
        let shared = directory.join(variable);
        let others = self.options.pod.as_ref().is_some_and(|pod| pod.has_other_users(stage));
        let copy = || {
            std::fs::copy(path, &shared)?;
            let mode = if others { 0o440 } else { 0o400 };
            std::fs::set_permissions(&shared, std::fs::Permissions::from_mode(mode))
        };
        copy().map_err(|e| BridgeError::io(format!("write {}", shared.display()), e))?;
        Ok(shared)
    }

    /// The variables of a stage: its own, files, credentials, facts about the build.
    pub(super) fn environment(
        &self,
        stage: &PlanStage,
        scripts: &Path,
        rehearsed: bool,
        log: &SharedLog,
    ) -> Result<BTreeMap<String, String>, BridgeError> {
        let mut all = stage.environment.clone();
        for (variable, text) in &stage.files {
            let path = scripts.join(format!("{variable}.txt"));
            std::fs::write(&path, text)
                .map_err(|e| BridgeError::io(format!("write {}", path.display()), e))?;
            all.insert(variable.clone(), path.to_string_lossy().into_owned());
        }
        // A rehearsal touches nothing outside, so it needs no secret.
        for one in stage.credentials.iter().filter(|_| !rehearsed) {
            let Some(path) = self.options.secret_file(one) else { continue };
            let read = || {
                std::fs::read_to_string(&path)
                    .map_err(|e| BridgeError::io(format!("read {}", path.display()), e))
            };
            let secret = match one.kind {
                CredentialType::File | CredentialType::SshKey => {
                    let seen = match self.runtime {
                        Runtime::Pod => self.shared_secret(stage, &one.variable, &path)?,
                        _ => path.clone(),
                    };
                    all.insert(one.variable.clone(), seen.to_string_lossy().into_owned());
                    // What is no text cannot be masked in one.
                    read().unwrap_or_default()
                }
                CredentialType::SecretText => {
                    let secret = read()?.trim_end_matches(['\r', '\n']).to_owned();
                    all.insert(one.variable.clone(), secret.clone());
                    secret
                }
                CredentialType::UsernamePassword => {
                    let text = read()?;
                    let line = text.trim_end_matches(['\r', '\n']);
                    let (user, password) = line.split_once(':').unwrap_or(("", line));
                    all.insert(one.variable.clone(), password.to_owned());
                    if let Some(variable) = &one.username_variable {
                        all.insert(variable.clone(), user.to_owned());
                    }
                    password.to_owned()
                }
            };
            if let Ok(mut log) = log.lock() {
                log.mask([secret]);
            }
        }
        let facts = &self.plan.facts;
        let mut fact = |name: &str, value: &str| {
            all.insert(format!("PILOTFISH_{name}"), value.to_owned());
        };
        fact("PIPELINE", &self.plan.pipeline);
        fact("STAGE", &stage.id);
        fact("PLAN", &self.digest);
        fact("WORKSPACE", &self.workspace.to_string_lossy());
        fact("START", &self.options.start.to_string_lossy());
        fact("FACTS", &self.facts.to_string_lossy());
        if !stage.outputs.is_empty() {
            fact("OUTPUTS", &self.outputs_file(stage).to_string_lossy());
        }
        fact("RESULT", self.result_so_far().word());
        fact("BRANCH", facts.branch.as_deref().unwrap_or_default());
        fact("TAG", facts.tag.as_deref().unwrap_or_default());
        fact("PULL_REQUEST", facts.pull_request.as_deref().unwrap_or_default());
        Ok(all)
    }
}

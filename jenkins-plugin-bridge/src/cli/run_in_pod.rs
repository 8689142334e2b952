//! `run --cluster`, and the commands that its pod runs.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::input::read;
use super::remote::runtime;
use super::run::interrupts;
use super::{PASSED, complain};
use crate::catalog::model::Identifier;
use crate::cluster::{Cluster, Clusters};
use crate::error::BridgeError;
use crate::plan::PlanDocument;
use crate::pod::{DnsLabel, PodRequest, Profile, render};
use crate::pod_run::{self, PodRun, run_in_cluster};
use crate::run::{Cancel, Progress, RunOptions, RunResult};

/// Image of this program unless another is named: what the image recipe tags.
const IMAGE: &str = concat!("pilotfish-bridge:", env!("CARGO_PKG_VERSION"));

/// Arguments of `run` that are about a cluster.
#[derive(Debug, Args)]
pub struct PodArguments {
    /// Execute the plan in a pod of this cluster: one of `--clusters`, or a context of the
    /// kubeconfig; without a name, that of the profile or the current context.
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "")]
    cluster: Option<String>,
    /// File of clusters and their pod profiles.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    clusters: Option<PathBuf>,
    /// YAML file with the pod profile: what the cluster and the namespace give.
    #[arg(long, value_name = "FILE", requires = "cluster")]
    profile: Option<PathBuf>,
    /// Namespace of the pod; that of the profile or of the kubeconfig unless given.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    namespace: Option<String>,
    /// Name of the build, for people and for the name of the pod.
    #[arg(long, value_name = "NAME", requires = "cluster")]
    build: Option<String>,
    /// Image with this program, which executes the plan in the pod.
    #[arg(long, value_name = "IMAGE", default_value = IMAGE, requires = "cluster")]
    runner_image: String,
    /// Leave the pod when the run has ended, to be looked at.
    #[arg(long, requires = "cluster")]
    keep_pod: bool,
}

impl PodArguments {
    /// The cluster that is asked for; empty for the one that needs no name.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The profile with what the command line says of it.
    fn profile(&self, clusters: &Clusters) -> Result<Profile, BridgeError> {
        let name = self.cluster().unwrap_or_default();
        let mut profile = match &self.profile {
            Some(path) => Profile::read(&path.display().to_string(), &read(path)?)?,
            None => clusters.profile_of(name).cloned().unwrap_or_default(),
        };
        if !name.is_empty() {
            profile.cluster = Some(Identifier::made(name.to_owned()));
        }
        if let Some(namespace) = &self.namespace {
            profile.namespace = Some(DnsLabel(namespace.clone()));
        }
        Ok(profile)
    }
}

/// Executes a plan in a pod of a cluster.
pub(super) async fn in_cluster(
    arguments: &PodArguments,
    document: &PlanDocument,
    options: &RunOptions,
    progress: Arc<dyn Progress>,
) -> Result<RunResult, BridgeError> {
    let clusters = arguments.clusters.as_deref().map(Clusters::read).transpose()?;
    let clusters = clusters.unwrap_or_default();
    let profile = arguments.profile(&clusters)?;
    // The same plan may be executed many times at once: the name of its pod tells them apart.
    let unique: String = crate::run::unique().chars().take(8).collect();
    let build = format!("{}-{unique}", arguments.build.as_deref().unwrap_or("run"));
    let mut rendered = render(&PodRequest {
        plan: &document.plan,
        digest: &document.digest,
        profile: &profile,
        build: &build,
        id: None,
        agent: None,
        sizes: None,
        through_plugin: false,
        runner: Some(&arguments.runner_image),
    })?;
    for note in &rendered.notes {
        complain(&format!("note: {note}"));
    }
    let name = profile.cluster.as_ref().map_or_else(String::new, ToString::to_string);
    let cluster = Cluster::connect(&name, &clusters.settings_of(&profile)).await?;
    let keep = arguments.keep_pod;
    if keep {
        super::pod::keep(&mut rendered);
    }
    let run = PodRun { cluster: &cluster, rendered: &rendered, document, options, keep };
    run_in_cluster(run, progress, interrupts()).await
}

/// Arguments of `work`.
#[derive(Debug, Args)]
pub struct WorkArguments {
    /// Directory with the plan.
    directory: PathBuf,
}

/// Executes the plan of the pod that this program runs in.
pub(super) fn work(arguments: &WorkArguments) -> Result<u8, BridgeError> {
    runtime()?.block_on(async {
        let (stop, cancel) = Cancel::new();
        tokio::spawn(async move {
            let mut interrupts = interrupts();
            while interrupts.recv().await.is_some() {
                stop.cancel();
            }
        });
        pod_run::work(&arguments.directory, std::io::stdout(), cancel).await
    })
}

/// Arguments of `copy-program`.
#[derive(Debug, Args)]
pub struct CopyArguments {
    /// The copy.
    to: PathBuf,
}

/// Copies this program.
pub(super) fn copy_program(arguments: &CopyArguments) -> Result<u8, BridgeError> {
    let program = std::env::current_exe().map_err(|e| BridgeError::io("find this program", e))?;
    let failed = |e| BridgeError::io(format!("write {}", arguments.to.display()), e);
    std::fs::copy(program, &arguments.to).map_err(failed)?;
    Ok(PASSED)
}

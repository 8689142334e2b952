//! `pod`: the pod of a plan, printed or created.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::input::{RequestArguments, read};
use super::remote::runtime;
use super::{CatalogArguments, FAILED, PASSED, complain, print};
use crate::cluster::{Cluster, ClusterSettings, Clusters, KEEP, Step, Until};
use crate::error::BridgeError;
use crate::pod::{PodRequest, Profile, RenderedPod, render};

/// Arguments of `pod`.
#[derive(Debug, Args)]
pub struct PodArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    #[command(flatten)]
    request: RequestArguments,
    /// YAML file with the pod profile: what the cluster and the namespace give. Without it:
    /// ordinary nodes, and a namespace that enforces the restricted standard.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Name of the build, for people and for the name of the pod; made from the plan unless given.
    #[arg(long, value_name = "NAME")]
    build: Option<String>,
    /// Name of the agent, for profiles that say which controller it connects to.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "yaml", conflicts_with = "apply")]
    format: Format,
    /// Create the pod in the cluster of the profile and follow its start until the agent is
    /// connected. A pod that does not start is deleted.
    #[arg(long)]
    apply: bool,
    /// File of clusters, where the profile names one of them.
    #[arg(long, value_name = "FILE", requires = "apply")]
    clusters: Option<PathBuf>,
    /// Leave the pod, to be looked at: one that does not start, and once its agent has ended.
    #[arg(long, requires = "apply")]
    keep: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// YAML documents.
    Yaml,
    /// One list in JSON.
    Json,
}

pub(super) fn execute(arguments: &PodArguments) -> Result<u8, BridgeError> {
    let profile = match &arguments.profile {
        Some(path) => Profile::read(&path.display().to_string(), &read(path)?)?,
        None => Profile::default(),
    };
    let catalog = arguments.catalog.load()?;
    let document = arguments.request.plan(&catalog)?.plan.into_document();
    // The first digits of the digest.
    let short: String = document.digest.trim_start_matches("sha256:").chars().take(12).collect();
    let mut rendered = render(&PodRequest {
        plan: &document.plan,
        digest: &document.digest,
        profile: &profile,
        build: arguments.build.as_deref().unwrap_or(&short),
        id: None,
        agent: arguments.agent.as_deref(),
        sizes: None,
        through_plugin: false,
        runner: None,
    })?;
    for note in &rendered.notes {
        complain(&format!("note: {note}"));
    }
    if arguments.keep {
        keep(&mut rendered);
    }
    if arguments.apply {
        let clusters = arguments.clusters.as_deref().map(Clusters::read).transpose()?;
        let settings = clusters.unwrap_or_default().settings_of(&profile);
        let name = profile.cluster.as_ref().map_or_else(String::new, ToString::to_string);
        let applied = apply(&name, &settings, &rendered, arguments.keep);
        return runtime()?.block_on(applied);
    }
    print(&match arguments.format {
        Format::Yaml => rendered.to_yaml(),
        Format::Json => rendered.to_json(),
    });
    Ok(PASSED)
}

/// Has a pod stay: a service that watches the cluster would remove it once it has ended.
pub(super) fn keep(rendered: &mut RenderedPod) {
    let annotations = rendered.pod.metadata.annotations.get_or_insert_default();
    annotations.insert(KEEP.to_owned(), "true".to_owned());
}

/// Creates a pod and follows its start.
async fn apply(
    name: &str,
    settings: &ClusterSettings,
    rendered: &RenderedPod,
    keep: bool,
) -> Result<u8, BridgeError> {
    let cluster = Cluster::connect(name, settings).await?;
    let pod = cluster.create(rendered).await?;
    let pod_name = pod.metadata.name.clone().unwrap_or_default();
    print(&format!("{pod_name}: created\n"));
    let told = |step: Step, after: Duration| {
        print(&format!("{pod_name}: {} after {:.1} s\n", step.word(), after.as_secs_f64()));
    };
    let stopped = async {
        let _ = tokio::signal::ctrl_c().await;
    };
    let followed = tokio::select! {
        followed = cluster.follow(&pod, Until::Connected, told) => followed?,
        () = stopped => {
            cluster.delete(&pod).await?;
            complain(&format!("{pod_name}: stopped and deleted"));
            return Ok(FAILED);
        }
    };
    let Some(failure) = followed.failure else { return Ok(PASSED) };
    complain(&format!("{pod_name}: did not start: {}: {}", failure.reason, failure.message));
    if !keep {
        cluster.delete(&pod).await?;
        complain(&format!("{pod_name}: deleted; --keep leaves it"));
    }
    Ok(FAILED)
}

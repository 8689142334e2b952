//! `pod`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::input::{RequestArguments, read};
use super::{CatalogArguments, PASSED, complain, print};
use crate::error::BridgeError;
use crate::pod::{PodRequest, Profile, render};

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
    #[arg(long, value_enum, default_value = "yaml")]
    format: Format,
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
    let rendered = render(&PodRequest {
        plan: &document.plan,
        digest: &document.digest,
        profile: &profile,
        build: arguments.build.as_deref().unwrap_or(&short),
        id: None,
        agent: arguments.agent.as_deref(),
        through_plugin: false,
    })?;
    for note in &rendered.notes {
        complain(&format!("note: {note}"));
    }
    print(&match arguments.format {
        Format::Yaml => rendered.to_yaml(),
        Format::Json => rendered.to_json(),
    });
    Ok(PASSED)
}

//! `plan`.

use clap::{Args, ValueEnum};

use super::input::RequestArguments;
use super::{CatalogArguments, PASSED, print};
use crate::error::BridgeError;
use crate::plan::tree::{Detail, origins, tree};

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    catalog: CatalogArguments,
    #[command(flatten)]
    request: RequestArguments,
    /// Say for every stage whether it runs and why, and where every value came from.
    #[arg(long)]
    explain: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value = "tree")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A tree for people.
    Tree,
    /// JSON with the digest.
    Json,
    /// The digest alone.
    Digest,
}

pub(super) fn execute(arguments: &PlanArguments) -> Result<u8, BridgeError> {
    let catalog = arguments.catalog.load()?;
    let planned = arguments.request.plan(&catalog)?;
    let binding = planned.binding.as_ref();
    match arguments.format {
        Format::Json => print(&planned.plan.into_document().to_text()),
        Format::Digest => print(&format!("{}\n", planned.plan.digest())),
        Format::Tree if arguments.explain => {
            print(&tree(&planned.plan, Detail::Explain));
            print(&origins(binding, &planned.plan, &planned.prepared.changes));
            print(&format!("digest {}\n", planned.plan.digest()));
        }
        Format::Tree => {
            print(&tree(&planned.plan, Detail::Short));
            if let Some(binding) = binding.filter(|one| !one.unmapped.is_empty()) {
                print(&format!("not used from the job: {}\n", binding.unmapped.join(", ")));
            }
        }
    }
    Ok(PASSED)
}

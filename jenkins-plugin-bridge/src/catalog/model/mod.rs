//! The file formats of a catalog as Rust types. The JSON Schemas that editors use are generated
//! from them, so the words here are what a catalog author reads while typing.

mod bindings;
mod layer;
mod output;
mod pipeline;
mod scalar;
mod stage;

pub use bindings::{Bindings, CatalogInfo, Example, JobMatch, JobRecord, PlanFacts, Rule};
pub use layer::{Append, Closing, Layer, Level, Opening, Override, Permission};
pub use output::{MAX_OUTPUTS, Output, OutputName, OutputPattern, OutputReference, Outputs};
pub use pipeline::{
    Approval, ContainerPatch, Lock, Matrix, Pipeline, PipelinePost, StageEntry, StageReference,
};
pub use scalar::{Identifier, ParameterSchema, Quantity, Span, Version};
pub use stage::{
    Cache, Container, Coverage, Credential, CredentialType, Effects, Environment, Post, Reports,
    Resources, Retry, RetryOn, Service, Shell, StageTemplate, Step,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the file formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Api {
    /// The first version.
    #[serde(rename = "pilotfish/v1")]
    V1,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $type:ident = $text:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        pub enum $type {
            /// The only value.
            #[serde(rename = $text)]
            Kind,
        }
    )*};
}

kinds! {
    /// Marks the file that describes the catalog.
    CatalogKind = "catalog";
    /// Marks a stage template.
    StageKind = "stage";
    /// Marks a pipeline template.
    PipelineKind = "pipeline";
    /// Marks a layer.
    LayerKind = "layer";
    /// Marks a list of bindings.
    BindingsKind = "bindings";
    /// Marks an example.
    ExampleKind = "example";
}

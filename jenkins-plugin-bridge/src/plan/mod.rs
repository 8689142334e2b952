//! From parameters to a plan: an explicit stage sequence, the same bytes for the same input.
//!
//! [`Prepared`] is a pipeline with its layers applied and everything compiled; it makes a
//! [`Plan`] of parameters and facts. [`binding`] finds the pipeline of a job, [`evaluate`]
//! decides at run time what had to wait, [`diff`] compares plans.

pub mod binding;
mod build;
pub mod choice;
pub mod condition;
pub mod diff;
pub mod environment;
pub mod evaluate;
pub mod explain;
mod fill;
mod fixed;
pub mod layers;
pub mod matrix;
mod model;
pub mod outputs;
pub mod parameters;
mod prepare;
mod property;
pub mod template;
pub mod tree;

#[cfg(test)]
mod tests;

pub use build::PlanRequest;
pub use condition::{Outcome, RunFacts};
pub use model::{
    Decision, DecisionState, DeferredCondition, JobName, LayerName, ParameterScope, Plan,
    PlanContainer, PlanCredential, PlanDocument, PlanFormat, PlanGroup, PlanInput, PlanNode,
    PlanOutput, PlanPost, PlanService, PlanStage, PlanStep, PlanStepPost, digest_of,
};
pub use prepare::{Prepared, Selection, layers_for};

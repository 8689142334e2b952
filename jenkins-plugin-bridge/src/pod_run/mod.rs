//! A plan that is executed in a pod of a cluster, with no Jenkins: followed from here, executed
//! there.
//!
//! The pod of the plan ([`crate::pod`]) runs this program in the place of the agent. It finds the
//! plan in a Secret that the pod owns ([`handover`]), runs the stages as a local run does, each
//! step in its container through the exec servers ([`work`]), and tells what happens as numbered
//! lines of JSON on its standard output ([`wire`]). Here these lines are read by the log API of
//! Kubernetes, and again where that breaks off ([`follow`]); they become the tree, the logs, the
//! artefacts and the reports that a local run leaves ([`receive`]).

mod emit;
mod follow;
mod handover;
mod receive;
#[cfg(test)]
mod tests;
mod wire;
mod work;

pub use follow::{PodRun, run_in_cluster};
pub use handover::Handover;
pub use work::work;

//! Masters and build clusters as resources of Kubernetes.
//!
//! [`model`] has the resources, [`render`] makes objects of them, [`gate`] says whether a master may be
//! stopped, and [`step`] what comes next; none of these has a clock or a network. [`reconcile`] and
//! [`objects`] do it, one replica at a time ([`lease`]); [`health`] answers probes, and [`release`] lets resources go
//! when the operator does. [`builds`] has places for builds.

pub mod backup;
pub mod builds;
mod check;
mod conditions;
mod context;
pub mod crds;
pub mod gate;
mod health;
mod lease;
pub mod model;
mod objects;
mod observe;
mod peers;
mod prune;
mod reconcile;
mod release;
pub mod render;
mod run;
pub mod status;
pub mod step;

#[cfg(test)]
mod tests;

pub use builds::model::BuildCluster;
pub use check::problems;
pub use lease::KubernetesLeases;
pub use model::{JenkinsController, JenkinsControllerSpec};
pub use peers::Scope;
pub use run::{OperatorArgs, operate};

/// Who is said to have changed an object.
const MANAGER: &str = "pilotfish-operator";

//! Clusters: which there are, how they are reached, and what becomes of a pod there.
//!
//! [`Clusters`] is the file that says where whose pods go. [`Cluster`] is a connection to one: it
//! applies a pod with its budget, follows its start by phase and deletes it, at the latest when its
//! agent has ended. [`start`] reads what
//! a pod and its events say, and knows nothing of connections.

mod agents;
mod apply;
mod config;
mod connect;
mod error;
mod follow;
mod gone;
mod images;
mod keep;
mod logs;
pub mod start;
mod tidy;
mod watch;

pub use config::{ClusterSettings, Clusters, ClustersFile, ClustersKind};
pub use connect::Cluster;
pub use error::ClusterError;
pub(crate) use error::causes;
pub use follow::{Followed, Step, Until};
pub use gone::was_in_use;
pub use images::{ImageSettings, Images, add_plan};
pub use keep::Kept;
pub use tidy::{GRACE, KEEP, over, tidy_pods};
pub use watch::{Seen, watch_pods};

#[cfg(test)]
mod tests;

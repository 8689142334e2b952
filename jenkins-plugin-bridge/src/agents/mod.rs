//! Agents on demand: nodes on masters that have no cloud plugin, and pods for them, some of which wait
//! before anybody asks.
//!
//! A pod runs `pilotfish-agent standby`. It belongs to nobody until it is claimed: then a node is made for
//! it on one master, and it is told that node's name and secret. [`file`] says what there may be, [`decide`]
//! (no clock, no network) what is to be done next, `driver` does it. The ledger of agents is in the database
//! and written before anything is made, so that whatever is left by a crash has an owner; nodes and pods
//! carry a mark, so that what the ledger does not know is found and removed.

pub mod decide;
mod demand;
mod driver;
pub mod file;
mod kube;
mod model;
mod pods;
mod seen;
mod standby;

#[cfg(test)]
mod tests;

pub use self::kube::KubePods;
pub use decide::{Rules, Wanted};
pub use demand::Demand;
pub use driver::{AgentOptions, keep_agents};
pub use file::{AgentsFile, Identity, Pool};
pub use model::{Activity, Agent, AgentState, Mark, Marked, new_id};
pub use pods::{PodOrder, Pods, Reviewed, SeenPod, StartedPod, TOKEN_AUDIENCE, Token};
pub use seen::{PoolSeen, pools_seen};
pub use standby::{Assignment, Setup, Standbys};

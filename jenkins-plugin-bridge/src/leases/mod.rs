//! Leases that builds have of the bridge, over all masters: locks of stages. Milestones of jobs stand beside
//! them: `service::store::milestones`.
//!
//! A lease is in the database, so a service that is started again, and each of several replicas, knows it. It is
//! given in the order of asking. It ends when it is given back, when its stage or its build ends, when the
//! controller of its build says that the build has ended, or when its time is over and nobody can be asked.

mod look;
mod queue;

pub(crate) use look::look;
pub use queue::{LOOK_EVERY_MS, Place, SILENT_MS, Turn, is_to_be_looked_at, position, turn};

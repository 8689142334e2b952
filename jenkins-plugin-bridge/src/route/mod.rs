//! Builds of the bridge: asked for once, run by whatever master fits.
//!
//! [`model`] has the types. [`decide`](decide::decide) is the core: from masters, builds and limits to
//! decisions, with no clock, no network and no database. [`reconcile`](reconcile::reconcile) compares what
//! is written down about the builds of one master with what that master says. [`driver`] reads the database,
//! asks the core, writes its decisions down and then acts; it may be killed at any point, because what it
//! acts on is written down before.
//!
//! A build is given to a master with a key of that attempt. Whoever runs it shows the key first, and runs
//! nothing where it is not the one that counts. So a trigger that was not answered, a queue that comes back
//! from a crash and a master that was only cut off do no harm.

pub mod decide;
pub mod driver;
pub mod fence;
pub mod fill;
pub mod follow;
pub mod model;
mod needs;
pub mod reconcile;

#[cfg(test)]
mod tests;

pub use decide::{Decision, Limits, MasterView, Rules, decide};
pub use driver::{RouteOptions, route_builds};
pub use fence::{Fence, Fenced, Lost, NoPods};
pub use fill::{LimitFill, LimitKind, fill};
pub use model::{Attempt, Build, BuildRequest, BuildState, LostPolicy, Needs};

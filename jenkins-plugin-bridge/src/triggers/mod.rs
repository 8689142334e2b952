//! What starts builds by itself: events of forges, schedules, other builds, commits that are looked for.
//!
//! All of it lives here and none of it on a master, where it would start a build once per master. [`model`]
//! is what a job says, [`event`] what a forge says, [`matching`] puts the two together, and [`duty`] runs on
//! the one replica that leads it. Each build has an idempotency key made of what started it, so that a change
//! of the leader, or an event that is delivered twice, starts nothing twice.

mod announce;
pub mod cron;
pub mod duty;
pub mod event;
pub mod hooks;
pub mod matching;
pub mod model;
pub mod poll;
mod polls;
pub mod upstream;

pub use duty::{TriggerOptions, run_triggers};
pub use event::{Event, EventKind};
pub use model::Triggers;

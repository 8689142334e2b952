//! Plays the controller's half of recorded sessions against a real agent and compares its answers by
//! meaning.
//!
//! [`recording`] reads the recordings, [`plan`] decides what becomes of each entry, [`session`] plays
//! them over the connection that [`server`] accepted, [`mapping`] follows the agent's own object ids, and
//! [`compare`] judges with the rules of [`tolerances`] and no others.

pub mod compare;
pub mod dump;
pub mod error;
pub mod facts;
pub mod ledger;
pub mod mapping;
pub mod namespace;
pub mod needs_jvm;
pub mod plan;
pub mod recording;
pub mod replay;
mod replies;
pub mod report;
pub mod scripted;
pub mod server;
pub mod session;
pub mod setup;
pub mod tasks;
mod times;
pub mod tolerances;
pub mod wire;

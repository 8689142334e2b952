//! What the bridge tells others of builds: webhooks, and statuses of commits at forges.
//!
//! [`message`] says what is told of a build as it stands, [`request`] how a forge is told, [`send`] tells it.
//! In between is a table: a restart loses nothing, and a later state of the same thing takes the place of an
//! earlier one that was not told yet.

pub mod message;
pub mod request;
pub mod send;

pub use message::{Message, StageState, StatusSpec, messages, stages};
pub use send::send_reports;

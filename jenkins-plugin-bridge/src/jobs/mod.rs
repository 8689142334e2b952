//! Jobs that exist once, here, and are kept in step on every master that matches.
//!
//! [`definition`] has the two lines that every job has on every master, and reads one back by meaning.
//! [`copies`] compares and repairs, and what has drifted is found by looking from time to time. A job or folder that the bridge did not make is never touched: what it
//! made carries a mark in its description, which survives whatever a controller does with the file.

pub mod copies;
pub mod definition;
mod look;
mod model;

pub use copies::{CopyState, inspect_copy, mend_copy, remove_copy};
pub use look::{ROUND_EVERY, look_at_copies};
pub use model::{JobParameter, JobSpec, JobsFile, problems};

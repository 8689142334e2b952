//! The real binary against controllers that refuse, break the rules, hang or vanish: it says clearly what
//! happened, does not fall over, holds little memory, and serves the next good connection.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

#[path = "bad_controller/commands.rs"]
mod commands;
#[path = "bad_controller/connections.rs"]
mod connections;
#[path = "bad_controller/ends.rs"]
mod ends;
#[path = "bad_controller/refusals.rs"]
mod refusals;
#[path = "bad_controller/silence.rs"]
mod silence;

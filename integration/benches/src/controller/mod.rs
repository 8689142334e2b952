//! A minimal controller, made to be no bottleneck: it reads streams without parsing their graphs and
//! never blocks.
//!
//! [`door`] answers `/login` and upgrades, [`link`] carries commands over one connection, [`wire`] makes
//! and recognises the commands that streams are made of, [`session`] calls and moves streams, and
//! [`script`] takes its requests from the recordings of a real controller.

pub mod door;
pub mod link;
pub mod script;
pub mod session;
pub mod wire;

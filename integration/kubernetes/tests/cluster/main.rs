//! What needs the cluster of `cargo xtask kubernetes test`: the API alone, or, in modules named `on_node`, a
//! node on which pods run. One program, because each that has the client of Kubernetes in it takes as long to
//! build as all of them together.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api;
mod chart;
mod declared;
mod on_node;
mod operator;
mod stages;
mod starts;
mod storm;
mod support;

//! The transport against real servers on real sockets.

#![expect(clippy::unwrap_used, reason = "a helper that fails must fail the test")]

mod download;
mod jnlp4;
mod probe;
mod proxy;
mod refusals;
mod stream;
mod support;
mod tls;
mod upgrade;

//! The agent as operators watch it: health, metrics, and traces. All of it is opt-in.
//!
//! - [`server`] answers `/healthz`, `/readyz` and `/metrics` at the address of `--health-address`.
//! - [`snapshot`] gathers the figures of one moment, and [`metrics`] writes them for Prometheus.
//! - [`traces`] sends a span of each request to an OpenTelemetry collector (`--otlp-endpoint`).
//!
//! None of it may disturb the agent: it reads counters that are kept anyway, is bounded in connections,
//! names and queues, and its failures are log lines.

mod metrics;
mod otlp;
mod prometheus;
mod server;
mod snapshot;
#[cfg(test)]
mod tests;
mod traces;

pub use server::{ListenAddress, Server};
pub use traces::{Collector, Traces};

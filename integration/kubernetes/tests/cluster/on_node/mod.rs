//! Pods that really run.

mod agents;
mod containers;
mod kaniko;
mod runs;

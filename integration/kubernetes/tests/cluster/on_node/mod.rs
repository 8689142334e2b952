//! Pods that really run.

mod agents;
mod containers;
mod demand;
mod fence;
mod kaniko;
mod runs;

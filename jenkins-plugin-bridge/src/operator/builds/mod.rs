//! Places for builds as resources.

pub mod model;
mod reconcile;
pub mod render;
mod target;

#[cfg(test)]
mod tests;

pub(super) use reconcile::{apply, clean_up};

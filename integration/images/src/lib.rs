//! Images without a container engine.
//!
//! An image is a list of tar files with a description. Debian's part of it is made by mmdebstrap, our own
//! part is written here, and both become an OCI archive with a list of contents (SPDX) and a
//! provenance (SLSA) beside it. The same input gives the same digest.

mod archive;
mod build;
mod contents;
mod debian;
mod error;
mod flavour;
mod keystore;
mod layer;
mod provenance;

pub use archive::{Config, Image};
pub use build::{Built, Recipe};
pub use debian::Source;
pub use error::Error;
pub use flavour::{Flavour, Programs, USER, accounts, busybox_layer};
pub use layer::Layer;

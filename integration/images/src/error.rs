//! What can go wrong when an image is made.

use std::path::{Path, PathBuf};

/// Why an image was not made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A program could not be started, or failed.
    #[error("{program} failed: {why}")]
    Program {
        /// Which, without its path.
        program: String,
        /// What it said.
        why: String,
    },
    /// A document could not be written as JSON.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A path in an image that leads out of it or is empty.
    #[error("{0:?} is no path in an image: write it without a leading slash and without ..")]
    Path(String),
    /// An option that this flavour needs.
    #[error("the flavour {flavour} needs {option}")]
    Missing {
        /// Which flavour.
        flavour: &'static str,
        /// The option.
        option: &'static str,
    },
    /// A Debian system that lacks the list of its packages.
    #[error("the Debian system has no var/lib/dpkg/status, so its packages cannot be listed")]
    NoPackages,
    /// Java's list of authorities has a form that is not known.
    #[error("Java's list of authorities is no JKS key store of certificates, so its times stay")]
    KeyStore,
    /// Two builds of the same differ.
    #[error("built twice, it differs: {first} and {second}")]
    NotReproducible {
        /// Digest of the first.
        first: String,
        /// Digest of the second.
        second: String,
    },
}

impl Error {
    /// For `map_err` of what is done with a file.
    pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}

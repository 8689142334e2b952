//! The file-system half of the agent: what Jenkins' `hudson.FilePath` callables do on the agent's side.
//!
//! Plain paths, blocking `std::io` streams, no remoting and no Java objects. Every long operation takes a
//! [`Cancel`] that it checks per entry or chunk. Errors are [`FileError`]s, which know the Java exception
//! that the official agent would have thrown, so that a build log reads the same with either agent.

pub mod attributes;
mod cancel;
pub mod charset;
mod error;
pub mod fingerprint;
pub mod glob;
pub mod links;
pub mod removal;
mod safe_dir;
pub mod scanner;
pub mod tar_header;
pub mod tar_in;
pub mod tar_out;
pub mod temp;
pub mod transfer;
pub mod zip_in;
pub mod zip_out;

#[cfg(test)]
mod tests;

pub use cancel::Cancel;
pub use error::{FileError, JavaClass, Result};
pub use safe_dir::LinkPolicy;

/// How a tar stream is packed (Java: `hudson.FilePath$TarCompression`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Plain tar.
    None,
    /// Tar inside gzip.
    Gzip,
}

/// Size in bytes of the buffers that file contents go through.
pub(crate) const BUFFER: usize = 128 * 1024;

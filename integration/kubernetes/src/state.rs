//! Where the cluster keeps what, and under which addresses it is reached.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::Error;

/// The bridge that this harness makes; it holds the node's address, and pods are on it.
pub const INTERFACE: &str = "pfk8s0";
/// The node: gateway of the pods, and where the API server and the registry listen.
pub const NODE_ADDRESS: &str = "10.99.0.1";
/// The API server's address where there is no node.
pub const LOOPBACK: &str = "127.0.0.1";
/// Name of the node.
pub const NODE: &str = "pilotfish-node";
/// The API server's port.
pub const API_PORT: u16 = 6443;
/// The registry on the node.
pub const REGISTRY: &str = "10.99.0.1:5000";

/// The directory of a cluster.
#[derive(Debug, Clone)]
pub struct State {
    dir: PathBuf,
}

impl State {
    /// The state in this directory, which is made where it is missing.
    ///
    /// # Errors
    /// A directory that cannot be made.
    pub fn at(dir: &Path) -> Result<Self, Error> {
        for sub in ["log", "pid", "pki", "conf", "run"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).map_err(Error::at(&sub))?;
        }
        let dir = dir.canonicalize().map_err(Error::at(dir))?;
        Ok(Self { dir })
    }

    /// A file or a directory of it.
    #[must_use]
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.join(name)
    }

    /// The directory itself.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The file that makes its reader an administrator of the cluster.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// The socket of containerd.
    #[must_use]
    pub fn containerd(&self) -> PathBuf {
        self.path("run/containerd.sock")
    }

    /// Writes a configuration file from its template, where `@STATE@`, `@ADDRESS@`, `@NODE@`,
    /// `@REGISTRY@` and `@INTERFACE@` stand for what is here.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub(crate) fn configure(&self, name: &str, template: &str) -> Result<PathBuf, Error> {
        let text = template
            .replace("@STATE@", &self.dir.display().to_string())
            .replace("@ADDRESS@", NODE_ADDRESS)
            .replace("@NODE@", NODE)
            .replace("@REGISTRY@", REGISTRY)
            .replace("@INTERFACE@", INTERFACE);
        let path = self.path(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::at(parent))?;
        }
        fs::write(&path, text).map_err(Error::at(&path))?;
        Ok(path)
    }

    /// Removes everything.
    ///
    /// # Errors
    /// A file that cannot be removed, such as one below a mount that is still there.
    pub fn wipe(&self) -> Result<(), Error> {
        fs::remove_dir_all(&self.dir).map_err(Error::at(&self.dir))
    }
}

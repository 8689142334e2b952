//! A real Kubernetes for the tests.
//!
//! etcd and the parts of Kubernetes are one program (`hyper`, a small Go module beside this crate), started and
//! ended here; containerd, runc and the network plugin are Debian's. With a node, pods run for real; without one
//! there is the API with its scheduler and controllers.

mod certificates;
mod control_plane;
mod error;
mod fake;
mod images;
mod network;
mod node;
mod preflight;
mod process;
mod state;

use std::path::{Path, PathBuf};
use std::process::Command;

pub use error::Error;
pub use fake::{FAKE, FakeNodes};
pub use images::{BUSYBOX, SCRATCH, TOOLS};
pub use preflight::why_no_node;
pub use state::{NODE, NODE_ADDRESS, REGISTRY, State};

/// Names the directory of the cluster that tests use.
pub const VARIABLE: &str = "PILOTFISH_TEST_KUBERNETES";
/// Beside the state, which program the cluster is made of.
const PROGRAM: &str = "hyper";
/// The file that tells that the cluster has a node.
const NODE_MARK: &str = "node";

/// A cluster on this machine.
#[derive(Debug, Clone)]
pub struct Cluster {
    state: State,
    hyper: PathBuf,
    node: bool,
}

impl Cluster {
    /// Brings a cluster up, with a node or without, or leaves it as it is.
    ///
    /// # Errors
    /// Whatever keeps it from coming up; what was started until then runs on, for a look at it.
    pub fn up(dir: &Path, hyper: &Path, node: bool) -> Result<Self, Error> {
        let state = State::at(dir)?;
        let hyper = hyper.canonicalize().map_err(Error::at(hyper))?;
        let link = state.path(PROGRAM);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&hyper, &link).map_err(Error::at(&link))?;
        let cluster = Self { state, hyper, node };
        let state = &cluster.state;
        if node {
            network::up(state)?;
            let mark = state.path(NODE_MARK);
            std::fs::write(&mark, NODE).map_err(Error::at(&mark))?;
        }
        certificates::make(state, if node { NODE_ADDRESS } else { state::LOOPBACK })?;
        control_plane::start_servers(&cluster)?;
        if node {
            node::start_runtime(&cluster)?;
        }
        control_plane::wait_for_it(&cluster)?;
        if node {
            node::start_node(&cluster)?;
        }
        control_plane::wait_for_accounts(&cluster)?;
        Ok(cluster)
    }

    /// Ends everything that [`Cluster::up`] started and removes what it left on the machine. The
    /// logs stay.
    ///
    /// # Errors
    /// What could not be removed.
    pub fn down(dir: &Path) -> Result<(), Error> {
        let state = State::at(dir)?;
        process::end(&state, &["kwok", "kube-scheduler", "kube-controller-manager"]);
        // Without a node of ours, what is there of nodes is somebody else's.
        if state.path(NODE_MARK).exists() {
            node::stop(&state)?;
        }
        process::end(&state, &["kube-apiserver"]);
        process::end(&state, &["etcd"]);
        network::down(&state)?;
        // All but the logs: certificates, keys, images, the files of pods.
        let dir = state.dir();
        for entry in std::fs::read_dir(dir).map_err(Error::at(dir))?.flatten() {
            if entry.file_name() == "log" {
                continue;
            }
            let path = entry.path();
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let removed =
                if is_dir { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(Error::at(&path))?;
        }
        Ok(())
    }

    /// The cluster that is up in a directory.
    ///
    /// # Errors
    /// [`Error::NotUp`].
    pub fn of(dir: &Path) -> Result<Self, Error> {
        let kubeconfig = dir.join("kubeconfig");
        if !kubeconfig.exists() {
            return Err(Error::NotUp { kubeconfig });
        }
        let state = State::at(dir)?;
        let hyper = state.path(PROGRAM);
        let node = state.path(NODE_MARK).exists();
        Ok(Self { hyper, node, state })
    }

    /// The cluster of [`VARIABLE`]; `None` when it is not set.
    ///
    /// # Errors
    /// [`Error::NotUp`].
    pub fn of_tests() -> Result<Option<Self>, Error> {
        std::env::var_os(VARIABLE).map(|dir| Self::of(Path::new(&dir))).transpose()
    }

    /// Where its files are.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether pods run in it.
    #[must_use]
    pub fn has_node(&self) -> bool {
        self.node
    }

    /// Gives the node an image.
    ///
    /// # Errors
    /// What containerd says.
    pub fn import(&self, archive: &Path) -> Result<(), Error> {
        node::import(&self.state, archive)
    }

    /// `kubectl` as administrator; it must succeed, and what it printed is returned.
    ///
    /// # Errors
    /// What it says.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, Error> {
        process::output(self.kubectl_command().args(arguments))
    }

    /// The same, for who wants its streams.
    #[must_use]
    pub fn kubectl_command(&self) -> Command {
        let mut command = self.part("kubectl");
        command.env("KUBECONFIG", self.state.kubeconfig());
        // Its caches stay in the state.
        command.arg("--cache-dir").arg(self.state.path("run/cache"));
        command
    }

    /// Where the API server writes down the calls of service accounts, but for those of its own
    /// parts: one JSON object a line, `audit.k8s.io/v1`.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.state.path("log/audit.log")
    }

    /// One of the programs that are in `hyper`.
    fn part(&self, name: &str) -> Command {
        let mut command = Command::new(&self.hyper);
        command.arg(name);
        // kubelet and kube-proxy look for iptables and mount.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
        command
    }
}

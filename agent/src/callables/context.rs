//! What callables share over all connections of the agent.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jenkins_remoting::channel::Observer;
use jenkins_remoting::transport::DownloadOptions;
use pilotfish_exec::{Containers, DEFAULT_DIRECTORY, Meter, Record};
use pilotfish_process::{Environment, SearchPath};
use tracing::warn;

use super::Statistics;
use crate::bridge::Bridge;
use crate::confine::{Confinement, FileThreads};
use crate::connection::Monitor;
use crate::drain::Drain;
use crate::jvm::Jvm;
use crate::logging::Logging;
use crate::memory::Memory;
use crate::standby::OneUse;
use crate::usage::{AGENT_CONTAINER, NewTask, Place, Tasks, Usages};

/// Names the directory of the containers' sockets.
const SOCKETS: &str = "PILOTFISH_EXEC_SOCKETS";

/// The directory for temporary files below the agent's own, where other containers read them.
const SHARED_TEMPORARY: &str = "tmp";

/// The sibling containers, where this environment says.
pub(crate) fn containers_of(environment: &Environment) -> Containers {
    Containers::below(environment.get(SOCKETS).unwrap_or(DEFAULT_DIRECTORY))
}

/// Whether this environment says that there are sibling containers.
pub(crate) fn has_containers(environment: &[(OsString, OsString)]) -> bool {
    environment.iter().any(|(name, _)| name == SOCKETS)
}

/// What callables know of the agent. It outlives connections: processes and watches do too.
pub struct Context {
    /// The environment that builds inherit and controllers see. No secret of the agent is in it.
    pub environment: Environment,
    /// Where programs are looked up: the agent's own `PATH`.
    pub search_path: SearchPath,
    /// The directory for temporary files (`java.io.tmpdir`).
    pub temporary: PathBuf,
    /// The name of the transport, as `CommunicationProtocol` answers it.
    pub protocol: &'static str,
    /// The version of the remoting library whose behaviour this agent has.
    pub remoting_version: &'static str,
    /// The log that controllers may read and whose levels they may set.
    pub logging: Logging,
    /// How archives of tools are downloaded.
    pub downloads: DownloadOptions,
    /// What to start a JVM with; `None` if the user wants none.
    pub jvm: Option<Arc<Jvm>>,
    /// Tells builds that a process of theirs was ended for memory.
    pub memory: Arc<Memory>,
    /// The builds that run, and whether others are taken.
    pub drain: Drain,
    /// The limits of file operations; `None` if there are none.
    pub confinement: Option<Confinement>,
    /// Where file operations run.
    pub file_threads: FileThreads,
    /// How the connection is doing.
    pub connection: Arc<Monitor>,
    /// Counts of requests.
    pub statistics: Statistics,
    /// The sibling containers that steps may run in.
    pub containers: Containers,
    /// Those of them that wait for the agent before they end.
    pub(crate) attended: Arc<Mutex<HashSet<String>>>,
    /// Measures what stages use of the agent's own container.
    pub meter: Option<Meter>,
    /// Who is told what stages used; `None` if nobody.
    pub usages: Option<Usages>,
    /// Durable tasks that are followed.
    pub(crate) tasks: Arc<Tasks>,
    /// Who can have the controller send no more builds; `None` if nobody.
    pub bridge: Option<Arc<Bridge>>,
    /// Sees to it that this agent has one build; `None` if it may have many.
    pub one_use: Option<OneUse>,
    /// Who is told of each request that has ended: traces.
    pub observer: Option<Arc<dyn Observer>>,
    system_properties: Mutex<BTreeMap<String, Option<String>>>,
    stay_away: AtomicBool,
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

impl Context {
    /// A context for an agent with this environment and log.
    #[must_use]
    pub fn new(
        environment: Environment,
        logging: Logging,
        protocol: &'static str,
        remoting_version: &'static str,
    ) -> Self {
        let search_path = SearchPath::of(&environment);
        let containers = containers_of(&environment);
        Self {
            environment,
            search_path,
            // The Java agent ignores TMPDIR; builds and the controller's monitors expect /tmp.
            temporary: PathBuf::from("/tmp"),
            protocol,
            remoting_version,
            logging,
            downloads: DownloadOptions::default(),
            jvm: None,
            memory: Memory::unknown(),
            drain: Drain::default(),
            confinement: None,
            file_threads: FileThreads::default(),
            connection: Arc::default(),
            statistics: Statistics::default(),
            containers,
            attended: Arc::default(),
            meter: None,
            usages: None,
            tasks: Arc::default(),
            bridge: None,
            one_use: None,
            observer: None,
            system_properties: Mutex::default(),
            stay_away: AtomicBool::new(false),
        }
    }

    /// Goes on to measure stages of which durable tasks still run that an earlier life of this agent
    /// started beside itself: by their logs. Must be called within a tokio runtime.
    pub fn resume(&self, measured: Vec<(PathBuf, Record)>) {
        let (Some(meter), Some(usages)) = (&self.meter, &self.usages) else { return };
        for (log, record) in measured {
            let stage = Some((record.stage.clone(), usages.clone()));
            let place = Place::Here(meter.resume(record));
            let (container, threads) = (AGENT_CONTAINER.to_owned(), self.file_threads.clone());
            self.tasks.follow(NewTask { log, stage, container, place, threads });
        }
    }

    /// With other ways to the servers that archives are downloaded from: a proxy, for example.
    #[must_use]
    pub fn with_downloads(mut self, downloads: DownloadOptions) -> Self {
        self.downloads = downloads;
        self
    }

    /// With JVMs for what is not answered natively.
    #[must_use]
    pub fn with_jvm(mut self, jvm: Option<Jvm>) -> Self {
        self.jvm = jvm.map(Arc::new);
        self
    }

    /// With a memory that is watched.
    #[must_use]
    pub fn with_memory(mut self, memory: Arc<Memory>) -> Self {
        self.memory = memory;
        self
    }

    /// With limits for file operations.
    #[must_use]
    pub fn with_confinement(mut self, confinement: Option<Confinement>) -> Self {
        if let Some(confinement) = &confinement {
            self.file_threads = confinement.threads().clone();
            self.temporary = confinement.temporary().to_owned();
        }
        self.confinement = confinement;
        self
    }

    /// With temporary files below the agent's own directory, where the pod has other containers: the script of a
    /// freestyle build is one, and each container has a `/tmp` of its own. Blocks for some small operations.
    #[must_use]
    pub fn with_shared_temporary(mut self, internal: Option<&Path>) -> Self {
        let shared = internal.map(|internal| internal.join(SHARED_TEMPORARY));
        if let Some(shared) = shared.filter(|_| !self.containers.names().is_empty()) {
            match fs::create_dir_all(&shared) {
                Ok(()) => self.temporary = shared,
                Err(error) => warn!(
                    %error,
                    path = %shared.display(),
                    "freestyle builds find their scripts in no other container: this directory cannot be made"
                ),
            }
        }
        self
    }

    /// With a bridge, which is also told what stages used. Must be called within a tokio runtime.
    #[must_use]
    pub fn with_bridge(mut self, bridge: Option<Bridge>) -> Self {
        self.bridge = bridge.map(Arc::new);
        self.usages = self.bridge.clone().map(Usages::start);
        self.meter = self.usages.as_ref().and_then(|_| Meter::own());
        self
    }

    /// With one build and no other.
    #[must_use]
    pub fn with_one_use(mut self, one_use: Option<OneUse>) -> Self {
        self.one_use = one_use;
        self
    }

    /// With somebody who is told of each request.
    #[must_use]
    pub fn with_observer(mut self, observer: Option<Arc<dyn Observer>>) -> Self {
        self.observer = observer;
        self
    }

    /// Keeps the system properties that the controller sent (`CopySystemProperties`), for a JVM.
    pub(crate) fn keep_system_properties(&self, properties: BTreeMap<String, Option<String>>) {
        *self.system_properties.lock().unwrap_or_else(PoisonError::into_inner) = properties;
    }

    /// The system properties that the controller sent.
    #[must_use]
    pub fn system_properties(&self) -> BTreeMap<String, Option<String>> {
        self.system_properties.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The controller removes this node: do not connect again.
    pub(crate) fn set_stay_away(&self) {
        self.stay_away.store(true, Ordering::Release);
    }

    /// Whether the controller said not to connect again.
    #[must_use]
    pub fn stay_away(&self) -> bool {
        self.stay_away.load(Ordering::Acquire)
    }
}

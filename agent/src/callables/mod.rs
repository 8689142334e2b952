//! The native tier: callables by class name.
//!
//! One module a family; each lists its classes in a table of its own, and [`table`] joins them. A class
//! name, its fields and its answer stand in the module that handles the class and nowhere else.

mod answer;
mod browsing;
mod connect;
mod context;
mod diagnostics;
mod durable_task;
mod filepath;
mod input;
mod launcher;
mod listener;
mod monitors;
mod publishers;
mod statistics;
mod tools;
mod unknown;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use futures_util::future::BoxFuture;
use java_object_stream::{Datum, Node};
use jenkins_remoting::channel::{Call, Reply, Service, Throwable};

pub use context::Context;
pub(crate) use context::{containers_of, has_containers};
pub use statistics::Statistics;

use crate::confine::FileThreads;
use crate::files::Cancel;

/// Classes whose `writeObject` writes none of their declared fields, for the reader of user streams.
pub const WITHOUT_DEFAULT_FIELDS: [&str; 1] = [listener::STREAM_TASK_LISTENER];

/// The work of a callable that may block, with all that it needs taken out of the request.
pub(crate) type Job = Box<dyn FnOnce(&Cancel) -> Result<Datum, Throwable> + Send>;

/// How a callable is run.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    /// At once: reads memory only.
    Now(for<'a> fn(&'a Connection, Node<'a>) -> Result<Datum, Throwable>),
    /// On a thread that may block.
    Blocking(for<'a> fn(&'a Connection, &'a Call, Node<'a>) -> Result<Job, Throwable>),
    /// The same for one that works on files.
    BlockingFiles(for<'a> fn(&'a Connection, &'a Call, Node<'a>) -> Result<Job, Throwable>),
    /// As a task that waits for other things than files.
    Async(for<'a> fn(&'a Connection, &'a Call, Node<'a>) -> BoxFuture<'a, Reply>),
    /// A file callable on a thread that may block.
    File(for<'a> fn(&'a FileCall<'a>) -> Result<Job, Throwable>),
    /// A file callable as a task that waits for other things than files.
    FileAsync(for<'a> fn(&'a FileCall<'a>) -> BoxFuture<'a, Reply>),
}

/// A class that is answered natively.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) class: &'static str,
    pub(crate) run: Run,
}

/// A file callable with the file that it is to work on (`FilePath$FileCallableWrapper`).
pub(crate) struct FileCall<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) call: &'a Call,
    pub(crate) path: std::path::PathBuf,
    pub(crate) callable: Node<'a>,
    /// Further paths that it was found to work on.
    pub(crate) others: Mutex<Vec<std::path::PathBuf>>,
}

/// The callables of one connection to a controller.
pub struct Connection {
    pub(crate) context: Arc<Context>,
    /// The controller asked for pings; it may do so once a connection.
    pub(crate) pinging: AtomicBool,
    /// What this controller takes a list of artefacts as, once that is known.
    pub(crate) artifacts_as_map: OnceLock<bool>,
}

/// A family's name and its classes.
type Family = (&'static str, &'static [Entry]);

/// Families of which no build is: what sets a connection up and keeps it, watches the node, looks for errors.
const OF_NO_BUILD: [Family; 3] = [
    ("connection", connect::ENTRIES),
    ("node monitors", monitors::ENTRIES),
    ("diagnostics", diagnostics::ENTRIES),
];

const FAMILIES: [Family; 15] = [
    OF_NO_BUILD[0],
    OF_NO_BUILD[1],
    OF_NO_BUILD[2],
    ("files: wrappers", filepath::ENTRIES),
    ("files: attributes", filepath::attributes::ENTRIES),
    ("files: contents", filepath::contents::ENTRIES),
    ("files: directories", filepath::directories::ENTRIES),
    ("files: archives", filepath::archives::ENTRIES),
    ("processes", launcher::ENTRIES),
    ("durable task, polled", durable_task::polling::ENTRIES),
    ("durable task, pushed", durable_task::watching::ENTRIES),
    ("artefacts and fingerprints", publishers::ENTRIES),
    ("tool installers", tools::ENTRIES),
    ("workspace", filepath::workspace::ENTRIES),
    ("workspace pages", browsing::ENTRIES),
];

/// Callables that set a connection up. A JVM that starts later is handed them too, since classes of
/// plugins rely on what they did.
pub const SET_UP: &[&str] = &[
    "hudson.slaves.SlaveComputer$SlaveInitializer",
    "jenkins.util.SystemProperties$AgentCopier$CopySystemProperties",
    "hudson.logging.LogRecorder$SetLevel",
    "hudson.remoting.Channel$SetMaximumBytecodeLevel",
    "hudson.remoting.PreloadJarTask",
    "hudson.remoting.PreloadJarTask2",
];

fn find(class: &str) -> Option<&'static Entry> {
    FAMILIES.iter().flat_map(|(_, entries)| entries.iter()).find(|entry| entry.class == class)
}

/// Whether a callable is certainly none of a build. One within a wrapper is what counts.
fn is_no_build(callable: Node<'_>, class: &str) -> bool {
    let is_it = |class: &str| {
        OF_NO_BUILD.iter().any(|(_, entries)| entries.iter().any(|entry| entry.class == class))
    };
    match filepath::wrapped(callable, class) {
        Some(inner) => is_it(&inner),
        None => is_it(class),
    }
}

/// The classes answered natively, by family, as `pilotfish-agent callables` prints them.
#[must_use]
pub fn table() -> String {
    let mut text = String::new();
    for (family, entries) in FAMILIES {
        text.push_str(family);
        text.push('\n');
        for entry in entries {
            text.push_str("  ");
            text.push_str(entry.class);
            text.push('\n');
        }
    }
    text
}

impl Connection {
    /// The callables of a new connection.
    #[must_use]
    pub fn new(context: Arc<Context>) -> Self {
        Self { context, pinging: AtomicBool::new(false), artifacts_as_map: OnceLock::new() }
    }

    pub(crate) fn first_ping_request(&self) -> bool {
        !self.pinging.swap(true, Ordering::AcqRel)
    }

    async fn run<'a>(&'a self, call: &'a Call, callable: Node<'a>) -> Reply {
        let class = callable.class_name().unwrap_or_default();
        if let Some(one_use) = &self.context.one_use
            && !is_no_build(callable, &class)
        {
            tokio::select! {
                () = one_use.admit() => {}
                () = call.cancellation().cancelled() => {
                    return Reply::throw(Throwable::io("it was cancelled before it began"));
                }
            }
        }
        let Some(entry) = find(&class) else { return self.unknown(call, callable, &class) };
        let reply = match entry.run {
            Run::Now(run) => run(self, callable).into(),
            Run::Async(run) => run(self, call, callable).await,
            Run::Blocking(prepare) => match prepare(self, call, callable) {
                Ok(job) => blocking_with(&FileThreads::default(), call, job).await.into(),
                Err(throwable) => Reply::throw(throwable),
            },
            Run::BlockingFiles(prepare) => match prepare(self, call, callable) {
                Ok(job) => blocking_with(&self.context.file_threads, call, job).await.into(),
                Err(throwable) => Reply::throw(throwable),
            },
            // A file callable never comes without its wrapper.
            Run::File(_) | Run::FileAsync(_) => return self.unknown(call, callable, &class),
        };
        self.settle(call, entry.class, reply)
    }

    /// A callable with no entry in the tables: for the JVM, or refused.
    fn unknown(&self, call: &Call, callable: Node<'_>, class: &str) -> Reply {
        if call.channel().has_fallback() {
            return Reply::relayed().of_class(class);
        }
        unknown::give_back(call, callable);
        call.note(|note| {
            note.class = Some(class.to_owned());
            note.refused = true;
        });
        Reply::throw(unknown::refuse(&self.context, class))
    }

    /// Counts a native answer. One that is marked as a limit of this side is for the JVM instead, if
    /// there may be one: whoever marks it has taken nothing of the request yet.
    fn settle(&self, call: &Call, class: &'static str, reply: Reply) -> Reply {
        let beyond = reply.throwable().is_some_and(Throwable::is_beyond_this_side);
        if beyond && call.channel().has_fallback() {
            tracing::debug!(class, reason = reply.throwable().map(Throwable::summary), "relayed");
            return Reply::relayed().of_class(class);
        }
        // What a wrapper holds was counted by its own class already.
        if !reply.is_relayed() && !filepath::is_wrapper(class) {
            self.context.statistics.native(class);
            call.note(|note| note.class = Some(class.to_owned()));
        }
        reply
    }
}

impl Service for Connection {
    fn serve<'a>(&'a self, call: &'a Call, callable: Node<'a>) -> BoxFuture<'a, Reply> {
        Box::pin(self.run(call, callable))
    }
}

/// Runs a job on a thread that may block; a cancelled request stops it.
pub(crate) async fn blocking_with<T: Send + 'static>(
    threads: &FileThreads,
    call: &Call,
    job: impl FnOnce(&Cancel) -> Result<T, Throwable> + Send + 'static,
) -> Result<T, Throwable> {
    let cancel = Cancel::new();
    let flag = cancel.clone();
    let task = threads.run(move || job(&flag));
    tokio::pin!(task);
    let joined = tokio::select! {
        joined = &mut task => joined,
        () = call.cancellation().cancelled() => {
            cancel.cancel();
            task.await
        }
    };
    joined.unwrap_or_else(|gone| Err(Throwable::io(gone.to_string())))
}

#[cfg(test)]
mod tests {
    use java_object_stream::{Class, Field, Graph, Object, Plain, ReadOptions, encode};

    use super::*;

    /// In a JVM these would answer for the JVM's own channel, or act on it, and not for the agent's.
    const ABOUT_THE_AGENT: [&str; 9] = [
        "hudson.slaves.SlaveComputer$CommunicationProtocol",
        "hudson.slaves.SlaveComputer$SlaveVersion",
        "hudson.slaves.ChannelPinger$SetUpRemotePing",
        "hudson.remoting.PingThread$Ping",
        "hudson.remoting.Channel$IOSyncer",
        "hudson.Launcher$RemoteLauncher$KillTask",
        "jenkins.slaves.StandardOutputSwapper$ChannelSwapper",
        "jenkins.slaves.restarter.JnlpSlaveRestarterInstaller$FindEffectiveRestarters",
        "org.csanchez.jenkins.plugins.kubernetes.KubernetesSlave$SlaveDisconnector",
    ];

    #[test]
    fn what_is_about_the_agent_itself_is_answered_by_it() {
        for class in ABOUT_THE_AGENT {
            assert!(find(class).is_some(), "{class} must be native");
        }
    }

    #[test]
    fn what_sets_a_connection_up_is_answered_here_too() {
        for class in SET_UP {
            assert!(find(class).is_some(), "{class} must be native: a JVM may never start");
        }
    }

    #[test]
    fn what_may_be_of_a_build_is_told_from_what_is_not() {
        static WRAPPER: Class = Class::new("hudson.FilePath$FileCallableWrapper", 1)
            .fields(&[Field::reference("callable", "Lhudson/FilePath$FileCallable;")]);
        static SPACE: Class =
            Class::new("hudson.node_monitors.DiskSpaceMonitorDescriptor$GetUsableSpace", 1);
        static MKDIRS: Class = Class::new("hudson.FilePath$Mkdirs", 1);
        static VERSION: Class = Class::new("hudson.slaves.SlaveComputer$SlaveVersion", 1);
        static OF_A_PLUGIN: Class = Class::new("org.example.Step$Run", 1);
        let wrapped = |inner| Object::new(&WRAPPER).with("callable", Object::new(inner));
        let is_no_build = |callable: Object| {
            let bytes = encode(&callable.into(), &mut Plain).unwrap();
            let graph = Graph::parse(&bytes, &ReadOptions::default()).unwrap();
            let root = graph.root().unwrap();
            is_no_build(root, &root.class_name().unwrap())
        };
        assert!(is_no_build(Object::new(&VERSION)));
        assert!(is_no_build(wrapped(&SPACE)));
        // The first thing that a recorded freestyle build asks for.
        assert!(!is_no_build(wrapped(&MKDIRS)));
        assert!(!is_no_build(Object::new(&OF_A_PLUGIN)));
        assert!(!is_no_build(Object::new(&WRAPPER)), "it holds nothing");
    }

    #[test]
    fn no_class_has_two_handlers() {
        let classes = FAMILIES.iter().flat_map(|(_, entries)| entries.iter().map(|one| one.class));
        let mut classes: Vec<&str> = classes.collect();
        classes.sort_unstable();
        let all = classes.len();
        classes.dedup();
        assert_eq!(classes.len(), all);
    }
}

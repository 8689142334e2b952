//! The JVM tier of one connection.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use jenkins_remoting::channel::Channel;
use jenkins_remoting::relay::{self, Child, Fallback, NotStarted};
use tokio::sync::OnceCell;

use super::cache::{Cache, Digest};
use super::child::{Archive, Spawn};
use super::command::{Classes, Plan};
use super::java::{self, Java};
use super::library::{self, Library, Sources};
use super::plugins::plugin_of;
use super::{Jvm, JvmError, launcher};

/// Starts JVMs for one connection, one after the other.
pub struct Tier {
    inner: Arc<Inner>,
}

struct Inner {
    jvm: Arc<Jvm>,
    /// What holds for the whole connection.
    found: OnceCell<Found>,
    cannot_renumber: Arc<AtomicBool>,
}

#[derive(Debug, Clone)]
struct Found {
    cache: Cache,
    jar_cache: PathBuf,
    library: Library,
    java: Java,
    launcher: Option<(PathBuf, Digest)>,
}

impl Tier {
    /// The tier of a new connection.
    #[must_use]
    pub fn new(jvm: Arc<Jvm>) -> Self {
        let inner = Inner { jvm, found: OnceCell::new(), cannot_renumber: Arc::default() };
        Self { inner: Arc::new(inner) }
    }
}

impl Fallback for Tier {
    fn start(&self, start: relay::Start) -> BoxFuture<'static, Result<Child, NotStarted>> {
        let inner = Arc::clone(&self.inner);
        async move {
            inner.start(start.generation, &start.channel).await.map_err(|error| {
                tracing::warn!("no JVM: {error}");
                NotStarted { message: error.to_string(), lasting: error.is_lasting() }
            })
        }
        .boxed()
    }

    fn explain(&self, class: &str, why: &str) -> String {
        explain(class, why)
    }
}

/// Calls on what a JVM exported, such as a git client or a process, and reads of its streams. Their class
/// says nothing to anybody.
const CALLS: [&str; 3] = [
    "hudson.remoting.RemoteInvocationHandler$UserRPCRequest",
    "hudson.remoting.RemoteInvocationHandler$RPCRequest",
    "hudson.remoting.ProxyInputStream$Chunk",
];

/// Why a request failed that only a JVM could have answered.
pub(crate) fn explain(class: &str, why: &str) -> String {
    if class.is_empty() {
        return format!("this request needs a JVM on the agent: {why}");
    }
    if CALLS.contains(&class) {
        return format!("an object in a JVM of the agent cannot be reached: {why}");
    }
    let plugin = plugin_of(class).map_or_else(String::new, |plugin| format!(" ({plugin})"));
    format!("{class}{plugin} needs a JVM on the agent: {why}")
}

impl Inner {
    async fn start(&self, generation: u32, channel: &Channel) -> Result<Child, JvmError> {
        let found = self.found.get_or_try_init(|| self.find(channel)).await?;
        if generation > 0 {
            self.may_follow(generation, found)?;
        }
        let Jvm { settings, environment, node_name, .. } = &*self.jvm;
        let key = archive_key(found);
        let cache = found.cache.clone();
        // A later one starts in the middle of a connection that has lost one already: no experiments.
        let archive = match blocking(move || archive(&cache, &key)).await? {
            Archive::Written(_) if generation > 0 || found.launcher.is_none() => Archive::None,
            archive => archive,
        };
        let plan = Plan {
            java: &found.java,
            library: &found.library.path,
            launcher: found.launcher.as_ref().map(|(path, _)| path.as_path()),
            classes: match &archive {
                Archive::None => Classes::Plain,
                Archive::Used(path) => Classes::Archive(path),
                Archive::Written(path) => Classes::Write(path),
            },
            options: &settings.options,
            environment,
            generation,
            channel_name: node_name,
            jar_cache: &found.jar_cache,
        };
        let arguments = plan.arguments()?;
        tracing::debug!(?arguments, "starting a JVM");
        let spawn = Spawn {
            arguments,
            environment: environment.clone(),
            cache: found.cache.clone(),
            archive,
            archive_key: key,
            restartable: found.launcher.is_some() && !self.cannot_renumber.load(Ordering::Acquire),
            cannot_renumber: Arc::clone(&self.cannot_renumber),
        };
        let child = spawn.start().await?;
        tracing::info!(
            pid = child.pid,
            "started Java {} ({}) for requests that are not answered natively",
            found.java.version,
            found.java.binary.display()
        );
        Ok(child)
    }

    fn may_follow(&self, generation: u32, found: &Found) -> Result<(), JvmError> {
        let problem = if found.launcher.is_none() {
            "this agent was built without the class that lets a JVM follow another"
        } else if self.cannot_renumber.load(Ordering::Acquire) {
            "the controller's remoting library does not let a JVM follow another"
        } else if generation >= launcher::MAX_GENERATIONS {
            "too many JVMs of this connection ended"
        } else {
            return Ok(());
        };
        Err(JvmError::NoMore { problem: problem.to_owned() })
    }

    async fn find(&self, channel: &Channel) -> Result<Found, JvmError> {
        let jvm = &self.jvm;
        let jar_cache = jvm.jar_cache.clone().ok_or(JvmError::NoCache)?;
        // Before anything is fetched: without a Java there is no use in it.
        let core = library::java_of_core(channel).await.unwrap_or(0);
        let java = java::find(&jvm.settings, &jvm.environment, core).await?;
        let directory = jar_cache.clone();
        let (cache, launcher) = blocking(move || open(&directory)).await??;
        let sources = Sources {
            url: jvm.url.as_deref(),
            downloads: &jvm.downloads,
            file: jvm.settings.agent_file.as_ref(),
        };
        let library = library::obtain(&sources, channel, &cache).await?;
        let java = if library.java <= java.version.feature {
            java
        } else {
            java::find(&jvm.settings, &jvm.environment, library.java).await?
        };
        Ok(Found { cache, jar_cache, library, java, launcher })
    }
}

type Opened = (Cache, Option<(PathBuf, Digest)>);

fn open(jar_cache: &Path) -> Result<Opened, JvmError> {
    let cache = Cache::open(jar_cache)?;
    let launcher = launcher::jar()
        .map(|jar| cache.ensure_jar("launcher", &jar))
        .transpose()
        .map_err(|error| cache.failed(&error))?;
    Ok((cache, launcher))
}

/// An archive fits one runtime, one library and one launcher.
fn archive_key(found: &Found) -> Digest {
    let launcher = found.launcher.as_ref().map(|(_, digest)| digest.to_string());
    let parts = [
        found.java.binary.to_string_lossy().into_owned(),
        found.java.version.text.clone(),
        found.library.digest.to_string(),
        launcher.unwrap_or_default(),
    ];
    Digest::of(parts.join("\n").as_bytes())
}

fn archive(cache: &Cache, key: &Digest) -> Archive {
    let path = cache.archive(key);
    if path.is_file() { Archive::Used(path) } else { Archive::Written(cache.unfinished()) }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, JvmError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| JvmError::Start { problem: "the agent is shutting down".to_owned() })
}

impl fmt::Debug for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("found", &self.inner.found).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_names_class_plugin_and_reason() {
        let class = "hudson.tasks.junit.JUnitParser$DirectParseResultCallable";
        assert_eq!(
            explain(class, "no Java"),
            "hudson.tasks.junit.JUnitParser$DirectParseResultCallable (JUnit plugin) needs a JVM on the \
             agent: no Java"
        );
        assert_eq!(explain("demo.X", "why"), "demo.X needs a JVM on the agent: why");
        assert_eq!(explain("", "why"), "this request needs a JVM on the agent: why");
        assert_eq!(
            explain(CALLS[0], "the JVM was killed (signal 9)"),
            "an object in a JVM of the agent cannot be reached: the JVM was killed (signal 9)"
        );
    }

    #[test]
    fn an_archive_is_written_once_and_then_used() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        let key = Digest::of(b"k");
        let Archive::Written(path) = archive(&cache, &key) else { panic!("nothing is there yet") };
        std::fs::write(&path, "classes").unwrap();
        cache.keep_archive(&path, &key).unwrap();
        assert_eq!(archive(&cache, &key), Archive::Used(cache.archive(&key)));
        assert!(matches!(archive(&cache, &Digest::of(b"other")), Archive::Written(_)));
    }
}

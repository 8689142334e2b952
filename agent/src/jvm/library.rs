//! The controller's own remoting library: from the cache, over HTTP, or over the channel.

use std::path::PathBuf;
use std::time::Duration;

use jenkins_remoting::JarChecksum;
use jenkins_remoting::channel::{CallError, Channel};
use jenkins_remoting::transport::{DownloadError, DownloadOptions, download};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::cache::{Cache, Digest, Unfinished};
use super::{JvmError, class_file};

/// The library has one and a half megabytes.
const MAX_BYTES: u64 = 64 << 20;

/// How long the controller may take to send it over the channel.
const OVER_CHANNEL_LIMIT: Duration = Duration::from_secs(120);

/// How long a look at a class of the controller may take.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(30);

/// A small class of the core that every controller has had for ages. The core is compiled for the
/// lowest Java that the controller runs on, and so are its plugins.
const CLASS_OF_CORE: &str = "hudson.slaves.SlaveComputer$DetectOS";

/// A class of the remoting library.
const CLASS_OF_LIBRARY: &str = "hudson.remoting.Launcher";

/// How much of the library may wait for the disk: what it does not take is not asked of the controller.
const AHEAD: usize = 256 << 10;

const KIND: &str = "remoting";

/// The library, in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Library {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
    /// The lowest version of Java that it runs on.
    pub(crate) java: u32,
}

/// Ways to the library.
#[derive(Debug)]
pub(crate) struct Sources<'a> {
    /// Root URL of the controller.
    pub(crate) url: Option<&'a str>,
    pub(crate) downloads: &'a DownloadOptions,
    /// A copy on this machine, used when the controller gives none: its version may differ.
    pub(crate) file: Option<&'a PathBuf>,
}

/// Gets the library of the controller at the other end of `channel`: from the cache if it is there under
/// the name that the controller has for it, else over HTTP, else over the channel.
///
/// # Errors
/// When no way leads to it, with what happened on each.
pub(crate) async fn obtain(
    sources: &Sources<'_>,
    channel: &Channel,
    cache: &Cache,
) -> Result<Library, JvmError> {
    let mut problems = Vec::new();
    let named = tokio::time::timeout(LOOK_UP_LIMIT, channel.jar_of(CLASS_OF_LIBRARY)).await;
    let wanted = match named {
        Ok(Ok(wanted)) => Some(wanted),
        Ok(Err(error)) => {
            problems.push(error.to_string());
            None
        }
        Err(_) => {
            problems.push(format!("the controller named no jar in {} s", LOOK_UP_LIMIT.as_secs()));
            None
        }
    };
    if let Some(wanted) = wanted {
        let store = cache.clone();
        let known = blocking(move || store.jar_named(KIND, wanted)).await;
        if let Ok(Some((path, digest))) = known
            && let Ok(library) = checked(path, digest).await
        {
            return Ok(library);
        }
    }
    if let Some(url) = sources.url {
        let url = format!("{url}jnlpJars/remoting.jar");
        match over_http(&url, sources.downloads, wanted, cache).await {
            Ok(library) => return Ok(library),
            Err(problem) => problems.push(problem),
        }
    }
    if let Some(wanted) = wanted {
        match over_channel(channel, wanted, cache).await {
            Ok(library) => return Ok(library),
            Err(problem) => problems.push(format!("over the channel: {problem}")),
        }
    }
    if let Some(file) = sources.file {
        match from_file(file.clone(), cache).await {
            Ok(library) => {
                tracing::warn!(
                    "{} is used in place of the controller's own library ({})",
                    file.display(),
                    problems.join("; ")
                );
                return Ok(library);
            }
            Err(problem) => problems.push(problem),
        }
    }
    Err(JvmError::Library { problem: problems.join("; ") })
}

/// The Java that the controller's own classes need; `None` if it shows none.
pub(crate) async fn java_of_core(channel: &Channel) -> Option<u32> {
    let image = async {
        let loader = channel.until_core_loader().await.ok_or(CallError::NoLoader)?;
        channel.fetch_class(loader, CLASS_OF_CORE).await
    };
    match tokio::time::timeout(LOOK_UP_LIMIT, image).await {
        Ok(Ok(image)) => class_file::java_level(&image),
        failed => {
            tracing::debug!(?failed, "the controller does not show the class {CLASS_OF_CORE}");
            None
        }
    }
}

async fn over_http(
    url: &str,
    options: &DownloadOptions,
    wanted: Option<JarChecksum>,
    cache: &Cache,
) -> Result<Library, String> {
    let words = |error: DownloadError| error.to_string();
    let mut body = download(url, options).await.map_err(words)?;
    let mut file = create(cache).await?;
    while let Some(bytes) = body.next().await.map_err(words)? {
        file = write(file, bytes.to_vec()).await.map_err(|problem| format!("{url}: {problem}"))?;
    }
    let library = keep(file, wanted, cache).await.map_err(|problem| format!("{url}: {problem}"))?;
    tracing::info!("fetched the remoting library of the controller from {}", body.url());
    Ok(library)
}

/// `JarLoader.writeJarTo`.
async fn over_channel(
    channel: &Channel,
    wanted: JarChecksum,
    cache: &Cache,
) -> Result<Library, String> {
    let (mut sink, source) = tokio::io::duplex(AHEAD);
    let transfer = async {
        let send = async {
            let sent = channel.download_jar(wanted, &mut sink).await;
            drop(sink);
            sent.map_err(|error| error.to_string())
        };
        let (sent, received) = tokio::join!(send, receive(source, cache));
        sent?;
        keep(received?, Some(wanted), cache).await
    };
    let library = tokio::time::timeout(OVER_CHANNEL_LIMIT, transfer)
        .await
        .map_err(|_| format!("it took longer than {} s", OVER_CHANNEL_LIMIT.as_secs()))??;
    tracing::info!("fetched the remoting library of the controller over the channel");
    Ok(library)
}

/// Takes a stream into a new file of the cache.
async fn receive(mut source: impl AsyncRead + Unpin, cache: &Cache) -> Result<Unfinished, String> {
    let mut file = create(cache).await?;
    loop {
        let mut chunk = Vec::with_capacity(64 << 10);
        source.read_buf(&mut chunk).await.map_err(|error| error.to_string())?;
        if chunk.is_empty() {
            return Ok(file);
        }
        file = write(file, chunk).await?;
    }
}

async fn from_file(file: PathBuf, cache: &Cache) -> Result<Library, String> {
    let shown = file.display().to_string();
    let cache = cache.clone();
    let (path, digest) = blocking(move || {
        let size = std::fs::metadata(&file)?.len();
        if size > MAX_BYTES {
            return Err(std::io::Error::other(format!("it is larger than {MAX_BYTES} bytes")));
        }
        cache.ensure_jar(KIND, &std::fs::read(&file)?)
    })
    .await?
    .map_err(|error| format!("{shown} (JENKINS_AGENT_FILE): {error}"))?;
    checked(path, digest).await
}

async fn create(cache: &Cache) -> Result<Unfinished, String> {
    let store = cache.clone();
    blocking(move || store.create()).await?.map_err(|error| cache.failed(&error).to_string())
}

async fn write(mut file: Unfinished, bytes: Vec<u8>) -> Result<Unfinished, String> {
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if file.written().saturating_add(length) > MAX_BYTES {
        return Err(format!("it is larger than {MAX_BYTES} bytes, so it is no remoting library"));
    }
    blocking(move || file.write(&bytes).map(|()| file))
        .await?
        .map_err(|error| format!("it cannot be kept: {error}"))
}

/// Keeps a downloaded file, if it is what the controller runs itself and not, say, a page to log in.
async fn keep(
    file: Unfinished,
    wanted: Option<JarChecksum>,
    cache: &Cache,
) -> Result<Library, String> {
    let cache = cache.clone();
    blocking(move || {
        let java = class_file::level_of_library(file.path())
            .map_err(|error| format!("what came is no remoting library: {error}"))?;
        if wanted.is_some_and(|wanted| wanted != file.digest().checksum()) {
            return Err("what came is another version than the controller's own".to_owned());
        }
        let (path, digest) =
            cache.keep_jar(KIND, file).map_err(|error| format!("it cannot be kept: {error}"))?;
        Ok(Library { path, digest, java })
    })
    .await?
}

async fn checked(path: PathBuf, digest: Digest) -> Result<Library, String> {
    blocking(move || {
        let java = class_file::level_of_library(&path)
            .map_err(|error| format!("{} is no remoting library: {error}", path.display()))?;
        Ok(Library { path, digest, java })
    })
    .await?
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|_| "the agent is shutting down".to_owned())
}

#[cfg(test)]
#[path = "library_tests.rs"]
mod tests;

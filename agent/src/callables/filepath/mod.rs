//! `hudson.FilePath`: the wrappers that file callables come in, and what they have in common.

pub(super) mod archives;
pub(super) mod attributes;
pub(super) mod contents;
pub(super) mod directories;
pub(super) mod workspace;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{AccessError, Node};
use jenkins_remoting::channel::{Call, RemoteOutput, Reply, Throwable};
use jenkins_remoting::{output_of, pipe_of};

use super::{Connection, Entry, FileCall, Run, blocking_with, find};
use crate::confine::check_here;
use crate::files::links::LinkCheck;
use crate::files::{Cancel, Compression};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { class: WRAPPERS[0].0, run: Run::Async(wrapper) },
    Entry { class: WRAPPERS[1].0, run: Run::Async(callable_with) },
];

/// The wrappers, each with the field of what it holds.
const WRAPPERS: [(&str, &str); 2] =
    [("hudson.FilePath$FileCallableWrapper", "callable"), ("hudson.FilePath$CallableWith", "task")];

/// Whether a class does nothing but hold another.
pub(super) fn is_wrapper(class: &str) -> bool {
    ENTRIES.iter().any(|entry| entry.class == class)
}

/// The class that a wrapper holds; nothing where it is none.
pub(super) fn wrapped(callable: Node<'_>, class: &str) -> Option<String> {
    let field = WRAPPERS.iter().find(|(wrapper, _)| *wrapper == class)?.1;
    let inner = callable.field(field).ok().and_then(|inner| Some(inner.class_name()?.into_owned()));
    Some(inner.unwrap_or_default())
}

/// They remove, move, make or look at the link.
const ABOUT_LINKS: [&str; 6] = [
    "hudson.FilePath$DeleteRecursive",
    "hudson.FilePath$DeleteSuffixesRecursive",
    "hudson.FilePath$HasSymlink",
    "hudson.FilePath$ReadLink",
    "hudson.FilePath$RenameTo",
    "hudson.FilePath$SymlinkTo",
];

fn wrapper<'a>(
    connection: &'a Connection,
    call: &'a Call,
    wrapper: Node<'a>,
) -> BoxFuture<'a, Reply> {
    unwrap(connection, call, wrapper, WRAPPERS[0].1, "filePath")
}

fn callable_with<'a>(
    connection: &'a Connection,
    call: &'a Call,
    wrapper: Node<'a>,
) -> BoxFuture<'a, Reply> {
    unwrap(connection, call, wrapper, WRAPPERS[1].1, "this$0")
}

fn unwrap<'a>(
    connection: &'a Connection,
    call: &'a Call,
    wrapper: Node<'a>,
    callable: &'static str,
    path: &'static str,
) -> BoxFuture<'a, Reply> {
    async move {
        let opened = wrapper
            .field(callable)
            .and_then(|callable| Ok((callable, remote_path(wrapper.field(path)?)?)));
        match opened {
            Ok((callable, path)) => {
                let others = Mutex::default();
                let file = FileCall { connection, call, path, callable, others };
                // Answers are made of classes of the plugin that sent the callable, which the
                // wrapper's own loader, that of the core, need not know.
                run(&file).await.with_loader(call.loader_of(callable))
            }
            Err(error) => Reply::throw(error.into()),
        }
    }
    .boxed()
}

async fn run(file: &FileCall<'_>) -> Reply {
    let class = file.callable.class_name().unwrap_or_default();
    let entry = find(&class).map(|entry| (entry.class, entry.run));
    if let Some((class, _)) = entry
        && let Err(throwable) = file.permitted(class).await
    {
        return Reply::throw(throwable);
    }
    let (class, reply) = match entry {
        Some((class, Run::File(prepare))) => match prepare(file) {
            Ok(job) => (class, file.blocking(job).await.into()),
            Err(throwable) => (class, Reply::throw(throwable)),
        },
        Some((class, Run::FileAsync(run))) => (class, run(file).await),
        _ => return file.connection.unknown(file.call, file.callable, &class),
    };
    file.connection.settle(file.call, class, reply)
}

/// The path of a `FilePath` that lies on this node (its block data says so: `FilePath.readObject`).
pub(super) fn remote_path(node: Node<'_>) -> Result<PathBuf, AccessError> {
    let remote: String = node.read_field("remote")?;
    let (block, _) = node.extra("hudson.FilePath")?;
    match block.first() {
        Some(0) | None => Ok(PathBuf::from(remote)),
        Some(_) => Err(AccessError::WrongType {
            expected: "a path on this node",
            got: "one of another node".to_owned(),
        }),
    }
}

impl FileCall<'_> {
    /// Another path that the request names, which [`Self::blocking`] checks as well.
    pub(super) fn path_field(&self, field: &'static str) -> Result<PathBuf, Throwable> {
        let path = remote_path(self.callable.field(field)?)?;
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(path.clone());
        Ok(path)
    }

    /// Runs a job on a thread for file operations, with the limits of those.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Cancel) -> Result<T, Throwable> + Send + 'static,
    ) -> Result<T, Throwable> {
        let others =
            std::mem::take(&mut *self.others.lock().unwrap_or_else(PoisonError::into_inner));
        let follow = !self.is_about_links();
        let threads = &self.connection.context.file_threads;
        blocking_with(threads, self.call, move |cancel| {
            for path in &others {
                check_here(path, follow)?;
            }
            job(cancel)
        })
        .await
    }

    /// Whether the agent's limits allow the path of the request. A stream that the request brings is
    /// ended with the reason, since who reads it need not see the answer.
    async fn permitted(&self, class: &str) -> Result<(), Throwable> {
        let Some(confinement) = &self.connection.context.confinement else { return Ok(()) };
        let (path, follow) = (self.path.clone(), !self.is_about_links());
        let checked = confinement.threads().run(move || check_here(&path, follow)).await;
        let error = match checked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(gone) => return Err(Throwable::io(gone.to_string())),
        };
        tracing::warn!(class, "refused: {error}");
        let throwable = Throwable::from(error);
        let streams = [self.pipe_field("p"), self.pipe_field("pipe"), self.output_field("out")];
        for out in streams.into_iter().flatten() {
            let mut reason = Some(throwable.clone());
            let closed = move || out.into_blocking().close(reason.take());
            let _ = confinement.threads().run(closed).await;
        }
        Err(throwable)
    }

    /// Whether the request is about a link itself, where there is one, and not about what it leads to.
    fn is_about_links(&self) -> bool {
        let class = self.callable.class_name().unwrap_or_default();
        ABOUT_LINKS.contains(&class.as_ref())
    }

    pub(super) fn output_field(&self, field: &'static str) -> Result<RemoteOutput, Throwable> {
        Ok(self.call.output(output_of(self.callable.field(field)?)?))
    }

    /// The writing end of a pipe whose reading end the controller has.
    pub(super) fn pipe_field(&self, field: &'static str) -> Result<RemoteOutput, Throwable> {
        Ok(self.call.output(pipe_of(self.callable.field(field)?)?))
    }

    /// The link options of a request, from the fields that all of them name alike.
    pub(super) fn link_check(&self) -> Result<LinkCheck, Throwable> {
        Ok(link_check(self.callable)?)
    }

    pub(super) fn compression(&self) -> Result<Compression, Throwable> {
        Ok(compression(self.callable.field("compression")?)?)
    }
}

/// The options with which a request limits what links may lead to.
pub(super) fn link_check(node: Node<'_>) -> Result<LinkCheck, AccessError> {
    let options = node.field("openOptions")?;
    let options = if options.is_null() { Vec::new() } else { options.elements()? };
    let has = |name: &str| {
        options.iter().any(|option| option.enum_constant().is_some_and(|constant| constant == name))
    };
    // A factory of archives has the options and no root.
    let root: Option<String> = match node.field("verificationRoot") {
        Ok(root) => root.read()?,
        Err(_) => None,
    };
    Ok(LinkCheck {
        no_follow_links: has("NOFOLLOW_LINKS"),
        ignore_tmp_dirs: has("IGNORE_TMP_DIRS"),
        verification_root: root.map(PathBuf::from),
    })
}

/// A constant of `FilePath$TarCompression`.
pub(super) fn compression(node: Node<'_>) -> Result<Compression, AccessError> {
    match node.enum_constant().as_deref() {
        Some("NONE") => Ok(Compression::None),
        Some("GZIP") => Ok(Compression::Gzip),
        _ => Err(AccessError::WrongType {
            expected: "a tar compression, NONE or GZIP",
            got: node.enum_constant().map_or_else(|| node.describe(), Into::into),
        }),
    }
}

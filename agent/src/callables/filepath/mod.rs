//! `hudson.FilePath`: the wrappers that file callables come in, and what they have in common.

pub(super) mod archives;
pub(super) mod attributes;
pub(super) mod contents;
pub(super) mod directories;
pub(super) mod workspace;

use std::path::PathBuf;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{AccessError, Node};
use jenkins_remoting::channel::{Call, RemoteOutput, Reply, Throwable};
use jenkins_remoting::{output_of, pipe_of};

use super::{Connection, Entry, FileCall, Run, blocking, find};
use crate::files::Compression;
use crate::files::links::LinkCheck;

pub(super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.FilePath$FileCallableWrapper", run: Run::Async(wrapper) },
    Entry { class: "hudson.FilePath$CallableWith", run: Run::Async(callable_with) },
];

fn wrapper<'a>(
    connection: &'a Connection,
    call: &'a Call,
    wrapper: Node<'a>,
) -> BoxFuture<'a, Reply> {
    unwrap(connection, call, wrapper, "callable", "filePath")
}

fn callable_with<'a>(
    connection: &'a Connection,
    call: &'a Call,
    wrapper: Node<'a>,
) -> BoxFuture<'a, Reply> {
    unwrap(connection, call, wrapper, "task", "this$0")
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
                let file = FileCall { connection, call, path, callable };
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
    let (class, reply) = match find(&class).map(|entry| (entry.class, entry.run)) {
        Some((class, Run::File(prepare))) => match prepare(file) {
            Ok(job) => (class, blocking(file.call, job).await.into()),
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
    pub(super) fn path_field(&self, field: &'static str) -> Result<PathBuf, Throwable> {
        Ok(remote_path(self.callable.field(field)?)?)
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

//! File callables that ask for or set attributes of one file.

use std::path::Path;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Datum, Object, jdk};
use jenkins_remoting::channel::{Reply, Throwable};

use super::super::answer::text;
use super::super::{Entry, FileCall, Job, Run};
use crate::files::{Cancel, attributes, links};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.FilePath$Exists", run: Run::FileAsync(exists) },
    Entry { class: "hudson.FilePath$IsDirectory", run: Run::File(is_directory) },
    Entry { class: "hudson.FilePath$Length", run: Run::File(length) },
    Entry { class: "hudson.FilePath$LastModified", run: Run::File(last_modified) },
    Entry { class: "hudson.FilePath$SetLastModified", run: Run::File(set_last_modified) },
    Entry { class: "hudson.FilePath$Touch", run: Run::File(touch) },
    Entry { class: "hudson.FilePath$Mode", run: Run::File(mode) },
    Entry { class: "hudson.FilePath$Chmod", run: Run::File(chmod) },
    Entry { class: "hudson.FilePath$GetFreeDiskSpace", run: Run::File(free_space) },
    Entry { class: "hudson.FilePath$GetTotalDiskSpace", run: Run::File(total_space) },
    Entry { class: "hudson.FilePath$GetUsableDiskSpace", run: Run::File(usable_space) },
    Entry { class: "hudson.FilePath$Absolutize", run: Run::File(absolutize) },
    Entry { class: "hudson.FilePath$ToURI", run: Run::File(to_uri) },
    Entry { class: "hudson.FilePath$Digest", run: Run::File(digest) },
    Entry { class: "hudson.FilePath$SymlinkTo", run: Run::File(symlink_to) },
    Entry { class: "hudson.FilePath$ReadLink", run: Run::File(read_link) },
    Entry { class: "hudson.FilePath$HasSymlink", run: Run::File(has_symlink) },
    Entry { class: "hudson.FilePath$IsDescendant", run: Run::File(is_descendant) },
];

/// A job that needs nothing but the path and cannot fail.
fn ask(file: &FileCall<'_>, ask: fn(&Path) -> Datum) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| Ok(ask(&path))))
}

fn bytes(bytes: u64) -> Datum {
    jdk::long(i64::try_from(bytes).unwrap_or(i64::MAX))
}

/// Controllers ask this more often than anything else, and mostly for files whose answer is in memory:
/// then a switch to another thread and back would take longer than all the rest.
fn exists<'a>(file: &'a FileCall<'a>) -> BoxFuture<'a, Reply> {
    async move {
        if let Some(exists) = attributes::exists_from_memory(&file.path) {
            return Reply::value(jdk::boolean(exists));
        }
        let path = file.path.clone();
        let look = move |_: &Cancel| Ok(jdk::boolean(attributes::exists(&path)));
        file.blocking(look).await.into()
    }
    .boxed()
}

fn is_directory(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| jdk::boolean(attributes::is_directory(path)))
}

fn length(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| bytes(attributes::length(path)))
}

fn last_modified(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| jdk::long(attributes::last_modified(path)))
}

fn free_space(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| bytes(attributes::disk_space(path).free))
}

fn total_space(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| bytes(attributes::disk_space(path).total))
}

fn usable_space(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| bytes(attributes::disk_space(path).usable))
}

fn absolutize(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| text(attributes::absolutize(path).to_string_lossy()))
}

fn to_uri(file: &FileCall<'_>) -> Result<Job, Throwable> {
    ask(file, |path| Object::new(&jdk::URI).with("string", attributes::to_uri(path)).into())
}

fn set_last_modified(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let timestamp = file.callable.read_field("timestamp")?;
    Ok(Box::new(move |_| {
        attributes::set_last_modified(&path, timestamp)?;
        Ok(Datum::Null)
    }))
}

fn touch(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let timestamp = file.callable.read_field("timestamp")?;
    Ok(Box::new(move |_| {
        attributes::touch(&path, timestamp)?;
        Ok(Datum::Null)
    }))
}

fn mode(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| {
        let mode = attributes::mode(&path)?;
        Ok(jdk::integer(i32::try_from(mode).unwrap_or(-1)))
    }))
}

fn chmod(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let mask = file.callable.read_field("mask")?;
    Ok(Box::new(move |_| {
        attributes::chmod(&path, mask)?;
        Ok(Datum::Null)
    }))
}

fn digest(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |cancel| Ok(text(attributes::digest(&path, cancel)?))))
}

/// A failure is told in the listener's log only and is no exception (`Util.createSymlink`).
fn symlink_to(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let target: String = file.callable.read_field("target")?;
    let mut listener = file.connection.listener(file.call, file.callable.field("listener")?)?;
    Ok(Box::new(move |cancel| {
        if let Err(error) = links::create_symlink(&path, Path::new(&target), cancel) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let line = format!("ln {target} {name} failed\n{error:?}\n");
            let _ = listener.write_blocking(line.as_bytes());
        }
        let _ = listener.finish_blocking();
        Ok(Datum::Null)
    }))
}

fn read_link(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| {
        let target = links::read_link(&path)?;
        Ok(target.map(|target| target.to_string_lossy().into_owned()).into())
    }))
}

fn has_symlink(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let check = file.link_check()?;
    Ok(Box::new(move |_| Ok(jdk::boolean(check.has_symlink(&path)))))
}

fn is_descendant(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let child: String = file.callable.read_field("potentialChildRelativePath")?;
    Ok(Box::new(move |_| Ok(jdk::boolean(links::is_descendant(&path, &child)?))))
}

//! File callables that move whole directories as tar or zip: stash, unstash, archiving of artefacts.

use std::path::PathBuf;

use java_object_stream::{AccessError, Datum, Node, jdk};
use jenkins_remoting::channel::{BlockingOutput, Throwable};
use jenkins_remoting::input_of;

use super::super::input::{BlockingInput, Waiter};
use super::super::{Entry, FileCall, Job, Run, unknown};
use super::contents::close;
use super::{compression, link_check, remote_path};
use crate::files::links::LinkCheck;
use crate::files::scanner::DirScanner;
use crate::files::tar_in::extract_tar;
use crate::files::tar_out::write_tar;
use crate::files::transfer::copy_recursive_local;
use crate::files::zip_in::{extract_zip, extract_zip_stream};
use crate::files::zip_out::write_zip;
use crate::files::{Cancel, Compression, FileError, LinkPolicy};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.FilePath$Archive", run: Run::File(archive) },
    Entry { class: "hudson.FilePath$CopyRecursiveRemoteToLocal", run: Run::File(write_to_pipe) },
    Entry { class: "hudson.FilePath$WriteToTar", run: Run::File(write_to_pipe) },
    Entry { class: "hudson.FilePath$CopyRecursiveLocal", run: Run::File(copy_local) },
    Entry { class: "hudson.FilePath$UntarRemote", run: Run::File(untar_remote) },
    Entry { class: "hudson.FilePath$UntarFrom", run: Run::File(untar_from) },
    Entry { class: "hudson.FilePath$UntarLocal", run: Run::File(untar_local) },
    Entry { class: "hudson.FilePath$ReadFromTar", run: Run::File(read_from_tar) },
    Entry { class: "hudson.FilePath$UnzipRemote", run: Run::File(unzip_stream) },
    Entry { class: "hudson.FilePath$UnzipFrom", run: Run::File(unzip_stream) },
    Entry { class: "hudson.FilePath$UnzipLocal", run: Run::File(unzip_local) },
];

/// What an agent follows: a workspace may be a link to another disk.
const LINKS: LinkPolicy = LinkPolicy::FollowExisting;

enum Format {
    Tar(Compression),
    Zip { prefix: Option<String>, open: LinkCheck },
}

fn count(entries: u32) -> Datum {
    jdk::integer(i32::try_from(entries).unwrap_or(i32::MAX))
}

fn archive(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let format = format(file.callable.field("factory")?)?;
    let scanner = scanner(file.callable.field("scanner")?)?;
    let check = file.link_check()?;
    let out = file.output_field("out")?.into_blocking();
    Ok(Box::new(move |cancel| write(&path, &scanner, &check, &format, out, cancel).map(count)))
}

fn write(
    path: &std::path::Path,
    scanner: &DirScanner,
    check: &LinkCheck,
    format: &Format,
    mut out: BlockingOutput,
    cancel: &Cancel,
) -> Result<u32, Throwable> {
    let written = match format {
        Format::Tar(compression) => write_tar(path, scanner, check, *compression, &mut out, cancel),
        Format::Zip { prefix, open } => {
            write_zip(path, scanner, check, open, prefix.as_deref(), &mut out, cancel)
        }
    };
    close(out, written)
}

/// A factory of `hudson.util.io.ArchiverFactory`.
fn format(factory: Node<'_>) -> Result<Format, Throwable> {
    match factory.class_name().unwrap_or_default().as_ref() {
        "hudson.util.io.ArchiverFactory$TarArchiverFactory" => {
            Ok(Format::Tar(compression(factory.field("method")?)?))
        }
        "hudson.util.io.ArchiverFactory$ZipArchiverFactory" => {
            // Older controllers have neither of these fields.
            let prefix = factory.field("prefix").ok().and_then(Node::as_str).map(Into::into);
            let open = link_check(factory).unwrap_or_default();
            Ok(Format::Zip { prefix, open })
        }
        other => Err(unknown::limit(&format!("write the archive format {other}"))),
    }
}

/// A scanner of `hudson.util.DirScanner`.
fn scanner(node: Node<'_>) -> Result<DirScanner, Throwable> {
    match node.class_name().unwrap_or_default().as_ref() {
        "hudson.util.DirScanner$Glob" => Ok(DirScanner::Glob {
            includes: node.read_field("includes")?,
            excludes: node.read_field("excludes")?,
            default_excludes: node.read_field("useDefaultExcludes")?,
            no_follow_links: link_check(node).unwrap_or_default().no_follow_links,
        }),
        "hudson.util.DirScanner$Full" => Ok(DirScanner::Full),
        "hudson.FilePath$ExplicitlySpecifiedDirScanner" => {
            let files = node.field("files")?.entries()?.into_iter();
            let read =
                |(archived, path): (Node<'_>, Node<'_>)| Ok((archived.read()?, path.read()?));
            let files = files.map(read).collect::<Result<Vec<_>, AccessError>>()?;
            Ok(DirScanner::Explicit(files))
        }
        other => Err(unknown::limit(&format!("run the file scanner {other}"))),
    }
}

fn write_to_pipe(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let scanner = scanner(file.callable.field("scanner")?)?;
    let format = Format::Tar(file.compression()?);
    let out = file.pipe_field("pipe")?.into_blocking();
    let check = LinkCheck::default();
    Ok(Box::new(move |cancel| write(&path, &scanner, &check, &format, out, cancel).map(count)))
}

fn copy_local(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let scanner = scanner(file.callable.field("scanner")?)?;
    let target = file.path_field("target")?;
    Ok(Box::new(move |cancel| Ok(count(copy_recursive_local(&path, &scanner, &target, cancel)?))))
}

fn untar_remote(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let name: String = file.callable.read_field("name")?;
    untar(file, name)
}

fn untar_from(file: &FileCall<'_>) -> Result<Job, Throwable> {
    untar(file, "input stream".to_owned())
}

fn untar(file: &FileCall<'_>, name: String) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let compression = file.compression()?;
    let input = input(file, "in")?;
    Ok(Box::new(move |cancel| {
        extract_tar(input, &path, &name, compression, LINKS, cancel)?;
        Ok(Datum::Null)
    }))
}

fn input(file: &FileCall<'_>, field: &'static str) -> Result<BlockingInput, Throwable> {
    let reference = input_of(file.callable.field(field)?)?;
    let waiter = Waiter::new(file.call.cancellation().clone());
    Ok(BlockingInput::new(file.call.channel().input(reference), waiter))
}

fn untar_local(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let compression = file.compression()?;
    let archive: PathBuf = remote_path(file.callable.field("filePath")?)?;
    Ok(Box::new(move |cancel| {
        let name = archive.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let opened =
            std::fs::File::open(&archive).map_err(|error| FileError::at(error, &archive))?;
        extract_tar(opened, &path, &name, compression, LINKS, cancel)?;
        Ok(Datum::Null)
    }))
}

/// The reading end of a pipe whose writing end the controller has; unpacked into another directory.
fn read_from_tar(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let target = file.path_field("target")?;
    let name: String = file.callable.read_field("description")?;
    let compression = file.compression()?;
    let oid = jenkins_remoting::pipe_of(file.callable.field("pipe")?)?;
    let input = file.call.channel().connect_pipe(oid).into_blocking();
    Ok(Box::new(move |cancel| {
        extract_tar(input, &target, &name, compression, LINKS, cancel)?;
        Ok(Datum::Null)
    }))
}

fn unzip_stream(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let input = input(file, "in")?;
    Ok(Box::new(move |cancel| {
        extract_zip_stream(input, &path, LINKS, cancel)?;
        Ok(Datum::Null)
    }))
}

fn unzip_local(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let archive: PathBuf = remote_path(file.callable.field("filePath")?)?;
    Ok(Box::new(move |cancel| {
        extract_zip(&archive, &path, LINKS, cancel)?;
        Ok(Datum::Null)
    }))
}

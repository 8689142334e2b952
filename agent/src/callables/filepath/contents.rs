//! File callables that read or write the contents of one file, over streams where they are long.

use std::fs::File;
use std::io::Write;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::Datum;
use jenkins_remoting::channel::{BlockingOutput, PipeReader, Reply, StreamError, Throwable};
use jenkins_remoting::output_datum;

use super::super::answer::text;
use super::super::{Entry, FileCall, Job, Run};
use crate::files::charset::Charset;
use crate::files::{Cancel, FileError, temp, transfer};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry { class: "hudson.FilePath$Read", run: Run::File(read) },
    Entry {
        class: "hudson.FilePath$OffsetPipeSecureFileCallable",
        run: Run::File(read_from_offset),
    },
    Entry { class: "hudson.FilePath$ReadToString", run: Run::File(read_to_string) },
    Entry { class: "hudson.FilePath$CopyTo", run: Run::File(copy_to) },
    Entry { class: "hudson.FilePath$Write", run: Run::File(write) },
    Entry { class: "hudson.FilePath$WritePipe", run: Run::FileAsync(write_pipe) },
    Entry { class: "hudson.FilePath$CreateTempFile", run: Run::File(create_temp_file) },
    Entry { class: "hudson.FilePath$CreateTextTempFile", run: Run::File(create_text_temp_file) },
    Entry { class: "hudson.FilePath$CreateTempDir", run: Run::File(create_temp_dir) },
];

/// Closes a stream with the outcome of what was written to it, and passes that on.
pub(super) fn close<T>(out: BlockingOutput, written: Result<T, FileError>) -> Result<T, Throwable> {
    match written {
        Ok(value) => {
            out.close(None).map_err(broken)?;
            Ok(value)
        }
        Err(error) => {
            let throwable = Throwable::from(error);
            let _ = out.close(Some(throwable.clone()));
            Err(throwable)
        }
    }
}

pub(super) fn broken(error: StreamError) -> Throwable {
    Throwable::io(error.to_string())
}

/// What cannot be read breaks the pipe off with the reason; the answer is null all the same.
fn read(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let check = file.link_check()?;
    let mut out = file.pipe_field("p")?.into_blocking();
    Ok(Box::new(move |cancel| {
        let copied = match check.open(&path) {
            // A Java agent has a directory read as nothing, and builds get away with it.
            Ok(contents) if contents.metadata().is_ok_and(|metadata| metadata.is_dir()) => Ok(0),
            Ok(mut contents) => transfer::copy_to(&mut contents, &mut out, cancel),
            Err(error) => Err(error),
        };
        let _ = close(out, copied);
        Ok(Datum::Null)
    }))
}

fn read_from_offset(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let offset = file.callable.read_field("offset")?;
    let mut out = file.pipe_field("p")?.into_blocking();
    Ok(Box::new(move |cancel| {
        let written = transfer::tail_gzip(&path, offset, &mut out, cancel);
        // Nobody waits for the answer: the reader of a file that is not there reads nothing.
        let closed = out.close(None).map_err(broken);
        written?;
        closed.map(|()| Datum::Null)
    }))
}

fn read_to_string(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    Ok(Box::new(move |_| Ok(text(transfer::read_to_string(&path, Charset::UTF_8)?))))
}

fn copy_to(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let mut out = file.output_field("out")?.into_blocking();
    Ok(Box::new(move |cancel| {
        let copied = File::open(&path)
            .map_err(|error| FileError::at(error, &path))
            .and_then(|mut contents| transfer::copy_to(&mut contents, &mut out, cancel));
        close(out, copied)?;
        Ok(Datum::Null)
    }))
}

fn write(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let content: Option<String> = file.callable.read_field("content")?;
    let encoding: Option<String> = file.callable.read_field("encoding")?;
    // A JDK has more charsets.
    let charset = encoding
        .map_or(Ok(Charset::UTF_8), |name| Charset::for_name(&name))
        .map_err(|error| Throwable::from(error).beyond_this_side())?;
    Ok(Box::new(move |_| {
        transfer::write_text(&path, &content.unwrap_or_default(), charset)?;
        Ok(Datum::Null)
    }))
}

/// Opens the file and answers with a stream to it; what arrives there is written from then on.
fn write_pipe<'a>(file: &'a FileCall<'a>) -> BoxFuture<'a, Reply> {
    let path = file.path.clone();
    async move {
        let open = move |_: &Cancel| transfer::create_for_writing(&path).map_err(Throwable::from);
        match file.blocking(open).await {
            Ok(opened) => {
                let (oid, reader) = file.call.channel().export_sink();
                tokio::spawn(receive(reader, opened));
                Reply::value(output_datum(oid))
            }
            Err(throwable) => Reply::throw(throwable),
        }
    }
    .boxed()
}

/// Writes a stream to a file. Each chunk is acknowledged once it is written, so a request that the
/// controller sends after it finds it there.
async fn receive(mut reader: PipeReader, mut file: File) {
    let mut next = reader.next().await;
    let end = loop {
        let chunk = match next {
            Ok(Some(chunk)) => chunk,
            Ok(None) => return,
            Err(error) => break error,
        };
        let written = tokio::task::spawn_blocking(move || write_waiting(reader, file, chunk)).await;
        next = match written {
            Ok(Ok((same_reader, same_file, arrived))) => {
                (reader, file) = (same_reader, same_file);
                match arrived {
                    Some(arrived) => arrived,
                    None => reader.next().await,
                }
            }
            Ok(Err(error)) => {
                // Dropping the reader tells the controller's writer.
                tracing::warn!(%error, "a file that the controller writes cannot be written");
                return;
            }
            Err(_) => return,
        };
    };
    tracing::debug!(error = %end, "the controller did not finish a file that it was writing");
}

type Arrived = Result<Option<Bytes>, StreamError>;

/// Writes a chunk, and those that wait behind it: controllers cut what they write into 8 KiB, for each of
/// which a switch to this thread and back would take longer than writing it. Returns how the stream ended
/// if it has.
fn write_waiting(
    mut reader: PipeReader,
    mut file: File,
    mut chunk: Bytes,
) -> std::io::Result<(PipeReader, File, Option<Arrived>)> {
    loop {
        file.write_all(&chunk)?;
        match reader.next().now_or_never() {
            Some(Ok(Some(next))) => chunk = next,
            ended => return Ok((reader, file, ended)),
        }
    }
}

fn create_temp_file(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let prefix: String = file.callable.read_field("prefix")?;
    let suffix: Option<String> = file.callable.read_field("suffix")?;
    Ok(Box::new(move |_| Ok(text(temp::create_temp_file(&prefix, suffix.as_deref(), &path)?))))
}

fn create_text_temp_file(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let here: bool = file.callable.read_field("inThisDirectory")?;
    let directory =
        if here { file.path.clone() } else { file.connection.context.temporary.clone() };
    let prefix: String = file.callable.read_field("prefix")?;
    let suffix: Option<String> = file.callable.read_field("suffix")?;
    let contents: String = file.callable.read_field("contents")?;
    Ok(Box::new(move |_| {
        let created = temp::create_text_temp_file(
            &prefix,
            suffix.as_deref(),
            &contents,
            Some(&directory),
            Charset::UTF_8,
        )?;
        Ok(text(created.to_string_lossy()))
    }))
}

fn create_temp_dir(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let name: String = file.callable.read_field("name")?;
    Ok(Box::new(move |_| Ok(text(temp::create_temp_dir(&name, &path)?))))
}

/// Runs a copy whose only answer is that it worked.
pub(super) fn done(
    job: impl FnOnce(&Cancel) -> Result<(), FileError> + Send + 'static,
) -> Result<Job, Throwable> {
    Ok(Box::new(move |cancel| {
        job(cancel)?;
        Ok(Datum::Null)
    }))
}

//! Polled steps: the controller asks for new output and for the exit status, four times a second at
//! first.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use java_object_stream::{Class, Datum, Field, Node, Object, jdk};
use jenkins_remoting::channel::Throwable;

use super::super::{Connection, Entry, FileCall, Job, Run};
use super::{exit_status, transcode, transcoding};
use crate::files::attributes::mkdirs;
use crate::files::{BUFFER, FileError};

pub(in super::super) const ENTRIES: &[Entry] = &[
    Entry {
        class: "org.jenkinsci.plugins.durabletask.AgentInfo$GetAgentInfo",
        run: Run::File(agent_info),
    },
    Entry {
        class: "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$TranscodingCharsetForSystemDefault",
        run: Run::Now(no_transcoding),
    },
    Entry {
        class: "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$WriteLog",
        run: Run::File(write_log),
    },
    Entry {
        class: "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$StatusCheck",
        run: Run::File(status_check),
    },
    Entry {
        class: "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$GetOutput",
        run: Run::File(get_output),
    },
];

static OS_TYPE: Class = Class::enumeration("org.jenkinsci.plugins.durabletask.AgentInfo$OsType");
static AGENT_INFO: Class =
    Class::new("org.jenkinsci.plugins.durabletask.AgentInfo", 7_599_995_179_651_071_957).fields(&[
        Field::bool("binaryCached"),
        Field::bool("binaryCompatible"),
        Field::bool("cachingAvailable"),
        Field::string("architecture"),
        Field::string("binaryPath"),
        Field::reference("os", "Lorg/jenkinsci/plugins/durabletask/AgentInfo$OsType;"),
    ]);

/// Where the plugin's own wrapper program would be cached, and whether it would run here. By default
/// the plugin uses a shell script instead.
fn agent_info(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let root = file.path.clone();
    let version: String = file.callable.read_field("binaryVersion")?;
    Ok(Box::new(move |_| {
        let cache = root.join("caches/durable-task");
        let available = mkdirs(&cache).is_ok();
        let (architecture, compatible) = architecture();
        let (os, prefix) = match std::env::consts::OS {
            "macos" => ("DARWIN", "darwin"),
            "linux" => ("LINUX", "linux"),
            _ => ("UNIX", "unix"),
        };
        let binary = cache.join(format!("durable_task_monitor_{version}_{prefix}_{architecture}"));
        Ok(Object::new(&AGENT_INFO)
            .with("os", Datum::Enum(&OS_TYPE, os))
            .with("architecture", architecture)
            .with("binaryCompatible", compatible && os != "UNIX")
            .with("binaryCached", binary.exists())
            .with("cachingAvailable", available)
            .with("binaryPath", binary.to_string_lossy().into_owned())
            .into())
    }))
}

/// The plugin's name for the processor, and whether it has a program for it.
fn architecture() -> (&'static str, bool) {
    match std::env::consts::ARCH {
        "x86_64" => ("64", true),
        "x86" => ("32", true),
        "aarch64" => ("aarch64", true),
        "powerpc64" => ("ppc64le", true),
        _ => ("NOTSUPPORTED", false),
    }
}

/// Output is UTF-8 already.
fn no_transcoding(_: &Connection, _: Node<'_>) -> Result<Datum, Throwable> {
    Ok(Datum::Null)
}

fn write_log(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let last: i64 = file.callable.read_field("lastLocation")?;
    let mut sink = file.output_field("sink")?.into_blocking();
    Ok(Box::new(move |_| {
        copy_from(&path, u64::try_from(last).unwrap_or(0), &mut sink)?;
        sink.flush().map_err(FileError::stream)?;
        Ok(Datum::Null)
    }))
}

/// Copies a file from an offset on to the length that it has now. A file that is missing or shorter
/// gives nothing.
fn copy_from(path: &Path, offset: u64, out: &mut impl Write) -> Result<(), FileError> {
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let length = file.metadata().map_err(|error| FileError::at(error, path))?.len();
    let Some(wanted) = length.checked_sub(offset).filter(|wanted| *wanted > 0) else {
        return Ok(());
    };
    if wanted > i32::MAX.unsigned_abs().into() {
        return Err(FileError::io("large reads not yet implemented"));
    }
    file.seek(SeekFrom::Start(offset)).map_err(|error| FileError::at(error, path))?;
    // `copy` hands the buffer of a `BufReader` on as it is; its own would be of 8 KiB.
    let mut file = BufReader::with_capacity(BUFFER, file.take(wanted));
    let copied = std::io::copy(&mut file, out).map_err(FileError::stream)?;
    if copied < wanted {
        return Err(FileError::io(format!("{} was cut short while it was read", path.display())));
    }
    Ok(())
}

fn status_check(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let context = Arc::clone(&file.connection.context);
    Ok(Box::new(move |_| {
        let status = exit_status(&path)?;
        if let (Some(status), Some(directory)) = (status, path.parent()) {
            // The controller reads the rest of the log after this answer.
            context.tasks.ended(directory, status);
            context.memory.task_ended(directory, status);
        }
        Ok(status.map_or(Datum::Null, jdk::integer))
    }))
}

fn get_output(file: &FileCall<'_>) -> Result<Job, Throwable> {
    let path = file.path.clone();
    let charset: Option<String> = file.callable.read_field("charset")?;
    // A JDK has more charsets.
    let charset = transcoding(charset.as_deref())
        .map_err(|error| Throwable::from(error).beyond_this_side())?;
    Ok(Box::new(move |_| {
        let bytes = std::fs::read(&path).map_err(|error| FileError::at(error, &path))?;
        Ok(Datum::Bytes(transcode(bytes, charset)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_copied() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("jenkins-log.txt");
        let tail = |offset| {
            let mut out = Vec::new();
            copy_from(&log, offset, &mut out).unwrap();
            out
        };
        assert_eq!(tail(0), b"", "missing");
        std::fs::write(&log, "one\ntwo\n").unwrap();
        assert_eq!(tail(0), b"one\ntwo\n");
        assert_eq!(tail(4), b"two\n");
        assert_eq!(tail(8), b"");
        assert_eq!(tail(100), b"", "shorter than what was read before");
    }
}

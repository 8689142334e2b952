//! Starting a process the way Java's `ProcessBuilder` does on Linux.

use std::io::{self, PipeReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::time::Duration;

use rustix::io::Errno;
use tokio::process::Command as TokioCommand;
use tokio::time::Instant;

use super::{children, procfs};
use crate::{
    Child, Command, ErrorTarget, ExitStatus, ExitWatch, InputSource, InputWriter, OutputReader,
    OutputTarget, ProcessError, ProcessIdentity,
};

/// How often a busy program file is tried again, and the first pause: 10, 20, 40, 80, 160 ms.
const BUSY_RETRIES: u32 = 5;
const BUSY_PAUSE: Duration = Duration::from_millis(10);

const SHELL: &str = "/bin/sh";

/// Starts the process, with these ends of its streams or with pipes to this process. Blocks; must be
/// called within a tokio runtime.
pub(crate) fn start(command: &Command, ends: Option<StreamEnds>) -> Result<Child, ProcessError> {
    close_inherited_descriptors_on_exec();
    let cannot_run = |errno: Errno| ProcessError::CannotRun {
        program: command.arguments.first().cloned().unwrap_or_default(),
        directory: command.directory.clone(),
        errno: errno.raw_os_error(),
    };
    if let Some(directory) = &command.directory {
        match std::fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(cannot_run(Errno::NOTDIR)),
            Err(error) => {
                tracing::debug!(%error, directory = %directory.display(), "no working directory");
                let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.clone());
                return Err(ProcessError::WorkingDirectoryMissing(absolute.components().collect()));
            }
        }
    }

    let (streams, own) = match ends {
        Some(ends) => (ends, OwnEnds::default()),
        None => StreamEnds::open(command).map_err(ProcessError::Pipe)?,
    };
    let started = exec_as_java_does(command, &streams).map_err(cannot_run)?;
    // Our copies of its ends would keep the pipes from ever ending.
    drop(streams);
    let exit = wait_in_background(started.process, started.identity.pid);
    Ok(Child::new(started.identity, exit, own))
}

/// Marks what this process inherited, and what other code opened carelessly, so that no child gets
/// it: a Java agent closes everything above 2 in a child.
fn close_inherited_descriptors_on_exec() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| close_fds::set_fds_cloexec_threadsafe(3, &[]));
}

/// The process's ends of its streams. `None` is the null device.
#[derive(Debug, Default)]
pub struct StreamEnds {
    /// What it reads.
    pub stdin: Option<OwnedFd>,
    /// What it writes.
    pub stdout: Option<OwnedFd>,
    /// What it writes errors to.
    pub stderr: Option<OwnedFd>,
}

/// This side's ends of the streams of a process.
#[derive(Debug, Default)]
pub struct OwnEnds {
    /// Writes to the standard input.
    pub stdin: Option<InputWriter>,
    /// Reads the standard output.
    pub stdout: Option<OutputReader>,
    /// Reads the standard error.
    pub stderr: Option<OutputReader>,
}

impl StreamEnds {
    /// Both ends of every stream that a command asks for.
    ///
    /// # Errors
    /// When the system has no more pipes.
    pub fn open(command: &Command) -> io::Result<(Self, OwnEnds)> {
        let (stdin, writer) = match command.stdin {
            InputSource::Null => (None, None),
            InputSource::Piped => {
                let (reader, writer) = io::pipe()?;
                (Some(reader.into()), Some(InputWriter::new(writer)?))
            }
        };
        let (stdout, out) = match command.stdout {
            OutputTarget::Null => (None, None),
            OutputTarget::Piped => output_pipe()?,
            OutputTarget::Log => (Some(log()?), None),
        };
        let (stderr, err) = match command.stderr {
            ErrorTarget::Null => (None, None),
            ErrorTarget::Piped => output_pipe()?,
            ErrorTarget::Log => (Some(log()?), None),
            ErrorTarget::Output => (stdout.as_ref().map(OwnedFd::try_clone).transpose()?, None),
        };
        let reader = |end: Option<PipeReader>| end.map(OutputReader::new).transpose();
        let own = OwnEnds { stdin: writer, stdout: reader(out)?, stderr: reader(err)? };
        Ok((Self { stdin, stdout, stderr }, own))
    }
}

fn output_pipe() -> io::Result<(Option<OwnedFd>, Option<PipeReader>)> {
    let (reader, writer) = io::pipe()?;
    Ok((Some(writer.into()), Some(reader)))
}

fn log() -> io::Result<OwnedFd> {
    use std::os::fd::AsFd;
    io::stderr().as_fd().try_clone_to_owned()
}

fn stdio(end: Option<&OwnedFd>) -> io::Result<Stdio> {
    end.map_or_else(|| Ok(Stdio::null()), |fd| fd.try_clone().map(Stdio::from))
}

struct Started {
    process: tokio::process::Child,
    identity: ProcessIdentity,
}

/// Tries the places a program may be in, with the rules of `execvp`: what is missing is passed
/// over, a place without permission is remembered as the reason, any other failure is final.
fn exec_as_java_does(command: &Command, streams: &StreamEnds) -> Result<Started, Errno> {
    let program = command.arguments.first().map_or("", String::as_str);
    if program.is_empty() {
        return Err(Errno::NOENT);
    }
    let searched = !program.contains('/');
    let mut refused = None;
    let mut last = Errno::NOENT;
    for file in command.search_path.candidates(program) {
        // Looking before trying saves a fork for every directory that does not have it.
        let result = if searched { may_execute(command, &file) } else { Ok(()) };
        match result.and_then(|()| exec_or_shell(command, streams, &file)) {
            Ok(started) => return Ok(started),
            Err(Errno::ACCESS) => refused = Some(Errno::ACCESS),
            Err(
                errno @ (Errno::NOENT
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::STALE
                | Errno::NODEV
                | Errno::TIMEDOUT
                | Errno::NAMETOOLONG),
            ) => last = errno,
            Err(errno) => return Err(errno),
        }
    }
    Err(refused.unwrap_or(last))
}

/// Whether exec has a chance, by what exec itself would check first.
fn may_execute(command: &Command, file: &Path) -> Result<(), Errno> {
    let seen_from_there = match &command.directory {
        Some(directory) => directory.join(file),
        None => file.to_owned(),
    };
    let metadata = std::fs::metadata(seen_from_there).map_err(|error| errno_of(&error))?;
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(Errno::ACCESS)
    }
}

/// Runs a file, or lets the shell run it if the system does not know its format: a script without
/// a `#!` line.
fn exec_or_shell(command: &Command, streams: &StreamEnds, file: &Path) -> Result<Started, Errno> {
    let name = command.arguments.first().map_or("", String::as_str);
    match exec_unless_busy(command, streams, file, name, None) {
        Err(Errno::NOEXEC) => exec_unless_busy(command, streams, SHELL.as_ref(), SHELL, Some(file)),
        other => other,
    }
}

/// Runs a file, waiting a little when it is open for writing. Our own writers close theirs before
/// a build asks to run it, but a child forked meanwhile has a copy until it execs.
fn exec_unless_busy(
    command: &Command,
    streams: &StreamEnds,
    file: &Path,
    name: &str,
    script: Option<&Path>,
) -> Result<Started, Errno> {
    let mut retry = 0;
    loop {
        match exec(command, streams, file, name, script) {
            Err(error) if errno_of(&error) == Errno::TXTBSY && retry < BUSY_RETRIES => {
                std::thread::sleep(BUSY_PAUSE * 2_u32.pow(retry));
                retry += 1;
            }
            other => return other.map_err(|error| errno_of(&error)),
        }
    }
}

fn exec(
    command: &Command,
    streams: &StreamEnds,
    file: &Path,
    name: &str,
    script: Option<&Path>,
) -> io::Result<Started> {
    // Without a slash the standard library would search the path of the child.
    let file: PathBuf = if file.as_os_str().as_encoded_bytes().contains(&b'/') {
        file.into()
    } else {
        Path::new(".").join(file)
    };
    let mut builder = TokioCommand::new(file);
    builder
        .arg0(name)
        .args(script)
        .args(command.arguments.iter().skip(1))
        .env_clear()
        .envs(command.environment.iter())
        .process_group(0)
        .stdin(stdio(streams.stdin.as_ref())?)
        .stdout(stdio(streams.stdout.as_ref())?)
        .stderr(stdio(streams.stderr.as_ref())?);
    if let Some(directory) = &command.directory {
        builder.current_dir(directory);
    }
    children::started_by_us(|| {
        let process = builder.spawn()?;
        let pid = process.id().ok_or_else(|| io::Error::other("the process has no number"))?;
        // Not reaped yet, hence surely still this process, if only as a zombie.
        Ok((pid, Started { process, identity: procfs::identity_of(pid) }))
    })
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Waits for the process in a task of its own, whatever happens to the handle: the status is
/// there for anybody who asks later, and no zombie stays.
fn wait_in_background(mut process: tokio::process::Child, pid: u32) -> ExitWatch {
    let (sender, watch) = ExitWatch::channel();
    tokio::spawn(async move {
        let status = match process.wait().await {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => ExitStatus::Exited(code),
                (None, Some(signal)) => ExitStatus::Signaled(signal),
                (None, None) => ExitStatus::Lost,
            },
            Err(error) => {
                tracing::warn!(pid, %error, "the exit status of a process is lost");
                ExitStatus::Lost
            }
        };
        children::reaped(pid);
        sender.send_replace(Some((status, Instant::now())));
    });
    watch
}

//! The agent's side: the containers of its pod that have a server.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pilotfish_process::{
    Child, Command, ErrorTarget, ExitStatus, ExitWatch, InputSource, OutputTarget, SearchPath,
    StreamEnds,
};
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::error::ExecError;
use crate::main_process::last_words;
use crate::protocol::{
    Answer, ErrorStream, Killed, Launch, MAX_ANSWER, Matching, PROTOCOL_VERSION, Report, Request,
    decode_answer,
};
use crate::socket::{connect, receive, send};

/// Where the directories of the containers are, each with the socket of its server.
pub const DEFAULT_DIRECTORY: &str = "/run/pilotfish/exec";

/// The name of a socket in the directory of its container.
const SOCKET: &str = "socket";

/// How long a container that is there may take to answer: its image may still be pulled.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// The same for one that is not there, in a pod that is young: Kubernetes makes the directory of a socket when
/// it starts the container. Short, for a name may also be wrong.
const MISSING_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after the start of the agent a pod is young.
const YOUNG: Duration = Duration::from_secs(120);

/// How often it is tried meanwhile.
const READY_PAUSE: Duration = Duration::from_millis(50);

/// How long a server may take to answer. Processes that ignore that they are to end take it 25 s.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);

/// How long the last words of a container may come after its server broke off.
const LAST_WORDS_WAIT: Duration = Duration::from_secs(1);

/// The longest name of a container (RFC 1123, a label).
const MAX_NAME: usize = 63;

/// The containers of the pod.
#[derive(Debug, Clone)]
pub struct Containers {
    directory: PathBuf,
    /// When they were first looked at; `None` for a pod that is not young.
    since: Option<Instant>,
    ready_timeout: Duration,
}

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    name: String,
    directory: PathBuf,
    /// The others, for somebody who wanted one of them.
    among: Containers,
    ready_timeout: Duration,
}

/// A process in a container, and what its server says of its end.
pub struct Started {
    /// The process, with this side's ends of its streams.
    pub child: Child,
    /// What there is to say, once it has ended.
    pub end: oneshot::Receiver<End>,
}

/// The end of a process in a container.
#[derive(Debug, Default)]
pub struct End {
    /// What its server, or the loss of it, has to say.
    pub report: Report,
    /// What came out of it, where that is followed.
    pub followed: Option<Followed>,
}

/// What came out of a process and goes on in its container.
#[derive(Debug)]
pub struct Followed {
    container: Container,
    stream: UnixStream,
}

/// Has a server stay, though told to stop, until it is dropped.
#[derive(Debug)]
pub struct Attendance(UnixStream);

/// Whether a text can be the name of a container.
#[must_use]
pub fn is_container_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

impl Containers {
    /// Those whose directories are below this one.
    #[must_use]
    pub fn below(directory: impl Into<PathBuf>) -> Self {
        let since = Some(Instant::now());
        Self { directory: directory.into(), since, ready_timeout: READY_TIMEOUT }
    }

    /// With another time in which a container must answer, whatever the age of the pod.
    #[must_use]
    pub fn ready_within(mut self, time: Duration) -> Self {
        self.ready_timeout = time;
        self.since = None;
        self
    }

    /// Whether some of them may still be started.
    fn are_young(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() < YOUNG) && self.directory.is_dir()
    }

    /// Their names. Blocks for some small reads.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_container_name(name)).collect();
        names.sort_unstable();
        names
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ExecError::Name`], or [`ExecError::Unknown`] with the names that there are. In a young pod the second
    /// comes later, from what is asked of it.
    pub fn get(&self, name: &str) -> Result<Container, ExecError> {
        if !is_container_name(name) {
            return Err(ExecError::Name { name: name.chars().take(80).collect() });
        }
        let directory = self.directory.join(name);
        let (name, among) = (name.to_owned(), self.clone());
        let container = Container { name, directory, among, ready_timeout: self.ready_timeout };
        if container.is_there() {
            return Ok(container);
        }
        if !self.are_young() {
            return Err(container.unknown());
        }
        Ok(Container { ready_timeout: MISSING_TIMEOUT, ..container })
    }

    /// Ends, in all containers that there are, the processes with all of these variables, and their
    /// descendants. What could not be reached is said; it cannot be asked for anything else either.
    pub async fn kill_everywhere(
        &self,
        variables: &[(String, String)],
    ) -> Vec<(String, Result<Killed, ExecError>)> {
        let mut asked = JoinSet::new();
        for name in self.names() {
            // One that never came up has nothing to end.
            if !self.directory.join(&name).join(SOCKET).exists() {
                continue;
            }
            let (container, variables) = (self.get(&name), variables.to_vec());
            asked.spawn(async move {
                let outcome = match container {
                    Ok(container) => container.at_once().kill(variables).await,
                    Err(error) => Err(error),
                };
                (name, outcome)
            });
        }
        let mut outcomes = asked.join_all().await;
        outcomes.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        outcomes
    }
}

impl Container {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same, without a time to get ready.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.ready_timeout = Duration::ZERO;
        self
    }

    /// Whether its directory is, which may be no link: what is in it belongs to the container alone.
    fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.directory).is_ok_and(|one| one.is_dir())
    }

    fn unknown(&self) -> ExecError {
        ExecError::Unknown { name: self.name.clone(), known: self.among.names() }
    }

    fn socket(&self) -> PathBuf {
        self.directory.join(SOCKET)
    }

    fn broken_off(&self, error: &io::Error) -> ExecError {
        if let Some(last_words) = last_words(&self.directory) {
            return ExecError::Ended { name: self.name.clone(), last_words };
        }
        let detail = match error.kind() {
            io::ErrorKind::UnexpectedEof => "its server closed the connection".to_owned(),
            _ => error.to_string(),
        };
        ExecError::BrokenOff { name: self.name.clone(), detail }
    }

    fn protocol(&self, detail: impl Into<String>) -> ExecError {
        ExecError::Protocol { name: self.name.clone(), detail: detail.into() }
    }

    /// Connects and is greeted.
    async fn connect(&self) -> Result<UnixStream, ExecError> {
        let deadline = Instant::now() + self.ready_timeout;
        let mut stream = loop {
            let connected = if self.is_there() {
                connect(&self.directory, SOCKET).await
            } else if Instant::now() < deadline {
                Err(io::ErrorKind::NotFound.into())
            } else {
                return Err(self.unknown());
            };
            match connected {
                Ok(stream) => break stream,
                Err(error) => {
                    if let Some(last_words) = last_words(&self.directory) {
                        return Err(ExecError::Ended { name: self.name.clone(), last_words });
                    }
                    if Instant::now() >= deadline {
                        return Err(ExecError::NotReady {
                            name: self.name.clone(),
                            socket: self.socket(),
                            seconds: self.ready_timeout.as_secs(),
                            detail: error.to_string(),
                        });
                    }
                }
            }
            sleep(READY_PAUSE).await;
        };
        match self.answer(&mut stream).await? {
            Answer::Hello { protocol: PROTOCOL_VERSION } => Ok(stream),
            Answer::Hello { protocol } => Err(self
                .protocol(format!("version {protocol}, where this side has {PROTOCOL_VERSION}"))),
            Answer::Failed { message } => Err(ExecError::Launch(message)),
            _ => Err(self.protocol("it does not greet")),
        }
    }

    async fn answer(&self, stream: &mut UnixStream) -> Result<Answer, ExecError> {
        let answer = timeout(ANSWER_TIMEOUT, receive(stream, MAX_ANSWER)).await;
        let answer = answer.map_err(|_| self.protocol("it says nothing"))?;
        let (bytes, _) = answer.map_err(|error| self.broken_off(&error))?;
        decode_answer(&bytes).map_err(|problem| self.protocol(problem))
    }

    /// Starts a process in the container. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Why it does not run, in words for the build's log.
    pub async fn launch(&self, launch: Launch) -> Result<Started, ExecError> {
        let mut stream = self.connect().await?;
        let follow = launch.follow;
        // Only what its streams are like is used of this.
        let streams = Command::new([""], SearchPath::new(None))
            .stdin(if launch.stdin { InputSource::Piped } else { InputSource::Null })
            .stdout(OutputTarget::Piped)
            .stderr(match launch.stderr {
                ErrorStream::Apart => ErrorTarget::Piped,
                ErrorStream::Output => ErrorTarget::Null,
            });
        let (ends, own) =
            StreamEnds::open(&streams).map_err(|error| ExecError::Pipe(error.to_string()))?;
        let descriptors: Vec<_> = [&ends.stdin, &ends.stdout, &ends.stderr]
            .into_iter()
            .flatten()
            .map(|end| end.as_fd())
            .collect();
        let asked = send(&mut stream, &Request::Launch(launch), &descriptors).await;
        // The other side has its own copies now; ours would keep the pipes from ever ending.
        drop(descriptors);
        drop(ends);
        asked.map_err(|error| self.broken_off(&error))?;
        match self.answer(&mut stream).await? {
            Answer::Started { .. } => {}
            Answer::Failed { message } => return Err(ExecError::Launch(message)),
            _ => return Err(self.protocol("no answer to a launch")),
        }
        let (ended, exit) = ExitWatch::elsewhere();
        let (tell, end) = oneshot::channel();
        let container = self.clone();
        tokio::spawn(async move {
            let received = receive(&mut stream, MAX_ANSWER).await;
            let lost = |problem: ExecError| {
                let notes = vec![format!("[pilotfish] {problem}")];
                (ExitStatus::Lost, End { report: Report { notes, usage: None }, followed: None })
            };
            let (status, end) = match received {
                Ok((bytes, _)) => match decode_answer(&bytes) {
                    Ok(Answer::Ended(end)) => {
                        let followed = follow.then_some(Followed { container, stream });
                        (end.outcome.into(), End { report: end.report, followed })
                    }
                    Ok(_) => lost(container.protocol("no end of a process")),
                    Err(problem) => lost(container.protocol(problem)),
                },
                Err(error) => lost(container.gone(&error).await),
            };
            // This first: whoever sees the end asks for it.
            let _ = tell.send(end);
            ended.ended(status);
        });
        Ok(Started { child: Child::elsewhere(exit, own), end })
    }

    /// Ends the processes of the container with all of these variables, and their descendants.
    ///
    /// # Errors
    /// When the container does not answer.
    pub async fn kill(&self, variables: Vec<(String, String)>) -> Result<Killed, ExecError> {
        match self.ask(Request::Kill(Matching { variables })).await? {
            (Answer::Killed(killed), _) => Ok(killed),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    /// How many processes of the container have all of these variables.
    ///
    /// # Errors
    /// When the container does not answer.
    pub async fn find(&self, variables: Vec<(String, String)>) -> Result<usize, ExecError> {
        match self.ask(Request::Find(Matching { variables })).await? {
            (Answer::Found { processes }, _) => Ok(processes),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    /// Has the server stay, though told to stop, until the answer is dropped: a pod that is deleted has all
    /// of its containers told at once, and the agent waits for builds that need theirs.
    ///
    /// # Errors
    /// When the container does not answer.
    pub async fn attend(&self) -> Result<Attendance, ExecError> {
        match self.ask(Request::Attend {}).await? {
            (Answer::Attending {}, stream) => Ok(Attendance(stream)),
            (answer, _) => Err(self.unexpected(answer)),
        }
    }

    async fn ask(&self, request: Request) -> Result<(Answer, UnixStream), ExecError> {
        let mut stream = self.connect().await?;
        let asked = send(&mut stream, &request, &[]).await;
        asked.map_err(|error| self.broken_off(&error))?;
        Ok((self.answer(&mut stream).await?, stream))
    }

    fn unexpected(&self, answer: Answer) -> ExecError {
        match answer {
            Answer::Failed { message } => ExecError::Launch(message),
            _ => self.protocol("an answer to something else"),
        }
    }

    /// Why a server broke off; its container may not have left its last words yet.
    async fn gone(&self, error: &io::Error) -> ExecError {
        let deadline = Instant::now() + LAST_WORDS_WAIT;
        loop {
            let problem = self.broken_off(error);
            if matches!(problem, ExecError::Ended { .. }) || Instant::now() >= deadline {
                return problem;
            }
            sleep(READY_PAUSE).await;
        }
    }
}

impl Followed {
    /// Which container it runs in.
    #[must_use]
    pub fn container(&self) -> &Container {
        &self.container
    }

    /// Waits until the server is gone, and with it, most likely, all that ran: why. Dropped before, nothing is
    /// lost.
    pub async fn lost(&self) -> ExecError {
        let error = loop {
            if let Err(error) = self.stream.readable().await {
                break error;
            }
            match self.stream.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => break error,
                Ok(0) => break io::ErrorKind::UnexpectedEof.into(),
                // It was not asked for anything.
                Ok(_) => return self.container.protocol("it speaks without being asked"),
            }
        };
        self.container.gone(&error).await
    }

    /// It is over: what its server has to say.
    ///
    /// # Errors
    /// When the container does not answer.
    pub async fn finish(mut self, failed: bool) -> Result<Report, ExecError> {
        let asked = send(&mut self.stream, &Request::Finish { failed }, &[]).await;
        asked.map_err(|error| self.container.broken_off(&error))?;
        match self.container.answer(&mut self.stream).await? {
            Answer::Finished(report) => Ok(report),
            answer => Err(self.container.unexpected(answer)),
        }
    }
}

impl Attendance {
    /// Waits until the server is gone.
    pub async fn lost(&self) {
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut [0]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

/// The directory that a server's socket is in.
pub(crate) fn directory_of(socket: &Path) -> &Path {
    socket.parent().unwrap_or(Path::new("."))
}

//! The server in a tool container.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotfish_process::cgroup::{MemoryGroup, MemoryState};
use pilotfish_process::{
    Child, Command, Environment, ErrorTarget, InputSource, Killer, OutputTarget, ProcessError,
    Reaper, SearchPath, StreamEnds,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};

use crate::meter::{Measuring, Meter};
use crate::protocol::{
    Answer, Ended, ErrorStream, Killed, Launch, MAX_REQUEST, Matching, PROTOCOL_VERSION, Report,
    Request, Stage, decode_request,
};
use crate::socket::{receive, send};

/// How many clients are served at once: each step that runs is one.
const MAX_CLIENTS: usize = 512;

/// How long a client may take to ask.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest request to finish, in bytes.
const MAX_FINISH: usize = 1024;

/// How often processes are looked for that others started while they were ended.
const KILL_ROUNDS: usize = 5;

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// Its socket. The directory is made; what lies there of an earlier life is removed.
    pub socket: PathBuf,
    /// Users who may ask, beside the one that the server runs as.
    pub allowed_users: Vec<u32>,
    /// The environment of the container.
    pub environment: Environment,
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    place: Arc<Place>,
}

/// What all launches of a container share.
#[derive(Debug)]
struct Place {
    environment: Environment,
    search_path: SearchPath,
    allowed_users: Vec<u32>,
    memory: Option<MemoryGroup>,
    meter: Option<Meter>,
    /// How many agents have builds here.
    attended: watch::Sender<usize>,
}

/// Tells whether an agent has builds in this container.
#[derive(Debug)]
pub struct Attendance(watch::Receiver<usize>);

impl Attendance {
    /// Waits until no agent has builds here, or has gone.
    pub async fn over(mut self) {
        let _ = self.0.wait_for(|agents| *agents == 0).await;
    }
}

/// Counts an agent until it is dropped.
struct Attending<'a>(&'a watch::Sender<usize>);

impl Drop for Attending<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|agents| *agents -= 1);
    }
}

impl Server {
    /// Listens. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn bind(options: ServerOptions) -> io::Result<Self> {
        let directory = options.socket.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(directory)?;
        match fs::remove_file(&options.socket) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&options.socket)?;
        // Whoever can reach the socket may be another user of the same pod: who asks is looked at, not
        // who could.
        fs::set_permissions(&options.socket, fs::Permissions::from_mode(0o666))?;
        let mut allowed_users = options.allowed_users;
        allowed_users.push(rustix::process::geteuid().as_raw());
        let place = Place {
            search_path: SearchPath::of(&options.environment),
            environment: options.environment,
            allowed_users,
            memory: MemoryGroup::own(),
            meter: Meter::own(),
            attended: watch::Sender::new(0),
        };
        Ok(Self { listener, place: Arc::new(place) })
    }

    /// Who has builds here.
    #[must_use]
    pub fn attendance(&self) -> Attendance {
        Attendance(self.place.attended.subscribe())
    }

    /// Serves until it is dropped, and reaps orphans where this is PID 1.
    pub async fn serve(self) {
        if Reaper::is_needed() {
            match Reaper::new() {
                Ok(reaper) => drop(tokio::spawn(reaper.run())),
                Err(problem) => tracing::warn!("orphaned processes stay as zombies: {problem}"),
            }
        }
        let room = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let place = Arc::clone(&self.place);
                    tokio::spawn(async move {
                        if let Err(error) = place.client(stream).await {
                            tracing::debug!("a client: {error}");
                        }
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!("no connection can be taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Place {
    async fn client(&self, mut stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?.uid();
        if !self.allowed_users.contains(&peer) {
            let message = format!(
                "user {peer} may not run anything in this container: run the agent as the same user, or start the exec \
                 server with --allow-uid {peer}"
            );
            tracing::warn!("refused: {message}");
            return send(&mut stream, &Answer::Failed { message }, &[]).await;
        }
        send(&mut stream, &Answer::Hello { protocol: PROTOCOL_VERSION }, &[]).await?;
        let asked = tokio::time::timeout(ASK_TIMEOUT, receive(&mut stream, MAX_REQUEST)).await;
        let (bytes, descriptors) =
            asked.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let request = match decode_request(&bytes) {
            Ok(request) if request.descriptors() == descriptors.len() => request,
            Ok(_) => {
                let message = "the request has not the descriptors that it speaks of".to_owned();
                return send(&mut stream, &Answer::Failed { message }, &[]).await;
            }
            Err(problem) => {
                let message = format!("the request cannot be read: {problem}");
                return send(&mut stream, &Answer::Failed { message }, &[]).await;
            }
        };
        let answer = match request {
            Request::Launch(launch) => return self.launch(&mut stream, launch, descriptors).await,
            Request::Attend {} => return self.attend(&mut stream).await,
            Request::Kill(matching) => self.kill(matching).await.map(Answer::Killed),
            Request::Find(matching) => {
                let found = Killer::new().find_matching(matching.variables).await;
                found.map(|found| Answer::Found { processes: found.len() })
            }
            Request::Finish { .. } => {
                let message = "nothing is followed on this connection".to_owned();
                return send(&mut stream, &Answer::Failed { message }, &[]).await;
            }
        };
        let answer = answer.unwrap_or_else(|error| Answer::Failed { message: error.to_string() });
        send(&mut stream, &answer, &[]).await
    }

    async fn attend(&self, stream: &mut UnixStream) -> io::Result<()> {
        self.attended.send_modify(|agents| *agents += 1);
        let _attending = Attending(&self.attended);
        send(stream, &Answer::Attending {}, &[]).await?;
        // It has nothing more to say: this is its end.
        stream.read_u8().await.map(drop)
    }

    /// Starts a process and tells of its end. A client that goes away takes nothing with it: the processes
    /// of an agent outlive it too.
    async fn launch(
        &self,
        stream: &mut UnixStream,
        mut launch: Launch,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<()> {
        let before = self.memory_state();
        let follow = launch.follow;
        let stage = launch.stage.take().filter(Stage::is_short);
        let measuring = self.meter.as_ref().map(|meter| meter.begin(stage));
        let started = match self.start(launch, descriptors).await {
            Ok(child) => child,
            Err(error) => {
                return send(stream, &Answer::Failed { message: error.to_string() }, &[]).await;
            }
        };
        send(stream, &Answer::Started { pid: started.pid() }, &[]).await?;
        let status = started.wait().await;
        let outcome = status.into();
        if !follow {
            let report = self.report(status.code() != 0, before, measuring);
            return send(stream, &Answer::Ended(Ended { outcome, report }), &[]).await;
        }
        let report = Report::default();
        send(stream, &Answer::Ended(Ended { outcome, report }), &[]).await?;
        let (bytes, _) = receive(stream, MAX_FINISH).await?;
        let answer = match decode_request(&bytes) {
            Ok(Request::Finish { failed }) => {
                Answer::Finished(self.report(failed, before, measuring))
            }
            _ => Answer::Failed { message: "what is followed can be finished alone".to_owned() },
        };
        send(stream, &answer, &[]).await
    }

    fn report(&self, failed: bool, before: MemoryState, measuring: Option<Measuring>) -> Report {
        let notes = self.notes(failed, before, self.memory_state());
        Report { notes, usage: measuring.and_then(Measuring::end) }
    }

    async fn start(
        &self,
        launch: Launch,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Child, ProcessError> {
        let mut environment = self.environment.clone();
        environment.override_expanding_all(&Environment::from_overrides(&launch.overrides)?)?;
        let arguments = launch
            .arguments
            .iter()
            .map(|argument| environment.expand(argument))
            .collect::<Result<Vec<_>, _>>()?;
        environment.insert("HUDSON_COOKIE", launch.cookie);
        let mut ends = descriptors.into_iter();
        let stdin = if launch.stdin { ends.next() } else { None };
        let stdout = ends.next();
        let stderr = match launch.stderr {
            ErrorStream::Apart => ends.next(),
            ErrorStream::Output => {
                let shared = stdout.as_ref().map(OwnedFd::try_clone).transpose();
                shared.map_err(ProcessError::Pipe)?
            }
        };
        let mut command = Command::new(arguments, self.search_path.clone())
            .environment(environment)
            .stdin(InputSource::Piped)
            .stdout(OutputTarget::Piped)
            .stderr(ErrorTarget::Piped);
        if let Some(directory) = &launch.directory {
            command = command.directory(directory);
        }
        command.start_with(StreamEnds { stdin, stdout, stderr }).await
    }

    /// Looks again after each round, as the agent does: a shell whose child was ended may start the next
    /// one before it is ended itself.
    async fn kill(&self, matching: Matching) -> Result<Killed, ProcessError> {
        let mut all = Killed::default();
        for _ in 0..KILL_ROUNDS {
            let report = Killer::new().kill_matching(matching.variables.clone()).await?;
            all.signalled += report.signalled.len();
            all.survivors = report.survivors.len();
            if report.signalled.len() == report.survivors.len() {
                break;
            }
        }
        Ok(all)
    }

    fn memory_state(&self) -> MemoryState {
        self.memory.as_ref().map(MemoryGroup::state).unwrap_or_default()
    }

    /// What the log of a failed build is told: that the kernel ended a process of the container meanwhile.
    fn notes(&self, failed: bool, before: MemoryState, after: MemoryState) -> Vec<String> {
        let kills = |state: MemoryState| state.oom_kills.unwrap_or(0);
        let more = kills(after).saturating_sub(kills(before));
        if !failed || more == 0 {
            return Vec::new();
        }
        let size = |bytes: Option<u64>| {
            bytes.map_or("unknown".to_owned(), |bytes| format!("{} MiB", bytes >> 20))
        };
        vec![format!(
            "[pilotfish] The kernel ended {more} process(es) of this container for memory while this step ran: its \
             limit is {}, the most that it used {}. Give the container more memory, or the build less to do at once.",
            size(after.limit),
            size(after.peak)
        )]
    }
}

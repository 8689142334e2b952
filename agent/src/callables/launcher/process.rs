//! A running process and its streams, as the controller holds it (`Launcher$RemoteProcess`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Class, Datum, Field, Object, jdk};
use jenkins_remoting::channel::{
    Call, Channel, ExportedObject, Invocation, IoScope, PipeReader, RemoteInput, RemoteOutput,
    Reply, Throwable,
};
use jenkins_remoting::{input_datum, output_datum};
use pilotfish_exec::Container;
use pilotfish_process::{
    Child, ExitStatus, ExitWatch, InputWriter, Killer, OutputPump, OutputReader, OutputSink,
    PumpEnd,
};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

use super::super::listener::Listener;
use super::ending::Ending;

/// The interfaces of the proxy that a launch answers with.
pub(super) static REMOTE_PROCESS: [&str; 2] =
    ["hudson.Launcher$RemoteProcess", "hudson.remoting.IReadResolve"];

static IO_TRIPLET: Class = Class::new("hudson.Launcher$IOTriplet", 1).fields(&[
    Field::reference("stderr", "Ljava/io/InputStream;"),
    Field::reference("stdin", "Ljava/io/OutputStream;"),
    Field::reference("stdout", "Ljava/io/InputStream;"),
]);

/// How long output is waited for once a process has ended: as good as not at all, what is in the pipe
/// is passed on. So does a JDK on Unix, which takes what is there and closes the pipe
/// (`ProcessImpl$ProcessPipeInputStream.processExited`): a build that leaves a background process
/// with its output open ends at once, and Jenkins' own message about leaked descriptors never comes.
/// The moment is for the event that tells of the last output to be seen.
const GRACE: Duration = Duration::from_millis(100);

/// How much output is read ahead of a controller that pulls it.
const READ_AHEAD_BYTES: usize = 64 << 10;

/// Where the standard input comes from.
pub(super) enum Input {
    /// A stream of the controller.
    Stream(RemoteInput),
    /// A stream of ours that the controller writes to.
    Reversed,
}

/// Where an output stream goes.
pub(super) enum Output {
    /// The build's log.
    Listener(Listener),
    /// A stream of the controller.
    Stream(RemoteOutput),
    /// A stream of ours that the controller reads from.
    Reversed,
}

/// The exported process.
pub(super) struct Process {
    child: Arc<Child>,
    /// Where it runs, if not beside the agent.
    container: Option<Container>,
    cookie: String,
    /// True once the process has ended and its output has been passed on.
    finished: watch::Receiver<bool>,
    scope: IoScope,
    reversed: Mutex<Reversed>,
}

/// The streams that the controller asks for once, right after the launch.
#[derive(Default)]
struct Reversed {
    stdin: Option<InputWriter>,
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
}

impl Process {
    /// Takes over a process that was started: passes its streams on until it has ended.
    pub(super) fn run(
        mut child: Child,
        cookie: String,
        stdin: Option<Input>,
        stdout: Output,
        stderr: Option<Output>,
        scope: IoScope,
        (ending, container): (Ending, Option<Container>),
    ) -> Self {
        let exit = child.exit_watch();
        let mut reversed = Reversed::default();
        match (child.stdin.take(), stdin) {
            (Some(writer), Some(Input::Stream(input))) => {
                tokio::spawn(feed(input, writer, exit.clone()));
            }
            (Some(writer), Some(Input::Reversed)) => reversed.stdin = Some(writer),
            _ => {}
        }
        let out = child.stdout.take().map(|reader| pass_on(reader, stdout, exit.clone()));
        let err = child
            .stderr
            .take()
            .zip(stderr)
            .map(|(reader, output)| pass_on(reader, output, exit.clone()));
        let mut pumps = Vec::new();
        for (stream, slot) in [(out, &mut reversed.stdout), (err, &mut reversed.stderr)] {
            match stream {
                Some(Passing::Pump(pump)) => pumps.push(pump),
                Some(Passing::Reversed(stream)) => *slot = Some(stream),
                None => {}
            }
        }
        let (done, finished) = watch::channel(false);
        tokio::spawn(async move {
            let status = exit.wait().await;
            let mut lines = ending(status).await;
            for pump in pumps {
                // The first stream is that of the build's log.
                finish(pump, std::mem::take(&mut lines)).await;
            }
            done.send_replace(true);
        });
        let reversed = Mutex::new(reversed);
        Self { child: Arc::new(child), container, cookie, finished, scope, reversed }
    }

    async fn join(&self, call: &Call) -> Reply {
        let mut finished = self.finished.clone();
        let ended = async move { finished.wait_for(|finished| *finished).await.is_ok() };
        let ended = tokio::select! {
            ended = ended => Some(ended),
            () = call.cancellation().cancelled() => None,
        };
        match ended {
            Some(true) => {}
            Some(false) => return Reply::throw(Throwable::io("the agent is shutting down")),
            None => {
                self.destroy().await;
                return Reply::throw(Throwable::interrupted());
            }
        }
        call.scope().include(&self.scope);
        match self.child.wait().await {
            ExitStatus::Lost => {
                Reply::throw(Throwable::io("the exit status of the process was lost"))
            }
            status => Reply::value(jdk::integer(status.code())),
        }
    }

    /// Ends the process, its descendants, and whatever else came out of this launch.
    async fn destroy(&self) {
        if let Some(container) = &self.container {
            let cookie = ("HUDSON_COOKIE".to_owned(), self.cookie.clone());
            if let Err(error) = container.kill(vec![cookie]).await {
                tracing::warn!("a process could not be ended: {error}");
            }
            return;
        }
        let killer = Killer::new();
        let tree = killer.kill_tree(self.child.identity()).await;
        let strays = killer.kill_matching([("HUDSON_COOKIE", self.cookie.as_str())]).await;
        if let Err(error) = tree.and(strays) {
            tracing::warn!(%error, "a process could not be ended");
        }
    }

    fn io_triplet(&self, channel: &Channel) -> Object {
        let reversed =
            std::mem::take(&mut *self.reversed.lock().unwrap_or_else(PoisonError::into_inner));
        let source = |stream: Option<DuplexStream>| -> Datum {
            stream.map_or(Datum::Null, |stream| input_datum(channel.export_source(stream)))
        };
        let stdin = reversed.stdin.map_or(Datum::Null, |writer| {
            let (oid, reader) = channel.export_detached_sink();
            tokio::spawn(feed_from_sink(reader, writer));
            output_datum(oid)
        });
        Object::new(&IO_TRIPLET)
            .with("stdin", stdin)
            .with("stdout", source(reversed.stdout))
            .with("stderr", source(reversed.stderr))
    }
}

impl ExportedObject for Process {
    fn invoke<'a>(&'a self, call: &'a Call, invocation: Invocation<'a>) -> BoxFuture<'a, Reply> {
        async move {
            match invocation.method.as_str() {
                "join" => self.join(call).await,
                "isAlive" => Reply::value(jdk::boolean(self.child.is_alive())),
                "kill" => {
                    self.destroy().await;
                    Reply::null()
                }
                "getIOtriplet" => Reply::value(self.io_triplet(call.channel())),
                other => Reply::throw(Throwable::io(format!(
                    "a process on this agent has no method {other}"
                ))),
            }
        }
        .boxed()
    }
}

enum Passing {
    Pump(OutputPump<Output>),
    Reversed(DuplexStream),
}

/// Begins to pass an output stream on.
fn pass_on(mut reader: OutputReader, output: Output, exit: ExitWatch) -> Passing {
    if !matches!(output, Output::Reversed) {
        return Passing::Pump(OutputPump::with_grace(reader, output, exit, GRACE));
    }
    // Read ahead, so that the pipe is closed when its writers are, whether anyone asks or not: a
    // controller that is told nothing of the end would otherwise keep two descriptors for each step.
    let (ours, mut theirs) = tokio::io::duplex(READ_AHEAD_BYTES);
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut reader, &mut theirs).await;
    });
    Passing::Reversed(ours)
}

impl OutputSink for Output {
    async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = match self {
            Self::Listener(listener) => listener.write(bytes).await,
            Self::Stream(stream) => stream.write(Bytes::copy_from_slice(bytes)).await,
            Self::Reversed => Ok(()),
        };
        written.map_err(std::io::Error::other)
    }
}

/// Waits until all output of a stream has been passed on, and ends it at the controller.
/// First it gets these lines.
async fn finish(mut pump: OutputPump<Output>, lines: Vec<String>) {
    let Some(mut outcome) = pump.finish().await else { return };
    for line in lines {
        let _ = outcome.sink.write(format!("{line}\n").as_bytes()).await;
    }
    match outcome.end {
        PumpEnd::SinkFailed(error) => {
            tracing::debug!(%error, "the controller takes no more output of a process");
        }
        PumpEnd::ReadFailed(error) => {
            tracing::warn!(%error, "the output of a process cannot be read");
        }
        PumpEnd::EndOfStream | PumpEnd::LeakedDescriptors => {}
    }
    match outcome.sink {
        Output::Listener(mut listener) => drop(listener.finish().await),
        Output::Stream(stream) => {
            let _ = stream.flush().await;
            stream.release().await;
        }
        Output::Reversed => {}
    }
}

/// Passes a stream of the controller to the standard input until either ends.
async fn feed(mut input: RemoteInput, mut writer: InputWriter, exit: ExitWatch) {
    loop {
        let next = tokio::select! {
            next = input.next() => next,
            _ = exit.wait() => return,
        };
        match next {
            Ok(Some(bytes)) if writer.write_all(&bytes).await.is_ok() => {}
            _ => return,
        }
    }
}

async fn feed_from_sink(mut reader: PipeReader, mut writer: InputWriter) {
    while let Ok(Some(bytes)) = reader.next().await {
        if writer.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

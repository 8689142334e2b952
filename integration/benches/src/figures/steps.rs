//! What a controller asks for: after connecting, and for a `sh` step.

use std::path::Path;
use std::time::Duration;

use java_object_stream::Node;
use jenkins_remoting::{InputReference, input_of, proxy_of};

use crate::controller::script::{self, Request, Wording};
use crate::controller::session::{Session, parse};
use crate::controller::wire;
use crate::error::Failed;
use crate::setup::Setup;

/// The recorded step's directory and cookie, of which each step has its own.
const RECORDED_STEP: &str = "durable-4ee2bd98";
const RECORDED_COOKIE: &str = "5201b4b8-ee4e-4ce7-a78e-f50b08f14805";

/// How often a controller looks at a step at first.
const POLL: Duration = Duration::from_millis(20);

/// More looks than any of these steps needs.
const MAX_POLLS: u32 = 1500;

/// The requests that a controller sends once an agent has connected, node monitors included.
pub struct Greeting(Vec<(i32, Vec<u8>)>);

impl Greeting {
    /// With paths in `root`.
    pub fn new(setup: &Setup, root: &Path) -> Result<Self, Failed> {
        let wording = Wording::rooted(root);
        let requests = script::requests(&setup.recording("03-sh")?, None, "build p-sh")?;
        let commands =
            requests.iter().map(|request| Ok((request.id, request.command(request.id, &wording)?)));
        Ok(Self(commands.collect::<Result<_, Failed>>()?))
    }

    /// Sends them one after the other.
    pub async fn play(&self, session: &mut Session) -> Result<(), Failed> {
        for (id, command) in &self.0 {
            session.call(*id, command).await?;
        }
        Ok(())
    }
}

/// A recorded `sh` step.
pub struct Step {
    requests: Vec<Request>,
    root: std::path::PathBuf,
}

impl Step {
    /// With paths in `root`.
    pub fn new(setup: &Setup, root: &Path) -> Result<Self, Failed> {
        let requests =
            script::requests(&setup.recording("03-sh")?, Some("build p-sh"), "built p-sh")?;
        Ok(Self { requests, root: root.to_owned() })
    }

    /// Runs it as the `number`th: all its requests in order, until the script has ended.
    pub async fn run(&self, session: &mut Session, number: u32) -> Result<(), Failed> {
        let wording = Wording::rooted(&self.root)
            .with(RECORDED_STEP, &format!("durable-{number:08x}"))
            .with(RECORDED_COOKIE, &format!("5201b4b8-ee4e-4ce7-a78e-{number:012x}"));
        let mut id = 0x10_0000 + i32::try_from(number).unwrap_or(0) * 0x1_0000;
        let mut calls = Calls { session, wording: &wording, id: &mut id };
        let (mut process, mut streams) = (None, Vec::new());
        let (mut position, mut ended) = (0, false);
        for request in &self.requests {
            match request.callable.rsplit('$').next().unwrap_or_default() {
                "RemoteLaunchCallable" => {
                    let answer = calls.call(request, None).await?;
                    process = proxy_of(parse(&answer)?.root()?).map(|proxy| proxy.oid);
                    if process.is_none() {
                        return Err(Failed::Agent("a launch without a process".to_owned()));
                    }
                }
                "rpc:getIOtriplet" => {
                    let oid = process.ok_or_else(|| Failed::Agent("no process".to_owned()))?;
                    let wording = wording.clone().with_object(recorded_process(request)?, oid)?;
                    let mut calls =
                        Calls { session: calls.session, wording: &wording, id: calls.id };
                    let answer = calls.call(request, None).await?;
                    let graph = parse(&answer)?;
                    for field in ["stdout", "stderr"] {
                        streams.extend(stream_of(graph.root()?.field(field)?));
                    }
                }
                "WriteLog" => position += calls.log(request, position).await?,
                "StatusCheck" if !ended => {
                    calls.until_ended(request).await?;
                    ended = true;
                }
                _ => {
                    calls.call(request, None).await?;
                }
            }
        }
        for stream in streams {
            calls.session.post(&wire::input_eof(stream)?).await?;
        }
        if let Some(process) = process {
            calls.session.post(&wire::unexport(process)?).await?;
        }
        if position == 0 {
            return Err(Failed::Agent("a step without a log".to_owned()));
        }
        Ok(())
    }
}

/// The process that the recorded request goes to.
fn recorded_process(request: &Request) -> Result<i32, Failed> {
    request.target.ok_or_else(|| Failed::Missing(format!("{} goes to no object", request.callable)))
}

fn stream_of(node: Node<'_>) -> Option<i32> {
    match input_of(node) {
        Ok(InputReference::Pull(oid)) => Some(oid),
        _ => None,
    }
}

struct Calls<'s> {
    session: &'s mut Session,
    wording: &'s Wording,
    id: &'s mut i32,
}

impl Calls<'_> {
    async fn call(
        &mut self,
        request: &Request,
        position: Option<i64>,
    ) -> Result<bytes::Bytes, Failed> {
        *self.id += 1;
        let command = request.command_at(*self.id, self.wording, position)?;
        Ok(self.session.call(*self.id, &command).await?.stream)
    }

    /// Fetches the log from a position on and returns how much there was.
    async fn log(&mut self, request: &Request, position: i64) -> Result<i64, Failed> {
        *self.id += 1;
        let command = request.command_at(*self.id, self.wording, Some(position))?;
        let bytes = self.session.call(*self.id, &command).await?.bytes;
        Ok(i64::try_from(bytes).unwrap_or(0))
    }

    async fn until_ended(&mut self, request: &Request) -> Result<(), Failed> {
        for _ in 0..MAX_POLLS {
            let answer = self.call(request, None).await?;
            if !parse(&answer)?.root()?.is_null() {
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Err(Failed::Agent("a step that does not end".to_owned()))
    }
}

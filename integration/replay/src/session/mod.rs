//! Plays one recording against a connected agent: sends what the controller had sent, at its pace and
//! after what it had waited for, and judges what comes back.

mod judge;

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::compare::{self, Random};
use crate::error::ReplayError;
use crate::facts::{Facts, Span};
use crate::ledger::Ledger;
use crate::mapping::{self, Mapping};
use crate::plan::{self, Omitted, Plan, Step};
use crate::recording::Recording;
use crate::report::Report;
use crate::server::{Incoming, Link};
use crate::wire::{Command, Data, UserRequest};

/// When the controller's commands are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// No earlier than recorded, and no earlier after an answer than recorded.
    Recorded,
    /// As soon as what they wait for has come: for the replayer's tests on itself.
    Immediate,
}

/// How to play.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The pace.
    pub pace: Pace,
    /// For how long an answer is waited for beyond the recorded time.
    pub patience: Duration,
    /// For how long what need not be answered at once is waited for at the end.
    pub grace: Duration,
    /// Whether sinks of logs must be released. The recorded agent leaves that to its garbage collector.
    pub releases: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pace: Pace::Recorded,
            patience: Duration::from_secs(45),
            grace: Duration::from_secs(8),
            releases: true,
        }
    }
}

/// The window of a stream (`Channel.PIPE_WINDOW_SIZE`), in bytes.
const WINDOW: i64 = 1 << 20;

/// The first id for requests of the replayer's own.
const OWN_IDS: i32 = 0x2000_0000;

/// The pause between the replayer's own questions for a status.
const ASK_AGAIN: Duration = Duration::from_millis(250);

struct Arrived {
    bytes: Vec<u8>,
    at: Instant,
    time: i64,
}

struct Sent {
    at: Instant,
    time: i64,
}

/// A session that is being played.
pub struct Session<'s> {
    link: Link,
    recording: &'s Recording,
    plan: &'s Plan,
    facts: &'s dyn Facts,
    settings: Settings,
    report: Report,
    mapping: Mapping,
    random: Random,
    ledger: Ledger,
    sent: HashMap<i32, Sent>,
    answers: HashMap<i32, Arrived>,
    connects: HashMap<i32, i32>,
    calls: Vec<(i32, String)>,
    used_requests: Vec<bool>,
    started: Instant,
    started_time: i64,
    reference: (Instant, f64),
    now_recorded: f64,
    pings: usize,
    pongs: usize,
    closed: bool,
    final_status: HashMap<String, i32>,
    own_id: i32,
    judged_groups: Vec<bool>,
}

impl<'s> Session<'s> {
    /// A session on a connection that was just opened.
    #[must_use]
    pub fn new(
        link: Link,
        recording: &'s Recording,
        plan: &'s Plan,
        facts: &'s dyn Facts,
        settings: Settings,
        secrets: &[String],
    ) -> Self {
        let started = Instant::now();
        let random = plan.tasks.iter().any(|task| task.script.contains("/dev/urandom"));
        Self {
            link,
            recording,
            plan,
            facts,
            settings,
            report: Report { name: recording.name.clone(), ..Report::default() },
            mapping: Mapping::default(),
            random: Random { expected: random, ..Random::default() },
            ledger: Ledger::new(plan, secrets, settings.releases),
            sent: HashMap::new(),
            answers: HashMap::new(),
            connects: HashMap::new(),
            calls: Vec::new(),
            used_requests: vec![false; plan.agent_requests.len()],
            started,
            started_time: facts.now(0.0),
            reference: (started, 0.0),
            now_recorded: 0.0,
            pings: 0,
            pongs: 0,
            closed: false,
            final_status: HashMap::new(),
            own_id: OWN_IDS,
            judged_groups: vec![false; plan.groups.len()],
        }
    }

    /// Plays to the end. What is wrong stands in the report; an error is only what keeps the
    /// recording from being played on, and is put there too.
    pub async fn play(mut self) -> Report {
        if let Err(error) = self.run().await {
            self.report.fail(None, error.to_string());
        }
        for failure in self.ledger.take_failures() {
            self.report.fail(None, failure);
        }
        self.report.took = self.started.elapsed();
        self.report
    }

    async fn run(&mut self) -> Result<(), ReplayError> {
        self.check_upgrade();
        for index in 0..self.plan.steps.len() {
            self.now_recorded = self.recording.entries.get(index).map_or(0.0, |entry| entry.at);
            let step = self.plan.steps.get(index).cloned().unwrap_or(Step::Pass);
            self.step(index, step).await?;
        }
        self.settle().await?;
        self.judge_rest();
        Ok(())
    }

    /// Compares the headers of the upgrade that mean something to the controller.
    fn check_upgrade(&mut self) {
        if !self.link.probed {
            self.report.fail(None, "the agent did not ask for /login before the upgrade");
        }
        for name in ["Node-Name", "X-Remoting-Capability", "Sec-WebSocket-Version"] {
            let (wanted, got) = (self.recording.request_header(name), self.link.header(name));
            if wanted != got {
                let title = format!("upgrade request, {name}: expected {wanted:?}, got {got:?}");
                self.report.fail(None, title);
            }
        }
    }

    async fn step(&mut self, index: usize, step: Step) -> Result<(), ReplayError> {
        let number = plan::number(self.recording, index);
        match step {
            Step::Send => {
                self.wait_until(self.due()).await?;
                if matches!(self.plan.commands.get(&index), Some(Command::Close)) {
                    self.settle().await?;
                }
                self.send(index).await?;
            }
            Step::Ping => {
                self.wait_until(self.due()).await?;
                self.link.ping().await?;
                self.pings += 1;
            }
            Step::CloseSocket => {
                self.link.close().await?;
                self.wait_closed().await?;
            }
            Step::Answer { request } => {
                self.wait_for(number, format!("the answer to request {request}"), |this| {
                    this.answers.contains_key(&request)
                })
                .await?;
                self.judge_answer(index, request).await?;
                self.reference = (Instant::now(), self.now_recorded);
            }
            Step::Refusal { request } => {
                self.wait_for(number, format!("the refusal of request {request}"), |this| {
                    this.answers.contains_key(&request)
                })
                .await?;
                self.judge_refusal(index, request);
                self.reference = (Instant::now(), self.now_recorded);
            }
            Step::Connect { writer, sink } => {
                self.wait_for(number, format!("the connection of pipe {writer}"), |this| {
                    this.connects.contains_key(&writer)
                })
                .await?;
                if let Some(actual) = self.connects.get(&writer)
                    && let Err(problem) = self.mapping.bind(sink, *actual)
                {
                    self.report.fail(number, problem);
                }
                self.report.compared(number, "connection of a pipe", Vec::new(), None);
                self.reference = (Instant::now(), self.now_recorded);
            }
            Step::Call { target, callable } => {
                let key = (target, callable);
                self.wait_for(number, format!("the call {} of object {target}", key.1), |this| {
                    this.calls.contains(&key)
                })
                .await?;
                self.reference = (Instant::now(), self.now_recorded);
            }
            Step::Omit(reason) => self.omitted(reason),
            Step::Pass => {}
        }
        Ok(())
    }

    fn omitted(&mut self, reason: Omitted) {
        *self.report.omitted.entry(format!("{reason:?}")).or_default() += 1;
    }

    /// When the entry may be sent: no earlier than recorded since the upgrade, nor since the last
    /// answer that the controller had waited for.
    fn due(&self) -> Instant {
        if self.settings.pace == Pace::Immediate {
            return Instant::now();
        }
        let (reference, recorded) = self.reference;
        let after_start = self.started + seconds(self.now_recorded);
        after_start.max(reference + seconds(self.now_recorded - recorded))
    }

    async fn wait_until(&mut self, due: Instant) -> Result<(), ReplayError> {
        while Instant::now() < due {
            self.pump(due).await?;
        }
        Ok(())
    }

    async fn wait_for(
        &mut self,
        number: Option<u32>,
        what: String,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), ReplayError> {
        let recorded =
            if self.settings.pace == Pace::Recorded { self.due() } else { Instant::now() };
        let deadline = recorded.max(Instant::now()) + self.settings.patience;
        while !done(self) {
            if self.closed {
                return Err(ReplayError::Session(format!(
                    "command {number:?}: the agent closed the connection before {what}"
                )));
            }
            if Instant::now() >= deadline {
                let patience = self.settings.patience.as_secs_f32();
                return Err(ReplayError::Session(format!(
                    "command {number:?}: {what} did not come within {patience} s"
                )));
            }
            self.pump(deadline).await?;
        }
        Ok(())
    }

    async fn wait_closed(&mut self) -> Result<(), ReplayError> {
        let deadline = Instant::now() + self.settings.patience;
        while !self.closed && Instant::now() < deadline {
            self.pump(deadline).await?;
        }
        if !self.closed {
            self.report
                .fail(None, "the agent kept the connection after the controller had closed it");
        }
        Ok(())
    }

    /// Takes what the agent sends, until something came or the time is up.
    async fn pump(&mut self, until: Instant) -> Result<(), ReplayError> {
        if self.closed {
            tokio::time::sleep_until(until).await;
            return Ok(());
        }
        let incoming = match tokio::time::timeout_at(until, self.link.receive()).await {
            Ok(incoming) => incoming?,
            Err(_) => return Ok(()),
        };
        match incoming {
            Incoming::Commands(commands) => {
                for command in commands {
                    self.take(command).await?;
                }
            }
            Incoming::Pong => self.pongs += 1,
            Incoming::Closed => self.closed = true,
        }
        Ok(())
    }

    /// Takes one command of the agent.
    async fn take(&mut self, bytes: Vec<u8>) -> Result<(), ReplayError> {
        let command = crate::wire::decode(&bytes)?;
        self.ledger.secrets_in_command(&command, &bytes);
        match command {
            Command::Response { id, last_io } => {
                if !self.sent.contains_key(&id) {
                    self.report
                        .fail(None, format!("an answer to request {id}, which was never sent"));
                } else if self.answers.contains_key(&id) {
                    self.report.fail(None, format!("a second answer to request {id}"));
                }
                self.ledger.answered(id, last_io, self.plan);
                let time = self.facts.now(self.now_recorded);
                self.answers.insert(id, Arrived { bytes, at: Instant::now(), time });
            }
            Command::Data { oid, io, data } => {
                let length = match &data {
                    Data::Chunk(bytes) => i32::try_from(bytes.len()).ok(),
                    _ => None,
                };
                let ended = matches!(data, Data::End { .. });
                self.ledger.data(oid, io, data);
                if let Some(length) = length {
                    self.link.send(&crate::replies::ack(oid, length)?).await?;
                }
                if ended {
                    self.judge_end(oid, &bytes);
                }
            }
            Command::Ack { oid, size } => self.ledger.acknowledged(oid, size),
            Command::Unexport { oid } => self.ledger.released(oid),
            Command::Connect { sink, writer } => {
                self.connects.insert(writer, sink);
            }
            Command::UserRequest(request) => self.agent_request(&request, &bytes).await?,
            Command::Close => {
                let expected =
                    self.plan.commands.values().any(|command| matches!(command, Command::Close));
                if !expected {
                    self.report.fail(None, "the agent closed the channel");
                }
            }
            Command::LoaderCall { id, oid, method } => self.class_lookup(id, oid, &method).await?,
            Command::DeadWriter => {
                self.report.fail(None, "the agent says that a stream of the controller is dead")
            }
            other => {
                self.report.fail(None, format!("a command that no recorded agent sends: {other:?}"))
            }
        }
        Ok(())
    }

    /// Look-ups of classes were taken out of the recordings with their answers, so there is none to
    /// give: an agent that asks must get by with that. Files of a JVM's class path it may not ask for.
    async fn class_lookup(&mut self, id: i32, oid: i32, method: &str) -> Result<(), ReplayError> {
        if !self.ledger.loaders().contains(&oid)
            || !method.starts_with("fetch")
            || method == "fetchJar"
        {
            self.report.fail(
                None,
                format!("the call {method} of object {oid}, which is no class look-up"),
            );
        }
        self.link.send(&crate::replies::class_not_found(id)?).await
    }

    /// Answers a request of the agent as the controller had answered the same.
    async fn agent_request(
        &mut self,
        request: &UserRequest,
        bytes: &[u8],
    ) -> Result<(), ReplayError> {
        let same = |index: &usize| {
            self.plan.agent_requests.get(*index).is_some_and(|known| {
                known.call.callable == request.callable && known.call.target == request.target
            })
        };
        let all = 0..self.plan.agent_requests.len();
        let unused =
            all.clone().filter(same).find(|index| self.used_requests.get(*index) == Some(&false));
        // Pings and the like may come more often than recorded; calls of objects may not.
        let found = unused.or_else(|| all.filter(same).find(|_| request.target.is_none()));
        let Some((index, known)) =
            found.and_then(|index| Some((index, self.plan.agent_requests.get(index)?)))
        else {
            self.report.fail(
                None,
                format!(
                    "an unexpected request of the agent: {} ({:?})",
                    request.callable, request.target
                ),
            );
            return Ok(());
        };
        if let Some(used) = self.used_requests.get_mut(index) {
            *used = true;
        }
        self.calls.extend(request.target.map(|target| (target, request.callable.clone())));
        let number = plan::number(self.recording, known.sent);
        let expected = plan::bytes(self.recording, known.sent);
        let span = self.span_of(None);
        let differences = self.with_context(&request.callable, &[], span, |context| {
            compare::call(context, expected, bytes)
        });
        let title = format!("request of the agent: {}", request.callable);
        self.report.compared(number, &title, differences, Some((expected, bytes)));
        if let Some(answer) = known.answered {
            let answer = mapping::with_int(plan::bytes(self.recording, answer), "id", request.id)?;
            self.link.send(&answer).await?;
        }
        Ok(())
    }

    /// Sends a recorded command in this run's terms.
    async fn send(&mut self, index: usize) -> Result<(), ReplayError> {
        let recorded = plan::bytes(self.recording, index).to_vec();
        let command = self.plan.commands.get(&index).cloned().unwrap_or(Command::Close);
        let mut position = None;
        let mut bytes = recorded;
        match &command {
            Command::UserRequest(request) => {
                position = self.ledger.log_position(request);
                self.ledger.handed_over(request);
            }
            Command::Data { oid, data: Data::Chunk(content), .. } => {
                let actual = self.mapping.oid(*oid).unwrap_or_default();
                let content = match self.plan.echoes.get(&index) {
                    Some(echo) => {
                        let part = self.ledger.part(*echo);
                        bytes = mapping::with_buffer(&bytes, part.clone())?;
                        part
                    }
                    None => content.clone(),
                };
                self.window(index, actual, content.len()).await?;
            }
            _ => {}
        }
        let bytes = self.mapping.controller_command(&bytes, position)?;
        if let Command::UserRequest(request) = &command {
            let now = Sent { at: Instant::now(), time: self.facts.now(self.now_recorded) };
            self.sent.insert(request.id, now);
        }
        self.report.sent += 1;
        self.link.send(&bytes).await
    }

    /// Waits until the window of an agent's stream takes the bytes.
    async fn window(&mut self, index: usize, oid: i32, length: usize) -> Result<(), ReplayError> {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        let number = plan::number(self.recording, index);
        let room = |this: &Self| {
            this.ledger.in_flight(oid) + length <= WINDOW || this.ledger.in_flight(oid) == 0
        };
        if !room(self) {
            self.wait_for(number, format!("acknowledgements of stream {oid}"), room).await?;
        }
        self.ledger.sent_data(oid, length);
        Ok(())
    }

    fn span_of(&self, request: Option<i32>) -> Span {
        let now = self.facts.now(self.now_recorded);
        let sent =
            request.and_then(|id| self.sent.get(&id)).map_or(self.started_time, |sent| sent.time);
        let answered =
            request.and_then(|id| self.answers.get(&id)).map_or(now, |answer| answer.time);
        Span { from: sent, to: answered.max(sent) }
    }

    fn with_context<R>(
        &mut self,
        callable: &str,
        request: &[u8],
        span: Span,
        compare: impl FnOnce(&mut compare::Context<'_>) -> R,
    ) -> R {
        let session = Span { from: self.started_time, to: self.facts.now(self.now_recorded) };
        let mut context = compare::Context {
            mapping: &mut self.mapping,
            facts: self.facts,
            span,
            session,
            callable,
            request,
            recording: self.recording,
            loaders: self.ledger.loaders(),
            random: &mut self.random,
        };
        compare(&mut context)
    }

    /// Waits for what the recorded controller had not waited for.
    async fn settle(&mut self) -> Result<(), ReplayError> {
        let deadline = Instant::now() + self.settings.grace;
        while !self.closed && Instant::now() < deadline && !self.is_complete() {
            self.pump(deadline).await?;
        }
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.open_requests().is_empty()
            && self.pongs >= self.pings
            && self.ledger.is_complete(self.plan)
            && self.missing_agent_requests().is_empty()
    }

    fn open_requests(&self) -> Vec<i32> {
        self.sent.keys().copied().filter(|id| !self.answers.contains_key(id)).collect()
    }

    /// What every agent must ask for by itself: the ping that `SetUpRemotePing` sets up.
    fn missing_agent_requests(&self) -> Vec<&'static str> {
        const PING: &str = "hudson.remoting.PingThread$Ping";
        let mut requests = self
            .plan
            .agent_requests
            .iter()
            .zip(&self.used_requests)
            .filter(|(known, _)| known.call.callable == PING);
        let recorded = requests.clone().next().is_some();
        if recorded && !requests.any(|(_, used)| *used) { vec![PING] } else { Vec::new() }
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

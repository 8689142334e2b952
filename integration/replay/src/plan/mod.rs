//! What is done with each entry of a recording: sent, awaited, compared, or left out with a reason.

mod streams;

use std::collections::{HashMap, HashSet};

use crate::error::ReplayError;
use crate::needs_jvm::{Loses, NeedsJvm};
use crate::recording::{Party, Recording, What};
use crate::wire::{self, Command, Data, Names, UserRequest};

/// Why a recorded command has no counterpart in the replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Omitted {
    /// The recorded agent exported a class loader of its own; a native agent has none, so the
    /// controller neither asks for its name nor releases it.
    AgentClassLoader,
    /// It names an object of an answer that only a JVM can give, or works on what that answer fills.
    DependsOnRefused,
    /// The replayer acknowledges and answers what this agent really sends.
    Reactive,
}

/// What is done at one entry.
#[derive(Debug, Clone)]
pub enum Step {
    /// The controller's command is sent.
    Send,
    /// The controller's WebSocket ping is sent.
    Ping,
    /// The controller closes the WebSocket.
    CloseSocket,
    /// The agent's answer to a request is awaited and compared.
    Answer {
        /// The request.
        request: i32,
    },
    /// A refusal is awaited in place of the recorded answer.
    Refusal {
        /// The request.
        request: i32,
    },
    /// The agent's connection of a pipe is awaited.
    Connect {
        /// The controller's writer.
        writer: i32,
        /// The recorded sink.
        sink: i32,
    },
    /// The agent's call of an object of the controller is awaited.
    Call {
        /// The object.
        target: i32,
        /// The callable as [`UserRequest::callable`] has it.
        callable: String,
    },
    /// Nothing: the entry is judged elsewhere, or has no meaning of its own.
    Pass,
    /// The command is left out.
    Omit(Omitted),
}

/// A stream of the agent to the controller, or several that belong together.
#[derive(Debug, Clone)]
pub struct Group {
    /// What it is called in reports.
    pub title: String,
    /// The controller's object ids.
    pub sinks: Vec<i32>,
    /// The recorded bytes of all of them.
    pub expected: Vec<u8>,
    /// The script whose output it is, as far as that is known.
    pub script: Option<String>,
}

/// A request of the controller.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it asks for.
    pub call: UserRequest,
    /// The index of its entry.
    pub sent: usize,
    /// The index of its recorded answer.
    pub answered: Option<usize>,
    /// Whether it is sent in the replay.
    pub fate: Fate,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is sent, and its answer is compared.
    Sent,
    /// It is sent, and must be refused.
    Refused,
    /// It is left out.
    Omitted,
}

/// A durable task: a script in a control directory whose log and status are asked for.
#[derive(Debug, Clone)]
pub struct Task {
    /// The control directory.
    pub directory: String,
    /// The script.
    pub script: String,
    /// The request that starts it.
    pub launch: i32,
    /// For how long it was certainly running, in seconds after the launch was asked for.
    pub runs_for: f64,
}

/// A recording, ready to be played.
#[derive(Debug, Clone)]
pub struct Plan {
    /// One step for each entry.
    pub steps: Vec<Step>,
    /// The commands, decoded, by entry.
    pub commands: HashMap<usize, Command>,
    /// The controller's requests by id.
    pub requests: HashMap<i32, Request>,
    /// The streams of the agent.
    pub groups: Vec<Group>,
    /// The durable tasks.
    pub tasks: Vec<Task>,
    /// Chunks of the controller that give the agent back what it had sent: the chunk's entry, and
    /// which part of which group it is.
    pub echoes: HashMap<usize, Echo>,
    /// The classes of the list that this recording asks for.
    pub refused: HashSet<String>,
    /// Recorded streams that end with `EOF`: the entry.
    pub ends: HashMap<i32, usize>,
    /// Streams on which the recorded agent wrote after the answer to their request.
    pub late_sinks: HashSet<i32>,
    /// What each recorded answer handed over, by request id.
    pub answers: HashMap<i32, Names>,
    /// The recorded requests of the agent by callable: entry of the request, entry of the answer.
    pub agent_requests: Vec<AgentRequest>,
}

/// A request of the recorded agent.
#[derive(Debug, Clone)]
pub struct AgentRequest {
    /// What it asks for.
    pub call: UserRequest,
    /// Its entry.
    pub sent: usize,
    /// The entry of the controller's answer.
    pub answered: Option<usize>,
}

/// A part of what the agent sent earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Echo {
    /// Which group.
    pub group: usize,
    /// Which part, from 0.
    pub part: usize,
    /// Of how many.
    pub parts: usize,
}

/// Makes the plan of a recording.
///
/// # Errors
/// When a command is no object stream.
pub fn make(recording: &Recording, needs_jvm: &NeedsJvm) -> Result<Plan, ReplayError> {
    let mut commands = HashMap::new();
    for (index, entry) in recording.entries.iter().enumerate() {
        if let What::Command { bytes, .. } = &entry.what {
            commands.insert(index, wire::decode(bytes)?);
        }
    }
    let facts = Introduced::read(recording, &commands)?;
    let mut planner = Planner {
        recording,
        commands: &commands,
        facts: &facts,
        needs_jvm,
        requests: HashMap::new(),
        lost: HashSet::new(),
        lost_places: Vec::new(),
        refused: HashSet::new(),
    };
    let steps = planner.steps();
    let (requests, refused) = (planner.requests, planner.refused);
    let tasks = crate::tasks::find(recording, &requests);
    let groups = streams::groups(&commands, recording, &requests, &tasks);
    let echoes = streams::echoes(&commands, recording, &groups);
    let ends = commands
        .iter()
        .filter_map(|(index, command)| match command {
            Command::Data { oid, data: Data::End { .. }, .. }
                if sender(recording, *index) == Some(Party::Agent) =>
            {
                Some((*oid, *index))
            }
            _ => None,
        })
        .collect();
    let agent_requests = agent_requests(recording, &commands);
    let late_sinks = streams::late_sinks(&commands, recording, &requests);
    Ok(Plan {
        steps,
        requests,
        groups,
        tasks,
        echoes,
        refused,
        ends,
        agent_requests,
        commands,
        late_sinks,
        answers: facts.answers,
    })
}

/// Who sent the command of an entry.
#[must_use]
pub fn sender(recording: &Recording, index: usize) -> Option<Party> {
    match &recording.entries.get(index)?.what {
        What::Command { from, .. } => Some(*from),
        _ => None,
    }
}

/// The bytes of an entry that is a command.
#[must_use]
pub fn bytes(recording: &Recording, index: usize) -> &[u8] {
    match recording.entries.get(index).map(|entry| &entry.what) {
        Some(What::Command { bytes, .. }) => bytes,
        _ => &[],
    }
}

/// The number of an entry that is a command.
#[must_use]
pub fn number(recording: &Recording, index: usize) -> Option<u32> {
    match &recording.entries.get(index)?.what {
        What::Command { number, .. } => Some(*number),
        _ => None,
    }
}

/// Which objects the recorded agent handed over, and with which answer.
struct Introduced {
    answers: HashMap<i32, Names>,
    loaders: HashSet<i32>,
}

impl Introduced {
    fn read(
        recording: &Recording,
        commands: &HashMap<usize, Command>,
    ) -> Result<Self, ReplayError> {
        let mut facts = Self { answers: HashMap::new(), loaders: HashSet::new() };
        for (index, command) in commands {
            if sender(recording, *index) != Some(Party::Agent) {
                continue;
            }
            match command {
                Command::Response { id, .. } => {
                    let outer = wire::parse(bytes(recording, *index))?;
                    if let Some(payload) = wire::answer_payload(outer.root()?) {
                        let names = wire::names(&wire::parse(payload)?);
                        facts.loaders.extend(&names.loaders);
                        facts.answers.insert(*id, names);
                    }
                }
                Command::UserRequest(request) => {
                    facts.loaders.extend(&request.names.loaders);
                    facts.loaders.extend(request.loader);
                }
                _ => {}
            }
        }
        Ok(facts)
    }
}

struct Planner<'p> {
    recording: &'p Recording,
    commands: &'p HashMap<usize, Command>,
    facts: &'p Introduced,
    needs_jvm: &'p NeedsJvm,
    requests: HashMap<i32, Request>,
    /// Objects of the agent that do not exist in the replay.
    lost: HashSet<i32>,
    lost_places: Vec<String>,
    refused: HashSet<String>,
}

impl Planner<'_> {
    fn steps(&mut self) -> Vec<Step> {
        self.recording
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| match &entry.what {
                What::Command { from: Party::Controller, .. } => self.controller(index),
                What::Command { from: Party::Agent, .. } => self.agent(index),
                What::Control { from: Party::Controller, kind, .. } if kind == "ping" => Step::Ping,
                What::Control { from: Party::Controller, kind, .. } if kind == "close" => {
                    Step::CloseSocket
                }
                What::Control { .. } => Step::Pass,
                What::Mark(mark) => {
                    if mark.starts_with("built") {
                        self.lost_places.clear();
                    }
                    Step::Pass
                }
            })
            .collect()
    }

    fn controller(&mut self, index: usize) -> Step {
        match self.commands.get(&index) {
            Some(Command::UserRequest(request)) => self.request(index, request),
            Some(Command::LoaderCall { .. }) => Step::Omit(Omitted::AgentClassLoader),
            Some(Command::Response { .. } | Command::Ack { .. } | Command::DeadWriter) => {
                Step::Omit(Omitted::Reactive)
            }
            Some(Command::Unexport { oid })
                if self.facts.loaders.contains(oid) || !self.known(*oid) =>
            {
                Step::Omit(Omitted::AgentClassLoader)
            }
            Some(
                Command::Unexport { oid }
                | Command::Data { oid, .. }
                | Command::EndOfReading { oid }
                | Command::Pull { oid },
            ) if self.lost.contains(oid) => Step::Omit(Omitted::DependsOnRefused),
            _ => Step::Send,
        }
    }

    /// Whether any answer of the recording handed this object over.
    fn known(&self, oid: i32) -> bool {
        self.facts.answers.values().any(|names| names.exports().any(|known| known == oid))
            || self
                .commands
                .values()
                .any(|command| matches!(command, Command::Connect { sink, .. } if *sink == oid))
    }

    fn request(&mut self, index: usize, request: &UserRequest) -> Step {
        let depends =
            request.target.iter().chain(&request.names.homes).any(|oid| self.lost.contains(oid));
        let loses = self.needs_jvm.loses(&request.callable);
        let inside = request
            .path
            .as_ref()
            .is_some_and(|path| self.lost_places.iter().any(|lost| is_inside(path, lost)));
        let fate = match loses {
            _ if depends => Fate::Omitted,
            Some(_) => Fate::Refused,
            None if inside => Fate::Omitted,
            None => Fate::Sent,
        };
        if fate != Fate::Sent
            && let Some(names) = self.facts.answers.get(&request.id)
        {
            self.lost.extend(names.exports());
        }
        if fate == Fate::Refused {
            self.refused.insert(request.callable.clone());
            if loses == Some(Loses::Workspace) {
                self.lost_places.extend(request.path.clone());
            }
        }
        self.requests.insert(
            request.id,
            Request { call: request.clone(), sent: index, answered: None, fate },
        );
        if fate == Fate::Omitted { Step::Omit(Omitted::DependsOnRefused) } else { Step::Send }
    }

    fn agent(&mut self, index: usize) -> Step {
        match self.commands.get(&index) {
            Some(Command::Response { id, .. }) => match self.requests.get_mut(id) {
                Some(request) => {
                    request.answered = Some(index);
                    match request.fate {
                        Fate::Sent => Step::Answer { request: *id },
                        Fate::Refused => Step::Refusal { request: *id },
                        Fate::Omitted => Step::Omit(Omitted::DependsOnRefused),
                    }
                }
                // An answer about the agent's own class loader.
                None => Step::Omit(Omitted::AgentClassLoader),
            },
            Some(Command::Connect { sink, writer }) => {
                let omitted = self.requests.values().any(|request| {
                    request.fate != Fate::Sent && request.call.names.pipes.contains(writer)
                });
                if omitted {
                    self.lost.insert(*sink);
                    return Step::Omit(Omitted::DependsOnRefused);
                }
                Step::Connect { writer: *writer, sink: *sink }
            }
            Some(Command::UserRequest(request)) => match request.target {
                Some(target) => Step::Call { target, callable: request.callable.clone() },
                None => Step::Pass,
            },
            _ => Step::Pass,
        }
    }
}

/// Whether a path is the directory, in it, or in the directory beside it that holds control files.
fn is_inside(path: &str, directory: &str) -> bool {
    match path.strip_prefix(directory) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || rest.starts_with("@tmp"),
        None => false,
    }
}

fn agent_requests(recording: &Recording, commands: &HashMap<usize, Command>) -> Vec<AgentRequest> {
    let mut requests: Vec<AgentRequest> = Vec::new();
    for index in 0..recording.entries.len() {
        match (sender(recording, index), commands.get(&index)) {
            (Some(Party::Agent), Some(Command::UserRequest(call))) => {
                requests.push(AgentRequest { call: (**call).clone(), sent: index, answered: None });
            }
            (Some(Party::Controller), Some(Command::Response { id, .. })) => {
                if let Some(request) =
                    requests.iter_mut().rev().find(|request| request.call.id == *id)
                {
                    request.answered = Some(index);
                }
            }
            _ => {}
        }
    }
    requests
}

//! Books on everything that is counted: streams and their ends, transfers, acknowledgements,
//! references to class loaders, and the secrets that must not leave the agent.

use std::collections::{HashMap, HashSet};

use crate::plan::{Echo, Plan, Request};
use crate::wire::{Command, Data, UserRequest};

/// A stream of the controller that the agent writes to.
#[derive(Debug, Default)]
struct Sink {
    group: Option<usize>,
    request: i32,
    first_io: Option<i32>,
    last_io: Option<i32>,
    ended: bool,
    dropped: bool,
    /// Why nothing may come any more.
    shut: Option<&'static str>,
}

/// The books of a session.
#[derive(Debug, Default)]
pub struct Ledger {
    sinks: HashMap<i32, Sink>,
    group_of: HashMap<i32, usize>,
    expected: Vec<Vec<u8>>,
    groups: Vec<Vec<u8>>,
    last_io: i32,
    answer_io: HashMap<i32, i32>,
    in_flight: HashMap<i32, i64>,
    given: HashMap<i32, u32>,
    released: HashMap<i32, u32>,
    loaders: HashSet<i32>,
    joins: HashMap<i32, i32>,
    secrets: Vec<Vec<u8>>,
    releases: bool,
    failures: Vec<String>,
}

impl Ledger {
    /// Empty books for a plan.
    #[must_use]
    pub fn new(plan: &Plan, secrets: &[String], releases: bool) -> Self {
        let mut group_of = HashMap::new();
        for (index, group) in plan.groups.iter().enumerate() {
            group_of.extend(group.sinks.iter().map(|sink| (*sink, index)));
        }
        // A process's `join` answers only when all of its output is sent.
        let mut joins = HashMap::new();
        for request in plan.requests.values().filter(|request| request.call.callable == "rpc:join")
        {
            let launch = plan.answers.iter().find(|(_, names)| {
                names.proxies.iter().any(|proxy| Some(*proxy) == request.call.target)
            });
            joins.extend(launch.map(|(launch, _)| (request.call.id, *launch)));
        }
        Self {
            group_of,
            expected: plan.groups.iter().map(|group| group.expected.clone()).collect(),
            groups: vec![Vec::new(); plan.groups.len()],
            joins,
            releases,
            secrets: secrets.iter().map(|secret| secret.clone().into_bytes()).collect(),
            ..Self::default()
        }
    }

    /// What was found wrong so far.
    pub fn take_failures(&mut self) -> Vec<String> {
        std::mem::take(&mut self.failures)
    }

    /// Notes what a request hands over to the agent.
    pub fn handed_over(&mut self, request: &UserRequest) {
        for sink in &request.names.sinks {
            let group = self.group_of.get(sink).copied();
            self.sinks.insert(*sink, Sink { group, request: request.id, ..Sink::default() });
        }
        for loader in request.loader.iter().chain(&request.names.loaders) {
            *self.given.entry(*loader).or_default() += 1;
            self.loaders.insert(*loader);
        }
        for proxy in &request.names.proxies {
            *self.given.entry(*proxy).or_default() += 1;
        }
    }

    /// The class loaders that were handed over.
    #[must_use]
    pub fn loaders(&self) -> &HashSet<i32> {
        &self.loaders
    }

    /// Where a request for a log must begin: behind what has come of that log.
    #[must_use]
    pub fn log_position(&self, request: &UserRequest) -> Option<i64> {
        if !request.callable.ends_with("$WriteLog") {
            return None;
        }
        let group = self.group_of.get(request.names.sinks.first()?)?;
        i64::try_from(self.groups.get(*group)?.len()).ok()
    }

    /// Everything that came of a group.
    #[must_use]
    pub fn group(&self, index: usize) -> Vec<u8> {
        self.groups.get(index).cloned().unwrap_or_default()
    }

    /// A part of what came of a group.
    #[must_use]
    pub fn part(&self, echo: Echo) -> Vec<u8> {
        let all = self.groups.get(echo.group).map(Vec::as_slice).unwrap_or_default();
        let size = all.len().div_ceil(echo.parts.max(1));
        let from = (echo.part * size).min(all.len());
        let to = if echo.part + 1 == echo.parts { all.len() } else { (from + size).min(all.len()) };
        all.get(from..to).unwrap_or_default().to_vec()
    }

    /// Notes a transfer of the agent.
    pub fn data(&mut self, oid: i32, io: i32, data: Data) {
        if io <= self.last_io {
            self.failures
                .push(format!("transfer {io} on stream {oid} after transfer {}", self.last_io));
        }
        self.last_io = self.last_io.max(io);
        let Some(sink) = self.sinks.get_mut(&oid) else {
            self.failures
                .push(format!("data for stream {oid}, which the controller never handed over"));
            return;
        };
        if sink.ended || sink.dropped {
            self.failures.push(format!("{data:?} on stream {oid} after its end"));
            return;
        }
        match data {
            Data::Chunk(bytes) => {
                sink.first_io = sink.first_io.or(Some(io));
                sink.last_io = Some(io);
                if let Some(reason) = sink.shut {
                    self.failures
                        .push(format!("{} bytes on stream {oid} after {reason}", bytes.len()));
                }
                match sink.group.and_then(|group| self.groups.get_mut(group)) {
                    Some(group) => group.extend_from_slice(&bytes),
                    None => self.failures.push(format!(
                        "{} bytes on stream {oid} of a request that was refused",
                        bytes.len()
                    )),
                }
            }
            Data::Flush => {}
            Data::End { .. } => {
                sink.ended = true;
                sink.last_io = Some(io);
            }
            Data::Drop => sink.dropped = true,
        }
    }

    /// Notes an answer.
    pub fn answered(&mut self, id: i32, last_io: i32, plan: &Plan) {
        self.answer_io.insert(id, last_io);
        if last_io > self.last_io {
            self.failures.push(format!(
                "the answer to request {id} waits for transfer {last_io}, which was never sent"
            ));
        }
        let at_once = plan.requests.get(&id).is_some_and(|request| !goes_on(request, plan));
        let joined = self.joins.get(&id);
        for sink in self.sinks.values_mut() {
            if sink.request == id && at_once {
                sink.shut = Some("the answer to its request");
            }
            if Some(&sink.request) == joined {
                sink.shut = Some("the process was joined");
            }
        }
    }

    /// Checks that an answer makes the controller wait for the data that was sent for it.
    pub fn check_barrier(&mut self, request: &Request, recorded: i32, plan: &Plan) {
        if recorded == 0 {
            return;
        }
        let got = self.answer_io.get(&request.call.id).copied().unwrap_or_default();
        let needed = self
            .sinks
            .values()
            .filter(|sink| sink.request == request.call.id)
            .filter_map(|sink| if goes_on(request, plan) { sink.first_io } else { sink.last_io })
            .max();
        if let Some(needed) = needed
            && got < needed
        {
            let (id, callable) = (request.call.id, &request.call.callable);
            self.failures.push(format!(
                "the answer to request {id} ({callable}) has lastIoId {got}, but its data ends with transfer {needed}"
            ));
        }
    }

    /// Notes data sent to the agent.
    pub fn sent_data(&mut self, oid: i32, length: i64) {
        *self.in_flight.entry(oid).or_default() += length;
    }

    /// What of a stream to the agent is not acknowledged, in bytes.
    #[must_use]
    pub fn in_flight(&self, oid: i32) -> i64 {
        self.in_flight.get(&oid).copied().unwrap_or_default()
    }

    /// Notes an acknowledgement of the agent.
    pub fn acknowledged(&mut self, oid: i32, size: i32) {
        match self.in_flight.get_mut(&oid) {
            Some(left) => {
                *left -= i64::from(size);
                if *left < 0 {
                    self.failures.push(format!("stream {oid}: more acknowledged than was sent"));
                }
            }
            None => self
                .failures
                .push(format!("an acknowledgement for stream {oid}, to which nothing was sent")),
        }
    }

    /// Notes that the agent releases an object of the controller.
    pub fn released(&mut self, oid: i32) {
        let given = self.given.get(&oid).copied().unwrap_or_default();
        let released = self.released.entry(oid).or_default();
        *released += 1;
        // The last reference to a loader must stay: the controller drops the loader with it, even while
        // it reads an answer that names it.
        let most = if self.loaders.contains(&oid) { given.saturating_sub(1) } else { given };
        // The recorded agent counts references to jars too, which were taken out of the recordings.
        if *released > most && given == 0 {
            self.failures.push(format!("object {oid} was released but never handed over"));
        } else if *released > most {
            self.failures.push(format!(
                "object {oid} was handed over {given} times and released {released} times"
            ));
        }
    }

    /// Looks for secrets in a command that is not build output.
    pub fn secrets_in_command(&mut self, command: &Command, bytes: &[u8]) {
        if matches!(command, Command::Data { data: Data::Chunk(_), .. }) {
            return;
        }
        for secret in &self.secrets {
            if contains(bytes, secret) {
                self.failures.push(format!(
                    "a secret in a command of the agent ({} characters long)",
                    secret.len()
                ));
            }
        }
    }

    /// Whether everything that is still to come has come.
    #[must_use]
    pub fn is_complete(&self, plan: &Plan) -> bool {
        let streams = self.groups.iter().zip(&self.expected).zip(&plan.groups).all(
            |((got, expected), group)| {
                got.len() >= expected.len() || group.sinks.iter().all(|sink| self.is_over(*sink))
            },
        );
        streams
            && self.in_flight.values().all(|left| *left == 0)
            && self.open_ends(plan).is_empty()
            && self.kept(plan).is_empty()
    }

    fn is_over(&self, sink: i32) -> bool {
        self.sinks.get(&sink).is_none_or(|sink| sink.ended || sink.dropped)
    }

    /// Streams that the recorded agent closed, and this one did not.
    fn open_ends(&self, plan: &Plan) -> Vec<i32> {
        plan.ends
            .keys()
            .copied()
            .filter(|oid| {
                self.sinks.get(oid).is_some_and(|sink| !sink.ended && sink.group.is_some())
            })
            .collect()
    }

    /// Logs whose sink was neither closed nor dropped although its request is answered: each poll would
    /// leave an export at the controller.
    fn kept(&self, plan: &Plan) -> Vec<i32> {
        let polled = |sink: &Sink| {
            let request = plan.requests.get(&sink.request);
            self.releases
                && request.is_some_and(|request| request.call.callable.ends_with("$WriteLog"))
                && self.answer_io.contains_key(&sink.request)
        };
        self.sinks
            .iter()
            .filter(|(_, sink)| polled(sink) && !sink.ended && !sink.dropped)
            .map(|(oid, _)| *oid)
            .collect()
    }

    /// Judges the books at the end.
    pub fn finish(&mut self, plan: &Plan) {
        for oid in self.open_ends(plan) {
            self.failures.push(format!("stream {oid} was not closed"));
        }
        let kept = self.kept(plan);
        if let Some(first) = kept.first() {
            self.failures.push(format!(
                "{} sinks of logs were not released, the first is {first}",
                kept.len()
            ));
        }
        for (oid, left) in &self.in_flight {
            if *left > 0 {
                self.failures.push(format!("stream {oid}: {left} bytes were not acknowledged"));
            }
        }
        for (got, (expected, group)) in
            self.groups.iter().zip(self.expected.iter().zip(&plan.groups))
        {
            for secret in &self.secrets {
                if contains(got, secret) && !contains(expected, secret) {
                    self.failures.push(format!(
                        "a secret in {} ({} characters long)",
                        group.title,
                        secret.len()
                    ));
                }
            }
        }
    }
}

/// Whether a request's streams are written to after its answer: a process's output, a watched log, and
/// whatever the recorded agent wrote to later.
fn goes_on(request: &Request, plan: &Plan) -> bool {
    ["$RemoteLaunchCallable", "$StartWatching"]
        .iter()
        .any(|end| request.call.callable.ends_with(end))
        || request.call.names.sinks.iter().any(|sink| plan.late_sinks.contains(sink))
}

/// Whether bytes stand in others.
#[must_use]
pub fn contains(bytes: &[u8], part: &[u8]) -> bool {
    !part.is_empty() && bytes.windows(part.len()).any(|window| window == part)
}

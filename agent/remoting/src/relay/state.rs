//! What the relay of one channel knows, and what may happen to it. Nothing here waits.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use java_object_stream::EncodeError;
use tokio::sync::{oneshot, watch};

use super::backlog::{Backlog, Kind};
use super::barrier::{Barrier, Question};
use super::ledger::{Brought, Ledger};
use super::private::{self, Purpose};
use super::set_up::{self, SetUp};
use super::signs::Signs;
use super::statistics::Statistics;
use super::{RelayOptions, first_id};
use crate::channel::{MAX_RUNNING_REQUESTS, NATIVE_BASE, Taken, Throwable, lock};
use crate::command::Encoder;

pub(crate) struct Relay {
    pub(crate) options: RelayOptions,
    pub(crate) statistics: Statistics,
    pub(crate) backlog: Backlog,
    pub(crate) encoder: Encoder,
    /// Locked before anything of the channel's, never after.
    state: Mutex<State>,
    arrivals: AtomicU64,
    pub(crate) signs: Signs,
    pub(crate) pid: watch::Sender<Option<u32>>,
    pub(crate) alive: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct State {
    phase: Phase,
    pub(crate) generation: u32,
    pub(crate) held: HashMap<i32, Held>,
    pub(crate) ledger: Ledger,
    pub(crate) barrier: Barrier,
    set_up: SetUp,
    /// Why the last child ended, if one has that greeted.
    last_end: Option<String>,
    /// Streams of the child that lost data because it did not keep up.
    severed: HashSet<i32>,
    /// References that the child has and the controller has not counted for it.
    not_counted: HashMap<i32, u32>,
    questions: HashMap<i32, Purpose>,
    last_question: Option<i32>,
}

#[derive(Default)]
enum Phase {
    /// There is no child; the next request starts one.
    #[default]
    Absent,
    /// One is being started.
    Starting,
    Running,
    /// There will be none any more, and why.
    Gone(String),
}

/// A request for the child.
pub(crate) struct Handover<'r> {
    /// What it is counted as.
    pub(crate) class: &'r str,
    pub(crate) raw: Bytes,
    pub(crate) brought: &'r [Brought],
    pub(crate) target: Target,
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// Something new: it waits until the child is set up.
    Any,
    /// An object of the child, which therefore knows what to do with it: what sets the child up may wait
    /// for the answer.
    Export,
}

/// A request that the child is to answer.
pub(crate) struct Held {
    pub(crate) class: String,
    pub(crate) waiter: Waiter,
}

/// Who is told what became of a request.
pub(crate) enum Waiter {
    /// A task that answers where the child does not.
    Task(oneshot::Sender<Result<(), Unanswered>>),
    /// Nobody: the request is answered with a plain failure.
    Nobody,
}

/// A request that the child did not answer.
#[derive(Debug, Clone)]
pub(crate) struct Unanswered {
    pub(crate) why: Throwable,
    /// The I/O that the answer must name.
    pub(crate) last_io: i32,
}

/// A request that was not handed over.
pub(crate) enum NotHeld {
    /// The child is not to be had, or has too much to do.
    Refused(String),
    /// Another request with this id is there already.
    SameId,
}

/// What becomes of the relay when a child is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// The next request starts a child of the same generation: none of its ids were used.
    Again,
    /// The next request starts a child of the next generation.
    Next,
    /// There will be none.
    Never,
}

impl Relay {
    pub(crate) fn new(options: RelayOptions) -> Result<Self, EncodeError> {
        Ok(Self {
            backlog: Backlog::new(&options.limits),
            options,
            statistics: Statistics::default(),
            encoder: Encoder::new()?,
            state: Mutex::default(),
            arrivals: AtomicU64::new(0),
            signs: Signs::default(),
            pid: watch::Sender::new(None),
            alive: watch::Sender::new(false),
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Whether an oid of the peer's commands is an export of the child that runs.
    pub(crate) fn owns(&self, oid: i32) -> bool {
        self.lock().owns(oid)
    }

    /// Numbers a request in the order of arrival.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn is_set_up(&self, class: &str) -> bool {
        self.options.set_up.contains(&class)
    }

    /// Keeps a request that sets the connection up and hands it to the child, if one runs.
    pub(crate) fn keep_set_up(&self, number: u64, request: set_up::Request) {
        let mut state = self.lock();
        if state.is_running() {
            self.send_set_up(&mut state, &request, false);
        }
        if !state.set_up.keep(number, request) {
            tracing::warn!("the controller sets up more than is kept for a JVM that starts later");
        }
    }

    fn send_set_up(&self, state: &mut State, request: &set_up::Request, again: bool) {
        let id = state.question(Purpose::SetUp);
        let Some(raw) = set_up::with_id(&request.raw, id) else {
            state.questions.remove(&id);
            return;
        };
        let _ = self.backlog.push(raw, Kind::Answer);
        let loaders = if again { request.loaders.as_slice() } else { &[] };
        for oid in request.others.iter().chain(loaders) {
            *state.not_counted.entry(*oid).or_default() += 1;
        }
    }

    /// Makes the child responsible for a request. True when a child is to be started for it.
    pub(crate) fn hold(
        &self,
        id: i32,
        request: Handover<'_>,
        waiter: Waiter,
    ) -> Result<bool, NotHeld> {
        let mut state = self.lock();
        if let Phase::Gone(why) = &state.phase {
            return Err(NotHeld::Refused(why.clone()));
        }
        if state.held.contains_key(&id) {
            return Err(NotHeld::SameId);
        }
        let kind = match &request.target {
            Target::Any => Kind::Request(id),
            Target::Export => Kind::CallBack,
        };
        let Handover { class, raw, brought, .. } = request;
        if state.held.len() >= MAX_RUNNING_REQUESTS || self.backlog.push(raw, kind).is_err() {
            let why = "its JVM does not keep up: too many requests wait for it already";
            return Err(NotHeld::Refused(why.to_owned()));
        }
        state.ledger.received(brought, Some(id));
        state.held.insert(id, Held { class: class.to_owned(), waiter });
        self.statistics.relayed(class);
        let start = matches!(state.phase, Phase::Absent);
        if start {
            state.phase = Phase::Starting;
        }
        Ok(start)
    }

    /// Claims the start of a child ahead of any request. False when it is not to be.
    pub(crate) fn claim_start(&self) -> bool {
        let mut state = self.lock();
        let start = matches!(state.phase, Phase::Absent);
        if start {
            state.phase = Phase::Starting;
        }
        start
    }

    /// Hands on the cancel of a request. `None` when the child does not hold it, else the request, if the
    /// child has not seen it yet.
    pub(crate) fn cancel(&self, id: i32, raw: Bytes) -> Option<Option<Held>> {
        let mut state = self.lock();
        if !state.held.contains_key(&id) {
            return None;
        }
        if self.backlog.take_back(id) {
            return Some(state.held.remove(&id));
        }
        let _ = self.backlog.push(raw, Kind::Cancel);
        Some(None)
    }

    /// The child has greeted: what sets it up goes first.
    pub(crate) fn greeted(&self, pid: Option<u32>) {
        let mut state = self.lock();
        state.phase = Phase::Running;
        let requests: Vec<_> = state.set_up.all().cloned().collect();
        let again = state.generation > 0;
        for request in requests {
            self.send_set_up(&mut state, &request, again);
        }
        if !state.is_setting_up() {
            self.backlog.open();
        }
        drop(state);
        self.signs.blocked.store(false, Ordering::Release);
        self.statistics.started();
        self.pid.send_replace(pid);
    }

    /// An answer to a request of this side's own: which I/O is complete by it. Nothing when it is no
    /// answer to one.
    pub(crate) fn own_answer(&self, id: i32) -> Option<Vec<i32>> {
        let mut state = self.lock();
        Some(match state.questions.remove(&id)? {
            Purpose::Io(up_to) => {
                let (complete, next) = state.barrier.answered(up_to);
                self.ask(&mut state, next);
                complete
            }
            Purpose::SetUp => {
                if !state.is_setting_up() {
                    self.backlog.open();
                }
                Vec::new()
            }
            Purpose::Life => Vec::new(),
        })
    }

    /// Asks the child whether its I/O is complete, because somebody waits for it.
    pub(crate) fn want_io(&self) {
        let mut state = self.lock();
        let question = state.barrier.ask();
        self.ask(&mut state, question);
    }

    pub(crate) fn ask(&self, state: &mut State, question: Option<Question>) {
        if let Some(Question { io, up_to }) = question {
            self.send_question(state, Purpose::Io(up_to), io);
        }
    }

    /// Asks for a sign of life.
    pub(crate) fn probe(&self) {
        let mut state = self.lock();
        if !state.questions.values().any(|purpose| *purpose == Purpose::Life) {
            self.send_question(&mut state, Purpose::Life, 0);
        }
    }

    fn send_question(&self, state: &mut State, purpose: Purpose, last_io: i32) {
        let id = state.question(purpose);
        match private::question(id, last_io) {
            Ok(question) => {
                let _ = self.backlog.push(question, Kind::Answer);
            }
            Err(error) => tracing::error!(%error, "a question cannot be encoded; this is a bug"),
        }
    }

    /// Whether anybody waits for the child.
    pub(crate) fn is_needed(&self) -> bool {
        let state = self.lock();
        !state.held.is_empty() || !state.barrier.is_empty() || state.is_setting_up()
    }

    /// The child is gone: what it held, for whoever cleans up.
    pub(crate) fn gone(&self, why: &str, after: After) -> State {
        let mut state = self.lock();
        let last_end =
            if state.is_running() { Some(why.to_owned()) } else { state.last_end.take() };
        let (phase, generation) = match after {
            After::Again => (Phase::Absent, state.generation),
            After::Next => (Phase::Absent, state.generation + 1),
            After::Never => (Phase::Gone(why.to_owned()), state.generation),
        };
        let set_up = std::mem::take(&mut state.set_up);
        let last_question = state.last_question;
        let new = State { phase, generation, set_up, last_end, last_question, ..State::default() };
        let old = std::mem::replace(&mut *state, new);
        self.backlog.reset();
        drop(state);
        self.pid.send_replace(None);
        old
    }
}

impl State {
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    fn is_setting_up(&self) -> bool {
        self.questions.values().any(|purpose| *purpose == Purpose::SetUp)
    }

    pub(crate) fn owns(&self, oid: i32) -> bool {
        let first = first_id(self.generation).max(2);
        self.is_running() && (oid == 1 || (first..NATIVE_BASE).contains(&oid))
    }

    /// Why the child ended whose export this may have been, if there was one.
    pub(crate) fn end_of_owner(&self, oid: i32) -> Option<&str> {
        let childs = (2..NATIVE_BASE).contains(&oid) && !self.owns(oid);
        self.last_end.as_deref().filter(|_| childs)
    }

    /// Whether the answer to this request of the child's generation is for it.
    pub(crate) fn called(&self, id: i32) -> bool {
        self.is_running() && (first_id(self.generation)..NATIVE_BASE).contains(&id)
    }

    fn question(&mut self, purpose: Purpose) -> i32 {
        let id = private::next_id(self.last_question);
        self.last_question = Some(id);
        self.questions.insert(id, purpose);
        id
    }

    /// Notes an I/O that goes to the child.
    pub(crate) fn io_sent(&mut self, io: i32, oid: i32, taken: Taken) -> Option<Question> {
        self.barrier.sent(io, oid, taken)
    }

    /// The child gives a reference back. False when the controller must not hear of it: it would count
    /// more references back than it gave.
    pub(crate) fn given_back(&mut self, oid: i32) -> bool {
        if let Some(count) = self.not_counted.get_mut(&oid) {
            *count -= 1;
            if *count == 0 {
                self.not_counted.remove(&oid);
            }
            return false;
        }
        self.ledger.given_back(oid);
        true
    }

    /// From now on the stream takes nothing more.
    pub(crate) fn sever(&mut self, oid: i32) {
        self.severed.insert(oid);
    }

    pub(crate) fn is_severed(&self, oid: i32) -> bool {
        self.severed.contains(&oid)
    }

    /// The stream has ended, severed or not.
    pub(crate) fn forget_severed(&mut self, oid: i32) -> bool {
        self.severed.remove(&oid)
    }
}

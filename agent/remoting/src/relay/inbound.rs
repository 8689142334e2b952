//! From the controller to the child: which commands are the child's.

use std::sync::Arc;

use bytes::Bytes;
use java_object_stream::{Graph, ReadOptions};
use tokio::sync::oneshot;

use super::backlog::{Full, Kind};
use super::ledger::{Brought, brought_by};
use super::state::{Handover, Held, NotHeld, Target, Unanswered, Waiter};
use super::{Fallback, Relay};
use crate::channel::{Cancellation, Inner, NATIVE_BASE, Taken, Throwable};
use crate::class;
use crate::command::{Command, Outcome, Outgoing};

/// What is left to do with a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nothing: it was the child's.
    Done,
    /// It is to be handled here too, or only here.
    Here,
}

impl Inner {
    /// Hands the child what is its own of the controller's commands. A user request is not decided
    /// here, but where it is read.
    pub(crate) fn to_child(self: &Arc<Self>, command: &Command, raw: &Bytes) -> Rest {
        let Some(relay) = &self.relay else { return Rest::Here };
        match command {
            Command::RpcRequest { id, last_io, oid, .. } if relay.owns(*oid) => {
                self.relay_plain(*id, *last_io, (class::RPC_REQUEST.name(), Target::Export), raw);
            }
            Command::ReadRequest { id, last_io, oid, .. } if relay.owns(*oid) => {
                self.relay_plain(*id, *last_io, (class::INPUT_CHUNK.name(), Target::Export), raw);
            }
            // Nothing here knows what it is, nor what it must wait for: that is the child's business.
            Command::UnknownRequest { id, class } => {
                self.relay_plain(*id, 0, (class, Target::Any), raw);
            }
            Command::Response { id, last_io, outcome } if *id < NATIVE_BASE => {
                self.relay_response(*id, *last_io, outcome, raw);
            }
            Command::Cancel { id } => return self.relay_cancel(*id, raw),
            Command::Unexport { oid } | Command::InputEof { oid } if relay.owns(*oid) => {
                relay.send(raw);
            }
            Command::Connect { oid_ros, .. } if relay.owns(*oid_ros) => relay.send(raw),
            Command::Unknown { .. } if relay.lock().is_running() => relay.send(raw),
            Command::Chunk { io, oid, data } => {
                let taken = Taken { bytes: data.len(), units: 0 };
                return self.relay_io(relay, Io { io: *io, oid: *oid, taken, last: false }, raw);
            }
            Command::WriterChunk { io, oid, units } => {
                let taken = Taken { bytes: 0, units: units.len() };
                return self.relay_io(relay, Io { io: *io, oid: *oid, taken, last: false }, raw);
            }
            Command::Flush { io, oid } => {
                let io = Io { io: *io, oid: *oid, taken: Taken::default(), last: false };
                return self.relay_io(relay, io, raw);
            }
            Command::Eof { io, oid, .. } | Command::StreamUnexport { io, oid } => {
                let io = Io { io: *io, oid: *oid, taken: Taken::default(), last: true };
                return self.relay_io(relay, io, raw);
            }
            // These name the *controller's* oid, which both sides may write to. A window that is told of
            // what another has sent only gets wider; one that is not told of its own stays shut.
            Command::Ack { .. } | Command::NotifyDeadWriter { .. } | Command::Gc => {
                if relay.lock().is_running() {
                    relay.send(raw);
                }
                return Rest::Here;
            }
            _ => return Rest::Here,
        }
        Rest::Done
    }

    /// Hands the child a command that cannot be read here. `id` is that of the request that it is, if it
    /// is one.
    pub(crate) fn unreadable_to_child(self: &Arc<Self>, id: Option<i32>, raw: &Bytes) -> Rest {
        let Some(relay) = &self.relay else { return Rest::Here };
        match id {
            Some(id) => self.relay_plain(id, 0, ("", Target::Any), raw),
            None if relay.lock().is_running() => relay.send(raw),
            None => return Rest::Here,
        }
        Rest::Done
    }

    /// Relays a request that is no user request: where the child does not answer it, it fails outside of
    /// any callable.
    fn relay_plain(
        self: &Arc<Self>,
        id: i32,
        last_io: i32,
        (class, target): (&str, Target),
        raw: &Bytes,
    ) {
        if self.order.is_complete(last_io) {
            // At once, so that it stays before the commands that follow it.
            let request = Handover { class, raw: raw.clone(), brought: &[], target };
            if let Err(why) = self.hold(id, request, Waiter::Nobody) {
                self.refuse(id, why);
            }
            return;
        }
        let (inner, raw, class) = (Arc::clone(self), raw.clone(), class.to_owned());
        let run = move |cancellation| async move {
            let (sender, done) = oneshot::channel();
            let request = Handover { class: &class, raw, brought: &[], target };
            if let Err(why) = inner.hold(id, request, Waiter::Task(sender)) {
                return Some(failure(id, 0, why));
            }
            let Unanswered { why, last_io } =
                inner.until_answered(id, done, &cancellation).await.err()?;
            Some(failure(id, last_io, why))
        };
        self.start_request(id, last_io, run, move |why| failure(id, 0, why));
    }

    /// Makes the child responsible for a request, and starts one if there is none.
    ///
    /// # Errors
    /// The exception to answer with, when there is no child to be had. What the request brought along
    /// has been given back then.
    pub(crate) fn hold(
        self: &Arc<Self>,
        id: i32,
        request: Handover<'_>,
        waiter: Waiter,
    ) -> Result<(), Throwable> {
        let Some(relay) = &self.relay else {
            return Err(Throwable::io("this agent has nothing that could run this request"));
        };
        let (class, brought) = (request.class, request.brought);
        match relay.hold(id, request, waiter) {
            Ok(start) => {
                if start {
                    self.spawn_child();
                }
                Ok(())
            }
            Err(refused) => {
                for one in brought {
                    self.give_back_brought(*one, 1, None);
                }
                relay.statistics.failed(class);
                Err(match refused {
                    NotHeld::Refused(why) => relay.explain(class, &why),
                    NotHeld::SameId => Throwable::io(format!(
                        "the controller sent a second request {id} before the first was answered"
                    )),
                })
            }
        }
    }

    /// Waits until the child has answered a request, or will not any more. A cancelled request is
    /// cancelled there, and answered by it all the same.
    ///
    /// # Errors
    /// When the child does not answer.
    pub(crate) async fn until_answered(
        &self,
        id: i32,
        mut done: oneshot::Receiver<Result<(), Unanswered>>,
        cancellation: &Cancellation,
    ) -> Result<(), Unanswered> {
        let answered = tokio::select! {
            biased;
            answered = &mut done => answered,
            () = cancellation.cancelled() => {
                if let (Some(relay), Ok(cancel)) = (&self.relay, self.encode(Outgoing::Cancel { id }))
                    && let Some(Some(_)) = relay.cancel(id, cancel)
                {
                    return Err(Unanswered { why: Throwable::interrupted(), last_io: 0 });
                }
                done.await
            }
        };
        let lost = |_| {
            let why = Throwable::io("the channel ended before the request was answered");
            Err(Unanswered { why, last_io: 0 })
        };
        answered.unwrap_or_else(lost)
    }

    fn relay_cancel(&self, id: i32, raw: &Bytes) -> Rest {
        match self.relay.as_ref().and_then(|relay| relay.cancel(id, raw.clone())) {
            None => return Rest::Here,
            Some(None) => {}
            Some(Some(held)) => {
                self.unanswered(id, held, Unanswered { why: Throwable::interrupted(), last_io: 0 });
            }
        }
        Rest::Done
    }

    /// Answers a request that the child does not answer.
    pub(crate) fn unanswered(&self, id: i32, held: Held, answer: Unanswered) {
        match held.waiter {
            // Where the task is gone, the channel is too.
            Waiter::Task(task) => drop(task.send(Err(answer))),
            Waiter::Nobody => self.post(failure(id, answer.last_io, answer.why)),
        }
    }

    /// Hands the child an answer of the controller once the I/O before it is complete on both sides.
    fn relay_response(self: &Arc<Self>, id: i32, last_io: i32, outcome: &Outcome, raw: &Bytes) {
        let Some(relay) = &self.relay else { return };
        let generation = {
            let state = relay.lock();
            if !state.called(id) {
                // Of a child that is gone.
                return;
            }
            state.generation
        };
        let brought = match outcome {
            Outcome::Value(stream) => self.brought_in(stream),
            _ => Vec::new(),
        };
        if self.order.is_complete(last_io) {
            return relay.answer(generation, id, &brought, raw);
        }
        let (inner, raw) = (Arc::clone(self), raw.clone());
        self.runtime.spawn(async move {
            inner.until_complete(last_io).await;
            if let Some(relay) = &inner.relay {
                relay.answer(generation, id, &brought, &raw);
            }
        });
    }

    /// What a user stream of the controller's brings along, as far as it can be read.
    fn brought_in(&self, stream: &Bytes) -> Vec<Brought> {
        let options: ReadOptions<'_> = self.read_options();
        Graph::parse(stream, &options).map(|graph| brought_by(&graph)).unwrap_or_default()
    }

    /// Hands the child a command of a stream. One that it has no room for ends the stream at both ends.
    fn relay_io(&self, relay: &Relay, io: Io, raw: &Bytes) -> Rest {
        let mut state = relay.lock();
        if !state.owns(io.oid) {
            // A stream of this side, of nobody, or of a child that is gone.
            return Rest::Here;
        }
        if state.is_severed(io.oid) {
            if io.last {
                state.forget_severed(io.oid);
            }
            drop(state);
            self.refuse_data(io);
            return Rest::Done;
        }
        // Before it can be acknowledged.
        self.order.arrived(io.io, false);
        let kind = if io.last { Kind::Answer } else { Kind::Data };
        if relay.backlog.push(raw.clone(), kind) == Ok(()) {
            let question = state.io_sent(io.io, io.oid, io.taken);
            relay.ask(&mut state, question);
            return Rest::Done;
        }
        state.sever(io.oid);
        drop(state);
        tracing::warn!("the JVM does not take the data of a stream, so the stream is broken off");
        self.order.complete(io.io);
        let error = Throwable::io("the agent broke the stream off: its reader did not keep up");
        let (oid, error) = (io.oid, error.into_datum());
        let end = if io.taken.units > 0 {
            Outgoing::WriterEof { io: 0, oid }
        } else {
            Outgoing::Eof { io: 0, oid, request: 0, error }
        };
        if let Ok(end) = self.encode(end) {
            relay.send(&end);
        }
        self.refuse_data(io);
        Rest::Done
    }

    /// Tells the controller that nobody takes what it writes, and gives its window back.
    fn refuse_data(&self, io: Io) {
        if io.taken != Taken::default() {
            self.notify_dead(io.oid, io.taken);
            self.give_back(io.oid, io.taken);
        }
    }
}

/// A command of a stream of the child's.
#[derive(Clone, Copy)]
struct Io {
    io: i32,
    oid: i32,
    taken: Taken,
    last: bool,
}

impl Relay {
    /// Queues what cannot be refused.
    fn send(&self, raw: &Bytes) {
        // Only what can be refused ever is.
        let _: Result<(), Full> = self.backlog.push(raw.clone(), Kind::Answer);
    }

    /// The exception for a request that the child does not answer.
    pub(crate) fn explain(&self, class: &str, why: &str) -> Throwable {
        let fallback: &dyn Fallback = self.options.fallback.as_ref();
        Throwable::io(fallback.explain(class, why))
    }

    fn answer(&self, generation: u32, id: i32, brought: &[Brought], raw: &Bytes) {
        let mut state = self.lock();
        if state.generation == generation && state.called(id) {
            state.ledger.call_answered(id);
            state.ledger.received(brought, None);
            self.send(raw);
        }
    }
}

/// A failure outside of any callable.
fn failure(id: i32, last_io: i32, why: Throwable) -> Outgoing {
    let (exception, value) = (why.into_datum(), java_object_stream::Datum::Null);
    Outgoing::Response { id, last_io, exception, value }
}

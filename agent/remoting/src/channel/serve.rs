//! Runs what the peer requests: callables, methods of exported objects, reads of exported streams.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use java_object_stream::{
    AccessError, Datum, EncodeError, Graph, Limits, Node, Object, ReadOptions, encode,
};
use tokio::sync::oneshot;

use super::export::{Export, Source};
use super::observer::Watched;
use super::reply::Answer;
use super::{
    Cancellation, Channel, Inner, Invocation, IoScope, NATIVE_BASE, RemoteOutput, Reply,
    RequestNote, RequestOutcome, Throwable, lock,
};
use crate::class;
use crate::command::Outgoing;
use crate::loader::{LoaderTags, Loaders};
use crate::relay::{
    Brought, Handover, Relay, SetUpRequest, Target, Unanswered, Waiter, brought_by, going_home,
    loaders_in,
};

/// Runs callables.
pub trait Service: Send + Sync + 'static {
    /// Runs one callable and gives its answer. Called in a task of its own; it must not block. When the
    /// call is cancelled, or the channel ends, it should come to an end soon: see
    /// [`Call::cancellation`].
    fn serve<'a>(&'a self, call: &'a Call, callable: Node<'a>) -> BoxFuture<'a, Reply>;
}

/// A request of the peer that is being run.
pub struct Call {
    channel: Channel,
    id: i32,
    raw: Bytes,
    payload: Bytes,
    cancellation: Cancellation,
    scope: IoScope,
    loaders: Loaders,
    note: Option<Arc<Mutex<RequestNote>>>,
}

/// A user request as it came.
struct Arrived {
    id: i32,
    /// Its place among the requests of the channel.
    number: u64,
    raw: Bytes,
    payload: Bytes,
    /// The loader that the request names.
    loader: Option<i32>,
    /// The loader of an answer when the callable names none.
    fallback: i32,
    note: Option<Arc<Mutex<RequestNote>>>,
}

/// What became of a request.
enum Served {
    Here { answer: Outgoing, threw: bool },
    Relayed(oneshot::Receiver<Result<(), Unanswered>>),
}

/// Where the objects are that a request is about.
enum Home {
    /// On this side, or it is about none.
    Here,
    Child,
    Mixed,
}

/// The most bytes that one read request is answered with, whatever it asks for.
const MAX_READ_BYTES: usize = 64 << 10;

impl Call {
    /// The channel that it came on.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// The peer's id of the request.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }

    /// The whole command, as it came.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The user stream that holds the callable.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Tells when the peer cancels the request.
    #[must_use]
    pub fn cancellation(&self) -> &Cancellation {
        &self.cancellation
    }

    /// Notes something of the request for the observer of the channel; nothing where there is none.
    pub fn note(&self, write: impl FnOnce(&mut RequestNote)) {
        if let Some(note) = &self.note {
            write(&mut lock(note));
        }
    }

    /// The I/O that must reach the peer before the answer.
    #[must_use]
    pub fn scope(&self) -> &IoScope {
        &self.scope
    }

    /// The peer's loader of an object's class, by oid: for answers made of that plugin's classes.
    #[must_use]
    pub fn loader_of(&self, node: Node<'_>) -> Option<i32> {
        self.loaders.writers(node)
    }

    /// A byte stream of the peer, written on behalf of this request: it reaches the peer before the
    /// answer does.
    #[must_use]
    pub fn output(&self, oid: i32) -> RemoteOutput {
        self.channel.output(oid, self.scope.clone(), self.id)
    }
}

impl Inner {
    pub(crate) fn read_options(&self) -> ReadOptions<'_> {
        ReadOptions {
            limits: Limits::default(),
            without_default_fields: &self.without_default_fields,
        }
    }

    pub(crate) fn start_user_request(
        self: &Arc<Self>,
        id: i32,
        last_io: i32,
        loader: Option<i32>,
        payload: Bytes,
        raw: Bytes,
    ) {
        if let Some(loader) = loader {
            // The first request of a controller is made of core classes only.
            let first =
                self.core_loader.compare_exchange(0, loader, Ordering::AcqRel, Ordering::Acquire);
            if first.is_ok() {
                self.core_loader_known.notify_waiters();
            }
        }
        let fallback = loader.unwrap_or_else(|| self.core_loader.load(Ordering::Acquire));
        let inner = Arc::clone(self);
        let number = self.relay.as_ref().map_or(0, Relay::arrived);
        let watched = self.observer.is_some().then(|| Watched::new(payload.len()));
        let note = watched.as_ref().map(Watched::note);
        let arrived = Arrived { id, number, raw, payload, loader, fallback, note };
        self.start_request(
            id,
            last_io,
            move |cancellation| inner.run(arrived, watched, cancellation),
            move |why| answer(id, 0, fallback, &Reply::throw(why)),
        );
    }

    /// Runs a request here, or has the child answer it.
    async fn run(
        self: Arc<Self>,
        arrived: Arrived,
        watched: Option<Watched>,
        cancellation: Cancellation,
    ) -> Option<Outgoing> {
        let (id, fallback) = (arrived.id, arrived.fallback);
        let (relayed, answer, outcome) = match self.serve(arrived, &cancellation).await {
            Served::Here { answer, threw: false } => (false, Some(answer), RequestOutcome::Value),
            Served::Here { answer, threw: true } => {
                (false, Some(answer), RequestOutcome::Exception)
            }
            Served::Relayed(done) => match self.until_answered(id, done, &cancellation).await {
                Ok(()) => (true, None, RequestOutcome::PassedOn),
                Err(Unanswered { why, last_io }) => {
                    let answer = answer(id, last_io, fallback, &Reply::throw(why));
                    (true, Some(answer), RequestOutcome::Exception)
                }
            },
        };
        if let (Some(observer), Some(watched)) = (&self.observer, watched) {
            let cancelled = cancellation.is_cancelled() && outcome == RequestOutcome::Exception;
            let outcome = if cancelled { RequestOutcome::Cancelled } else { outcome };
            observer.ended(&watched.ended(relayed, outcome));
        }
        answer
    }

    async fn serve(self: &Arc<Self>, arrived: Arrived, cancellation: &Cancellation) -> Served {
        let Arrived { id, number, raw, payload, loader: request_loader, fallback, note } = arrived;
        let parsed = payload.clone();
        let graph = Graph::parse(&parsed, &self.read_options());
        let read = graph.as_ref().map_err(|error| unreadable(error)).and_then(|graph| {
            let root = graph.root().map_err(|error| unreadable(&error))?;
            Ok((graph, root))
        });
        let (graph, root) = match read {
            Ok(read) => read,
            // A JVM may read what this side cannot.
            Err(_) if self.relay.is_some() => {
                let request = Handover { class: "", raw, brought: &[], target: Target::Any };
                return self.relay_user(id, fallback, request);
            }
            Err(reply) => return Served::here(id, 0, fallback, &reply),
        };
        let loaders = Loaders::of(graph);
        let loader = loaders.writers(root).unwrap_or(fallback);
        let scope = IoScope::new();
        let channel = Channel { inner: Arc::clone(self) };
        let cancellation = cancellation.clone();
        let class = root.class_name().unwrap_or_default();
        if let Some(note) = &note {
            lock(note).class = Some(class.to_string());
        }
        let call = Call { channel, id, raw, payload, cancellation, scope, loaders, note };
        let reply = match self.home(graph, root) {
            Home::Mixed => {
                for brought in brought_by(graph) {
                    self.give_back_brought(brought, 1, None);
                }
                Reply::throw(Throwable::io(
                    "this request names objects of the agent and of its JVM at once, and neither has both",
                ))
            }
            Home::Child => Reply::relayed(),
            Home::Here if root.is_a(class::name::RPC_REQUEST) => self.invoke(&call, root).await,
            Home::Here => self.service.serve(&call, root).await,
        };
        // The JVM cannot find an object of this side, and would fail in words that help nobody.
        let stays = matches!(reply.answer, Answer::Relayed(_))
            && going_home(graph).iter().any(|oid| *oid >= NATIVE_BASE);
        let reply = if stays && self.relay.is_some() {
            for brought in brought_by(graph) {
                self.give_back_brought(brought, 1, None);
            }
            Reply::throw(Throwable::io(format!(
                "{class} is run by the agent's JVM, and names an object that the agent itself exports, which the JVM cannot reach"
            )))
        } else {
            reply
        };
        if let (Answer::Relayed(counted), Some(_)) = (&reply.answer, &self.relay) {
            let class = counted.as_deref().unwrap_or(&class);
            call.note(|note| note.class = Some(class.to_owned()));
            let calls_back = root.is_a(class::name::RPC_REQUEST);
            let target = if calls_back { Target::Export } else { Target::Any };
            let brought = brought_by(graph);
            let request = Handover { class, raw: call.raw, brought: &brought, target };
            return self.relay_user(id, loader, request);
        }
        if let Some(relay) = self.relay.as_ref().filter(|relay| relay.is_set_up(&class)) {
            let mut loaders = loaders_in(graph);
            loaders.extend(call.loaders.of_writer());
            loaders.extend(request_loader);
            let others = brought_by(graph).into_iter().map(Brought::oid).collect();
            relay.keep_set_up(number, SetUpRequest { raw: call.raw.clone(), loaders, others });
        }
        Served::here(id, call.scope.last(), loader, &reply)
    }

    /// Hands a user request to the child.
    fn relay_user(self: &Arc<Self>, id: i32, loader: i32, request: Handover<'_>) -> Served {
        let (sender, done) = oneshot::channel();
        match self.hold(id, request, Waiter::Task(sender)) {
            Ok(()) => Served::Relayed(done),
            Err(why) => Served::here(id, 0, loader, &Reply::throw(why)),
        }
    }

    /// Whose objects a request is about: the one that it calls, and those that it brings back home.
    fn home(&self, graph: &Graph<'_>, request: Node<'_>) -> Home {
        let Some(relay) = self.relay.as_ref().filter(|relay| relay.lock().is_running()) else {
            return Home::Here;
        };
        let mut oids = going_home(graph);
        if request.is_a(class::name::RPC_REQUEST) {
            oids.extend(request.read_field::<i32>("oid"));
        }
        let of_child = oids.iter().filter(|oid| relay.owns(**oid)).count();
        match of_child {
            0 => Home::Here,
            all if all == oids.len() => Home::Child,
            _ => Home::Mixed,
        }
    }

    async fn invoke(&self, call: &Call, request: Node<'_>) -> Reply {
        let (oid, invocation) = match invocation(request) {
            Ok(read) => read,
            Err(error) => return unreadable(&error),
        };
        match self.exports.get(oid) {
            Some(Export::Object(object)) => object.invoke(call, invocation).await,
            // The channel itself (`IChannel`) has no properties on this side.
            None if oid == 1 => Reply::null(),
            _ => Reply::throw(self.invalid_oid(oid)),
        }
    }

    /// What `ExportTable.get` throws for an oid that it does not hold. For one of a child that has ended,
    /// how that ended is what the controller's users need to know.
    pub(crate) fn invalid_oid(&self, oid: i32) -> Throwable {
        if let Some(relay) = &self.relay
            && let Some(why) = relay.lock().end_of_owner(oid)
        {
            return Throwable::io(format!("this object went with a JVM of the agent: {why}"));
        }
        let next = self.exports.next();
        Throwable::new(&class::EXECUTION_EXCEPTION, format!("Invalid object ID {oid} iota={next}"))
    }

    /// Reads from an exported source and answers with what came.
    pub(crate) fn start_read_request(
        self: &Arc<Self>,
        id: i32,
        last_io: i32,
        source: Arc<Source>,
        len: i32,
    ) {
        let failed = move |why: Throwable| Outgoing::Response {
            id,
            last_io: 0,
            exception: why.into_datum(),
            value: Datum::Null,
        };
        let read = move |cancellation: Cancellation| async move {
            let wanted = usize::try_from(len).unwrap_or(0).min(MAX_READ_BYTES);
            let mut buffer = vec![0; wanted];
            let read = tokio::select! {
                read = source.read(&mut buffer) => read,
                () = cancellation.cancelled() => return Some(failed(Throwable::interrupted())),
            };
            let value = match read {
                Ok(0) if wanted > 0 => read_buffer(-1, Vec::new()),
                Ok(count) => {
                    buffer.truncate(count);
                    read_buffer(i32::try_from(count).unwrap_or(0), buffer)
                }
                Err(error) => return Some(failed(Throwable::io(error.to_string()))),
            };
            Some(Outgoing::Response { id, last_io: 0, exception: Datum::Null, value })
        };
        self.start_request(id, last_io, read, failed);
    }
}

impl Served {
    fn here(id: i32, last_io: i32, loader: i32, reply: &Reply) -> Self {
        Self::Here {
            answer: answer(id, last_io, loader, reply),
            threw: reply.throwable().is_some(),
        }
    }
}

fn unreadable(error: &dyn std::error::Error) -> Reply {
    Reply::throw(Throwable::io(format!("the agent cannot read this request: {error}")))
}

fn invocation(request: Node<'_>) -> Result<(i32, Invocation<'_>), AccessError> {
    let types = request.read_field::<Option<Vec<String>>>("types")?;
    let arguments = request.read_field::<Option<Vec<Node<'_>>>>("arguments")?;
    let invocation = Invocation {
        method: request.read_field("methodName")?,
        types: types.unwrap_or_default(),
        arguments: arguments.unwrap_or_default(),
    };
    Ok((request.read_field("oid")?, invocation))
}

fn read_buffer(len: i32, buffer: Vec<u8>) -> Datum {
    Object::new(&class::INPUT_BUFFER).with("len", len).with("buf", buffer).into()
}

/// The response to a user request. An answer that cannot be encoded becomes an exception that can.
fn answer(id: i32, last_io: i32, loader: i32, reply: &Reply) -> Outgoing {
    let loader = reply.loader.unwrap_or(loader);
    let refused;
    let result = match &reply.answer {
        Answer::Here(result) => result,
        Answer::Relayed(_) => {
            refused = Err(Throwable::io("this agent has nothing that could run this request"));
            &refused
        }
    };
    let (exception, value) = match user_response(result, loader) {
        Ok(value) => (Datum::Null, value),
        Err(error) => {
            tracing::error!(id, %error, "an answer cannot be encoded; this is a bug");
            let bug = Throwable::io(format!("the agent cannot encode its answer: {error}"));
            (bug.into_datum(), Datum::Null)
        }
    };
    Outgoing::Response { id, last_io, exception, value }
}

/// The outer value of a response: the user stream of a result, or those of an exception.
fn user_response(result: &Result<Datum, Throwable>, loader: i32) -> Result<Datum, EncodeError> {
    let stream = |datum: &Datum| encode(datum, &mut LoaderTags::new(loader));
    Ok(match result {
        Ok(value) => Object::new(&class::NORMAL_RESPONSE).with("response", stream(value)?).into(),
        Err(throwable) => Object::new(&class::EXCEPTION_RESPONSE)
            .with("rawResponse", stream(&throwable.clone().into_datum())?)
            .with("proxyResponse", stream(&throwable.proxy())?)
            .into(),
    })
}

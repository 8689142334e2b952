//! Runs what the peer requests: callables, methods of exported objects, reads of exported streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use java_object_stream::{
    AccessError, Datum, EncodeError, Graph, Limits, Node, Object, ReadOptions, encode,
};

use super::export::{Export, Source};
use super::{Cancellation, Channel, Inner, Invocation, IoScope, RemoteOutput, Reply, Throwable};
use crate::class;
use crate::command::Outgoing;
use crate::loader::{LoaderTags, Loaders};

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
    payload: Bytes,
    cancellation: Cancellation,
    scope: IoScope,
    loaders: Loaders,
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
    ) {
        if let Some(loader) = loader {
            // The first request of a controller is made of core classes only.
            let _ =
                self.core_loader.compare_exchange(0, loader, Ordering::AcqRel, Ordering::Acquire);
        }
        let fallback = loader.unwrap_or_else(|| self.core_loader.load(Ordering::Acquire));
        let inner = Arc::clone(self);
        self.start_request(
            id,
            last_io,
            move |cancellation| inner.run(id, payload, cancellation, fallback),
            move |why| answer(id, 0, fallback, &Reply::throw(why)),
        );
    }

    async fn run(
        self: Arc<Self>,
        id: i32,
        payload: Bytes,
        cancellation: Cancellation,
        fallback: i32,
    ) -> Outgoing {
        let parsed = payload.clone();
        let graph = match Graph::parse(&parsed, &self.read_options()) {
            Ok(graph) => graph,
            Err(error) => return answer(id, 0, fallback, &unreadable(&error)),
        };
        let root = match graph.root() {
            Ok(root) => root,
            Err(error) => return answer(id, 0, fallback, &unreadable(&error)),
        };
        let loaders = Loaders::of(&graph);
        let loader = loaders.writers(root).unwrap_or(fallback);
        let scope = IoScope::new();
        let channel = Channel { inner: Arc::clone(&self) };
        let call = Call { channel, id, payload, cancellation, scope, loaders };
        let reply = if root.is_a(class::name::RPC_REQUEST) {
            self.invoke(&call, root).await
        } else {
            self.service.serve(&call, root).await
        };
        answer(id, call.scope.last(), loader, &reply)
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

    /// What `ExportTable.get` throws for an oid that it does not hold.
    pub(crate) fn invalid_oid(&self, oid: i32) -> Throwable {
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
                () = cancellation.cancelled() => return failed(Throwable::interrupted()),
            };
            let value = match read {
                Ok(0) if wanted > 0 => read_buffer(-1, Vec::new()),
                Ok(count) => {
                    buffer.truncate(count);
                    read_buffer(i32::try_from(count).unwrap_or(0), buffer)
                }
                Err(error) => return failed(Throwable::io(error.to_string())),
            };
            Outgoing::Response { id, last_io: 0, exception: Datum::Null, value }
        };
        self.start_request(id, last_io, read, failed);
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
    let (exception, value) = match user_response(&reply.result, loader) {
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

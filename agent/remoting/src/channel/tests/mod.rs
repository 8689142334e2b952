//! A channel over a transport in memory, and a scripted controller at its other end.
//!
//! Time is paused in these tests: when nothing can go on, the clock jumps, so that what hangs fails at
//! once instead of after its timeout.

mod calls;
mod hostile;
mod jars;
mod lifecycle;
mod outputs;
mod relay;
mod requests;
mod sinks;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use java_object_stream::{Annotate, Class, Datum, Field, Graph, Node, Object, Plain, encode, jdk};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::class;
use crate::command::{Command, Outcome};
use crate::transport::{CloseReason, TransportError};

/// Long enough for anything that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The controller's loaders: the core's, which the first request names, and a plugin's.
const CORE: i32 = 2;
const PLUGIN: i32 = 5;

static CALLABLE: Class =
    Class::new("demo.Callable", 1).fields(&[Field::reference("argument", "Ljava/lang/Object;")]);
static ITEM: Class = Class::new("demo.Item", 1);

struct MemorySource {
    commands: mpsc::UnboundedReceiver<Result<Bytes, TransportError>>,
    reason: Option<CloseReason>,
}

struct MemorySink(Option<mpsc::Sender<Bytes>>);

impl CommandSource for MemorySource {
    async fn receive(&mut self) -> Result<Option<Bytes>, TransportError> {
        self.commands.recv().await.transpose()
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.reason.clone()
    }
}

impl CommandSink for MemorySink {
    async fn send(&mut self, command: Bytes) -> Result<(), TransportError> {
        let lost = || TransportError::ConnectionLost { detail: "nobody receives".to_owned() };
        let commands = self.0.as_ref().ok_or(TransportError::AlreadyClosed)?;
        commands.send(command).await.map_err(|_| lost())
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        Ok(())
    }

    async fn close(&mut self, _reason: CloseReason) -> Result<(), TransportError> {
        self.0 = None;
        Ok(())
    }
}

/// The controller.
struct Peer {
    encoder: Encoder,
    to_channel: Option<mpsc::UnboundedSender<Result<Bytes, TransportError>>>,
    from_channel: mpsc::Receiver<Bytes>,
}

struct Handler<F>(F);

impl<F> Service for Handler<F>
where
    F: for<'a> Fn(&'a Call, Node<'a>) -> BoxFuture<'a, Reply> + Send + Sync + 'static,
{
    fn serve<'a>(&'a self, call: &'a Call, callable: Node<'a>) -> BoxFuture<'a, Reply> {
        (self.0)(call, callable)
    }
}

fn service<F>(serve: F) -> Arc<dyn Service>
where
    F: for<'a> Fn(&'a Call, Node<'a>) -> BoxFuture<'a, Reply> + Send + Sync + 'static,
{
    Arc::new(Handler(serve))
}

/// Answers each callable with its string argument.
fn echo() -> Arc<dyn Service> {
    service(|_, callable| {
        Box::pin(async move {
            let argument = callable.read_field::<Option<String>>("argument");
            argument.map_err(Throwable::from).into()
        })
    })
}

/// A channel, and a controller that takes so many commands before it makes the channel wait.
fn start_with_room(service: Arc<dyn Service>, commands: usize) -> (Channel, Peer) {
    let (to_channel, commands_in) = mpsc::unbounded_channel();
    let (commands_out, from_channel) = mpsc::channel(commands);
    let source = MemorySource { commands: commands_in, reason: Some(CloseReason::normal()) };
    let options = ChannelOptions::new(service);
    let channel = Channel::start(source, MemorySink(Some(commands_out)), options).unwrap();
    let encoder = Encoder::new().unwrap();
    (channel, Peer { encoder, to_channel: Some(to_channel), from_channel })
}

fn start(service: Arc<dyn Service>) -> (Channel, Peer) {
    start_with_room(service, 100_000)
}

/// A channel that serves nothing in particular.
fn quiet() -> (Channel, Peer) {
    start(echo())
}

impl Peer {
    fn send(&self, command: Outgoing) {
        self.send_bytes(self.encoder.encode(command).unwrap());
    }

    fn send_bytes(&self, command: Bytes) {
        self.to_channel.as_ref().unwrap().send(Ok(command)).unwrap();
    }

    fn send_object(&self, command: Object) {
        self.send_bytes(encode(&command.into(), &mut Plain).unwrap().into());
    }

    /// A user request whose payload's classes belong to the plugin's loader.
    fn request(&self, id: i32, last_io: i32, callable: Object) {
        self.request_bytes(id, last_io, user_stream(callable.into()));
    }

    fn request_bytes(&self, id: i32, last_io: i32, payload: Vec<u8>) {
        let handler = Object::new(&class::INVOCATION_HANDLER).with("oid", CORE);
        let interfaces =
            &["hudson.remoting.RemoteClassLoader$IClassLoader", "hudson.remoting.IReadResolve"];
        self.send_object(
            Object::new(&class::USER_REQUEST)
                .with("id", id)
                .with("lastIoId", last_io)
                .with("classLoaderProxy", Datum::Proxy(interfaces, Box::new(handler)))
                .with("request", payload)
                .with("toString", "demo"),
        );
    }

    fn answer(&self, id: i32, last_io: i32, value: Datum) {
        let value = Object::new(&class::NORMAL_RESPONSE).with("response", user_stream(value));
        self.send(Outgoing::Response { id, last_io, exception: Datum::Null, value: value.into() });
    }

    fn chunk(&self, io: i32, oid: i32, data: &'static [u8]) {
        self.send(Outgoing::Chunk { io, oid, request: 0, data: Bytes::from_static(data) });
    }

    /// What the channel sent next.
    async fn next(&mut self) -> Command {
        let bytes = self.next_bytes().await.expect("the channel closed its side");
        Command::decode(&bytes).unwrap()
    }

    async fn next_bytes(&mut self) -> Option<Bytes> {
        timeout(PATIENCE, self.from_channel.recv()).await.expect("the channel sent nothing")
    }

    /// Nothing more comes.
    async fn silence(&mut self) {
        let next = timeout(PATIENCE, self.from_channel.recv()).await;
        if let Ok(Some(bytes)) = next {
            panic!("nothing should have come, and got {:?}", Command::decode(&bytes));
        }
    }

    /// The response to the request `id`, which comes next.
    async fn response(&mut self, id: i32) -> (i32, Outcome) {
        match self.next().await {
            Command::Response { id: answered, last_io, outcome } if answered == id => {
                (last_io, outcome)
            }
            other => panic!("expected the response to {id}, got {other:?}"),
        }
    }

    /// The string that the request `id` is answered with.
    async fn text(&mut self, id: i32) -> String {
        match self.response(id).await.1 {
            Outcome::Value(stream) => text_of(&stream),
            other => panic!("expected a value, got {other:?}"),
        }
    }

    /// Makes the core's loader known, as the first request of a controller does.
    async fn introduce(&mut self) {
        self.request(-1, 0, callable("hello"));
        assert_eq!(self.text(-1).await, "hello");
    }
}

fn callable(argument: impl Into<Datum>) -> Object {
    Object::new(&CALLABLE).with("argument", argument.into())
}

fn text_of(stream: &[u8]) -> String {
    let graph = Graph::parse(stream, &java_object_stream::ReadOptions::default()).unwrap();
    graph.root().unwrap().read::<String>().unwrap()
}

/// A user stream of the controller.
fn user_stream(value: Datum) -> Vec<u8> {
    struct Tags(bool);
    impl Annotate for Tags {
        fn annotate(&mut self, class: &str, block: &mut Vec<u8>) {
            if class.starts_with("java.") || class.starts_with('[') {
                block.extend((-3_i32).to_be_bytes());
            } else if std::mem::replace(&mut self.0, true) {
                block.extend(0_i32.to_be_bytes());
            } else {
                block.extend((-2_i32).to_be_bytes());
                block.extend(PLUGIN.to_be_bytes());
            }
        }
    }
    encode(&value, &mut Tags(false)).unwrap()
}

/// Waits for a future that must not hang.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it hangs")
}

/// Lets all tasks go on until each waits for something.
async fn settle() {
    // The clock only moves once nothing else can.
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A call on an exported object, as it travels in a user request.
fn rpc(oid: i32, method: &'static str, arguments: Vec<Datum>) -> Object {
    let types = arguments.iter().map(|_| Datum::from("java.lang.Object")).collect();
    Object::new(&class::USER_RPC_REQUEST)
        .with("oid", oid)
        .with("methodName", method)
        .with("types", Datum::Array(&jdk::STRING_ARRAY, types))
        .with("arguments", Datum::Array(&jdk::OBJECT_ARRAY, arguments))
}

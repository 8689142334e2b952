//! Relaying, with a scripted controller at one end and a scripted child at the other.

mod basics;
mod close;
mod death;
mod limits;
mod load;
mod recordings;
mod set_up;
mod streams;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::*;
use crate::capability::Capability;
use crate::framing::{ChunkReader, ChunkWriter, ChunkWriterOptions};
use crate::relay::{Child, Fallback, Greeting, NotStarted, RelayOptions, Start};

/// The capability of the controller, which is not the usual one.
const CONTROLLER: u64 = 0x3FE;

/// How much a pipe of the child's holds.
const PIPE_BYTES: usize = 64 << 10;

/// Callables of this class are answered natively with their argument, all others are relayed.
static NATIVE: Class =
    Class::new("demo.Native", 1).fields(&[Field::reference("argument", "Ljava/lang/Object;")]);

/// Starts scripted children.
struct Script {
    children: mpsc::UnboundedSender<Kid>,
    refusals: Mutex<VecDeque<NotStarted>>,
    generations: Mutex<Vec<u32>>,
    restartable: bool,
    /// What a child prints before it greets.
    noise: &'static [u8],
    greets: bool,
}

/// A scripted child, seen from inside.
struct Kid {
    encoder: Encoder,
    /// The commands it was handed, those of the relay's own that it answers by itself aside.
    handed: mpsc::UnboundedReceiver<Bytes>,
    says: mpsc::UnboundedSender<Bytes>,
    /// Whether it answers the relay's own questions.
    obliging: Arc<AtomicBool>,
    questions: Arc<AtomicUsize>,
    reading: watch::Sender<bool>,
    process: Arc<Process>,
}

/// What can happen to a child from outside.
struct Process {
    tasks: Mutex<Vec<AbortHandle>>,
    ended: Mutex<Option<oneshot::Sender<String>>>,
    killed: AtomicBool,
}

impl Process {
    fn end(&self, why: &str) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
        if let Some(ended) = lock(&self.ended).take() {
            let _ = ended.send(why.to_owned());
        }
    }
}

impl Fallback for Script {
    fn start(&self, start: Start) -> BoxFuture<'static, Result<Child, NotStarted>> {
        lock(&self.generations).push(start.generation);
        if let Some(refusal) = lock(&self.refusals).pop_front() {
            return async { Err(refusal) }.boxed();
        }
        let (child, kid) = Kid::new(self.restartable, self.noise, self.greets);
        let _ = self.children.send(kid);
        async { Ok(child) }.boxed()
    }

    fn explain(&self, class: &str, why: &str) -> String {
        format!("[{class}] {why}")
    }
}

impl Kid {
    fn new(restartable: bool, noise: &'static [u8], greets: bool) -> (Child, Self) {
        let (input, stdin) = tokio::io::duplex(PIPE_BYTES);
        let (stdout, output) = tokio::io::duplex(PIPE_BYTES);
        let (hand, handed) = mpsc::unbounded_channel();
        let (says, said) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (obliging, questions) = (Arc::new(AtomicBool::new(true)), Arc::default());
        let reading = watch::Sender::new(true);
        if greets {
            let greeting = [noise, &Greeting::ours(Capability::CURRENT)].concat();
            says.send(greeting.into()).unwrap();
        }
        let asks = Asks {
            hand,
            says: says.clone(),
            obliging: Arc::clone(&obliging),
            questions: Arc::clone(&questions),
        };
        let tasks = [
            tokio::spawn(hear(stdin, asks, reading.subscribe())).abort_handle(),
            tokio::spawn(say(stdout, said)).abort_handle(),
        ];
        let process = Arc::new(Process {
            tasks: Mutex::new(tasks.into()),
            ended: Mutex::new(Some(end)),
            killed: AtomicBool::new(false),
        });
        let killing = Arc::clone(&process);
        let child = Child {
            input: Box::new(input),
            output: Box::new(output),
            pid: Some(4711),
            ended: ended.map(|why| why.unwrap_or_default()).boxed(),
            kill: Box::new(move || {
                killing.killed.store(true, Ordering::Release);
                killing.end("killed");
            }),
            restartable,
        };
        let encoder = Encoder::new().unwrap();
        (child, Self { encoder, handed, says, obliging, questions, reading, process })
    }

    fn say(&self, command: Outgoing) -> Bytes {
        let command = self.encoder.encode(command).unwrap();
        self.say_bytes(command.clone());
        command
    }

    fn say_bytes(&self, command: Bytes) {
        self.says.send(framed(command)).unwrap();
    }

    fn answer(&self, id: i32, last_io: i32, text: &str) -> Bytes {
        let value = Object::new(&class::NORMAL_RESPONSE)
            .with("response", user_stream(text.to_owned().into()));
        let (exception, value) = (Datum::Null, value.into());
        self.say(Outgoing::Response { id, last_io, exception, value })
    }

    fn chunk(&self, io: i32, oid: i32, data: &'static [u8]) -> Bytes {
        self.say(Outgoing::Chunk { io, oid, request: 0, data: Bytes::from_static(data) })
    }

    /// The next command, as it came.
    async fn handed(&mut self) -> Bytes {
        let next = timeout(PATIENCE, self.handed.recv()).await;
        next.expect("the child was handed nothing").expect("the child's input is closed")
    }

    async fn next(&mut self) -> Command {
        Command::decode(&self.handed().await).unwrap()
    }

    /// Nothing waits for it.
    async fn idle(&mut self) {
        settle().await;
        if let Ok(bytes) = self.handed.try_recv() {
            panic!("nothing should have come, and got {:?}", Command::decode(&bytes));
        }
    }

    fn was_killed(&self) -> bool {
        self.process.killed.load(Ordering::Acquire)
    }
}

struct Asks {
    hand: mpsc::UnboundedSender<Bytes>,
    says: mpsc::UnboundedSender<Bytes>,
    obliging: Arc<AtomicBool>,
    questions: Arc<AtomicUsize>,
}

fn framed(command: Bytes) -> Bytes {
    let mut writer = ChunkWriter::new(ChunkWriterOptions::compatible());
    writer.push(command);
    std::iter::from_fn(|| writer.next_message()).flatten().collect::<Vec<u8>>().into()
}

fn null_answer(id: i32) -> Bytes {
    let response = Object::new(&class::RESPONSE).with("id", id);
    encode(&response.into(), &mut Plain).unwrap().into()
}

/// Reads the child's input: a greeting with the controller's capability, then commands.
async fn hear(mut stdin: DuplexStream, asks: Asks, mut reading: watch::Receiver<bool>) {
    let expected = Greeting::ours(Capability::from_mask(CONTROLLER));
    let mut greeting = vec![0; expected.len()];
    stdin.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, expected);
    let mut reader = ChunkReader::default();
    let mut buffer = vec![0; 32 << 10];
    loop {
        let _ = reading.wait_for(|reading| *reading).await;
        let Ok(length @ 1..) = stdin.read(&mut buffer).await else { return };
        for command in reader.push(Bytes::copy_from_slice(&buffer[..length])) {
            let command = command.unwrap();
            if let Ok(Command::RpcRequest { id: id @ 0x5000_0000.., oid: 1, .. }) =
                Command::decode(&command)
            {
                asks.questions.fetch_add(1, Ordering::AcqRel);
                if asks.obliging.load(Ordering::Acquire) {
                    let _ = asks.says.send(framed(null_answer(id)));
                    continue;
                }
            }
            let _ = asks.hand.send(command);
        }
    }
}

async fn say(mut stdout: DuplexStream, mut said: mpsc::UnboundedReceiver<Bytes>) {
    while let Some(bytes) = said.recv().await {
        if stdout.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

/// A channel with a fallback, its controller, and the children that are started.
struct Trio {
    channel: Channel,
    peer: Peer,
    script: Arc<Script>,
    children: mpsc::UnboundedReceiver<Kid>,
}

impl Trio {
    async fn child(&mut self) -> Kid {
        soon(self.children.recv()).await.unwrap()
    }

    /// A child that was started for a request, which it has answered.
    async fn busy_child(&mut self) -> Kid {
        self.peer.request(900, 0, callable("start"));
        let mut kid = self.child().await;
        kid.handed().await;
        kid.answer(900, 0, "started");
        assert_eq!(self.peer.text(900).await, "started");
        kid
    }

    /// No child was started.
    async fn no_child(&mut self) {
        settle().await;
        assert!(self.children.try_recv().is_err());
    }
}

/// Answers [`NATIVE`] callables and those with a native oid, relays the others.
fn mixed() -> Arc<dyn Service> {
    service(|_, callable| {
        Box::pin(async move {
            if !callable.is_a(NATIVE.name()) {
                return Reply::relayed();
            }
            let argument = callable.read_field::<Option<String>>("argument");
            argument.map_err(Throwable::from).into()
        })
    })
}

fn native(argument: impl Into<Datum>) -> Object {
    Object::new(&NATIVE).with("argument", argument.into())
}

fn script(children: mpsc::UnboundedSender<Kid>) -> Script {
    Script {
        children,
        refusals: Mutex::default(),
        generations: Mutex::default(),
        restartable: false,
        noise: b"",
        greets: true,
    }
}

fn trio_with(
    service: Arc<dyn Service>,
    change_script: impl FnOnce(&mut Script),
    change_options: impl FnOnce(&mut RelayOptions),
) -> Trio {
    trio_with_room(100_000, service, change_script, change_options)
}

/// With a controller that takes so many commands before it makes the channel wait.
fn trio_with_room(
    room: usize,
    service: Arc<dyn Service>,
    change_script: impl FnOnce(&mut Script),
    change_options: impl FnOnce(&mut RelayOptions),
) -> Trio {
    let (sender, children) = mpsc::unbounded_channel();
    let mut script = script(sender);
    change_script(&mut script);
    let script = Arc::new(script);
    let mut relay = RelayOptions::new(Arc::clone(&script) as Arc<dyn Fallback>);
    relay.capability = Capability::from_mask(CONTROLLER);
    change_options(&mut relay);
    let (to_channel, commands_in) = mpsc::unbounded_channel();
    let (commands_out, from_channel) = mpsc::channel(room);
    let source = MemorySource { commands: commands_in, reason: Some(CloseReason::normal()) };
    let sink = MemorySink(Some(commands_out));
    let options = ChannelOptions::new(service);
    let channel = Channel::start_with_fallback(source, sink, options, relay).unwrap();
    let encoder = Encoder::new().unwrap();
    let peer = Peer { encoder, to_channel: Some(to_channel), from_channel };
    Trio { channel, peer, script, children }
}

fn trio() -> Trio {
    trio_with(mixed(), |_| {}, |_| {})
}

impl Peer {
    /// A user request, and the bytes that were sent for it.
    fn request_raw(&self, id: i32, last_io: i32, callable: Object) -> Bytes {
        let raw = request_bytes(id, last_io, user_stream(callable.into()));
        self.send_bytes(raw.clone());
        raw
    }

    /// Sends a command and gives the bytes sent.
    fn send_raw(&self, command: Outgoing) -> Bytes {
        let raw = self.encoder.encode(command).unwrap();
        self.send_bytes(raw.clone());
        raw
    }

    async fn thrown(&mut self, id: i32) -> String {
        match self.response(id).await.1 {
            Outcome::Thrown { message } => message,
            other => panic!("expected an exception, got {other:?}"),
        }
    }
}

fn request_bytes(id: i32, last_io: i32, payload: Vec<u8>) -> Bytes {
    let handler = Object::new(&class::INVOCATION_HANDLER).with("oid", CORE);
    let interfaces =
        &["hudson.remoting.RemoteClassLoader$IClassLoader", "hudson.remoting.IReadResolve"];
    let request = Object::new(&class::USER_REQUEST)
        .with("id", id)
        .with("lastIoId", last_io)
        .with("classLoaderProxy", Datum::Proxy(interfaces, Box::new(handler)))
        .with("request", payload)
        .with("toString", "demo");
    encode(&request.into(), &mut Plain).unwrap().into()
}

/// An outer call on an export.
fn outer_call(id: i32, last_io: i32, oid: i32) -> Object {
    Object::new(&class::RPC_REQUEST)
        .with("id", id)
        .with("lastIoId", last_io)
        .with("oid", oid)
        .with("methodName", "getName")
        .with("arguments", Datum::Array(&jdk::OBJECT_ARRAY, vec![]))
}

fn raw_of(object: Object) -> Bytes {
    encode(&object.into(), &mut Plain).unwrap().into()
}

//! A connection of the scripted controller to an agent, and what an honest controller does on it.

use std::future::poll_fn;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _};
use java_object_stream::{Graph, ReadOptions};
use jenkins_remoting::command::{Command, Outcome};
use jenkins_remoting::framing::ChunkReader;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::commands::recorded;
use super::controller::BoxedIo;
use super::within;

/// What a controller puts into one chunk and message, in bytes.
const CHUNK: usize = 8192;

pub struct Connection {
    socket: WebSocketStream<BoxedIo>,
    reader: ChunkReader,
    /// Commands of the agent that nobody waited for.
    pub others: Vec<Command>,
}

/// What comes from the agent.
enum Incoming {
    Command(Command),
    Pong(Bytes),
    End,
}

impl Connection {
    pub async fn new(io: BoxedIo) -> Self {
        let socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        Self { socket, reader: ChunkReader::default(), others: Vec::new() }
    }

    /// Sends a command in chunks of the usual size.
    pub async fn send(&mut self, command: &[u8]) {
        self.try_send(command).await.unwrap();
    }

    pub async fn try_send(&mut self, command: &[u8]) -> Result<(), Error> {
        for message in chunked(command) {
            self.socket.feed(Message::Binary(message)).await?;
        }
        self.socket.flush().await
    }

    /// Sends one message of the WebSocket as it is.
    pub async fn message(&mut self, message: Message) {
        // An agent that has hung up because of what came before is what some tests want.
        let _ = self.socket.send(message).await;
    }

    pub async fn binary(&mut self, bytes: impl Into<Bytes>) {
        self.message(Message::Binary(bytes.into())).await;
    }

    /// Writes below the WebSocket.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let io = self.socket.get_mut();
        io.write_all(bytes).await.unwrap();
        io.flush().await.unwrap();
    }

    pub async fn close(&mut self, code: u16, text: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: text.into() };
        self.message(Message::Close(Some(frame))).await;
    }

    async fn next(&mut self) -> Incoming {
        loop {
            if let Some(command) = self.reader.next_command().unwrap() {
                return Incoming::Command(Command::decode(&command).unwrap());
            }
            // What could not be sent while the agent took nothing leaves with the reading.
            let message = poll_fn(|cx| {
                let _ = self.socket.poll_flush_unpin(cx);
                self.socket.poll_next_unpin(cx)
            });
            match within("something from the agent", message).await {
                Some(Ok(Message::Binary(bytes))) => self.reader.feed(bytes),
                Some(Ok(Message::Pong(payload))) => return Incoming::Pong(payload),
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Incoming::End,
                Some(Ok(other)) => panic!("the agent sent {other:?}"),
            }
        }
    }

    /// The next command; `None` once the agent has hung up.
    pub async fn command(&mut self) -> Option<Command> {
        loop {
            match self.next().await {
                Incoming::Command(command) => return Some(command),
                Incoming::Pong(_) => {}
                Incoming::End => return None,
            }
        }
    }

    /// The answer to a request.
    pub async fn answer(&mut self, request: i32) -> Outcome {
        loop {
            match self.command().await {
                Some(Command::Response { id, outcome, .. }) if id == request => return outcome,
                Some(other) => self.others.push(other),
                None => panic!("the agent hung up instead of answering request {request}"),
            }
        }
    }

    /// The reason why a request was refused.
    pub async fn refusal(&mut self, request: i32) -> String {
        match self.answer(request).await {
            Outcome::Failed { message } | Outcome::Thrown { message } => message,
            other => panic!("request {request} was not refused: {other:?}"),
        }
    }

    /// Sends a ping of the WebSocket and waits for its pong.
    pub async fn ping(&mut self, payload: &'static [u8]) {
        self.message(Message::Ping(Bytes::from_static(payload))).await;
        loop {
            match self.next().await {
                Incoming::Pong(got) if got == payload => return,
                Incoming::End => panic!("the agent hung up instead of answering a ping"),
                Incoming::Pong(_) => {}
                Incoming::Command(command) => self.others.push(command),
            }
        }
    }

    /// What a controller asks first, and pings of both kinds: recorded requests, all answered.
    pub async fn exchange(&mut self) {
        self.send(&recorded(1)).await;
        let version =
            self.value(392, |graph| graph.root().unwrap().as_str().map(|text| text.into_owned()));
        assert_eq!(version.await.as_deref(), Some(pilotfish_agent::cli::REMOTING_VERSION));
        self.send(&recorded(8)).await;
        let unix = self.value(395, |graph| graph.root().unwrap().read_field::<bool>("value"));
        assert_eq!(unix.await, Ok(true));
        self.send(&recorded(17)).await;
        assert!(self.value(400, |graph| graph.root().unwrap().is_null()).await);
        self.ping(b"are you there").await;
    }

    async fn value<T>(&mut self, request: i32, read: impl FnOnce(&Graph<'_>) -> T) -> T {
        match self.answer(request).await {
            Outcome::Value(stream) => {
                read(&Graph::parse(&stream, &ReadOptions::default()).unwrap())
            }
            other => panic!("request {request} was answered with {other:?}"),
        }
    }
}

/// A command as messages of one chunk each.
pub fn chunked(command: &[u8]) -> Vec<Bytes> {
    let count = command.chunks(CHUNK).len();
    let message = |(index, chunk): (usize, &[u8])| {
        let more = if index + 1 < count { 0x8000 } else { 0 };
        let header = u16::try_from(chunk.len()).unwrap() | more;
        let mut message = BytesMut::from(header.to_be_bytes().as_slice());
        message.extend_from_slice(chunk);
        message.freeze()
    };
    command.chunks(CHUNK).enumerate().map(message).collect()
}

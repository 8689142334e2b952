//! One connection: commands in chunk framing, or bare messages for the comparators.

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use jenkins_remoting::framing::ChunkReader;
use pilotfish_replay::server::frames;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::error::Failed;

/// A connection of an agent or a comparator.
pub struct Link {
    socket: WebSocketStream<TcpStream>,
    reader: ChunkReader,
    commands: VecDeque<Bytes>,
    /// Binary messages received.
    pub messages: u64,
    /// Bytes in them.
    pub message_bytes: u64,
}

impl Link {
    /// A link over a socket that was upgraded.
    pub fn new(socket: WebSocketStream<TcpStream>) -> Self {
        Self {
            socket,
            reader: ChunkReader::default(),
            commands: VecDeque::new(),
            messages: 0,
            message_bytes: 0,
        }
    }

    /// Queues a command, cut as a real controller cuts them: 8192 bytes to a message.
    pub async fn feed(&mut self, command: &[u8]) -> Result<(), Failed> {
        for message in frames(command) {
            self.feed_message(message.into()).await?;
        }
        Ok(())
    }

    /// Queues a message as it is.
    pub async fn feed_message(&mut self, message: Bytes) -> Result<(), Failed> {
        Ok(self.socket.feed(Message::Binary(message)).await?)
    }

    /// Sends what is queued.
    pub async fn flush(&mut self) -> Result<(), Failed> {
        Ok(self.socket.flush().await?)
    }

    /// Asks for a sign of life, as a controller does twice a minute.
    pub async fn ping(&mut self) -> Result<(), Failed> {
        Ok(self.socket.send(Message::Ping(Bytes::new())).await?)
    }

    /// Tells a comparator that nothing more comes.
    pub async fn end(&mut self) -> Result<(), Failed> {
        Ok(self.socket.send(Message::Text("end".into())).await?)
    }

    /// The next binary message; none once a comparator says that it has sent everything.
    pub async fn message(&mut self) -> Result<Option<Bytes>, Failed> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => {
                    self.messages += 1;
                    self.message_bytes += bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Some(Ok(Message::Text(_) | Message::Close(_))) => return Ok(None),
                Some(Ok(_)) => {}
                None => return Err(Error::ConnectionClosed.into()),
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }

    /// The next message if there is one already.
    pub fn ready_message(&mut self) -> Result<Option<Bytes>, Failed> {
        self.message().now_or_never().unwrap_or(Ok(None))
    }

    /// The next command.
    pub async fn command(&mut self) -> Result<Bytes, Failed> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Ok(command);
            }
            let Some(message) = self.message().await? else {
                return Err(Failed::Agent("it closed the connection".to_owned()));
            };
            for command in self.reader.push(message) {
                self.commands.push_back(command?);
            }
        }
    }

    /// The next command if there is one already. Dropping the wait for one loses nothing: a message that
    /// was taken from the socket is read to commands at once.
    pub fn ready_command(&mut self) -> Result<Option<Bytes>, Failed> {
        match self.command().now_or_never() {
            Some(command) => command.map(Some),
            None => Ok(None),
        }
    }
}

//! The controller's front door: `/login`, the WebSocket upgrade at `/wsagents/`, and chunk framing.
//!
//! Framing is written here anew rather than taken from the agent's crate: a mistake made on both sides
//! would go unseen.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::error::ReplayError;

/// Jetty's default for binary messages, in bytes: a controller closes the connection above it.
const MAX_MESSAGE: usize = 65_536;

/// How the official controller cuts its commands, in bytes.
const CHUNK: usize = 8192;

/// Headers of the controller's answer that mean something to an agent.
const ANSWERED: [&str; 3] =
    ["X-Remoting-Capability", "X-Remoting-Minimum-Version", "Connection-Cookie"];

/// A port at which agents are waited for.
pub struct Door {
    listener: TcpListener,
}

/// An agent's connection.
pub struct Link {
    socket: WebSocketStream<TcpStream>,
    /// The headers of the agent's request.
    pub request: Vec<(String, String)>,
    /// Whether it asked for `/login` before.
    pub probed: bool,
    input: Vec<u8>,
    partial: Vec<u8>,
}

/// What came from the agent.
#[derive(Debug)]
pub enum Incoming {
    /// Whole commands, perhaps none.
    Commands(Vec<Vec<u8>>),
    /// A pong with its payload.
    Pong,
    /// The agent closed the connection.
    Closed,
}

impl Door {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    /// When there is none.
    pub async fn open() -> Result<Self, ReplayError> {
        Ok(Self { listener: TcpListener::bind(("127.0.0.1", 0)).await? })
    }

    /// The address for the agent.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn url(&self) -> Result<String, ReplayError> {
        Ok(format!("http://127.0.0.1:{}/", self.listener.local_addr()?.port()))
    }

    /// Serves `/login` until an agent asks for the upgrade, and grants that.
    ///
    /// # Errors
    /// When the agent asks for something else, or the connection fails.
    pub async fn accept(&self, response: &[(String, String)]) -> Result<Link, ReplayError> {
        let mut probed = false;
        loop {
            let (mut stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            let line = request_line(&stream).await?;
            let path = line.split(' ').nth(1).unwrap_or_default();
            match path.split('?').next() {
                Some("/login") => {
                    probed = true;
                    login(&mut stream).await?;
                }
                Some("/wsagents/") => return upgrade(stream, response, probed).await,
                _ => {
                    return Err(ReplayError::Session(format!(
                        "the agent asked for {line:?}, which no controller serves"
                    )));
                }
            }
        }
    }
}

/// The request line, without taking it from the stream.
async fn request_line(stream: &TcpStream) -> Result<String, ReplayError> {
    let mut buffer = [0; 4096];
    for _ in 0..1000 {
        let length = stream.peek(&mut buffer).await?;
        let text = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
        if let Some((line, _)) = text.split_once("\r\n") {
            return Ok(line.to_owned());
        }
        if length == 0 {
            break;
        }
        // `peek` returns at once as long as there is anything: give the rest of the line time.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(ReplayError::Session("a connection without a request line".to_owned()))
}

async fn login(stream: &mut TcpStream) -> Result<(), ReplayError> {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < 65_536 {
        let length = stream.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        request.extend_from_slice(buffer.get(..length).unwrap_or_default());
    }
    let body = "<html></html>";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(())
}

async fn upgrade(
    stream: TcpStream,
    response: &[(String, String)],
    probed: bool,
) -> Result<Link, ReplayError> {
    let mut request = Vec::new();
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let callback = |asked: &Request, mut answer: Response| -> Result<Response, ErrorResponse> {
        request = asked
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        for (name, value) in response {
            if ANSWERED.iter().any(|known| known.eq_ignore_ascii_case(name))
                && let (Ok(name), Ok(value)) =
                    (name.parse::<HeaderName>(), HeaderValue::from_str(value))
            {
                answer.headers_mut().insert(name, value);
            }
        }
        Ok(answer)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, callback).await?;
    Ok(Link { socket, request, probed, input: Vec::new(), partial: Vec::new() })
}

impl Link {
    /// The first value of a header of the agent's request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Sends a command.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn send(&mut self, command: &[u8]) -> Result<(), ReplayError> {
        for message in frames(command) {
            self.socket.feed(Message::Binary(message.into())).await?;
        }
        Ok(self.socket.flush().await?)
    }

    /// Sends a ping.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn ping(&mut self) -> Result<(), ReplayError> {
        Ok(self.socket.send(Message::Ping(Vec::new().into())).await?)
    }

    /// Closes the connection as a controller does.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn close(&mut self) -> Result<(), ReplayError> {
        let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
        Ok(self.socket.send(Message::Close(Some(frame))).await?)
    }

    /// Waits for the agent.
    ///
    /// # Errors
    /// When the agent breaks the rules of the transport.
    pub async fn receive(&mut self) -> Result<Incoming, ReplayError> {
        use tokio_tungstenite::tungstenite::Error;
        match self.socket.next().await {
            None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                Ok(Incoming::Closed)
            }
            Some(Err(Error::Protocol(_) | Error::Io(_))) => Ok(Incoming::Closed),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(Message::Pong(_))) => Ok(Incoming::Pong),
            // Keep-alive of the WebSocket itself: the library has answered it, as Jetty does.
            Some(Ok(Message::Ping(_))) => Ok(Incoming::Commands(Vec::new())),
            Some(Ok(Message::Close(_))) => Ok(Incoming::Closed),
            Some(Ok(Message::Binary(bytes))) => {
                if bytes.len() > MAX_MESSAGE {
                    let length = bytes.len();
                    return Err(ReplayError::Session(format!(
                        "a message of {length} bytes; a controller closes the connection above {MAX_MESSAGE}"
                    )));
                }
                self.input.extend_from_slice(&bytes);
                Ok(Incoming::Commands(unframe(&mut self.input, &mut self.partial)))
            }
            Some(Ok(other)) => {
                Err(ReplayError::Session(format!("an unexpected message: {other:?}")))
            }
        }
    }
}

/// A command cut into chunks, one for each message.
#[must_use]
pub fn frames(command: &[u8]) -> Vec<Vec<u8>> {
    let count = command.len().div_ceil(CHUNK);
    command
        .chunks(CHUNK)
        .enumerate()
        .map(|(index, piece)| {
            let more = if index + 1 < count { 0x8000 } else { 0 };
            let length = u16::try_from(piece.len()).unwrap_or(0x7fff);
            let mut message = (length | more).to_be_bytes().to_vec();
            message.extend_from_slice(piece);
            message
        })
        .collect()
}

/// The commands that are complete; the rest stays in `input` and `partial`.
pub fn unframe(input: &mut Vec<u8>, partial: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut commands = Vec::new();
    let mut at = 0;
    while let Some(&[high, low]) = input.get(at..at + 2) {
        let header = u16::from_be_bytes([high, low]);
        let length = usize::from(header & 0x7fff);
        let Some(piece) = input.get(at + 2..at + 2 + length) else { break };
        partial.extend_from_slice(piece);
        at += 2 + length;
        if header & 0x8000 == 0 && !partial.is_empty() {
            commands.push(std::mem::take(partial));
        }
    }
    input.drain(..at);
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_any_cut_give_the_command_back() {
        let command: Vec<u8> = (0..20_000).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let all = frames(&command).concat();
        for step in [1, 3, 8194, 30_000] {
            let (mut input, mut partial, mut got) = (Vec::new(), Vec::new(), Vec::new());
            for piece in all.chunks(step) {
                input.extend_from_slice(piece);
                got.extend(unframe(&mut input, &mut partial));
            }
            assert_eq!(got.concat(), command);
        }
    }
}

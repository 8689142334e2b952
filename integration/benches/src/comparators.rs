//! What the figures are compared with: the plainest blocking programs that move the same bytes over the
//! same WebSocket library, each a process of its own as an agent is.
//!
//! A comparator connects, waits for a message that tells it to go, works, and says that it is done with a
//! text message.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, client::client_with_config};

use crate::controller::door::{BARE, Door};
use crate::controller::link::Link;
use crate::error::Failed;

/// Level of `java.util.zip.GZIPOutputStream`, which the agent uses.
const GZIP_LEVEL: u32 = 6;

/// A comparator and what it works on.
#[derive(Debug, clap::Subcommand)]
#[command(hide = true)]
#[expect(clippy::enum_variant_names, reason = "the names are commands, apart from the figures'")]
pub enum Comparator {
    /// Sends `bytes` bytes in messages of `message` bytes
    CompareSend {
        /// Where the figure listens
        address: String,
        /// Bytes in all
        bytes: u64,
        /// Bytes in each message
        message: usize,
    },
    /// Writes what comes to a file
    CompareReceive {
        /// Where the figure listens
        address: String,
        /// The file
        file: PathBuf,
    },
    /// Answers each message with one of `message` bytes
    CompareEcho {
        /// Where the figure listens
        address: String,
        /// Bytes in each answer
        message: usize,
    },
    /// Sends a directory as tar.gz in messages of `message` bytes
    CompareTar {
        /// Where the figure listens
        address: String,
        /// The directory
        dir: PathBuf,
        /// Bytes in each message
        message: usize,
    },
    /// Unpacks the tar.gz that comes into a directory
    CompareUntar {
        /// Where the figure listens
        address: String,
        /// The directory
        dir: PathBuf,
    },
}

/// A started comparator. Dropped, it is killed.
pub struct Started {
    /// Its connection.
    pub link: Link,
    child: tokio::process::Child,
}

impl Started {
    /// Its process id.
    pub fn pid(&self) -> Result<u32, Failed> {
        self.child.id().ok_or_else(|| Failed::Agent("the comparator has ended".to_owned()))
    }
}

/// Starts this program as a comparator; `rest` are its arguments after the address.
pub async fn start(door: &mut Door, name: &str, rest: &[&str]) -> Result<Started, Failed> {
    let mut command = tokio::process::Command::new(std::env::current_exe()?);
    command.arg(name).arg(door.address()).args(rest).stdin(Stdio::null()).kill_on_drop(true);
    let child = command.spawn()?;
    Ok(Started { link: door.next().await?, child })
}

/// The main function of a comparator.
pub fn run(comparator: &Comparator) -> Result<(), Failed> {
    match comparator {
        Comparator::CompareSend { address, bytes, message } => send(address, *bytes, *message),
        Comparator::CompareReceive { address, file } => receive(address, file),
        Comparator::CompareEcho { address, message } => echo(address, *message),
        Comparator::CompareTar { address, dir, message } => tar(address, dir, *message),
        Comparator::CompareUntar { address, dir } => untar(address, dir),
    }
}

type Socket = WebSocket<TcpStream>;

fn connect(address: &str) -> Result<Socket, Failed> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let request = format!("ws://{address}{BARE}").into_client_request()?;
    // The library's own buffer sizes.
    let config = WebSocketConfig::default();
    match client_with_config(request, stream, Some(config)) {
        Ok((socket, _)) => Ok(socket),
        Err(error) => Err(Failed::Missing(format!("no WebSocket at {address}: {error}"))),
    }
}

/// The next binary message; none at the end.
fn next(socket: &mut Socket) -> Result<Option<Bytes>, Failed> {
    loop {
        match socket.read() {
            Ok(Message::Binary(bytes)) => return Ok(Some(bytes)),
            Ok(Message::Text(_) | Message::Close(_)) | Err(Error::ConnectionClosed) => {
                return Ok(None);
            }
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn done(mut socket: Socket) -> Result<(), Failed> {
    socket.send(Message::Text("done".into()))?;
    // The figure hangs up once it has seen that.
    while let Ok(Some(_)) = next(&mut socket) {}
    Ok(())
}

fn send(address: &str, total: u64, message: usize) -> Result<(), Failed> {
    let mut socket = connect(address)?;
    let data = Bytes::from(vec![b'x'; message]);
    next(&mut socket)?;
    let mut left = usize::try_from(total).unwrap_or(usize::MAX);
    while left > 0 {
        let piece = data.slice(..message.min(left));
        left -= piece.len();
        socket.write(Message::Binary(piece))?;
    }
    done(socket)
}

fn receive(address: &str, file: &Path) -> Result<(), Failed> {
    let mut socket = connect(address)?;
    let mut file = std::fs::File::create(file)?;
    while let Some(message) = next(&mut socket)? {
        file.write_all(&message)?;
    }
    done(socket)
}

fn echo(address: &str, message: usize) -> Result<(), Failed> {
    let mut socket = connect(address)?;
    let answer = Bytes::from(vec![b'x'; message]);
    while next(&mut socket)?.is_some() {
        socket.send(Message::Binary(answer.clone()))?;
    }
    Ok(())
}

fn tar(address: &str, dir: &Path, message: usize) -> Result<(), Failed> {
    let mut socket = connect(address)?;
    next(&mut socket)?;
    let out = Messages { socket, buffer: Vec::with_capacity(message), size: message };
    let mut archive = ::tar::Builder::new(GzEncoder::new(out, Compression::new(GZIP_LEVEL)));
    archive.append_dir_all(".", dir)?;
    let mut out = archive.into_inner()?.finish()?;
    out.flush()?;
    done(out.socket)
}

fn untar(address: &str, dir: &Path) -> Result<(), Failed> {
    let mut socket = connect(address)?;
    let input = Arriving { socket: &mut socket, message: Bytes::new() };
    ::tar::Archive::new(GzDecoder::new(input)).unpack(dir)?;
    done(socket)
}

/// A writer that sends full messages.
struct Messages {
    socket: Socket,
    buffer: Vec<u8>,
    size: usize,
}

impl Write for Messages {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let part = data.get(..self.size - self.buffer.len()).unwrap_or(data);
        self.buffer.extend_from_slice(part);
        if self.buffer.len() == self.size {
            let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(self.size));
            self.socket.write(Message::Binary(full.into())).map_err(io::Error::other)?;
        }
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let rest = std::mem::take(&mut self.buffer);
            self.socket.write(Message::Binary(rest.into())).map_err(io::Error::other)?;
        }
        self.socket.flush().map_err(io::Error::other)
    }
}

/// A reader of messages.
struct Arriving<'s> {
    socket: &'s mut Socket,
    message: Bytes,
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.message.is_empty() {
            match next(self.socket).map_err(io::Error::other)? {
                Some(message) => self.message = message,
                None => return Ok(0),
            }
        }
        let taken = self.message.split_to(self.message.len().min(buffer.len()));
        if let Some(place) = buffer.get_mut(..taken.len()) {
            place.copy_from_slice(&taken);
        }
        Ok(taken.len())
    }
}

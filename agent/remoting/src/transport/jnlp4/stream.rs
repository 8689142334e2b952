//! Commands over an open stream of bytes: both halves, time limits, close.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::options::Jnlp4Options;
use crate::framing::{ChunkReader, ChunkWriter};
use crate::transport::http_client::BoxedStream;
use crate::transport::{CloseReason, CommandSink, CommandSource, TransportError};

/// Bytes read at once: the content of one TLS record. Also what an idle connection holds for reading.
const READ_BYTES: usize = 16 << 10;
/// Below this much room the read buffer is made anew, in bytes.
const LEAST_READ_BYTES: usize = 4 << 10;
/// How long the goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The receiving half of a connection to the agent port.
pub struct TcpSource {
    io: ReadHalf<BoxedStream>,
    reader: ChunkReader,
    buffer: BytesMut,
    silence: Duration,
    closing: Arc<AtomicBool>,
    /// How the connection ended, once it has.
    end: Option<Result<CloseReason, TransportError>>,
}

/// The sending half of a connection to the agent port.
pub struct TcpSink {
    io: WriteHalf<BoxedStream>,
    writer: ChunkWriter,
    /// What is being written: taken from the writer, and not yet taken by the socket.
    current: Bytes,
    write_timeout: Duration,
    closing: Arc<AtomicBool>,
}

/// Both halves of a stream that begins with these bytes.
pub(super) fn start(io: BoxedStream, early: Bytes, options: &Jnlp4Options) -> (TcpSource, TcpSink) {
    let (read, write) = tokio::io::split(io);
    let closing = Arc::new(AtomicBool::new(false));
    let mut reader = ChunkReader::with_limit(options.max_command_bytes);
    reader.feed(early);
    let source = TcpSource {
        io: read,
        reader,
        buffer: BytesMut::new(),
        silence: options.silence,
        closing: Arc::clone(&closing),
        end: None,
    };
    let sink = TcpSink {
        io: write,
        writer: ChunkWriter::new(options.framing),
        current: Bytes::new(),
        write_timeout: options.timeouts.write,
        closing,
    };
    (source, sink)
}

impl TcpSource {
    async fn advance(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            if let Some(command) = self.reader.next_command()? {
                return Ok(Some(command));
            }
            if self.buffer.capacity() < LEAST_READ_BYTES {
                self.buffer.reserve(READ_BYTES);
            }
            let seconds = self.silence.as_secs();
            let read = timeout(self.silence, self.io.read_buf(&mut self.buffer)).await;
            match read.map_err(|_| TransportError::PeerSilent { seconds })? {
                Ok(0) => return self.ended("end of the stream"),
                Ok(_) => self.reader.feed(self.buffer.split().freeze()),
                // A peer that hangs up instead of answering the goodbye is no failure.
                Err(_) if self.closing.load(Ordering::Relaxed) => return self.ended("hung up"),
                Err(error) => return Err(lost(&error)),
            }
        }
    }

    fn ended(&mut self, text: &str) -> Result<Option<Bytes>, TransportError> {
        if self.reader.is_mid_command() {
            let detail = format!("it ended in the middle of a command ({text})");
            return Err(TransportError::ConnectionLost { detail });
        }
        self.end = Some(Ok(CloseReason { code: None, text: text.to_owned() }));
        Ok(None)
    }
}

impl CommandSource for TcpSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, TransportError> {
        match &self.end {
            Some(Ok(_)) => return Ok(None),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
        let result = self.advance().await;
        if let Err(error) = &result {
            self.end = Some(Err(error.clone()));
        }
        result
    }

    fn close_reason(&self) -> Option<CloseReason> {
        self.end.as_ref()?.as_ref().ok().cloned()
    }
}

impl TcpSink {
    /// Writes what `take` yields. What the socket has not taken stays in `current`, so a dropped future loses
    /// nothing.
    async fn write(
        &mut self,
        take: fn(&mut ChunkWriter) -> Option<Bytes>,
    ) -> Result<(), TransportError> {
        if self.closing.load(Ordering::Relaxed) {
            return Err(TransportError::AlreadyClosed);
        }
        loop {
            while self.current.has_remaining() {
                let write = timeout(self.write_timeout, self.io.write_buf(&mut self.current));
                match write.await.map_err(|_| self.timed_out())? {
                    Ok(0) => return Err(lost(&io::ErrorKind::WriteZero.into())),
                    Ok(_) => {}
                    Err(error) => return Err(lost(&error)),
                }
            }
            match take(&mut self.writer) {
                Some(message) => self.current = message,
                None => return Ok(()),
            }
        }
    }

    fn timed_out(&self) -> TransportError {
        TransportError::WriteTimeout { seconds: self.write_timeout.as_secs() }
    }
}

impl CommandSink for TcpSink {
    async fn send(&mut self, command: Bytes) -> Result<(), TransportError> {
        self.writer.push(command);
        if self.writer.has_full_message() {
            return self.write(ChunkWriter::full_message).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        self.write(ChunkWriter::next_message).await?;
        match timeout(self.write_timeout, self.io.flush()).await {
            Ok(result) => result.map_err(|error| lost(&error)),
            Err(_) => Err(self.timed_out()),
        }
    }

    /// The reason is not sent: there is no place for it in this transport.
    async fn close(&mut self, _reason: CloseReason) -> Result<(), TransportError> {
        let goodbye = async {
            self.flush().await?;
            self.closing.store(true, Ordering::Relaxed);
            self.io.shutdown().await.map_err(|error| lost(&error))
        };
        let seconds = CLOSE_TIMEOUT.as_secs();
        let result = timeout(CLOSE_TIMEOUT, goodbye).await;
        self.closing.store(true, Ordering::Relaxed);
        result.unwrap_or(Err(TransportError::WriteTimeout { seconds }))
    }
}

/// The end of a connection that did not work any more, in words.
fn lost(error: &io::Error) -> TransportError {
    let detail = match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the controller or something in between ended it without a word".to_owned()
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            format!("the controller or something in between dropped it ({error})")
        }
        io::ErrorKind::TimedOut => {
            "the other end confirmed neither data nor keep-alive probes: it is gone, or the network in \
             between is"
                .to_owned()
        }
        _ => error.to_string(),
    };
    TransportError::ConnectionLost { detail }
}

impl fmt::Debug for TcpSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpSource").field("end", &self.end).finish_non_exhaustive()
    }
}

impl fmt::Debug for TcpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpSink").field("writer", &self.writer).finish_non_exhaustive()
    }
}

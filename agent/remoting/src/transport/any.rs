//! A transport of either kind, for who serves a channel and does not care which it is.

use bytes::Bytes;

use super::{
    CloseReason, CommandSink, CommandSource, TcpSink, TcpSource, TransportError, WebSocketSink,
    WebSocketSource,
};

/// The receiving half of a connection to a controller.
#[derive(Debug)]
pub enum AnySource {
    /// Over a WebSocket.
    WebSocket(WebSocketSource),
    /// Over TCP.
    Tcp(TcpSource),
}

/// The sending half of a connection to a controller.
#[derive(Debug)]
pub enum AnySink {
    /// Over a WebSocket.
    WebSocket(WebSocketSink),
    /// Over TCP.
    Tcp(TcpSink),
}

impl CommandSource for AnySource {
    async fn receive(&mut self) -> Result<Option<Bytes>, TransportError> {
        match self {
            Self::WebSocket(source) => source.receive().await,
            Self::Tcp(source) => source.receive().await,
        }
    }

    fn close_reason(&self) -> Option<CloseReason> {
        match self {
            Self::WebSocket(source) => source.close_reason(),
            Self::Tcp(source) => source.close_reason(),
        }
    }
}

impl CommandSink for AnySink {
    async fn send(&mut self, command: Bytes) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(sink) => sink.send(command).await,
            Self::Tcp(sink) => sink.send(command).await,
        }
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(sink) => sink.flush().await,
            Self::Tcp(sink) => sink.flush().await,
        }
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(sink) => sink.close(reason).await,
            Self::Tcp(sink) => sink.close(reason).await,
        }
    }
}

//! The port: `/login`, and the WebSocket upgrade at `/wsagents/` with a controller's headers.

use std::time::Duration;

use jenkins_remoting::capability::Capability;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

use super::link::Link;
use crate::error::Failed;

/// How long an agent may take to connect; a Java agent on a busy machine needs a while.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where comparators connect.
pub const BARE: &str = "/bare/";

/// A port at which agents and comparators are waited for. Connections are upgraded beside each other.
pub struct Door {
    port: u16,
    links: mpsc::UnboundedReceiver<Link>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    /// Listens on a free port of the loopback address.
    pub async fn open() -> Result<Self, Failed> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let (sender, links) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move {
                    // Whoever does not get through is missed by the one that waits for it.
                    if let Ok(Some(link)) = greet(stream).await {
                        let _ = sender.send(link);
                    }
                });
            }
        });
        Ok(Self { port, links, task })
    }

    /// The address for agents.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The address for comparators: host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The next connection.
    pub async fn next(&mut self) -> Result<Link, Failed> {
        match tokio::time::timeout(PATIENCE, self.links.recv()).await {
            Ok(Some(link)) => Ok(link),
            _ => Err(Failed::Agent(format!("nobody connected for {} s", PATIENCE.as_secs()))),
        }
    }
}

/// Answers one request; a link when it was an upgrade.
async fn greet(mut stream: TcpStream) -> Result<Option<Link>, Failed> {
    stream.set_nodelay(true)?;
    let mut head = [0; 16];
    // The first bytes of a request come in one piece.
    let length = stream.peek(&mut head).await?;
    if head
        .get(..length)
        .is_some_and(|head| head.starts_with(b"GET /wsagents/") || head.starts_with(b"GET /bare/"))
    {
        return Ok(Some(Link::new(upgrade(stream).await?)));
    }
    let mut request = Vec::new();
    while !request.windows(4).any(|window| window == b"\r\n\r\n") && request.len() < 65_536 {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(None);
        }
    }
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\
                  Connection: close\r\n\r\n<html></html>";
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    Ok(None)
}

async fn upgrade(stream: TcpStream) -> Result<WebSocketStream<TcpStream>, Failed> {
    let capability = HeaderValue::from_str(&Capability::CURRENT.to_base64());
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let callback = |_: &Request, mut answer: Response| -> Result<Response, ErrorResponse> {
        let headers = answer.headers_mut();
        if let Ok(capability) = capability {
            headers.insert("X-Remoting-Capability", capability);
        }
        headers
            .insert("X-Remoting-Minimum-Version", HeaderValue::from_static("3176.v207ec082a_8c0"));
        headers.insert(
            "Connection-Cookie",
            HeaderValue::from_static("9ce2ca30ef28374ec7acb3b77e9cc740"),
        );
        Ok(answer)
    };
    // What a connection holds matters for a thousand of them, not for the streams.
    let config = WebSocketConfig::default().read_buffer_size(64 << 10);
    Ok(accept_hdr_async_with_config(stream, callback, Some(config)).await?)
}

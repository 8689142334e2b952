//! A small controller and a small proxy, scripted by the tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use jenkins_remoting::transport::{RootUrl, Secret, WebSocketOptions};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub type BoxedIo = Box<dyn Io>;
pub type ServerSocket = WebSocketStream<BoxedIo>;

pub const SECRET: &str = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2";
pub const CAPABILITY: &str =
    "rO0ABXNyABpodWRzb24ucmVtb3RpbmcuQ2FwYWJpbGl0eQAAAAAAAAABAgABSgAEbWFza3hwAAAAAAAAAf4=";
pub const MINIMUM: &str = "3176.v207ec082a_8c0";
pub const COOKIE: &str = "c0ffee00c0ffee00";

/// What the controller answers to one request.
pub enum Reply {
    /// These bytes, then the end of the connection.
    Raw(String),
    /// A 101 with these headers beside the necessary ones; the socket goes to the test.
    Upgrade(Vec<(&'static str, String)>),
    /// A 101 whose accept key does not fit.
    BadUpgrade,
    /// No answer; the connection stays open.
    Silence,
}

/// The headers a controller sends with a 101.
pub fn usual() -> Vec<(&'static str, String)> {
    vec![
        ("X-Remoting-Capability", CAPABILITY.to_owned()),
        ("X-Remoting-Minimum-Version", MINIMUM.to_owned()),
        ("Connection-Cookie", COOKIE.to_owned()),
    ]
}

pub fn page(status: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

pub struct Controller {
    pub address: SocketAddr,
    pub sockets: mpsc::UnboundedReceiver<ServerSocket>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Controller {
    pub async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, reply).await
    }

    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sockets) = mpsc::unbounded_channel();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&heads), Arc::new(reply));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen, reply, sender) =
                    (tls.clone(), Arc::clone(&seen), Arc::clone(&reply), sender.clone());
                tokio::spawn(async move {
                    let mut io: BoxedIo = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let Some(head) = read_head(&mut io).await else { return };
                    seen.lock().unwrap().push(head.clone());
                    serve(io, &head, reply(&head), &sender).await;
                });
            }
        });
        Self { address, sockets, heads }
    }

    /// The request heads so far.
    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    pub fn options(&self) -> WebSocketOptions {
        options(&format!("http://{}/jenkins", self.address))
    }
}

pub fn options(url: &str) -> WebSocketOptions {
    WebSocketOptions::new(
        RootUrl::parse(url).unwrap(),
        "node 1",
        Secret::new(SECRET),
        "3355.v388858a_47b_33",
    )
}

async fn serve(
    mut io: BoxedIo,
    head: &str,
    reply: Reply,
    sockets: &mpsc::UnboundedSender<ServerSocket>,
) {
    match reply {
        Reply::Raw(text) => {
            let _ = io.write_all(text.as_bytes()).await;
            let _ = io.shutdown().await;
        }
        Reply::Silence => std::future::pending().await,
        Reply::BadUpgrade => {
            let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
            let _ = io.write_all(text.as_bytes()).await;
        }
        Reply::Upgrade(headers) => {
            let key = header(head, "Sec-WebSocket-Key").unwrap();
            let mut text = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n",
                derive_accept_key(key.as_bytes())
            );
            for (name, value) in headers {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
            text.push_str("\r\n");
            io.write_all(text.as_bytes()).await.unwrap();
            let _ = sockets.send(WebSocketStream::from_raw_socket(io, Role::Server, None).await);
        }
    }
}

/// Reads up to the empty line, byte by byte so that nothing behind it is lost.
pub async fn read_head(io: &mut BoxedIo) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}

/// The value of a header in a request head; names in any case.
pub fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

/// A proxy that tunnels with CONNECT to wherever `route` says.
pub struct Proxy {
    pub address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// `authorization`: the value of `Proxy-Authorization` it wants. All tunnels end at `target`.
    pub async fn start(
        tls: Option<TlsAcceptor>,
        authorization: Option<&'static str>,
        target: SocketAddr,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, seen) = (tls.clone(), Arc::clone(&seen));
                tokio::spawn(async move {
                    let mut io: BoxedIo = match tls {
                        None => Box::new(stream),
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    let Some(head) = read_head(&mut io).await else { return };
                    seen.lock().unwrap().push(head.clone());
                    let answer = if head.contains("forbidden.test") {
                        "HTTP/1.1 403 Forbidden\r\nContent-Length: 26\r\n\r\n<title>Not allowed</title>"
                    } else if header(&head, "Proxy-Authorization").as_deref() != authorization {
                        "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
                    } else {
                        "HTTP/1.1 200 Connection established\r\n\r\n"
                    };
                    io.write_all(answer.as_bytes()).await.unwrap();
                    if answer.starts_with("HTTP/1.1 200") {
                        let mut target = TcpStream::connect(target).await.unwrap();
                        let _ = tokio::io::copy_bidirectional(&mut io, &mut target).await;
                    } else {
                        let _ = io.shutdown().await;
                    }
                });
            }
        });
        Self { address, heads }
    }

    pub fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

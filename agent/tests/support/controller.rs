//! A small controller: it is ready, and hands each upgrade to the test, which decides what comes of it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use jenkins_remoting::capability::Capability;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connection::Connection;
use super::within;

/// Any connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub type BoxedIo = Box<dyn Io>;

pub const COOKIE: &str = "c0ffee00c0ffee00";
pub const MINIMUM: &str = "3176.v207ec082a_8c0";

pub struct Controller {
    pub url: String,
    upgrades: mpsc::UnboundedReceiver<Upgrade>,
    login: Arc<Mutex<VecDeque<String>>>,
}

/// A request for the WebSocket that is not answered yet.
pub struct Upgrade {
    pub head: String,
    io: BoxedIo,
}

impl Controller {
    pub async fn start() -> Self {
        Self::listen(None).await
    }

    /// With TLS, for the host `localhost`; the second value is the certificate to trust, as PEM.
    pub async fn start_with_tls() -> (Self, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        (Self::listen(Some(acceptor)).await, certificate.pem())
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // Small buffers of the kernel, so that it is soon felt who does not read.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.set_send_buffer_size(64 << 10).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(64).unwrap();
        let port = listener.local_addr().unwrap().port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (sender, upgrades) = mpsc::unbounded_channel();
        let login = Arc::new(Mutex::new(VecDeque::new()));
        let answers = Arc::clone(&login);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, tls.clone(), Arc::clone(&answers), sender.clone()));
            }
        });
        Self { url: format!("{scheme}://localhost:{port}/"), upgrades, login }
    }

    /// The next request for the WebSocket.
    pub async fn upgrade(&mut self) -> Upgrade {
        within("an upgrade request", self.upgrades.recv()).await.unwrap()
    }

    /// A request for the WebSocket that has come already.
    pub fn pending_upgrade(&mut self) -> Option<Upgrade> {
        self.upgrades.try_recv().ok()
    }

    /// The next agent, connected.
    pub async fn connection(&mut self) -> Connection {
        self.upgrade().await.accept().await
    }

    /// The next question whether the controller is ready gets this answer.
    pub fn answer_login(&self, answer: String) {
        self.login.lock().unwrap().push_back(answer);
    }
}

async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    login: Arc<Mutex<VecDeque<String>>>,
    upgrades: mpsc::UnboundedSender<Upgrade>,
) {
    let mut io: BoxedIo = match tls {
        None => Box::new(stream),
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = io.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    if head.starts_with("GET /wsagents/ ") {
        let _ = upgrades.send(Upgrade { head, io });
        return;
    }
    let answer = if head.starts_with("GET /login ") {
        login.lock().unwrap().pop_front().unwrap_or_else(|| page("200 OK", "", "<p>Sign in"))
    } else {
        page("404 Not Found", "", "")
    };
    let _ = io.write_all(answer.as_bytes()).await;
    let _ = io.shutdown().await;
}

/// An HTTP answer with a page. `headers` end with a line break each.
pub fn page(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )
}

impl Upgrade {
    /// The value of a header; names in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Answers as a controller does.
    pub async fn accept(self) -> Connection {
        let capability = Capability::CURRENT.to_base64();
        self.accept_with(&capability, MINIMUM).await
    }

    pub async fn accept_with(self, capability: &str, minimum: &str) -> Connection {
        let key = derive_accept_key(self.header("Sec-WebSocket-Key").unwrap().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\nX-Remoting-Capability: {capability}\r\n\
             X-Remoting-Minimum-Version: {minimum}\r\nConnection-Cookie: {COOKIE}\r\n\r\n"
        );
        let mut io = self.io;
        io.write_all(answer.as_bytes()).await.unwrap();
        Connection::new(io).await
    }

    /// Answers with these bytes and hangs up.
    pub async fn refuse(mut self, answer: &str) {
        let _ = self.io.write_all(answer.as_bytes()).await;
        let _ = self.io.shutdown().await;
    }
}

//! An agent port as a controller has it, driven step by step by a test. The keys were made for these tests.

use std::sync::Arc;

use jenkins_remoting::transport::{
    AgentEndpoint, InstanceIdentity, Jnlp4Error, Jnlp4Handshake, Jnlp4Options, Protocol, Secret,
    TcpSink, TcpSource, open_agent_port,
};
use rcgen::{CertificateParams, KeyPair, PublicKeyData};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::{CAPABILITY, SECRET};

pub const IDENTITY: &str = include_str!("identity.pem");
pub const OTHER: &str = include_str!("other.pem");
pub const PREAMBLE: &[u8] = b"\x00\x16Protocol:JNLP4-connect\x00\x03ACK";
pub const ACKNOWLEDGEMENT: &[u8] = b"\x00\x03ACK";

pub struct Port {
    pub listener: TcpListener,
    acceptor: TlsAcceptor,
    pub endpoint: AgentEndpoint,
}

impl Port {
    pub async fn start() -> Self {
        Self::with(IDENTITY, &[&version::TLS13, &version::TLS12]).await
    }

    /// A port that shows this key. What is expected of it is [`IDENTITY`] in any case.
    pub async fn with(key: &str, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let key = KeyPair::from_pem(key).unwrap();
        let certificate = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = AgentEndpoint {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
            identity: identity(IDENTITY),
            protocols: Vec::new(),
        };
        Self { listener, acceptor: TlsAcceptor::from(Arc::new(config)), endpoint }
    }

    /// The next connection, after the preamble of an agent.
    pub async fn accept(&self) -> TcpStream {
        let (mut io, _) = self.listener.accept().await.unwrap();
        let mut preamble = vec![0; PREAMBLE.len()];
        io.read_exact(&mut preamble).await.unwrap();
        assert_eq!(preamble, PREAMBLE);
        io
    }

    /// The next connection, after TLS was set up.
    pub async fn accept_tls(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let mut io = self.accept().await;
        io.write_all(ACKNOWLEDGEMENT).await?;
        self.acceptor.accept(io).await
    }

    /// The next connection, after an agent was taken; and what the agent said.
    pub async fn take(&self, headers: &str) -> (TlsStream<TcpStream>, String) {
        let mut io = self.accept_tls().await.unwrap();
        // All at once, as a controller may: its side depends on nothing the agent says.
        let told = read_record(&mut io).await;
        io.write_all(&[headers, "OK", CAPABILITY].map(record).concat()).await.unwrap();
        io.flush().await.unwrap();
        assert_eq!(read_record(&mut io).await, "OK");
        assert_eq!(read_record(&mut io).await, CAPABILITY);
        (io, told)
    }

    /// Connects to it as an agent.
    pub async fn connect(
        &self,
        options: &Jnlp4Options,
    ) -> Result<(TcpSource, TcpSink, Jnlp4Handshake), Jnlp4Error> {
        open_agent_port(options, &self.endpoint, Protocol::Jnlp4Connect)
            .await?
            .introduce(options)
            .await
    }
}

pub fn identity(key: &str) -> InstanceIdentity {
    InstanceIdentity::from_der(&KeyPair::from_pem(key).unwrap().subject_public_key_info()).unwrap()
}

pub fn options() -> Jnlp4Options {
    Jnlp4Options::new("node 1", Secret::new(SECRET), "3355.v388858a_47b_33")
}

pub fn record(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat()
}

pub async fn read_record(io: &mut (impl AsyncRead + Unpin)) -> String {
    let length = io.read_u16().await.unwrap();
    let mut text = vec![0; usize::from(length)];
    io.read_exact(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

pub async fn send_record(io: &mut (impl AsyncWrite + Unpin), text: &str) {
    io.write_all(&record(text)).await.unwrap();
    io.flush().await.unwrap();
}

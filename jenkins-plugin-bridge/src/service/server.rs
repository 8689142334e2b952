//! Listening: TLS, and limits on connections that no request may pass.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service as _;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;

use super::api::router;
use super::audit::Peer;
use super::state::Service;
use crate::error::BridgeError;

/// Limits on connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at the same time. Further ones wait in the queue of the system.
    pub connections: usize,
    /// The most time for the handshake of TLS, and for the head of a request.
    pub head: Duration,
    /// The most bytes of the head of a request.
    pub head_bytes: usize,
    /// How long requests under way may go on after the service was told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1024,
            head: Duration::from_secs(10),
            head_bytes: 32 << 10,
            drain: Duration::from_secs(20),
        }
    }
}

/// Files of TLS. They are read again when the service is told to, so that a new certificate needs
/// no restart.
#[derive(Debug)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
    config: RwLock<Arc<ServerConfig>>,
}

impl TlsFiles {
    /// Reads PEM files.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, BridgeError> {
        let config = RwLock::new(read_tls(certificate, key)?);
        Ok(Self { certificate: certificate.to_owned(), key: key.to_owned(), config })
    }

    /// Reads them again. Where they are not good the earlier ones stay.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn reload(&self) -> Result<(), BridgeError> {
        let config = read_tls(&self.certificate, &self.key)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

fn read_tls(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, BridgeError> {
    let failed =
        |file: &Path, message: String| BridgeError::Input { path: file.to_owned(), message };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(certificate, error.to_string()))?;
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| failed(certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A service that listens.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    service: Arc<Service>,
    tls: Option<Arc<TlsFiles>>,
    limits: Limits,
}

impl Server {
    /// Starts to listen. Nothing is accepted yet.
    ///
    /// # Errors
    /// The system's.
    pub async fn bind(
        address: SocketAddr,
        service: Arc<Service>,
        tls: Option<Arc<TlsFiles>>,
        limits: Limits,
    ) -> Result<Self, BridgeError> {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| BridgeError::io(format!("listen on {address}"), error))?;
        Ok(Self { listener, service, tls, limits })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn address(&self) -> Result<SocketAddr, BridgeError> {
        self.listener.local_addr().map_err(|error| BridgeError::io("tell the own address", error))
    }

    /// Serves until the future is done, then lets requests under way end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, service, tls, limits } = self;
        let app = router(&service);
        let places = Arc::new(Semaphore::new(limits.connections));
        let graceful = GracefulShutdown::new();
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&listener, &places) => accepted,
            };
            let Some((stream, peer, place)) = accepted else { continue };
            let connection = Connection {
                peer,
                app: app.clone(),
                service: Arc::clone(&service),
                tls: tls.as_ref().map(|tls| tls.acceptor()),
                limits,
                watcher: graceful.watcher(),
            };
            tokio::spawn(async move {
                connection.service.metrics.connections.fetch_add(1, Relaxed);
                let service = Arc::clone(&connection.service);
                connection.serve(stream).await;
                service.metrics.connections.fetch_sub(1, Relaxed);
                drop(place);
            });
        }
        drop(listener);
        if tokio::time::timeout(limits.drain, graceful.shutdown()).await.is_err() {
            tracing::warn!("requests were still under way and are cut");
        }
        service.store.close().await;
    }
}

/// The next connection, once there is a place for it; nothing where it broke already.
pub(crate) async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, Peer, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // Answers are small and whole: waiting to fill a packet would only delay them.
            let _ = stream.set_nodelay(true);
            Some((stream, Peer(peer), place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            // Out of file descriptors: a pause lets some come back.
            if !is_about_connection(&error) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            None
        }
    }
}

fn is_about_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

struct Connection {
    peer: Peer,
    app: Router,
    service: Arc<Service>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let Some(acceptor) = self.tls.clone() else { return self.http(stream).await };
        match tokio::time::timeout(self.limits.head, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.http(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn http(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let (app, peer) = (TowerToHyperService::new(self.app), self.peer);
        let app = hyper::service::service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            app.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            .max_buf_size(self.limits.head_bytes)
            .serve_connection(TokioIo::new(stream), app);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

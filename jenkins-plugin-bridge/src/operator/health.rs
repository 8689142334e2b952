//! How the operator is, for probes: whether it still asks for its lease, and whether the API server answers.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::coordination::v1::Lease;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::lease::KubernetesLeases;
use crate::cluster::ClusterError;
use crate::error::BridgeError;
use crate::service::{Leases, accept};

/// The lease is looked at every three seconds: whoever has not tried for so long hangs, and is to be started again.
const STUCK: Duration = Duration::from_secs(120);
/// An API server that has not answered for so long is away. That is nothing that a new start mends.
const AWAY: Duration = Duration::from_secs(30);
/// How long an answer about the lease may take.
const ANSWER: Duration = Duration::from_secs(10);
/// The most time of a connection: a probe asks once.
const CONNECTION: Duration = Duration::from_secs(10);
/// Connections at once: the kubelet's, and somebody's who looks.
const CONNECTIONS: usize = 16;

/// How the operator is.
#[derive(Debug)]
pub(super) struct Health(Mutex<Seen>);

#[derive(Debug)]
struct Seen {
    asked: Instant,
    answered: Option<Instant>,
    trouble: String,
    leads: bool,
}

impl Health {
    pub fn new(now: Instant) -> Self {
        Self(Mutex::new(Seen { asked: now, answered: None, trouble: String::new(), leads: false }))
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leads until the value is dropped.
    pub fn lead(self: &Arc<Self>) -> Leading {
        self.seen().leads = true;
        Leading(Arc::clone(self))
    }

    fn heard<T>(&self, now: Instant, answer: &Result<T, ClusterError>) {
        let mut seen = self.seen();
        match answer {
            Ok(_) => seen.answered = Some(now),
            Err(error) => seen.trouble = error.to_string(),
        }
    }

    /// Whether it goes on; why not.
    fn is_alive(&self, now: Instant) -> Result<&'static str, String> {
        let silent = now.saturating_duration_since(self.seen().asked);
        if silent < STUCK {
            return Ok("alive\n");
        }
        Err(format!("it has not asked for its lease for {} s\n", silent.as_secs()))
    }

    /// Whether it works, or would once it leads; why not.
    fn is_ready(&self, now: Instant) -> Result<&'static str, String> {
        let seen = self.seen();
        match seen.answered.map(|at| now.saturating_duration_since(at)) {
            Some(ago) if ago < AWAY => {
                Ok(if seen.leads { "leads\n" } else { "waits: another replica leads\n" })
            }
            Some(ago) => {
                let ago = ago.as_secs();
                Err(format!("the API server has not answered for {ago} s: {}\n", seen.trouble))
            }
            None => Err(format!("the lease was not read yet: {}\n", seen.trouble)),
        }
    }
}

/// See [`Health::lead`].
pub(super) struct Leading(Arc<Health>);

impl Drop for Leading {
    fn drop(&mut self) {
        self.0.seen().leads = false;
    }
}

/// Leases whose use says how the operator is.
pub(super) struct Watched {
    pub leases: KubernetesLeases,
    pub health: Arc<Health>,
}

impl Watched {
    async fn ask<T>(
        &self,
        answer: impl Future<Output = Result<T, ClusterError>>,
    ) -> Result<T, ClusterError> {
        self.health.seen().asked = Instant::now();
        let answer = tokio::time::timeout(ANSWER, answer).await.unwrap_or_else(|_| {
            let message = format!("it did not answer within {} s", ANSWER.as_secs());
            Err(ClusterError::Unreachable { action: "use the lease".to_owned(), message })
        });
        self.health.heard(Instant::now(), &answer);
        answer
    }
}

impl Leases for Watched {
    type Row = Lease;
    type Error = ClusterError;

    fn holder(row: &Lease) -> &str {
        KubernetesLeases::holder(row)
    }

    async fn read(&self, name: &str) -> Result<Lease, ClusterError> {
        self.ask(self.leases.read(name)).await
    }

    async fn take(&self, name: &str, seen: &Lease, holder: &str) -> Result<bool, ClusterError> {
        self.ask(self.leases.take(name, seen, holder)).await
    }

    async fn renew(&self, name: &str, holder: &str) -> Result<bool, ClusterError> {
        self.ask(self.leases.renew(name, holder)).await
    }

    async fn give_up(&self, name: &str, holder: &str) -> Result<(), ClusterError> {
        self.ask(self.leases.give_up(name, holder)).await
    }
}

fn answer(judged: Result<&'static str, String>) -> (StatusCode, String) {
    match judged {
        Ok(text) => (StatusCode::OK, text.to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

fn router(health: Arc<Health>) -> Router {
    let alive =
        |State(health): State<Arc<Health>>| async move { answer(health.is_alive(Instant::now())) };
    let ready =
        |State(health): State<Arc<Health>>| async move { answer(health.is_ready(Instant::now())) };
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready)).with_state(health)
}

/// Starts to listen for probes.
///
/// # Errors
/// The system's.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, BridgeError> {
    let bound = TcpListener::bind(address).await;
    bound.map_err(|error| BridgeError::io(format!("listen on {address}"), error))
}

/// Answers probes until it is dropped.
pub(super) async fn serve(listener: TcpListener, health: Arc<Health>) {
    let app = router(health);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Some((stream, _, place)) = accept(&listener, &places).await else { continue };
        let app = TowerToHyperService::new(app.clone());
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), app);
            // One that breaks or takes too long is nobody's loss.
            let _ = tokio::time::timeout(CONNECTION, connection).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unreachable() -> Result<(), ClusterError> {
        let message = "connection refused".to_owned();
        Err(ClusterError::Unreachable { action: "read the lease".to_owned(), message })
    }

    #[test]
    fn it_is_ready_while_the_api_server_answers_and_alive_while_it_asks() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let health = Arc::new(Health::new(begun));
        assert!(health.is_alive(at(0)).is_ok());
        assert!(health.is_ready(at(0)).unwrap_err().contains("was not read yet"));
        health.heard(at(3), &Ok(()));
        assert_eq!(health.is_ready(at(3)).unwrap(), "waits: another replica leads\n");
        let leads = health.lead();
        assert_eq!(health.is_ready(at(3)).unwrap(), "leads\n");
        drop(leads);
        // An API server that is away is no reason to start the operator again.
        health.heard(at(9), &unreachable());
        health.seen().asked = at(39);
        assert!(health.is_ready(at(32)).is_ok());
        let why = health.is_ready(at(40)).unwrap_err();
        assert!(why.contains("for 37 s") && why.contains("connection refused"), "{why}");
        assert!(health.is_alive(at(158)).is_ok());
        assert!(health.is_alive(at(159)).unwrap_err().contains("for 120 s"));
    }

    #[tokio::test]
    async fn probes_are_answered() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let health = Arc::new(Health::new(Instant::now()));
        let server = tokio::spawn(serve(listener, Arc::clone(&health)));
        let tls = crate::rest::tls_client_config(&[]).unwrap();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
        let http = http.build().unwrap();
        let ask = async |path: &str| {
            let answer = http.get(format!("{url}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(ask("/healthz").await, (200, "alive\n".to_owned()));
        health.heard(Instant::now(), &unreachable());
        let (status, why) = ask("/readyz").await;
        assert!(status == 503 && why.contains("connection refused"), "{why}");
        health.heard(Instant::now(), &Ok(()));
        assert_eq!(ask("/readyz").await.0, 200);
        assert_eq!(ask("/").await.0, 404);
        server.abort();
    }
}

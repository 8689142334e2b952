//! A TCP proxy on loopback that does harm to the connections through it.

mod link;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use link::Link;
pub use link::{Flow, Order};

/// Ports for listeners are below those that systems give to clients, so that nobody takes one while nothing
/// listens.
const PORTS: std::ops::Range<u16> = 20_000..30_000;
/// How long a port may stay taken after its listener was closed.
const REBIND: Duration = Duration::from_secs(10);

/// The proxy. It listens on one port, which it keeps over a time in which it refuses connections.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    links: Mutex<Vec<Link>>,
    opened: watch::Sender<u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port that is free now, that no client is given, and that is none of these.
pub fn free_port_beside(others: &[u16]) -> io::Result<u16> {
    // Runs that start at the same time look in different places.
    let start = u16::try_from(std::process::id().wrapping_mul(61) % 9_000).unwrap_or(0);
    let mut last = io::Error::other("no port is free");
    for port in (PORTS.start + start..PORTS.end).chain(PORTS.start..PORTS.start + start) {
        match listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))) {
            Ok(_) if others.contains(&port) => {}
            Ok(_) => return Ok(port),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(128)?;
    Ok(socket.into())
}

impl Proxy {
    /// Listens, and hands connections on to the target.
    pub fn start(port: u16, target: SocketAddr) -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            links: Mutex::default(),
            opened: watch::Sender::new(0),
        });
        let listener = TcpListener::from_std(listen(address)?)?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept_all(Arc::clone(&shared), listener));
        Ok(Self { shared, address, accepting: Mutex::new(Some(accepting)) })
    }

    /// Where agents connect to.
    #[cfg(test)]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go there from now on.
    pub fn set_target(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// How many connections there were.
    pub fn opened(&self) -> watch::Receiver<u64> {
        self.shared.opened.subscribe()
    }

    /// Does this to every connection that is open and not given up yet; answers to how many.
    pub fn order(&self, order: Order) -> usize {
        let mut links = lock(&self.shared.links);
        links.retain(Link::is_alive);
        links.iter().filter(|link| link.obey(order)).count()
    }

    /// Waits until none of the connections that were told to end is left.
    pub async fn ended(&self, within: Duration) -> bool {
        let doomed: Vec<_> = lock(&self.shared.links)
            .iter()
            .filter(|link| link.is_doomed())
            .map(Link::end)
            .collect();
        tokio::time::timeout(within, async move {
            for mut end in doomed {
                // The sender is dropped with the connection.
                while end.changed().await.is_ok() {}
            }
        })
        .await
        .is_ok()
    }

    /// Resets what was given up and has not ended.
    pub fn end_doomed(&self) {
        let links = lock(&self.shared.links);
        links.iter().filter(|link| link.is_doomed()).for_each(Link::reset);
    }

    /// Stops listening: the system refuses connections.
    pub async fn refuse(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(accepting) = accepting {
            accepting.abort();
            let _ = accepting.await;
        }
    }

    /// Listens again, on the same port.
    pub async fn listen_again(&self) -> io::Result<()> {
        let begin = std::time::Instant::now();
        let listener = loop {
            match listen(self.address) {
                Ok(listener) => break TcpListener::from_std(listener)?,
                Err(error) if begin.elapsed() > REBIND => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        let accepting = tokio::spawn(accept_all(Arc::clone(&self.shared), listener));
        *lock(&self.accepting) = Some(accepting);
        Ok(())
    }
}

async fn accept_all(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let Ok((agent, _)) = listener.accept().await else {
            // Too many open files, or a client that left at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let target = *lock(&shared.target);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            match TcpStream::connect(target).await {
                Ok(controller) => {
                    let link = Link::start(agent, controller);
                    let mut links = lock(&shared.links);
                    links.retain(Link::is_alive);
                    links.push(link);
                    drop(links);
                    shared.opened.send_modify(|count| *count += 1);
                }
                // As a port that is forwarded to nobody: taken, and reset.
                Err(_) => link::reset(&agent),
            }
        });
    }
}

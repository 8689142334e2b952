//! One connection through the proxy.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::watch;

/// How long the controller's end stays open after the agent gave a half-open connection up, which the
/// controller cannot know.
const HELD: Duration = Duration::from_secs(3);
/// How long both ends may take to close a connection that was cut.
const CLOSING: Duration = Duration::from_secs(1);
/// How many bytes are handed on at a time. Little, so that faults strike inside of frames.
const PIECE: usize = 16 << 10;

/// How bytes pass in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// As they come.
    Pass,
    /// Every piece so much later.
    Delay(Duration),
    /// So many bytes in a second.
    Throttle(u64),
    /// Not at all: they are not even read.
    Stall,
    /// They are read, acknowledged by the system, and gone.
    Swallow,
    /// So many more; the connection is reset with the last of them.
    Last(u64),
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Bytes pass like this from now on.
    Flow {
        /// What the agent sends.
        from_agent: Flow,
        /// What the controller sends.
        from_controller: Flow,
    },
    /// Both ends are told of an orderly end.
    Cut,
    /// Both ends are reset.
    Reset,
    /// The agent is reset, the controller is not told for so long.
    ResetAgent(Duration),
    /// As soon as the agent is gone the controller is left without news for so long.
    HoldForController(Duration),
}

/// The handle of a connection.
pub(super) struct Link {
    orders: watch::Sender<Order>,
    doomed: AtomicBool,
    end: watch::Receiver<()>,
}

const PASS: Order = Order::Flow { from_agent: Flow::Pass, from_controller: Flow::Pass };

impl Link {
    pub(super) fn start(agent: TcpStream, controller: TcpStream) -> Self {
        for stream in [&agent, &controller] {
            // The proxy must not gather what the ends send at once.
            let _ = stream.set_nodelay(true);
        }
        let (orders, receiver) = watch::channel(PASS);
        let (alive, end) = watch::channel(());
        tokio::spawn(async move {
            run(agent, controller, receiver).await;
            drop(alive);
        });
        Self { orders, doomed: false.into(), end }
    }

    pub(super) fn is_alive(&self) -> bool {
        self.end.has_changed().is_ok()
    }

    pub(super) fn is_doomed(&self) -> bool {
        self.doomed.load(Ordering::Relaxed)
    }

    pub(super) fn end(&self) -> watch::Receiver<()> {
        self.end.clone()
    }

    /// Ends it, whatever it was told before.
    pub(super) fn reset(&self) {
        let _ = self.orders.send(Order::Reset);
    }

    /// False if the connection has its last order already.
    pub(super) fn obey(&self, order: Order) -> bool {
        let last = match order {
            Order::Flow { from_agent, from_controller } => [from_agent, from_controller]
                .iter()
                .any(|flow| matches!(flow, Flow::Swallow | Flow::Last(_))),
            Order::Cut | Order::Reset | Order::ResetAgent(_) | Order::HoldForController(_) => true,
        };
        if self.doomed.load(Ordering::Relaxed) {
            return false;
        }
        if last {
            self.doomed.store(true, Ordering::Relaxed);
        }
        self.orders.send(order).is_ok()
    }
}

/// Has the system reset the connection when the last handle of it is dropped.
pub(super) fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Why one direction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// The sender closed its end, or its end is reset.
    Sender,
    /// The receiver takes no more.
    Receiver,
    /// The last byte that may pass has passed.
    Limit,
}

/// What becomes of the two ends once nothing passes between them any more.
enum Outcome {
    /// Both have ended.
    Done,
    /// Both are told of an orderly end.
    Cut,
    /// Both are reset.
    Reset,
    /// The agent is gone, or is reset; the controller hears nothing for a while.
    Hold(Duration),
    /// The controller is gone; the agent hears nothing until it gives up.
    Alone,
}

async fn run(agent: TcpStream, controller: TcpStream, orders: watch::Receiver<Order>) {
    match relay(&agent, &controller, orders).await {
        Outcome::Done => {}
        Outcome::Cut => {
            for stream in [&agent, &controller] {
                let _ = SockRef::from(stream).shutdown(Shutdown::Write);
            }
            // A socket with unread bytes would be reset instead.
            let rest = async { tokio::join!(discard(&agent), discard(&controller)) };
            let _ = tokio::time::timeout(CLOSING, rest).await;
        }
        Outcome::Reset => {
            reset(&agent);
            reset(&controller);
        }
        Outcome::Hold(time) => {
            reset(&agent);
            drop(agent);
            let _ = tokio::time::timeout(time, discard(&controller)).await;
            reset(&controller);
        }
        Outcome::Alone => discard(&agent).await,
    }
}

/// Hands bytes on and obeys until the connection ends one way or another.
async fn relay(
    agent: &TcpStream,
    controller: &TcpStream,
    mut orders: watch::Receiver<Order>,
) -> Outcome {
    let (flow_up, up) = watch::channel(Flow::Pass);
    let (flow_down, down) = watch::channel(Flow::Pass);
    // They live as long as the loop: a write that is half done must go on after an order.
    let up = pump(agent, controller, up);
    let down = pump(controller, agent, down);
    tokio::pin!(up, down);
    let (mut up_ended, mut down_ended) = (false, false);
    let mut held = None;
    while !(up_ended && down_ended) {
        tokio::select! {
            changed = orders.changed() => {
                if changed.is_err() {
                    return Outcome::Reset;
                }
                let order = *orders.borrow_and_update();
                match order {
                    Order::Flow { from_agent, from_controller } => {
                        if [from_agent, from_controller].contains(&Flow::Swallow) {
                            held = Some(HELD);
                        }
                        let _ = flow_up.send(from_agent);
                        let _ = flow_down.send(from_controller);
                    }
                    Order::HoldForController(time) => held = Some(time),
                    Order::Cut => return Outcome::Cut,
                    Order::Reset => return Outcome::Reset,
                    Order::ResetAgent(time) => return Outcome::Hold(time),
                }
            }
            ended = &mut up, if !up_ended => match (ended, held) {
                (Ended::Sender, Some(time)) => return Outcome::Hold(time),
                (Ended::Sender, None) => {
                    up_ended = true;
                    let _ = SockRef::from(controller).shutdown(Shutdown::Write);
                }
                (Ended::Receiver, Some(_)) => return Outcome::Alone,
                (Ended::Receiver | Ended::Limit, _) => return Outcome::Reset,
            },
            ended = &mut down, if !down_ended => match (ended, held) {
                // The agent is not told either.
                (Ended::Sender, Some(_)) => down_ended = true,
                (Ended::Sender, None) => {
                    down_ended = true;
                    let _ = SockRef::from(agent).shutdown(Shutdown::Write);
                }
                (Ended::Receiver, Some(time)) => return Outcome::Hold(time),
                (Ended::Receiver | Ended::Limit, _) => return Outcome::Reset,
            },
        }
    }
    Outcome::Done
}

async fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

async fn write_all(stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.writable().await?;
        match stream.try_write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            written => bytes = &bytes[written?..],
        }
    }
    Ok(())
}

async fn discard(stream: &TcpStream) {
    let mut buffer = vec![0; PIECE];
    while matches!(read(stream, &mut buffer).await, Ok(1..)) {}
}

/// Hands bytes on, as the flow of the moment says.
async fn pump(from: &TcpStream, to: &TcpStream, mut flow: watch::Receiver<Flow>) -> Ended {
    let mut buffer = vec![0; PIECE];
    let mut now = Flow::Pass;
    loop {
        if flow.has_changed().unwrap_or(false) {
            now = *flow.borrow_and_update();
        }
        let wanted = match now {
            Flow::Stall => {
                if flow.changed().await.is_err() {
                    return Ended::Sender;
                }
                now = *flow.borrow_and_update();
                continue;
            }
            Flow::Last(0) => return Ended::Limit,
            Flow::Last(left) => usize::try_from(left).map_or(PIECE, |left| left.min(PIECE)),
            _ => PIECE,
        };
        let read = tokio::select! {
            read = read(from, &mut buffer[..wanted]) => read,
            Ok(()) = flow.changed() => {
                now = *flow.borrow_and_update();
                continue;
            }
        };
        let Ok(read @ 1..) = read else { return Ended::Sender };
        let bytes = &buffer[..read];
        let passed = match now {
            Flow::Swallow => Ok(()),
            Flow::Delay(by) => {
                tokio::time::sleep(by).await;
                write_all(to, bytes).await
            }
            Flow::Throttle(per_second) => throttled(to, bytes, per_second).await,
            Flow::Pass | Flow::Stall | Flow::Last(_) => write_all(to, bytes).await,
        };
        if passed.is_err() {
            return Ended::Receiver;
        }
        if let Flow::Last(left) = &mut now {
            *left = left.saturating_sub(read as u64);
        }
    }
}

/// Twenty small pieces a second.
async fn throttled(to: &TcpStream, bytes: &[u8], per_second: u64) -> io::Result<()> {
    let piece = usize::try_from(per_second / 20).unwrap_or(PIECE).max(1);
    for part in bytes.chunks(piece) {
        write_all(to, part).await?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

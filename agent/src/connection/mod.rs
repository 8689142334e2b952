//! Connects to the controller, serves it, and connects again.
//!
//! The phases are those of the Java agent (`hudson.remoting.Engine`), with its log lines, which tools look
//! for: connect, over WebSocket or over TCP, serve the channel until it ends, start over.

mod control;
mod cookie;
mod leave;
mod state;
mod tcp;
mod web_socket;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use java_object_stream::EncodeError;
use jenkins_remoting::capability::Capability;
use jenkins_remoting::channel::{Channel, ChannelOptions, End};
use jenkins_remoting::relay::RelayOptions;
use jenkins_remoting::transport::{AnySink, AnySource, Cookie, TlsSession};

use crate::callables::{self, Connection, Context};
use crate::cli::{Configuration, JvmMode, Reconnect, TcpEntry, TcpOptions, Transport};
use crate::exit::Exit;
use crate::jvm::Tier;
pub(crate) use control::spread;
use control::{Control, Failed, Stop, status};
use cookie::CookieStore;
pub use state::{Event, Monitor, Reason, State};
use tcp::TcpWay;
use web_socket::WebSocketWay;

/// How long the goodbye to a controller may take when the agent is told to stop.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long the end of the agent may wait for the JVM of its last connection, which may write an archive
/// of its classes for the next one.
const LAST_OF_JVM: Duration = Duration::from_secs(5);

/// The agent connects no more often than this.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

/// The agent's side of its connections, one after the other.
struct Engine {
    way: Way,
    /// Where the cookie is kept for the next process.
    cookies: Option<CookieStore>,
    control: Control,
    context: Arc<Context>,
    /// The last connection: its JVM may take a little longer to end.
    last: Option<Channel>,
}

/// How the controller is reached.
enum Way {
    WebSocket(WebSocketWay),
    Tcp(TcpWay),
}

/// A connection that is open and negotiated.
struct Connected {
    source: AnySource,
    sink: AnySink,
    /// What the controller understands.
    capability: Capability,
}

impl Way {
    fn of(configuration: &Configuration) -> Option<Self> {
        if let Some((entry, options)) = configuration.jnlp4_options() {
            return Some(Self::Tcp(TcpWay { entry, options }));
        }
        let options = configuration.web_socket_options()?;
        Some(Self::WebSocket(WebSocketWay { options }))
    }

    /// The proof that the next connection is of the same agent as the last one.
    fn cookie(&mut self) -> &mut Option<Cookie> {
        match self {
            Self::WebSocket(way) => &mut way.options.cookie,
            Self::Tcp(way) => &mut way.options.cookie,
        }
    }

    async fn connect(&mut self, control: &mut Control) -> Result<Connected, Failed> {
        match self {
            Self::WebSocket(way) => way.connect(control).await,
            Self::Tcp(way) => way.connect(control).await,
        }
    }

    /// Waits until it makes sense to connect again.
    async fn until_back(&self, control: &mut Control) -> Result<(), Failed> {
        match self {
            // Its first phase does that.
            Self::WebSocket(_) => Ok(()),
            Self::Tcp(way) => way.until_ready(control).await,
        }
    }
}

/// Serves the controller until the agent is to end.
pub async fn serve(
    configuration: &Configuration,
    internal: Option<&Path>,
    context: Arc<Context>,
) -> Exit {
    let Some(mut way) = Way::of(configuration) else {
        tracing::error!("no way to the controller is configured; this is a bug");
        return Exit::Failure;
    };
    let stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(error) => {
            tracing::error!("signals cannot be received: {error}");
            return Exit::Failure;
        }
    };
    let mut cookies = internal.map(|internal| {
        CookieStore::new(internal, &controller(configuration), &configuration.node_name)
    });
    // Of a process before this one, which the controller may not have missed yet.
    *way.cookie() = cookies.as_mut().and_then(CookieStore::load);
    let reconnect = configuration.reconnect;
    let control = Control::new(reconnect, stop, configuration.drain_timeout, Arc::clone(&context));
    let mut engine = Engine { way, cookies, control, context, last: None };
    let exit = engine.run().await;
    engine.control.happened(Event::Stopped);
    if let Some(channel) = &engine.last {
        let _ = tokio::time::timeout(LAST_OF_JVM, channel.child_ended()).await;
    }
    exit
}

/// Which controller it is: by its URL, or by its address where the user gives that alone.
fn controller(configuration: &Configuration) -> String {
    match &configuration.transport {
        Transport::Tcp(TcpOptions { entry: TcpEntry::Direct { address, .. }, .. }) => {
            format!("{}:{}", address.host, address.port)
        }
        _ => configuration.root_url().unwrap_or_default(),
    }
}

impl Engine {
    async fn run(&mut self) -> Exit {
        loop {
            match self.round().await {
                Ok(()) => {}
                Err(Failed::Stopped(exit)) => {
                    status!("Terminated");
                    return exit;
                }
                Err(Failed::GivenUp(exit)) => return exit,
            }
        }
    }

    /// One connection from its beginning to its end, and the wait before the next.
    async fn round(&mut self) -> Result<(), Failed> {
        let connected = self.way.connect(&mut self.control).await?;
        if let Some(cookies) = &mut self.cookies {
            cookies.store(self.way.cookie().as_ref());
        }
        let began = Instant::now();
        let in_order = self.serve_channel(connected).await?;
        if in_order && self.control.is_leaving() {
            tracing::info!("the agent was told to stop, and the controller has let it go");
            return Err(Failed::GivenUp(Exit::Success));
        }
        if self.context.stay_away() {
            tracing::info!("the controller removes this node, so the agent ends");
            return Err(Failed::GivenUp(Exit::Success));
        }
        if self.control.reconnect == Reconnect::Never {
            return Err(Failed::GivenUp(Exit::Success));
        }
        // A controller that takes the agent and drops it at once is not to be flooded.
        self.control.sleep(SHORTEST_ROUND.saturating_sub(began.elapsed())).await?;
        self.way.until_back(&mut self.control).await?;
        status!("Performing onReconnect operation.");
        status!("onReconnect operation completed.");
        Ok(())
    }

    /// Whether another connection follows one that ended.
    fn goes_on(&self, in_order: bool) -> bool {
        let let_go = in_order && self.control.is_leaving();
        !let_go && !self.context.stay_away() && self.control.reconnect != Reconnect::Never
    }

    /// True if the controller closed the channel in order.
    async fn serve_channel(&mut self, connected: Connected) -> Result<bool, Failed> {
        let channel = match self.start_channel(connected) {
            Ok(channel) => channel,
            Err(error) => {
                tracing::error!(%error, "the channel cannot be started; this is a bug");
                return Err(Failed::GivenUp(Exit::Failure));
            }
        };
        status!("Connected");
        self.context.statistics.connected(&channel);
        self.control.happened(Event::Opened);
        if self.context.connection.connections() == 1
            && let Some(bridge) = self.context.bridge.clone()
        {
            // The last process of this agent may have had its node taken out.
            tokio::spawn(async move { bridge.bring_node_back().await });
        }
        let end = tokio::select! {
            end = channel.ended() => end,
            exit = self.control.must_stop() => {
                let goodbye = channel.close(match exit {
                    Exit::Interrupted => "the agent was told to stop (SIGTERM) and builds did not end in time",
                    Exit::Forced => "the agent was told twice to stop",
                    _ => "the agent was told to stop",
                });
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
                self.report();
                self.last = Some(channel);
                return Err(Failed::Stopped(exit));
            }
        };
        let in_order = matches!(end, End::ClosedByPeer(_));
        let again = if self.goes_on(in_order) { "; connecting again" } else { "" };
        let reason = match end {
            End::ClosedByPeer(reason) => {
                let words = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                tracing::info!("the controller closed the channel{words}{again}");
                Reason::ClosedByController
            }
            End::Closed(reason) => {
                tracing::info!("the channel was closed: {reason}{again}");
                Reason::ClosedHere
            }
            End::Lost(reason) => {
                tracing::warn!("{reason}{again}");
                Reason::Broken
            }
            End::HalfOpen(reason) => {
                tracing::warn!("{reason}{again}");
                Reason::HalfOpen
            }
        };
        self.control.happened(Event::Lost(reason));
        self.report();
        self.last = Some(channel);
        status!("Terminated");
        Ok(in_order)
    }

    fn start_channel(
        &self,
        Connected { source, sink, capability }: Connected,
    ) -> Result<Channel, EncodeError> {
        let options = ChannelOptions {
            service: Arc::new(Connection::new(Arc::clone(&self.context))),
            without_default_fields: callables::WITHOUT_DEFAULT_FIELDS.to_vec(),
            observer: self.context.observer.clone(),
        };
        let Some(jvm) = &self.context.jvm else {
            return Channel::start(source, sink, options);
        };
        let relay = RelayOptions {
            capability,
            eager: jvm.settings.mode == JvmMode::Eager,
            set_up: callables::SET_UP,
            ..RelayOptions::new(Arc::new(Tier::new(Arc::clone(jvm))))
        };
        Channel::start_with_fallback(source, sink, options, relay)
    }

    /// Which classes were asked for and how often: the list by which the next native ones are chosen.
    fn report(&self) {
        let statistics = &self.context.statistics;
        statistics.disconnected();
        let native = statistics.answered();
        let tiers = [
            ("handed to a JVM", statistics.relayed()),
            ("failed for want of the answer of a JVM", statistics.failed()),
            ("refused", statistics.refused()),
        ];
        let [jvm, failed, refused] =
            tiers.each_ref().map(|(_, counts)| counts.values().sum::<u64>());
        tracing::info!(
            "requests since the start: {} answered natively, {jvm} handed to a JVM ({} started), {failed} failed for \
             want of its answer, {refused} refused",
            native.values().sum::<u64>(),
            statistics.jvms(),
        );
        for (class, count) in native {
            tracing::debug!("answered natively {count} of {class}");
        }
        for (tier, counts) in tiers {
            for (class, count) in counts {
                tracing::info!("{tier} {count} of {class}");
            }
        }
    }
}

/// How the connection is secured.
fn tell_tls(tls: &TlsSession) {
    tracing::info!("{} with {}", tls.version.replace("TLSv1_", "TLS 1."), tls.trust);
}

//! Connects to the controller, serves it, and connects again.
//!
//! The phases are those of the Java agent (`hudson.remoting.Engine`), with its log lines, which tools look
//! for: connect, over WebSocket or over TCP, serve the channel until it ends, start over.

mod control;
mod tcp;
mod web_socket;

use std::sync::Arc;
use std::time::{Duration, Instant};

use java_object_stream::EncodeError;
use jenkins_remoting::capability::Capability;
use jenkins_remoting::channel::{Channel, ChannelOptions, End};
use jenkins_remoting::relay::RelayOptions;
use jenkins_remoting::transport::{AnySink, AnySource, TlsSession};

use crate::callables::{self, Connection, Context};
use crate::cli::{Configuration, JvmMode, Reconnect};
use crate::exit::Exit;
use crate::jvm::Tier;
use control::{Control, Failed, Stop, status};
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
pub async fn serve(configuration: &Configuration, context: Arc<Context>) -> Exit {
    let Some(way) = Way::of(configuration) else {
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
    let control = Control { reconnect: configuration.reconnect, stop };
    let mut engine = Engine { way, control, context, last: None };
    let exit = engine.run().await;
    if let Some(channel) = &engine.last {
        let _ = tokio::time::timeout(LAST_OF_JVM, channel.child_ended()).await;
    }
    exit
}

impl Engine {
    async fn run(&mut self) -> Exit {
        loop {
            match self.round().await {
                Ok(()) => {}
                Err(Failed::Stopped) => {
                    status!("Terminated");
                    return Exit::Success;
                }
                Err(Failed::GivenUp(exit)) => return exit,
            }
        }
    }

    /// One connection from its beginning to its end, and the wait before the next.
    async fn round(&mut self) -> Result<(), Failed> {
        let connected = self.way.connect(&mut self.control).await?;
        let began = Instant::now();
        self.serve_channel(connected).await?;
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

    async fn serve_channel(&mut self, connected: Connected) -> Result<(), Failed> {
        let channel = match self.start_channel(connected) {
            Ok(channel) => channel,
            Err(error) => {
                tracing::error!(%error, "the channel cannot be started; this is a bug");
                return Err(Failed::GivenUp(Exit::Failure));
            }
        };
        status!("Connected");
        let end = tokio::select! {
            end = channel.ended() => end,
            () = self.control.stop.wait() => {
                let goodbye = channel.close("the agent was told to stop");
                let _ = tokio::time::timeout(GOODBYE, goodbye).await;
                self.report(&channel);
                self.last = Some(channel);
                return Err(Failed::Stopped);
            }
        };
        match end {
            End::ClosedByPeer(Some(reason)) => {
                tracing::info!("the controller closed the channel: {reason}")
            }
            End::ClosedByPeer(None) => tracing::info!("the controller closed the channel"),
            End::Closed(reason) => tracing::info!("the channel was closed: {reason}"),
            End::Lost(reason) => tracing::warn!("{reason}"),
        }
        self.report(&channel);
        self.last = Some(channel);
        status!("Terminated");
        Ok(())
    }

    fn start_channel(
        &self,
        Connected { source, sink, capability }: Connected,
    ) -> Result<Channel, EncodeError> {
        let options = ChannelOptions {
            service: Arc::new(Connection::new(Arc::clone(&self.context))),
            without_default_fields: callables::WITHOUT_DEFAULT_FIELDS.to_vec(),
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
    fn report(&self, channel: &Channel) {
        let statistics = &self.context.statistics;
        statistics.add(channel.relayed());
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

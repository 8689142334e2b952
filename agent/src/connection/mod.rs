//! Connects to the controller, serves it, and connects again.
//!
//! The phases are those of the Java agent (`hudson.remoting.Engine.runWebSocket`), with its log lines,
//! which tools look for: ask whether the controller is ready, upgrade to a WebSocket, serve the
//! channel until it ends, start over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use java_object_stream::EncodeError;
use jenkins_remoting::capability::Capability;
use jenkins_remoting::channel::{Channel, ChannelOptions, End};
use jenkins_remoting::relay::RelayOptions;
use jenkins_remoting::transport::{
    Backoff, Cookie, Recovery, WebSocketOptions, WebSocketSink, WebSocketSource, connect, probe,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::callables::{self, Connection, Context};
use crate::cli::{Configuration, JvmMode, Reconnect};
use crate::exit::Exit;
use crate::jvm::Tier;

/// How long the goodbye to a controller may take when the agent is told to stop.
const GOODBYE: Duration = Duration::from_secs(3);

/// How long the end of the agent may wait for the JVM of its last connection, which may write an archive
/// of its classes for the next one.
const LAST_OF_JVM: Duration = Duration::from_secs(5);

/// The agent connects no more often than this.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

/// A line as the Java agent's console listener prints it.
macro_rules! status {
    ($($argument:tt)*) => {
        tracing::info!(target: "hudson.remoting.Launcher$CuiListener", method = "status", $($argument)*)
    };
}

/// The agent's side of its connections, one after the other.
struct Engine {
    options: WebSocketOptions,
    reconnect: Reconnect,
    context: Arc<Context>,
    stop: Stop,
    /// The last connection: its JVM may take a little longer to end.
    last: Option<Channel>,
}

/// Signals that ask the agent to end.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

/// A connection that is open and negotiated.
struct Connected {
    source: WebSocketSource,
    sink: WebSocketSink,
    /// What the controller understands.
    capability: Capability,
}

/// What a phase ended with when it did not get what it was for.
enum Failed {
    /// The agent was asked to stop.
    Stopped,
    /// Time is up, or trying again cannot help.
    GivenUp(Exit),
}

/// Serves the controller until the agent is to end.
pub async fn serve(configuration: &Configuration, context: Arc<Context>) -> Exit {
    let Some(options) = configuration.web_socket_options() else {
        tracing::error!("TCP is not in this version: add -webSocket (or JENKINS_WEB_SOCKET=true)");
        return Exit::Configuration;
    };
    let stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(error) => {
            tracing::error!("signals cannot be received: {error}");
            return Exit::Failure;
        }
    };
    let reconnect = configuration.reconnect;
    let mut engine = Engine { options, reconnect, context, stop, last: None };
    let exit = engine.run().await;
    if let Some(channel) = &engine.last {
        let _ = tokio::time::timeout(LAST_OF_JVM, channel.child_ended()).await;
    }
    exit
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Engine {
    async fn run(&mut self) -> Exit {
        loop {
            let connected = match self.until_ready().await {
                Ok(()) => self.until_connected().await,
                Err(failed) => Err(failed),
            };
            let began = Instant::now();
            let ended = match connected {
                Ok(connected) => self.serve_channel(connected).await,
                Err(failed) => Err(failed),
            };
            match ended {
                Ok(()) => {}
                Err(Failed::Stopped) => {
                    status!("Terminated");
                    return Exit::Success;
                }
                Err(Failed::GivenUp(exit)) => return exit,
            }
            if self.context.stay_away() {
                tracing::info!("the controller removes this node, so the agent ends");
                return Exit::Success;
            }
            if self.reconnect == Reconnect::Never {
                return Exit::Success;
            }
            status!("Performing onReconnect operation.");
            status!("onReconnect operation completed.");
            // A controller that takes the agent and drops it at once is not to be flooded.
            tokio::select! {
                () = tokio::time::sleep(SHORTEST_ROUND.saturating_sub(began.elapsed())) => {}
                () = self.stop.wait() => {
                    status!("Terminated");
                    return Exit::Success;
                }
            }
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(match self.reconnect {
            Reconnect::GiveUpAfter(budget) => Some(budget),
            // As with the Java agent, the first connection is tried for ever even without reconnects.
            Reconnect::Always | Reconnect::Never => None,
        })
    }

    /// Waits before the next attempt; fails when time is up.
    async fn pause(&mut self, backoff: &mut Backoff) -> Result<(), Failed> {
        let Some(delay) = backoff.next_delay() else {
            let seconds = backoff.budget().unwrap_or_default().as_secs();
            status!("Bailing out after {seconds} seconds");
            return Err(Failed::GivenUp(Exit::Success));
        };
        status!("Waiting {} second(s) before retry", delay.as_secs());
        tokio::select! {
            () = tokio::time::sleep(delay) => Ok(()),
            () = self.stop.wait() => Err(Failed::Stopped),
        }
    }

    async fn until_ready(&mut self) -> Result<(), Failed> {
        let mut backoff = self.backoff();
        loop {
            let outcome = tokio::select! {
                outcome = probe(&self.options) => outcome,
                () = self.stop.wait() => return Err(Failed::Stopped),
            };
            let Err(error) = outcome else { return Ok(()) };
            let code = error.status().map_or_else(String::new, |code| format!(": {code}"));
            status!("{}login is not ready{code}", self.options.url);
            tracing::info!("{error}");
            if error.recovery() == Recovery::GiveUp {
                return Err(Failed::GivenUp(Exit::Failure));
            }
            self.pause(&mut backoff).await?;
        }
    }

    async fn until_connected(&mut self) -> Result<Connected, Failed> {
        let mut backoff = self.backoff();
        loop {
            let outcome = tokio::select! {
                outcome = connect(&self.options) => outcome,
                () = self.stop.wait() => return Err(Failed::Stopped),
            };
            match outcome {
                Ok((source, sink, handshake)) => {
                    status!("WebSocket connection open");
                    if handshake.capability_assumed {
                        tracing::warn!(
                            "the controller names no capabilities; the current ones are assumed"
                        );
                    }
                    if let Some(tls) = &handshake.route.tls {
                        tracing::info!(
                            "{} with {}",
                            tls.version.replace("TLSv1_", "TLS 1."),
                            tls.trust
                        );
                    }
                    self.remember(handshake.cookie);
                    return Ok(Connected { source, sink, capability: handshake.capability });
                }
                Err(error) => {
                    tracing::error!(
                        target: "hudson.remoting.Launcher$CuiListener",
                        method = "error",
                        "Failed to connect: {error}"
                    );
                    match error.recovery() {
                        Recovery::GiveUp => return Err(Failed::GivenUp(Exit::Failure)),
                        Recovery::RetryWithoutCookie => self.remember(None),
                        Recovery::Retry => {}
                    }
                    self.pause(&mut backoff).await?;
                }
            }
        }
    }

    /// The cookie proves to the controller that the next connection is ours, so that it ends this one
    /// instead of refusing the next.
    fn remember(&mut self, cookie: Option<Cookie>) {
        self.options.cookie = cookie;
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
            () = self.stop.wait() => {
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

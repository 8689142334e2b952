//! The phases of a connection over WebSocket (`hudson.remoting.Engine.runWebSocket`): ask whether the
//! controller is ready, upgrade.

use jenkins_remoting::transport::{AnySink, AnySource, Recovery, WebSocketOptions, connect, probe};

use super::control::{Control, Failed, status};
use super::state::Event;
use super::{Connected, tell_tls};
use crate::exit::Exit;

/// The way to the controller's HTTP port.
pub(super) struct WebSocketWay {
    pub(super) options: WebSocketOptions,
}

impl WebSocketWay {
    pub(super) async fn connect(&mut self, control: &mut Control) -> Result<Connected, Failed> {
        self.until_ready(control).await?;
        self.until_connected(control).await
    }

    async fn until_ready(&self, control: &mut Control) -> Result<(), Failed> {
        let mut backoff = control.backoff();
        loop {
            control.happened(Event::Probe);
            let Err(error) = control.unless_stopped(probe(&self.options)).await? else {
                return Ok(());
            };
            control.happened(Event::Failed);
            let code = error.status().map_or_else(String::new, |code| format!(": {code}"));
            status!("{}login is not ready{code}", self.options.url);
            tracing::info!("{error}");
            if error.recovery() == Recovery::GiveUp {
                return Err(Failed::GivenUp(Exit::Failure));
            }
            control.pause(&mut backoff).await?;
        }
    }

    async fn until_connected(&mut self, control: &mut Control) -> Result<Connected, Failed> {
        let mut backoff = control.backoff();
        loop {
            control.happened(Event::Ready);
            match control.unless_stopped(connect(&self.options)).await? {
                Ok((source, sink, handshake)) => {
                    status!("WebSocket connection open");
                    if handshake.capability_assumed {
                        tracing::warn!(
                            "the controller names no capabilities; the current ones are assumed"
                        );
                    }
                    if let Some(tls) = &handshake.route.tls {
                        tell_tls(tls);
                    }
                    // The cookie proves to the controller that the next connection is ours, so that it
                    // ends this one instead of refusing the next.
                    self.options.cookie = handshake.cookie;
                    return Ok(Connected {
                        source: AnySource::WebSocket(source),
                        sink: AnySink::WebSocket(sink),
                        capability: handshake.capability,
                    });
                }
                Err(error) => {
                    control.happened(Event::Failed);
                    tracing::error!(
                        target: "hudson.remoting.Launcher$CuiListener",
                        method = "error",
                        "Failed to connect: {error}"
                    );
                    match error.recovery() {
                        Recovery::GiveUp => return Err(Failed::GivenUp(Exit::Failure)),
                        Recovery::RetryWithoutCookie => self.options.cookie = None,
                        Recovery::Retry => {}
                    }
                    control.pause(&mut backoff).await?;
                }
            }
        }
    }
}

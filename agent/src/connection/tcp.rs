//! The phases of a connection over TCP (`hudson.remoting.Engine.innerRun`): find the agent port, have the
//! controller prove its identity, introduce the agent.

use std::time::{Duration, Instant};

use jenkins_remoting::transport::{
    AgentEndpoint, AnySink, AnySource, DiscoveryError, Jnlp4Error, Jnlp4Options, NegotiationError,
    Protocol, Recovery, RootUrl, Route, agent_port_ready, discover, open_agent_port,
};

use super::control::{Control, Failed, spread, status};
use super::state::Event;
use super::{Connected, tell_tls};
use crate::cli::{Reconnect, TcpEntry};
use crate::exit::Exit;

/// How long the Java agent waits, and says that it waits, after a failure.
const PAUSE: Duration = Duration::from_secs(10);

/// The way to the controller's port for inbound agents.
pub(super) struct TcpWay {
    pub(super) entry: TcpEntry,
    pub(super) options: Jnlp4Options,
}

impl TcpWay {
    /// Waits until the controller answers again after a connection has ended.
    pub(super) async fn until_ready(&self, control: &mut Control) -> Result<(), Failed> {
        let TcpEntry::Discover(urls) = &self.entry else { return Ok(()) };
        let Some(url) = urls.first() else { return Ok(()) };
        let mut backoff = control.backoff();
        loop {
            control.happened(Event::Probe);
            let ready = agent_port_ready(&self.options, url);
            let problem = match control.unless_stopped(ready).await? {
                Ok(()) => return Ok(()),
                Err(DiscoveryError::Status { url, status, .. }) => format!(
                    "Controller isn't ready to talk to us on {url}. Will try again: response code={status}"
                ),
                Err(error) => format!("{error}. Will try again"),
            };
            control.happened(Event::Failed);
            tracing::info!(
                target: "org.jenkinsci.remoting.engine.JnlpAgentEndpointResolver",
                method = "waitForReady",
                "{problem}"
            );
            control.pause(&mut backoff).await?;
        }
    }

    pub(super) async fn connect(&mut self, control: &mut Control) -> Result<Connected, Failed> {
        let began = Instant::now();
        loop {
            control.check_budget(began)?;
            control.happened(Event::Probe);
            status!("Locating server among {}", listed(self.urls()));
            let located = self.locate();
            let endpoint = match control.unless_stopped(located).await? {
                Ok(endpoint) => endpoint,
                Err(errors) => {
                    self.cannot_locate(&errors, control).await?;
                    continue;
                }
            };
            self.tell_discovery(&endpoint);
            if let Some(connected) = self.try_protocols(&endpoint, control).await? {
                return Ok(connected);
            }
            status!(
                "reconnect rejected, sleeping 10s: The server rejected the connection: None of the \
                 protocols were accepted"
            );
            control.sleep(spread(PAUSE)).await?;
            if control.reconnect == Reconnect::Never {
                return Err(Failed::GivenUp(Exit::Success));
            }
        }
    }

    fn urls(&self) -> &[RootUrl] {
        match &self.entry {
            TcpEntry::Discover(urls) => urls,
            TcpEntry::Direct { .. } => &[],
        }
    }

    /// Asks one controller after the other; who answers is asked first the next time.
    async fn locate(&mut self) -> Result<AgentEndpoint, Vec<DiscoveryError>> {
        let urls = match &mut self.entry {
            TcpEntry::Direct { address, instance_identity, protocols } => {
                return Ok(AgentEndpoint {
                    host: address.host.clone(),
                    port: address.port.get(),
                    identity: instance_identity.clone(),
                    protocols: protocols.clone(),
                });
            }
            TcpEntry::Discover(urls) => urls,
        };
        let mut errors = Vec::new();
        for at in 0..urls.len() {
            match discover(&self.options, &urls[at]).await {
                Ok(endpoint) => {
                    urls[..=at].rotate_right(1);
                    return Ok(endpoint);
                }
                Err(error) => errors.push(error),
            }
        }
        Err(errors)
    }

    async fn cannot_locate(
        &self,
        errors: &[DiscoveryError],
        control: &mut Control,
    ) -> Result<(), Failed> {
        control.happened(Event::Failed);
        let hopeless = errors.iter().all(|error| error.recovery() == Recovery::GiveUp);
        if hopeless || control.reconnect == Reconnect::Never {
            for error in errors {
                tracing::error!("{error}");
            }
            return Err(Failed::GivenUp(Exit::Failure));
        }
        status!(
            "Could not locate server among {}; waiting 10 seconds before retry",
            listed(self.urls())
        );
        for error in errors {
            tracing::warn!("{error}");
        }
        control.sleep(spread(PAUSE)).await
    }

    fn tell_discovery(&self, endpoint: &AgentEndpoint) {
        if let TcpEntry::Discover(_) = &self.entry {
            macro_rules! resolver {
                ($($argument:tt)*) => {
                    tracing::info!(
                        target: "org.jenkinsci.remoting.engine.JnlpAgentEndpointResolver",
                        method = "resolve",
                        $($argument)*
                    )
                };
            }
            if !endpoint.protocols.is_empty() {
                resolver!(
                    "Remoting server accepts the following protocols: [{}]",
                    endpoint.protocols.join(", ")
                );
            }
            if self.options.is_tunnelled() {
                resolver!(
                    "Remoting TCP connection tunneling is enabled. Skipping the TCP Agent Listener Port \
                     availability check"
                );
            }
        }
        status!(
            "Agent discovery successful\n  Agent address: {}\n  Agent port:    {}\n  Identity:      {}",
            endpoint.host,
            endpoint.port,
            endpoint.identity.fingerprint()
        );
        status!("Handshaking");
    }

    /// Tries what the controller speaks; `None` if it took none of it.
    async fn try_protocols(
        &mut self,
        endpoint: &AgentEndpoint,
        control: &mut Control,
    ) -> Result<Option<Connected>, Failed> {
        let mut tried = false;
        for protocol in Protocol::ALL {
            let name = protocol.name();
            if !endpoint.speaks(protocol) {
                status!("Server reports protocol {name} not supported, skipping");
                continue;
            }
            tried = true;
            status!("Trying protocol: {name}");
            status!("Connecting to {}:{}", endpoint.host, endpoint.port);
            control.happened(Event::Ready);
            let attempt = self.establish(endpoint, protocol);
            match control.unless_stopped(attempt).await? {
                Ok(connected) => return Ok(Some(connected)),
                Err(error) => {
                    control.happened(Event::Failed);
                    status!("Protocol {name} failed to establish channel: {error}");
                    if error.recovery() == Recovery::GiveUp {
                        return Err(Failed::GivenUp(Exit::Failure));
                    }
                }
            }
        }
        if tried {
            return Ok(None);
        }
        tracing::error!(
            "The server rejected the connection: None of the protocols are enabled; this agent speaks \
             JNLP4-connect, which must be enabled on the controller and, if -protocols is given, named there"
        );
        Err(Failed::GivenUp(Exit::Failure))
    }

    async fn establish(
        &mut self,
        endpoint: &AgentEndpoint,
        protocol: Protocol,
    ) -> Result<Connected, Jnlp4Error> {
        let proved = open_agent_port(&self.options, endpoint, protocol).await?;
        status!("Remote identity confirmed: {}", endpoint.identity.fingerprint());
        let route = proved.route().clone();
        if let Some(tls) = &route.tls {
            tell_tls(tls);
        }
        let (source, sink, handshake) =
            proved.introduce(&self.options).await.inspect_err(|error| {
                if let Jnlp4Error::Negotiation(NegotiationError::Refused { reason, permanent }) =
                    error
                {
                    tell_refusal(endpoint, &route, reason, *permanent);
                }
            })?;
        // The cookie proves to the controller that the next connection is ours, so that it ends this one
        // instead of refusing the next.
        self.options.cookie = handshake.cookie;
        Ok(Connected {
            source: AnySource::Tcp(source),
            sink: AnySink::Tcp(sink),
            capability: handshake.capability,
        })
    }
}

/// The line in which the Java agent gives the controller's reason.
fn tell_refusal(endpoint: &AgentEndpoint, route: &Route, reason: &str, permanent: bool) {
    const LAYER: &str = "org.jenkinsci.remoting.protocol.impl.ConnectionHeadersFilterLayer";
    let connection = format!("[JNLP4-connect connection to {}/{}]", endpoint.host, route.address);
    if permanent {
        tracing::warn!(
            target: LAYER,
            method = "onRecv",
            "{connection} Local headers permanently rejected by remote: {reason}"
        );
    } else {
        tracing::info!(
            target: LAYER,
            method = "onRecv",
            "{connection} Local headers refused by remote: {reason}"
        );
    }
}

/// As Java prints a list.
fn listed(urls: &[RootUrl]) -> String {
    let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
    format!("[{}]", urls.join(", "))
}

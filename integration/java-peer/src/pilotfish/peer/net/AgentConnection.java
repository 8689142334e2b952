package pilotfish.peer.net;

import hudson.remoting.Capability;
import hudson.remoting.Channel;

/** An agent that passed the upgrade. */
public record AgentConnection(String name, String cookie, Capability capability, Channel channel, WebSocketConnection socket) {}

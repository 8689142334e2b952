package pilotfish.peer.net;

import hudson.remoting.Capability;
import hudson.remoting.Channel;

/** An agent that was taken; {@code socket} is null for one that came over TCP. */
public record AgentConnection(String name, String cookie, Capability capability, Channel channel, WebSocketConnection socket) {
    /** The name of its way, as an agent gives it. */
    public String protocol() {
        return socket == null ? AgentPort.PROTOCOL : "WebSocket";
    }
}

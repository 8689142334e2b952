package hudson.slaves;

import java.io.IOException;
import jenkins.security.MasterToSlaveCallable;

/** Home of the request to ping (agent-callables 1, 7a). */
public final class ChannelPinger {
    private ChannelPinger() {}

    /** Asks the agent to ping the controller. */
    public static final class SetUpRemotePing extends MasterToSlaveCallable<Void, IOException> {
        private static final long serialVersionUID = -2702219700841759872L;
        private final int pingTimeoutSeconds;
        private final int pingIntervalSeconds;

        public SetUpRemotePing(int pingTimeoutSeconds, int pingIntervalSeconds) {
            this.pingTimeoutSeconds = pingTimeoutSeconds;
            this.pingIntervalSeconds = pingIntervalSeconds;
        }

        @Override
        public Void call() {
            new Pings(hudson.remoting.Channel.current(), pingTimeoutSeconds * 1000L, pingIntervalSeconds * 1000L).start();
            return null;
        }
    }

    /** The agent's pings; a dead controller shows in the transport as well. */
    static final class Pings extends hudson.remoting.PingThread {
        Pings(hudson.remoting.Channel channel, long timeout, long interval) {
            super(channel, timeout, interval);
        }

        @Override
        protected void onDead() {}
    }
}

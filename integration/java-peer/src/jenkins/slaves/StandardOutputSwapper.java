package jenkins.slaves;

import jenkins.security.MasterToSlaveCallable;

/** Home of the stdio question (agent-callables 1, 7b). */
public final class StandardOutputSwapper {
    private StandardOutputSwapper() {}

    /** Answers false on anything but stdio. */
    public static final class ChannelSwapper extends MasterToSlaveCallable<Boolean, Exception> {
        private static final long serialVersionUID = 451125196505759342L;

        @Override
        public Boolean call() {
            return false;
        }
    }
}

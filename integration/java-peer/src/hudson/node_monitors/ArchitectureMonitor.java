package hudson.node_monitors;

import java.io.IOException;
import jenkins.security.MasterToSlaveCallable;

/** Home of the architecture monitor (agent-callables 1.1). */
public final class ArchitectureMonitor {
    private ArchitectureMonitor() {}

    /** Answers for example {@code Linux (amd64)}. */
    public static final class GetArchTask extends MasterToSlaveCallable<String, IOException> {
        private static final long serialVersionUID = 1L;

        @Override
        public String call() {
            return System.getProperty("os.name") + " (" + System.getProperty("os.arch") + ")";
        }
    }
}

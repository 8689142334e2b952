package hudson;

import java.io.IOException;
import java.util.Map;
import java.util.TreeMap;
import jenkins.security.MasterToSlaveCallable;

/** Environment variables, case insensitive (agent-callables 2.2). */
public final class EnvVars extends TreeMap<String, String> {
    private static final long serialVersionUID = 4320331661987259022L;

    private Platform platform;

    public EnvVars() {
        super(String.CASE_INSENSITIVE_ORDER);
    }

    public EnvVars(Map<String, String> values) {
        this();
        putAll(values);
    }

    public Platform platform() {
        return platform;
    }

    /** Answers the agent's environment. */
    public static final class GetEnvVars extends MasterToSlaveCallable<EnvVars, IOException> {
        private static final long serialVersionUID = 1L;

        @Override
        public EnvVars call() {
            EnvVars all = new EnvVars(System.getenv());
            all.platform = Platform.UNIX;
            return all;
        }
    }
}

package jenkins.util;

import java.util.Map;
import jenkins.security.MasterToSlaveCallable;

/** Home of the properties' copy (agent-callables 1, 7c). */
public final class SystemProperties {
    private SystemProperties() {}

    /** Copies properties to agents. */
    public static final class AgentCopier {
        private AgentCopier() {}

        /** The properties; values may be null. */
        public static final class CopySystemProperties extends MasterToSlaveCallable<Void, RuntimeException> {
            private static final long serialVersionUID = 1L;
            private final Map<String, String> snapshot;

            public CopySystemProperties(Map<String, String> snapshot) {
                this.snapshot = snapshot;
            }

            @Override
            public Void call() {
                snapshot.forEach((key, value) -> {
                    if (value != null) System.setProperty(key, value);
                });
                return null;
            }
        }
    }
}

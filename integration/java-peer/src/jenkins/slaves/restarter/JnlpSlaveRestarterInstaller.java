package jenkins.slaves.restarter;

import java.io.IOException;
import java.util.List;
import jenkins.security.MasterToSlaveCallable;

/** Home of the question about restarting (agent-callables 1, 8). */
public final class JnlpSlaveRestarterInstaller {
    private JnlpSlaveRestarterInstaller() {}

    /** Answers the usable restarters, or null when there is no engine. */
    public static final class FindEffectiveRestarters extends MasterToSlaveCallable<List<SlaveRestarter>, IOException> {
        private static final long serialVersionUID = 9015462457743404715L;
        private final List<SlaveRestarter> restarters;

        public FindEffectiveRestarters(List<SlaveRestarter> restarters) {
            this.restarters = restarters;
        }

        @Override
        public List<SlaveRestarter> call() {
            return null;
        }
    }
}

package hudson.model;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import jenkins.security.MasterToSlaveCallable;

/** Home of the host name question (agent-callables 1). */
public final class Computer {
    private Computer() {}

    /** Answers names and addresses under which the agent's host may be reached. */
    public static final class ListPossibleNames extends MasterToSlaveCallable<List<String>, IOException> {
        private static final long serialVersionUID = 1L;

        @Override
        public List<String> call() throws IOException {
            List<String> names = new ArrayList<>();
            names.add(java.net.InetAddress.getLocalHost().getHostName());
            return names;
        }
    }
}

package pilotfish.peer.unknown;

import java.io.IOException;
import jenkins.security.MasterToSlaveCallable;

/** A callable of a plugin that no agent knows natively. */
public final class NobodyKnows extends MasterToSlaveCallable<String, IOException> {
    private final String question = "what now?";

    @Override
    public String call() throws IOException {
        throw new IOException("executed " + getClass().getName());
    }
}

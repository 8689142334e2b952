package jenkins.slaves.restarter;

import java.io.Serializable;

/** A way for the agent to restart itself. */
public abstract class SlaveRestarter implements Serializable {
    private static final long serialVersionUID = 1L;
}

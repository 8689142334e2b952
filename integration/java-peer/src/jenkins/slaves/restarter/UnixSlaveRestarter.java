package jenkins.slaves.restarter;

/** Restarts the way of Unix. */
public final class UnixSlaveRestarter extends SlaveRestarter {
    private static final long serialVersionUID = 1L;
}

package jenkins.slaves.restarter;

/** Restarts the way of Winsw. */
public final class WinswSlaveRestarter extends SlaveRestarter {
    private static final long serialVersionUID = 1L;
}

package hudson.remoting;

/** Asks for a garbage collection; ignored here. */
public final class GCCommand extends Command {
    private static final long serialVersionUID = 1;

    public GCCommand() {
        super(true);
    }

    @Override
    protected void execute(Channel channel) {}
}

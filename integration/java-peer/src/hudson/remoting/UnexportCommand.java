package hudson.remoting;

/** Releases one reference to an object of the receiver's export table. */
public final class UnexportCommand extends Command {
    private static final long serialVersionUID = 1;

    private final int oid;

    public UnexportCommand(int oid) {
        super(false);
        this.oid = oid;
    }

    @Override
    protected void execute(Channel channel) {
        if (!channel.exports().release(oid)) channel.complain("UnexportCommand for oid " + oid + ", which is not exported");
    }

    @Override
    public String toString() {
        return "UnexportCommand(" + oid + ")";
    }
}

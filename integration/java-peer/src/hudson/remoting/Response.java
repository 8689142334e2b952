package hudson.remoting;

import java.io.Serializable;

/** The answer to a {@link Request}. */
public final class Response extends Command {
    private static final long serialVersionUID = 1;

    public final int id;
    /** The last stream write of the answering thread: to be done before the caller goes on. */
    public int lastIoId;
    /** Failure outside user code. */
    public final Throwable exception;
    public final Serializable returnValue;

    Response(int id, Serializable returnValue, Throwable exception) {
        super(false);
        this.id = id;
        this.returnValue = returnValue;
        this.exception = exception;
    }

    @Override
    protected void execute(Channel channel) {
        channel.answered(this);
    }
}

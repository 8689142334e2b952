package hudson.remoting;

import java.io.Serializable;

/** One message of the channel (remoting-channel 2). */
public abstract class Command implements Serializable {
    private static final long serialVersionUID = 1;

    /** Where the command was made; a controller fills it for requests, null is always allowed. */
    public Exception createdAt;

    protected Command(boolean recordCreatedAt) {
        if (recordCreatedAt) createdAt = new Source(this);
    }

    /** Carries out the command; runs on the channel's reader and therefore never blocks. */
    protected abstract void execute(Channel channel) throws Exception;

    /** The stack trace in {@link #createdAt}; refers back to its command. */
    public static final class Source extends Exception {
        private static final long serialVersionUID = 1;
        private final Command this$0;

        Source(Command command) {
            super("Command " + command.getClass().getName() + " created at");
            this$0 = command;
        }

        /** The command that this trace belongs to. */
        public Command command() {
            return this$0;
        }
    }
}

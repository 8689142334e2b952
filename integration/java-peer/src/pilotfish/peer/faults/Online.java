package pilotfish.peer.faults;

import hudson.remoting.Channel;
import java.io.IOException;
import java.lang.reflect.UndeclaredThrowableException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import pilotfish.peer.Node;

/** The agent's connection of the moment: one after the other, with pauses in between. */
final class Online {
    /** How long a channel may still count as open after a command could not be sent on it. */
    private static final long UNTIL_LOST_SECONDS = 10;

    private Node node;

    /** Something that is asked of the agent; asked again over the next connection when one is lost meanwhile. */
    interface Question<T> {
        T ask(Node node) throws Exception;
    }

    synchronized void set(Node next) {
        node = next;
        notifyAll();
    }

    /** The connection, as soon as there is one that is not known to have ended. */
    synchronized Node await() throws InterruptedException {
        while (node == null || node.channel().closed().isDone()) wait(100);
        return node;
    }

    /** Whether that failure is the end of the connection, rather than something that the agent answered. */
    static boolean isLost(Channel channel, Exception failure) throws InterruptedException {
        // Methods of remote objects may not declare what a lost connection throws.
        if (failure instanceof UndeclaredThrowableException undeclared && undeclared.getCause() instanceof Exception cause) {
            return isLost(channel, cause);
        }
        if (!(failure instanceof IOException)) return false;
        if (channel.closed().isDone()) return true;
        if (!isLocal(failure)) return false;
        try {
            channel.closed().get(UNTIL_LOST_SECONDS, TimeUnit.SECONDS);
            return true;
        } catch (ExecutionException | TimeoutException e) {
            return false;
        }
    }

    /** Thrown on this side: what the agent throws comes with the agent's words and no socket of ours. */
    private static boolean isLocal(Exception failure) {
        for (StackTraceElement frame : failure.getStackTrace()) {
            if (frame.getClassName().startsWith("java.net.") || frame.getClassName().startsWith("sun.nio.")
                    || frame.getClassName().startsWith("sun.security.ssl.") || frame.getClassName().startsWith("pilotfish.peer.net.")
                    || frame.getClassName().equals("hudson.remoting.Channel")) return true;
        }
        return false;
    }

    /** Asks until there is an answer. The question must do no harm when it is carried out twice. */
    <T> T persist(Question<T> question) throws Exception {
        while (true) {
            Node now = await();
            try {
                return question.ask(now);
            } catch (Exception e) {
                if (!isLost(now.channel(), e)) throw e;
            }
        }
    }
}

package hudson.remoting;

import java.io.IOException;
import org.jenkinsci.remoting.RoleChecker;

/** Pings the other side at once and then at an interval (remoting-channel 5.4). */
public abstract class PingThread extends Thread {
    private final Channel channel;
    private final long timeout;
    private final long interval;

    /** Times in milliseconds. */
    protected PingThread(Channel channel, long timeout, long interval) {
        super("pings of " + channel.name());
        this.channel = channel;
        this.timeout = timeout;
        this.interval = interval;
        setDaemon(true);
    }

    /** No answer came in time. */
    protected abstract void onDead();

    @Override
    public void run() {
        try {
            while (!channel.closed().isDone()) {
                channel.callAsync(new Ping()).result(Math.max(1, timeout / 1000));
                sleep(interval);
            }
        } catch (IOException e) {
            if (!channel.closed().isDone()) onDead();
        } catch (InterruptedException e) {
            interrupt();
        }
    }

    /** Answers null. */
    public static final class Ping implements Callable<Void, IOException> {
        private static final long serialVersionUID = 1;

        @Override
        public Void call() {
            return null;
        }

        @Override
        public void checkRoles(RoleChecker checker) {}
    }
}

package hudson.remoting;

import java.util.Map;
import java.util.TreeMap;

/** Counts of one channel for summaries. */
public final class ChannelFigures {
    private final Map<String, Integer> commands = new TreeMap<>();
    private long answers;
    private long answerNanos;
    private long slowestNanos;
    private long bytesSent;
    private long bytesReceived;

    synchronized void answered(long nanos) {
        answers++;
        answerNanos += nanos;
        slowestNanos = Math.max(slowestNanos, nanos);
    }

    synchronized void sent(int bytes) {
        bytesSent += bytes;
    }

    synchronized void received(int bytes) {
        bytesReceived += bytes;
    }

    synchronized void command(Class<?> type) {
        commands.merge(type.getName(), 1, Integer::sum);
    }

    public synchronized long answers() {
        return answers;
    }

    /** Mean time to an answer in milliseconds. */
    public synchronized double meanMillis() {
        return answers == 0 ? 0 : answerNanos / 1e6 / answers;
    }

    public synchronized double slowestMillis() {
        return slowestNanos / 1e6;
    }

    public synchronized long bytesSent() {
        return bytesSent;
    }

    public synchronized long bytesReceived() {
        return bytesReceived;
    }

    /** Received commands by class name. */
    public synchronized Map<String, Integer> commands() {
        return new TreeMap<>(commands);
    }
}

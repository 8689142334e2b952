package hudson.remoting;

import java.util.HashMap;
import java.util.Map;

/** Counts per exported stream what came and what was acknowledged, to judge the sender's window discipline. */
public final class StreamWatch {
    private final Map<Integer, Long> outstanding = new HashMap<>();
    private long largest;
    private int largestOid;
    private long total;

    synchronized void received(int oid, int size) {
        long now = outstanding.merge(oid, (long) size, Long::sum);
        total += size;
        if (now > largest) {
            largest = now;
            largestOid = oid;
        }
    }

    synchronized void acknowledged(int oid, int size) {
        if (outstanding.merge(oid, (long) -size, Long::sum) == 0) outstanding.remove(oid);
    }

    /** Most units that were ever on their way to one stream without an Ack. */
    public synchronized long largestOutstanding() {
        return largest;
    }

    public synchronized int largestOid() {
        return largestOid;
    }

    /** Units received over all streams. */
    public synchronized long total() {
        return total;
    }
}

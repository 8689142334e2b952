package hudson.remoting;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;

/** Objects that the other side may address, with reference counts (remoting-channel 5.5). */
public final class ExportTable {
    /** Added to the count of an object that must stay. */
    private static final int PIN = 0x40000000;

    private static final class Entry {
        final int oid;
        final Object object;
        final Set<Class<?>> types = new LinkedHashSet<>();
        int references;

        Entry(int oid, Object object) {
            this.oid = oid;
            this.object = object;
        }
    }

    private final Map<Integer, Entry> table = new HashMap<>();
    private final Map<Object, Entry> reverse = new HashMap<>();
    private int iota = 1;

    /** Adds a reference; an object exported before keeps its oid. */
    public synchronized int export(Class<?> type, Object object) {
        if (object == null) return 0;
        Entry entry = reverse.get(object);
        if (entry == null) {
            entry = new Entry(iota++, object);
            table.put(entry.oid, entry);
            reverse.put(object, entry);
        }
        entry.types.add(type);
        entry.references++;
        return entry.oid;
    }

    /** Keeps the object for the life of the channel. */
    public synchronized void pin(int oid) {
        Entry entry = table.get(oid);
        if (entry != null && entry.references < PIN) entry.references += PIN;
    }

    /** Drops one reference; false when nothing is exported under that oid. */
    public synchronized boolean release(int oid) {
        Entry entry = table.get(oid);
        if (entry == null) return false;
        if (--entry.references == 0) {
            table.remove(oid);
            reverse.remove(entry.object);
            notifyAll();
        }
        return true;
    }

    public synchronized Object get(int oid) throws ExecutionException {
        Entry entry = table.get(oid);
        if (entry == null) {
            String text = "Invalid object ID " + oid + " iota=" + iota;
            throw new ExecutionException(text, new IllegalStateException("never exported or already released"));
        }
        return entry.object;
    }

    public synchronized List<Class<?>> types(int oid) {
        Entry entry = table.get(oid);
        return entry == null ? List.of() : new ArrayList<>(entry.types);
    }

    /** Reference count without the pin, or 0. */
    public synchronized int references(int oid) {
        Entry entry = table.get(oid);
        return entry == null ? 0 : entry.references & ~PIN;
    }

    /** Everything still exported except the channel and class loaders. */
    public synchronized Map<Integer, String> leftovers() {
        Map<Integer, String> left = new LinkedHashMap<>();
        for (Entry entry : table.values()) {
            boolean permanent = entry.object instanceof Channel || entry.object instanceof RemoteClassLoader.IClassLoader;
            if (!permanent) left.put(entry.oid, entry.object.getClass().getName() + " x" + (entry.references & ~PIN));
        }
        return left;
    }

    /** Waits until {@link #leftovers} is empty or the time is over; returns what is left. */
    public synchronized Map<Integer, String> awaitReleased(long millis) throws InterruptedException {
        long end = System.nanoTime() + millis * 1_000_000;
        while (!leftovers().isEmpty()) {
            long rest = (end - System.nanoTime()) / 1_000_000;
            if (rest <= 0) break;
            wait(rest);
        }
        return leftovers();
    }

    synchronized List<Object> clear() {
        List<Object> all = new ArrayList<>(reverse.keySet());
        table.clear();
        reverse.clear();
        notifyAll();
        return all;
    }
}

package hudson.remoting;

import java.util.ArrayList;
import java.util.List;

/** The objects exported while a request is serialised; released after its answer (remoting-channel 5.5). */
final class ExportList {
    private static final ThreadLocal<ExportList> RECORDING = new ThreadLocal<>();

    private final List<Integer> oids = new ArrayList<>();

    static ExportList current() {
        return RECORDING.get();
    }

    static ExportList start() {
        ExportList list = new ExportList();
        RECORDING.set(list);
        return list;
    }

    static void stop() {
        RECORDING.remove();
    }

    void add(int oid) {
        oids.add(oid);
    }

    synchronized void release(ExportTable table) {
        oids.forEach(table::release);
        oids.clear();
    }
}

package pilotfish.peer.faults;

import java.util.LinkedHashMap;
import java.util.Map;
import pilotfish.peer.bench.Json;

/** What happens, a JSON object per line of standard output, for the program that makes the faults. */
final class Events {
    private Events() {}

    /** {@code facts} are names and values in turn. */
    static void tell(String event, Object... facts) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("event", event);
        for (int i = 0; i < facts.length; i += 2) line.put((String) facts[i], facts[i + 1]);
        synchronized (System.out) {
            System.out.println(Json.of(line));
            System.out.flush();
        }
    }
}

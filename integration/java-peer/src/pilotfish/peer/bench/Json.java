package pilotfish.peer.bench;

import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Writes maps, lists, strings and numbers. */
public final class Json {
    private Json() {}

    public static String of(Object value) {
        if (value instanceof Map<?, ?> map) {
            StringBuilder text = new StringBuilder("{");
            map.forEach((key, item) -> text.append(text.length() > 1 ? ", " : "").append(of(key.toString())).append(": ").append(of(item)));
            return text.append('}').toString();
        }
        if (value instanceof List<?> list) {
            StringBuilder text = new StringBuilder("[");
            list.forEach(item -> text.append(text.length() > 1 ? ", " : "").append(of(item)));
            return text.append(']').toString();
        }
        if (value instanceof Double number) return String.format(Locale.ROOT, "%.4f", number);
        if (value instanceof Number || value instanceof Boolean || value == null) return String.valueOf(value);
        return "\"" + value.toString().replace("\\", "\\\\").replace("\"", "\\\"").replace("\n", "\\n") + "\"";
    }
}

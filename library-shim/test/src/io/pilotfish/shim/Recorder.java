package io.pilotfish.shim;

import groovy.lang.Closure;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** The steps that were called, as a tree of text. Branches stand in order, whatever ran first. */
final class Recorder {
    private final List<Line> lines = new ArrayList<>();
    private final String[] hidden;
    boolean wholeEnvironment;

    private record Line(int parent, String text) {}

    /** Paths in `hidden` differ from run to run; each is shown as the text after it. */
    Recorder(String... hidden) {
        this.hidden = hidden;
        lines.add(new Line(-1, ""));
    }

    int add(int parent, String text) {
        lines.add(new Line(parent, text));
        return lines.size() - 1;
    }

    int add(int parent, StepCall call) {
        StringBuilder text = new StringBuilder(call.name());
        for (Object one : call.arguments()) {
            if (one instanceof Closure) continue;
            if (one instanceof Map<?, ?> map) {
                new TreeMap<Object, Object>(map).forEach((name, value) -> text.append(' ').append(name).append(": ").append(shown(value)));
            } else if (one instanceof List<?> list) {
                for (Object part : list) {
                    String entry = String.valueOf(part);
                    if (wholeEnvironment || !entry.startsWith("PILOTFISH_")) text.append("\n  ").append(shown(part));
                }
            } else {
                text.append(' ').append(shown(one));
            }
        }
        return add(parent, text.toString());
    }

    private static String shown(Object value) {
        if (value instanceof Closure) return "{…}";
        if (value instanceof Map<?, ?> map) return new TreeMap<Object, Object>(map).toString();
        String text = String.valueOf(value);
        if (!(value instanceof CharSequence)) return text;
        return text.indexOf('\n') < 0 ? "'" + text + "'" : "'''\n    " + text.stripTrailing().replace("\n", "\n    ") + "'''";
    }

    /** A text without what differs from run to run. */
    String steady(String text) {
        for (int i = 0; i < hidden.length; i += 2) text = text.replace(hidden[i], hidden[i + 1]);
        return text;
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        write(text, 0, "");
        return text.toString();
    }

    private void write(StringBuilder text, int parent, String indent) {
        for (int at = 1; at < lines.size(); at++) {
            if (lines.get(at).parent() != parent) continue;
            text.append(indent).append(lines.get(at).text().replace("\n", "\n" + indent)).append('\n');
            write(text, at, indent + "  ");
        }
    }
}

package hudson;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** How overrides change an environment (agent-callables 2.2, steps 2 and 4). */
final class EnvRules {
    private static final Pattern VARIABLE = Pattern.compile("\\$(?:([A-Za-z0-9_]+)|\\{([A-Za-z0-9_.]+)\\}|\\$)");

    private EnvRules() {}

    /** Replaces {@code $NAME} and {@code ${NAME}}; {@code $$} is a dollar sign; unknown names stay. */
    static String expand(String text, Map<String, String> values) {
        Matcher matcher = VARIABLE.matcher(text);
        StringBuilder expanded = new StringBuilder();
        while (matcher.find()) {
            String name = matcher.group(1) != null ? matcher.group(1) : matcher.group(2);
            String value = name == null ? "$" : values.getOrDefault(name, matcher.group());
            matcher.appendReplacement(expanded, Matcher.quoteReplacement(value));
        }
        return matcher.appendTail(expanded).toString();
    }

    /** Applies {@code NAME=VALUE} pairs, those that others refer to first; {@code NAME+X} puts its value in front. */
    static void override(Map<String, String> environment, String[] pairs) {
        List<String> open = new ArrayList<>(List.of(pairs));
        while (!open.isEmpty()) {
            // A pair is ready when no other open one defines what it refers to; a circle is broken at its first.
            String ready = open.stream().filter(pair -> open.stream().noneMatch(other -> other != pair && refers(pair, name(other))))
                    .findFirst().orElse(open.get(0));
            open.remove(ready);
            apply(environment, ready);
        }
    }

    private static String name(String pair) {
        String key = pair.substring(0, pair.indexOf('='));
        return key.contains("+") ? key.substring(0, key.indexOf('+')) : key;
    }

    private static boolean refers(String pair, String name) {
        Matcher matcher = VARIABLE.matcher(pair.substring(pair.indexOf('=') + 1));
        while (matcher.find()) {
            if (name.equals(matcher.group(1)) || name.equals(matcher.group(2))) return true;
        }
        return false;
    }

    private static void apply(Map<String, String> environment, String pair) {
        String key = pair.substring(0, pair.indexOf('='));
        String value = expand(pair.substring(pair.indexOf('=') + 1), environment);
        String name = name(pair);
        String before = environment.get(name);
        if (key.contains("+")) environment.put(name, before == null ? value : value + ":" + before);
        else if (value.isEmpty()) environment.remove(name);
        else environment.put(name, value);
    }
}

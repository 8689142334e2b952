package hudson.slaves;

import java.util.Map;
import java.util.TreeMap;

public class EnvironmentVariablesNodeProperty {
    private final Map<String, String> variables = new TreeMap<>();

    public Map<String, String> getEnvVars() {
        return variables;
    }
}

package io.pilotfish.shim;

import java.util.List;
import java.util.Map;

/** Variables as a controller handles them (`hudson.EnvVars.override`). */
final class Variables {
    private Variables() {}

    /** What `withEnv` does: no text takes a variable away. */
    static void set(Map<String, String> environment, List<?> entries) {
        for (Object entry : entries) {
            String[] pair = entry.toString().split("=", 2);
            if (pair[1].isEmpty()) environment.remove(pair[0]);
            else environment.put(pair[0], pair[1]);
        }
    }

    /** What `withCredentials` does, with secrets that tell their id. */
    static void bind(Map<String, String> environment, List<?> bindings) {
        for (Object one : bindings) {
            Map<?, ?> binding = (Map<?, ?>) one;
            binding.forEach((name, variable) -> {
                if (name.toString().endsWith("ariable")) environment.put(variable.toString(), "secret of " + binding.get("credentialsId"));
            });
        }
    }
}

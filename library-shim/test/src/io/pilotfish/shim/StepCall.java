package io.pilotfish.shim;

import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import groovy.lang.Closure;

/** A step that the script asked for: its name and its arguments. */
record StepCall(String name, ArrayList<Object> arguments) implements Serializable {
    static StepCall of(String name, Object[] given) {
        return new StepCall(name, new ArrayList<>(List.of(given)));
    }

    /** The body, where the step has one. */
    Closure<?> body() {
        Object last = arguments.isEmpty() ? null : arguments.get(arguments.size() - 1);
        return last instanceof Closure<?> closure ? closure : null;
    }

    /** A named argument; the only unnamed one stands for any name. */
    Object argument(String name) {
        Object first = arguments.isEmpty() ? null : arguments.get(0);
        return first instanceof Map<?, ?> map ? map.get(name) : first;
    }
}

package io.pilotfish.shim;

import com.cloudbees.groovy.cps.Continuable;
import com.cloudbees.groovy.cps.Outcome;
import groovy.lang.Closure;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.TreeMap;

/** A thread of the Pipeline: the whole script, or the body of a step. */
final class Branch implements Serializable {
    private static final long serialVersionUID = 1;

    final Branch parent;
    /** The step whose body this is. */
    final StepCall call;
    final Closure<?> body;
    final int line;
    final ArrayList<Branch> children = new ArrayList<>();
    TreeMap<String, String> environment = new TreeMap<>(String.CASE_INSENSITIVE_ORDER);
    String directory;
    Continuable code;
    /** What it goes on with; none while it waits for a body or for a step that hangs. */
    Outcome next = new Outcome(null, null);
    boolean hangs;
    /** When a `timeout` ends it, in milliseconds since 1970; 0 for never. */
    long deadline;
    int tries;
    Outcome end;

    Branch(Branch parent, StepCall call, Closure<?> body, int line) {
        this.parent = parent;
        this.call = call;
        this.body = body;
        this.line = line;
        if (parent != null) {
            environment.putAll(parent.environment);
            directory = parent.directory;
        }
    }

    boolean isIn(Branch other) {
        for (Branch at = this; at != null; at = at.parent) {
            if (at == other) return true;
        }
        return false;
    }

    /** The soonest end of the time of all that it is in. */
    long soonest() {
        long soonest = Long.MAX_VALUE;
        for (Branch at = this; at != null; at = at.parent) {
            if (at.deadline > 0) soonest = Math.min(soonest, at.deadline);
        }
        return soonest;
    }
}

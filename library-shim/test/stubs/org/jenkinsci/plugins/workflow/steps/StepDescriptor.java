package org.jenkinsci.plugins.workflow.steps;

import java.util.Set;
import java.util.TreeSet;

public class StepDescriptor {
    public static final Set<String> KNOWN = new TreeSet<>();

    public static StepDescriptor byFunctionName(String name) {
        return KNOWN.contains(name) ? new StepDescriptor() : null;
    }
}

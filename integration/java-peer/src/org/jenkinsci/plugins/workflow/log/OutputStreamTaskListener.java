package org.jenkinsci.plugins.workflow.log;

import hudson.model.TaskListener;

/** Home of the base of Pipeline listeners. */
public final class OutputStreamTaskListener {
    private OutputStreamTaskListener() {}

    /** Base of Pipeline listeners; has nothing on the wire but its descriptor. */
    public abstract static class Default implements TaskListener {
        private static final long serialVersionUID = 7823583802067955234L;
    }
}

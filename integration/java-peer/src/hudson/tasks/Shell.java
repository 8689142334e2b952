package hudson.tasks;

import java.io.IOException;
import jenkins.security.MasterToSlaveCallable;

/** Home of the question for the shell (agent-callables 2.2). */
public final class Shell {
    private Shell() {}

    /** As on the controller, where it is the step's descriptor. */
    public static final class DescriptorImpl {
        private DescriptorImpl() {}

        /** Answers the shell's path. */
        public static final class Shellinterpreter extends MasterToSlaveCallable<String, IOException> {
            private static final long serialVersionUID = 1L;

            @Override
            public String call() {
                return "/bin/sh";
            }
        }
    }
}

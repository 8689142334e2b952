package org.jenkinsci.plugins.workflow.steps;

import java.io.Serializable;
import java.util.List;

public class FlowInterruptedException extends InterruptedException {
    private static final long serialVersionUID = 1;
    private final List<CauseOfInterruption> causes;

    public FlowInterruptedException(CauseOfInterruption cause) {
        causes = List.of(cause);
    }

    public List<CauseOfInterruption> getCauses() {
        return causes;
    }

    /** Why. The names of the classes are those of the real ones. */
    public abstract static class CauseOfInterruption implements Serializable {
        private static final long serialVersionUID = 1;

        public abstract String getShortDescription();
    }

    public static class ExceededTimeout extends CauseOfInterruption {
        private static final long serialVersionUID = 1;

        @Override
        public String getShortDescription() {
            return "Timeout has been exceeded";
        }
    }

    public static class FailFastCause extends CauseOfInterruption {
        private static final long serialVersionUID = 1;

        @Override
        public String getShortDescription() {
            return "Failed in branch";
        }
    }

    public static class Rejection extends CauseOfInterruption {
        private static final long serialVersionUID = 1;

        @Override
        public String getShortDescription() {
            return "Rejected by somebody";
        }
    }

    public static class UserInterruption extends CauseOfInterruption {
        private static final long serialVersionUID = 1;

        @Override
        public String getShortDescription() {
            return "Aborted by somebody";
        }
    }
}

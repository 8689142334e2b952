package hudson.model;

import java.io.IOException;
import java.io.Serializable;
import jenkins.security.MasterToSlaveCallable;

/** Home of the clock question (agent-callables 1.1). */
public final class Slave {
    private Slave() {}

    /** Answers {@link GetClockDifference3}. */
    public static final class GetClockDifference2 extends MasterToSlaveCallable<GetClockDifference3, IOException> {
        private static final long serialVersionUID = 1L;
        private final long startTime;

        public GetClockDifference2(long startTime) {
            this.startTime = startTime;
        }

        @Override
        public GetClockDifference3 call() {
            return new GetClockDifference3(startTime);
        }
    }

    /** The agent's time beside the controller's. */
    public static final class GetClockDifference3 implements Serializable {
        private static final long serialVersionUID = -6655128034486338777L;
        private final long remoteTime = System.currentTimeMillis();
        private final long startTime;

        GetClockDifference3(long startTime) {
            this.startTime = startTime;
        }

        public long startTime() {
            return startTime;
        }

        public long remoteTime() {
            return remoteTime;
        }
    }
}

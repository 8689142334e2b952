package hudson.node_monitors;

import java.io.IOException;
import java.io.Serializable;
import jenkins.security.MasterToSlaveCallable;

/** Home of the response time monitor (agent-callables 1.1). */
public final class ResponseTimeMonitor {
    private ResponseTimeMonitor() {}

    /** Carries the data there. */
    public static final class Step2 extends MasterToSlaveCallable<Step3, IOException> {
        private static final long serialVersionUID = 1L;
        private final Data cur;
        private final long start;

        public Step2(Data cur, long start) {
            this.cur = cur;
            this.start = start;
        }

        @Override
        public Step3 call() {
            return new Step3(cur, start);
        }
    }

    /** Carries the data back. */
    public static final class Step3 implements Serializable {
        private static final long serialVersionUID = 1L;
        private final Data cur;
        private final long start;

        Step3(Data cur, long start) {
            this.cur = cur;
            this.start = start;
        }

        public Data data() {
            return cur;
        }

        public long start() {
            return start;
        }
    }

    /** The last five response times in milliseconds. */
    public static final class Data implements Serializable {
        private static final long serialVersionUID = 1L;
        private final long[] past5;

        public Data(long... past5) {
            this.past5 = past5;
        }

        public long[] past5() {
            return past5;
        }
    }
}

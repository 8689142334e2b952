package hudson.node_monitors;

import java.io.IOException;
import jenkins.security.MasterToSlaveCallable;
import org.jvnet.hudson.MemoryUsage;

/** Home of the memory monitor (agent-callables 1.1). */
public final class SwapSpaceMonitor {
    private SwapSpaceMonitor() {}

    /** Answers {@link MemoryUsage2} or null. */
    public static final class MonitorTask extends MasterToSlaveCallable<MemoryUsage2, IOException> {
        private static final long serialVersionUID = 1L;

        @Override
        public MemoryUsage2 call() {
            Runtime runtime = Runtime.getRuntime();
            return new MemoryUsage2(runtime.maxMemory(), runtime.freeMemory(), 0, 0);
        }
    }

    /** The monitor's own kind of usage. */
    public static final class MemoryUsage2 extends MemoryUsage {
        private static final long serialVersionUID = 2216994637932270352L;

        MemoryUsage2(long totalPhysical, long availablePhysical, long totalSwap, long availableSwap) {
            super(totalPhysical, availablePhysical, totalSwap, availableSwap);
        }
    }
}

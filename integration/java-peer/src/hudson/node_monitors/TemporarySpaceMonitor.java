package hudson.node_monitors;

import hudson.remoting.VirtualChannel;
import java.io.File;
import java.io.IOException;
import jenkins.MasterToSlaveFileCallable;

/** Home of the temporary space monitor (agent-callables 1.1). */
public final class TemporarySpaceMonitor {
    private TemporarySpaceMonitor() {}

    /** Answers the space of the temporary directory. */
    public static final class GetTempSpace extends MasterToSlaveFileCallable<DiskSpaceMonitorDescriptor.DiskSpace> {
        private static final long serialVersionUID = 1L;

        @Override
        public DiskSpaceMonitorDescriptor.DiskSpace invoke(File file, VirtualChannel channel) throws IOException {
            File temporary = new File(System.getProperty("java.io.tmpdir")).getCanonicalFile();
            return new DiskSpaceMonitorDescriptor.DiskSpace(temporary.getPath(), temporary.getUsableSpace(), temporary.getTotalSpace());
        }
    }
}

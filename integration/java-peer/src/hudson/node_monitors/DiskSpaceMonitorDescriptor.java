package hudson.node_monitors;

import hudson.remoting.VirtualChannel;
import java.io.File;
import java.io.Serializable;
import jenkins.MasterToSlaveFileCallable;

/** Home of the disk monitor (agent-callables 1.1). */
public final class DiskSpaceMonitorDescriptor {
    private DiskSpaceMonitorDescriptor() {}

    /** Answers the space of the file system. */
    public static final class GetUsableSpace extends MasterToSlaveFileCallable<DiskSpace> {
        private static final long serialVersionUID = 1L;

        @Override
        public DiskSpace invoke(File file, VirtualChannel channel) {
            return new DiskSpace(file.getPath(), file.getUsableSpace(), file.getTotalSpace());
        }
    }

    /** Space in bytes. */
    public static final class DiskSpace implements Serializable {
        private static final long serialVersionUID = 2L;
        private final String path;
        private final long size;
        private final long totalSize;
        private final long threshold = 0L;
        private final long warningThreshold = 0L;
        private Class<?> trigger;

        DiskSpace(String path, long size, long totalSize) {
            this.path = path;
            this.size = size;
            this.totalSize = totalSize;
        }

        public String path() {
            return path;
        }

        public long size() {
            return size;
        }

        public long totalSize() {
            return totalSize;
        }
    }
}

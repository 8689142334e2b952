package hudson.tasks;

import hudson.FileOps;
import hudson.remoting.VirtualChannel;
import java.io.File;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import jenkins.MasterToSlaveFileCallable;

/** Home of fingerprinting (live-findings 17). */
public final class Fingerprinter {
    private Fingerprinter() {}

    /** Answers a record per file that matches. */
    public static final class FindRecords extends MasterToSlaveFileCallable<List<Record>> {
        private static final long serialVersionUID = -2698583045213136771L;
        private final String targets;
        private final String excludes;
        private final boolean defaultExcludes;
        private final boolean caseSensitive;
        private final long buildTimestamp;

        public FindRecords(String targets, String excludes, long buildTimestamp) {
            this.targets = targets;
            this.excludes = excludes;
            this.buildTimestamp = buildTimestamp;
            defaultExcludes = true;
            caseSensitive = true;
        }

        @Override
        public List<Record> invoke(File file, VirtualChannel channel) throws IOException {
            List<Record> all = new ArrayList<>();
            for (String name : FileOps.glob(file.toPath(), targets, excludes, defaultExcludes)) {
                File found = new File(file, name);
                all.add(new Record(found.lastModified() >= buildTimestamp, name, found.getName(), FileOps.md5(found.toPath())));
            }
            return all;
        }
    }

    /** A file and its MD5. */
    public static final class Record implements Serializable {
        private static final long serialVersionUID = 1L;
        public final boolean produced;
        public final String relativePath;
        public final String fileName;
        public final String md5sum;

        Record(boolean produced, String relativePath, String fileName, String md5sum) {
            this.produced = produced;
            this.relativePath = relativePath;
            this.fileName = fileName;
            this.md5sum = md5sum;
        }
    }
}

package hudson.tasks;

import hudson.FileOps;
import hudson.remoting.VirtualChannel;
import java.io.File;
import java.io.IOException;
import java.util.HashSet;
import java.util.Set;
import jenkins.MasterToSlaveFileCallable;

/** Home of the question for artifacts (agent-callables 4). */
public final class ArtifactArchiver {
    private ArtifactArchiver() {}

    /** Answers the relative names that match. */
    public static final class ListFiles extends MasterToSlaveFileCallable<Set<String>> {
        private static final long serialVersionUID = 1L;
        private final String includes;
        private final String excludes;
        private final boolean defaultExcludes;
        private final boolean caseSensitive;
        private final boolean followSymlinks;

        public ListFiles(String includes, String excludes) {
            this.includes = includes;
            this.excludes = excludes;
            defaultExcludes = true;
            caseSensitive = true;
            followSymlinks = true;
        }

        @Override
        public Set<String> invoke(File file, VirtualChannel channel) throws IOException {
            return new HashSet<>(FileOps.glob(file.toPath(), includes, excludes, defaultExcludes));
        }
    }
}

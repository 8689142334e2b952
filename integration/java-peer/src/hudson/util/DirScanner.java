package hudson.util;

import hudson.FileOps;
import java.io.IOException;
import java.io.Serializable;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;

/** Chooses the files of an archive (agent-callables 2.1). */
public abstract class DirScanner implements Serializable {
    private static final long serialVersionUID = 1L;

    /** Name in the archive to file. */
    public abstract Map<String, Path> scan(Path base) throws IOException;

    /** Files that match patterns. */
    public static final class Glob extends DirScanner {
        private static final long serialVersionUID = 1L;
        private final String includes;
        private final String excludes;
        private final boolean useDefaultExcludes;
        private final OpenOption[] openOptions;

        public Glob(String includes, String excludes, boolean useDefaultExcludes, OpenOption... openOptions) {
            this.includes = includes;
            this.excludes = excludes;
            this.useDefaultExcludes = useDefaultExcludes;
            this.openOptions = openOptions;
        }

        @Override
        public Map<String, Path> scan(Path base) throws IOException {
            Map<String, Path> found = new TreeMap<>();
            String wanted = includes == null ? "**" : includes;
            for (String name : FileOps.glob(base, wanted, excludes, useDefaultExcludes)) found.put(name, base.resolve(name));
            return found;
        }
    }

    /** Everything. */
    public static final class Full extends DirScanner {
        private static final long serialVersionUID = 1L;

        @Override
        public Map<String, Path> scan(Path base) throws IOException {
            return new Glob("**", null, false).scan(base);
        }
    }
}

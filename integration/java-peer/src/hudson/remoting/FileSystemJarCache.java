package hudson.remoting;

import java.io.File;

/** A directory of jars. */
public final class FileSystemJarCache extends JarCache {
    public FileSystemJarCache(File directory, boolean touch) {
        if (!directory.isDirectory()) throw new IllegalArgumentException(directory + " is no directory");
    }
}

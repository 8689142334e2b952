package hudson.util.io;

import hudson.FilePath.TarCompression;
import hudson.util.DirScanner;
import java.io.IOException;
import java.io.OutputStream;
import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.util.Map;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Which kind of archive {@code FilePath$Archive} writes. */
public abstract class ArchiverFactory implements Serializable {
    private static final long serialVersionUID = 1L;

    /** Writes the scanned files of {@code base}; answers the number of entries. */
    public abstract int write(Path base, DirScanner scanner, OutputStream out) throws IOException;

    /** tar, compressed or not. */
    public static final class TarArchiverFactory extends ArchiverFactory {
        private static final long serialVersionUID = 1L;
        private final TarCompression method;

        public TarArchiverFactory(TarCompression method) {
            this.method = method;
        }

        @Override
        public int write(Path base, DirScanner scanner, OutputStream out) throws IOException {
            if (method == TarCompression.NONE) return Tar.write(base, scanner, out);
            GZIPOutputStream zipped = new GZIPOutputStream(out);
            int entries = Tar.write(base, scanner, zipped);
            zipped.finish();
            return entries;
        }
    }

    /** zip. */
    public static final class ZipArchiverFactory extends ArchiverFactory {
        private static final long serialVersionUID = 1L;
        private final String prefix;
        private final OpenOption[] openOptions;

        public ZipArchiverFactory(String prefix, OpenOption... openOptions) {
            this.prefix = prefix;
            this.openOptions = openOptions;
        }

        @Override
        public int write(Path base, DirScanner scanner, OutputStream out) throws IOException {
            ZipOutputStream zip = new ZipOutputStream(out);
            Map<String, Path> files = scanner.scan(base);
            for (Map.Entry<String, Path> file : files.entrySet()) {
                String name = prefix == null || prefix.isEmpty() ? file.getKey() : prefix + "/" + file.getKey();
                zip.putNextEntry(new ZipEntry(name));
                Files.copy(file.getValue(), zip);
                zip.closeEntry();
            }
            zip.finish();
            return files.size();
        }
    }
}

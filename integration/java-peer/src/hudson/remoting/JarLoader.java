package hudson.remoting;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.Serializable;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/** Gives the controller's jars to agents (remoting-channel 5.3). */
public interface JarLoader {
    /** Property of the channel under which a side keeps its own. */
    String OURS = "hudson.remoting.JarLoader.ours";

    /** Writes the jar with this checksum. */
    void writeJarTo(long sum1, long sum2, OutputStream sink) throws IOException, InterruptedException;

    /** The one jar of this peer: these very classes of the protocol, as the library of an agent's JVM. */
    final class Library implements JarLoader, Serializable {
        private static final long serialVersionUID = 1;
        private static final List<String> FOLDERS = List.of("hudson/remoting", "org/jenkinsci/remoting");
        private static volatile Library offered;

        private final transient byte[] jar;
        private final transient long sum1;
        private final transient long sum2;
        private final transient AtomicInteger given = new AtomicInteger();

        private Library(byte[] jar) {
            this.jar = jar;
            try {
                ByteBuffer hash = ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(jar));
                sum1 = hash.getLong(0) ^ hash.getLong(16);
                sum2 = hash.getLong(8) ^ hash.getLong(24);
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException(e);
            }
        }

        /** Packs the classes; from now on the peer's loaders say that they come from this jar. */
        public static synchronized Library offer() throws IOException {
            if (offered == null) offered = new Library(pack());
            return offered;
        }

        /** Offers another implementation of the protocol instead. */
        public static synchronized Library offer(Path jar) throws IOException {
            offered = new Library(Files.readAllBytes(jar));
            return offered;
        }

        private static byte[] pack() throws IOException {
            Path classes = Path.of(URIs.of(Channel.class));
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
                for (String folder : FOLDERS) {
                    try (Stream<Path> files = Files.walk(classes.resolve(folder))) {
                        for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                            ZipEntry entry = new ZipEntry(classes.relativize(file).toString());
                            // The same bytes in every run.
                            entry.setTime(0);
                            zip.putNextEntry(entry);
                            Files.copy(file, zip);
                        }
                    }
                }
            }
            return bytes.toByteArray();
        }

        static boolean holds(String className) {
            return offered != null && FOLDERS.stream().anyMatch(folder -> className.startsWith(folder.replace('/', '.') + "."));
        }

        static ResourceImageRef image(String className) {
            return new ResourceImageInJar(offered.sum1, offered.sum2, className.replace('.', '/') + ".class");
        }

        /** The jar's contents, for those who ask over HTTP. */
        public byte[] jar() {
            return jar;
        }

        /** How often it was given away over a channel. */
        public int given() {
            return given.get();
        }

        @Override
        public void writeJarTo(long sum1, long sum2, OutputStream sink) throws IOException {
            if (sum1 != this.sum1 || sum2 != this.sum2) throw new IOException("no jar has the checksum " + sum1 + " " + sum2);
            given.incrementAndGet();
            sink.write(jar);
        }

        /** Travels as a proxy. */
        private Object writeReplace() {
            return Channel.current().export(JarLoader.class, this);
        }
    }

    /** Where classes are. */
    final class URIs {
        private URIs() {}

        static java.net.URI of(Class<?> type) throws IOException {
            try {
                return type.getProtectionDomain().getCodeSource().getLocation().toURI();
            } catch (java.net.URISyntaxException e) {
                throw new IOException(e);
            }
        }
    }
}

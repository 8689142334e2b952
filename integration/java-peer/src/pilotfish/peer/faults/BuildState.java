package pilotfish.peer.faults;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/**
 * What a controller keeps of a build on disk: enough to go on after it was killed at any moment. The log's length says how
 * much of the output is there.
 */
final class BuildState {
    private final Path directory;
    private final Properties facts = new Properties();

    BuildState(Path directory) throws IOException {
        this.directory = directory;
        Files.createDirectories(directory);
        if (Files.exists(directory.resolve("facts"))) {
            try (var in = Files.newInputStream(directory.resolve("facts"))) {
                facts.load(in);
            }
        }
    }

    synchronized String get(String name) {
        return facts.getProperty(name);
    }

    /** Replaces the file as a whole: it is read by the next life of this process. */
    synchronized void put(String name, String value) throws IOException {
        facts.setProperty(name, value);
        Path fresh = directory.resolve("facts.new");
        try (OutputStream out = Files.newOutputStream(fresh)) {
            facts.store(out, null);
        }
        Files.move(fresh, directory.resolve("facts"), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    Path directory() {
        return directory;
    }

    Path log() {
        return directory.resolve("log");
    }

    long length() throws IOException {
        return Files.exists(log()) ? Files.size(log()) : 0;
    }

    OutputStream append() throws IOException {
        return Files.newOutputStream(log(), StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    /** From here on the log comes from another watch. */
    void beginSegment() throws IOException {
        Files.writeString(directory.resolve("segments"), length() + "\n", StandardOpenOption.CREATE, StandardOpenOption.APPEND);
    }

    List<Long> segments() throws IOException {
        List<Long> begins = new ArrayList<>();
        Path file = directory.resolve("segments");
        if (Files.exists(file)) {
            for (String line : Files.readAllLines(file)) begins.add(Long.parseLong(line));
        }
        return begins;
    }

    void forget() throws IOException {
        try (var files = Files.list(directory)) {
            for (Path file : files.toList()) Files.delete(file);
        }
        Files.delete(directory);
    }
}

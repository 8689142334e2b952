package pilotfish.peer;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The command line: {@code MODE --key value … [-- AGENT COMMAND]}. */
public final class Options {
    private static final Set<String> KEYS = Set.of("address", "port", "port-file", "secret-file", "name", "root", "pipe-mib", "dump", "agents",
            "mib", "rounds", "round-trips", "agent-jar", "wait", "hold", "agent-log", "url", "only", "check-seconds", "release-seconds", "state", "seed",
            "builds", "ping", "tcp");

    private final Map<String, String> values = new HashMap<>();
    private List<String> agentCommand = List.of();

    /** Reads everything after the mode. */
    public Options(String[] args) {
        for (int i = 1; i < args.length; i++) {
            if (args[i].equals("--")) {
                agentCommand = Arrays.asList(args).subList(i + 1, args.length);
                return;
            }
            String key = args[i].startsWith("--") ? args[i].substring(2) : "";
            if (!KEYS.contains(key)) throw new IllegalArgumentException("unknown option " + args[i] + "; known: " + KEYS);
            if (i + 1 == args.length) throw new IllegalArgumentException("--" + key + " needs a value");
            values.put(key, args[++i]);
        }
    }

    public String get(String key, String otherwise) {
        return values.getOrDefault(key, otherwise);
    }

    public int number(String key, int otherwise) {
        String value = values.get(key);
        try {
            return value == null ? otherwise : Integer.parseInt(value);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("--" + key + " must be a number, not " + value, e);
        }
    }

    public List<String> agentCommand() {
        return agentCommand;
    }

    /** File of the agents' secret; made with a fresh one when it is absent. */
    public Path secretFile() throws IOException {
        String given = values.get("secret-file");
        Path file = given == null ? Files.createTempFile("pilotfish-peer", ".secret") : Path.of(given);
        if (!Files.exists(file) || Files.size(file) == 0) {
            byte[] bytes = new byte[32];
            new SecureRandom().nextBytes(bytes);
            if (!Files.exists(file)) Files.createFile(file);
            hudson.FileOps.chmod(file, 0600);
            Files.writeString(file, HexFormat.of().formatHex(bytes));
        }
        if (given == null) file.toFile().deleteOnExit();
        return file;
    }
}

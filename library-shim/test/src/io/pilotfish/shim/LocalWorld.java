package io.pilotfish.shim;

import java.io.Serializable;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Steps that do their work on this machine. */
final class LocalWorld extends World {
    private static final Set<String> INHERITED = Set.of("PATH", "HOME", "LANG");
    final StringBuilder log = new StringBuilder();
    final List<String> kept = new ArrayList<>();

    LocalWorld(Steps.CurrentBuild currentBuild) {
        super(currentBuild, new Recorder());
    }

    /** What the step of the junit plugin gives. */
    public record Tests(int getPassCount, int getFailCount, int getSkipCount) implements Serializable {}

    @Override
    Object step(StepCall call, Place place) throws Exception {
        Path directory = Path.of(place.directory());
        switch (call.name()) {
            case "pwd":
                return directory + (call.arguments().isEmpty() ? "" : "@tmp");
            case "error":
                throw new Exception(call.argument("message").toString());
            case "unstable":
                currentBuild.worsen("UNSTABLE");
                return null;
            case "echo":
                log.append(call.argument("message")).append('\n');
                return null;
            case "deleteDir":
                if (!Files.exists(directory)) return null;
                try (var all = Files.walk(directory)) {
                    for (Path one : all.sorted(Comparator.reverseOrder()).toList()) Files.delete(one);
                }
                return null;
            case "writeFile":
                Path file = directory.resolve(call.argument("file").toString());
                Files.createDirectories(file.getParent());
                Files.writeString(file, call.argument("text").toString());
                return null;
            case "readFile":
                return Files.readString(directory.resolve(call.argument("file").toString()));
            case "fileExists":
                return Files.exists(directory.resolve(call.argument("file").toString()));
            case "sh":
                return shell(call.argument("script").toString(), place, call.argument("returnStdout") == Boolean.TRUE);
            case "junit":
                String report = Files.readString(directory.resolve(call.argument("testResults").toString()));
                return new Tests(report.split("<testcase", -1).length - 1, report.split("<failure", -1).length - 1, 0);
            case "archiveArtifacts":
                kept.add(call.argument("artifacts").toString());
                return null;
            default:
                return null;
        }
    }

    /** What the step does on an agent: a script with its own first line, or `sh -xe`. */
    private Object shell(String text, Place place, boolean returns) throws Exception {
        Files.createDirectories(Path.of(place.directory()));
        Path script = Files.createTempFile("step", ".sh");
        Files.writeString(script, text);
        script.toFile().setExecutable(true);
        ProcessBuilder builder = text.startsWith("#!") ? new ProcessBuilder(script.toString()) : new ProcessBuilder("sh", "-xe", script.toString());
        Map<String, String> environment = builder.environment();
        environment.keySet().retainAll(INHERITED);
        environment.putAll(place.environment());
        Process process = builder.directory(Path.of(place.directory()).toFile()).redirectErrorStream(true)
            .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile())).start();
        String output = new String(process.getInputStream().readAllBytes());
        if (!returns) log.append(output);
        int status = process.waitFor();
        Files.delete(script);
        if (status != 0) throw new Exception("script returned exit code " + status);
        return returns ? output : null;
    }
}

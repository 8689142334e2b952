package pilotfish.peer;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.bench.JvmThroughput;
import pilotfish.peer.bench.Serve;
import pilotfish.peer.bench.Throughput;
import pilotfish.peer.conformance.Conformance;
import pilotfish.peer.conformance.JvmConformance;
import pilotfish.peer.conformance.PortChecks;
import pilotfish.peer.demo.Demo;
import pilotfish.peer.faults.Faults;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.net.PeerServer;
import pilotfish.peer.steps.Steps;

/** The controller's side of the protocol for demonstrations, tests and benchmarks. See README.md for the modes. */
public final class Main {
    private Main() {}

    private static final String USAGE = "usage: pilotfish.peer.Main demo|conformance|faults|jnlp4|jvm|jvm-throughput|throughput|serve|standin|steps [--port N] [--secret-file FILE]"
            + " [--name NAME] [--root DIR] [options] [-- AGENT COMMAND with {url} {secret-file} {name} {root}]";

    public static void main(String[] args) throws Exception {
        String mode = args.length == 0 ? "" : args[0];
        if (!List.of("demo", "conformance", "faults", "jnlp4", "jvm", "jvm-throughput", "throughput", "serve", "standin", "steps").contains(mode)) {
            System.err.println(USAGE);
            System.exit(2);
        }
        try {
            System.exit(run(mode, new Options(args)));
        } catch (IllegalArgumentException e) {
            System.err.println(e.getMessage() + "\n" + USAGE);
            System.exit(2);
        }
    }

    private static int run(String mode, Options options) throws Exception {
        if (mode.equals("standin")) return StandIn.run(options);
        Path secretFile = options.secretFile();
        String secret = Files.readString(secretFile).trim();
        try (PeerServer server = new PeerServer(options.get("address", "127.0.0.1"), options.number("port", 0), secret)) {
            // The results of these modes are JSON on standard output.
            PrintStream talk = mode.endsWith("throughput") || mode.equals("serve") || mode.equals("faults") || mode.equals("steps") ? System.err : System.out;
            talk.println("Listening on " + server.url());
            String portFile = options.get("port-file", null);
            if (portFile != null) Files.writeString(Path.of(portFile), Integer.toString(server.port()));
            String root = options.get("root", Files.createTempDirectory("pilotfish-peer").toString());
            if (mode.equals("jnlp4")) PortChecks.prepare(server);
            Process agent = startAgent(mode, options, server, secretFile, root);
            try {
                if (mode.equals("jvm")) return JvmConformance.run(server, agent, options, root);
                if (mode.equals("jvm-throughput")) return JvmThroughput.run(server, agent, options, root, secretFile);
                if (mode.equals("serve")) return Serve.run(server, options, root);
                if (mode.equals("faults")) return Faults.run(server, options, root);
                if (mode.equals("jnlp4")) return PortChecks.run(server, options, root);
                AgentConnection connection = server.nextAgent(options.number("wait", 120));
                if (connection == null) {
                    System.err.println("No agent connected. Start one with: -url " + server.url() + " -name NAME -secret @" + secretFile + " -webSocket");
                    return 1;
                }
                return switch (mode) {
                    case "demo" -> Demo.run(connection, root);
                    case "steps" -> Steps.run(connection, root);
                    case "throughput" -> Throughput.run(connection, options, root);
                    default -> Conformance.run(connection, options, root);
                };
            } finally {
                if (agent != null) {
                    agent.destroy();
                    if (!agent.waitFor(10, TimeUnit.SECONDS)) agent.destroyForcibly();
                }
            }
        }
    }

    /** Starts the command after {@code --}, if any. */
    private static Process startAgent(String mode, Options options, PeerServer server, Path secretFile, String root) throws IOException {
        if (options.agentCommand().isEmpty()) return null;
        List<String> command = options.agentCommand().stream()
                .map(part -> part.replace("{url}", server.url()).replace("{secret-file}", secretFile.toString())
                        .replace("{name}", options.get("name", "agent-1")).replace("{root}", root))
                .toList();
        ProcessBuilder builder = new ProcessBuilder(command);
        // Little enough that a check can use it up in no time.
        if (mode.equals("jvm")) builder.environment().put("JENKINS_JAVA_OPTS", "-Xmx64m");
        builder.redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()));
        String log = options.get("agent-log", null);
        ProcessBuilder.Redirect target = log == null ? ProcessBuilder.Redirect.INHERIT : ProcessBuilder.Redirect.to(Path.of(log).toFile());
        // The agent's words go to standard error: standard output is for results.
        builder.redirectErrorStream(log != null);
        builder.redirectOutput(log == null ? ProcessBuilder.Redirect.DISCARD : target);
        if (log == null) builder.redirectError(target);
        return builder.start();
    }
}

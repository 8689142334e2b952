package pilotfish.peer.bench;

import hudson.FilePath;
import hudson.remoting.Channel;
import hudson.remoting.ChannelBuilder;
import hudson.remoting.JarLoader;
import hudson.remoting.RemoteOutputStream;
import java.io.Closeable;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.AgentProcess;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.net.PeerServer;
import pilotfish.peer.plugin.one.Work;

/**
 * What the way through the agent costs a JVM behind it: the same JVM is also connected directly, once with a WebSocket of its
 * own, and once, with the same command line, on pipes of this process. With {@code --agent-jar} the library in all of them is
 * that of an official agent, and the one on the WebSocket is that agent.
 */
public final class JvmThroughput {
    private static final double MIB = 1 << 20;
    private static final int FILE_MIB = 16;
    private static final int CALLS = 10;

    private final PeerServer server;
    private final AgentProcess agent;
    private final Options options;
    private final String root;
    private final Path secretFile;
    private final int mib;
    private final List<Double> firstCall = new ArrayList<>();
    private final List<Double> tenthCall = new ArrayList<>();

    private JvmThroughput(PeerServer server, AgentProcess agent, Options options, String root, Path secretFile) {
        this.server = server;
        this.agent = agent;
        this.options = options;
        this.root = root;
        this.secretFile = secretFile;
        mib = Math.max(FILE_MIB, options.number("mib", 1024) / FILE_MIB * FILE_MIB);
    }

    /** {@code --mib} is the size of each stream, {@code --rounds} the number of pairs; prints JSON. */
    public static int run(PeerServer server, Process process, Options options, String root, Path secretFile) throws Exception {
        if (process == null) throw new IllegalArgumentException("jvm-throughput needs the agent's command");
        String jar = options.get("agent-jar", null);
        server.offer(jar == null ? JarLoader.Library.offer() : JarLoader.Library.offer(Path.of(jar)), true);
        AgentProcess agent = new AgentProcess(process);
        return new JvmThroughput(server, agent, options, root, secretFile).measure(options.number("rounds", 3));
    }

    /** A new connection of the agent and the first calls on it that need a JVM. */
    private Channel connected() throws Exception {
        AgentConnection connection = server.nextAgent(options.number("wait", 120));
        if (connection == null) throw new IOException("the agent did not connect");
        Channel channel = connection.channel();
        new ConnectSequence(channel, root).setUp();
        for (int i = 1; i <= CALLS; i++) {
            long begin = System.nanoTime();
            channel.call(new Work.Greet("call " + i));
            double millis = (System.nanoTime() - begin) / 1e6;
            if (i == 1) firstCall.add(millis);
            if (i == CALLS) tenthCall.add(millis);
        }
        return channel;
    }

    private int measure(int rounds) throws Exception {
        Channel channel = connected();
        // Once more for every round: the library and the archive of its classes are there from now on.
        for (int i = 0; i < rounds; i++) {
            ProcessHandle jvm = agent.jvm();
            channel.close();
            AgentProcess.ended(jvm, 30);
            channel = connected();
        }
        Node node = new Node(channel, root);
        String file = node.path("jvm-throughput.bin");
        try (OutputStream out = node.on(file, new FilePath.WritePipe())) {
            for (int i = 0; i < FILE_MIB * 16; i++) out.write(new byte[1 << 16]);
        }
        Map<String, Object> result = new LinkedHashMap<>();
        try (Direct direct = onWebSocket(agent.jvm()); Direct pipes = onPipes(agent.jvm())) {
            Map<String, Channel> ways = new LinkedHashMap<>();
            ways.put("relayed", channel);
            ways.put("direct", direct.channel);
            ways.put("pipes", pipes.channel);
            Map<String, List<Double>> rates = new LinkedHashMap<>();
            // All are compiled by the time that counts.
            for (Channel each : ways.values()) {
                up(each, file, FILE_MIB * 4);
                down(each, FILE_MIB * 4);
            }
            for (int i = 0; i < rounds; i++) {
                for (Map.Entry<String, Channel> way : ways.entrySet()) {
                    add(rates, "up_" + way.getKey(), up(way.getValue(), file, mib));
                }
                for (Map.Entry<String, Channel> way : ways.entrySet()) {
                    add(rates, "down_" + way.getKey(), down(way.getValue(), mib));
                }
            }
            result.put("mib", mib);
            result.put("first_call_ms", firstCall);
            result.put("tenth_call_ms", tenthCall);
            rates.forEach((way, values) -> result.put(way + "_mib_per_s", values));
            result.put("agent_resident_kib", resident(agent.pid()));
            result.put("jvm_resident_kib", resident(agent.jvm().pid()));
            result.put("direct_jvm_resident_kib", resident(direct.process.pid()));
        }
        System.out.println(Json.of(result));
        channel.close();
        return channel.complaints().isEmpty() ? 0 : 1;
    }

    private static void add(Map<String, List<Double>> rates, String way, double rate) {
        rates.computeIfAbsent(way, key -> new ArrayList<>()).add(rate);
    }

    /** From the JVM to here, in MiB per second. */
    private static double up(Channel channel, String file, int mib) throws Exception {
        long[] count = new long[1];
        OutputStream sink = new OutputStream() {
            @Override
            public void write(int b) {
                count[0]++;
            }

            @Override
            public void write(byte[] source, int offset, int length) {
                count[0] += length;
            }
        };
        long begin = System.nanoTime();
        channel.call(new Work.Send(file, mib / FILE_MIB, new RemoteOutputStream(sink), null));
        double rate = mib / ((System.nanoTime() - begin) / 1e9);
        if (count[0] != (long) (mib * MIB)) throw new IOException(count[0] + " bytes came of " + mib + " MiB");
        return rate;
    }

    /** From here to the JVM. */
    private static double down(Channel channel, int mib) throws Exception {
        long begin = System.nanoTime();
        byte[] block = new byte[1 << 16];
        try (OutputStream out = channel.call(new Work.Discard())) {
            for (int i = 0; i < mib * 16; i++) out.write(block);
        }
        // Answered when all is there.
        long count = channel.call(new Work.Discarded());
        double rate = mib / ((System.nanoTime() - begin) / 1e9);
        if (count != (long) (mib * MIB)) throw new IOException(count + " bytes arrived of " + mib + " MiB");
        return rate;
    }

    private static long resident(long pid) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc", Long.toString(pid), "status"))) {
            if (line.startsWith("VmRSS:")) return Long.parseLong(line.replaceAll("\\D", ""));
        }
        throw new IOException("the kernel tells no VmRSS of " + pid);
    }

    /** A JVM with the options of another, on a WebSocket of its own. */
    private Direct onWebSocket(ProcessHandle like) throws Exception {
        List<String> command = commandLine(like);
        int classPath = command.indexOf("-cp");
        if (classPath < 0) throw new IOException("the agent's JVM has no class path: " + command);
        command = new ArrayList<>(command.subList(0, classPath));
        String jar = options.get("agent-jar", null);
        if (jar == null) {
            command.addAll(List.of("-cp", System.getProperty("java.class.path"), DirectAgent.class.getName()));
            command.addAll(List.of(server.url(), "direct", secretFile.toString()));
        } else {
            command.addAll(List.of("-jar", jar, "-webSocket", "-url", server.url(), "-name", "direct"));
            command.addAll(List.of("-secret", "@" + secretFile, "-workDir", root));
        }
        Process process = started(command);
        AgentConnection connection = server.nextAgent(options.number("wait", 120));
        if (connection == null) throw new IOException("the JVM did not connect");
        return new Direct(process, connection.channel());
    }

    /** A JVM with the command line of another, on pipes of this process. */
    private static Direct onPipes(ProcessHandle like) throws IOException {
        Process process = started(commandLine(like));
        Channel channel = new ChannelBuilder("pipes", Executors.newCachedThreadPool())
                .buildController(process.getInputStream(), process.getOutputStream());
        return new Direct(process, channel);
    }

    private static List<String> commandLine(ProcessHandle jvm) {
        List<String> command = new ArrayList<>();
        command.add(jvm.info().command().orElseThrow());
        for (String argument : jvm.info().arguments().orElseThrow()) {
            if (!argument.startsWith("-XX:ArchiveClassesAtExit")) command.add(argument);
        }
        return command;
    }

    private static Process started(List<String> command) throws IOException {
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
    }

    private record Direct(Process process, Channel channel) implements Closeable {
        @Override
        public void close() throws IOException {
            channel.close();
            try {
                if (!process.waitFor(10, TimeUnit.SECONDS)) process.destroyForcibly();
            } catch (InterruptedException e) {
                process.destroyForcibly();
                Thread.currentThread().interrupt();
            }
        }
    }
}

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

/** What the way through the agent costs a JVM behind it: the same JVM, with the same command line, is also connected directly. */
public final class JvmThroughput {
    private static final double MIB = 1 << 20;
    private static final int FILE_MIB = 16;
    private static final int CALLS = 10;

    private final PeerServer server;
    private final AgentProcess agent;
    private final Options options;
    private final String root;
    private final int mib;
    private final List<Double> firstCall = new ArrayList<>();
    private final List<Double> tenthCall = new ArrayList<>();

    private JvmThroughput(PeerServer server, AgentProcess agent, Options options, String root) {
        this.server = server;
        this.agent = agent;
        this.options = options;
        this.root = root;
        mib = Math.max(FILE_MIB, options.number("mib", 1024) / FILE_MIB * FILE_MIB);
    }

    /** {@code --mib} is the size of each stream, {@code --rounds} the number of pairs; prints JSON. */
    public static int run(PeerServer server, Process process, Options options, String root) throws Exception {
        if (process == null) throw new IllegalArgumentException("jvm-throughput needs the agent's command");
        server.offer(JarLoader.Library.offer(), true);
        return new JvmThroughput(server, new AgentProcess(process), options, root).measure(options.number("rounds", 3));
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
        List<Double> up = new ArrayList<>();
        List<Double> upDirect = new ArrayList<>();
        List<Double> down = new ArrayList<>();
        List<Double> downDirect = new ArrayList<>();
        Map<String, Object> result = new LinkedHashMap<>();
        try (Direct direct = new Direct(agent.jvm())) {
            // Both are compiled by the time that counts.
            for (Channel each : List.of(channel, direct.channel)) {
                up(each, file, FILE_MIB * 4);
                down(each, FILE_MIB * 4);
            }
            for (int i = 0; i < rounds; i++) {
                up.add(up(channel, file, mib));
                upDirect.add(up(direct.channel, file, mib));
                down.add(down(channel, mib));
                downDirect.add(down(direct.channel, mib));
            }
            result.put("mib", mib);
            result.put("first_call_ms", firstCall);
            result.put("tenth_call_ms", tenthCall);
            result.put("up_mib_per_s", up);
            result.put("up_direct_mib_per_s", upDirect);
            result.put("down_mib_per_s", down);
            result.put("down_direct_mib_per_s", downDirect);
            result.put("agent_resident_kib", resident(agent.pid()));
            result.put("jvm_resident_kib", resident(agent.jvm().pid()));
            result.put("direct_jvm_resident_kib", resident(direct.process.pid()));
        }
        System.out.println(Json.of(result));
        channel.close();
        return channel.complaints().isEmpty() ? 0 : 1;
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

    /** A JVM with the command line of another, on pipes of this process. */
    private static final class Direct implements Closeable {
        final Process process;
        final Channel channel;

        Direct(ProcessHandle like) throws IOException {
            List<String> command = new ArrayList<>();
            command.add(like.info().command().orElseThrow());
            for (String argument : like.info().arguments().orElseThrow()) {
                if (!argument.startsWith("-XX:ArchiveClassesAtExit")) command.add(argument);
            }
            process = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            channel = new ChannelBuilder("direct", Executors.newCachedThreadPool())
                    .buildController(process.getInputStream(), process.getOutputStream());
        }

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

package pilotfish.peer.bench;

import hudson.FilePath;
import hudson.remoting.Channel;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayDeque;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.WriteLog;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;

/** Streams and round trips with figures as JSON. */
public final class Throughput {
    private static final double MIB = 1 << 20;

    private final Node node;
    private final Map<String, Object> result = new LinkedHashMap<>();

    private Throughput(Node node) {
        this.node = node;
    }

    /** {@code --mib} is the size of each stream, {@code --round-trips} the number of calls per figure. */
    public static int run(AgentConnection agent, Options options, String root) throws Exception {
        new ConnectSequence(agent.channel(), root).setUp();
        Throughput bench = new Throughput(new Node(agent.channel(), root));
        int mib = options.number("mib", 256);
        bench.result.put("mib", mib);
        bench.node.on(root, new FilePath.Mkdirs());
        bench.node.run("sh", "-c", "head -c " + mib + "m /dev/zero | tr '\\0' 'x' > " + root + "/bench.bin");
        bench.measure("log_mib_per_s", mib, bench::log);
        bench.measure("pipe_up_mib_per_s", mib, bench::pipeUp);
        bench.measure("pipe_down_mib_per_s", mib, () -> bench.pipeDown(mib));
        bench.node.on(root + "/bench.bin", new FilePath.Delete());
        int trips = options.number("round-trips", 2000);
        bench.roundTrips(Math.min(500, trips), 1);
        bench.result.put("exists_per_s_1_in_flight", bench.roundTrips(trips, 1));
        bench.result.put("exists_per_s_64_in_flight", bench.roundTrips(trips * 4, 64));
        if (agent.socket() != null) bench.result.put("largest_message_bytes", agent.socket().largestMessage());
        System.out.println(Json.of(bench.result));
        agent.channel().close();
        return agent.channel().complaints().isEmpty() ? 0 : 1;
    }

    private interface Work {
        long bytes() throws Exception;
    }

    private void measure(String name, int mib, Work work) throws Exception {
        long begin = System.nanoTime();
        long bytes = work.bytes();
        if (bytes != (long) mib << 20) throw new IOException(name + ": " + bytes + " bytes instead of " + mib + " MiB");
        result.put(name, bytes / MIB / ((System.nanoTime() - begin) / 1e9));
    }

    private long log() throws Exception {
        Sink sink = new Sink();
        node.on(node.path("bench.bin"), new WriteLog(0, new RemoteOutputStream(sink)));
        return sink.count;
    }

    private long pipeUp() throws Exception {
        Sink sink = new Sink();
        node.on(node.path("bench.bin"), new FilePath.Read(Pipe.createRemoteTo(null, sink), null));
        return sink.count;
    }

    private long pipeDown(int mib) throws Exception {
        try (OutputStream out = node.on(node.path("bench.down"), new FilePath.WritePipe())) {
            byte[] block = new byte[1 << 16];
            for (int i = 0; i < mib * 16; i++) out.write(block);
        }
        long length = node.on(node.path("bench.down"), new FilePath.Length());
        node.on(node.path("bench.down"), new FilePath.Delete());
        return length;
    }

    private double roundTrips(int count, int inFlight) throws Exception {
        ArrayDeque<UserRequest<Boolean, IOException>> open = new ArrayDeque<>();
        long begin = System.nanoTime();
        for (int i = 0; i < count; i++) {
            open.add(node.start(node.path(""), new FilePath.Exists()));
            if (open.size() == inFlight && !open.remove().result(Channel.ANSWER_SECONDS)) throw new IOException("the root is gone");
        }
        while (!open.isEmpty()) open.remove().result(Channel.ANSWER_SECONDS);
        return count / ((System.nanoTime() - begin) / 1e9);
    }

    private static final class Sink extends OutputStream {
        private volatile long count;

        @Override
        public void write(int b) {
            count++;
        }

        @Override
        public void write(byte[] source, int offset, int length) {
            count += length;
        }
    }
}

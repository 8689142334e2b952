package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;

import hudson.FilePath;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.CompletableFuture;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.WriteLog;
import pilotfish.peer.Node;

/** Large streams, slow ends, and the order of streams and answers (remoting-channel 4). */
final class StreamChecks {
    /** A slow end needs less to show what it must show. */
    private static final long SLOW_BYTES = 6L << 20;

    private final Node node;
    private final long bytes;
    private final String file;

    StreamChecks(Node node, int mib) {
        this.node = node;
        this.bytes = (long) mib << 20;
        this.file = node.path("stream.bin");
    }

    void all(Checks checks) {
        String size = (bytes >> 20) + " MiB";
        checks.check("stream: " + size + " to the agent by WritePipe", () -> same(send(file, bytes), sha256(file), "SHA-256"));
        checks.check("stream: " + size + " from the agent by Read", () -> {
            Data.Hashing sink = new Data.Hashing(0);
            node.on(file, new FilePath.Read(Pipe.createRemoteTo(null, sink), null));
            same(Data.hash(bytes), sink.hash(), "SHA-256 of " + sink.count() + " bytes");
        });
        checks.check("stream: " + size + " from the agent by WriteLog", () -> {
            Data.Hashing sink = new Data.Hashing(0);
            node.on(file, new WriteLog(0, new RemoteOutputStream(sink)));
            same(Data.hash(bytes), sink.hash(), "SHA-256 of " + sink.count() + " bytes");
        });
        checks.check("stream: " + size + " to the agent by greedy standard input", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            Node.Launch launch = new Node.Launch("sha256sum");
            launch.directory = node.path("");
            launch.out = out;
            launch.listener = Node.freestyle(Conformance.nowhere());
            launch.in = new RemoteInputStream(new Data.Source(bytes), RemoteInputStream.Flag.GREEDY);
            same(0, node.launch(launch).finish(), "exit code");
            same(Data.hash(bytes), out.toString(StandardCharsets.UTF_8).split(" ")[0], "SHA-256");
        });
        checks.check("stream: a slow reader here", () -> {
            send(node.path("slow.bin"), SLOW_BYTES);
            Data.Hashing sink = new Data.Hashing(2);
            node.on(node.path("slow.bin"), new FilePath.Read(Pipe.createRemoteTo(null, sink), null));
            // The answer must not overtake the bytes.
            same(Data.hash(SLOW_BYTES), sink.hash(), "SHA-256 of " + sink.count() + " bytes");
        });
        checks.check("stream: a slow reader on the agent", this::slowAgent);
        checks.check("stream: both directions at once", this::bothDirections);
        checks.check("stream: a write is done before the next request", this::barrier);
        checks.check("stream: a log is complete when its answer comes", this::logBarrier);
        checks.check("stream: a reader that gives up stops the writer", this::deadReader);
        checks.check("stream: an empty stream ends", () -> {
            node.on(node.path("empty"), new FilePath.Write("", null));
            Pipe pipe = Pipe.createRemoteToLocal();
            UserRequest<Void, IOException> read = node.start(node.path("empty"), new FilePath.Read(pipe, null));
            same(-1, pipe.getIn().read(), "first byte");
            read.result(60);
        });
    }

    private String send(String path, long size) throws IOException, InterruptedException {
        try (OutputStream out = node.on(path, new FilePath.WritePipe()); InputStream in = new Data.Source(size)) {
            in.transferTo(out);
        }
        return Data.hash(size);
    }

    private String sha256(String path) throws IOException, InterruptedException {
        return node.run("sha256sum", path).split(" ")[0];
    }

    private void slowAgent() throws Exception {
        Node.Launch launch = new Node.Launch("/bin/sh", "-c", "sleep 2; sha256sum");
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        launch.directory = node.path("");
        launch.out = out;
        launch.listener = Node.freestyle(Conformance.nowhere());
        launch.in = new RemoteInputStream(new Data.Source(SLOW_BYTES), RemoteInputStream.Flag.GREEDY);
        Node.Started started = node.launch(launch);
        // While that stream is stuck, other requests must pass.
        for (int i = 0; i < 20; i++) same(true, node.on(node.path(""), new FilePath.Exists()), "Exists");
        same(0, started.finish(), "exit code");
        same(Data.hash(SLOW_BYTES), out.toString(StandardCharsets.UTF_8).split(" ")[0], "SHA-256");
    }

    private void bothDirections() throws Exception {
        Data.Hashing sink = new Data.Hashing(0);
        UserRequest<Void, IOException> up = node.start(file, new FilePath.Read(Pipe.createRemoteTo(null, sink), null));
        CompletableFuture<Void> down = CompletableFuture.supplyAsync(() -> {
            try {
                // The same thread asks for the hash: the order of writes and requests is kept per thread.
                same(send(node.path("second.bin"), bytes), sha256(node.path("second.bin")), "SHA-256 there");
                return null;
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
        });
        down.get();
        up.result(600);
        same(Data.hash(bytes), sink.hash(), "SHA-256 here");
    }

    private void barrier() throws Exception {
        OutputStream out = node.on(node.path("barrier.bin"), new FilePath.WritePipe());
        byte[] block = new byte[300_000];
        for (long i = 1; i <= 20; i++) {
            out.write(block);
            same(i * block.length, node.on(node.path("barrier.bin"), new FilePath.Length()), "length after block " + i);
        }
        out.close();
    }

    private void logBarrier() throws Exception {
        String text = "a line of the log\n".repeat(2000);
        node.on(node.path("barrier.log"), new FilePath.Write(text, "UTF-8"));
        for (int i = 0; i < 5; i++) {
            Data.Hashing slow = new Data.Hashing(20);
            node.on(node.path("barrier.log"), new WriteLog(i, new RemoteOutputStream(slow)));
            same((long) text.length() - i, slow.count(), "bytes when the answer came");
        }
    }

    private void deadReader() throws Exception {
        OutputStream refusing = new OutputStream() {
            @Override
            public void write(int b) throws IOException {
                throw new IOException("disk full");
            }
        };
        UserRequest<Void, IOException> read = node.start(file, new FilePath.Read(Pipe.createRemoteTo(null, refusing), null));
        try {
            read.result(60);
        } catch (IOException e) {
            require(!e.getMessage().startsWith("no answer"), "the writer never ended: " + e.getMessage());
        }
        same(true, node.on(file, new FilePath.Exists()), "Exists afterwards");
    }
}

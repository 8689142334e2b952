package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;

import hudson.FilePath;
import hudson.remoting.Channel;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.AgentProcess;
import pilotfish.peer.Node;
import pilotfish.peer.plugin.one.Work;

/** Streams that end in a JVM of the agent, and their order with those that the agent serves itself. */
final class JvmStreamChecks {
    /** Ten windows. */
    private static final long BYTES = 10L << 20;
    private static final long FEW_BYTES = 300_000;

    private final Node node;
    private final Channel channel;
    private final AgentProcess agent;
    private final String file;

    JvmStreamChecks(Node node, AgentProcess agent) {
        this.node = node;
        this.channel = node.channel();
        this.agent = agent;
        file = node.path("jvm-stream.bin");
    }

    void all(Checks checks) {
        String size = (BYTES >> 20) + " MiB";
        checks.check("jvm stream: " + size + " written natively are there for the JVM", () -> {
            send(node.on(file, new FilePath.WritePipe()), BYTES);
            same(Data.hash(BYTES), channel.call(new Work.HashFile(file)), "SHA-256");
        });
        checks.check("jvm stream: order is kept from the agent to the JVM and back", this::order);
        checks.check("jvm stream: " + size + " to the JVM", () -> {
            send(channel.call(new Work.Open()), BYTES);
            same(Data.hash(BYTES), channel.call(new Work.Opened()), "SHA-256");
        });
        checks.check("jvm stream: " + size + " from the JVM", () -> {
            Data.Hashing sink = new Data.Hashing(0);
            same(BYTES, channel.call(new Work.Send(file, 1, new RemoteOutputStream(sink), null)), "bytes sent");
            // The answer must not overtake the bytes.
            same(Data.hash(BYTES), sink.hash(), "SHA-256 of " + sink.count() + " bytes");
        });
        checks.check("jvm stream: " + size + " from the JVM by a pipe, read slowly", () -> {
            Data.Hashing sink = new Data.Hashing(2);
            same(BYTES, channel.call(new Work.Send(file, 1, null, Pipe.createRemoteTo(null, sink))), "bytes sent");
            same(Data.hash(BYTES), sink.hash(), "SHA-256 of " + sink.count() + " bytes");
        });
        checks.check("jvm stream: " + size + " to the JVM by a pipe", () -> {
            Pipe pipe = Pipe.createLocalToRemote();
            UserRequest<String, IOException> hash = channel.callAsync(new Work.Receive(null, pipe));
            send(pipe.getOut(), BYTES);
            same(Data.hash(BYTES), hash.result(60), "SHA-256");
        });
        checks.check("jvm stream: an input stream, greedy and not", () -> {
            for (RemoteInputStream.Flag flag : RemoteInputStream.Flag.values()) {
                RemoteInputStream in = new RemoteInputStream(new Data.Source(FEW_BYTES), flag);
                same(Data.hash(FEW_BYTES), channel.call(new Work.Receive(in, null)), "SHA-256, " + flag);
            }
        });
        checks.check("jvm stream: all kinds at once", this::together);
        checks.check("jvm stream: a stopped JVM stops nobody else", this::stopped);
    }

    private static void send(OutputStream to, long size) throws IOException {
        try (OutputStream out = to; InputStream in = new Data.Source(size)) {
            in.transferTo(out);
        }
    }

    /** A write of one tier is done before the next request of the other begins. */
    private void order() throws Exception {
        for (int i = 1; i <= 10; i++) {
            String path = node.path("order-" + i);
            send(node.on(path, new FilePath.WritePipe()), i * 50_000L);
            same(Data.hash(i * 50_000L), channel.call(new Work.HashFile(path)), "SHA-256 in the JVM");
            OutputStream there = channel.call(new Work.Open());
            there.write(new byte[i * 50_000]);
            // Native, and must not wait for the JVM's answer for ever.
            same(i * 50_000L, node.on(path, new FilePath.Length()), "length");
            there.close();
            require(!channel.call(new Work.Opened()).endsWith("open"), "the stream was not closed before the next request");
        }
    }

    private void together() throws Exception {
        Data.Hashing fromJvm = new Data.Hashing(0);
        Data.Hashing fromAgent = new Data.Hashing(0);
        UserRequest<Long, IOException> one = channel.callAsync(new Work.Send(file, 1, new RemoteOutputStream(fromJvm), null));
        UserRequest<Void, IOException> two = node.start(file, new FilePath.Read(Pipe.createRemoteTo(null, fromAgent), null));
        Pipe pipe = Pipe.createLocalToRemote();
        UserRequest<String, IOException> three = channel.callAsync(new Work.Receive(null, pipe));
        CompletableFuture<Void> toJvm = CompletableFuture.runAsync(() -> {
            try {
                send(pipe.getOut(), BYTES);
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        });
        send(node.on(node.path("together.bin"), new FilePath.WritePipe()), BYTES);
        same(BYTES, node.on(node.path("together.bin"), new FilePath.Length()), "length there");
        toJvm.get(60, TimeUnit.SECONDS);
        one.result(60);
        two.result(60);
        same(Data.hash(BYTES), three.result(60), "SHA-256 in the JVM");
        same(Data.hash(BYTES), fromJvm.hash(), "SHA-256 from the JVM");
        same(Data.hash(BYTES), fromAgent.hash(), "SHA-256 from the agent");
    }

    private void stopped() throws Exception {
        OutputStream there = channel.call(new Work.Open());
        ProcessHandle jvm = agent.jvm();
        AgentProcess.stop(jvm);
        UserRequest<Object, IOException> waiting;
        CompletableFuture<Void> stuck;
        try {
            waiting = channel.callAsync(new Work.Echo("late"));
            stuck = CompletableFuture.runAsync(() -> {
                try {
                    send(there, BYTES);
                } catch (IOException e) {
                    throw new java.io.UncheckedIOException(e);
                }
            });
            for (int i = 0; i < 50; i++) same(true, node.on(file, new FilePath.Exists()), "Exists");
            Data.Hashing sink = new Data.Hashing(0);
            node.on(file, new FilePath.Read(Pipe.createRemoteTo(null, sink), null));
            same(Data.hash(BYTES), sink.hash(), "SHA-256 of what came from the agent");
            send(node.on(node.path("meanwhile.bin"), new FilePath.WritePipe()), BYTES);
            // No request after this write: by the protocol it waits for all writes before it, those to the JVM included.
            Path written = Path.of(node.path("meanwhile.bin"));
            for (int i = 0; i < 100 && Files.size(written) < BYTES; i++) Thread.sleep(50);
            same(BYTES, Files.size(written), "bytes written by the agent");
            require(!waiting.isDone(), "a stopped JVM answered");
            require(!stuck.isDone(), "a stopped JVM took " + BYTES + " bytes, or the stream ended: " + stuck);
        } finally {
            AgentProcess.signal(jvm, "CONT");
        }
        same("late", waiting.result(60), "answer");
        stuck.get(60, TimeUnit.SECONDS);
        // Written by another thread, and so without an order with this one's requests.
        channel.call(new Channel.IOSyncer());
        same(Data.hash(BYTES), channel.call(new Work.Opened()), "SHA-256");
        same(jvm.pid(), agent.jvm().pid(), "the JVM");
    }
}

package pilotfish.peer.conformance;

import hudson.FilePath;
import hudson.remoting.Channel;
import hudson.remoting.StreamWatch;
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;

/** Drives one agent through the whole protocol and judges what it does. */
public final class Conformance {
    /** A window's size in bytes (remoting-channel 4). */
    private static final long WINDOW = 1 << 20;

    /** A check's time; streams get a second more for every MiB. */
    private static final int DEFAULT_CHECK_SECONDS = 60;

    private Conformance() {}

    /** Answers 0 when every check passed. */
    public static int run(AgentConnection agent, Options options, String root) throws Exception {
        Channel channel = agent.channel();
        Checks checks = new Checks(options.get("only", null), options.number("check-seconds", DEFAULT_CHECK_SECONDS + options.number("pipe-mib", 64)));
        String dump = options.get("dump", null);
        try (DataOutputStream out = dump == null ? null : new DataOutputStream(new BufferedOutputStream(Files.newOutputStream(Path.of(dump))))) {
            if (out != null) channel.tap(bytes -> write(out, bytes));
            ConnectSequence sequence = new ConnectSequence(channel, root);
            // Everything later depends on this order, so it is no mere check.
            ConnectSequence.Facts facts;
            try {
                facts = sequence.setUp();
            } catch (Exception e) {
                System.out.println("FAILED connect: " + e + "; complaints: " + channel.complaints());
                return 1;
            }
            Node node = new Node(channel, root);
            node.on(root, new FilePath.Mkdirs());
            new CallChecks(agent, node, sequence, facts).all(checks);
            new FileChecks(node).all(checks);
            new ProcessChecks(node).all(checks);
            new StreamChecks(node, options.number("pipe-mib", 64)).all(checks);
            new ShellChecks(node).all(checks);
            new ArchiveChecks(node).all(checks);
            end(checks, agent, node, options.number("release-seconds", 10));
        }
        System.out.println(checks.passed() + " checks passed, " + checks.failed() + " failed");
        return checks.failed() == 0 ? 0 : 1;
    }

    private static void write(DataOutputStream out, byte[] bytes) {
        synchronized (out) {
            try {
                out.writeInt(bytes.length);
                out.write(bytes);
            } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
            }
        }
    }

    private static void end(Checks checks, AgentConnection agent, Node node, int releaseSeconds) {
        Channel channel = agent.channel();
        checks.check("end: the agent acknowledged every byte", () -> {
            long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
            while (channel.unacknowledged() > 0 && System.nanoTime() < until) Thread.sleep(20);
            Checks.same(0, channel.unacknowledged(), "bytes without Ack");
        });
        checks.check("end: no stream had more than a window on its way", () -> {
            StreamWatch watch = channel.watch();
            Checks.require(watch.largestOutstanding() <= WINDOW,
                    watch.largestOutstanding() + " bytes without Ack to oid " + watch.largestOid() + ", allowed are " + WINDOW);
        });
        checks.check("end: the agent released every export", () -> {
            Map<Integer, String> left = channel.exports().awaitReleased(releaseSeconds * 1000L);
            Checks.require(left.isEmpty(), "still exported: " + left);
        });
        checks.check("end: the workspace can be removed", () -> {
            node.on(node.path("."), new FilePath.DeleteContents());
            Checks.same(true, node.on(node.path(""), new FilePath.Exists()), "the root exists");
        });
        checks.check("end: both sides close", () -> {
            channel.close();
            channel.closed().get(20, TimeUnit.SECONDS);
            Checks.require(channel.closeReceived(), "the agent did not send CloseCommand: " + channel.closed().join());
        });
        checks.check("end: the protocol was kept", () -> Checks.require(channel.complaints().isEmpty(), channel.complaints().toString()));
    }

    /** A sink that keeps nothing, for logs that a check does not read. */
    static OutputStream nowhere() {
        return OutputStream.nullOutputStream();
    }
}

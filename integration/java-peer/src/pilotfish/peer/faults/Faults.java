package pilotfish.peer.faults;

import hudson.remoting.Channel;
import hudson.remoting.PingThread.Ping;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.net.PeerServer;

/**
 * A controller whose agent is cut off again and again: it takes every connection, and runs builds over all of them. What it
 * needs to go on after it was killed itself is in {@code --state}.
 */
public final class Faults {
    /** What a channel complains of when the connection breaks before its reader has seen the end: no breach either. */
    private static final String UNSENT = " could not be sent: ";

    private final PeerServer server;
    private final String root;
    private final Path state;
    private final long seed;
    private final int ping;
    private final Online online = new Online();
    private final AtomicInteger connections = new AtomicInteger();
    private final AtomicInteger number = new AtomicInteger();
    private final Queue<Integer> resumed = new ConcurrentLinkedQueue<>();
    private final List<Thread> builders = new ArrayList<>();
    private volatile boolean finishing;

    private Faults(PeerServer server, Options options, String root) {
        this.server = server;
        this.root = root;
        state = Path.of(options.get("state", root + "-controller"));
        seed = options.number("seed", 1);
        ping = options.number("ping", 2);
    }

    /**
     * Obeys standard input until it ends: {@code probe N} answers once the agent did, {@code finish} lets the builds end and
     * checks what is left, {@code threads} says on standard error what each of its threads does.
     */
    public static int run(PeerServer server, Options options, String root) throws Exception {
        Faults faults = new Faults(server, options, root);
        int port = options.get("tcp", "no").equals("yes") ? server.agentPort().port() : 0;
        faults.resume();
        Events.tell("ready", "port", server.port(), "agent_port", port);
        start("agents", faults::takeAgents);
        for (int i = 0; i < options.number("builds", 4); i++) faults.builders.add(start("builder", faults::build));
        faults.obey();
        return 0;
    }

    private static Thread start(String name, Runnable work) {
        Thread thread = new Thread(work, name);
        thread.setDaemon(true);
        thread.start();
        return thread;
    }

    /** Finds the builds of a life before this one. */
    private void resume() throws IOException {
        Files.createDirectories(state);
        try (var builds = Files.list(state)) {
            for (Path build : builds.filter(path -> path.getFileName().toString().startsWith("build-")).sorted().toList()) {
                int found = Integer.parseInt(build.getFileName().toString().substring("build-".length()));
                number.accumulateAndGet(found, Math::max);
                resumed.add(found);
            }
        }
        // A number that ended before may not be used again: its workspace could be in removal.
        Path last = state.resolve("last");
        if (Files.exists(last)) number.accumulateAndGet(Integer.parseInt(Files.readString(last).trim()), Math::max);
    }

    private void takeAgents() {
        try {
            while (true) {
                AgentConnection agent = server.nextAgent(60);
                if (agent != null) start("connection", () -> take(agent));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private void take(AgentConnection agent) {
        int connection = connections.incrementAndGet();
        Channel channel = agent.channel();
        channel.closed().thenAccept(reason -> {
            // What still arrives of a connection that was given up is no breach.
            List<String> complaints = channel.complaints().stream().filter(complaint -> !complaint.contains(UNSENT)).toList();
            if (!complaints.isEmpty()) Events.tell("breach", "connection", connection, "complaints", complaints);
            Events.tell("offline", "connection", connection, "reason", reason);
        });
        try {
            new ConnectSequence(channel, root).setUp(ping + 1, ping);
        } catch (Exception e) {
            if (!isLost(channel, e)) Events.tell("unset", "connection", connection, "reason", e.toString());
            return;
        }
        online.set(new Node(channel, root));
        Events.tell("online", "connection", connection, "protocol", agent.protocol());
    }

    private static boolean isLost(Channel channel, Exception failure) {
        try {
            return Online.isLost(channel, failure);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return true;
        }
    }

    private void build() {
        while (true) {
            Integer next = resumed.poll();
            if (next == null) {
                if (finishing) return;
                next = number.incrementAndGet();
            }
            try {
                remember();
                new Build(online, new BuildState(state.resolve("build-" + next)), seed, next, root).run();
            } catch (Throwable t) {
                StringWriter trace = new StringWriter();
                t.printStackTrace(new PrintWriter(trace));
                Events.tell("failed", "number", next, "why", t.toString(),
                        "trace", trace.toString().lines().skip(1).limit(12).map(String::trim).collect(Collectors.joining(" / ")));
            }
        }
    }

    private synchronized void remember() throws IOException {
        Path fresh = state.resolve("last.new");
        Files.writeString(fresh, Integer.toString(number.get()));
        // As a whole: this process may be killed at any moment.
        Files.move(fresh, state.resolve("last"), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private void obey() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            String[] words = line.trim().split(" ");
            switch (words[0]) {
                case "probe" -> start("probe", () -> probe(Integer.parseInt(words[1])));
                case "finish" -> finish();
                case "threads" -> tellThreads();
                default -> throw new IllegalArgumentException("unknown command: " + line);
            }
        }
    }

    private static void tellThreads() {
        Thread.getAllStackTraces().forEach((thread, frames) -> {
            System.err.println(thread.getName() + " " + thread.getState());
            for (StackTraceElement frame : frames) System.err.println("    at " + frame);
        });
        System.err.flush();
    }

    private void probe(int wanted) {
        try {
            online.persist(node -> node.channel().call(new Ping()));
            Events.tell("probe", "number", wanted);
        } catch (Exception e) {
            Events.tell("failed", "number", 0, "why", "a ping failed: " + e, "trace", "");
        }
    }

    private void finish() throws Exception {
        finishing = true;
        for (Thread builder : builders) builder.join();
        Channel channel = online.await().channel();
        List<String> problems = new ArrayList<>();
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (channel.unacknowledged() > 0 && System.nanoTime() < until) Thread.sleep(20);
        if (channel.unacknowledged() > 0) problems.add(channel.unacknowledged() + " bytes without Ack");
        var left = channel.exports().awaitReleased(10_000);
        if (!left.isEmpty()) problems.add("still exported: " + left);
        problems.addAll(channel.complaints());
        Events.tell("finished", "problems", problems, "connections", connections.get());
    }
}

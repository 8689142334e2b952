package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;

import hudson.FilePath;
import hudson.remoting.Channel;
import hudson.remoting.JarLoader;
import hudson.remoting.StreamWatch;
import hudson.remoting.UserRequest;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import jenkins.util.SystemProperties.AgentCopier.CopySystemProperties;
import pilotfish.peer.AgentProcess;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.Options;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.net.PeerServer;
import pilotfish.peer.plugin.one.Work;

/** Judges what an agent does with requests that it has no answer for: they run in a JVM behind it, as if it were none. */
public final class JvmConformance {
    /** Set on the agent before it has a JVM. */
    static final String PROPERTY = "pilotfish.peer.mark";

    private static final int CHECK_SECONDS = 60;
    private static final int RETURN_SECONDS = 60;
    private static final int END_SECONDS = 15;
    private static final long WINDOW = 1 << 20;

    private final PeerServer server;
    private final AgentProcess agent;
    private final Options options;
    private final String root;
    private final Checks checks;
    private final JarLoader.Library library;
    private int descriptors;
    private List<String> opened = List.of();
    private int threads;

    private JvmConformance(PeerServer server, AgentProcess agent, Options options, String root) throws IOException {
        this.server = server;
        this.agent = agent;
        this.options = options;
        this.root = root;
        checks = new Checks(options.get("only", null), options.number("check-seconds", CHECK_SECONDS));
        library = JarLoader.Library.offer();
    }

    /** Answers 0 when every check passed. */
    public static int run(PeerServer server, Process agent, Options options, String root) throws Exception {
        if (agent == null) throw new IllegalArgumentException("jvm needs the agent's command, since it looks at the process");
        JvmConformance conformance = new JvmConformance(server, new AgentProcess(agent), options, root);
        server.offer(conformance.library, true);
        conformance.first();
        server.offer(conformance.library, false);
        conformance.second();
        conformance.third();
        Checks checks = conformance.checks;
        System.out.println(checks.passed() + " checks passed, " + checks.failed() + " failed");
        return checks.failed() == 0 ? 0 : 1;
    }

    private Node connected() throws Exception {
        AgentConnection connection = server.nextAgent(options.number("wait", RETURN_SECONDS));
        if (connection == null) throw new IOException("the agent did not connect");
        new ConnectSequence(connection.channel(), root).setUp();
        Node node = new Node(connection.channel(), root);
        node.on(root, new FilePath.Mkdirs());
        return node;
    }

    /** Everything on one connection: a JVM, its death, its successors, and the controller's end in the middle of its work. */
    private void first() throws Exception {
        Node node = connected();
        Channel channel = node.channel();
        checks.check("jvm: none is started for native requests", () -> {
            channel.call(new CopySystemProperties(new java.util.HashMap<>(Map.of(PROPERTY, "set before"))));
            node.on(node.path("native.txt"), new FilePath.Write("text", "UTF-8"));
            same("hello\n", node.run("/bin/echo", "hello"), "output");
            agent.noJvm();
            same(0, server.downloads(), "downloads of the library");
            descriptors = agent.descriptors();
            opened = agent.opened();
            threads = agent.threads();
        });
        checks.check("jvm: the first unknown callable starts one", () -> {
            same("hello you", channel.call(new Work.Greet("you")), "answer");
            agent.jvm();
            same(1, server.downloads(), "downloads of the library");
            same(0, library.given(), "transfers of the library over the channel");
        });
        new JvmCallChecks(node, agent).all(checks);
        new JvmStreamChecks(node, agent).all(checks);
        checks.check("jvm: nothing is left of its work", () -> released(channel, true));
        new JvmDeathChecks(node, agent).all(checks);
        checks.check("jvm: nothing is left of those that died", () -> released(channel, true));
        checks.check("jvm: no stream had more than a window on its way", () -> {
            StreamWatch watch = channel.watch();
            require(watch.largestOutstanding() <= WINDOW, watch.largestOutstanding() + " bytes without Ack to oid " + watch.largestOid());
        });
        checks.check("jvm: the protocol was kept", () -> require(channel.complaints().isEmpty(), channel.complaints().toString()));
        checks.check("jvm: the controller closes while it works", () -> {
            ProcessHandle jvm = agent.jvm();
            UserRequest<String, IOException> open = busy(channel);
            channel.close();
            channel.closed().get(END_SECONDS, TimeUnit.SECONDS);
            require(channel.closeReceived(), "the agent did not send CloseCommand: " + channel.closed().join());
            Checks.thrown(IOException.class, () -> open.result(END_SECONDS));
            AgentProcess.ended(jvm, END_SECONDS);
        });
    }

    /** Starts a request that does not end by itself, and waits until it runs. */
    static UserRequest<String, IOException> busy(Channel channel) throws Exception {
        CompletableFuture<Void> begun = new CompletableFuture<>();
        Work.Begun told = () -> begun.complete(null);
        UserRequest<String, IOException> request = channel.callAsync(new Work.Wait(channel.export(Work.Begun.class, told)));
        begun.get(END_SECONDS, TimeUnit.SECONDS);
        return request;
    }

    /** Another connection of the same agent, with the library over the channel. */
    private void second() throws Exception {
        Node node = connected();
        Channel channel = node.channel();
        checks.check("jvm: a new connection starts without one and without leftovers", () -> {
            agent.noJvm();
            settled();
        });
        checks.check("jvm: the library comes over the channel", () -> {
            same(1, AgentProcess.forgetLibrary(root), "copies of the library");
            int before = server.downloads();
            same("hello again", channel.call(new Work.Greet("again")), "answer");
            same(1, library.given(), "transfers of the library over the channel");
            same(before, server.downloads(), "downloads of the library");
            released(channel, true);
        });
        checks.check("jvm: it ends with its connection", () -> close(channel, agent.jvm()));
    }

    /** The library is on the agent by now. */
    private void third() throws Exception {
        Node node = connected();
        Channel channel = node.channel();
        checks.check("jvm: the library is fetched once", () -> {
            same("hello once more", channel.call(new Work.Greet("once more")), "answer");
            same(1, library.given(), "transfers of the library over the channel");
        });
        checks.check("jvm: its end is noticed while nothing runs", () -> {
            ProcessHandle jvm = agent.jvm();
            AgentProcess.signal(jvm, "KILL");
            AgentProcess.ended(jvm, END_SECONDS);
            same(true, node.on(node.path(""), new FilePath.Exists()), "Exists");
            same("hello after", channel.call(new Work.Greet("after")), "answer");
            released(channel, true);
        });
        checks.check("jvm: it ends with the last connection", () -> {
            close(channel, agent.jvm());
            require(channel.complaints().isEmpty(), channel.complaints().toString());
        });
    }

    private static void close(Channel channel, ProcessHandle jvm) throws Exception {
        channel.close();
        channel.closed().get(END_SECONDS, TimeUnit.SECONDS);
        require(channel.closeReceived(), "the agent did not send CloseCommand: " + channel.closed().join());
        AgentProcess.ended(jvm, END_SECONDS);
    }

    /** Neither side holds what the other lent it, nor waits for an acknowledgement. */
    private static void released(Channel channel, boolean collect) throws Exception {
        Map<Integer, String> left = channel.exports().leftovers();
        for (int i = 0; i < 20 && collect; i++) {
            List<String> complaints = channel.call(new Work.Collect());
            require(complaints.isEmpty(), "in the JVM: " + complaints);
            left = channel.exports().awaitReleased(500);
            if (left.isEmpty() && channel.unacknowledged() == 0) break;
        }
        require(left.isEmpty(), "still exported: " + left);
        same(0, channel.unacknowledged(), "bytes without Ack");
    }

    /** No more descriptors and threads than before the first JVM; idle threads of the agent's pool need ten seconds to end. */
    private void settled() throws InterruptedException, IOException {
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while ((agent.descriptors() > descriptors || agent.threads() > threads) && System.nanoTime() < until) Thread.sleep(100);
        require(agent.descriptors() <= descriptors, agent.opened() + " is open, before the first JVM " + opened);
        require(agent.threads() <= threads, agent.threads() + " threads, before the first JVM " + threads);
    }
}

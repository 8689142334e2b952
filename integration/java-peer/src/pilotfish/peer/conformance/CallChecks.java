package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;
import static pilotfish.peer.conformance.Checks.thrown;

import hudson.FilePath;
import hudson.model.Computer;
import hudson.remoting.Channel;
import hudson.remoting.PingThread.Ping;
import hudson.remoting.Request;
import hudson.remoting.UserRequest;
import hudson.slaves.SlaveComputer;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayDeque;
import java.util.List;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.StatusCheck;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.net.AgentConnection;
import pilotfish.peer.unknown.NobodyKnows;

/** Requests, answers and exceptions. */
final class CallChecks {
    private static final int CONCURRENT = 64;

    private final AgentConnection agent;
    private final Channel channel;
    private final Node node;
    private final ConnectSequence sequence;
    private final ConnectSequence.Facts facts;

    CallChecks(AgentConnection agent, Node node, ConnectSequence sequence, ConnectSequence.Facts facts) {
        this.agent = agent;
        this.channel = agent.channel();
        this.node = node;
        this.sequence = sequence;
        this.facts = facts;
    }

    void all(Checks checks) {
        checks.check("connect: capability is 0x1FE", () -> same(0x1FEL, agent.capability().mask(), "mask"));
        checks.check("connect: facts", () -> {
            require(facts.version() != null && facts.version().matches("\\d+\\..*"), "version " + facts.version());
            same(agent.protocol(), facts.protocol(), "protocol");
            same(true, facts.unix(), "Unix");
            require(java.nio.charset.Charset.isSupported(facts.charset()), "charset " + facts.charset());
            same(hudson.Platform.UNIX, facts.environment().platform(), "platform");
            require(facts.environment().containsKey("path"), "the environment is not case insensitive or lacks PATH");
            require(!facts.environment().containsKey("JENKINS_SECRET"), "the environment holds JENKINS_SECRET");
        });
        checks.check("connect: monitors", this::monitors);
        checks.check("connect: the agent pings", () -> {
            long until = System.nanoTime() + 10_000_000_000L;
            while (!channel.figures().commands().containsKey(UserRequest.class.getName()) && System.nanoTime() < until) Thread.sleep(50);
            require(channel.figures().commands().containsKey(UserRequest.class.getName()), "no request came within 10 s of SetUpRemotePing");
        });
        if (agent.socket() != null) checks.check("socket: ping is answered", () -> {
            int before = agent.socket().pongs();
            agent.socket().ping(new byte[] {1, 2, 3});
            require(agent.socket().awaitPong(before, 10_000), "no pong within 10 s");
        });
        checks.check("call: ping", () -> same(null, channel.call(new Ping()), "answer"));
        checks.check("call: Channel$IOSyncer", () -> same(null, channel.call(new Channel.IOSyncer()), "answer"));
        checks.check("call: queries of the agent's pages", () -> {
            require(channel.call(new SlaveComputer.SlaveLogFetcher()) != null, "no log records");
            require(channel.call(new SlaveComputer.ListFullEnvironment()).containsKey("PATH"), "no PATH");
            require(channel.call(new Computer.ListPossibleNames()) != null, "no names");
        });
        checks.check("call: an unknown callable's exception names it", () -> {
            Exception failure = thrown(Exception.class, () -> channel.call(new NobodyKnows()));
            require(failure instanceof IOException, "not an IOException: " + failure);
            require(String.valueOf(failure.getMessage()).contains(NobodyKnows.class.getName()), "message: " + failure.getMessage());
            same(null, channel.call(new Ping()), "ping afterwards");
        });
        checks.check("call: NoSuchFileException is one", () -> {
            NoSuchFileException failure = thrown(NoSuchFileException.class,
                    () -> node.on("/proc/nope/file", new FilePath.Write("text", "UTF-8")));
            require(failure.getFile() != null, "it names no file");
        });
        checks.check("call: IOException keeps its message", () -> {
            String path = node.path("garbage.txt");
            node.on(path, new FilePath.Write("no number\n", "UTF-8"));
            IOException failure = thrown(IOException.class, () -> node.on(path, new StatusCheck()));
            require(failure.getMessage().startsWith("corrupted content in " + path), failure.getMessage());
        });
        checks.check("call: " + CONCURRENT + " requests in flight", this::concurrent);
        checks.check("call: cancelling an unknown request does nothing", () -> {
            channel.send(new Request.Cancel(0x7FFFFFF0));
            same(null, channel.call(new Ping()), "ping afterwards");
        });
        checks.check("call: the core loader stays referenced", () -> {
            int core = channel.exports().references(2);
            require(core >= 1, "the agent released the loader's last reference");
        });
    }

    private void monitors() throws Exception {
        ConnectSequence.Health health = sequence.monitors();
        require(health.architecture().matches("\\w+ \\(\\w+\\)"), "architecture " + health.architecture());
        require(health.disk() != null && health.disk().size() > 0 && health.disk().size() <= health.disk().totalSize(), "disk");
        require(health.temporary() != null && health.temporary().size() > 0, "temporary directory");
        require(Math.abs(health.clock().remoteTime() - System.currentTimeMillis()) < 60_000, "clock");
        same(List.of(1L, 2L), List.of(health.response().data().past5()[0], health.response().data().past5()[1]), "response times");
        if (health.memory() != null) require(health.memory().totalPhysicalMemory > 0, "memory");
    }

    private void concurrent() throws Exception {
        ArrayDeque<UserRequest<String, IOException>> open = new ArrayDeque<>();
        for (int i = 0; i < CONCURRENT; i++) open.add(node.start(node.path("file-" + i), new FilePath.Absolutize()));
        for (int i = 0; i < CONCURRENT; i++) same(node.path("file-" + i), open.remove().result(60), "answer " + i);
    }
}

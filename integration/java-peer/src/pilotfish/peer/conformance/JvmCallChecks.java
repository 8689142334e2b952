package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;
import static pilotfish.peer.conformance.Checks.thrown;

import hudson.FilePath;
import hudson.Launcher.RemoteProcess;
import hudson.remoting.Channel;
import hudson.remoting.RemoteInvocationHandler;
import hudson.remoting.Request;
import hudson.remoting.UserRequest;
import java.io.IOException;
import java.lang.reflect.UndeclaredThrowableException;
import java.util.ArrayDeque;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import pilotfish.peer.AgentProcess;
import pilotfish.peer.Node;
import pilotfish.peer.plugin.one.Work;
import pilotfish.peer.plugin.two.Other;

/** Requests that a JVM of the agent answers, among others that the agent answers itself. */
final class JvmCallChecks {
    private static final int MIXED = 400;
    private static final int IN_FLIGHT = 32;

    private final Node node;
    private final Channel channel;
    private final AgentProcess agent;

    JvmCallChecks(Node node, AgentProcess agent) {
        this.node = node;
        this.channel = node.channel();
        this.agent = agent;
    }

    void all(Checks checks) {
        checks.check("jvm call: it knows what the connection was set up with", () -> {
            Work.Facts facts = channel.call(new Work.Look(JvmConformance.PROPERTY));
            same(agent.jvm().pid(), facts.pid(), "process id");
            same("set before", facts.property(), "a system property of before it was started");
            same(agent.directory().toString(), facts.directory(), "working directory");
            same(null, facts.secret(), "JENKINS_SECRET");
            same("true", facts.agent(), "the channel's property agent");
            require(facts.context(), "the context loader is not the callable's own");
        });
        checks.check("jvm call: exceptions are the plugin's own", () -> {
            Work.Trouble trouble = thrown(Work.Trouble.class, () -> channel.call(new Work.Fail()));
            same(7, trouble.code(), "a field of the exception");
        });
        checks.check("jvm call: values of all shapes come back", () -> {
            String large = "large ".repeat(100_000);
            Object[] values = {null, 42, "text", large, new Work.Point(3, "label"), new TreeMap<>(Map.of("key", new Work.Point(4, "in a map")))};
            for (Object value : values) same(value, channel.call(new Work.Echo(value)), "echo");
            int[] numbers = (int[]) channel.call(new Work.Echo(new int[] {1, 2, 3}));
            same("[1, 2, 3]", java.util.Arrays.toString(numbers), "echo of an array");
        });
        checks.check("jvm call: each plugin has its own loader",
                () -> same("two loaders, hidden", channel.call(new Other.Look()), "what the second plugin sees"));
        checks.check("jvm call: mixed with native ones in any order", this::mixed);
        checks.check("jvm call: a cancelled one is interrupted", () -> {
            UserRequest<String, IOException> request = JvmConformance.busy(channel);
            require(!request.isDone(), "answered before it was cancelled");
            request.cancel();
            same("interrupted", request.result(20), "answer");
            request.cancel();
            channel.send(new Request.Cancel(0x3FFFFFF0));
            same("hello", channel.call(new Work.Echo("hello")), "echo afterwards");
        });
        checks.check("jvm call: its objects are called where they are", this::objects);
        checks.check("jvm call: an object of the agent is not in the JVM", this::nativeObject);
        checks.check("jvm call: it asks the controller what it may", () -> {
            String own = "from " + ProcessHandle.current().pid() + " for " + agent.jvm().pid();
            same(own, channel.call(new Work.Ask(true)), "answer");
            Throwable refused = thrown(Throwable.class, () -> channel.call(new Work.Ask(false)));
            require(refused.toString().contains("is prohibited"), "not refused: " + refused);
        });
    }

    private void mixed() throws Exception {
        record Open(UserRequest<?, ?> request, Object expected) {}
        Random random = new Random(1);
        ArrayDeque<Open> open = new ArrayDeque<>();
        for (int i = 0; i < MIXED; i++) {
            if (open.size() == IN_FLIGHT) {
                Open oldest = open.remove();
                same(oldest.expected, answer(oldest.request), "answer");
            }
            String path = node.path("mixed-" + i);
            open.add(random.nextBoolean()
                    ? new Open(node.start(path, new FilePath.Absolutize()), path)
                    : new Open(channel.callAsync(new Work.Echo(path)), path));
        }
        for (Open left : open) same(left.expected, answer(left.request), "answer");
    }

    private static Object answer(UserRequest<?, ?> request) throws Exception {
        try {
            return request.result(60);
        } catch (Exception e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException(e);
        }
    }

    private void objects() throws Exception {
        Work.Counter there = channel.call(new Work.MakeCounter());
        for (int i = 1; i <= 50; i++) same(i, there.add(1), "sum");
        // Back where it came from, it is the object itself.
        same("60 home", channel.call(new Work.Add(there, 10)), "sum at home");
        int[] sum = new int[1];
        Work.Counter here = more -> sum[0] += more;
        same("5 far", channel.call(new Work.Add(channel.export(Work.Counter.class, here), 5)), "sum of a counter here");
        same(5, sum[0], "the counter here");
        RemoteInvocationHandler.release(there);
        // The interface declares no exception, so it comes wrapped.
        Throwable gone = thrown(UndeclaredThrowableException.class, () -> there.add(1)).getCause();
        require(gone.toString().contains("Invalid object ID"), "a released object: " + gone);
    }

    private void nativeObject() throws Exception {
        Node.Launch launch = new Node.Launch("/bin/sh", "-c", "sleep 300");
        launch.directory = node.path("");
        launch.listener = Node.freestyle(Conformance.nowhere());
        Node.Started started = node.launch(launch);
        RemoteProcess process = started.process();
        try {
            // It goes home as a number, which means nothing in the JVM: the agent says so.
            Throwable far = thrown(IOException.class, () -> channel.call(new Work.Echo(process)));
            require(far.getMessage().contains("which the JVM cannot reach"), "an object of the agent's: " + far);
            same(true, process.isAlive(), "the process is alive");
        } finally {
            process.kill();
            started.finish();
        }
        same("hello", channel.call(new Work.Echo("hello")), "echo afterwards");
    }
}

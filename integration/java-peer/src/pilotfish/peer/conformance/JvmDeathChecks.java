package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;
import static pilotfish.peer.conformance.Checks.thrown;

import hudson.FilePath;
import hudson.remoting.Channel;
import hudson.remoting.RemoteInvocationHandler;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import java.io.IOException;
import java.io.OutputStream;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.AgentProcess;
import pilotfish.peer.Node;
import pilotfish.peer.plugin.one.Work;

/** The end of an agent's JVM in the middle of its work: that work fails and says why, all else goes on. */
final class JvmDeathChecks {
    private static final int ANSWER_SECONDS = 20;
    private static final long BYTES = 4L << 20;
    /** More than is ever sent before the JVM ends. */
    private static final int MANY_TIMES = 10_000;
    /** Where the ids of the second JVM of a connection begin. */
    private static final int SECOND_IDS = 0x0100_0000;

    private final Node node;
    private final Channel channel;
    private final AgentProcess agent;

    JvmDeathChecks(Node node, AgentProcess agent) {
        this.node = node;
        this.channel = node.channel();
        this.agent = agent;
    }

    void all(Checks checks) {
        checks.check("jvm death: killed in the middle of requests", this::requests);
        checks.check("jvm death: objects of one that died are gone, its successor's are others", this::objects);
        checks.check("jvm death: killed in the middle of a stream to it", this::streamDown);
        checks.check("jvm death: killed in the middle of a stream from it", this::streamUp);
        checks.check("jvm death: killed while it is stopped", () -> {
            ProcessHandle jvm = agent.jvm();
            AgentProcess.stop(jvm);
            UserRequest<Object, IOException> request = channel.callAsync(new Work.Echo("never"));
            AgentProcess.signal(jvm, "KILL");
            failed(request, "was killed (signal 9)");
            goesOn(jvm);
        });
        checks.check("jvm death: out of memory", () -> {
            ProcessHandle jvm = agent.jvm();
            failed(channel.callAsync(new Work.Eat()), "ran out of memory");
            goesOn(jvm);
        });
    }

    private void failed(UserRequest<?, ?> request, String why) {
        Throwable failure = thrown(Throwable.class, () -> request.result(ANSWER_SECONDS));
        require(failure instanceof IOException, "not an IOException: " + failure);
        String text = String.valueOf(failure.getMessage());
        require(text.contains(why), "the message does not say " + why + ": " + text);
        require(text.contains("pilotfish.peer.plugin.one.Work$"), "the message names no class: " + text);
    }

    /** The agent is as before, and the next unknown callable gets a JVM of its own. */
    private void goesOn(ProcessHandle before) throws Exception {
        AgentProcess.ended(before, ANSWER_SECONDS);
        same(true, node.on(node.path(""), new FilePath.Exists()), "Exists");
        same("hello again", channel.call(new Work.Greet("again")), "answer of the next JVM");
        require(agent.jvm().pid() != before.pid(), "the JVM is still the old one");
        same("set before", channel.call(new Work.Look(JvmConformance.PROPERTY)).property(), "a system property in the next JVM");
    }

    private void requests() throws Exception {
        ProcessHandle jvm = agent.jvm();
        UserRequest<String, IOException> one = JvmConformance.busy(channel);
        UserRequest<String, IOException> two = JvmConformance.busy(channel);
        AgentProcess.signal(jvm, "KILL");
        failed(one, "was killed (signal 9)");
        failed(two, "was killed (signal 9)");
        goesOn(jvm);
    }

    private void objects() throws Exception {
        Work.Counter old = channel.call(new Work.MakeCounter());
        require(RemoteInvocationHandler.oidOf(old) >= SECOND_IDS, "oid " + RemoteInvocationHandler.oidOf(old) + " may be one of the first JVM");
        ProcessHandle jvm = agent.jvm();
        AgentProcess.signal(jvm, "KILL");
        goesOn(jvm);
        Throwable gone = thrown(Throwable.class, () -> old.add(1));
        require(!gone.toString().contains("no answer"), "not answered: " + gone);
        Work.Counter next = channel.call(new Work.MakeCounter());
        require(RemoteInvocationHandler.oidOf(next) != RemoteInvocationHandler.oidOf(old), "the same oid twice");
        same(3, next.add(3), "sum");
        RemoteInvocationHandler.release(next);
        RemoteInvocationHandler.release(old);
    }

    private void streamDown() throws Exception {
        ProcessHandle jvm = agent.jvm();
        OutputStream there = channel.call(new Work.Open());
        byte[] block = new byte[1 << 16];
        for (long sent = 0; sent < BYTES; sent += block.length) there.write(block);
        AgentProcess.signal(jvm, "KILL");
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(ANSWER_SECONDS);
        thrown(IOException.class, () -> {
            while (System.nanoTime() < until) there.write(block);
            throw new AssertionError("writing to a JVM that ended does not fail");
        });
        goesOn(jvm);
    }

    private void streamUp() throws Exception {
        ProcessHandle jvm = agent.jvm();
        String file = node.path("death.bin");
        try (OutputStream out = node.on(file, new FilePath.WritePipe())) {
            out.write(new byte[1 << 20]);
        }
        CountDownLatch some = new CountDownLatch(64);
        OutputStream sink = new OutputStream() {
            @Override
            public void write(int b) {
                some.countDown();
            }

            @Override
            public void write(byte[] source, int offset, int length) {
                some.countDown();
            }
        };
        UserRequest<Long, IOException> sending = channel.callAsync(new Work.Send(file, MANY_TIMES, new RemoteOutputStream(sink), null));
        require(some.await(ANSWER_SECONDS, TimeUnit.SECONDS), "nothing came");
        AgentProcess.signal(jvm, "KILL");
        failed(sending, "was killed (signal 9)");
        goesOn(jvm);
    }
}

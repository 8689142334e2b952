package pilotfish.peer.conformance;

import static pilotfish.peer.conformance.Checks.require;
import static pilotfish.peer.conformance.Checks.same;
import static pilotfish.peer.conformance.Checks.thrown;

import hudson.Launcher.RemoteLauncher.KillTask;
import hudson.Launcher.RemoteProcess;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteInvocationHandler;
import hudson.remoting.UserRequest;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import pilotfish.peer.Node;

/** Processes of the agent: streams in every direction, ends of every kind (agent-callables 2.2). */
final class ProcessChecks {
    private final Node node;

    ProcessChecks(Node node) {
        this.node = node;
    }

    private Node.Launch shell(String script, OutputStream out) {
        Node.Launch launch = new Node.Launch("/bin/sh", "-c", script);
        launch.directory = node.path("");
        launch.out = out;
        launch.listener = Node.freestyle(Conformance.nowhere());
        return launch;
    }

    private static String text(ByteArrayOutputStream bytes) {
        return bytes.toString(StandardCharsets.UTF_8);
    }

    void all(Checks checks) {
        checks.check("process: output is complete when join answers", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            same(0, node.launch(shell("i=0; while [ $$i -lt 2000 ]; do echo line $$i; i=$$((i+1)); done", out)).finish(), "exit code");
            same(2000L, text(out).lines().count(), "lines");
        });
        checks.check("process: exit codes", () -> {
            same(3, node.launch(shell("exit 3", Conformance.nowhere())).finish(), "exit 3");
            same(143, node.launch(shell("kill -TERM $$$$", Conformance.nowhere())).finish(), "SIGTERM");
        });
        checks.check("process: the command is printed and masked", () -> {
            ByteArrayOutputStream log = new ByteArrayOutputStream();
            Node.Launch launch = new Node.Launch("/bin/echo", "two words", "hidden");
            launch.masks[2] = true;
            launch.directory = node.path("");
            launch.quiet = false;
            launch.listener = Node.freestyle(log);
            launch.stdoutListener = launch.listener;
            same(0, node.launch(launch).finish(), "exit code");
            String last = node.path("").replaceAll("/+$", "").replaceAll(".*/", "");
            same("[" + last + "] $ /bin/echo \"two words\" ********\ntwo words hidden\n", text(log), "log");
        });
        checks.check("process: standard error apart and merged", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            ByteArrayOutputStream err = new ByteArrayOutputStream();
            Node.Launch launch = shell("echo out; echo err >&2", out);
            launch.err = err;
            node.launch(launch).finish();
            same("out\n", text(out), "standard output");
            same("err\n", text(err), "standard error");
            ByteArrayOutputStream both = new ByteArrayOutputStream();
            node.launch(shell("echo out; echo err >&2", both)).finish();
            same("out\nerr\n", text(both), "merged");
        });
        checks.check("process: environment rules", () -> {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            Node.Launch launch = shell("echo $$A-$$B-$$C-$${EMPTY-unset}; echo $$PATH", out);
            launch.environment = new String[] {"B=${A}b", "A=a", "C=$$A", "EMPTY=", "PATH+X=/extra"};
            node.launch(launch).finish();
            String[] lines = text(out).split("\n");
            same("a-ab-$A-unset", lines[0], "values");
            require(lines[1].startsWith("/extra:"), "PATH is " + lines[1]);
        });
        checks.check("process: what cannot start says why", () -> {
            Node.Launch missing = new Node.Launch("no-such-program-at-all");
            missing.directory = node.path("");
            missing.listener = Node.freestyle(Conformance.nowhere());
            missing.out = Conformance.nowhere();
            IOException failure = thrown(IOException.class, () -> node.launch(missing));
            require(failure.getMessage().contains("Cannot run program \"no-such-program-at-all\"")
                    && failure.getMessage().contains("error=2, No such file or directory"), failure.getMessage());
            Node.Launch nowhere = shell("true", Conformance.nowhere());
            nowhere.directory = node.path("no-such-directory");
            IOException second = thrown(IOException.class, () -> node.launch(nowhere));
            same("Process working directory '" + node.path("no-such-directory") + "' doesn't exist!", second.getMessage(), "message");
        });
        for (RemoteInputStream.Flag flag : RemoteInputStream.Flag.values()) {
            checks.check("process: standard input, " + flag.name().toLowerCase(java.util.Locale.ROOT), () -> {
                byte[] input = "line\n".repeat(60_000).getBytes(StandardCharsets.UTF_8);
                ByteArrayOutputStream out = new ByteArrayOutputStream();
                Node.Launch launch = shell("cat", out);
                launch.in = new RemoteInputStream(new ByteArrayInputStream(input), flag);
                same(0, node.launch(launch).finish(), "exit code");
                require(java.util.Arrays.equals(input, out.toByteArray()), out.size() + " bytes of " + input.length + " came back, or others");
            });
        }
        checks.check("process: all three streams reversed", () -> {
            Node.Launch launch = shell("cat; echo done >&2", null);
            launch.reverseStdin = true;
            launch.reverseStdout = true;
            launch.reverseStderr = true;
            Node.Started started = node.launch(launch);
            started.streams().stdin.write("through\n".getBytes(StandardCharsets.UTF_8));
            started.streams().stdin.close();
            same("through\n", new String(started.streams().stdout.readAllBytes(), StandardCharsets.UTF_8), "standard output");
            same("done\n", new String(started.streams().stderr.readAllBytes(), StandardCharsets.UTF_8), "standard error");
            same(0, started.finish(), "exit code");
        });
        checks.check("process: kill", () -> {
            Node.Started started = node.launch(shell("sleep 300", Conformance.nowhere()));
            same(true, started.process().isAlive(), "isAlive");
            started.process().kill();
            require(started.process().join() != 0, "exit code 0");
            same(false, started.process().isAlive(), "isAlive after kill");
            started.release();
        });
        checks.check("process: cancelling join kills", this::cancel);
        checks.check("process: KillTask finds by environment", this::killTask);
        checks.check("process: a released proxy is gone", () -> {
            Node.Started started = node.launch(shell("true", Conformance.nowhere()));
            started.process().join();
            started.release();
            Exception failure = thrown(Exception.class, () -> started.process().isAlive());
            // Checked exceptions that the interface does not declare come wrapped.
            Throwable cause = failure.getCause() == null ? failure : failure.getCause();
            require((failure + " " + cause).contains("Invalid object ID"), failure + ", cause " + cause);
        });
    }

    private void cancel() throws Throwable {
        Node.Started started = node.launch(shell("exec sleep 300", Conformance.nowhere()));
        UserRequest<Object, Throwable> join = node.channel().callAsync(RemoteInvocationHandler.rpc(started.process(), RemoteProcess.class, "join"));
        same(true, started.process().isAlive(), "isAlive before");
        require(!join.isDone(), "join answered while the process runs");
        join.cancel();
        try {
            join.result(30);
        } catch (InterruptedException | IOException e) {
            require(!String.valueOf(e.getMessage()).startsWith("no answer"), e.getMessage());
        }
        long until = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (started.process().isAlive() && System.nanoTime() < until) Thread.sleep(50);
        same(false, started.process().isAlive(), "isAlive after");
        started.release();
    }

    private void killTask() throws Exception {
        Map<String, String> mark = new HashMap<>(Map.of("PILOTFISH_MARK", "one", "PILOTFISH_OTHER", "two"));
        Node.Launch both = shell("sleep 300; true", Conformance.nowhere());
        both.environment = new String[] {"PILOTFISH_MARK=one", "PILOTFISH_OTHER=two"};
        Node.Launch half = shell("sleep 300; true", Conformance.nowhere());
        half.environment = new String[] {"PILOTFISH_MARK=one"};
        Node.Started marked = node.launch(both);
        Node.Started other = node.launch(half);
        node.channel().call(new KillTask(new HashMap<>()));
        same(true, marked.process().isAlive(), "isAlive after an empty KillTask");
        node.channel().call(new KillTask(mark));
        // Its child is ended before it, so the shell may still run what follows and end well.
        marked.process().join();
        same(false, marked.process().isAlive(), "the marked process is alive");
        same(true, other.process().isAlive(), "a process with one of two variables is alive");
        other.process().kill();
        other.process().join();
        marked.release();
        other.release();
    }
}

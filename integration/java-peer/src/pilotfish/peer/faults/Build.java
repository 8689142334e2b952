package pilotfish.peer.faults;

import hudson.FilePath;
import hudson.FilePath.TarCompression;
import hudson.model.TaskListener;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import hudson.util.DirScanner;
import hudson.util.io.ArchiverFactory;
import hudson.util.io.Tar;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import org.jenkinsci.plugins.durabletask.BourneShellScript.ShellController;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.StartWatching;
import org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep.Execution.NewlineSafeTaskListener;
import org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep.ExecutionRemotable;
import org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep.HandlerImpl;
import pilotfish.peer.Node;
import pilotfish.peer.ShellStep;

/** A build with one {@code sh} step, over as many connections as it takes, and lives of this process. */
final class Build {
    private static final long FIRST_POLL_MILLIS = 250;
    private static final double POLL_GROWTH = 1.2;
    /** A controller goes up to 15 s; builds here are short. */
    private static final long SLOWEST_POLL_MILLIS = 2000;
    private static final String KILLED = "Terminated\n";
    /** Exit status of a step that was killed: whatever its wrapper managed to write. */
    private static final int ABORTED = Integer.MIN_VALUE;

    private final Online online;
    private final BuildState state;
    private final Script script;
    private final String workspace;
    private final byte[] expected;
    private ShellStep step;
    private int lostStarts;
    private int connections;

    Build(Online online, BuildState state, long seed, int number, String root) throws IOException {
        this.online = online;
        this.state = state;
        workspace = root + "/workspace/build-" + number;
        script = new Script(seed, number, workspace);
        expected = script.log();
    }

    /** Runs the build, or what is left of it, and tells how it went. */
    void run() throws Exception {
        long begin = System.nanoTime();
        int code = end();
        long repeated = checkLog();
        if (code != script.status && !(script.aborted && code == ABORTED)) {
            throw new AssertionError("exit status " + code + ", the script ended with " + script.status);
        }
        if (!script.aborted && state.get("checked") == null) checkFiles();
        // From here on the files may be gone.
        state.put("checked", "yes");
        clean();
        Events.tell("build", "number", script.number, "lines", script.lines, "bytes", expected.length, "repeated", repeated,
                "watched", script.watched, "aborted", script.aborted, "lost_starts", lostStarts, "connections", connections,
                "seconds", (System.nanoTime() - begin) / 1e9);
        state.forget();
    }

    private int end() throws Exception {
        if (state.get("exit") == null) {
            if (!"running".equals(state.get("phase"))) {
                abandon();
                prepare();
                start();
            } else {
                step = new ShellStep(null, workspace, false, state.get("id"));
            }
            int code = script.watched ? watch() : poll();
            state.put("exit", Integer.toString(code));
        } else {
            step = new ShellStep(null, workspace, false, state.get("id"));
        }
        return Integer.parseInt(state.get("exit"));
    }

    private void prepare() throws Exception {
        online.persist(node -> node.on(workspace, new FilePath.Mkdirs()));
        if (script.unpacked) {
            byte[] archive = archive();
            online.persist(node -> node.on(workspace, new FilePath.UntarRemote("parts.tar.gz", TarCompression.GZIP,
                    new RemoteInputStream(new ByteArrayInputStream(archive), RemoteInputStream.Flag.GREEDY))));
            return;
        }
        online.persist(node -> node.on(workspace + "/parts", new FilePath.Mkdirs()));
        for (int i = 0; i < script.parts.size(); i++) {
            String file = workspace + "/" + Script.name(i);
            String text = new String(script.parts.get(i), StandardCharsets.UTF_8);
            online.persist(node -> node.on(file, new FilePath.Write(text, "UTF-8")));
        }
    }

    private byte[] archive() throws IOException {
        Path base = Files.createTempDirectory("parts");
        try {
            Files.createDirectory(base.resolve("parts"));
            for (int i = 0; i < script.parts.size(); i++) Files.write(base.resolve(Script.name(i)), script.parts.get(i));
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            try (OutputStream out = new GZIPOutputStream(bytes)) {
                Tar.write(base, new DirScanner.Full(), out);
            }
            return bytes.toByteArray();
        } finally {
            for (int i = 0; i < script.parts.size(); i++) Files.deleteIfExists(base.resolve(Script.name(i)));
            Files.deleteIfExists(base.resolve("parts"));
            Files.delete(base);
        }
    }

    /**
     * Starts the script. Whether it runs is unknown when the connection is lost meanwhile: a controller's build would fail
     * there. This one removes what may run and starts another.
     */
    private void start() throws Exception {
        while (true) {
            Node node = online.await();
            state.put("id", ShellStep.newId());
            state.put("phase", "starting");
            ShellStep next = new ShellStep(node, workspace, false, state.get("id"));
            try {
                next.start(script.text(), OutputStream.nullOutputStream());
            } catch (Exception e) {
                if (!Online.isLost(node.channel(), e)) throw e;
                lostStarts++;
                abandon();
                continue;
            }
            state.put("phase", "running");
            step = next;
            return;
        }
    }

    /** Removes a script whose start was lost. */
    private void abandon() throws Exception {
        String id = state.get("id");
        if (id == null) return;
        online.persist(node -> {
            ShellStep lost = new ShellStep(node, workspace, false, id);
            lost.kill();
            return node.on(lost.controlDirectory(), new FilePath.DeleteRecursive());
        });
    }

    private int poll() throws Exception {
        double wait = FIRST_POLL_MILLIS;
        Node before = null;
        try (OutputStream log = state.append()) {
            while (true) {
                Thread.sleep((long) wait);
                Node node = online.await();
                if (node != before) connections++;
                before = node;
                Sink sink = new Sink(log);
                try {
                    step.resume(node, state.length());
                    if (!node.on(workspace, new FilePath.IsDirectory())) throw new AssertionError("the workspace " + workspace + " is gone");
                    boolean more = step.writeLog(sink);
                    wait = more ? FIRST_POLL_MILLIS : Math.min(SLOWEST_POLL_MILLIS, wait * POLL_GROWTH);
                    Integer code = step.status();
                    if (script.aborted && state.length() >= expected.length) {
                        step.kill();
                        return ABORTED;
                    }
                    if (code == null) continue;
                    step.writeLog(sink);
                    return code;
                } catch (IOException e) {
                    if (!Online.isLost(node.channel(), e)) throw e;
                } finally {
                    sink.seal();
                }
            }
        }
    }

    private int watch() throws Exception {
        try (OutputStream log = state.append()) {
            while (true) {
                // Told over a connection that was lost before the agent heard of it.
                if (state.get("exit") != null) return Integer.parseInt(state.get("exit"));
                Node node = online.await();
                connections++;
                Sink sink = new Sink(log);
                try {
                    state.beginSegment();
                    CompletableFuture<Object> end = new CompletableFuture<>();
                    TaskListener listener = new NewlineSafeTaskListener(Node.pipeline(sink));
                    ShellController controller = new ShellController(step.controlDirectory(), "build-" + script.number, step.cookie());
                    ExecutionRemotable proxy = node.channel().export(ExecutionRemotable.class, execution(end));
                    node.on(workspace, new StartWatching(controller, new HandlerImpl(proxy, listener), listener));
                    Object first = CompletableFuture.anyOf(end, node.channel().closed()).get();
                    if (first instanceof Exception problem) throw new AssertionError("the agent reports a problem", problem);
                    if (first instanceof Integer code) return code;
                } catch (IOException e) {
                    if (!Online.isLost(node.channel(), e)) throw e;
                } finally {
                    sink.seal();
                }
            }
        }
    }

    private ExecutionRemotable execution(CompletableFuture<Object> end) {
        return new ExecutionRemotable() {
            @Override
            public void exited(int code, byte[] output) throws IOException {
                // Once this has returned the agent removes the files.
                state.put("exit", Integer.toString(code));
                end.complete(code);
            }

            @Override
            public void problem(Exception problem) {
                end.complete(problem);
            }
        };
    }

    /** Answers how many bytes came twice, which only a pushed log may. */
    private long checkLog() throws IOException {
        byte[] got = Files.readAllBytes(state.log());
        // The shell's last word about what was killed.
        if (script.aborted && new String(got, StandardCharsets.UTF_8).endsWith(KILLED)) got = Arrays.copyOf(got, got.length - KILLED.length());
        if (script.watched) return LogCheck.withRepeats(expected, got, state.segments());
        String difference = LogCheck.exact(expected, got);
        if (difference != null) throw new AssertionError(difference);
        return 0;
    }

    private void checkFiles() throws Exception {
        byte[] all = script.files();
        String sum = HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(all));
        String digest = online.persist(node -> node.on(workspace + "/out/all.txt", new FilePath.Digest()));
        if (!digest.equals(sum)) throw new AssertionError("out/all.txt has MD5 " + digest + ", not " + sum);
        String first = online.persist(node -> node.on(workspace + "/" + Script.name(0), new FilePath.ReadToString()));
        if (!Arrays.equals(first.getBytes(StandardCharsets.UTF_8), script.parts.get(0))) throw new AssertionError("the first file was read wrongly");
        if (!script.archived) return;
        byte[] archive = online.persist(node -> {
            ByteArrayOutputStream bytes = new ByteArrayOutputStream();
            node.on(workspace, new FilePath.Archive(new ArchiverFactory.TarArchiverFactory(TarCompression.GZIP), new RemoteOutputStream(bytes),
                    new DirScanner.Glob("parts/**,out/**", null, true), null));
            return bytes.toByteArray();
        });
        Map<String, byte[]> files = new TreeMap<>();
        Tar.read(new GZIPInputStream(new ByteArrayInputStream(archive)), (entry, content) -> files.put(entry.name(), content.readAllBytes()));
        if (!Arrays.equals(all, files.remove("out/all.txt"))) throw new AssertionError("out/all.txt is wrong in the archive");
        for (int i = 0; i < script.parts.size(); i++) {
            if (!Arrays.equals(script.parts.get(i), files.remove(Script.name(i)))) throw new AssertionError(Script.name(i) + " is wrong in the archive");
        }
    }

    private void clean() throws Exception {
        online.persist(node -> {
            step.resume(node, 0);
            step.clean();
            node.on(workspace, new FilePath.DeleteRecursive());
            return node.on(workspace, new FilePath.DeleteSuffixesRecursive());
        });
    }
}

package pilotfish.peer.demo;

import hudson.EnvVars;
import hudson.FilePath;
import hudson.FilePath.TarCompression;
import hudson.Launcher.RemoteLauncher.KillTask;
import hudson.remoting.Channel;
import hudson.remoting.ChannelFigures;
import hudson.remoting.Pipe;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import hudson.tasks.ArtifactArchiver;
import hudson.tasks.Shell.DescriptorImpl.Shellinterpreter;
import hudson.util.DirScanner;
import hudson.util.io.ArchiverFactory;
import hudson.util.io.Tar;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.zip.GZIPInputStream;
import pilotfish.peer.ConnectSequence;
import pilotfish.peer.Node;
import pilotfish.peer.ShellStep;
import pilotfish.peer.net.AgentConnection;

/** A small controller's day: an agent comes online, builds, and is sent home. */
public final class Demo {
    private static final double GIB = 1 << 30;

    private final AgentConnection agent;
    private final Channel channel;
    private final Node node;
    private final String workspace;
    private final OutputStream console = new Console();

    private Demo(AgentConnection agent, String root) {
        this.agent = agent;
        this.channel = agent.channel();
        this.node = new Node(channel, root);
        this.workspace = node.path("workspace/demo");
    }

    /** Answers the exit code of the program. */
    public static int run(AgentConnection agent, String root) throws Exception {
        return new Demo(agent, root).run(root);
    }

    private int run(String root) throws Exception {
        long begin = System.nanoTime();
        connect(root);
        boolean passed = true;
        try {
            say("\nStarted demonstration build in " + workspace);
            freestyle();
            shellStep();
            byte[] stash = stash();
            unstash(stash);
            archive();
            node.on(workspace, new FilePath.DeleteRecursive());
            node.on(workspace, new FilePath.DeleteSuffixesRecursive());
        } catch (IOException | RuntimeException e) {
            passed = false;
            say("ERROR: " + e.getMessage());
        }
        say("Finished: " + (passed ? "SUCCESS" : "FAILURE"));
        summary(begin);
        channel.close();
        channel.closed().get(10, TimeUnit.SECONDS);
        for (String complaint : channel.complaints()) say("The agent broke the protocol: " + complaint);
        return passed && channel.complaints().isEmpty() ? 0 : 1;
    }

    private static void say(String line) {
        System.out.println(line);
    }

    private static String gib(long bytes) {
        return String.format(Locale.ROOT, "%.1f GiB", bytes / GIB);
    }

    private void connect(String root) throws Exception {
        ConnectSequence sequence = new ConnectSequence(channel, root);
        ConnectSequence.Facts facts = sequence.setUp();
        ConnectSequence.Health health = sequence.monitors();
        say("Agent " + agent.name() + " is online: " + health.architecture() + ", remoting " + facts.version() + " over "
                + facts.protocol() + ", " + facts.charset());
        say("  disk    " + (health.disk() == null ? "unknown" : gib(health.disk().size()) + " free of " + gib(health.disk().totalSize())));
        say("  memory  " + (health.memory() == null ? "unknown"
                : gib(health.memory().availablePhysicalMemory) + " free of " + gib(health.memory().totalPhysicalMemory)));
        say("  clock   " + Math.abs(health.clock().remoteTime() - health.clock().startTime()) + " ms apart");
    }

    private void step(String name) {
        say("[demo] " + name);
    }

    private void freestyle() throws Exception {
        step("shell step of a freestyle job");
        node.on(workspace, new FilePath.Mkdirs());
        String script = node.on(workspace, new FilePath.CreateTextTempFile(false, "jenkins", ".sh", """

                echo "building on $NODE_NAME as build $BUILD_NUMBER"
                uname -s
                for i in 1 2 3; do echo "compiling module $i"; sleep 0.3; done
                """));
        String shell = channel.call(new Shellinterpreter());
        EnvVars build = new EnvVars(Map.of("BUILD_NUMBER", "1", "NODE_NAME", agent.name(), "BUILD_TAG", "demo-1", "WORKSPACE", workspace));
        Node.Launch launch = new Node.Launch(shell, "-xe", script);
        launch.directory = workspace;
        launch.quiet = false;
        launch.environment = build.entrySet().stream().map(entry -> entry.getKey() + "=" + entry.getValue()).toArray(String[]::new);
        launch.listener = Node.freestyle(console);
        launch.stdoutListener = launch.listener;
        int code = node.launch(launch).finish();
        if (code != 0) throw new IOException("the shell step ended with " + code);
        node.on(script, new FilePath.Delete());
        channel.call(new KillTask(build));
    }

    private void shellStep() throws Exception {
        step("sh step of a Pipeline");
        int code = new ShellStep(node, workspace, false).run("""
                mkdir -p out/classes
                for i in 1 2 3 4 5 6 7 8; do
                  echo "test $i of 8 passed"
                  echo "report $i" > out/report-$i.txt
                  sleep 0.4
                done
                head -c 2000000 /dev/urandom > out/classes/app.bin
                chmod 750 out/classes/app.bin
                ln -s report-1.txt out/latest.txt
                """, console);
        if (code != 0) throw new IOException("the sh step ended with " + code);
    }

    private byte[] stash() throws Exception {
        ByteArrayOutputStream archive = new ByteArrayOutputStream();
        int entries = node.on(workspace, new FilePath.Archive(new ArchiverFactory.TarArchiverFactory(TarCompression.GZIP),
                new RemoteOutputStream(archive), new DirScanner.Glob("out/**", null, true), null));
        step("stash: " + entries + " files, " + archive.size() / 1024 + " KiB");
        return archive.toByteArray();
    }

    private void unstash(byte[] archive) throws Exception {
        String before = node.on(workspace + "/out/classes/app.bin", new FilePath.Digest());
        String target = workspace + "/unstashed";
        node.on(target, new FilePath.Mkdirs());
        node.on(target, new FilePath.UntarRemote("demo.tar.gz", TarCompression.GZIP,
                new RemoteInputStream(new ByteArrayInputStream(archive), RemoteInputStream.Flag.GREEDY)));
        String after = node.on(target + "/out/classes/app.bin", new FilePath.Digest());
        if (!before.equals(after)) throw new IOException("app.bin came back with MD5 " + after + " instead of " + before);
        String report = node.on(target + "/out/latest.txt", new FilePath.ReadToString());
        if (!report.equals("report 1\n")) throw new IOException("the link came back as " + report);
        step("unstash: files, modes and links are the same");
    }

    private void archive() throws Exception {
        Set<String> names = node.on(workspace, new ArtifactArchiver.ListFiles("out/*.txt", null));
        Map<String, String> files = new TreeMap<>();
        names.forEach(name -> files.put(name, name));
        Pipe pipe = Pipe.createRemoteToLocal();
        UserRequest<Integer, IOException> copy = node.start(workspace, new FilePath.CopyRecursiveRemoteToLocal(pipe,
                new FilePath.ExplicitlySpecifiedDirScanner(new java.util.HashMap<>(files)), TarCompression.GZIP, "UTF-8"));
        int read = Tar.read(new GZIPInputStream(pipe.getIn()), (entry, content) -> {});
        int sent = copy.result(60);
        if (read != names.size() || sent != read) throw new IOException(names.size() + " artifacts, " + sent + " sent, " + read + " received");
        step("archiveArtifacts: " + read + " files");
    }

    private void summary(long begin) {
        ChannelFigures figures = channel.figures();
        say(String.format(Locale.ROOT, "%nIn %.1f s: %d requests answered in %.1f ms each (slowest %.0f ms), %d KiB to the agent, %d KiB from it.",
                (System.nanoTime() - begin) / 1e9, figures.answers(), figures.meanMillis(), figures.slowestMillis(),
                figures.bytesSent() / 1024, figures.bytesReceived() / 1024));
    }

    /** Standard output that a finished process cannot close. */
    private static final class Console extends OutputStream {
        @Override
        public void write(int b) {
            System.out.write(b);
        }

        @Override
        public void write(byte[] source, int offset, int length) {
            System.out.write(source, offset, length);
            System.out.flush();
        }
    }
}

package pilotfish.peer;

import hudson.FilePath;
import hudson.Launcher.RemoteLauncher.KillTask;
import hudson.remoting.RemoteOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.Collections;
import java.util.HexFormat;
import java.util.concurrent.ThreadLocalRandom;
import org.jenkinsci.plugins.durabletask.AgentInfo.GetAgentInfo;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.GetOutput;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.StatusCheck;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.TranscodingCharsetForSystemDefault;
import org.jenkinsci.plugins.durabletask.FileMonitoringTask.FileMonitoringController.WriteLog;

/** Pipeline's {@code sh}: a detached script whose files are polled (agent-callables 3.1). */
public final class ShellStep {
    private static final long FIRST_POLL_MILLIS = 250;
    private static final double POLL_GROWTH = 1.2;
    private static final long SLOWEST_POLL_MILLIS = 15_000;

    private final String workspace;
    private final String control;
    private final String cookie;
    private final boolean returnOutput;
    /** The variable that sends a launch to a sibling container. */
    public static final String CONTAINER = "PILOTFISH_CONTAINER";

    private Node node;
    private String container;
    private Node.Started launched;
    private long location;

    public ShellStep(Node node, String workspace, boolean returnOutput) {
        this(node, workspace, returnOutput, newId());
    }

    /** The step with that id, which another connection may have started. */
    public ShellStep(Node node, String workspace, boolean returnOutput, String id) {
        this.node = node;
        this.workspace = workspace;
        this.returnOutput = returnOutput;
        control = workspace + "@tmp/durable-" + id;
        cookie = "durable-" + id.repeat(8);
    }

    /** Has it run in a sibling container of the agent's. */
    public ShellStep in(String name) {
        container = name;
        return this;
    }

    public static String newId() {
        return HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextInt());
    }

    /** Goes on over another connection, from a place in the log. */
    public void resume(Node next, long from) {
        if (next != node) launched = null;
        node = next;
        location = from;
    }

    public String controlDirectory() {
        return control;
    }

    public String cookie() {
        return cookie;
    }

    /** Writes the script and starts it; {@code log} is the step's listener. */
    public void start(String script, OutputStream log) throws IOException, InterruptedException {
        node.on(node.path(""), new GetAgentInfo("671.v340ff7959010"));
        node.on(workspace, new FilePath.Mkdirs());
        node.on(control, new FilePath.Mkdirs());
        String s = control + "/script.sh";
        node.on(s, new FilePath.Write(script, "UTF-8"));
        if (script.startsWith("#!")) node.on(s, new FilePath.Chmod(0755));
        String l = control + "/jenkins-log.txt";
        String r = control + "/jenkins-result.txt";
        String output = returnOutput ? "> '" + control + "/output.txt' 2> '" + l + "'" : "> '" + l + "' 2>&1";
        Node.Launch launch = new Node.Launch("nohup", "sh", "-c", "(cp '" + s + "' '" + s + ".copy'; { while [ -d '" + control + "' -a \\! -f '" + r
                + "' ]; do touch '" + l + "'; sleep 3; done } & jsc=" + cookie + "; JENKINS_SERVER_COOKIE=$$jsc 'sh' -xe  '" + s + ".copy' " + output
                + "; echo $$? > '" + r + ".tmp'; mv '" + r + ".tmp' '" + r + "'; wait) >&- 2>&- &");
        launch.directory = workspace;
        launch.reverseStdout = true;
        launch.reverseStderr = true;
        launch.listener = Node.pipeline(log);
        launch.environment = new String[] {"JENKINS_SERVER_COOKIE=" + cookie, "WORKSPACE=" + workspace};
        if (container != null) launch.environment = with(launch.environment, CONTAINER + "=" + container);
        launched = node.launch(launch);
    }

    private static String[] with(String[] environment, String variable) {
        String[] all = java.util.Arrays.copyOf(environment, environment.length + 1);
        all[environment.length] = variable;
        return all;
    }

    /** Copies what is new in the log; true when there was anything. */
    public boolean writeLog(OutputStream log) throws IOException, InterruptedException {
        node.channel().call(new TranscodingCharsetForSystemDefault());
        Counting counting = new Counting(log);
        node.on(control + "/jenkins-log.txt", new WriteLog(location, new RemoteOutputStream(counting)));
        location += counting.count;
        return counting.count > 0;
    }

    /** The exit code, or null while the script runs. */
    public Integer status() throws IOException, InterruptedException {
        return node.on(control + "/jenkins-result.txt", new StatusCheck());
    }

    /** Polls as a controller does until the script ends; answers its exit code. */
    public int follow(OutputStream log) throws IOException, InterruptedException {
        double wait = FIRST_POLL_MILLIS;
        while (true) {
            Thread.sleep((long) wait);
            if (!node.on(workspace, new FilePath.IsDirectory())) throw new IOException("the workspace " + workspace + " is gone");
            wait = writeLog(log) ? FIRST_POLL_MILLIS : Math.min(SLOWEST_POLL_MILLIS, wait * POLL_GROWTH);
            Integer code = status();
            if (code == null) continue;
            writeLog(log);
            return code;
        }
    }

    /** The script's standard output, when it was asked for. */
    public byte[] output() throws IOException, InterruptedException {
        return node.on(control + "/output.txt", new GetOutput(null));
    }

    /** Kills what the script left. */
    public void kill() throws IOException, InterruptedException {
        node.channel().call(new KillTask(Collections.singletonMap("JENKINS_SERVER_COOKIE", cookie)));
    }

    /** Removes the step's files and gives its objects up. */
    public void clean() throws IOException, InterruptedException {
        node.on(control, new FilePath.DeleteRecursive());
        if (launched != null) launched.release();
    }

    /** The whole step; answers the exit code. */
    public int run(String script, OutputStream log) throws IOException, InterruptedException {
        start(script, log);
        int code = follow(log);
        clean();
        return code;
    }

    private static final class Counting extends OutputStream {
        private final OutputStream target;
        private volatile long count;

        Counting(OutputStream target) {
            this.target = target;
        }

        @Override
        public void write(int b) throws IOException {
            target.write(b);
            count++;
        }

        @Override
        public void write(byte[] source, int offset, int length) throws IOException {
            target.write(source, offset, length);
            count += length;
        }

        @Override
        public void close() throws IOException {
            throw new IOException("the log's sink must be released, not closed");
        }
    }
}

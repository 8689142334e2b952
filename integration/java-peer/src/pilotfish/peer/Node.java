package pilotfish.peer;

import hudson.FilePath;
import hudson.FilePath.FileCallable;
import hudson.FilePath.FileCallableWrapper;
import hudson.Launcher.IOTriplet;
import hudson.Launcher.RemoteLaunchCallable;
import hudson.Launcher.RemoteProcess;
import hudson.model.StreamBuildListener;
import hudson.model.TaskListener;
import hudson.remoting.Channel;
import hudson.remoting.RemoteInputStream;
import hudson.remoting.RemoteInvocationHandler;
import hudson.remoting.RemoteOutputStream;
import hudson.remoting.UserRequest;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import jenkins.tasks.filters.EnvVarsFilterRuleWrapper;
import org.jenkinsci.plugins.workflow.log.BufferedBuildListener;

/** What build steps do on a node, over one channel. */
public final class Node {
    private final Channel channel;
    private final String root;

    public Node(Channel channel, String root) {
        this.channel = channel;
        this.root = root;
    }

    public Channel channel() {
        return channel;
    }

    /** A path below the node's directory. */
    public String path(String relative) {
        return root + "/" + relative;
    }

    /** The path as the agent's own. */
    public FilePath file(String path) {
        return new FilePath(channel, path);
    }

    public <T> T on(String path, FileCallable<T> callable) throws IOException, InterruptedException {
        return channel.call(new FileCallableWrapper<>(callable, file(path)));
    }

    public <T> UserRequest<T, IOException> start(String path, FileCallable<T> callable) throws IOException {
        return channel.callAsync(new FileCallableWrapper<>(callable, file(path)));
    }

    /** The listener of a freestyle build, writing to {@code log}. */
    public static TaskListener freestyle(OutputStream log) {
        return new StreamBuildListener(log, StandardCharsets.UTF_8);
    }

    /** The listener of a Pipeline step, writing to {@code log}. */
    public static TaskListener pipeline(OutputStream log) {
        return new BufferedBuildListener.Replacement(new RemoteOutputStream(log));
    }

    /** A launch under construction; unset streams are closed or merged as for a controller. */
    public static final class Launch {
        public final List<String> command;
        public String directory;
        public String[] environment = {};
        public boolean[] masks;
        public TaskListener listener;
        public TaskListener stdoutListener;
        public OutputStream out;
        public OutputStream err;
        public RemoteInputStream in;
        public boolean quiet = true;
        public boolean reverseStdin;
        public boolean reverseStdout;
        public boolean reverseStderr;

        public Launch(String... command) {
            this.command = new java.util.ArrayList<>(List.of(command));
            masks = new boolean[command.length];
        }

        RemoteLaunchCallable callable() {
            return new RemoteLaunchCallable(command, masks, environment, in, reverseStdin, out == null ? null : new RemoteOutputStream(out),
                    reverseStdout, err == null ? null : new RemoteOutputStream(err), reverseStderr, quiet, directory, listener,
                    stdoutListener, new EnvVarsFilterRuleWrapper());
        }
    }

    /** A started process with its reversed streams, fetched at once as a controller does. */
    public record Started(RemoteProcess process, IOTriplet streams) {
        /** Waits for the end and gives the process up. */
        public int finish() throws IOException, InterruptedException {
            int code = process.join();
            release();
            return code;
        }

        /** Closes the streams that were reversed and drops the proxy, which a controller leaves to its collector. */
        public void release() throws IOException {
            if (streams.stdout != null) streams.stdout.close();
            if (streams.stderr != null) streams.stderr.close();
            RemoteInvocationHandler.release(process);
        }
    }

    public Started launch(Launch launch) throws IOException, InterruptedException {
        RemoteProcess process = channel.call(launch.callable());
        return new Started(process, process.getIOtriplet());
    }

    /** Runs a command and answers its merged output; fails unless it ends with 0. */
    public String run(String... command) throws IOException, InterruptedException {
        ByteArrayOutputStream output = new ByteArrayOutputStream();
        Launch launch = new Launch(command);
        launch.directory = root;
        launch.out = output;
        launch.listener = freestyle(OutputStream.nullOutputStream());
        int code = launch(launch).finish();
        String text = output.toString(StandardCharsets.UTF_8);
        if (code != 0) throw new IOException(String.join(" ", command) + " ended with " + code + ": " + text);
        return text;
    }
}
